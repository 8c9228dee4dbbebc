/* SPDX-License-Identifier: MIT */
/*
 * All engines under one sequence of operations: they must agree with each other at every step, and
 * each with its own invariants at the end. One more engine, which is never the same kind for long,
 * is converted from row to row meanwhile.
 *
 * Input: operations of one byte and what they need. The keys are few and of awkward kinds, so that
 * sequences meet them again.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <concordkv/kv_engine.h>

#define ENGINES_MAX 9u
#define KEY_BYTES_MAX 700u
#define VALUE_BYTES_MAX 9000u
#define WALK_MAX 40u
#define GROUP 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *at;
    const uint8_t *end;
} input_t;

/* Engines of all rows; the last one is the one that is converted. */
typedef struct crowd {
    kv_engine_t *engines[ENGINES_MAX];
    size_t count;
    size_t next_row;
    bool converting;
} crowd_t;

static void require(bool condition, const char *what, const kv_engine_t *engine)
{
    if (!condition) {
        (void)fprintf(stderr, "fuzz_engines: %s: %s\n", engine->ops->name, what);
        abort();
    }
}

static uint8_t next_byte(input_t *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

/* ---- keys and values ---- */

static kv_slice_t make_key(uint8_t kind, uint8_t number, char *buffer)
{
    static const size_t lengths[] = {16, 254, 255, 256, 300, 600};
    const size_t length = lengths[number % 6];
    switch (kind % 6) {
    case 0: /* short, the empty one too */
        memset(buffer, number % 4 == 0 ? 0 : 0xff, 3);
        buffer[0] = (char)number;
        return (kv_slice_t){buffer, number % 4u};
    case 1: /* each begins the next */
        memset(buffer, 'p', KEY_BYTES_MAX);
        return (kv_slice_t){buffer, (size_t)number * 2};
    case 2: /* long, different at the end only */
        memset(buffer, 'l', KEY_BYTES_MAX);
        buffer[length] = (char)number;
        return (kv_slice_t){buffer, length + 1};
    case 3: /* zeros */
        memset(buffer, 0, 64);
        return (kv_slice_t){buffer, number % 64u};
    default:
        return (kv_slice_t){buffer, (size_t)snprintf(buffer, 32, "key:%u", number)};
    }
}

static kv_slice_t next_key(input_t *input, char *buffer)
{
    const uint8_t kind = next_byte(input);
    return make_key(kind, next_byte(input), buffer);
}

static kv_slice_t next_value(input_t *input, char *buffer)
{
    static const size_t sizes[] = {0, 1, 7, 8, 31, 32, 127, 128, 129, 300, 512, 513, 1500, 8193};
    const uint8_t number = next_byte(input);
    const size_t bytes = sizes[number % (sizeof sizes / sizeof sizes[0])];
    memset(buffer, number, bytes);
    return (kv_slice_t){buffer, bytes};
}

static bool is_equal(kv_slice_t a, kv_slice_t b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ---- operations: on all, the first one says what is right ---- */

static void do_get(crowd_t *crowd, input_t *input)
{
    char key_bytes[KEY_BYTES_MAX];
    const kv_slice_t key = next_key(input, key_bytes);
    kv_slice_t first = {NULL, 0};
    kv_status_t expected = KV_OK;
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        kv_slice_t value = {NULL, 0};
        const kv_status_t status = engine->ops->get(engine, key, &value);
        if (i == 0) {
            expected = status;
            first = value;
        }
        require(status == expected, "get differs", engine);
        require(status != KV_OK || is_equal(value, first), "a value differs", engine);
    }
}

static void do_get_many(crowd_t *crowd, input_t *input)
{
    char bytes[GROUP][KEY_BYTES_MAX];
    kv_slice_t keys[GROUP];
    kv_slice_t first[GROUP];
    for (size_t i = 0; i < GROUP; i++) {
        keys[i] = next_key(input, bytes[i]);
    }
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        kv_slice_t values[GROUP];
        size_t found = 0;
        engine->ops->prefetch(engine, GROUP, keys);
        const size_t said = engine->ops->get_many(engine, GROUP, keys, values);
        for (size_t j = 0; j < GROUP; j++) {
            first[j] = i == 0 ? values[j] : first[j];
            found += values[j].data != NULL;
            require((values[j].data != NULL) == (first[j].data != NULL), "get_many differs",
                    engine);
            require(is_equal(values[j], first[j]), "a value of get_many differs", engine);
        }
        require(found == said, "get_many miscounts", engine);
    }
}

static void do_put(crowd_t *crowd, input_t *input)
{
    char key_bytes[KEY_BYTES_MAX];
    char value_bytes[VALUE_BYTES_MAX];
    const kv_slice_t key = next_key(input, key_bytes);
    const kv_slice_t value = next_value(input, value_bytes);
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        require(engine->ops->put(engine, key, value) == KV_OK, "put fails", engine);
    }
}

/* Keeps some of the old value and writes the rest. */
static void do_place(crowd_t *crowd, input_t *input)
{
    char key_bytes[KEY_BYTES_MAX];
    char value_bytes[VALUE_BYTES_MAX];
    const kv_slice_t key = next_key(input, key_bytes);
    const kv_slice_t value = next_value(input, value_bytes);
    const size_t wanted = next_byte(input);
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        kv_slice_t old = {NULL, 0};
        char *place = NULL;
        (void)engine->ops->get(engine, key, &old);
        const size_t shorter = old.size < value.size ? old.size : value.size;
        const size_t keep = wanted < shorter ? wanted : shorter;
        require(engine->ops->place(engine, key, value.size, keep, &place) == KV_OK, "place fails",
                engine);
        if (value.size > keep) {
            memcpy(place + keep, value.data + keep, value.size - keep);
        }
    }
}

static void do_delete(crowd_t *crowd, input_t *input)
{
    char key_bytes[KEY_BYTES_MAX];
    const kv_slice_t key = next_key(input, key_bytes);
    kv_status_t expected = KV_OK;
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        const kv_status_t status = engine->ops->del(engine, key);
        expected = i == 0 ? status : expected;
        require(status == expected, "del differs", engine);
    }
}

static void do_relocate(crowd_t *crowd, input_t *input)
{
    const size_t steps = next_byte(input);
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        require(engine->ops->relocate(engine, steps) <= steps, "relocate takes more steps", engine);
    }
}

static kv_range_t next_range(input_t *input, char *lower, char *upper)
{
    const uint8_t kinds = next_byte(input);
    const kv_slice_t from = next_key(input, lower);
    const kv_slice_t to = next_key(input, upper);
    return (kv_range_t){{(kv_bound_kind_t)(kinds % 3), from},
                        {(kv_bound_kind_t)(kinds / 3 % 3), to}};
}

static bool is_inside(const kv_range_t *range, kv_slice_t key)
{
    const kv_bound_t *const bounds[] = {&range->lower, &range->upper};
    for (int i = 0; i < 2; i++) {
        const kv_slice_t other = bounds[i]->key;
        const size_t common = key.size < other.size ? key.size : other.size;
        int order = common > 0 ? memcmp(key.data, other.data, common) : 0;
        order = order != 0 ? order : (key.size > other.size) - (key.size < other.size);
        order = i == 0 ? order : -order;
        if (bounds[i]->kind != KV_BOUND_NONE &&
            (order < 0 || (order == 0 && bounds[i]->kind == KV_BOUND_EXCLUDED))) {
            return false;
        }
    }
    return true;
}

typedef struct counting {
    const kv_range_t *range;
    uint64_t count;
} counting_t;

static void count_inside(void *context, kv_slice_t key, kv_slice_t value)
{
    counting_t *const counting = context;
    (void)value;
    counting->count += is_inside(counting->range, key);
}

/* Every engine by a full scan, the ordered ones by their positions too. */
static void do_count_range(crowd_t *crowd, input_t *input)
{
    char lower[KEY_BYTES_MAX];
    char upper[KEY_BYTES_MAX];
    const kv_range_t range = next_range(input, lower, upper);
    uint64_t expected = 0;
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        counting_t counting = {&range, 0};
        uint64_t counted = 0;
        uint64_t token = 0;
        do {
            token = engine->ops->scan(engine, token, 7, count_inside, &counting);
        } while (token != 0);
        expected = i == 0 ? counting.count : expected;
        require(counting.count == expected, "a scan differs", engine);
        if (engine->ops->ordered) {
            require(kv_engine_count_range(engine, &range, &counted) == KV_OK && counted == expected,
                    "count_range differs", engine);
        }
    }
}

/* A key of the range, copied; false: none. */
static bool find_inside(kv_engine_t *engine, const kv_range_t *range, char *buffer, kv_slice_t *key)
{
    kv_cursor_t *cursor = NULL;
    bool found = false;
    require(engine->ops->cursor_open(engine, &cursor) == KV_OK, "no cursor", engine);
    for (kv_status_t status = engine->ops->cursor_first(cursor); status == KV_OK && !found;) {
        const kv_slice_t at = engine->ops->cursor_key(cursor);
        found = is_inside(range, at);
        if (found) {
            memcpy(buffer, at.data, at.size);
            *key = (kv_slice_t){buffer, at.size};
        } else {
            status = engine->ops->cursor_next(cursor);
        }
    }
    engine->ops->cursor_close(cursor);
    return found;
}

static uint64_t delete_one_by_one(kv_engine_t *engine, const kv_range_t *range)
{
    char buffer[KEY_BYTES_MAX];
    kv_slice_t key;
    uint64_t deleted = 0;
    while (find_inside(engine, range, buffer, &key)) {
        require(engine->ops->del(engine, key) == KV_OK, "a key cannot be deleted", engine);
        deleted++;
    }
    return deleted;
}

static void do_delete_range(crowd_t *crowd, input_t *input)
{
    char lower[KEY_BYTES_MAX];
    char upper[KEY_BYTES_MAX];
    const kv_range_t range = next_range(input, lower, upper);
    uint64_t expected = 0;
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        uint64_t deleted = 0;
        if (engine->ops->ordered) {
            require(kv_engine_delete_range(engine, &range, &deleted) == KV_OK, "delete_range fails",
                    engine);
        } else {
            deleted = delete_one_by_one(engine, &range);
        }
        expected = i == 0 ? deleted : expected;
        require(deleted == expected, "delete_range differs", engine);
    }
}

/* Steps of range cursors side by side, over the ordered engines. */
static void do_walk(crowd_t *crowd, input_t *input)
{
    char lower[KEY_BYTES_MAX];
    char upper[KEY_BYTES_MAX];
    char prefix[KEY_BYTES_MAX];
    kv_range_cursor_t *cursors[ENGINES_MAX] = {NULL};
    const uint8_t how = next_byte(input);
    const kv_range_options_t options = {
        .range = next_range(input, lower, upper),
        .prefix = (how & 2) != 0 ? next_key(input, prefix) : (kv_slice_t){NULL, 0},
        .reverse = (how & 1) != 0,
    };
    const kv_range_cursor_t *leader = NULL;
    for (size_t i = 0; i < crowd->count; i++) {
        if (crowd->engines[i]->ops->ordered) {
            require(kv_range_cursor_open(crowd->engines[i], &options, &cursors[i]) == KV_OK,
                    "no range cursor", crowd->engines[i]);
            leader = leader == NULL ? cursors[i] : leader;
        }
    }
    for (size_t step = 0; leader != NULL && step < WALK_MAX; step++) {
        for (size_t i = 0; i < crowd->count; i++) {
            const kv_engine_t *const engine = crowd->engines[i];
            if (cursors[i] == NULL) {
                continue;
            }
            require(kv_range_cursor_valid(cursors[i]) == kv_range_cursor_valid(leader),
                    "a walk ends elsewhere", engine);
            require(is_equal(kv_range_cursor_key(cursors[i]), kv_range_cursor_key(leader)) &&
                        is_equal(kv_range_cursor_value(cursors[i]), kv_range_cursor_value(leader)),
                    "a walk differs", engine);
        }
        for (size_t i = 0; kv_range_cursor_valid(leader) && i < crowd->count; i++) {
            if (cursors[i] != NULL && cursors[i] != leader) {
                require(kv_range_cursor_next(cursors[i]) == KV_OK, "next fails", crowd->engines[i]);
            }
        }
        for (size_t i = 0; i < crowd->count; i++) {
            if (cursors[i] == leader && kv_range_cursor_valid(leader)) {
                require(kv_range_cursor_next(cursors[i]) == KV_OK, "next fails", crowd->engines[i]);
            }
        }
    }
    for (size_t i = 0; i < ENGINES_MAX; i++) {
        kv_range_cursor_close(cursors[i]);
    }
}

/* ---- the engine that is converted ---- */

static void do_convert(crowd_t *crowd, input_t *input)
{
    kv_engine_t **const last = &crowd->engines[crowd->count - 1];
    bool done = false;
    if (!crowd->converting) {
        const kv_engine_ops_t *row = kv_engine_at(crowd->next_row++);
        if (row == NULL) {
            crowd->next_row = 1;
            row = kv_engine_at(0);
        }
        require(kv_engine_convert_begin(*last, row->name, NULL, last) == KV_OK,
                "a conversion does not begin", *last);
        crowd->converting = true;
        return;
    }
    require(kv_engine_convert_step(*last, next_byte(input), &done) == KV_OK,
            "a conversion does not go on", *last);
    require(!done || (*last)->ops->check(*last) == KV_OK, "check of a conversion", *last);
    if (done) {
        require(kv_engine_convert_end(*last, last) == KV_OK, "a conversion does not end", *last);
        crowd->converting = false;
    }
}

/* ---- beginning and end ---- */

static void open_all(crowd_t *crowd)
{
    const kv_engine_options_t options = {.hash_seed = 1};
    memset(crowd, 0, sizeof *crowd);
    for (; kv_engine_at(crowd->count) != NULL && crowd->count < ENGINES_MAX - 1; crowd->count++) {
        const kv_engine_ops_t *const row = kv_engine_at(crowd->count);
        if (row->open(&options, &crowd->engines[crowd->count]) != KV_OK) {
            abort();
        }
    }
    if (kv_engine_at(0)->open(&options, &crowd->engines[crowd->count++]) != KV_OK) {
        abort();
    }
    crowd->next_row = 1;
}

static void close_all(crowd_t *crowd)
{
    const uint64_t count = crowd->engines[0]->ops->count(crowd->engines[0]);
    for (size_t i = 0; i < crowd->count; i++) {
        kv_engine_t *const engine = crowd->engines[i];
        require(engine->ops->check(engine) == KV_OK, "check", engine);
        require(engine->ops->count(engine) == count, "count differs", engine);
        engine->ops->close(engine);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const operations[])(crowd_t *, input_t *) = {
        do_put,  do_put,     do_put,      do_place,       do_delete,       do_delete,  do_get,
        do_walk, do_convert, do_get_many, do_count_range, do_delete_range, do_convert, do_relocate,
    };
    input_t input = {data, data + size};
    crowd_t crowd;
    open_all(&crowd);
    while (input.at < input.end) {
        operations[next_byte(&input) % (sizeof operations / sizeof operations[0])](&crowd, &input);
    }
    close_all(&crowd);
    return 0;
}
