/* SPDX-License-Identifier: MIT */
/*
 * Unsigned numbers in as few bytes as they need: seven bits a byte, the lowest first, the top bit
 * of every byte but the last is set (LEB128). 0 to 127 are one byte; 64 bits are at most ten.
 */
#ifndef KVI_BASE_VARINT_H
#define KVI_BASE_VARINT_H

#include <stddef.h>
#include <stdint.h>

#define KVI_VARINT_BYTES_MAX 10

static inline size_t kvi_varint_bytes(uint64_t number)
{
    size_t bytes = 1;
    while (number >= 128) {
        number >>= 7;
        bytes++;
    }
    return bytes;
}

/* Writes number at to; returns the place behind it. */
static inline char *kvi_varint_write(char *to, uint64_t number)
{
    while (number >= 128) {
        *to++ = (char)(unsigned char)(number | 128);
        number >>= 7;
    }
    *to++ = (char)(unsigned char)number;
    return to;
}

static inline const char *kvi_varint_read_long(const char *from, uint64_t *number)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint64_t byte = (unsigned char)*from++;
        result |= (byte & 127) << shift;
        if (byte < 128) {
            break;
        }
    }
    *number = result;
    return from;
}

/* Reads what kvi_varint_write wrote; returns the place behind it. Only for bytes that we wrote
 * ourselves: it knows no end. */
static inline const char *kvi_varint_read(const char *from, uint64_t *number)
{
    const unsigned char first = (unsigned char)*from;
    if (first < 128) {
        *number = first;
        return from + 1;
    }
    return kvi_varint_read_long(from, number);
}

#endif
