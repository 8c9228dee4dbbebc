/* SPDX-License-Identifier: MIT */
/* The benchmarks of kvbench, each a loop over the store's calls, and the clock around them. */
#include "kvbench/work.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "os/os.h"

#define VALUE_OFFSETS 4096u
#define LATENCY_SLOTS 65536u /* of a nanosecond; what is longer counts into the last */

/* ---- keys, values, order ---- */

static uint64_t mix(uint64_t number)
{
    kvi_random_t random = {number};
    return kvi_random_next(&random);
}

static kv_slice_t make_key(const work_t *work, uint64_t number, char *buffer)
{
    const work_options_t *const options = work->options;
    uint64_t word = mix(number);
    const uint64_t spread = options->key_bytes_max - options->key_bytes_min + 1;
    const size_t size = options->key_bytes_min + (size_t)((word >> 40) % spread);
    for (size_t i = 0; i < size; i += sizeof word) {
        memcpy(buffer + i, &word, sizeof word);
        word = word * UINT64_C(0x9e3779b97f4a7c15) + number;
    }
    return (kv_slice_t){buffer, size};
}

static kv_slice_t make_value(const work_t *work, uint64_t number, uint64_t version)
{
    const work_options_t *const options = work->options;
    const uint64_t word = number * UINT64_C(0xbf58476d1ce4e5b9);
    const uint64_t spread = options->value_bytes_max - options->value_bytes_min + 1;
    const size_t size = options->value_bytes_min + (size_t)((word >> 40) % spread);
    return (kv_slice_t){work->values + (number + version) % VALUE_OFFSETS, size};
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b != 0) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static size_t step_for(size_t count)
{
    size_t step = (size_t)((double)count * 0.6180339887) | 1;
    while (common_divisor(step, count) != 1) {
        step++;
    }
    return step;
}

static size_t next_number(const work_t *work, size_t number)
{
    const size_t count = work->options->count;
    const size_t next = number + work->step % count;
    return next >= count ? next - count : next;
}

/* ---- groups ---- */

typedef struct group {
    char buffers[WORK_GROUP][WORK_KEY_BYTES_MAX + 8];
    kv_slice_t keys[WORK_GROUP];
    size_t numbers[WORK_GROUP];
    size_t count;
} group_t;

static void fill_group(const work_t *work, group_t *group, size_t *number, size_t left)
{
    group->count = left < WORK_GROUP ? left : WORK_GROUP;
    for (size_t i = 0; i < group->count; i++) {
        group->numbers[i] = *number;
        group->keys[i] = make_key(work, *number, group->buffers[i]);
        *number = next_number(work, *number);
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
    work->failed |= !work->ops->put(work->store, key, make_value(work, number, version));
}

static size_t put_all(work_t *work, uint64_t version)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    size_t number = 0;
    for (size_t i = 0; i < work->options->count; i++) {
        put_one(work, number, make_key(work, number, buffer), version);
        number = next_number(work, number);
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
    size_t number = 0;
    for (size_t i = 0; i < work->options->count; i += WORK_GROUP) {
        fill_group(work, &group, &number, work->options->count - i);
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
    char buffer[WORK_KEY_BYTES_MAX + 8];
    size_t number = 0;
    (void)result;
    for (size_t i = 0; i < work->options->count; i++) {
        get_one(work, make_key(work, number, buffer));
        number = next_number(work, number);
    }
    return work->options->count;
}

static size_t run_read_missing(work_t *work, work_result_t *result)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    size_t number = 0;
    size_t found = 0;
    (void)result;
    for (size_t i = 0; i < work->options->count; i++) {
        kv_slice_t value = {NULL, 0};
        const kv_slice_t key = make_key(work, number + work->options->count, buffer);
        found += work->ops->get(work->store, key, &value);
        number = next_number(work, number);
    }
    work->failed |= found > 0;
    return work->options->count;
}

static size_t run_read_group(work_t *work, work_result_t *result)
{
    group_t group;
    size_t number = 0;
    (void)result;
    for (size_t i = 0; i < work->options->count; i += WORK_GROUP) {
        fill_group(work, &group, &number, work->options->count - i);
        get_group(work, &group);
    }
    return work->options->count;
}

static size_t run_delete(work_t *work, work_result_t *result)
{
    char buffer[WORK_KEY_BYTES_MAX + 8];
    size_t number = 0;
    (void)result;
    for (size_t i = 0; i < work->options->count; i++) {
        work->failed |= !work->ops->del(work->store, make_key(work, number, buffer));
        number = next_number(work, number);
    }
    return work->options->count;
}

static size_t run_delete_group(work_t *work, work_result_t *result)
{
    group_t group;
    size_t number = 0;
    (void)result;
    for (size_t i = 0; i < work->options->count; i += WORK_GROUP) {
        fill_group(work, &group, &number, work->options->count - i);
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
    size_t number = 0;
    uint64_t longest = 0;
    if (slots == NULL) {
        work->failed = true;
        return 0;
    }
    uint64_t before = kvi_os_monotonic_ns();
    for (size_t i = 0; i < work->options->count; i++) {
        put_one(work, number, make_key(work, number, buffer), 0);
        const uint64_t after = kvi_os_monotonic_ns();
        const uint64_t took = after - before;
        longest = took > longest ? took : longest;
        slots[took < LATENCY_SLOTS ? took : LATENCY_SLOTS - 1]++;
        number = next_number(work, number);
        before = after;
    }
    result->longest_ns = (double)longest;
    result->median_ns = median_of(slots, work->options->count);
    free(slots);
    return work->options->count;
}

static const work_benchmark_t benchmarks[] = {
    {"fillrandom", "put into an empty store", true, false, run_fill},
    {"readrandom", "get keys that are there", false, false, run_read},
    {"readmissing", "get keys that are not there", false, false, run_read_missing},
    {"readgroup", "get 16 keys at a time", false, false, run_read_group},
    {"overwrite", "put values of the same size", false, false, run_overwrite},
    {"overwritegroup", "the same, 16 keys prefetched", false, false, run_overwrite_group},
    {"iterate", "all entries, one by one", false, false, run_iterate},
    {"scan", "all entries in steps of 1,000", false, false, run_scan},
    {"delete", "delete every key", false, true, run_delete},
    {"fillgroup", "put into an empty store, 16 keys prefetched", true, false, run_fill_group},
    {"deletegroup", "delete every key, 16 keys prefetched", false, true, run_delete_group},
    {"putlatency", "fillrandom with every put timed: the longest one", true, false,
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

/* ---- states ---- */

static size_t heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static bool open_store(work_t *work)
{
    if (work->store != NULL) {
        work->ops->close(work->store);
    }
    work->is_full = false;
    work->heap_before = heap_bytes();
    work->store = work->ops->open();
    return work->store != NULL;
}

bool work_begin(work_t *work, const work_options_t *options, const store_ops_t *ops)
{
    const size_t bytes = options->value_bytes_max + VALUE_OFFSETS + 8;
    memset(work, 0, sizeof *work);
    work->options = options;
    work->ops = ops;
    work->step = step_for(options->count);
    work->values = malloc(bytes);
    if (work->values == NULL) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        work->values[i] = (char)mix(i);
    }
    return open_store(work);
}

void work_end(work_t *work)
{
    if (work->store != NULL) {
        work->ops->close(work->store);
    }
    free(work->values);
    memset(work, 0, sizeof *work);
}

static void measure_bytes(work_t *work, store_bytes_t *bytes)
{
    if (work->ops->bytes != NULL) {
        work->ops->bytes(work->store, bytes);
    } else {
        *bytes = (store_bytes_t){.total = heap_bytes() - work->heap_before};
    }
}

/* Time of this thread on a processor, the kernel's for it included: what others do meanwhile does
 * not count. */
static double processor_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

bool work_run(work_t *work, const work_benchmark_t *benchmark, work_result_t *result)
{
    memset(result, 0, sizeof *result);
    if (benchmark->wants_empty && !open_store(work)) {
        return false;
    }
    if (!benchmark->wants_empty && !work->is_full) {
        (void)put_all(work, 0);
        work->is_full = true;
    }
    const double begin = processor_ns();
    const size_t operations = benchmark->run(work, result);
    result->ns = (processor_ns() - begin) / (double)(operations > 0 ? operations : 1);
    work->is_full = !benchmark->leaves_empty;
    if (work->is_full) {
        measure_bytes(work, &result->bytes);
    }
    return !work->failed;
}
