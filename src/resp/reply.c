/* SPDX-License-Identifier: MIT */
/*
 * The reply writer. Every kind of reply is a type byte, a number or a text, and a line end; claim()
 * makes room once for a whole reply, so that the bytes are then written without further checks.
 *
 *   RESP2   + status   - error   : integer   $ bulk   * array
 *   RESP3   also   _ null   # bool   , double   % map   ~ set   = verbatim
 *
 * Invariants: 1. size <= capacity; 2. a failed or muted reply never changes size; 3. bytes is NULL
 * only while capacity is 0. Thread rule: one user at a time.
 */
#include "resp/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "base/decimal.h"

/* A type byte, 20 digits and a sign, a line end. */
#define HEADER_BYTES_MAX ((size_t)32)
#define CAPACITY_MIN ((size_t)1024)

static bool grow(kvi_reply_t *reply, size_t bytes)
{
    const size_t doubled = reply->capacity < SIZE_MAX / 2 ? reply->capacity * 2 : SIZE_MAX;
    size_t capacity = doubled > CAPACITY_MIN ? doubled : CAPACITY_MIN;
    if (bytes > SIZE_MAX - reply->size) {
        reply->failed = true;
        return false;
    }
    if (capacity < reply->size + bytes) {
        capacity = reply->size + bytes;
    }
    char *const larger = kv_store_realloc(reply->bytes, capacity);
    if (larger == NULL) {
        reply->failed = true;
        return false;
    }
    reply->bytes = larger;
    reply->capacity = capacity;
    return true;
}

/* Where the next bytes go, with room for so many; NULL when nothing is to be written. */
static inline char *claim(kvi_reply_t *reply, size_t bytes)
{
    if (reply->muted || reply->failed) {
        return NULL;
    }
    if (bytes > reply->capacity - reply->size && !grow(reply, bytes)) {
        return NULL;
    }
    return reply->bytes + reply->size;
}

static inline void commit(kvi_reply_t *reply, const char *end)
{
    reply->size = (size_t)(end - reply->bytes);
}

static inline char *put_line_end(char *to)
{
    to[0] = '\r';
    to[1] = '\n';
    return to + 2;
}

static inline char *put_header(char *to, char type, uint64_t number)
{
    *to = type;
    return put_line_end(kvi_decimal_write(to + 1, number));
}

static inline char *put_bytes(char *to, const char *from, size_t size)
{
    if (size > 0) {
        memcpy(to, from, size);
    }
    return to + size;
}

static void write_header(kvi_reply_t *reply, char type, uint64_t number)
{
    char *const to = claim(reply, HEADER_BYTES_MAX);
    if (to != NULL) {
        commit(reply, put_header(to, type, number));
    }
}

static void write_line(kvi_reply_t *reply, char type, const char *text, size_t size)
{
    char *to = claim(reply, HEADER_BYTES_MAX + size);
    if (to != NULL) {
        *to = type;
        to = put_bytes(to + 1, text, size);
        commit(reply, put_line_end(to));
    }
}

void kvi_reply_open(kvi_reply_t *reply)
{
    *reply = (kvi_reply_t){.protocol = 2};
}

void kvi_reply_close(kvi_reply_t *reply)
{
    kv_store_free(reply->bytes);
    kvi_reply_open(reply);
}

void kvi_reply_ok(kvi_reply_t *reply)
{
    char *const to = claim(reply, HEADER_BYTES_MAX);
    if (to != NULL) {
        memcpy(to, "+OK\r\n", 5);
        commit(reply, to + 5);
    }
}

void kvi_reply_status(kvi_reply_t *reply, const char *text)
{
    write_line(reply, '+', text, strlen(text));
}

void kvi_reply_error(kvi_reply_t *reply, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    const size_t size = length > 0 ? (size_t)length : 0;
    char *const to = claim(reply, HEADER_BYTES_MAX + size);
    if (to != NULL) {
        *to = '-';
        (void)vsnprintf(to + 1, size + 1, format, again);
        for (size_t i = 1; i <= size; i++) {
            if (to[i] == '\r' || to[i] == '\n') {
                to[i] = ' ';
            }
        }
        commit(reply, put_line_end(to + 1 + size));
    }
    va_end(again);
}

void kvi_reply_integer(kvi_reply_t *reply, int64_t value)
{
    char *to = claim(reply, HEADER_BYTES_MAX);
    if (to != NULL) {
        *to = ':';
        to = kvi_decimal_write_signed(to + 1, value);
        commit(reply, put_line_end(to));
    }
}

void kvi_reply_bulk(kvi_reply_t *reply, kv_slice_t value)
{
    if (value.size > SIZE_MAX - HEADER_BYTES_MAX) {
        reply->failed = true;
        return;
    }
    char *to = claim(reply, HEADER_BYTES_MAX + value.size);
    if (to != NULL) {
        to = put_header(to, '$', value.size);
        to = put_bytes(to, value.data, value.size);
        commit(reply, put_line_end(to));
    }
}

void kvi_reply_bulk_string(kvi_reply_t *reply, const char *string)
{
    kvi_reply_bulk(reply, (kv_slice_t){string, strlen(string)});
}

void kvi_reply_verbatim(kvi_reply_t *reply, const char *format, kv_slice_t text)
{
    if (reply->protocol < 3) {
        kvi_reply_bulk(reply, text);
        return;
    }
    char *to = claim(reply, HEADER_BYTES_MAX + text.size);
    if (to != NULL) {
        char kind[4] = {' ', ' ', ' ', ':'};
        memcpy(kind, format, strnlen(format, 3));
        to = put_header(to, '=', text.size + sizeof kind);
        to = put_bytes(to, kind, sizeof kind);
        to = put_bytes(to, text.data, text.size);
        commit(reply, put_line_end(to));
    }
}

void kvi_reply_double(kvi_reply_t *reply, double value)
{
    char text[40];
    if (isinf(value)) {
        (void)snprintf(text, sizeof text, "%s", value > 0 ? "inf" : "-inf");
    } else {
        (void)snprintf(text, sizeof text, "%.17g", value);
    }
    if (reply->protocol < 3) {
        kvi_reply_bulk_string(reply, text);
    } else {
        write_line(reply, ',', text, strlen(text));
    }
}

void kvi_reply_bool(kvi_reply_t *reply, bool value)
{
    if (reply->protocol < 3) {
        kvi_reply_integer(reply, value ? 1 : 0);
    } else {
        write_line(reply, '#', value ? "t" : "f", 1);
    }
}

void kvi_reply_null(kvi_reply_t *reply)
{
    if (reply->protocol < 3) {
        write_line(reply, '$', "-1", 2);
    } else {
        write_line(reply, '_', "", 0);
    }
}

void kvi_reply_null_array(kvi_reply_t *reply)
{
    if (reply->protocol < 3) {
        write_line(reply, '*', "-1", 2);
    } else {
        write_line(reply, '_', "", 0);
    }
}

void kvi_reply_array(kvi_reply_t *reply, size_t count)
{
    write_header(reply, '*', count);
}

void kvi_reply_map(kvi_reply_t *reply, size_t pairs)
{
    if (reply->protocol < 3) {
        write_header(reply, '*', (uint64_t)pairs * 2);
    } else {
        write_header(reply, '%', pairs);
    }
}

void kvi_reply_set(kvi_reply_t *reply, size_t count)
{
    write_header(reply, reply->protocol < 3 ? '*' : '~', count);
}

void kvi_reply_truncate(kvi_reply_t *reply, size_t size)
{
    if (size < reply->size) {
        reply->size = size;
    }
}
