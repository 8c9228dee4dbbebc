/* SPDX-License-Identifier: MIT */
/*
 * The request parser under arbitrary bytes: given whole and given in pieces it must say the same,
 * and never look outside what it was given. The pieces lie in blocks of exactly their size, each at
 * a new address, so that a sanitizer sees every step too far; the input itself says how long they
 * are.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resp/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the parser said, as a number: equal inputs must give equal numbers. */
typedef struct trace {
    uint64_t digest;
    size_t events;
    size_t consumed;
    bool failed;
} trace_t;

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "fuzz_resp: %s\n", what);
        abort();
    }
}

static void mix(trace_t *trace, const void *bytes, size_t size)
{
    const unsigned char *const from = bytes;
    for (size_t i = 0; i < size; i++) {
        trace->digest = (trace->digest ^ from[i]) * UINT64_C(1099511628211);
    }
}

static bool is_within(kv_slice_t argument, const char *bytes, size_t size)
{
    return argument.data >= bytes && argument.data + argument.size <= bytes + size;
}

static void note_command(trace_t *trace, const kvi_parser_t *parser, const char *bytes, size_t size)
{
    require(parser->argc > 0, "a command without arguments");
    for (size_t i = 0; i < parser->argc; i++) {
        const kv_slice_t argument = parser->argv[i];
        require(is_within(argument, bytes, size) ||
                    is_within(argument, parser->inline_copy, parser->inline_capacity),
                "an argument outside the bytes");
        mix(trace, &argument.size, sizeof argument.size);
        mix(trace, argument.data, argument.size);
    }
}

/* Reads commands until more bytes are needed or an error ends it; returns the bytes used. */
static size_t drain(kvi_parser_t *parser, const char *bytes, size_t size, trace_t *trace)
{
    size_t at = 0;
    while (!trace->failed) {
        size_t used = 0;
        const kvi_parse_t result = kvi_parser_next(parser, bytes + at, size - at, &used);
        require(used <= size - at, "more bytes used than given");
        if (result == KVI_PARSE_MORE) {
            require(parser->needed > size - at, "more bytes needed, but they are there");
            require(used == 0, "bytes used without a result");
            break;
        }
        trace->events++;
        mix(trace, &result, sizeof result);
        if (result == KVI_PARSE_COMMAND) {
            note_command(trace, parser, bytes + at, used);
        } else if (result == KVI_PARSE_ERROR) {
            mix(trace, parser->error, strlen(parser->error));
            trace->failed = true;
        }
        require(result == KVI_PARSE_ERROR || used > 0, "a result without bytes");
        at += used;
    }
    trace->consumed += at;
    return at;
}

static trace_t parse_whole(const char *bytes, size_t size)
{
    trace_t trace = {.digest = UINT64_C(14695981039346656037)};
    kvi_parser_t parser;
    kvi_parser_open(&parser);
    (void)drain(&parser, bytes, size, &trace);
    kvi_parser_close(&parser);
    return trace;
}

/* Each piece is joined to what the parser left of the ones before. */
static trace_t parse_pieces(const char *bytes, size_t size, uint64_t random)
{
    trace_t trace = {.digest = UINT64_C(14695981039346656037)};
    kvi_parser_t parser;
    kvi_parser_open(&parser);
    char *rest = malloc(1);
    size_t rest_size = 0;
    for (size_t at = 0; at < size && !trace.failed;) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        size_t piece = 1 + (size_t)(random >> 33) % ((random >> 60) == 0 ? 5000 : 9);
        piece = piece < size - at ? piece : size - at;
        char *const joined = malloc(rest_size + piece);
        require(joined != NULL && rest != NULL, "out of memory");
        memcpy(joined, rest, rest_size);
        memcpy(joined + rest_size, bytes + at, piece);
        free(rest);
        at += piece;
        const size_t used = drain(&parser, joined, rest_size + piece, &trace);
        rest_size = rest_size + piece - used;
        rest = malloc(rest_size + 1);
        require(rest != NULL, "out of memory");
        memcpy(rest, joined + used, rest_size);
        free(joined);
    }
    free(rest);
    kvi_parser_close(&parser);
    return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const bytes = (const char *)data;
    const trace_t whole = parse_whole(bytes, size);
    for (uint64_t seed = 1; seed <= 2; seed++) {
        const trace_t pieces = parse_pieces(bytes, size, seed + (size > 0 ? data[size - 1] : 0));
        require(whole.events == pieces.events, "pieces give other results than the whole");
        require(whole.digest == pieces.digest, "pieces give other arguments than the whole");
        require(whole.consumed == pieces.consumed, "pieces use other bytes than the whole");
    }
    return 0;
}
