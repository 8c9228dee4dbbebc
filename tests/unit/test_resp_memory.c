/* SPDX-License-Identifier: MIT */
/*
 * Parser, reply writer and texts when memory runs out: this program brings its own kv_store_malloc,
 * whose n-th call fails, for every n until all goes well.
 */
#include "test.h"

#include <stdbool.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "resp/parser.h"
#include "resp/reply.h"
#include "resp/text.h"

static size_t calls_until_failure;
static long live_objects;

static bool fails(void)
{
    return calls_until_failure > 0 && --calls_until_failure == 0;
}

void *kv_store_malloc(size_t size)
{
    return kv_store_realloc(NULL, size);
}

void *kv_store_calloc(size_t nmemb, size_t size)
{
    void *const result = kv_store_malloc(nmemb * size);
    if (result != NULL) {
        memset(result, 0, nmemb * size);
    }
    return result;
}

void *kv_store_realloc(void *pointer, size_t size)
{
    if (fails()) {
        return NULL;
    }
    live_objects += pointer == NULL ? 1 : 0;
    return realloc(pointer, size);
}

void kv_store_free(void *pointer)
{
    live_objects -= pointer != NULL ? 1 : 0;
    free(pointer);
}

/* Runs the step with the n-th allocation failing until it reports that none failed. */
static void fail_each(bool (*step)(void))
{
    for (size_t n = 1;; n++) {
        assert_true(n < 1000);
        calls_until_failure = n;
        const bool good = step();
        const bool failed = calls_until_failure == 0;
        calls_until_failure = 0;
        assert_int_equal(live_objects, 0);
        assert_int_equal(good, !failed);
        if (good) {
            return;
        }
    }
}

static bool parse_all(const char *bytes, size_t size)
{
    kvi_parser_t parser;
    kvi_parser_open(&parser);
    size_t used;
    const kvi_parse_t result = kvi_parser_next(&parser, bytes, size, &used);
    if (result == KVI_PARSE_ERROR) {
        assert_string_equal(parser.error, "Protocol error: out of memory");
    }
    kvi_parser_close(&parser);
    return result == KVI_PARSE_COMMAND;
}

static bool parse_array(void)
{
    char bytes[1024];
    size_t size = (size_t)sprintf(bytes, "*100\r\n");
    for (int i = 0; i < 100; i++) {
        size += (size_t)sprintf(bytes + size, "$1\r\nx\r\n");
    }
    return parse_all(bytes, size);
}

static bool parse_inline(void)
{
    const char line[] = "a b c d e f g h i j k l m n o p q r s t u v w x y z\r\n";
    return parse_all(line, sizeof line - 1);
}

static bool write_replies(void)
{
    kvi_reply_t reply;
    kvi_reply_open(&reply);
    kvi_reply_error(&reply, "ERR %0500d", 1);
    for (int i = 0; i < 500 && !reply.failed; i++) {
        kvi_reply_bulk_string(&reply, "a value");
        kvi_reply_integer(&reply, i);
        kvi_reply_map(&reply, 1);
    }
    const size_t size = reply.size;
    const bool good = !reply.failed;
    kvi_reply_ok(&reply);
    assert_true(good || reply.size == size);
    kvi_reply_close(&reply);
    return good;
}

static bool print_text(void)
{
    kvi_text_t text = {0};
    for (int i = 0; i < 500; i++) {
        kvi_text_print(&text, "line %d\n", i);
    }
    const bool good = !text.failed;
    kvi_text_close(&text);
    return good;
}

static void out_of_memory_is_an_answer(void **state)
{
    (void)state;
    fail_each(parse_array);
    fail_each(parse_inline);
    fail_each(write_replies);
    fail_each(print_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(out_of_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
