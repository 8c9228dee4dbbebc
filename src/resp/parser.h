/* SPDX-License-Identifier: MIT */
/*
 * The request parser: bytes in, commands out. RESP arrays of bulk strings and inline commands, as
 * Redis reads them. Nothing is copied: arguments point into the caller's bytes. Incremental: a
 * request that has not all arrived costs no second scan of what was read.
 */
#ifndef KVI_RESP_PARSER_H
#define KVI_RESP_PARSER_H

#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

typedef enum kvi_parse {
    KVI_PARSE_COMMAND, /* argv holds a command of argc >= 1 arguments */
    KVI_PARSE_EMPTY,   /* a blank line or *0: bytes were used, nothing to do */
    KVI_PARSE_MORE,    /* at least `needed` bytes in all are needed from the start of the command */
    /* `error` says what, as Redis words it ("Protocol error: ..."); then close the connection */
    KVI_PARSE_ERROR
} kvi_parse_t;

typedef struct kvi_parser {
    size_t bulk_bytes_max; /* proto-max-bulk-len, default 512 MB */
    size_t argument_max;   /* most arguments of one command, default 1,048,576 */
    kv_slice_t *argv;      /* of the last command; points into the caller's bytes */
    size_t argc;
    size_t needed;
    const char *error;
    /* Where an unfinished command stands. */
    size_t argv_capacity;
    size_t expected_arguments; /* 0: between commands */
    size_t position;           /* of the next argument's '$' */
    size_t scanned;            /* no line end before this place */
    uintptr_t base;            /* where the bytes were in the call that found argv */
    char *inline_copy;         /* the words of an inline command, their quotes resolved */
    size_t inline_capacity;
    char error_text[48];
} kvi_parser_t;

#define KVI_PARSER_LINE_BYTES_MAX ((size_t)65536)

void kvi_parser_open(kvi_parser_t *parser);
void kvi_parser_close(kvi_parser_t *parser);

/* Forgets an unfinished command: the next call begins at the beginning of one. */
void kvi_parser_rewind(kvi_parser_t *parser);

/* Reads one command from the beginning of bytes. *used is what it took: the caller drops these
 * before the next call. After KVI_PARSE_MORE call again with the same beginning and more behind it
 * (the address may differ). KVI_PARSE_ERROR with a text of memory shortage when memory is short. */
kvi_parse_t kvi_parser_next(kvi_parser_t *parser, const char *bytes, size_t size, size_t *used);

#endif
