/* SPDX-License-Identifier: MIT */
/*
 * Cases that are run over rows of the table of engines, and over an ordered engine without a table
 * of ranges, whose positions come from its cursor. A case's state is the row.
 */
#ifndef KVI_TESTS_ROWS_H
#define KVI_TESTS_ROWS_H

#include "model.h"

#include <concordkv/kv_engine.h>

#define ROWS_MAX 64

typedef struct rows_case {
    const char *name;
    CMUnitTestFunction function;
} rows_case_t;

#define ROWS_CASE(function) \
    {                       \
#function, function \
    }

/* Opens an engine as a case's row says: through its own ops, or through a copy without ranges. */
static inline kv_engine_t *rows_open(const kv_engine_ops_t *row, kv_budget_t *budget, uint64_t seed)
{
    kv_engine_t *engine = NULL;
    const kv_engine_options_t options = {.budget = budget, .hash_seed = seed};
    assert_int_equal(row->open(&options, &engine), KV_OK);
    engine->ops = row;
    return engine;
}

/* Runs each case over each row and, if by_cursor, over a copy without ranges of each row that has
 * them. */
static inline int rows_run(const rows_case_t *cases, size_t case_count, bool by_cursor)
{
    static kv_engine_ops_t plain[ROWS_MAX];
    static struct CMUnitTest tests[ROWS_MAX];
    static char names[ROWS_MAX][128];
    size_t count = 0;
    for (size_t row = 0; kv_engine_at(row) != NULL; row++) {
        const kv_engine_ops_t *const ops = kv_engine_at(row);
        for (size_t i = 0; i < case_count * (by_cursor && ops->ranges != NULL ? 2 : 1); i++) {
            const bool is_plain = i >= case_count;
            if (count == ROWS_MAX) {
                fprintf(stderr, "more rows and cases than ROWS_MAX\n");
                return 1;
            }
            plain[count] = *ops;
            plain[count].ranges = NULL;
            snprintf(names[count], sizeof names[0], "%s%s: %s", ops->name,
                     is_plain ? " by cursor" : "", cases[i % case_count].name);
            tests[count].name = names[count];
            tests[count].test_func = cases[i % case_count].function;
            tests[count].initial_state = is_plain ? (void *)&plain[count] : (void *)(uintptr_t)ops;
            count++;
        }
    }
    return cmocka_run_group_tests(tests, NULL, NULL); /* which skips the unused rest */
}

#endif
