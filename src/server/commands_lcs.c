/* SPDX-License-Identifier: MIT */
/*
 * LCS: the longest common subsequence of two strings, by the textbook table
 *   length(i, j) = length(i - 1, j - 1) + 1                       if a[i - 1] == b[j - 1]
 *                = max(length(i - 1, j), length(i, j - 1))        else
 * which is then walked from its last corner to its first. A run of equal bytes on that way is a
 * match.
 */
#include <string.h>

#include <concordkv/kv_memory.h>

#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/lookup.h"

typedef struct lcs_options {
    bool length_only;
    bool matches;
    bool match_lengths;
    int64_t match_length_min;
} lcs_options_t;

typedef struct lcs_table {
    kv_slice_t a;
    kv_slice_t b;
    uint32_t *lengths; /* (a.size + 1) rows of b.size + 1 */
} lcs_table_t;

/* Where a match begins and ends (inclusive) in both strings. */
typedef struct lcs_match {
    size_t a_first, a_last;
    size_t b_first, b_last;
} lcs_match_t;

static uint32_t length_at(const lcs_table_t *table, size_t i, size_t j)
{
    return table->lengths[i * (table->b.size + 1) + j];
}

static void fill_row(lcs_table_t *table, size_t i)
{
    const size_t width = table->b.size + 1;
    uint32_t *const row = table->lengths + i * width;
    const uint32_t *const above = row - width;
    row[0] = 0;
    for (size_t j = 1; j < width; j++) {
        if (table->a.data[i - 1] == table->b.data[j - 1]) {
            row[j] = above[j - 1] + 1;
        } else {
            row[j] = above[j] > row[j - 1] ? above[j] : row[j - 1];
        }
    }
}

/* The match that ends nearest before places *i and *j, which move to its beginning; false: none. */
static bool previous_match(const lcs_table_t *table, size_t *i, size_t *j, lcs_match_t *match)
{
    const char *const a = table->a.data;
    const char *const b = table->b.data;
    while (*i > 0 && *j > 0 && a[*i - 1] != b[*j - 1]) {
        if (length_at(table, *i - 1, *j) > length_at(table, *i, *j - 1)) {
            --*i;
        } else {
            --*j;
        }
    }
    if (*i == 0 || *j == 0) {
        return false;
    }
    match->a_last = *i - 1;
    match->b_last = *j - 1;
    while (*i > 0 && *j > 0 && a[*i - 1] == b[*j - 1]) {
        --*i;
        --*j;
    }
    match->a_first = *i;
    match->b_first = *j;
    return true;
}

static bool is_long_enough(const lcs_options_t *options, const lcs_match_t *match)
{
    return (int64_t)(match->a_last - match->a_first + 1) >= options->match_length_min;
}

static void reply_match(kvi_reply_t *reply, const lcs_options_t *options, const lcs_match_t *match)
{
    kvi_reply_array(reply, options->match_lengths ? 3 : 2);
    kvi_reply_array(reply, 2);
    kvi_reply_integer(reply, (int64_t)match->a_first);
    kvi_reply_integer(reply, (int64_t)match->a_last);
    kvi_reply_array(reply, 2);
    kvi_reply_integer(reply, (int64_t)match->b_first);
    kvi_reply_integer(reply, (int64_t)match->b_last);
    if (options->match_lengths) {
        kvi_reply_integer(reply, (int64_t)(match->a_last - match->a_first + 1));
    }
}

/* The last match first, as the way goes. */
static void reply_matches(kvi_reply_t *reply, const lcs_options_t *options,
                          const lcs_table_t *table)
{
    lcs_match_t match;
    size_t count = 0;
    for (size_t i = table->a.size, j = table->b.size; previous_match(table, &i, &j, &match);) {
        count += is_long_enough(options, &match);
    }
    kvi_reply_map(reply, 2);
    kvi_reply_bulk_string(reply, "matches");
    kvi_reply_array(reply, count);
    for (size_t i = table->a.size, j = table->b.size; previous_match(table, &i, &j, &match);) {
        if (is_long_enough(options, &match)) {
            reply_match(reply, options, &match);
        }
    }
    kvi_reply_bulk_string(reply, "len");
    kvi_reply_integer(reply, length_at(table, table->a.size, table->b.size));
}

static void reply_sequence(kvi_reply_t *reply, const lcs_table_t *table)
{
    const size_t size = length_at(table, table->a.size, table->b.size);
    char *const sequence = kv_store_malloc(size);
    if (sequence == NULL) {
        kvi_reply_error(reply, kvi_error_lcs_memory);
        return;
    }
    lcs_match_t match;
    size_t begin = size;
    for (size_t i = table->a.size, j = table->b.size; previous_match(table, &i, &j, &match);) {
        const size_t bytes = match.a_last - match.a_first + 1;
        begin -= bytes;
        memcpy(sequence + begin, table->a.data + match.a_first, bytes);
    }
    kvi_reply_bulk(reply, (kv_slice_t){sequence, size});
    kv_store_free(sequence);
}

static bool parse_lcs_options(kvi_request_t *request, lcs_options_t *options)
{
    for (size_t i = 3; i < request->argc; i++) {
        const kv_slice_t word = request->argv[i];
        if (kvi_argument_is(word, "idx")) {
            options->matches = true;
        } else if (kvi_argument_is(word, "len")) {
            options->length_only = true;
        } else if (kvi_argument_is(word, "withmatchlen")) {
            options->match_lengths = true;
        } else if (kvi_argument_is(word, "minmatchlen") && i + 1 < request->argc) {
            if (!kvi_argument_integer(request, ++i, &options->match_length_min)) {
                return false;
            }
        } else {
            kvi_reply_syntax_error(request->reply);
            return false;
        }
    }
    if (options->length_only && options->matches) {
        kvi_reply_error(request->reply, kvi_error_lcs_both);
        return false;
    }
    return true;
}

/* Both values, empty for a missing key. */
static void find_strings(kvi_request_t *request, lcs_table_t *table)
{
    kvi_entry_t entry;
    const bool first = kvi_lookup(request, 1, &entry);
    if (kvi_lookup(request, 2, &entry)) {
        table->b = entry.value;
    }
    /* The second look-up may have removed a late key, which ends the loan of what the first one
     * found. */
    if (first && kvi_keyspace_get(request->keyspace, request->argv[1], request->now_ms, false,
                                  &entry) == KV_OK) {
        table->a = entry.value;
    }
}

void kvi_cmd_lcs(kvi_request_t *request)
{
    lcs_options_t options = {.match_length_min = 0};
    lcs_table_t table = {.lengths = NULL};
    if (!parse_lcs_options(request, &options)) {
        return;
    }
    find_strings(request, &table);
    /* Strings are at most 512 MB each, so the product fits. */
    const size_t bytes = (table.a.size + 1) * (table.b.size + 1) * sizeof(*table.lengths);
    if (bytes > KVI_DB_VALUE_BYTES_MAX) {
        kvi_reply_error(request->reply, kvi_error_lcs_limit);
        return;
    }
    table.lengths = kv_store_malloc(bytes);
    if (table.lengths == NULL) {
        kvi_reply_error(request->reply, kvi_error_lcs_memory);
        return;
    }
    memset(table.lengths, 0, (table.b.size + 1) * sizeof(*table.lengths));
    for (size_t i = 1; i <= table.a.size; i++) {
        fill_row(&table, i);
    }
    if (options.matches) {
        reply_matches(request->reply, &options, &table);
    } else if (options.length_only) {
        kvi_reply_integer(request->reply, length_at(&table, table.a.size, table.b.size));
    } else {
        reply_sequence(request->reply, &table);
    }
    kv_store_free(table.lengths);
}
