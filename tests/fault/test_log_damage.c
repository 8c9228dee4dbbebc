/* SPDX-License-Identifier: MIT */
/*
 * Every byte of a log of three segments is damaged once, and every file is cut off at every length.
 * The reader never hands out anything wrong, drops at most the last group commit without a word,
 * and refuses all else with file, offset and LSN.
 */
#include "log_fixture.h"

enum { DAMAGE_SEGMENT_BYTES = 8192, FILES = 3 };

typedef struct image {
    char name[KVI_FILE_NAME_BYTES];
    unsigned char bytes[2 * DAMAGE_SEGMENT_BYTES];
    size_t size;
} image_t;

typedef struct damaged {
    log_model_t model;
    uint64_t before_last; /* the last LSN before the last group commit */
    image_t images[FILES];
} damaged_t;

static void keep_image(damaged_t *log, kvi_wal_name_t name, image_t *image)
{
    kvi_wal_name_print(name, image->name);
    const unsigned char *const bytes = kvi_sim_bytes(log->model.files, image->name, &image->size);
    assert_non_null(bytes);
    assert_true(image->size <= sizeof image->bytes);
    memcpy(image->bytes, bytes, image->size);
}

/* Three segments, each group commit a frame, under the strictest policy. */
static void make_log(damaged_t *log, uint64_t seed, bool recycled)
{
    log_model_t *const model = &log->model;
    const kvi_sim_options_t options = {.seed = seed};
    kvi_wal_name_t *names = NULL;
    size_t count = 0;
    model_open(model, &options, variants[0]);
    const kvi_wal_options_t wal = {.files = model->files,
                                   .sync = KVI_SYNC_ALWAYS,
                                   .segment_bytes = DAMAGE_SEGMENT_BYTES,
                                   .term = 7,
                                   .salt_seed = seed | 1,
                                   .manual = true};
    assert_int_equal(kvi_commit_wal_open(NULL, &wal, &model->commit), KV_OK);
    for (uint64_t i = 0; count < FILES || i % 16 != 9; i++) {
        log->before_last = model->durable;
        assert_int_equal(model_submit(model, KVI_SYNC_DEFAULT), KV_OK);
        (void)model->commit->ops->end_turn(model->commit);
        (void)model_step(model);
        if (recycled && model->submitted == 60) {
            model->snapshot = 40;
            kvi_commit_wal_remove_through(model->commit, model->snapshot);
        }
        kv_store_free(names);
        assert_int_equal(kvi_wal_list(model->files, &names, &count), KV_OK);
        if (count == FILES && names[FILES - 1].first_lsn + 4 < model->submitted &&
            (!recycled || model->submitted > 70)) {
            break;
        }
        if (count > FILES) { /* drop the oldest ones */
            model->snapshot = names[count - FILES].first_lsn - 1;
            kvi_commit_wal_remove_through(model->commit, model->snapshot);
        }
    }
    assert_int_equal(count, FILES);
    for (size_t i = 0; i < FILES; i++) {
        keep_image(log, names[i], &log->images[i]);
    }
    kv_store_free(names);
    model_stop(model);
    assert_int_equal(model_read(model), KV_OK);
    assert_int_equal(model->report.last_lsn, model->submitted);
    assert_int_equal(model->report.segments, FILES);
}

/* What the reader may say of a damaged log. True: it refused. */
static bool check_reading(damaged_t *log, const char *name)
{
    char place[KVI_FILE_NAME_BYTES + 64];
    log_model_t *const model = &log->model;
    const kvi_wal_report_t *const report = &model->report;
    const kv_status_t status = model_read(model);
    if (status == KV_OK) {
        assert_true(report->last_lsn >= log->before_last);
        assert_int_equal(report->batches, report->last_lsn - model->snapshot);
        return false;
    }
    assert_true(status == KV_CORRUPT || status == KV_NEWER);
    assert_string_equal(report->file, name);
    assert_true(report->lsn > 0 && report->lsn <= model->submitted + 1);
    (void)snprintf(place, sizeof place, "%s, offset %llu, LSN %llu: ", name,
                   (unsigned long long)report->offset, (unsigned long long)report->lsn);
    assert_memory_equal(report->reason, place, strlen(place));
    assert_non_null(strstr(report->reason, "backup"));
    assert_true(status == KV_NEWER || strstr(report->reason, "kvtool repair") != NULL);
    return true;
}

static void flip_every_byte(bool recycled)
{
    static damaged_t log;
    uint64_t random = test_seed();
    unsigned refused = 0;
    make_log(&log, random, recycled);
    for (size_t f = 0; f < FILES; f++) {
        const image_t *const image = &log.images[f];
        for (size_t i = 0; i < image->size; i++) {
            const unsigned char bits = (unsigned char)(1U << test_random(&random) % 8);
            kvi_sim_flip(log.model.files, image->name, i, bits);
            const bool refusal = check_reading(&log, image->name);
            refused += refusal;
            assert_true(refusal || i >= KVI_DIRECT_BYTES); /* no header is believed */
            kvi_sim_flip(log.model.files, image->name, i, bits);
        }
    }
    assert_true(refused > FILES * KVI_DIRECT_BYTES + 4000);
    assert_false(check_reading(&log, ""));
    assert_int_equal(log.model.report.last_lsn, log.model.submitted);
    model_close(&log.model);
}

static void every_byte_is_flipped(void **state)
{
    (void)state;
    flip_every_byte(false);
}

static void every_byte_of_recycled_segments_is_flipped(void **state)
{
    (void)state;
    flip_every_byte(true);
}

static void write_image(kvi_files_t *files, const image_t *image, size_t size)
{
    kvi_file_t *file = NULL;
    const unsigned flags = KVI_OPEN_WRITE | KVI_OPEN_CREATE;
    assert_int_equal(files->ops->open(files, image->name, flags, &file), KV_OK);
    assert_int_equal(files->ops->write_at(file, 0, image->bytes, size), KV_OK);
    files->ops->close(file);
}

/* A segment has its full size as soon as it has its name, so a shorter one is always damaged. */
static void every_file_is_cut_at_every_length(void **state)
{
    (void)state;
    static damaged_t log;
    make_log(&log, test_seed(), false);
    kvi_files_t *const whole = log.model.files;
    for (size_t f = 0; f < FILES; f++) {
        const kvi_sim_options_t options = {.seed = 1};
        assert_int_equal(kvi_sim_open(&options, &log.model.files), KV_OK);
        for (size_t i = 0; i < FILES; i++) {
            write_image(log.model.files, &log.images[i], log.images[i].size);
        }
        assert_false(check_reading(&log, ""));
        for (size_t size = log.images[f].size; size-- > 0;) {
            kvi_sim_cut(log.model.files, log.images[f].name, size);
            assert_true(check_reading(&log, log.images[f].name));
        }
        kvi_files_close(log.model.files);
    }
    log.model.files = whole;
    model_close(&log.model);
}

static void missing_segments_are_missed(void **state)
{
    (void)state;
    static damaged_t log;
    make_log(&log, test_seed(), false);
    kvi_files_t *const whole = log.model.files;
    for (size_t f = 0; f + 1 < FILES; f++) {
        const kvi_sim_options_t options = {.seed = 1};
        assert_int_equal(kvi_sim_open(&options, &log.model.files), KV_OK);
        for (size_t i = 0; i < FILES; i++) {
            if (i != f) {
                write_image(log.model.files, &log.images[i], log.images[i].size);
            }
        }
        assert_true(check_reading(&log, log.images[f == 0 ? 1 : f - 1].name));
        assert_non_null(strstr(log.model.report.reason, f == 0 ? "too late" : "begins later"));
        kvi_files_close(log.model.files);
    }
    log.model.files = whole;
    model_close(&log.model);
}

static void note_lost(void *context, const char *file, uint64_t offset, uint64_t first_lsn,
                      uint64_t last_lsn)
{
    (void)file;
    (void)offset;
    assert_true(last_lsn == 0 || last_lsn >= first_lsn);
    uint64_t *const sum = ((log_model_t *)context)->numbers; /* numbers[0] belongs to no LSN */
    *sum += last_lsn == 0 ? 1000000 : last_lsn - first_lsn + 1;
}

/* Salvage hands out all that is whole and names the rest. */
static void salvage_finds_what_is_left(void **state)
{
    (void)state;
    static damaged_t log;
    uint64_t random = test_seed();
    make_log(&log, random, false);
    log_model_t *const model = &log.model;
    const kvi_wal_visitor_t visitor = {.context = model, .batch = check_batch, .lost = note_lost};
    for (int trial = 0; trial < 2000; trial++) {
        const image_t *const image = &log.images[test_random(&random) % FILES];
        const size_t at = test_random(&random) % image->size;
        kvi_wal_report_t report;
        kvi_sim_flip(model->files, image->name, at, 4);
        model->numbers[0] = 0;
        assert_int_equal(kvi_wal_salvage(model->files, model->snapshot, &visitor, &report), KV_OK);
        const uint64_t all = model->submitted - model->snapshot;
        const bool tail = report.last_lsn < model->submitted; /* nobody knows what it held */
        assert_true(tail || model->numbers[0] >= 1000000 ||
                    report.batches + model->numbers[0] == all);
        assert_true(report.batches > 0);
        kvi_sim_flip(model->files, image->name, at, 4);
    }
    model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_flipped),
        cmocka_unit_test(every_byte_of_recycled_segments_is_flipped),
        cmocka_unit_test(every_file_is_cut_at_every_length),
        cmocka_unit_test(missing_segments_are_missed),
        cmocka_unit_test(salvage_finds_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
