/* SPDX-License-Identifier: MIT */
/* The request parser: what it accepts and refuses, in every way of arriving. */
#include "test.h"

#include <stdbool.h>
#include <string.h>

#include "resp/parser.h"

typedef struct parser_case {
    const char *bytes;
    kvi_parse_t result;
    size_t used;
    const char *expected; /* arguments, each followed by '|', or the error */
} parser_case_t;

static const parser_case_t cases[] = {
    {"*1\r\n$4\r\nPING\r\n", KVI_PARSE_COMMAND, 14, "PING|"},
    {"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", KVI_PARSE_COMMAND, 19, "GET||"},
    {"*1\r\n$4\r\nPING\r\n*1\r\n", KVI_PARSE_COMMAND, 14, "PING|"},
    {"*2\r\n$3\r\nGET\r\n$4\r\n\r\n$1\r\n", KVI_PARSE_COMMAND, 23, "GET|\r\n$1|"},
    {"*0\r\n", KVI_PARSE_EMPTY, 4, ""},
    {"*-1\r\n", KVI_PARSE_EMPTY, 5, ""},
    {"\r\n", KVI_PARSE_EMPTY, 2, ""},
    {" \t \n", KVI_PARSE_EMPTY, 4, ""},
    {"PING\r\n", KVI_PARSE_COMMAND, 6, "PING|"},
    {"set  a\tb\n", KVI_PARSE_COMMAND, 9, "set|a|b|"},
    {"set \"a b\" 'c d'\r\n", KVI_PARSE_COMMAND, 17, "set|a b|c d|"},
    {"x \"\\x41\\n\\\"\\q\"\r\n", KVI_PARSE_COMMAND, 16, "x|A\n\"q|"},
    {"x 'it\\'s \\n'\r\n", KVI_PARSE_COMMAND, 14, "x|it's \\n|"},
    {"x \"\" ''\r\n", KVI_PARSE_COMMAND, 9, "x|||"},
    {"x a\"b c\"\r\n", KVI_PARSE_COMMAND, 10, "x|ab c|"},
    {"x \"a\r\n", KVI_PARSE_ERROR, 0, "Protocol error: unbalanced quotes in request"},
    {"x 'a\r\n", KVI_PARSE_ERROR, 0, "Protocol error: unbalanced quotes in request"},
    {"x \"a\"b\r\n", KVI_PARSE_ERROR, 0, "Protocol error: unbalanced quotes in request"},
    {"*a\r\n", KVI_PARSE_ERROR, 0, "Protocol error: invalid multibulk length"},
    {"*\r\n", KVI_PARSE_ERROR, 0, "Protocol error: invalid multibulk length"},
    {"*01\r\n", KVI_PARSE_ERROR, 0, "Protocol error: invalid multibulk length"},
    {"*1\rx", KVI_PARSE_ERROR, 0, "Protocol error: invalid multibulk length"},
    {"*1048577\r\n", KVI_PARSE_ERROR, 0, "Protocol error: invalid multibulk length"},
    {"*99999999999999999999\r\n", KVI_PARSE_ERROR, 0, "Protocol error: invalid multibulk length"},
    {"*1\r\n:1\r\n", KVI_PARSE_ERROR, 0, "Protocol error: expected '$', got ':'"},
    {"*1\r\n$-1\r\n", KVI_PARSE_ERROR, 0, "Protocol error: invalid bulk length"},
    {"*1\r\n$x\r\n", KVI_PARSE_ERROR, 0, "Protocol error: invalid bulk length"},
    {"*1\r\n$536870913\r\n", KVI_PARSE_ERROR, 0, "Protocol error: invalid bulk length"},
    {"*1\r\n$1\r\nab\r\n", KVI_PARSE_ERROR, 0,
     "Protocol error: expected a line end behind a bulk string"},
};

static void join(const kvi_parser_t *parser, char *text, size_t capacity)
{
    size_t at = 0;
    for (size_t i = 0; i < parser->argc; i++) {
        assert_true(at + parser->argv[i].size + 2 < capacity);
        memcpy(text + at, parser->argv[i].data, parser->argv[i].size);
        at += parser->argv[i].size;
        text[at++] = '|';
    }
    text[at] = '\0';
}

static void check_result(const kvi_parser_t *parser, const parser_case_t *row, kvi_parse_t result,
                         size_t used)
{
    char text[512];
    assert_int_equal(result, row->result);
    if (result == KVI_PARSE_ERROR) {
        assert_string_equal(parser->error, row->expected);
        return;
    }
    assert_int_equal(used, row->used);
    if (result == KVI_PARSE_COMMAND) {
        join(parser, text, sizeof text);
        assert_string_equal(text, row->expected);
    }
}

static void reads_whole_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kvi_parser_t parser;
        kvi_parser_open(&parser);
        size_t used;
        const kvi_parse_t result =
            kvi_parser_next(&parser, cases[i].bytes, strlen(cases[i].bytes), &used);
        check_result(&parser, &cases[i], result, used);
        kvi_parser_close(&parser);
    }
}

/* Every prefix is given in a block of its own, so that the address changes and a sanitizer sees a
 * step too far. */
static void reads_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const parser_case_t *const row = &cases[i];
        kvi_parser_t parser;
        kvi_parser_open(&parser);
        kvi_parse_t result = KVI_PARSE_MORE;
        size_t used = 0;
        char *block = NULL;
        for (size_t size = 0; size <= strlen(row->bytes) && result == KVI_PARSE_MORE; size++) {
            free(block);
            block = malloc(size > 0 ? size : 1);
            assert_non_null(block);
            memcpy(block, row->bytes, size);
            result = kvi_parser_next(&parser, block, size, &used);
            assert_true(result != KVI_PARSE_MORE || parser.needed > size);
        }
        check_result(&parser, row, result, used);
        free(block);
        kvi_parser_close(&parser);
    }
}

static void says_how_much_is_needed(void **state)
{
    (void)state;
    kvi_parser_t parser;
    kvi_parser_open(&parser);
    const char bytes[] = "*2\r\n$3\r\nGET\r\n$1000\r\nabc";
    size_t used;
    assert_int_equal(kvi_parser_next(&parser, bytes, sizeof bytes - 1, &used), KVI_PARSE_MORE);
    assert_int_equal(parser.needed, 20 + 1000 + 2);
    /* An announced length alone takes no memory. */
    assert_true(parser.argv_capacity <= 16);
    kvi_parser_close(&parser);
}

static void refuse_line(const char *begin, const char *error)
{
    const size_t size = KVI_PARSER_LINE_BYTES_MAX + 16;
    char *const bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, '1', size);
    memcpy(bytes, begin, strlen(begin));
    for (size_t piece = 1000; piece <= size; piece += size - 1000) {
        kvi_parser_t parser;
        kvi_parser_open(&parser);
        kvi_parse_t result = KVI_PARSE_MORE;
        size_t used;
        for (size_t given = piece; result == KVI_PARSE_MORE; given += 1000) {
            assert_true(given < 2 * size);
            result = kvi_parser_next(&parser, bytes, given < size ? given : size, &used);
        }
        assert_int_equal(result, KVI_PARSE_ERROR);
        assert_string_equal(parser.error, error);
        kvi_parser_close(&parser);
    }
    free(bytes);
}

static void refuses_endless_lines(void **state)
{
    (void)state;
    refuse_line("GET ", "Protocol error: too big inline request");
    refuse_line("*", "Protocol error: too big mbulk count string");
    refuse_line("*1\r\n$", "Protocol error: too big bulk count string");
}

static void ends_an_inline_line_at_a_zero_byte(void **state)
{
    (void)state;
    kvi_parser_t parser;
    kvi_parser_open(&parser);
    const char bytes[] = "PING\0 hidden\r\n";
    size_t used;
    assert_int_equal(kvi_parser_next(&parser, bytes, sizeof bytes - 1, &used), KVI_PARSE_COMMAND);
    assert_int_equal(used, sizeof bytes - 1);
    assert_int_equal(parser.argc, 1);
    kvi_parser_close(&parser);
}

static void honours_its_limits(void **state)
{
    (void)state;
    kvi_parser_t parser;
    kvi_parser_open(&parser);
    parser.bulk_bytes_max = 10;
    parser.argument_max = 2;
    size_t used;
    const char longer[] = "*1\r\n$11\r\n";
    assert_int_equal(kvi_parser_next(&parser, longer, sizeof longer - 1, &used), KVI_PARSE_ERROR);
    const char more[] = "*3\r\n";
    assert_int_equal(kvi_parser_next(&parser, more, sizeof more - 1, &used), KVI_PARSE_ERROR);
    const char fits[] = "*2\r\n$10\r\n0123456789\r\n$1\r\na\r\n";
    assert_int_equal(kvi_parser_next(&parser, fits, sizeof fits - 1, &used), KVI_PARSE_COMMAND);
    kvi_parser_close(&parser);
}

/* ---- random commands in random pieces ---- */

#define COMMANDS 200
#define STREAM_BYTES ((size_t)1 << 20)

static size_t write_command(char *to, uint64_t *random, size_t *argc)
{
    *argc = 1 + test_random(random) % 20;
    size_t at = (size_t)sprintf(to, "*%zu\r\n", *argc);
    for (size_t i = 0; i < *argc; i++) {
        const size_t size = test_random(random) % (test_random(random) % 8 == 0 ? 2000 : 20);
        at += (size_t)sprintf(to + at, "$%zu\r\n", size);
        for (size_t j = 0; j < size; j++) {
            to[at++] = (char)test_random(random);
        }
        memcpy(to + at, "\r\n", 2);
        at += 2;
    }
    return at;
}

static void reads_random_pieces(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    char *const stream = malloc(STREAM_BYTES);
    assert_non_null(stream);
    size_t argc[COMMANDS];
    size_t end[COMMANDS];
    size_t size = 0;
    for (size_t i = 0; i < COMMANDS; i++) {
        assert_true(size + 45000 < STREAM_BYTES);
        size += write_command(stream + size, &random, &argc[i]);
        end[i] = size;
    }
    kvi_parser_t parser;
    kvi_parser_open(&parser);
    size_t begin = 0;
    size_t arrived = 0;
    for (size_t i = 0; i < COMMANDS;) {
        size_t used;
        const kvi_parse_t result = kvi_parser_next(&parser, stream + begin, arrived - begin, &used);
        if (result == KVI_PARSE_MORE) {
            assert_true(arrived < size);
            assert_true(begin + parser.needed <= end[i]);
            arrived += 1 + test_random(&random) % 100;
            arrived = arrived < size ? arrived : size;
            continue;
        }
        assert_int_equal(result, KVI_PARSE_COMMAND);
        assert_int_equal(parser.argc, argc[i]);
        begin += used;
        assert_int_equal(begin, end[i]);
        i++;
    }
    kvi_parser_close(&parser);
    free(stream);
}

/* A command that is put off comes again from its beginning, wherever the next one stood. */
static void begins_anew_after_a_rewind(void **state)
{
    (void)state;
    static const char first[] = "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
    static const char other[] = "*1\r\n$4\r\nPING\r\nset a b\r\n";
    const size_t size = strlen(first);
    for (size_t arrived = 0; arrived <= size; arrived++) {
        size_t used;
        char text[64];
        kvi_parser_t parser;
        kvi_parser_open(&parser);
        const kvi_parse_t result = kvi_parser_next(&parser, first, arrived, &used);
        assert_int_equal(result, arrived < size ? KVI_PARSE_MORE : KVI_PARSE_COMMAND);
        kvi_parser_rewind(&parser);
        assert_int_equal(kvi_parser_next(&parser, other, strlen(other), &used), KVI_PARSE_COMMAND);
        assert_int_equal(used, 14);
        join(&parser, text, sizeof text);
        assert_string_equal(text, "PING|");
        kvi_parser_rewind(&parser);
        assert_int_equal(kvi_parser_next(&parser, other + 14, strlen(other) - 14, &used),
                         KVI_PARSE_COMMAND);
        join(&parser, text, sizeof text);
        assert_string_equal(text, "set|a|b|");
        kvi_parser_rewind(&parser);
        assert_int_equal(kvi_parser_next(&parser, first, size, &used), KVI_PARSE_COMMAND);
        assert_int_equal(used, size);
        join(&parser, text, sizeof text);
        assert_string_equal(text, "GET|key|");
        kvi_parser_close(&parser);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_whole_requests),
        cmocka_unit_test(reads_byte_by_byte),
        cmocka_unit_test(says_how_much_is_needed),
        cmocka_unit_test(refuses_endless_lines),
        cmocka_unit_test(ends_an_inline_line_at_a_zero_byte),
        cmocka_unit_test(honours_its_limits),
        cmocka_unit_test(reads_random_pieces),
        cmocka_unit_test(begins_anew_after_a_rewind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
