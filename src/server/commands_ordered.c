/* SPDX-License-Identifier: MIT */
/*
 * Commands on ranges of keys, for keyspaces whose engine keeps keys in order. Ends are written as
 * those of Redis's ZRANGE BYLEX: [key with it, (key without it, - and + for no end.
 *
 * Late keys are left out of what RANGE and PREFIX answer. What counts keys instead of showing them
 * has some late ones removed first, so that it counts them only if very many are late at once.
 */
#include "db/record.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/server.h"
#include "server/submit.h"

/* Late keys that a counting command removes at most: some milliseconds. */
#define EXPIRE_AT_MOST UINT64_C(10000)

typedef enum shown { SHOW_KEYS, SHOW_VALUES, SHOW_BOTH } shown_t;

typedef struct range_query {
    kv_range_options_t options;
    shown_t shown;
    uint64_t limit;
} range_query_t;

/* ---- arguments ---- */

static bool parse_end(kvi_request_t *request, size_t number, kv_bound_t *bound, char unbounded)
{
    const kv_slice_t text = request->argv[number];
    *bound = (kv_bound_t){.kind = KV_BOUND_NONE};
    if (text.size == 1 && text.data[0] == unbounded) {
        return true;
    }
    if (text.size > 0 && (text.data[0] == '[' || text.data[0] == '(')) {
        bound->kind = text.data[0] == '[' ? KV_BOUND_INCLUDED : KV_BOUND_EXCLUDED;
        bound->key = (kv_slice_t){text.data + 1, text.size - 1};
        return true;
    }
    kvi_reply_error(request->reply, "ERR min or max not valid string range item");
    return false;
}

/* Whether the range is empty because its lower end is + or its upper end is -. */
static bool is_turned(const kvi_request_t *request, size_t lower, size_t upper)
{
    const kv_slice_t low = request->argv[lower];
    const kv_slice_t high = request->argv[upper];
    return (low.size == 1 && low.data[0] == '+') || (high.size == 1 && high.data[0] == '-');
}

/* The ends in arguments lower and upper; false after an error was answered. *empty: no key can lie
 * between them. */
static bool parse_range(kvi_request_t *request, size_t lower, size_t upper, kv_range_t *range,
                        bool *empty)
{
    *empty = is_turned(request, lower, upper);
    const kv_slice_t low = request->argv[lower];
    const kv_slice_t high = request->argv[upper];
    const char low_mark = low.size == 1 && low.data[0] == '+' ? '+' : '-';
    const char high_mark = high.size == 1 && high.data[0] == '-' ? '-' : '+';
    return parse_end(request, lower, &range->lower, low_mark) &&
           parse_end(request, upper, &range->upper, high_mark);
}

static bool parse_options(kvi_request_t *request, size_t first, range_query_t *query)
{
    for (size_t i = first; i < request->argc; i++) {
        const kv_slice_t word = request->argv[i];
        if (kvi_argument_is(word, "rev")) {
            query->options.reverse = true;
        } else if (kvi_argument_is(word, "keys")) {
            query->shown = SHOW_KEYS;
        } else if (kvi_argument_is(word, "values")) {
            query->shown = SHOW_VALUES;
        } else if (kvi_argument_is(word, "withvalues")) {
            query->shown = SHOW_BOTH;
        } else if (kvi_argument_is(word, "limit") && i + 1 < request->argc) {
            int64_t limit;
            if (!kvi_argument_between(request, ++i, 0, INT64_MAX, NULL, &limit)) {
                return false;
            }
            query->limit = (uint64_t)limit;
        } else {
            kvi_reply_syntax_error(request->reply);
            return false;
        }
    }
    return true;
}

static bool has_order(kvi_request_t *request)
{
    if (kvi_keyspace_engine(request->keyspace)->ordered) {
        return true;
    }
    kvi_reply_needs_order(request);
    return false;
}

/* ---- RANGE and PREFIX ---- */

static void reply_entry(kvi_reply_t *reply, shown_t shown, kv_slice_t key, kv_slice_t record)
{
    if (shown == SHOW_BOTH && reply->protocol > 2) {
        kvi_reply_array(reply, 2);
    }
    if (shown != SHOW_VALUES) {
        kvi_reply_bulk(reply, key);
    }
    if (shown != SHOW_KEYS) {
        kvi_reply_bulk(reply, kvi_record_value(record));
    }
}

/* Writes the entries and returns how many; the head of the reply is turned to their front. */
static kv_status_t walk(kvi_request_t *request, kv_engine_t *engine, const range_query_t *query,
                        uint64_t *count)
{
    kv_range_cursor_t *cursor;
    kv_status_t status = kv_range_cursor_open(engine, &query->options, &cursor);
    if (status != KV_OK) {
        return status;
    }
    *count = 0;
    while (status == KV_OK && *count < query->limit && kv_range_cursor_valid(cursor) &&
           !request->reply->failed) {
        const kv_slice_t record = kv_range_cursor_value(cursor);
        if (!kvi_record_is_late(record.data, request->now_ms)) {
            reply_entry(request->reply, query->shown, kv_range_cursor_key(cursor), record);
            (*count)++;
        }
        status = kv_range_cursor_next(cursor);
    }
    kv_range_cursor_close(cursor);
    return status;
}

static void answer_query(kvi_request_t *request, const range_query_t *query, bool empty)
{
    kvi_reply_t *const reply = request->reply;
    const size_t begin = reply->size;
    uint64_t count = 0;
    kv_engine_t *const engine = empty ? NULL : kvi_keyspace_records(request->keyspace);
    if (engine != NULL) {
        const kv_status_t status = walk(request, engine, query, &count);
        if (status != KV_OK) {
            kvi_reply_truncate(reply, begin);
            kvi_request_fail(request, status);
            return;
        }
    }
    const size_t head_at = reply->size;
    const bool flat = query->shown == SHOW_BOTH && reply->protocol == 2;
    kvi_reply_array(reply, (size_t)(flat ? 2 * count : count));
    kvi_reply_turn_to_front(reply, begin, head_at);
}

void kvi_cmd_range(kvi_request_t *request)
{
    range_query_t query = {.shown = SHOW_KEYS, .limit = UINT64_MAX};
    bool empty;
    if (!parse_options(request, 3, &query)) {
        return;
    }
    /* As ZRANGE: with REV the higher end comes first. */
    const size_t lower = query.options.reverse ? 2 : 1;
    if (parse_range(request, lower, 3 - lower, &query.options.range, &empty) &&
        has_order(request)) {
        answer_query(request, &query, empty);
    }
}

void kvi_cmd_prefix(kvi_request_t *request)
{
    range_query_t query = {.shown = SHOW_KEYS, .limit = UINT64_MAX};
    query.options.prefix = request->argv[1];
    if (parse_options(request, 2, &query) && has_order(request)) {
        answer_query(request, &query, false);
    }
}

/* ---- counting ---- */

static void remove_late(kvi_request_t *request)
{
    const int64_t next = kvi_keyspace_next_deadline(request->keyspace);
    if (next != KVI_NO_DEADLINE && next < request->now_ms) {
        kvi_op_t expire = kvi_request_op(request, KVI_OP_EXPIRE);
        expire.key = (kv_slice_t){NULL, 0};
        expire.deadline_ms = 0;
        expire.count = EXPIRE_AT_MOST;
        (void)kvi_request_do(request, &expire);
    }
}

void kvi_cmd_rangecount(kvi_request_t *request)
{
    kv_range_t range;
    bool empty;
    if (!parse_range(request, 1, 2, &range, &empty) || !has_order(request)) {
        return;
    }
    remove_late(request);
    uint64_t count = 0;
    kv_status_t status = KV_OK;
    kv_engine_t *const engine = empty ? NULL : kvi_keyspace_records(request->keyspace);
    if (engine != NULL) {
        status = kv_engine_count_range(engine, &range, &count);
    }
    if (status == KV_OK) {
        kvi_reply_integer(request->reply, (int64_t)count);
    } else {
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_rangedel(kvi_request_t *request)
{
    kv_range_t range;
    bool empty;
    if (!parse_range(request, 1, 2, &range, &empty) || !has_order(request)) {
        return;
    }
    if (empty) {
        kvi_reply_integer(request->reply, 0);
        return;
    }
    remove_late(request);
    const kvi_op_t delete = {.kind = KVI_OP_DELETE_RANGE,
                             .keyspace = (uint32_t)request->client->database,
                             .range = &range};
    kvi_op_result_t result;
    if (kvi_request_submit(request, &delete, &result) == KV_OK) {
        kvi_reply_integer(request->reply, (int64_t)result.count);
    } else {
        kvi_request_fail(request, result.status);
    }
}

/* ---- ranks ---- */

void kvi_cmd_rank(kvi_request_t *request)
{
    if (!has_order(request)) {
        return;
    }
    remove_late(request);
    kvi_entry_t entry;
    uint64_t rank = 0;
    kv_status_t status =
        kvi_keyspace_get(request->keyspace, request->argv[1], request->now_ms, false, &entry);
    if (status == KV_OK) {
        status = kv_engine_rank(kvi_keyspace_records(request->keyspace), request->argv[1], &rank);
    }
    if (status == KV_OK) {
        kvi_reply_integer(request->reply, (int64_t)rank);
    } else if (status == KV_NOT_FOUND) {
        kvi_reply_null(request->reply);
    } else {
        kvi_request_fail(request, status);
    }
}

/* The key with this rank, into the reply. KV_NOT_FOUND. */
static kv_status_t reply_key_at(kvi_request_t *request, kv_engine_t *engine, uint64_t rank)
{
    kv_cursor_t *cursor;
    kv_status_t status = engine->ops->cursor_open(engine, &cursor);
    if (status != KV_OK) {
        return status;
    }
    status = kv_engine_seek_rank(engine, cursor, rank);
    if (status == KV_OK) {
        kvi_reply_bulk(request->reply, cursor->ops->cursor_key(cursor));
    }
    cursor->ops->cursor_close(cursor);
    return status;
}

void kvi_cmd_keyat(kvi_request_t *request)
{
    int64_t number;
    if (!kvi_argument_integer(request, 1, &number) || !has_order(request)) {
        return;
    }
    remove_late(request);
    const int64_t count = (int64_t)kvi_keyspace_count(request->keyspace);
    const int64_t rank = number < 0 ? number + count : number;
    kv_status_t status = KV_NOT_FOUND;
    if (rank >= 0 && rank < count) {
        status = reply_key_at(request, kvi_keyspace_records(request->keyspace), (uint64_t)rank);
    }
    if (status == KV_NOT_FOUND) {
        kvi_reply_null(request->reply);
    } else if (status != KV_OK) {
        kvi_request_fail(request, status);
    }
}
