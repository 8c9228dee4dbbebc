/* SPDX-License-Identifier: MIT */
/* The simulated disk forgets all that it may forget, and nothing else. */
#include "files_contract.h"

#include "os/files_sim.h"

enum { TRIALS = 400 };

static kvi_files_t *open_sim(uint64_t seed)
{
    kvi_files_t *files = NULL;
    const kvi_sim_options_t options = {.seed = seed};
    assert_int_equal(kvi_sim_open(&options, &files), KV_OK);
    return files;
}

static kvi_file_t *open_file(kvi_files_t *files, const char *name, unsigned flags)
{
    kvi_file_t *file = NULL;
    assert_int_equal(files->ops->open(files, name, flags, &file), KV_OK);
    return file;
}

static const unsigned made = KVI_OPEN_READ | KVI_OPEN_WRITE | KVI_OPEN_CREATE;

static void keeps_the_contract(void **state)
{
    (void)state;
    kvi_files_t *const files = open_sim(1);
    check_files(files);
    kvi_files_close(files);
    kvi_files_t *plain = NULL;
    const kvi_sim_options_t options = {.no_direct = true};
    assert_int_equal(kvi_sim_open(&options, &plain), KV_OK);
    check_files(plain);
    kvi_files_close(plain);
}

static void fill(unsigned char *block, size_t size, int byte)
{
    memset(block, byte, size);
}

/* Two sectors, synced as 1 and written again as 2 and 3: each is seen in all its versions, and no
 * combination is missing. */
static void unsynced_sectors_are_kept_or_lost(void **state)
{
    (void)state;
    unsigned char block[1024];
    unsigned seen = 0;
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        kvi_files_t *const files = open_sim(seed);
        kvi_file_t *const file = open_file(files, "f", made);
        for (int byte = 1; byte <= 3; byte++) {
            fill(block, sizeof block, byte);
            assert_int_equal(files->ops->write_at(file, 0, block, sizeof block), KV_OK);
            if (byte == 1) {
                assert_int_equal(files->ops->sync(file), KV_OK);
                assert_int_equal(files->ops->sync_directory(files), KV_OK);
            }
        }
        files->ops->close(file);
        kvi_sim_power_loss(files, seed);
        size_t size = 0;
        const unsigned char *const bytes = kvi_sim_bytes(files, "f", &size);
        assert_non_null(bytes);
        assert_int_equal(size, sizeof block);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(bytes[i], bytes[i / 512 * 512]); /* sectors are whole */
        }
        assert_in_range(bytes[0], 1, 3);
        assert_in_range(bytes[512], 1, 3);
        seen |= 1U << ((bytes[0] - 1) * 3 + bytes[512] - 1);
        kvi_files_close(files);
    }
    assert_int_equal(seen, 0x1ff);
}

static void synced_bytes_stay(void **state)
{
    (void)state;
    unsigned char block[KVI_DIRECT_BYTES];
    for (uint64_t seed = 0; seed < TRIALS / 4; seed++) {
        kvi_files_t *const files = open_sim(seed);
        kvi_file_t *const file = open_file(files, "f", made);
        kvi_file_t *const direct = open_file(files, "d", made | KVI_OPEN_DIRECT);
        fill(block, sizeof block, 7);
        assert_int_equal(files->ops->write_at(file, 100, block, 300), KV_OK);
        assert_int_equal(files->ops->sync(file), KV_OK);
        assert_int_equal(files->ops->write_at(direct, 0, block, sizeof block), KV_OK);
        assert_int_equal(files->ops->sync_directory(files), KV_OK);
        files->ops->close(file);
        files->ops->close(direct);
        kvi_sim_power_loss(files, seed);
        size_t size = 0;
        const unsigned char *bytes = kvi_sim_bytes(files, "f", &size);
        assert_int_equal(size, 400);
        assert_int_equal(bytes[99], 0);
        assert_memory_equal(bytes + 100, block, 300);
        bytes = kvi_sim_bytes(files, "d", &size);
        assert_int_equal(size, sizeof block);
        assert_memory_equal(bytes, block, size);
        kvi_files_close(files);
    }
}

/* New names, renames and removals without a sync of the directory: both outcomes of each. */
static void unsynced_names_are_kept_or_lost(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        kvi_files_t *const files = open_sim(seed);
        files->ops->close(open_file(files, "old", made));
        files->ops->close(open_file(files, "gone", made));
        assert_int_equal(files->ops->sync_directory(files), KV_OK);
        files->ops->close(open_file(files, "new", made));
        assert_int_equal(files->ops->rename(files, "old", "moved"), KV_OK);
        assert_int_equal(files->ops->remove(files, "gone"), KV_OK);
        kvi_sim_power_loss(files, seed);
        unsigned names = 0;
        kvi_file_t *file = NULL;
        const char *const all[] = {"new", "old", "moved", "gone"};
        for (unsigned i = 0; i < 4; i++) {
            if (files->ops->open(files, all[i], KVI_OPEN_READ, &file) == KV_OK) {
                names |= 1U << i;
                files->ops->close(file);
            }
        }
        assert_true(((names >> 1) & 1) != ((names >> 2) & 1)); /* a rename is one thing */
        seen |= 1U << ((names & 3) | (names >> 1 & 4));
        kvi_files_close(files);
    }
    assert_int_equal(seen, 0xff);
}

/* After a sync that failed the cache shows what the disk may never have got. */
static void failed_sync_drops_pages(void **state)
{
    (void)state;
    unsigned char block[8 * KVI_SIM_SECTOR_BYTES];
    unsigned char seen_bytes[8 * KVI_SIM_SECTOR_BYTES];
    unsigned lost = 0;
    unsigned kept = 0;
    for (uint64_t seed = 0; seed < TRIALS / 4; seed++) {
        size_t got = 0;
        kvi_files_t *const files = open_sim(seed);
        kvi_file_t *const file = open_file(files, "f", made);
        fill(block, sizeof block, 9);
        assert_int_equal(files->ops->write_at(file, 0, block, sizeof block), KV_OK);
        assert_int_equal(files->ops->sync_directory(files), KV_OK);
        kvi_sim_fault(files, kvi_sim_operations(files) + 1, KVI_SIM_ERROR);
        assert_int_equal(files->ops->sync(file), KV_IO);
        assert_true(kvi_sim_struck(files));
        assert_int_equal(files->ops->sync(file), KV_OK);
        assert_int_equal(files->ops->read_at(file, 0, seen_bytes, sizeof seen_bytes, &got), KV_OK);
        assert_memory_equal(seen_bytes, block, sizeof block);
        files->ops->drop_cache(file);
        assert_int_equal(files->ops->read_at(file, 0, seen_bytes, sizeof seen_bytes, &got), KV_OK);
        for (size_t at = 0; at < sizeof block; at += KVI_SIM_SECTOR_BYTES) {
            lost += seen_bytes[at] == 0;
            kept += seen_bytes[at] == 9;
        }
        files->ops->close(file);
        kvi_files_close(files);
    }
    assert_true(lost > 0 && kept > 0);
    assert_int_equal(lost + kept, TRIALS / 4 * 8);
}

static void faults_strike_once_and_crashes_for_good(void **state)
{
    (void)state;
    char bytes[100] = "";
    uint64_t size = 0;
    kvi_files_t *const files = open_sim(3);
    kvi_file_t *const file = open_file(files, "f", made);
    kvi_sim_fault(files, 2, KVI_SIM_SHORT);
    assert_int_equal(files->ops->write_at(file, 0, bytes, sizeof bytes), KV_IO);
    assert_int_equal(files->ops->size(file, &size), KV_OK);
    assert_int_equal(size, 50);
    kvi_sim_fault(files, 4, KVI_SIM_FULL);
    assert_int_equal(files->ops->rename(files, "f", "g"), KV_DISK_FULL);
    assert_int_equal(files->ops->rename(files, "f", "g"), KV_OK);
    kvi_sim_fault(files, 6, KVI_SIM_CRASH);
    assert_int_equal(files->ops->sync(file), KV_IO);
    assert_int_equal(files->ops->sync(file), KV_IO);
    assert_int_equal(files->ops->sync_directory(files), KV_IO);
    files->ops->close(file);
    kvi_sim_kill(files);
    files->ops->close(open_file(files, "g", KVI_OPEN_READ));
    kvi_files_close(files);
}

static void disk_runs_full(void **state)
{
    (void)state;
    char bytes[600] = "";
    uint64_t space = 0;
    kvi_files_t *const files = open_sim(4);
    kvi_file_t *const file = open_file(files, "f", made);
    kvi_sim_set_capacity(files, 1000);
    assert_int_equal(files->ops->write_at(file, 0, bytes, 600), KV_OK);
    assert_int_equal(files->ops->write_at(file, 600, bytes, 600), KV_DISK_FULL);
    assert_int_equal(files->ops->free_space(files, &space), KV_OK);
    assert_int_equal(space, 0);
    assert_int_equal(files->ops->write_at(file, 300, bytes, 600), KV_OK); /* nothing new */
    kvi_sim_set_capacity(files, 2000);
    assert_int_equal(files->ops->write_at(file, 600, bytes, 600), KV_OK);
    files->ops->close(file);
    kvi_files_close(files);
}

static void damage_is_what_was_asked_for(void **state)
{
    (void)state;
    size_t size = 0;
    kvi_files_t *const files = open_sim(5);
    kvi_file_t *const file = open_file(files, "f", made);
    assert_int_equal(files->ops->write_at(file, 0, "abc", 3), KV_OK);
    kvi_sim_flip(files, "f", 1, 1);
    assert_memory_equal(kvi_sim_bytes(files, "f", &size), "acc", 3);
    kvi_sim_cut(files, "f", 2);
    (void)kvi_sim_bytes(files, "f", &size);
    assert_int_equal(size, 2);
    assert_null(kvi_sim_bytes(files, "g", &size));
    files->ops->close(file);
    kvi_files_close(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_contract),
        cmocka_unit_test(unsynced_sectors_are_kept_or_lost),
        cmocka_unit_test(synced_bytes_stay),
        cmocka_unit_test(unsynced_names_are_kept_or_lost),
        cmocka_unit_test(failed_sync_drops_pages),
        cmocka_unit_test(faults_strike_once_and_crashes_for_good),
        cmocka_unit_test(disk_runs_full),
        cmocka_unit_test(damage_is_what_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
