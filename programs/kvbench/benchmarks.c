/* SPDX-License-Identifier: MIT */
/* The benchmarks of kvbench, each a loop over the store's calls. */
#include <stdlib.h>
#include <string.h>

#include "kvbench/work.h"
#include "os/os.h"

#define LATENCY_SLOTS 65536u /* of a nanosecond; what is longer counts into the last */
#define SCAN_PART 20u        /* one scan of 100 for so many entries */

/* ---- groups ---- */

typedef struct group {
    char buffers[WORK_GROUP][WORK_KEY_BYTES_MAX + 8];
    kv_slice_t keys[WORK_GROUP];
    size_t numbers[WORK_GROUP];
    size_t count;
} group_t;

static void fill_group(const work_t *work, group_t *group, size_t from)
{
    const size_t left = work->options->count - from;
    group->count = left < WORK_GROUP ? left : WORK_GROUP;
    for (size_t i = 0; i < group->count; i++) {
        group->numbers[i] = work->order[from + i];
        group->keys[i] = work_key(work, group->numbers[i], group->buffers[i]);
    }
}

static void get_one(work_t *work, kv_slice_t key)
{
    kv_slice_t value = {NULL, 0};
    if (work->ops->get(work->store, key, &value)) {
        work->sum += store_touch(value);
    } else {
        work->failed = true;
    }
}

static void get_group(work_t *work, const group_t *group)
{
    kv_slice_t values[WORK_GROUP];
    if (work->ops->get_many == NULL) {
        for (size_t i = 0; i < group->count; i++) {
            get_one(work, group->keys[i]);
        }
        return;
    }
    work->ops->get_many(work->store, group->count, group->keys, values);
    for (size_t i = 0; i < group->count; i++) {
        work->failed |= values[i].data == NULL;
        work->sum += values[i].data != NULL ? store_touch(values[i]) : 0;
    }
}

static void prefetch_group(work_t *work, const group_t *group)
{
    if (work->ops->prefetch != NULL) {
        work->ops->prefetch(work->store, group->count, group->keys);
    }
}

/* ---- the benchmarks ---- */

static void put_one(work_t *work, size_t number, kv_slice_t key, uint64_t version)
{
    work->failed |= !work->ops->put(work->store, key, work_value(work, number, version));
}

static size_t put_all(work_t *work, uint64_t version)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    for (size_t i = 0; i < work->options->count; i++) {
        const size_t number = work->order[i];
        put_one(work, number, work_key(work, number, buffer), version);
    }
    return work->options->count;
}

static size_t run_fill(work_t *work, work_result_t *result)
{
    (void)result;
    return put_all(work, 0);
}

static size_t put_all_in_groups(work_t *work, uint64_t version)
{
    group_t group;
    for (size_t i = 0; i < work->options->count; i += WORK_GROUP) {
        fill_group(work, &group, i);
        prefetch_group(work, &group);
        for (size_t j = 0; j < group.count; j++) {
            put_one(work, group.numbers[j], group.keys[j], version);
        }
    }
    return work->options->count;
}

static size_t run_fill_group(work_t *work, work_result_t *result)
{
    (void)result;
    return put_all_in_groups(work, 0);
}

static size_t run_overwrite(work_t *work, work_result_t *result)
{
    (void)result;
    return put_all(work, 1);
}

static size_t run_overwrite_group(work_t *work, work_result_t *result)
{
    (void)result;
    return put_all_in_groups(work, 2);
}

static size_t run_read(work_t *work, work_result_t *result)
{
    (void)result;
    char buffer[WORK_KEY_BYTES_MAX + 8];
    for (size_t i = 0; i < work->options->count; i++) {
        const size_t number = work->order[i];
        get_one(work, work_key(work, number, buffer));
    }
    return work->options->count;
}

static size_t run_read_missing(work_t *work, work_result_t *result)
{
    (void)result;
    char buffer[WORK_KEY_BYTES_MAX + 8];
    size_t found = 0;
    for (size_t i = 0; i < work->options->count; i++) {
        const size_t number = work->order[i];
        kv_slice_t value = {NULL, 0};
        const kv_slice_t key = work_key(work, number + work->options->count, buffer);
        found += work->ops->get(work->store, key, &value);
    }
    work->failed |= found > 0;
    return work->options->count;
}

static size_t run_read_group(work_t *work, work_result_t *result)
{
    (void)result;
    group_t group;
    for (size_t i = 0; i < work->options->count; i += WORK_GROUP) {
        fill_group(work, &group, i);
        get_group(work, &group);
    }
    return work->options->count;
}

static size_t run_delete(work_t *work, work_result_t *result)
{
    (void)result;
    char buffer[WORK_KEY_BYTES_MAX + 8];
    for (size_t i = 0; i < work->options->count; i++) {
        const size_t number = work->order[i];
        work->failed |= !work->ops->del(work->store, work_key(work, number, buffer));
    }
    return work->options->count;
}

static size_t run_delete_group(work_t *work, work_result_t *result)
{
    (void)result;
    group_t group;
    for (size_t i = 0; i < work->options->count; i += WORK_GROUP) {
        fill_group(work, &group, i);
        prefetch_group(work, &group);
        for (size_t j = 0; j < group.count; j++) {
            work->failed |= !work->ops->del(work->store, group.keys[j]);
        }
    }
    return work->options->count;
}

static size_t run_iterate(work_t *work, work_result_t *result)
{
    (void)result;
    work->sum += work->ops->iterate(work->store);
    return work->options->count;
}

static size_t run_scan(work_t *work, work_result_t *result)
{
    (void)result;
    work->sum += (work->ops->scan != NULL ? work->ops->scan : work->ops->iterate)(work->store);
    return work->options->count;
}

/* ---- single puts, each timed ---- */

static double median_of(const uint32_t *slots, size_t count)
{
    size_t below = 0;
    size_t slot = 0;
    while (slot + 1 < LATENCY_SLOTS && below + slots[slot] <= count / 2) {
        below += slots[slot++];
    }
    return (double)slot;
}

/* The clock itself is in these figures: some 20 ns. */
static size_t run_put_latency(work_t *work, work_result_t *result)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    uint32_t *const slots = calloc(LATENCY_SLOTS, sizeof *slots);
    uint64_t longest = 0;
    if (slots == NULL) {
        work->failed = true;
        return 0;
    }
    uint64_t before = kvi_os_monotonic_ns();
    for (size_t i = 0; i < work->options->count; i++) {
        const size_t number = work->order[i];
        put_one(work, number, work_key(work, number, buffer), 0);
        const uint64_t after = kvi_os_monotonic_ns();
        const uint64_t took = after - before;
        longest = took > longest ? took : longest;
        slots[took < LATENCY_SLOTS ? took : LATENCY_SLOTS - 1]++;
        before = after;
    }
    result->longest_ns = (double)longest;
    result->median_ns = median_of(slots, work->options->count);
    free(slots);
    return work->options->count;
}

/* ---- keys in order, popular keys, reads among writes ---- */

/* The keys' numbers ascend, and so do their bytes. */
static size_t run_fill_seq(work_t *work, work_result_t *result)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    (void)result;
    work->sequential = true;
    for (size_t i = 0; i < work->options->count; i++) {
        put_one(work, i, work_key(work, i, buffer), 0);
    }
    work->sequential = false;
    return work->options->count;
}

static size_t run_read_zipf(work_t *work, work_result_t *result)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    (void)result;
    for (size_t i = 0; i < work->options->count; i++) {
        get_one(work, work_key(work, work->zipf[i], buffer));
    }
    return work->options->count;
}

static size_t run_mixed(work_t *work, work_result_t *result)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    (void)result;
    for (size_t i = 0; i < work->options->count; i++) {
        const size_t number = work->order[i];
        const kv_slice_t key = work_key(work, number, buffer);
        if (i % 10 == 9) {
            put_one(work, number, key, 3);
        } else {
            get_one(work, key);
        }
    }
    return work->options->count;
}

/* ---- ordered stores ---- */

/* seeks times from a random key on. Returns the number of entries visited. */
static size_t seek_and_visit(work_t *work, size_t seeks, size_t entries)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    void *const cursor = work->ops->cursor_open(work->store);
    size_t visited = 0;
    if (cursor == NULL) {
        work->failed = true;
        return 0;
    }
    for (size_t i = 0; i < seeks; i++) {
        const size_t number = work->order[i];
        visited += work->ops->seek(cursor, work_key(work, number, buffer), entries, &work->sum);
    }
    work->ops->cursor_close(cursor);
    work->failed |= visited < seeks;
    return visited;
}

static size_t run_seek(work_t *work, work_result_t *result)
{
    (void)result;
    return seek_and_visit(work, work->options->count, 1);
}

static size_t run_scan_100(work_t *work, work_result_t *result)
{
    (void)result;
    return seek_and_visit(work, (work->options->count + SCAN_PART - 1) / SCAN_PART, 100);
}

/* ---- engines ---- */

/* Every second key goes; then the engine gives back what it can, which is not timed. */
static size_t run_delete_half(work_t *work, work_result_t *result)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    (void)result;
    for (size_t i = 0; i < work->options->count / 2; i++) {
        const size_t number = work->order[i];
        work->failed |= !work->ops->del(work->store, work_key(work, number, buffer));
    }
    return work->options->count / 2;
}

static size_t run_convert(work_t *work, work_result_t *result)
{
    (void)result;
    const char *const name = strcmp(work->ops->name, "bptree") == 0 ? "hash" : "bptree";
    work->failed |= !work->ops->convert(&work->store, name);
    return work->options->count;
}

static bool can_always(const store_ops_t *ops)
{
    (void)ops;
    return true;
}

static bool can_seek(const store_ops_t *ops)
{
    return ops->seek != NULL;
}

static bool can_convert(const store_ops_t *ops)
{
    return ops->convert != NULL;
}

#define FRESH WORK_WANTS_EMPTY
#define READS WORK_READS_ONLY
#define ENDS WORK_LEAVES_OTHER

static const work_benchmark_t benchmarks[] = {
    {"fillrandom", "put into an empty store", FRESH, can_always, run_fill},
    {"readrandom", "get keys that are there", READS, can_always, run_read},
    {"readmissing", "get keys that are not there", READS, can_always, run_read_missing},
    {"readzipf", "get keys of which few are popular (Zipf 0.99)", READS, can_always, run_read_zipf},
    {"readgroup", "get 16 keys at a time", READS, can_always, run_read_group},
    {"seek", "go to a random key, in order", READS, can_seek, run_seek},
    {"scan100", "an entry of the 100 from a random key on", READS, can_seek, run_scan_100},
    {"iterate", "all entries, one by one", READS, can_always, run_iterate},
    {"scan", "all entries in steps of 1,000", READS, can_always, run_scan},
    {"overwrite", "put values of the same size", 0, can_always, run_overwrite},
    {"overwritegroup", "the same, 16 keys prefetched", 0, can_always, run_overwrite_group},
    {"mixed", "nine gets and a put in turn", 0, can_always, run_mixed},
    {"convert", "an entry, to bptree, or from bptree to hash", ENDS, can_convert, run_convert},
    {"deletehalf", "delete every second key", ENDS | WORK_LEAVES_HALF, can_always, run_delete_half},
    {"delete", "delete every key", ENDS | WORK_LEAVES_EMPTY, can_always, run_delete},
    {"fillgroup", "put into an empty store, 16 keys prefetched", FRESH, can_always, run_fill_group},
    {"deletegroup", "delete every key, 16 keys prefetched", ENDS | WORK_LEAVES_EMPTY, can_always,
     run_delete_group},
    {"fillseq", "put ascending keys into an empty store", FRESH | ENDS, can_always, run_fill_seq},
    {"putlatency", "fillrandom with every put timed: the longest one", FRESH, can_always,
     run_put_latency},
};

const work_benchmark_t *work_benchmark_at(size_t number)
{
    return number < sizeof benchmarks / sizeof benchmarks[0] ? &benchmarks[number] : NULL;
}

const work_benchmark_t *work_benchmark_find(const char *name)
{
    for (size_t i = 0; work_benchmark_at(i) != NULL; i++) {
        if (strcmp(benchmarks[i].name, name) == 0) {
            return &benchmarks[i];
        }
    }
    return NULL;
}
