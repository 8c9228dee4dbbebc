/* SPDX-License-Identifier: MIT */
/*
 * Decimal numbers as bytes: written without a division per digit, read without libc and its locale.
 * Inline because both stand in the path of every request.
 */
#ifndef KVI_BASE_DECIMAL_H
#define KVI_BASE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that any number of 64 bits with its sign takes. */
#define KVI_DECIMAL_BYTES_MAX 20

/* The number of digits of value. */
static inline unsigned kvi_decimal_digits(uint64_t value)
{
    unsigned digits = 1;
    for (uint64_t rest = value; rest >= 10; rest /= 10) {
        digits++;
    }
    return digits;
}

/* Writes the digits of value, no final 0; returns the place behind them. */
static inline char *kvi_decimal_write(char *to, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    if (value < 10) {
        *to = (char)('0' + value);
        return to + 1;
    }
    if (value < 100) {
        memcpy(to, pairs + value * 2, 2);
        return to + 2;
    }
    char *const end = to + kvi_decimal_digits(value);
    char *at = end;
    while (value >= 100) {
        at -= 2;
        memcpy(at, pairs + (value % 100) * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        memcpy(at - 2, pairs + value * 2, 2);
    } else {
        at[-1] = (char)('0' + value);
    }
    return end;
}

static inline char *kvi_decimal_write_signed(char *to, int64_t value)
{
    if (value >= 0) {
        return kvi_decimal_write(to, (uint64_t)value);
    }
    *to = '-';
    return kvi_decimal_write(to + 1, ~(uint64_t)value + 1);
}

/* Reads all of text as a decimal integer in its only right form: no blanks, no plus, no leading
 * zeros, no "-0". False, with *value unchanged, for anything else and for what 64 bits cannot hold.
 */
static inline bool kvi_decimal_read(const char *text, size_t size, int64_t *value)
{
    const bool negative = size > 0 && text[0] == '-';
    size_t at = negative ? 1 : 0;
    const uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    if (at == size || size - at > 19 || (text[at] == '0' && size > 1)) {
        return false;
    }
    uint64_t sum = 0;
    for (; at < size; at++) {
        const unsigned digit = (unsigned char)text[at] - (unsigned)'0';
        if (digit > 9) {
            return false;
        }
        sum = sum * 10 + digit; /* 19 digits stay below 10^19 < 2^64 */
    }
    if (sum > limit) {
        return false;
    }
    *value = negative ? (int64_t)(~sum + 1) : (int64_t)sum;
    return true;
}

#endif
