/* SPDX-License-Identifier: MIT */
/*
 * The request parser, one pass over the bytes:
 *
 *   *2\r\n $3\r\n GET\r\n $5\r\n hello\r\n   an array of bulk strings: argv points at both
 *   SET key "a \x00 b"\r\n                    an inline command: words are copied, quotes resolved
 *
 * An unfinished array keeps the arguments found so far and goes on at `position`; an unfinished
 * line keeps how far it was searched. Both are counted from the beginning of the command, whose
 * address may change between calls.
 *
 * Invariants
 *   1. Nothing at or behind bytes + size is read.
 *   2. argc <= argv_capacity.
 *   3. The result for a byte sequence does not depend on the pieces in which it arrives, which is
 *      why a line of 64 KB or more is refused even when it is complete.
 *   4. Memory follows what has arrived, never what a length announces.
 *
 * Thread rule: one user at a time.
 */
#include "resp/parser.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "base/decimal.h"

#define BULK_BYTES_MAX_DEFAULT ((size_t)512 << 20)
#define ARGUMENT_MAX_DEFAULT ((size_t)1048576)
#define ARGV_CAPACITY_MIN ((size_t)8)

static const char out_of_memory[] = "Protocol error: out of memory";

typedef enum line_result { LINE_OK, LINE_MORE, LINE_BAD, LINE_LONG } line_result_t;

void kvi_parser_open(kvi_parser_t *parser)
{
    *parser = (kvi_parser_t){.bulk_bytes_max = BULK_BYTES_MAX_DEFAULT,
                             .argument_max = ARGUMENT_MAX_DEFAULT};
}

void kvi_parser_close(kvi_parser_t *parser)
{
    kv_store_free(parser->argv);
    kv_store_free(parser->inline_copy);
    kvi_parser_open(parser);
}

static void begin_next(kvi_parser_t *parser)
{
    parser->expected_arguments = 0;
    parser->position = 0;
    parser->scanned = 0;
}

static kvi_parse_t fail(kvi_parser_t *parser, const char *error)
{
    parser->error = error;
    parser->argc = 0;
    begin_next(parser);
    return KVI_PARSE_ERROR;
}

static kvi_parse_t want(kvi_parser_t *parser, size_t needed)
{
    parser->needed = needed;
    return KVI_PARSE_MORE;
}

static bool grow_argv(kvi_parser_t *parser)
{
    const size_t doubled = parser->argv_capacity * 2;
    const size_t capacity = doubled > ARGV_CAPACITY_MIN ? doubled : ARGV_CAPACITY_MIN;
    kv_slice_t *const larger = kv_store_realloc(parser->argv, capacity * sizeof larger[0]);
    if (larger == NULL) {
        return false;
    }
    parser->argv = larger;
    parser->argv_capacity = capacity;
    return true;
}

static inline bool push_argument(kvi_parser_t *parser, const char *data, size_t size)
{
    if (parser->argc == parser->argv_capacity && !grow_argv(parser)) {
        return false;
    }
    parser->argv[parser->argc++] = (kv_slice_t){data, size};
    return true;
}

/* Looks for byte from the place where the last call stopped, within the longest line that begins at
 * `begin`. */
static line_result_t find_byte(kvi_parser_t *parser, kv_slice_t bytes, size_t begin, char byte,
                               size_t *place)
{
    const size_t limit = begin + KVI_PARSER_LINE_BYTES_MAX;
    const size_t end = bytes.size < limit ? bytes.size : limit;
    const size_t from = parser->scanned > begin ? parser->scanned : begin;
    const char *const found = from < end ? memchr(bytes.data + from, byte, end - from) : NULL;
    if (found != NULL) {
        parser->scanned = 0;
        *place = (size_t)(found - bytes.data);
        return LINE_OK;
    }
    parser->scanned = end;
    return bytes.size >= limit ? LINE_LONG : LINE_MORE;
}

/* The general way of read_number: signs, odd line ends, lines that have not all arrived. */
static line_result_t read_number_slowly(kvi_parser_t *parser, kv_slice_t bytes, size_t begin,
                                        int64_t *number, size_t *next)
{
    size_t end;
    const line_result_t result = find_byte(parser, bytes, begin, '\r', &end);
    if (result != LINE_OK) {
        return result;
    }
    if (end + 1 == bytes.size) {
        parser->scanned = end;
        return LINE_MORE;
    }
    *next = end + 2;
    return bytes.data[end + 1] == '\n' && kvi_decimal_read(bytes.data + begin, end - begin, number)
               ? LINE_OK
               : LINE_BAD;
}

/* The number of the line that begins at `begin`, behind its type byte; *next is the place behind
 * the line. */
static inline line_result_t read_number(kvi_parser_t *parser, kv_slice_t bytes, size_t begin,
                                        int64_t *number, size_t *next)
{
    /* Nearly every line is a few digits and a line end, and has arrived. */
    const size_t left = bytes.size - begin;
    const char *const digits = bytes.data + begin;
    uint32_t sum = 0;
    size_t at = 0;
    while (at + 1 < left && at < 9 && (unsigned char)digits[at] - (unsigned)'0' <= 9) {
        sum = sum * 10 + (uint32_t)(digits[at] - '0');
        at++;
    }
    const bool plain = at > 0 && (digits[0] != '0' || at == 1);
    if (plain && at + 1 < left && digits[at] == '\r' && digits[at + 1] == '\n') {
        *number = sum;
        *next = begin + at + 2;
        return LINE_OK;
    }
    return read_number_slowly(parser, bytes, begin, number, next);
}

/* The bytes of an unfinished command may lie elsewhere now. */
static void rebase(kvi_parser_t *parser, const char *bytes)
{
    for (size_t i = 0; i < parser->argc; i++) {
        parser->argv[i].data = bytes + ((uintptr_t)parser->argv[i].data - parser->base);
    }
    parser->base = (uintptr_t)bytes;
}

static kvi_parse_t complain_about_dollar(kvi_parser_t *parser, char got)
{
    (void)snprintf(parser->error_text, sizeof parser->error_text,
                   "Protocol error: expected '$', got '%c'", got);
    return fail(parser, parser->error_text);
}

/* The next argument of an array: COMMAND when it was read, and position moved behind it. */
static inline kvi_parse_t read_argument(kvi_parser_t *parser, kv_slice_t bytes)
{
    const size_t begin = parser->position;
    if (begin >= bytes.size) {
        return want(parser, bytes.size + 1);
    }
    if (bytes.data[begin] != '$') {
        return complain_about_dollar(parser, bytes.data[begin]);
    }
    int64_t length;
    size_t data;
    switch (read_number(parser, bytes, begin + 1, &length, &data)) {
    case LINE_MORE:
        return want(parser, bytes.size + 1);
    case LINE_LONG:
        return fail(parser, "Protocol error: too big bulk count string");
    case LINE_BAD:
        return fail(parser, "Protocol error: invalid bulk length");
    case LINE_OK:
        break;
    }
    if (length < 0 || (uint64_t)length > parser->bulk_bytes_max) {
        return fail(parser, "Protocol error: invalid bulk length");
    }
    const size_t end = data + (size_t)length;
    if (bytes.size < end + 2) {
        return want(parser, end + 2);
    }
    if (bytes.data[end] != '\r' || bytes.data[end + 1] != '\n') {
        return fail(parser, "Protocol error: expected a line end behind a bulk string");
    }
    if (!push_argument(parser, bytes.data + data, (size_t)length)) {
        return fail(parser, out_of_memory);
    }
    parser->position = end + 2;
    return KVI_PARSE_COMMAND;
}

/* The length of one or two digits at `at`, behind its '$', and its line end: what nearly every
 * argument has. 0: something else, else the bytes of the line. */
static inline size_t read_short_length(const char *at, size_t *length)
{
    const unsigned first = (unsigned char)at[0] - (unsigned)'0';
    if (first > 9) {
        return 0;
    }
    if (at[1] == '\r') {
        *length = first;
        return at[2] == '\n' ? 3 : 0;
    }
    const unsigned second = (unsigned char)at[1] - (unsigned)'0';
    *length = first * 10 + second;
    return second <= 9 && first != 0 && at[2] == '\r' && at[3] == '\n' ? 4 : 0;
}

/* As read_argument again and again, for arguments that are short and have arrived. Stops at any
 * other. */
static inline void read_short_arguments(kvi_parser_t *parser, kv_slice_t bytes)
{
    const size_t room = parser->argv_capacity < parser->expected_arguments
                            ? parser->argv_capacity
                            : parser->expected_arguments;
    kv_slice_t *const argv = parser->argv;
    size_t argc = parser->argc;
    size_t at = parser->position;
    /* The shortest argument takes six bytes, which is what reading its length may look at. */
    while (argc < room && bytes.size - at >= 6 && bytes.data[at] == '$') {
        size_t length = 0;
        const size_t line = read_short_length(bytes.data + at + 1, &length);
        const size_t data = at + 1 + line;
        if (line == 0 || bytes.size - data < length + 2 || length > parser->bulk_bytes_max ||
            bytes.data[data + length] != '\r' || bytes.data[data + length + 1] != '\n') {
            break;
        }
        argv[argc++] = (kv_slice_t){bytes.data + data, length};
        at = data + length + 2;
    }
    parser->argc = argc;
    parser->position = at;
}

static inline kvi_parse_t read_arguments(kvi_parser_t *parser, kv_slice_t bytes, size_t *used)
{
    read_short_arguments(parser, bytes);
    while (parser->argc < parser->expected_arguments) {
        const kvi_parse_t result = read_argument(parser, bytes);
        if (result != KVI_PARSE_COMMAND) {
            return result;
        }
    }
    *used = parser->position;
    begin_next(parser);
    return KVI_PARSE_COMMAND;
}

static inline void begin_array(kvi_parser_t *parser, kv_slice_t bytes, size_t count,
                               size_t position)
{
    parser->expected_arguments = count;
    parser->position = position;
    parser->base = (uintptr_t)bytes.data;
}

static inline kvi_parse_t read_array(kvi_parser_t *parser, kv_slice_t bytes, size_t *used)
{
    size_t short_count = 0;
    const size_t line = bytes.size >= 6 ? read_short_length(bytes.data + 1, &short_count) : 0;
    if (line != 0 && short_count > 0 && short_count <= parser->argument_max) {
        begin_array(parser, bytes, short_count, 1 + line);
        return read_arguments(parser, bytes, used);
    }
    int64_t count;
    size_t next;
    switch (read_number(parser, bytes, 1, &count, &next)) {
    case LINE_MORE:
        return want(parser, bytes.size + 1);
    case LINE_LONG:
        return fail(parser, "Protocol error: too big mbulk count string");
    case LINE_BAD:
        return fail(parser, "Protocol error: invalid multibulk length");
    case LINE_OK:
        break;
    }
    if (count > 0 && (uint64_t)count > parser->argument_max) {
        return fail(parser, "Protocol error: invalid multibulk length");
    }
    if (count <= 0) {
        *used = next;
        begin_next(parser);
        return KVI_PARSE_EMPTY;
    }
    begin_array(parser, bytes, (size_t)count, next);
    return read_arguments(parser, bytes, used);
}

/* ---- inline commands ---- */

static bool is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    const char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* What a backslash and this byte stand for between double quotes. */
static char escaped(char byte)
{
    switch (byte) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return byte;
    }
}

/* Reads one byte of a quoted part at line[*at], resolving escapes; *at moves behind it. */
static char read_quoted_byte(kv_slice_t line, size_t *at, char quote)
{
    const char *const data = line.data + *at;
    const size_t left = line.size - *at;
    if (data[0] != '\\' || left < 2) {
        *at += 1;
        return data[0];
    }
    if (quote == '\'') {
        /* Between single quotes only the quote itself can be escaped. */
        *at += data[1] == '\'' ? 2 : 1;
        return data[1] == '\'' ? '\'' : '\\';
    }
    if (data[1] == 'x' && left >= 4 && hex_digit(data[2]) >= 0 && hex_digit(data[3]) >= 0) {
        *at += 4;
        return (char)(hex_digit(data[2]) * 16 + hex_digit(data[3]));
    }
    *at += 2;
    return escaped(data[1]);
}

/* Copies the quoted part that begins behind the quote at line[*at - 1]. NULL: no closing quote, or
 * no blank behind it. */
static char *copy_quoted(kv_slice_t line, size_t *at, char quote, char *to)
{
    while (*at < line.size && line.data[*at] != quote) {
        *to++ = read_quoted_byte(line, at, quote);
    }
    if (*at == line.size) {
        return NULL;
    }
    *at += 1;
    return *at == line.size || is_blank(line.data[*at]) ? to : NULL;
}

/* Copies one word, which begins at line[*at]. NULL for unbalanced quotes. */
static char *copy_word(kv_slice_t line, size_t *at, char *to)
{
    while (*at < line.size && !is_blank(line.data[*at])) {
        const char byte = line.data[(*at)++];
        if (byte == '"' || byte == '\'') {
            return copy_quoted(line, at, byte, to);
        }
        *to++ = byte;
    }
    return to;
}

static kvi_parse_t split_line(kvi_parser_t *parser, kv_slice_t line)
{
    if (line.size > parser->inline_capacity) {
        char *const larger = kv_store_realloc(parser->inline_copy, line.size);
        if (larger == NULL) {
            return fail(parser, out_of_memory);
        }
        parser->inline_copy = larger;
        parser->inline_capacity = line.size;
    }
    char *to = parser->inline_copy;
    size_t at = 0;
    for (;;) {
        while (at < line.size && is_blank(line.data[at])) {
            at++;
        }
        if (at == line.size) {
            break;
        }
        char *const end = copy_word(line, &at, to);
        if (end == NULL) {
            return fail(parser, "Protocol error: unbalanced quotes in request");
        }
        if (!push_argument(parser, to, (size_t)(end - to))) {
            return fail(parser, out_of_memory);
        }
        to = end;
    }
    return parser->argc > 0 ? KVI_PARSE_COMMAND : KVI_PARSE_EMPTY;
}

static kvi_parse_t read_inline(kvi_parser_t *parser, kv_slice_t bytes, size_t *used)
{
    size_t end;
    switch (find_byte(parser, bytes, 0, '\n', &end)) {
    case LINE_OK:
        break;
    case LINE_MORE:
        return want(parser, bytes.size + 1);
    default:
        return fail(parser, "Protocol error: too big inline request");
    }
    *used = end + 1;
    /* A zero byte ends the line, as it does in Redis. */
    const kv_slice_t line = {bytes.data, strnlen(bytes.data, end)};
    return split_line(parser, line);
}

void kvi_parser_rewind(kvi_parser_t *parser)
{
    parser->expected_arguments = 0;
    parser->position = 0;
    parser->scanned = 0;
    parser->needed = 0;
}

kvi_parse_t kvi_parser_next(kvi_parser_t *parser, const char *bytes, size_t size, size_t *used)
{
    const kv_slice_t all = {bytes, size};
    *used = 0;
    if (parser->expected_arguments > 0) {
        if (parser->base != (uintptr_t)bytes) {
            rebase(parser, bytes);
        }
        return read_arguments(parser, all, used);
    }
    parser->argc = 0;
    if (size == 0) {
        return want(parser, 1);
    }
    return bytes[0] == '*' ? read_array(parser, all, used) : read_inline(parser, all, used);
}
