/* SPDX-License-Identifier: MIT */
/*
 * Many entries (10 million unless told otherwise) once through every engine: fill with every put
 * timed, check, read, walk, delete. Too long for the suites: `make test-large` runs it. Prints TAP.
 *
 *   large [entries [engine]]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <concordkv/kv_engine.h>

#define KEY_BYTES 16u
#define VALUE_BYTES 32u
#define SLOTS 65536u                     /* of a nanosecond; what is longer counts into the last */
#define ARRAY_COUNT_MAX 20000u           /* an engine that looks at every entry */
#define LEFT_BYTES_MAX ((size_t)8 << 20) /* an empty engine may keep */

typedef struct run {
    const kv_engine_ops_t *ops;
    kv_engine_t *engine;
    kv_budget_t *budget;
    uint64_t count;
    uint32_t *slots;
    uint64_t longest;
    size_t full_bytes;
    const char *failure; /* NULL: all is well */
} run_t;

static void fail(run_t *run, const char *what)
{
    run->failure = run->failure != NULL ? run->failure : what;
}

/* Time of this thread on a processor: what others do meanwhile does not count. */
static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* A permutation of 64 bits (Steele, Lea and Flood, 2014), so that no two numbers share a key. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static kv_slice_t make_key(uint64_t number, char *buffer)
{
    const uint64_t words[] = {mix(number + 1), number};
    memcpy(buffer, words, sizeof words);
    return (kv_slice_t){buffer, KEY_BYTES};
}

static kv_slice_t make_value(uint64_t number, char *buffer)
{
    const uint64_t words[] = {number, mix(number + 2), mix(number + 3), ~number};
    memcpy(buffer, words, sizeof words);
    return (kv_slice_t){buffer, VALUE_BYTES};
}

/* ---- the phases ---- */

static void fill(run_t *run)
{
    char key[KEY_BYTES];
    char value[VALUE_BYTES];
    uint64_t before = now_ns();
    for (uint64_t i = 0; i < run->count; i++) {
        if (run->ops->put(run->engine, make_key(i, key), make_value(i, value)) != KV_OK) {
            fail(run, "a put fails");
            return;
        }
        const uint64_t after = now_ns();
        const uint64_t took = after - before;
        run->longest = took > run->longest ? took : run->longest;
        run->slots[took < SLOTS ? took : SLOTS - 1]++;
        before = after;
    }
    run->full_bytes = kv_budget_used(run->budget);
}

static void read_all(run_t *run)
{
    char key[KEY_BYTES];
    char value[VALUE_BYTES];
    for (uint64_t i = 0; i < run->count; i++) {
        kv_slice_t found = {NULL, 0};
        if (run->ops->get(run->engine, make_key(i, key), &found) != KV_OK ||
            found.size != VALUE_BYTES ||
            memcmp(found.data, make_value(i, value).data, VALUE_BYTES) != 0) {
            fail(run, "a value is not what was put");
            return;
        }
    }
    if (run->ops->get(run->engine, make_key(run->count, key), &(kv_slice_t){NULL, 0}) !=
        KV_NOT_FOUND) {
        fail(run, "a key is there that was never put");
    }
}

/* Every entry once, and in order where the engine has one. */
static void walk(run_t *run)
{
    kv_cursor_t *cursor = NULL;
    char last[KEY_BYTES] = {0};
    uint64_t visited = 0;
    if (run->ops->cursor_open(run->engine, &cursor) != KV_OK) {
        fail(run, "no cursor");
        return;
    }
    for (kv_status_t status = run->ops->cursor_first(cursor); status == KV_OK;
         status = run->ops->cursor_next(cursor)) {
        const kv_slice_t key = run->ops->cursor_key(cursor);
        if (key.size != KEY_BYTES ||
            (run->ops->ordered && visited > 0 && memcmp(last, key.data, KEY_BYTES) >= 0)) {
            fail(run, "a walk is out of order");
            break;
        }
        memcpy(last, key.data, KEY_BYTES);
        visited++;
    }
    run->ops->cursor_close(cursor);
    if (visited != run->count) {
        fail(run, "a walk does not meet all entries");
    }
}

static void check(run_t *run)
{
    if (run->ops->check(run->engine) != KV_OK) {
        fail(run, "an invariant does not hold");
    }
    if (run->ops->count(run->engine) != run->count) {
        fail(run, "the count is wrong");
    }
}

static void delete_all(run_t *run)
{
    char key[KEY_BYTES];
    for (uint64_t i = 0; i < run->count; i++) {
        if (run->ops->del(run->engine, make_key(i, key)) != KV_OK) {
            fail(run, "a key cannot be deleted");
            return;
        }
    }
    while (run->ops->relocate(run->engine, 1000) == 1000) {
    }
    if (run->ops->check(run->engine) != KV_OK || run->ops->count(run->engine) != 0) {
        fail(run, "an emptied engine is not empty");
    }
    if (kv_budget_used(run->budget) > LEFT_BYTES_MAX) {
        fail(run, "an emptied engine keeps memory");
    }
}

static double median_of(const run_t *run)
{
    uint64_t below = 0;
    size_t slot = 0;
    while (slot + 1 < SLOTS && below + run->slots[slot] <= run->count / 2) {
        below += run->slots[slot++];
    }
    return (double)slot;
}

/* ---- all of them ---- */

static void run_phases(run_t *run)
{
    static const struct {
        const char *name;
        void (*run)(run_t *run);
    } phases[] = {{"fill", fill},
                  {"check", check},
                  {"read", read_all},
                  {"walk", walk},
                  {"delete", delete_all}};
    printf("# %-9s %llu entries:", run->ops->name, (unsigned long long)run->count);
    for (size_t i = 0; i < sizeof phases / sizeof phases[0] && run->failure == NULL; i++) {
        const uint64_t begin = now_ns();
        phases[i].run(run);
        printf(" %s %.0f", phases[i].name, (double)(now_ns() - begin) / (double)run->count);
        (void)fflush(stdout);
    }
    printf(" ns, %.2f B an entry\n# %-9s put: median %.0f ns, longest %.3f ms = %.0f medians\n",
           (double)run->full_bytes / (double)run->count, run->ops->name, median_of(run),
           (double)run->longest / 1e6, (double)run->longest / (median_of(run) + 1));
}

static bool run_engine(const kv_engine_ops_t *ops, uint64_t count)
{
    run_t run = {.ops = ops, .count = count};
    if (strcmp(ops->name, "array") == 0 && count > ARRAY_COUNT_MAX) {
        run.count = ARRAY_COUNT_MAX;
    }
    run.budget = kv_budget_create(NULL, 0);
    run.slots = calloc(SLOTS, sizeof *run.slots);
    const kv_engine_options_t options = {.budget = run.budget, .hash_seed = 1};
    if (run.budget == NULL || run.slots == NULL || ops->open(&options, &run.engine) != KV_OK) {
        fail(&run, "out of memory");
    } else {
        run_phases(&run);
        ops->close(run.engine);
        if (kv_budget_used(run.budget) != 0) {
            fail(&run, "close keeps memory");
        }
    }
    kv_budget_destroy(run.budget);
    free(run.slots);
    if (run.failure != NULL) {
        printf("# %s: %s\n", ops->name, run.failure);
    }
    return run.failure == NULL;
}

int main(int argc, char **argv)
{
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    int number = 0;
    int failed = 0;
    if (count == 0 || argc > 3 || (argc == 3 && kv_engine_find(argv[2]) == NULL)) {
        fprintf(stderr, "usage: %s [entries [engine]]\n", argv[0]);
        return 1;
    }
    for (size_t row = 0; kv_engine_at(row) != NULL; row++) {
        const kv_engine_ops_t *const ops = kv_engine_at(row);
        if (argc == 3 && strcmp(argv[2], ops->name) != 0) {
            continue;
        }
        const bool passed = run_engine(ops, count);
        printf("%s %d - %s\n", passed ? "ok" : "not ok", ++number, ops->name);
        (void)fflush(stdout);
        failed += !passed;
    }
    printf("1..%d\n", number);
    return failed > 0;
}
