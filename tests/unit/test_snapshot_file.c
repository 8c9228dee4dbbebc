/* SPDX-License-Identifier: MIT */
/* Snapshot files: what is written is read again, and every damage is found before its bytes are. */
#include "test.h"

#include <stdbool.h>
#include <string.h>

#include "log/compress.h"
#include "log/snapshot_file.h"
#include "os/files_sim.h"

#define ENTRIES 40U

static const kvi_snapshot_head_t head = {.lsn = 77,
                                         .term = 3,
                                         .time_ms = INT64_C(1700000000123),
                                         .identity = {1, 2, 3},
                                         .salt = UINT64_C(0x1234567890abcdef)};

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

/* The number-th entry: all forms, with and without deadlines, three keyspaces, empty slices. */
static kvi_snapshot_entry_t make_entry(unsigned number)
{
    static char keys[ENTRIES][16];
    static char values[ENTRIES][200];
    memset(values[number], 'a' + (int)(number % 26), sizeof(values[number]));
    (void)snprintf(keys[number], sizeof(keys[number]), "key %u", number);
    return (kvi_snapshot_entry_t){
        .keyspace = number / 10 % 3 * 1000,
        .key = number == 7 ? (kv_slice_t){NULL, 0} : slice(keys[number]),
        .value = {values[number], number * 5U % 200U},
        .form = (kvi_form_t)(number % 3),
        .deadline_ms = number % 4 == 0 ? INT64_C(1800000000000) + number : KVI_NO_DEADLINE,
        .access = 0xabcdef - number,
    };
}

static void assert_same(const kvi_snapshot_entry_t *a, const kvi_snapshot_entry_t *b)
{
    assert_int_equal(a->keyspace, b->keyspace);
    assert_int_equal(a->key.size, b->key.size);
    assert_true(a->key.size == 0 || memcmp(a->key.data, b->key.data, a->key.size) == 0);
    assert_int_equal(a->value.size, b->value.size);
    assert_true(a->value.size == 0 || memcmp(a->value.data, b->value.data, a->value.size) == 0);
    assert_int_equal(a->form, b->form);
    assert_int_equal(a->deadline_ms, b->deadline_ms);
    assert_int_equal(a->access, b->access);
}

/* Three chunks: keyspaces, and the entries in two halves. */
static kv_status_t write_file(kvi_files_t *files, bool compress)
{
    kvi_snapshot_writer_t *writer;
    kv_status_t status = kvi_snapshot_writer_open(files, &head, compress, &writer);
    if (status != KV_OK) {
        return status;
    }
    kvi_chunk_t *const chunk = kvi_chunk_create(0);
    assert_non_null(chunk);
    kvi_chunk_reset(chunk, KVI_CHUNK_KEYSPACES);
    const kvi_snapshot_keyspace_t keyspace = {2000, slice("names"), slice("attributes"), 12345};
    assert_true(kvi_chunk_add_keyspace(chunk, &keyspace));
    status = kvi_snapshot_writer_add(writer, chunk);
    for (unsigned half = 0; half < 2 && status == KV_OK; half++) {
        kvi_chunk_reset(chunk, KVI_CHUNK_ENTRIES);
        for (unsigned i = 0; i < ENTRIES / 2; i++) {
            const kvi_snapshot_entry_t entry = make_entry(half * ENTRIES / 2 + i);
            assert_true(kvi_chunk_add_entry(chunk, &entry));
        }
        status = kvi_snapshot_writer_add(writer, chunk);
    }
    if (status == KV_OK) {
        status = kvi_snapshot_writer_publish(writer);
    }
    kv_store_free(chunk);
    kvi_snapshot_writer_close(writer);
    return status;
}

/* Reads the file and compares whatever verifies; the answer is the reader's last. */
static kv_status_t read_file(kvi_files_t *files, const char *name, unsigned *entries,
                             kvi_snapshot_fault_t *fault)
{
    kvi_snapshot_reader_t *reader;
    *entries = 0;
    kv_status_t status = kvi_snapshot_reader_open(files, name, &reader, fault);
    if (status != KV_OK) {
        return status;
    }
    assert_int_equal(kvi_snapshot_reader_head(reader)->lsn, head.lsn);
    assert_int_equal(kvi_snapshot_reader_head(reader)->time_ms, head.time_ms);
    kvi_chunk_view_t view;
    while ((status = kvi_snapshot_reader_next(reader, &view, fault)) == KV_OK) {
        if (view.kind == KVI_CHUNK_KEYSPACES) {
            kvi_snapshot_keyspace_t keyspace;
            assert_int_equal(kvi_chunk_next_keyspace(&view, &keyspace), KV_OK);
            assert_int_equal(keyspace.number, 2000);
            assert_int_equal(keyspace.expected_count, 12345);
            assert_memory_equal(keyspace.name.data, "names", 5);
            assert_int_equal(kvi_chunk_next_keyspace(&view, &keyspace), KV_NOT_FOUND);
            continue;
        }
        kvi_snapshot_entry_t entry;
        kv_status_t next;
        while ((next = kvi_chunk_next_entry(&view, &entry)) == KV_OK) {
            const kvi_snapshot_entry_t expected = make_entry((*entries)++);
            assert_same(&entry, &expected);
        }
        assert_int_equal(next, KV_NOT_FOUND);
    }
    kvi_snapshot_reader_close(reader);
    return status;
}

static void test_round(void **state)
{
    (void)state;
    for (int compress = 0; compress < 2; compress++) {
        kvi_files_t *files;
        assert_int_equal(kvi_sim_open(&(kvi_sim_options_t){.seed = 1}, &files), KV_OK);
        assert_int_equal(write_file(files, compress != 0), KV_OK);
        unsigned entries;
        kvi_snapshot_fault_t fault;
        const char *const name = "snap-00000000000000000077-3.snap";
        assert_int_equal(read_file(files, name, &entries, &fault), KV_NOT_FOUND);
        assert_int_equal(entries, ENTRIES);
        size_t size;
        assert_non_null(kvi_sim_bytes(files, name, &size));
        if (compress != 0 && kvi_compress_available()) {
            assert_true(size < 2000);
        }
        kvi_files_close(files);
    }
}

/* A damaged copy never gives a wrong entry: read_file compares each one. */
static void test_every_flip(void **state)
{
    (void)state;
    for (int compress = 0; compress < 2; compress++) {
        kvi_files_t *files;
        assert_int_equal(kvi_sim_open(&(kvi_sim_options_t){.seed = 1}, &files), KV_OK);
        assert_int_equal(write_file(files, compress != 0), KV_OK);
        const char *const name = "snap-00000000000000000077-3.snap";
        size_t size;
        (void)kvi_sim_bytes(files, name, &size);
        for (size_t offset = 0; offset < size; offset++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                unsigned entries;
                kvi_snapshot_fault_t fault;
                kvi_sim_flip(files, name, offset, (unsigned char)(1U << bit));
                assert_int_equal(read_file(files, name, &entries, &fault), KV_CORRUPT);
                assert_true(fault.offset <= offset);
                assert_true(fault.reason[0] != '\0');
                kvi_sim_flip(files, name, offset, (unsigned char)(1U << bit));
            }
        }
        kvi_files_close(files);
    }
}

static void test_every_truncation(void **state)
{
    (void)state;
    kvi_files_t *files;
    assert_int_equal(kvi_sim_open(&(kvi_sim_options_t){.seed = 1}, &files), KV_OK);
    assert_int_equal(write_file(files, false), KV_OK);
    const char *const name = "snap-00000000000000000077-3.snap";
    size_t size;
    (void)kvi_sim_bytes(files, name, &size);
    while (size-- > 0) {
        unsigned entries;
        kvi_snapshot_fault_t fault;
        kvi_sim_cut(files, name, size);
        assert_int_equal(read_file(files, name, &entries, &fault), KV_CORRUPT);
        assert_true(fault.offset <= size);
    }
    kvi_files_close(files);
}

/* Entries of chunks that are whole are found behind one that is not. */
static void test_salvage(void **state)
{
    (void)state;
    kvi_files_t *files;
    assert_int_equal(kvi_sim_open(&(kvi_sim_options_t){.seed = 1}, &files), KV_OK);
    assert_int_equal(write_file(files, false), KV_OK);
    const char *const name = "snap-00000000000000000077-3.snap";
    const size_t first_entries = KVI_SNAPSHOT_HEADER_BYTES + KVI_CHUNK_HEADER_BYTES + 22;
    /* In the header of the first chunk of entries, and in its payload. */
    for (size_t offset = first_entries; offset < first_entries + 100; offset++) {
        kvi_sim_flip(files, name, offset, 0x10);
        kvi_snapshot_reader_t *reader;
        kvi_snapshot_fault_t fault;
        kvi_chunk_view_t view;
        assert_int_equal(kvi_snapshot_reader_open(files, name, &reader, &fault), KV_OK);
        unsigned chunks = 0;
        kv_status_t status;
        while ((status = kvi_snapshot_reader_next(reader, &view, &fault)) != KV_NOT_FOUND) {
            if (status == KV_OK) {
                chunks++;
                continue;
            }
            assert_int_equal(status, KV_CORRUPT);
            assert_int_equal(kvi_snapshot_reader_skip(reader), KV_OK);
        }
        assert_int_equal(chunks, 2);
        kvi_snapshot_totals_t totals;
        kvi_snapshot_reader_totals(reader, &totals);
        assert_int_equal(totals.entries, ENTRIES / 2);
        kvi_snapshot_reader_close(reader);
        kvi_sim_flip(files, name, offset, 0x10);
    }
    kvi_files_close(files);
}

static void count_name(void *context, const char *name)
{
    unsigned *const counts = context;
    kvi_snapshot_name_t parsed;
    counts[0] += kvi_snapshot_name_parse(name, &parsed);
    counts[1] += kvi_snapshot_name_is_temporary(name);
}

/* At every operation, every fault: there is a whole snapshot or none. */
static void test_faults(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    const kvi_sim_fault_t faults[] = {KVI_SIM_ERROR, KVI_SIM_SHORT, KVI_SIM_FULL, KVI_SIM_CRASH};
    unsigned published = 0;
    unsigned without = 0;
    for (size_t kind = 0; kind < 4; kind++) {
        bool struck = true;
        for (uint64_t operation = 1; struck; operation++) {
            kvi_files_t *files;
            const kvi_sim_options_t options = {.seed = seed + operation};
            assert_int_equal(kvi_sim_open(&options, &files), KV_OK);
            kvi_sim_fault(files, operation, faults[kind]);
            const kv_status_t status = write_file(files, false);
            struck = kvi_sim_struck(files);
            kvi_sim_power_loss(files, seed * 3 + operation);
            unsigned counts[2] = {0, 0};
            assert_int_equal(files->ops->list(files, count_name, counts), KV_OK);
            assert_true(counts[0] + counts[1] <= 1);
            if (status == KV_OK) {
                assert_int_equal(counts[0], 1);
            }
            if (counts[0] == 1) {
                unsigned entries;
                kvi_snapshot_fault_t fault;
                assert_int_equal(
                    read_file(files, "snap-00000000000000000077-3.snap", &entries, &fault),
                    KV_NOT_FOUND);
                published++;
            } else {
                without++;
            }
            kvi_files_close(files);
        }
    }
    assert_true(published >= 4);
    assert_true(without >= 10);
}

static void test_names(void **state)
{
    (void)state;
    char text[KVI_FILE_NAME_BYTES];
    kvi_snapshot_name_t name;
    kvi_snapshot_name_print((kvi_snapshot_name_t){UINT64_MAX, UINT64_MAX}, text);
    assert_true(kvi_snapshot_name_parse(text, &name));
    assert_true(name.lsn == UINT64_MAX && name.term == UINT64_MAX);
    const char *const wrong[] = {"snap-1-.snap",  "snap--1.snap",
                                 "snap-1-1.tmp",  "snap-1-1.snap ",
                                 "wal-1-1.log",   "snap-18446744073709551616-1.snap",
                                 "snap-1x-1.snap"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(kvi_snapshot_name_parse(wrong[i], &name));
    }
    assert_true(kvi_snapshot_name_is_temporary("snap-1-1.tmp"));
    assert_false(kvi_snapshot_name_is_temporary("snap-1-1.snap"));
    assert_false(kvi_snapshot_name_is_temporary("x.tmp"));
}

static void test_list_order(void **state)
{
    (void)state;
    kvi_files_t *files;
    assert_int_equal(kvi_sim_open(&(kvi_sim_options_t){.seed = 1}, &files), KV_OK);
    const uint64_t lsns[] = {5, 300, 20, 300};
    for (size_t i = 0; i < 4; i++) {
        char text[KVI_FILE_NAME_BYTES];
        kvi_file_t *file;
        kvi_snapshot_name_print((kvi_snapshot_name_t){lsns[i], i}, text);
        assert_int_equal(files->ops->open(files, text, KVI_OPEN_WRITE | KVI_OPEN_CREATE, &file),
                         KV_OK);
        files->ops->close(file);
    }
    kvi_snapshot_name_t *names;
    size_t count;
    assert_int_equal(kvi_snapshot_list(files, &names, &count), KV_OK);
    assert_int_equal(count, 4);
    assert_true(names[0].lsn == 300 && names[0].term == 3);
    assert_true(names[1].lsn == 300 && names[1].term == 1);
    assert_true(names[2].lsn == 20 && names[3].lsn == 5);
    kv_store_free(names);
    kvi_files_close(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_every_flip),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_salvage),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_list_order),
    };
    return cmocka_run_group_tests_name("snapshot_file", tests, NULL, NULL);
}
