/* SPDX-License-Identifier: MIT */
/*
 * Commands about what is kept on disk: snapshots, backups, the log. A snapshot is of the state
 * between two turns; commands that begin one at once end the log's turn first.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "os/os.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/info.h"
#include "server/server.h"
#include "server/submit.h"

#define PATH_BYTES_MAX 1024

/* False after an error was answered: there is no directory. */
static bool keeps_data(kvi_request_t *request)
{
    if (request->server->directory == NULL) {
        kvi_reply_error(request->reply, "%s", kvi_error_memory_only);
        return false;
    }
    return true;
}

static bool is_saving(const kvi_request_t *request)
{
    kvi_directory_state_t state;
    kvi_directory_state(request->server->directory, &state);
    return state.running || request->server->snapshot_asked;
}

/* False after an error was answered: nothing is running that another snapshot would disturb. */
static bool may_save(kvi_request_t *request)
{
    if (!keeps_data(request)) {
        return false;
    }
    if (is_saving(request)) {
        kvi_reply_error(request->reply, "ERR Background save already in progress");
        return false;
    }
    return true;
}

static void answer(kvi_request_t *request, kv_status_t status, const char *text)
{
    kvi_directory_state_t state = {.last_reason = ""};
    if (status == KV_OK) {
        kvi_reply_status(request->reply, text);
        return;
    }
    kvi_directory_state(request->server->directory, &state);
    kvi_reply_error(request->reply, "ERR %s",
                    state.last_reason[0] != '\0' ? state.last_reason : kv_status_text(status));
}

void kvi_cmd_save(kvi_request_t *request)
{
    if (may_save(request)) {
        kvi_server_end_turn(request->server);
        answer(request, kvi_directory_save(request->server->directory), "OK");
    }
}

void kvi_cmd_bgsave(kvi_request_t *request)
{
    const bool good =
        request->argc == 1 || (request->argc == 2 && kvi_argument_is(request->argv[1], "schedule"));
    if (!good) {
        kvi_reply_syntax_error(request->reply);
    } else if (may_save(request)) {
        /* Begins when the turn has ended, so that no transaction is cut in two. */
        request->server->snapshot_asked = true;
        kvi_reply_status(request->reply, "Background saving started");
    }
}

void kvi_cmd_bgrewriteaof(kvi_request_t *request)
{
    if (!keeps_data(request)) {
        return;
    }
    if (is_saving(request)) {
        kvi_reply_error(request->reply,
                        "ERR Background append only file rewriting already in progress");
        return;
    }
    request->server->snapshot_asked = true;
    kvi_reply_status(request->reply, "Background append only file rewriting started");
}

void kvi_cmd_lastsave(kvi_request_t *request)
{
    int64_t time_ms = request->server->started_ms;
    if (request->server->directory != NULL) {
        kvi_directory_state_t state;
        kvi_directory_state(request->server->directory, &state);
        time_ms = state.last_ms;
    }
    kvi_reply_integer(request->reply, time_ms / 1000);
}

void kvi_cmd_backup(kvi_request_t *request)
{
    char path[PATH_BYTES_MAX];
    const kv_slice_t text = request->argv[1];
    if (!may_save(request)) {
        return;
    }
    if (text.size == 0 || text.size >= sizeof path || memchr(text.data, '\0', text.size) != NULL) {
        kvi_reply_error(request->reply, "ERR that is no path");
        return;
    }
    memcpy(path, text.data, text.size);
    path[text.size] = '\0';
    kvi_server_end_turn(request->server);
    const kv_status_t status = kvi_directory_backup(request->server->directory, path);
    if (status == KV_EXISTS) {
        kvi_reply_error(request->reply, "ERR that directory holds a database already");
    } else {
        answer(request, status, "Backup started");
    }
}

/* ---- the log ---- */

void kvi_cmd_log_help(kvi_request_t *request)
{
    static const char *const lines[] = {
        "RESUME",
        "    Take writes again, after a full disk has got room.",
    };
    kvi_reply_help(request->reply, "LOG", lines, sizeof lines / sizeof lines[0]);
}

void kvi_cmd_log_resume(kvi_request_t *request)
{
    kvi_commit_t *const commit = request->server->commit;
    if (!keeps_data(request)) {
        return;
    }
    const kv_status_t status = commit->ops->resume(commit);
    kvi_server_look_at_log(request->server);
    if (status == KV_OK) {
        kvi_reply_ok(request->reply);
    } else {
        kvi_request_fail(request, status);
    }
}

/* There are no replicas, so none has acknowledged anything, now or when the timeout is over. */
void kvi_cmd_wait(kvi_request_t *request)
{
    int64_t replicas;
    int64_t timeout;
    if (!kvi_argument_integer(request, 1, &replicas) ||
        !kvi_argument_between(request, 2, INT64_MIN, INT64_MAX,
                              "ERR timeout is not an integer or out of range", &timeout)) {
        return;
    }
    if (timeout < 0) {
        kvi_reply_error(request->reply, "ERR timeout is negative");
        return;
    }
    kvi_reply_integer(request->reply, 0);
}

/* ---- INFO persistence ---- */

static void print_loading(const kvi_request_t *request, kvi_text_t *text)
{
    const kvi_server_t *const server = request->server;
    const bool loading = (server->gates & KVI_GATE_LOADING) != 0;
    kvi_text_print(text, "# Persistence\r\nloading:%d\r\nasync_loading:0\r\n", loading);
    if (!loading) {
        return;
    }
    uint64_t bytes;
    uint64_t all;
    kvi_server_loading_progress(server, &bytes, &all);
    const int64_t seconds = (request->now_ms - server->loading_since_ms) / 1000;
    kvi_text_print(text, "loading_start_time:%" PRId64 "\r\nloading_total_bytes:%" PRIu64 "\r\n",
                   server->loading_since_ms / 1000, all);
    kvi_text_print(text, "loading_loaded_bytes:%" PRIu64 "\r\nloading_loaded_perc:%.2f\r\n", bytes,
                   all > 0 ? (double)bytes * 100 / (double)all : 0.0);
    kvi_text_print(text, "loading_eta_seconds:%.0f\r\n",
                   bytes > 0 ? (double)seconds * (double)(all - bytes) / (double)bytes : 1.0);
}

/* Nothing is forked, so no page is copied on writing: in its stead the memory of the chunks. */
static void print_extra_memory(const kvi_directory_state_t *state, kvi_text_t *text)
{
    const size_t now = state->running ? state->memory_bytes : 0;
    const double part = state->running && state->entries_expected > 0
                            ? (double)state->entries * 100 / (double)state->entries_expected
                            : 0;
    kvi_text_print(text, "current_cow_peak:%zu\r\ncurrent_cow_size:%zu\r\n", now, now);
    kvi_text_print(text, "current_cow_size_age:0\r\ncurrent_fork_perc:%.2f\r\n",
                   part < 100 ? part : 100);
    kvi_text_print(text, "rdb_last_cow_size:%zu\r\naof_last_cow_size:%zu\r\n",
                   state->last_memory_bytes, state->last_memory_bytes);
    kvi_text_print(text, "module_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\n");
}

/* A snapshot is what Redis has two things for: it is loaded as a dump is, and makes the log before
 * it superfluous as a rewrite does. So it has both names. */
static void print_snapshot(const kvi_request_t *request, const kvi_directory_state_t *state,
                           kvi_text_t *text)
{
    const bool saves = state->running && !state->backup;
    const int64_t since_s = (request->now_ms - (int64_t)state->started_ms) / 1000;
    const int64_t last_s = state->saves > 0 ? (int64_t)(state->last_ns / UINT64_C(1000000000)) : -1;
    const char *const status = state->last_status == KV_OK ? "ok" : "err";
    kvi_text_print(text, "current_save_keys_processed:%" PRIu64 "\r\n",
                   state->running ? state->entries : 0);
    kvi_text_print(text, "current_save_keys_total:%" PRIu64 "\r\n",
                   state->running ? state->entries_expected : 0);
    kvi_text_print(text, "rdb_changes_since_last_save:%" PRIu64 "\r\n", state->changes);
    kvi_text_print(text, "rdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%" PRId64 "\r\n", saves,
                   state->last_ms / 1000);
    kvi_text_print(text, "rdb_last_bgsave_status:%s\r\nrdb_last_bgsave_time_sec:%" PRId64 "\r\n",
                   status, last_s);
    kvi_text_print(text, "rdb_current_bgsave_time_sec:%" PRId64 "\r\nrdb_saves:%" PRIu64 "\r\n",
                   saves ? since_s : -1, state->saves);
    kvi_text_print(text, "aof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:%d\r\n", saves,
                   request->server->snapshot_asked);
    kvi_text_print(text, "aof_last_rewrite_time_sec:%" PRId64 "\r\n", last_s);
    kvi_text_print(text, "aof_current_rewrite_time_sec:%" PRId64 "\r\n", saves ? since_s : -1);
    kvi_text_print(text, "aof_last_bgrewrite_status:%s\r\naof_rewrites:%" PRIu64 "\r\n", status,
                   state->saves);
    kvi_text_print(text, "aof_rewrites_consecutive_failures:%" PRIu64 "\r\n", state->failures);
    kvi_text_print(text, "backup_in_progress:%d\r\nsnapshot_last_lsn:%" PRIu64 "\r\n",
                   state->running && state->backup, state->last_lsn);
    kvi_text_print(text, "snapshot_last_entries:%" PRIu64 "\r\nsnapshot_last_bytes:%" PRIu64 "\r\n",
                   state->last_entries, state->last_bytes);
    kvi_text_print(text, "snapshot_last_longest_step_usec:%" PRIu64 "\r\n",
                   state->last_longest_step_ns / 1000);
    kvi_text_print(text, "snapshot_last_reason:%s\r\n", state->last_reason);
}

static void print_log(const kvi_request_t *request, const kvi_directory_state_t *state,
                      kvi_text_t *text)
{
    const kvi_server_t *const server = request->server;
    kvi_commit_t *const commit = server->commit;
    kvi_commit_state_t log = {.status = KV_OK};
    commit->ops->state(commit, &log);
    const uint64_t base = log.log_bytes > state->log_bytes ? log.log_bytes - state->log_bytes : 0;
    kvi_text_print(text, "aof_enabled:%d\r\naof_last_write_status:%s\r\n",
                   server->directory != NULL, log.status == KV_OK ? "ok" : "err");
    kvi_text_print(text, "aof_current_size:%" PRIu64 "\r\naof_base_size:%" PRIu64 "\r\n",
                   log.log_bytes, base);
    kvi_text_print(text, "aof_pending_rewrite:%d\r\naof_buffer_length:%" PRIu64 "\r\n",
                   server->snapshot_asked, log.queued_bytes);
    kvi_text_print(text, "aof_pending_bio_fsync:%d\r\naof_delayed_fsync:%" PRIu64 "\r\n",
                   log.durable_lsn < log.written_lsn, log.late_syncs);
    kvi_text_print(text, "log_sync:%s\r\nlog_lsn:%" PRIu64 "\r\nlog_written_lsn:%" PRIu64 "\r\n",
                   server->config.sync, log.lsn, log.written_lsn);
    kvi_text_print(text, "log_durable_lsn:%" PRIu64 "\r\nlog_last_sync_usec:%" PRIu64 "\r\n",
                   log.durable_lsn, log.synced_ns / 1000);
    kvi_text_print(text, "log_status:%s\r\nlog_reason:%s\r\n",
                   log.status == KV_OK ? "ok" : kv_status_name(log.status), log.reason);
}

static void print_loaded(const kvi_request_t *request, kvi_text_t *text)
{
    const kvi_recovery_report_t *const loaded = &request->server->loaded;
    /* Late keys are loaded too, and go soon after, as logged batches. */
    kvi_text_print(text,
                   "rdb_last_load_keys_expired:0\r\nrdb_last_load_keys_loaded:%" PRIu64 "\r\n",
                   loaded->snapshot_entries);
    kvi_text_print(text, "load_log_batches:%" PRIu64 "\r\nload_torn_bytes:%" PRIu64 "\r\n",
                   loaded->wal.batches, loaded->wal.torn_bytes);
    kvi_text_print(text, "load_usec:%" PRIu64 "\r\n", loaded->nanoseconds / 1000);
}

void kvi_info_persistence(const kvi_request_t *request, kvi_text_t *text)
{
    const kvi_server_t *const server = request->server;
    kvi_directory_state_t state = {.last_ms = server->started_ms, .changes = server->changes};
    if (server->directory != NULL) {
        kvi_directory_state(server->directory, &state);
    }
    print_loading(request, text);
    print_extra_memory(&state, text);
    print_snapshot(request, &state, text);
    print_log(request, &state, text);
    print_loaded(request, text);
}
