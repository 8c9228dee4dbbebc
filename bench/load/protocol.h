/* SPDX-License-Identifier: MIT */
/*
 * The three protocols a server can be loaded with, as data: RESP2/3, memcached's text protocol and
 * its meta commands.
 *
 * A request is a prepared text in which only 12 digits change, so that making one costs two small
 * copies:
 *
 *   *2\r\n$3\r\nGET\r\n$16\r\nkey:............\r\n          keys are key:%012u
 *                              ▲ key_at                     its value begins with the same digits
 *
 * A reply is checked at known offsets: header, digits of the very key asked for at this place of
 * the pipeline, the last 8 bytes of the filler and the end of the line. So count and order of the
 * replies are checked too.
 */
#ifndef LOAD_PROTOCOL_H
#define LOAD_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_DIGITS 12
#define VALUE_BYTES_MIN KEY_DIGITS
#define VALUE_BYTES_MAX 65536

typedef enum operation { OPERATION_GET, OPERATION_SET, OPERATION_DEL, OPERATIONS } operation_t;

/* What the next reply of a connection must be. */
typedef struct expected {
    char digits[KEY_DIGITS];
    uint8_t operation;
} expected_t;

typedef struct request_text {
    char *bytes;
    size_t length;
    size_t key_at;
    size_t value_at; /* 0: no value */
} request_text_t;

typedef struct protocol {
    const struct dialect *dialect;
    request_text_t requests[OPERATIONS];
    char header[64]; /* of a GET's reply */
    size_t header_length;
    size_t header_key_at; /* where the key's digits stand in it; 0: nowhere */
    size_t value_bytes;
    size_t reply_length; /* of a whole GET reply */
    char tail[8];        /* the last bytes of every value, where it is long enough */
    size_t tail_bytes;
} protocol_t;

/* False for an unknown name (resp, mc, mcm) or too little memory. */
bool protocol_open(protocol_t *protocol, const char *name, size_t value_bytes);
void protocol_close(protocol_t *protocol);
const char *protocol_name(const protocol_t *protocol);
size_t protocol_request_max(const protocol_t *protocol);

/* Writes a request and notes what its reply must be. Returns the bytes written. */
size_t protocol_request(const protocol_t *protocol, operation_t operation, uint64_t key, char *out,
                        expected_t *expected);

typedef enum verdict {
    VERDICT_MORE,  /* the reply has not arrived in full */
    VERDICT_RIGHT, /* *used bytes were the reply */
    VERDICT_MISS,  /* so, and there is no such key */
    VERDICT_WRONG
} verdict_t;
verdict_t protocol_check(const protocol_t *protocol, const expected_t *expected, const char *bytes,
                         size_t count, size_t *used);

#endif
