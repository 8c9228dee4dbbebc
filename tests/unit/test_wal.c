/* SPDX-License-Identifier: MIT */
/* The log without faults: its bytes, what a turn becomes, who waits for what, and its thread. */
#include "test.h"

#include "db/db.h"
#include "log/frame.h"
#include "log/wal.h"
#include "os/files_sim.h"
#include "os/os.h"

#include <concordkv/kv_memory.h>

#include <stdatomic.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

/* ---- a log on a simulated disk ---- */

typedef struct rig {
    kvi_files_t *files;
    kvi_db_t *db;
    kvi_commit_t *commit;
    kvi_wal_options_t options;
} rig_t;

static void rig_open(rig_t *rig, kvi_sync_t sync, bool manual)
{
    const kvi_sim_options_t sim = {.seed = 11};
    const kvi_db_options_t db = {.keyspaces = 4};
    memset(rig, 0, sizeof *rig);
    assert_int_equal(kvi_sim_open(&sim, &rig->files), KV_OK);
    assert_int_equal(kvi_db_open(&db, &rig->db), KV_OK);
    rig->options = (kvi_wal_options_t){.files = rig->files,
                                       .sync = sync,
                                       .segment_bytes = 65536,
                                       .salt_seed = 5,
                                       .manual = manual};
    assert_int_equal(kvi_commit_wal_open(rig->db, &rig->options, &rig->commit), KV_OK);
}

static void rig_stop(rig_t *rig)
{
    rig->commit->ops->close(rig->commit);
    rig->commit = NULL;
}

static void rig_close(rig_t *rig)
{
    if (rig->commit != NULL) {
        rig_stop(rig);
    }
    kvi_db_close(rig->db);
    kvi_files_close(rig->files);
}

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

static kvi_op_t put_op(const char *key, const char *value)
{
    return (kvi_op_t){.kind = KVI_OP_PUT,
                      .key = slice(key),
                      .value = slice(value),
                      .deadline_ms = KVI_NO_DEADLINE};
}

static void put(rig_t *rig, const char *key, const char *value, int64_t now_ms)
{
    const kvi_op_t op = put_op(key, value);
    kvi_op_result_t result;
    kvi_commit_submit(rig->commit, &op, now_ms, &result);
    assert_int_equal(result.status, KV_OK);
}

static void put_raw(rig_t *rig, const char *text)
{
    assert_int_equal(rig->commit->ops->reserve(rig->commit, strlen(text)), KV_OK);
    rig->commit->ops->append_batch(rig->commit, slice(text), KVI_SYNC_DEFAULT);
}

static kvi_commit_state_t rig_state(const rig_t *rig)
{
    kvi_commit_state_t state;
    rig->commit->ops->state(rig->commit, &state);
    return state;
}

/* What a log holds, as text: each batch in brackets, the keys of its operations, or raw bytes. */
typedef struct text {
    char bytes[4096];
    size_t size;
} text_t;

static void add_text(text_t *text, const char *bytes, size_t size)
{
    assert_true(text->size + size < sizeof text->bytes);
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

static kv_status_t print_batch(void *context, uint64_t lsn, uint64_t term, kv_slice_t bytes)
{
    text_t *const text = context;
    kvi_batch_reader_t reader;
    kvi_op_t op;
    char number[32];
    (void)term;
    (void)snprintf(number, sizeof number, "%llu[", (unsigned long long)lsn);
    add_text(text, number, strlen(number));
    if (kvi_batch_read(bytes, &reader) == KV_OK) {
        while (kvi_batch_next(&reader, &op) == KV_OK) {
            add_text(text, op.key.data, op.key.size);
        }
    } else {
        add_text(text, bytes.data, bytes.size < 8 ? bytes.size : 8);
    }
    add_text(text, "]", 1);
    return KV_OK;
}

/* torn_bytes is a guess at what the end of the log may be, which stale bytes can mislead. */
static void check_log(kvi_files_t *files, const char *expected)
{
    text_t text = {.size = 0};
    kvi_wal_report_t report;
    const kvi_wal_visitor_t visitor = {.context = &text, .batch = print_batch};
    assert_int_equal(kvi_wal_read(files, 0, &visitor, &report), KV_OK);
    assert_string_equal(text.bytes, expected);
}

/* ---- bytes ---- */

static void headers_are_read_back(void **state)
{
    (void)state;
    unsigned char bytes[KVI_SEGMENT_HEADER_BYTES];
    kvi_segment_header_t read;
    const kvi_segment_header_t header = {3, 1000, 65536, 0xdeadbeef};
    kvi_segment_header_encode(&header, NULL, bytes);
    assert_int_equal(kvi_segment_header_decode(bytes, &read), KV_OK);
    assert_int_equal(read.sequence, header.sequence);
    assert_int_equal(read.first_lsn, header.first_lsn);
    assert_int_equal(read.bytes, header.bytes);
    assert_int_equal(read.salt, header.salt);
    kvi_key_counts_t counts;
    kvi_segment_counts_decode(bytes, &counts);
    assert_int_equal(counts.count, 0);
    bytes[4000] ^= 1;
    assert_int_equal(kvi_segment_header_decode(bytes, &read), KV_CORRUPT);
}

static void counts_of_keys_are_read_back(void **state)
{
    (void)state;
    unsigned char bytes[KVI_SEGMENT_HEADER_BYTES];
    kvi_segment_header_t read;
    const kvi_segment_header_t header = {3, 1000, 65536, 0xdeadbeef};
    kvi_key_counts_t counts = {.count = KVI_KEY_COUNTS_MAX};
    for (uint32_t i = 0; i < KVI_KEY_COUNTS_MAX; i++) {
        counts.of[i] = (kvi_key_count_t){.keyspace = 7 * i, .keys = UINT64_MAX - i};
    }
    kvi_segment_header_encode(&header, &counts, bytes);
    assert_int_equal(kvi_segment_header_decode(bytes, &read), KV_OK);
    assert_int_equal(read.salt, header.salt);
    kvi_key_counts_t again;
    kvi_segment_counts_decode(bytes, &again);
    assert_int_equal(again.count, KVI_KEY_COUNTS_MAX);
    for (uint32_t i = 0; i < KVI_KEY_COUNTS_MAX; i++) {
        assert_int_equal(again.of[i].keyspace, 7 * i);
        assert_true(again.of[i].keys == UINT64_MAX - i);
    }
    bytes[44] = bytes[45] = 0xff; /* more than fit */
    kvi_segment_counts_decode(bytes, &again);
    assert_int_equal(again.count, KVI_KEY_COUNTS_MAX);
}

static void frames_are_read_back(void **state)
{
    (void)state;
    unsigned char bytes[KVI_FRAME_HEADER_BYTES + 8] = "";
    kvi_frame_t read;
    kvi_frame_t frame = {.size = 8, .lsn = 9, .durable = 7, .term = 2, .type = 1, .count = 1};
    memcpy(bytes + KVI_FRAME_HEADER_BYTES, "\4\0\0\0abcd", 8);
    kvi_frame_start(&frame, 77);
    kvi_frame_add(&frame, bytes + KVI_FRAME_HEADER_BYTES, 3);
    kvi_frame_add(&frame, bytes + KVI_FRAME_HEADER_BYTES + 3, 5);
    kvi_frame_encode(&frame, bytes);
    assert_true(kvi_frame_decode(bytes, sizeof bytes, &read));
    assert_memory_equal(&read, &frame, sizeof frame);
    assert_true(kvi_frame_verify(bytes, &read, 77));
    assert_false(kvi_frame_verify(bytes, &read, 78));
    assert_false(kvi_frame_decode(bytes, sizeof bytes - 1, &read));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 16;
        assert_false(kvi_frame_decode(bytes, sizeof bytes, &read) &&
                     kvi_frame_verify(bytes, &read, 77));
        bytes[i] ^= 16;
    }
    assert_int_equal(kvi_frame_bytes(0), 40);
    assert_int_equal(kvi_frame_bytes(1), 48);
    assert_int_equal(kvi_frame_bytes(8), 48);
}

static void names_are_read_back(void **state)
{
    (void)state;
    char text[KVI_FILE_NAME_BYTES];
    kvi_wal_name_t read;
    const kvi_wal_name_t names[] = {{1, 1}, {12, 34567}, {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < 3; i++) {
        kvi_wal_name_print(names[i], text);
        assert_true(kvi_wal_name_parse(text, &read));
        assert_memory_equal(&read, &names[i], sizeof read);
    }
    assert_false(kvi_wal_name_parse("wal-1-1.log", &read));
    assert_false(kvi_wal_name_parse("spare-1.free", &read));
    assert_false(kvi_wal_name_parse("wal-0000000000-00000000000000000001.log", &read));
    assert_false(kvi_wal_name_parse("wal-0000000001-00000000000000000001.log~", &read));
}

/* ---- turns ---- */

static void a_turn_is_one_batch(void **state)
{
    (void)state;
    rig_t rig;
    rig_open(&rig, KVI_SYNC_ALWAYS, true);
    put(&rig, "a", "1", 100);
    put(&rig, "b", "1", 100);
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 1);
    put(&rig, "c", "1", 101);
    put(&rig, "d", "1", 102); /* another time is another batch */
    put_raw(&rig, "raw");
    put(&rig, "e", "1", 102);
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 5);
    const kvi_op_t missing = {.kind = KVI_OP_DELETE, .key = slice("none")};
    kvi_op_result_t result;
    kvi_commit_submit(rig.commit, &missing, 103, &result);
    assert_false(result.changed); /* what changes nothing is not logged */
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 5);
    assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 0);
    assert_int_equal(rig_state(&rig).lsn, 5);
    rig_stop(&rig);
    check_log(rig.files, "1[ab]2[c]3[d]4[raw]5[e]");
    rig_close(&rig);
}

static void batches_are_submitted_whole(void **state)
{
    (void)state;
    rig_t rig;
    kvi_batch_t batch = {0};
    kvi_op_result_t results[2];
    const kvi_op_t ops[] = {put_op("x", "1"), put_op("y", "2")};
    rig_open(&rig, KVI_SYNC_ALWAYS, true);
    assert_int_equal(kvi_batch_begin(&batch, 50, KVI_BATCH_ATOMIC), KV_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kvi_batch_reserve(&batch, kvi_op_encoded_bytes_max(&ops[i])), KV_OK);
        kvi_batch_append(&batch, &ops[i]);
    }
    const kv_slice_t bytes = kvi_batch_bytes(&batch);
    assert_int_equal(kvi_commit_submit_batch(rig.commit, bytes, results), KV_OK);
    assert_int_equal(kvi_commit_submit_batch(rig.commit, slice("\1"), results), KV_CORRUPT);
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 1);
    rig_stop(&rig);
    check_log(rig.files, "1[xy]");
    kvi_batch_close(&batch);
    rig_close(&rig);
}

/* goals: 94 bytes for a SET of 16 + 64 bytes, 50 of them in a turn. */
static void a_set_costs_few_bytes(void **state)
{
    (void)state;
    enum { SETS = 50 };
    rig_t rig;
    char key[17];
    char value[65];
    memset(value, 'v', 64);
    value[64] = '\0';
    rig_open(&rig, KVI_SYNC_EVERYSEC, true);
    const uint64_t before = rig_state(&rig).log_bytes;
    for (int i = 0; i < SETS; i++) {
        (void)snprintf(key, sizeof key, "key:%012d", i);
        put(&rig, key, value, 1700000000000);
    }
    (void)rig.commit->ops->end_turn(rig.commit);
    (void)kvi_commit_wal_step(rig.commit, 1);
    const uint64_t bytes = rig_state(&rig).log_bytes - before;
    printf("# %.1f bytes a SET\n", (double)bytes / SETS);
    assert_true(bytes <= 94 * SETS);
    rig_close(&rig);
}

/* ---- who waits ---- */

static void always_waits_for_the_disk(void **state)
{
    (void)state;
    rig_t rig;
    rig_open(&rig, KVI_SYNC_ALWAYS, true);
    put_raw(&rig, "one");
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 1);
    assert_int_equal(rig.commit->ops->durable(rig.commit), 0);
    /* Whoever reads it now waits too. */
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 1);
    (void)kvi_commit_wal_step(rig.commit, 1);
    assert_int_equal(rig.commit->ops->durable(rig.commit), 1);
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 0);
    rig_close(&rig);
}

static void everysec_syncs_each_second(void **state)
{
    (void)state;
    rig_t rig;
    rig_open(&rig, KVI_SYNC_EVERYSEC, true);
    put_raw(&rig, "one");
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 0);
    (void)kvi_commit_wal_step(rig.commit, SECOND_NS);
    assert_int_equal(rig_state(&rig).written_lsn, 1);
    assert_int_equal(rig_state(&rig).durable_lsn, 0);
    (void)kvi_commit_wal_step(rig.commit, 2 * SECOND_NS - 1);
    assert_int_equal(rig_state(&rig).durable_lsn, 0);
    (void)kvi_commit_wal_step(rig.commit, 2 * SECOND_NS);
    assert_int_equal(rig_state(&rig).durable_lsn, 1);
    rig_close(&rig);
}

static void no_syncs_only_when_told(void **state)
{
    (void)state;
    rig_t rig;
    rig_open(&rig, KVI_SYNC_NO, true);
    put_raw(&rig, "one");
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 0);
    (void)kvi_commit_wal_step(rig.commit, SECOND_NS);
    (void)kvi_commit_wal_step(rig.commit, 100 * SECOND_NS);
    assert_int_equal(rig_state(&rig).written_lsn, 1);
    assert_int_equal(rig_state(&rig).durable_lsn, 0);
    assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    assert_int_equal(rig_state(&rig).durable_lsn, 1);
    rig_close(&rig);
}

static void a_keyspace_may_be_stricter(void **state)
{
    (void)state;
    rig_t rig;
    const kvi_op_t op = put_op("k", "v");
    rig_open(&rig, KVI_SYNC_NO, true);
    assert_int_equal(rig.commit->ops->reserve(rig.commit, 200), KV_OK);
    rig.commit->ops->append(rig.commit, &op, 1, KVI_SYNC_DEFAULT);
    assert_int_equal(rig.commit->ops->reserve(rig.commit, 200), KV_OK);
    rig.commit->ops->append(rig.commit, &op, 1, KVI_SYNC_ALWAYS);
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 1);
    (void)kvi_commit_wal_step(rig.commit, SECOND_NS);
    assert_int_equal(rig.commit->ops->durable(rig.commit), 1);
    rig_close(&rig);
}

static void the_policy_changes_while_open(void **state)
{
    (void)state;
    rig_t rig;
    rig_open(&rig, KVI_SYNC_NO, true);
    const kvi_sync_t policies[] = {KVI_SYNC_ALWAYS, KVI_SYNC_EVERYSEC, KVI_SYNC_ALWAYS,
                                   KVI_SYNC_NO};
    const char *const texts[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        rig.commit->ops->set_sync(rig.commit, policies[i]);
        put_raw(&rig, texts[i]);
        const uint64_t awaited = rig.commit->ops->end_turn(rig.commit);
        assert_int_equal(awaited != 0, policies[i] == KVI_SYNC_ALWAYS);
        (void)kvi_commit_wal_step(rig.commit, SECOND_NS);
        assert_true(rig.commit->ops->durable(rig.commit) >= awaited);
    }
    rig_stop(&rig);
    check_log(rig.files, "1[a]2[b]3[c]4[d]");
    rig_close(&rig);
}

/* ---- segments ---- */

/* In a frame of exactly one block, so that nothing is padded and a stale frame may follow. */
enum { STALE_BATCH_BYTES = 4096 - 40 - 4 };

static void put_block(rig_t *rig, char text[STALE_BATCH_BYTES + 1], const char *prefix, int number)
{
    (void)snprintf(text, STALE_BATCH_BYTES + 1, "%s%-*d", prefix, STALE_BATCH_BYTES - 3, number);
    put_raw(rig, text);
    (void)rig->commit->ops->end_turn(rig->commit);
    (void)kvi_commit_wal_step(rig->commit, 1);
}

/* A file that held LSNs 1 to 10 is recycled after the log was cut back to nothing: the new frames
 * have the sizes and the LSNs of the old ones, and only the salt tells them apart. */
static void stale_frames_never_verify(void **state)
{
    (void)state;
    rig_t rig;
    char text[STALE_BATCH_BYTES + 1];
    char name[KVI_FILE_NAME_BYTES];
    rig_open(&rig, KVI_SYNC_ALWAYS, true);
    for (int i = 0; i < 10; i++) {
        put_block(&rig, text, "old", i);
    }
    rig_stop(&rig);
    for (int i = 1; i < 10; i++) { /* whatever spares there are */
        (void)snprintf(name, sizeof name, "spare-%d.free", i);
        (void)rig.files->ops->remove(rig.files, name);
    }
    kvi_wal_name_print((kvi_wal_name_t){1, 1}, name);
    assert_int_equal(rig.files->ops->rename(rig.files, name, "spare-50.free"), KV_OK);
    rig.options.next_lsn = 1;
    rig.options.next_sequence = 2;
    rig.options.salt_seed = 6;
    assert_int_equal(kvi_commit_wal_open(rig.db, &rig.options, &rig.commit), KV_OK);
    for (int i = 0; i < 3; i++) {
        put_block(&rig, text, "new", i);
    }
    rig_stop(&rig);
    check_log(rig.files, "1[new0    ]2[new1    ]3[new2    ]");
    rig_close(&rig);
}

static void old_segments_go(void **state)
{
    (void)state;
    rig_t rig;
    char bytes[3000];
    kvi_wal_name_t *names = NULL;
    size_t count = 0;
    memset(bytes, 'x', sizeof bytes);
    rig_open(&rig, KVI_SYNC_NO, true);
    for (int i = 0; i < 100; i++) {
        while (rig.commit->ops->reserve(rig.commit, sizeof bytes) == KV_BUSY) {
            assert_true(kvi_commit_wal_step(rig.commit, 1));
        }
        rig.commit->ops->append_batch(rig.commit, (kv_slice_t){bytes, sizeof bytes}, KVI_SYNC_NO);
        (void)rig.commit->ops->end_turn(rig.commit);
        (void)kvi_commit_wal_step(rig.commit, 1);
    }
    assert_int_equal(kvi_wal_list(rig.files, &names, &count), KV_OK);
    assert_true(count > 4);
    const uint64_t third = names[2].first_lsn;
    kv_store_free(names);
    const uint64_t before = rig_state(&rig).log_bytes;
    kvi_commit_wal_remove_through(rig.commit, third - 1);
    while (kvi_commit_wal_step(rig.commit, 1)) {
    }
    assert_int_equal(kvi_wal_list(rig.files, &names, &count), KV_OK);
    assert_int_equal(names[0].first_lsn, third);
    assert_int_equal(rig_state(&rig).log_bytes, before - 2 * 65536);
    kv_store_free(names);
    rig_close(&rig);
}

/* Larger than a segment: the log makes one that is large enough, and asks for patience. */
static void a_batch_may_be_larger_than_a_segment(void **state)
{
    (void)state;
    rig_t rig;
    const size_t size = 300000;
    char *const bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 'L', size);
    rig_open(&rig, KVI_SYNC_ALWAYS, true);
    put_raw(&rig, "before");
    assert_int_equal(rig.commit->ops->reserve(rig.commit, size), KV_BUSY);
    (void)rig.commit->ops->end_turn(rig.commit);
    assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    assert_int_equal(rig.commit->ops->reserve(rig.commit, size), KV_OK);
    rig.commit->ops->append_batch(rig.commit, (kv_slice_t){bytes, size}, KVI_SYNC_DEFAULT);
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 2);
    assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    put_raw(&rig, "after");
    rig_stop(&rig);
    kvi_wal_report_t report;
    const kvi_wal_visitor_t visitor = {.batch = NULL};
    assert_int_equal(kvi_wal_read(rig.files, 0, &visitor, &report), KV_OK);
    assert_int_equal(report.last_lsn, 3);
    assert_true(report.bytes > size);
    free(bytes);
    rig_close(&rig);
}

/* What waits to be written has its room already: turns that the thread has not seen yet must not be
 * promised the same room again. */
static void what_waits_has_its_room(void **state)
{
    (void)state;
    static char bytes[4000];
    rig_t rig;
    rig_open(&rig, KVI_SYNC_EVERYSEC, true);
    unsigned turns = 0;
    for (unsigned round = 0; round < 5; round++) {
        unsigned taken = 0;
        while (rig.commit->ops->reserve(rig.commit, sizeof bytes) == KV_OK) {
            const kv_slice_t batch = {bytes, sizeof bytes};
            rig.commit->ops->append_batch(rig.commit, batch, KVI_SYNC_DEFAULT);
            (void)rig.commit->ops->end_turn(rig.commit);
            /* The present segment and the next one have no more. */
            assert_in_range(++taken, 1, 2 * 65536 / sizeof bytes);
        }
        assert_true(taken > 0);
        turns += taken;
        assert_int_equal(rig.commit->ops->reserve(rig.commit, sizeof bytes), KV_BUSY);
        assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
        assert_int_equal(rig_state(&rig).durable_lsn, turns);
    }
    rig_close(&rig);
}

static void reading_begins_after_a_snapshot(void **state)
{
    (void)state;
    rig_t rig;
    text_t text = {.size = 0};
    kvi_wal_report_t report;
    const kvi_wal_visitor_t visitor = {.context = &text, .batch = print_batch};
    rig_open(&rig, KVI_SYNC_ALWAYS, true);
    put_raw(&rig, "a");
    put_raw(&rig, "b");
    put_raw(&rig, "c");
    rig_stop(&rig);
    assert_int_equal(kvi_wal_read(rig.files, 2, &visitor, &report), KV_OK);
    assert_string_equal(text.bytes, "3[c]");
    assert_int_equal(kvi_wal_read(rig.files, 9, &visitor, &report), KV_OK);
    assert_int_equal(report.last_lsn, 9);
    assert_int_equal(report.batches, 0);
    rig_close(&rig);
}

/* ---- the thread ---- */

typedef struct waiter {
    kvi_os_mutex_t mutex;
    kvi_os_condition_t moved;
    uint64_t wakes;
} waiter_t;

static void note_wake(void *context)
{
    waiter_t *const waiter = context;
    kvi_os_lock(&waiter->mutex);
    waiter->wakes++;
    kvi_os_wake(&waiter->moved);
    kvi_os_unlock(&waiter->mutex);
}

/* Waits for the durable LSN as an executor does that has nothing else to do. */
static void wait_durable(rig_t *rig, waiter_t *waiter, uint64_t lsn)
{
    kvi_os_lock(&waiter->mutex);
    while (rig->commit->ops->durable(rig->commit) < lsn) {
        kvi_os_wait(&waiter->moved, &waiter->mutex);
    }
    kvi_os_unlock(&waiter->mutex);
}

/* A new segment says how many keys there are, so that a start can make room. */
static void segments_count_keys(void **state)
{
    (void)state;
    enum { KEYS = 2000, BYTES = 700 };
    rig_t rig;
    rig_open(&rig, KVI_SYNC_ALWAYS, true);
    char value[BYTES + 1];
    memset(value, 'v', BYTES);
    value[BYTES] = '\0';
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%u", i);
        kvi_op_t op = put_op(key, value);
        op.keyspace = i % 500 == 0 ? 1 : 3;
        kvi_op_result_t result;
        kvi_commit_submit(rig.commit, &op, 1000, &result);
        assert_int_equal(result.status, KV_OK);
        (void)rig.commit->ops->end_turn(rig.commit);
        assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
        while (kvi_commit_wal_step(rig.commit, 0)) {
        }
    }
    kvi_key_counts_t counts;
    uint64_t bytes;
    kvi_wal_key_counts(rig.files, &counts, &bytes);
    assert_int_equal(counts.count, 1);
    assert_int_equal(counts.of[0].keyspace, 3);
    assert_in_range(counts.of[0].keys, 1000, KEYS);
    assert_true(bytes >= (uint64_t)KEYS * BYTES);
    /* Begun at a start, it knows exactly. */
    rig_stop(&rig);
    kvi_wal_report_t report;
    const kvi_wal_visitor_t nobody = {.context = NULL};
    assert_int_equal(kvi_wal_read(rig.files, 0, &nobody, &report), KV_OK);
    rig.options.next_lsn = report.last_lsn + 1;
    rig.options.next_sequence = report.next_sequence;
    assert_int_equal(kvi_commit_wal_open(rig.db, &rig.options, &rig.commit), KV_OK);
    kvi_wal_key_counts(rig.files, &counts, &bytes);
    assert_int_equal(counts.count, 1);
    assert_int_equal(counts.of[0].keys, KEYS - KEYS / 500);
    rig_close(&rig);
}

static void the_thread_writes_what_the_executor_hands_over(void **state)
{
    (void)state;
    enum { BATCHES = 3000 };
    rig_t rig;
    waiter_t waiter = {.wakes = 0};
    char text[32];
    rig_open(&rig, KVI_SYNC_ALWAYS, true);
    rig_stop(&rig);
    rig.options.manual = false;
    rig.options.wake = note_wake;
    rig.options.wake_context = &waiter;
    rig.options.next_sequence = 2;
    assert_int_equal(kvi_commit_wal_open(rig.db, &rig.options, &rig.commit), KV_OK);
    for (int i = 1; i <= BATCHES; i++) {
        (void)snprintf(text, sizeof text, "batch %d", i);
        while (rig.commit->ops->reserve(rig.commit, sizeof text) == KV_BUSY) {
            assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
        }
        rig.commit->ops->append_batch(rig.commit, slice(text), KVI_SYNC_DEFAULT);
        const uint64_t awaited = rig.commit->ops->end_turn(rig.commit);
        if (i % 7 == 0) {
            wait_durable(&rig, &waiter, awaited);
        }
        if (i % 500 == 0) {
            kvi_commit_wal_remove_through(rig.commit, (uint64_t)i - 200);
            rig.commit->ops->set_sync(rig.commit,
                                      i % 1000 == 0 ? KVI_SYNC_ALWAYS : KVI_SYNC_EVERYSEC);
            (void)rig_state(&rig);
        }
    }
    assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    assert_int_equal(rig.commit->ops->durable(rig.commit), BATCHES);
    rig_stop(&rig);
    assert_true(waiter.wakes > 0); /* the thread has ended: nobody else counts any more */
    kvi_wal_report_t report;
    const kvi_wal_visitor_t visitor = {.batch = NULL};
    assert_int_equal(kvi_wal_read(rig.files, BATCHES - 100, &visitor, &report), KV_OK);
    assert_int_equal(report.last_lsn, BATCHES);
    rig_close(&rig);
}

/* A disk whose sync takes as long as the test likes. */
typedef struct slow_disk {
    kvi_os_mutex_t mutex;
    kvi_os_condition_t changed;
    bool held;
    bool syncs;
} slow_disk_t;

static slow_disk_t slow_disk;
static const kvi_files_ops_t *quick_ops;

static kv_status_t slow_sync(kvi_file_t *file)
{
    kvi_os_lock(&slow_disk.mutex);
    slow_disk.syncs = true;
    kvi_os_wake_all(&slow_disk.changed);
    while (slow_disk.held) {
        kvi_os_wait(&slow_disk.changed, &slow_disk.mutex);
    }
    slow_disk.syncs = false;
    kvi_os_unlock(&slow_disk.mutex);
    return quick_ops->sync(file);
}

static void set_held(bool held)
{
    kvi_os_lock(&slow_disk.mutex);
    slow_disk.held = held;
    kvi_os_wake_all(&slow_disk.changed);
    kvi_os_unlock(&slow_disk.mutex);
}

static void writes_wait_for_a_late_sync(void **state)
{
    (void)state;
    rig_t rig;
    rig_open(&rig, KVI_SYNC_NO, true);
    rig_stop(&rig);
    rig.options.manual = false;
    rig.options.next_sequence = 2;
    rig.options.late_sync_ns = 1;
    assert_int_equal(kvi_commit_wal_open(rig.db, &rig.options, &rig.commit), KV_OK);
    assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    kvi_files_ops_t slow_ops = *rig.files->ops;
    quick_ops = rig.files->ops;
    slow_ops.sync = slow_sync;
    rig_stop(&rig);
    rig.files->ops = &slow_ops;
    rig.options.next_sequence = 3;
    assert_int_equal(kvi_commit_wal_open(rig.db, &rig.options, &rig.commit), KV_OK);
    set_held(true);
    assert_int_equal(rig.commit->ops->reserve(rig.commit, 10), KV_OK);
    rig.commit->ops->append_batch(rig.commit, slice("strict"), KVI_SYNC_ALWAYS);
    assert_int_equal(rig.commit->ops->end_turn(rig.commit), 1);
    kvi_os_lock(&slow_disk.mutex);
    while (!slow_disk.syncs) {
        kvi_os_wait(&slow_disk.changed, &slow_disk.mutex);
    }
    kvi_os_unlock(&slow_disk.mutex);
    kvi_commit_state_t told;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig.commit->ops->reserve(rig.commit, 10), KV_BUSY);
    }
    rig.commit->ops->state(rig.commit, &told);
    assert_int_equal(told.late_syncs, 1);
    set_held(false);
    assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    assert_int_equal(rig.commit->ops->reserve(rig.commit, 10), KV_OK);
    rig.commit->ops->state(rig.commit, &told);
    assert_true(told.late_syncs == 1 && told.queued_bytes == 0);
    rig_stop(&rig);
    rig.files->ops = quick_ops;
    check_log(rig.files, "1[strict]");
    rig_close(&rig);
}

/* ---- reading ahead ---- */

enum { LONG_BATCHES = 24, LONG_BYTES_MAX = 700000 };

static char long_batch[LONG_BYTES_MAX];

/* Frames of all sizes, so that they end anywhere in what is read at a time. */
static kv_slice_t make_long_batch(uint64_t lsn)
{
    const size_t size = lsn % 4 == 0 ? LONG_BYTES_MAX - (size_t)lsn * 1001 : (size_t)lsn * 3001;
    for (size_t i = 0; i < size; i++) {
        long_batch[i] = (char)(lsn + i / 3);
    }
    return (kv_slice_t){long_batch, size};
}

static kv_status_t check_long_batch(void *context, uint64_t lsn, uint64_t term, kv_slice_t bytes)
{
    (void)context;
    (void)term;
    const kv_slice_t expected = make_long_batch(lsn);
    assert_int_equal(bytes.size, expected.size);
    assert_memory_equal(bytes.data, expected.data, expected.size);
    return KV_OK;
}

static void long_segments_are_read_ahead(void **state)
{
    (void)state;
    rig_t rig;
    rig_open(&rig, KVI_SYNC_NO, true);
    rig_stop(&rig);
    rig.options.segment_bytes = 16 << 20;
    rig.options.next_sequence = 2;
    assert_int_equal(kvi_commit_wal_open(rig.db, &rig.options, &rig.commit), KV_OK);
    for (uint64_t lsn = 1; lsn <= LONG_BATCHES; lsn++) {
        const kv_slice_t bytes = make_long_batch(lsn);
        while (rig.commit->ops->reserve(rig.commit, bytes.size) == KV_BUSY) {
            assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
        }
        rig.commit->ops->append_batch(rig.commit, bytes, KVI_SYNC_DEFAULT);
        (void)rig.commit->ops->end_turn(rig.commit);
        assert_int_equal(rig.commit->ops->flush(rig.commit), KV_OK);
    }
    rig_stop(&rig);
    const kvi_wal_visitor_t visitor = {.batch = check_long_batch};
    kvi_wal_report_t report;
    const uint64_t before = kvi_sim_operations(rig.files);
    assert_int_equal(kvi_wal_read(rig.files, 0, &visitor, &report), KV_OK);
    assert_int_equal(report.last_lsn, LONG_BATCHES);
    const uint64_t operations = kvi_sim_operations(rig.files) - before;
    assert_true(operations > 12); /* the segments have many pieces */
    /* Whoever reads, an error is an error, unless nobody needs what could not be read. */
    uint64_t unneeded = 0;
    for (uint64_t i = 1; i <= operations; i++) {
        kvi_file_t *file = NULL; /* so that the last sentence is another one */
        assert_int_equal(rig.files->ops->open(rig.files, "nothing", KVI_OPEN_READ, &file),
                         KV_NOT_FOUND);
        kvi_sim_fault(rig.files, kvi_sim_operations(rig.files) + i, KVI_SIM_ERROR);
        const kv_status_t status = kvi_wal_read(rig.files, 0, &visitor, &report);
        assert_true(kvi_sim_struck(rig.files));
        unneeded += status == KV_OK;
        if (status == KV_OK) {
            assert_int_equal(report.last_lsn, LONG_BATCHES);
        } else {
            assert_int_equal(status, KV_IO);
            assert_int_equal(strncmp(kvi_files_reason(), "cannot ", 7), 0);
            assert_null(strstr(kvi_files_reason(), "nothing"));
        }
    }
    assert_true(unneeded <= 2);
    kvi_sim_fault(rig.files, 0, KVI_SIM_NONE);
    rig_close(&rig);
}

/* ---- nothing ---- */

static void the_log_that_keeps_nothing(void **state)
{
    (void)state;
    rig_t rig;
    rig_open(&rig, KVI_SYNC_NO, true);
    kvi_commit_t *none = NULL;
    kvi_op_result_t result;
    kvi_commit_state_t facts;
    const kvi_op_t op = put_op("k", "v");
    assert_int_equal(kvi_commit_none_open(rig.db, &none), KV_OK);
    kvi_commit_submit(none, &op, 1, &result);
    assert_int_equal(result.status, KV_OK);
    assert_true(result.changed);
    assert_int_equal(none->ops->reserve(none, 1), KV_OK);
    assert_int_equal(none->ops->end_turn(none), 0);
    assert_int_equal(none->ops->durable(none), 0);
    assert_int_equal(none->ops->flush(none), KV_OK);
    assert_int_equal(none->ops->resume(none), KV_OK);
    none->ops->state(none, &facts);
    assert_int_equal(facts.status, KV_OK);
    none->ops->close(none);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read_back),
        cmocka_unit_test(counts_of_keys_are_read_back),
        cmocka_unit_test(segments_count_keys),
        cmocka_unit_test(frames_are_read_back),
        cmocka_unit_test(names_are_read_back),
        cmocka_unit_test(a_turn_is_one_batch),
        cmocka_unit_test(batches_are_submitted_whole),
        cmocka_unit_test(a_set_costs_few_bytes),
        cmocka_unit_test(always_waits_for_the_disk),
        cmocka_unit_test(everysec_syncs_each_second),
        cmocka_unit_test(no_syncs_only_when_told),
        cmocka_unit_test(a_keyspace_may_be_stricter),
        cmocka_unit_test(the_policy_changes_while_open),
        cmocka_unit_test(stale_frames_never_verify),
        cmocka_unit_test(old_segments_go),
        cmocka_unit_test(a_batch_may_be_larger_than_a_segment),
        cmocka_unit_test(what_waits_has_its_room),
        cmocka_unit_test(reading_begins_after_a_snapshot),
        cmocka_unit_test(the_thread_writes_what_the_executor_hands_over),
        cmocka_unit_test(writes_wait_for_a_late_sync),
        cmocka_unit_test(long_segments_are_read_ahead),
        cmocka_unit_test(the_log_that_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
