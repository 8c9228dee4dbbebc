/* SPDX-License-Identifier: MIT */
/* Requests from prepared texts, replies compared at fixed places. See protocol.h for the layout. */
#include "protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "key:000000000000"
#define DIGITS "000000000000"

/* One protocol. %zu is the value's size, %s the value; \r\n END after a value is memcached's habit.
 */
typedef struct dialect {
    const char *name;
    const char *get;
    const char *set;
    const char *del;
    const char *header;
    const char *trailer; /* after a value */
    const char *stored;
    const char *deleted;
    const char *misses[2]; /* replies to GET */
    const char *not_deleted;
} dialect_t;

static const dialect_t dialects[] = {
    {.name = "resp",
     .get = "*2\r\n$3\r\nGET\r\n$16\r\n" KEY "\r\n",
     .set = "*3\r\n$3\r\nSET\r\n$16\r\n" KEY "\r\n$%zu\r\n%s\r\n",
     .del = "*2\r\n$3\r\nDEL\r\n$16\r\n" KEY "\r\n",
     .header = "$%zu\r\n",
     .trailer = "\r\n",
     .stored = "+OK\r\n",
     .deleted = ":1\r\n",
     .misses = {"$-1\r\n", "_\r\n"},
     .not_deleted = ":0\r\n"},
    {.name = "mc",
     .get = "get " KEY "\r\n",
     .set = "set " KEY " 0 0 %zu\r\n%s\r\n",
     .del = "delete " KEY "\r\n",
     .header = "VALUE " KEY " 0 %zu\r\n",
     .trailer = "\r\nEND\r\n",
     .stored = "STORED\r\n",
     .deleted = "DELETED\r\n",
     .misses = {"END\r\n", NULL},
     .not_deleted = "NOT_FOUND\r\n"},
    {.name = "mcm",
     .get = "mg " KEY " v\r\n",
     .set = "ms " KEY " %zu\r\n%s\r\n",
     .del = "md " KEY "\r\n",
     .header = "VA %zu\r\n",
     .trailer = "\r\n",
     .stored = "HD\r\n",
     .deleted = "HD\r\n",
     .misses = {"EN\r\n", NULL},
     .not_deleted = "NF\r\n"},
};

static const dialect_t *find_dialect(const char *name)
{
    for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
        if (strcmp(dialects[i].name, name) == 0) {
            return &dialects[i];
        }
    }
    return NULL;
}

/* The value: 12 digits, then letters that differ from one place to the next. */
static char *make_value(size_t value_bytes)
{
    char *value = malloc(value_bytes + 1);
    if (value != NULL) {
        memset(value, '0', KEY_DIGITS);
        for (size_t i = KEY_DIGITS; i < value_bytes; i++) {
            value[i] = (char)('a' + i * 7 % 26);
        }
        value[value_bytes] = '\0';
    }
    return value;
}

static bool make_request(request_text_t *text, const char *format, const char *value)
{
    const size_t size = strlen(format) + strlen(value) + 32;
    text->bytes = malloc(size);
    if (text->bytes == NULL) {
        return false;
    }
    /* Formats without a value ignore the arguments behind them. */
    const int length = snprintf(text->bytes, size, format, strlen(value), value);
    const char *key = strstr(text->bytes, DIGITS);
    if (length < 0 || key == NULL) {
        return false;
    }
    const char *copy = strstr(key + KEY_DIGITS, DIGITS);
    text->length = (size_t)length;
    text->key_at = (size_t)(key - text->bytes);
    text->value_at = copy == NULL ? 0 : (size_t)(copy - text->bytes);
    return true;
}

static void make_header(protocol_t *protocol, const char *value)
{
    const dialect_t *dialect = protocol->dialect;
    const int length = snprintf(protocol->header, sizeof(protocol->header), dialect->header,
                                protocol->value_bytes);
    const char *key = strstr(protocol->header, DIGITS);
    protocol->header_length = (size_t)length;
    protocol->header_key_at = key == NULL ? 0 : (size_t)(key - protocol->header);
    protocol->reply_length =
        protocol->header_length + protocol->value_bytes + strlen(dialect->trailer);
    if (protocol->value_bytes >= KEY_DIGITS + sizeof(protocol->tail)) {
        protocol->tail_bytes = sizeof(protocol->tail);
        memcpy(protocol->tail, value + protocol->value_bytes - protocol->tail_bytes,
               protocol->tail_bytes);
    }
}

bool protocol_open(protocol_t *protocol, const char *name, size_t value_bytes)
{
    char *value = make_value(value_bytes);
    *protocol = (protocol_t){.dialect = find_dialect(name), .value_bytes = value_bytes};
    const dialect_t *dialect = protocol->dialect;
    const bool made = dialect != NULL && value != NULL &&
                      make_request(&protocol->requests[OPERATION_GET], dialect->get, value) &&
                      make_request(&protocol->requests[OPERATION_SET], dialect->set, value) &&
                      make_request(&protocol->requests[OPERATION_DEL], dialect->del, value);
    if (made) {
        make_header(protocol, value);
    } else {
        protocol_close(protocol);
    }
    free(value);
    return made;
}

void protocol_close(protocol_t *protocol)
{
    for (size_t i = 0; i < OPERATIONS; i++) {
        free(protocol->requests[i].bytes);
        protocol->requests[i].bytes = NULL;
    }
}

const char *protocol_name(const protocol_t *protocol)
{
    return protocol->dialect->name;
}

size_t protocol_request_max(const protocol_t *protocol)
{
    return protocol->requests[OPERATION_SET].length; /* it has the same key and the value besides */
}

static void write_digits(char *out, uint64_t key)
{
    for (size_t i = KEY_DIGITS; i > 0; i--) {
        out[i - 1] = (char)('0' + key % 10);
        key /= 10;
    }
}

size_t protocol_request(const protocol_t *protocol, operation_t operation, uint64_t key, char *out,
                        expected_t *expected)
{
    const request_text_t *text = &protocol->requests[operation];
    memcpy(out, text->bytes, text->length);
    write_digits(out + text->key_at, key);
    if (text->value_at != 0) {
        memcpy(out + text->value_at, out + text->key_at, KEY_DIGITS);
    }
    memcpy(expected->digits, out + text->key_at, KEY_DIGITS);
    expected->operation = (uint8_t)operation;
    return text->length;
}

/* RIGHT if bytes begin with text, MORE if they may yet, WRONG if they cannot. */
static verdict_t compare_text(const char *text, const char *bytes, size_t count, size_t *used)
{
    const size_t length = strlen(text);
    *used = length;
    if (memcmp(bytes, text, count < length ? count : length) != 0) {
        return VERDICT_WRONG;
    }
    return count < length ? VERDICT_MORE : VERDICT_RIGHT;
}

static bool header_right(const protocol_t *protocol, const expected_t *expected, const char *bytes)
{
    const size_t key_at = protocol->header_key_at;
    if (key_at == 0) {
        return memcmp(bytes, protocol->header, protocol->header_length) == 0;
    }
    const size_t behind = key_at + KEY_DIGITS;
    return memcmp(bytes, protocol->header, key_at) == 0 &&
           memcmp(bytes + key_at, expected->digits, KEY_DIGITS) == 0 &&
           memcmp(bytes + behind, protocol->header + behind, protocol->header_length - behind) == 0;
}

static verdict_t check_get(const protocol_t *protocol, const expected_t *expected,
                           const char *bytes, size_t count, size_t *used)
{
    for (size_t i = 0; i < 2 && protocol->dialect->misses[i] != NULL; i++) {
        const verdict_t miss = compare_text(protocol->dialect->misses[i], bytes, count, used);
        if (miss != VERDICT_WRONG) {
            return miss == VERDICT_RIGHT ? VERDICT_MISS : VERDICT_MORE;
        }
    }
    if (count >= protocol->header_length && !header_right(protocol, expected, bytes)) {
        return VERDICT_WRONG;
    }
    if (count < protocol->reply_length) {
        return VERDICT_MORE;
    }
    const char *value = bytes + protocol->header_length;
    const char *end = value + protocol->value_bytes;
    *used = protocol->reply_length;
    const bool right =
        memcmp(value, expected->digits, KEY_DIGITS) == 0 &&
        memcmp(end - protocol->tail_bytes, protocol->tail, protocol->tail_bytes) == 0 &&
        memcmp(end, protocol->dialect->trailer, strlen(protocol->dialect->trailer)) == 0;
    return right ? VERDICT_RIGHT : VERDICT_WRONG;
}

verdict_t protocol_check(const protocol_t *protocol, const expected_t *expected, const char *bytes,
                         size_t count, size_t *used)
{
    const dialect_t *dialect = protocol->dialect;
    if (count == 0) {
        return VERDICT_MORE;
    }
    if (expected->operation == OPERATION_GET) {
        return check_get(protocol, expected, bytes, count, used);
    }
    if (expected->operation == OPERATION_SET) {
        return compare_text(dialect->stored, bytes, count, used);
    }
    const verdict_t verdict = compare_text(dialect->deleted, bytes, count, used);
    if (verdict != VERDICT_WRONG) {
        return verdict;
    }
    const verdict_t absent = compare_text(dialect->not_deleted, bytes, count, used);
    return absent == VERDICT_RIGHT ? VERDICT_MISS : absent;
}
