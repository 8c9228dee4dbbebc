/* SPDX-License-Identifier: MIT */
/*
 * Files of programs' databases: flush, snapshot files, backups. None of them keeps the gate
 * closed for longer than a step.
 *
 *   save, backup   close ─► begin ─► step ─► open ─► wait for the writer ─► close ─► step ...
 *   writes         close ─► change ─► step ─► open        so they carry a running one on, too
 *
 * Invariant: db->file is the caller whose file is running, in the closed gate; it is told in the
 * same turn in which the file comes to its end, so the next one cannot be taken for it.
 */
#include "embed/embed_int.h"

/* ---- snapshot files and backups ---- */

static bool is_running(kv_db_t *db, kv_status_t *last)
{
    kvi_directory_state_t state;
    kvi_directory_state(db->directory, &state);
    *last = state.last_status;
    return state.running;
}

bool kvi_embed_step_files(kv_db_t *db)
{
    if (db->directory == NULL) {
        return false;
    }
    const bool more = kvi_directory_turn(db->directory, KVI_DIRECTORY_TURN_NS);
    if (db->file != NULL && !is_running(db, &db->file->status)) {
        db->file->done = true;
        db->file = NULL;
    }
    return more;
}

/* In the closed gate. KV_BUSY: another one is running. */
static kv_status_t begin_file(kv_db_t *db, const char *path, kvi_embed_file_t *file)
{
    const kv_status_t status = path != NULL ? kvi_directory_backup(db->directory, path)
                                            : kvi_directory_snapshot(db->directory);
    if (status == KV_OK) {
        db->file = file;
    }
    return status;
}

/* path NULL: a snapshot file in the database's own directory. One that is running already is
 * waited for: it may lack the last changes. */
static kv_status_t make_file(kv_db_t *db, const char *path)
{
    kvi_embed_file_t file = {.done = false};
    kv_status_t status = KV_BUSY;
    for (;;) {
        kv_status_t last;
        const uint64_t moves = atomic_load(&db->moves);
        kvi_embed_begin(db);
        (void)db->commit->ops->end_turn(db->commit);
        if (status == KV_BUSY) {
            status = begin_file(db, path, &file);
        }
        const bool waits = status == KV_OK || (status == KV_BUSY && is_running(db, &last));
        const bool more = waits && kvi_embed_step_files(db);
        const bool done = file.done;
        kvi_gate_hand_over(&db->gate);
        if (done || !waits) {
            return done ? file.status : status;
        }
        if (!more) {
            kvi_embed_wait(db, moves);
        }
    }
}

kv_status_t kv_db_save(kv_db_t *db)
{
    if (db == NULL) {
        return KV_INVALID;
    }
    return db->directory != NULL ? make_file(db, NULL) : KV_UNSUPPORTED;
}

kv_status_t kv_db_backup(kv_db_t *db, const char *path)
{
    if (db == NULL || path == NULL) {
        return KV_INVALID;
    }
    return db->directory != NULL ? make_file(db, path) : KV_UNSUPPORTED;
}

/* ---- the log ---- */

/* What has stopped the log for good, even if everything so far is safe. */
static kv_status_t log_error(kv_db_t *db)
{
    const kv_status_t status = kvi_embed_log_status(db);
    return status != KV_DISK_FULL ? status : KV_OK;
}

kv_status_t kv_db_flush(kv_db_t *db)
{
    if (db == NULL) {
        return KV_INVALID;
    }
    kvi_embed_begin(db);
    (void)db->commit->ops->end_turn(db->commit);
    const uint64_t lsn = db->commit->ops->hurry(db->commit);
    kvi_gate_open(&db->gate);
    const kv_status_t status = kvi_embed_wait_durable(db, lsn);
    return status != KV_OK ? status : log_error(db);
}

kv_status_t kv_db_resume(kv_db_t *db)
{
    if (db == NULL) {
        return KV_INVALID;
    }
    kvi_embed_begin(db);
    const kv_status_t status = db->commit->ops->resume(db->commit);
    kvi_gate_open(&db->gate);
    return status;
}
