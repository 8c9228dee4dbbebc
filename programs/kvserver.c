/* SPDX-License-Identifier: MIT */
/*
 * kvserver: the database behind the Redis protocol. Here the layers are wired together: options,
 * database, server, loop. It answers on standard output with one line when it is ready, and on
 * standard error with one line when it cannot be.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <concordkv/kv_engine.h>
#include <concordkv/kv_version.h>

#include "db/db.h"
#include "log/commit.h"
#include "os/os.h"
#include "server/loop.h"
#include "server/options.h"

/* Descriptors that are not connections: standard streams, epoll, listener, signals, some to spare.
 */
#define OTHER_DESCRIPTORS 64

static int complain(const char *message)
{
    (void)fprintf(stderr, "kvserver: %s\n", message);
    return 1;
}

static void print_line(void *context, const char *line)
{
    (void)fprintf(context, "%s\n", line);
}

static void print_help(void)
{
    (void)printf("kvserver %s: ConcordKV behind the Redis protocol\n\n"
                 "usage: kvserver [--option value]...\n\n",
                 kv_version());
    kvi_options_help(print_line, stdout);
}

/* Lets the process open a socket per client. What the system does not allow lowers maxclients, and
 * is said. */
static void allow_descriptors(kvi_config_t *config)
{
    struct rlimit limit;
    const rlim_t wanted = (rlim_t)config->maxclients + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    const rlim_t before = limit.rlim_cur;
    const bool enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= wanted;
    limit.rlim_cur = enough ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        limit.rlim_cur = before;
    }
    if (limit.rlim_cur < wanted && limit.rlim_cur > OTHER_DESCRIPTORS) {
        config->maxclients = (int64_t)(limit.rlim_cur - OTHER_DESCRIPTORS);
        (void)fprintf(stderr,
                      "kvserver: the system allows %llu open files: maxclients is now %lld\n",
                      (unsigned long long)limit.rlim_cur, (long long)config->maxclients);
    }
}

static void say(void *context, const char *line)
{
    (void)context;
    (void)printf("kvserver: %s\n", line);
    (void)fflush(stdout);
}

/* Clients may come already: those who ask how far the load is, or want it to end. */
static void tell_listening(void *context)
{
    const kvi_server_t *const server = context;
    (void)printf("kvserver: listening on %s:%d while %s is loaded\n", server->config.bind,
                 server->port, server->config.dir);
    (void)fflush(stdout);
}

/* The line that whoever started the server waits for. */
static void tell_ready(void *context)
{
    const kvi_server_t *const server = context;
    const kvi_config_t *const config = &server->config;
    (void)printf("kvserver %s ready on %s:%d, data in %s%s\n", kv_version(), config->bind,
                 server->port, config->dir[0] != '\0' ? config->dir : "memory only",
                 server->loaded.wal.torn_bytes > 0 ? ", an unfinished write at its end left out"
                                                   : "");
    (void)fflush(stdout);
}

static int serve_on(kvi_server_t *server, const kvi_db_options_t *options)
{
    char message[KVI_LOOP_MESSAGE_BYTES];
    kvi_loop_t *loop;
    if (kvi_loop_open(server, &loop, message) != KV_OK) {
        return complain(message);
    }
    const kvi_loop_events_t events = {
        .db = *options,
        .say = say,
        .listening = tell_listening,
        .ready = tell_ready,
        .context = server,
    };
    const kv_status_t status = kvi_loop_run(loop, &events, message);
    kvi_loop_close(loop);
    return status == KV_OK ? 0 : complain(message);
}

/* The server begins on an empty database in memory; a directory's takes its place. */
static int serve_database(const kvi_config_t *config, const kvi_db_options_t *options, kvi_db_t *db)
{
    kvi_commit_t *commit;
    if (kvi_commit_none_open(db, &commit) != KV_OK) {
        return complain("out of memory");
    }
    kvi_server_t *server;
    int result;
    if (kvi_server_open(config, db, commit, &server) == KV_OK) {
        result = serve_on(server, options);
        kvi_server_close(server);
    } else {
        result = complain("out of memory");
    }
    commit->ops->close(commit);
    return result;
}

static int serve(const kvi_config_t *config)
{
    kvi_db_options_t options = {
        .engine = kv_engine_find(config->engine),
        .keyspaces = (size_t)config->databases,
        .memory_limit = (size_t)config->maxmemory,
    };
    if (!kvi_os_random(&options.hash_seed, sizeof options.hash_seed)) {
        return complain("the system has no random bytes for the hash seed");
    }
    kvi_db_t *db;
    const kv_status_t status = kvi_db_open(&options, &db);
    if (status != KV_OK) {
        return complain(kv_status_text(status));
    }
    const int result = serve_database(config, &options, db);
    kvi_db_close(db);
    return result;
}

int main(int argc, char **argv)
{
    kvi_loop_use_store();
    /* Housekeeping gives idle memory back in small steps. */
    kv_memory_set_idle_limit(SIZE_MAX);
    kvi_config_t config;
    if (kvi_config_open(&config) != KV_OK) {
        return complain("out of memory");
    }
    char message[KVI_OPTIONS_MESSAGE_BYTES];
    int result = 0;
    switch (kvi_options_parse(&config, argc, argv, message)) {
    case KVI_OPTIONS_RUN:
        allow_descriptors(&config);
        result = serve(&config);
        break;
    case KVI_OPTIONS_HELP:
        print_help();
        break;
    case KVI_OPTIONS_VERSION:
        (void)printf("kvserver %s\n", kv_version());
        break;
    case KVI_OPTIONS_WRONG:
        result = complain(message);
        break;
    }
    kvi_config_close(&config);
    return result;
}
