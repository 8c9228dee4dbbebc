/* SPDX-License-Identifier: MIT */
/*
 * KEYS and SCAN. How many keys match is known only behind them, so the keys are written first and
 * the head of the reply, which comes last, is turned to their front: no list of keys is kept aside.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"

#define KEYS_STEP ((size_t)1024)
#define SCAN_COUNT_DEFAULT 10
#define CURSOR_BYTES_MAX ((size_t)32)

typedef struct key_filter {
    kvi_reply_t *reply;
    kv_slice_t pattern; /* data NULL: every key */
    size_t written;
} key_filter_t;

static void write_matching(void *context, kv_slice_t key, const kvi_entry_t *entry)
{
    (void)entry;
    key_filter_t *const filter = context;
    if (filter->pattern.data == NULL || kvi_glob_matches(filter->pattern, key, false)) {
        kvi_reply_bulk(filter->reply, key);
        filter->written++;
    }
}

static bool is_star(kv_slice_t pattern)
{
    return pattern.size == 1 && pattern.data[0] == '*';
}

void kvi_cmd_keys(kvi_request_t *request)
{
    kvi_reply_t *const reply = request->reply;
    const size_t begin = reply->size;
    key_filter_t filter = {.reply = reply};
    if (!is_star(request->argv[1])) {
        filter.pattern = request->argv[1];
    }
    uint64_t token = 0;
    do {
        token = kvi_keyspace_scan(request->keyspace, token, KEYS_STEP, request->now_ms,
                                  write_matching, &filter);
    } while (token != 0 && !reply->failed);
    const size_t head_at = reply->size;
    kvi_reply_array(reply, filter.written);
    kvi_reply_turn_to_front(reply, begin, head_at);
}

/* ---- SCAN ---- */

typedef struct scan_options {
    size_t count;
    kv_slice_t pattern; /* data NULL: every key */
    bool other_type;    /* only keys of a type that nothing has */
} scan_options_t;

/* As strtoul has it, with a sign if need be, for that is what Redis reads. */
static bool parse_cursor(kvi_request_t *request, uint64_t *cursor)
{
    const kv_slice_t text = request->argv[1];
    char copy[CURSOR_BYTES_MAX];
    bool read = false;
    if (text.size < sizeof(copy)) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        char *end;
        errno = 0;
        *cursor = strtoul(copy, &end, 10);
        const bool blank = copy[0] == ' ' || (copy[0] >= '\t' && copy[0] <= '\r');
        read = !blank && *end == '\0' && errno != ERANGE;
    }
    if (!read) {
        kvi_reply_error(request->reply, kvi_error_cursor);
    }
    return read;
}

static bool parse_scan_options(kvi_request_t *request, scan_options_t *options)
{
    for (size_t i = 2; i < request->argc; i += 2) {
        const kv_slice_t word = request->argv[i];
        const bool more = i + 1 < request->argc;
        if (more && kvi_argument_is(word, "count")) {
            int64_t count;
            if (!kvi_argument_integer(request, i + 1, &count)) {
                return false;
            }
            if (count < 1) {
                kvi_reply_syntax_error(request->reply);
                return false;
            }
            options->count = (size_t)count;
        } else if (more && kvi_argument_is(word, "match")) {
            const kv_slice_t pattern = request->argv[i + 1];
            options->pattern = is_star(pattern) ? (kv_slice_t){NULL, 0} : pattern;
        } else if (more && kvi_argument_is(word, "type")) {
            options->other_type = !kvi_argument_is(request->argv[i + 1], "string");
        } else {
            kvi_reply_syntax_error(request->reply);
            return false;
        }
    }
    return true;
}

void kvi_cmd_scan(kvi_request_t *request)
{
    uint64_t cursor;
    scan_options_t options = {.count = SCAN_COUNT_DEFAULT};
    if (!parse_cursor(request, &cursor) || !parse_scan_options(request, &options)) {
        return;
    }
    kvi_reply_t *const reply = request->reply;
    const size_t begin = reply->size;
    key_filter_t filter = {.reply = reply, .pattern = options.pattern};
    /* No walk ever gave a cursor from 2^63 on: such a one is behind the end. */
    uint64_t next = 0;
    if (cursor <= INT64_MAX) {
        next = kvi_keyspace_scan(request->keyspace, cursor, options.count, request->now_ms,
                                 write_matching, &filter);
    }
    if (options.other_type) {
        kvi_reply_truncate(reply, begin);
        filter.written = 0;
    }
    const size_t head_at = reply->size;
    char text[KVI_DECIMAL_BYTES_MAX];
    const char *const end = kvi_decimal_write(text, next);
    kvi_reply_array(reply, 2);
    kvi_reply_bulk(reply, (kv_slice_t){text, (size_t)(end - text)});
    kvi_reply_array(reply, filter.written);
    kvi_reply_turn_to_front(reply, begin, head_at);
}
