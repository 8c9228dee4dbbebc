/* SPDX-License-Identifier: MIT */
/* The loop: listening, signals, the phases of a turn. What happens in a turn is in executor.c. */
#include "server/loop.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "server/loop_int.h"

/* ---- addresses ---- */

static bool parse_address(const char *text, int port, struct sockaddr_storage *address)
{
    const char *const host = strcmp(text, "localhost") == 0 ? "127.0.0.1" : text;
    return uv_ip4_addr(host, port, (struct sockaddr_in *)address) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)address) == 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *const four = (const struct sockaddr_in *)address;
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *const six = (const struct sockaddr_in6 *)address;
    return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

static kv_status_t choose_address(const kvi_config_t *config, struct sockaddr_storage *address,
                                  char *message)
{
    if (!parse_address(config->bind, (int)config->port, address)) {
        (void)snprintf(
            message, KVI_LOOP_MESSAGE_BYTES,
            "--bind %s is no address; give one of this machine, such as 127.0.0.1 or ::1",
            config->bind);
        return KV_INVALID;
    }
    if (config->protected_mode && !is_loopback(address)) {
        (void)snprintf(
            message, KVI_LOOP_MESSAGE_BYTES,
            "--bind %s would let other machines in, and this version has no passwords; bind to "
            "127.0.0.1, or say --protected-mode no if everybody on that network may read and write",
            config->bind);
        return KV_INVALID;
    }
    return KV_OK;
}

static int bound_port(const uv_tcp_t *listener)
{
    struct sockaddr_storage address = {0};
    int size = sizeof address;
    if (uv_tcp_getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    return address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&address)->sin6_port)
                                         : ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void greet(uv_stream_t *listener, int status)
{
    if (status == 0) {
        kvi_connection_accept(listener->data);
    }
}

static kv_status_t listen_on(kvi_loop_t *loop, char *message)
{
    const kvi_config_t *const config = &loop->server->config;
    struct sockaddr_storage address = {0};
    const kv_status_t status = choose_address(config, &address, message);
    if (status != KV_OK) {
        return status;
    }
    int result = uv_tcp_bind(&loop->listener, (const struct sockaddr *)&address, 0);
    if (result == 0) {
        result = uv_listen((uv_stream_t *)&loop->listener, (int)config->tcp_backlog, greet);
    }
    if (result != 0) {
        (void)snprintf(
            message, KVI_LOOP_MESSAGE_BYTES, "cannot listen on %s:%d: %s; %s", config->bind,
            (int)config->port, uv_strerror(result),
            result == UV_EADDRINUSE ? "choose another with --port, or --port 0 for any free one"
            : result == UV_EACCES ? "ports below 1024 are the system's: choose another with --port"
                                  : "choose an address of this machine with --bind");
        return KV_IO;
    }
    loop->server->port = bound_port(&loop->listener);
    return KV_OK;
}

/* ---- phases and signals ---- */

static void check(uv_check_t *handle)
{
    kvi_loop_turn(handle->data);
}

static void woken(uv_async_t *handle)
{
    kvi_loop_t *const loop = handle->data;
    kvi_loader_look(loop);
    kvi_loop_release_held(loop);
}

static void stop(uv_signal_t *handle, int number)
{
    kvi_loop_t *const loop = handle->data;
    (void)number;
    loop->server->shutdown_asked = true;
    uv_stop(&loop->uv);
}

static int start_handles(kvi_loop_t *loop)
{
    int result = uv_loop_init(&loop->uv);
    if (result != 0) {
        return result;
    }
    loop->open = true;
    loop->check.data = loop;
    loop->terminate.data = loop;
    loop->interrupt.data = loop;
    loop->listener.data = loop;
    loop->wake.data = loop;
    /* These only fill in structs; what can fail is below. */
    (void)uv_check_init(&loop->uv, &loop->check);
    (void)uv_idle_init(&loop->uv, &loop->idle);
    (void)uv_timer_init(&loop->uv, &loop->timer);
    (void)uv_tcp_init(&loop->uv, &loop->listener);
    (void)uv_check_start(&loop->check, check);
    (void)signal(SIGPIPE, SIG_IGN);
    /* A limit on the size of files is an error of a write, not the end of the process. */
    (void)signal(SIGXFSZ, SIG_IGN);
    result = uv_async_init(&loop->uv, &loop->wake, woken);
    if (result == 0) {
        result = uv_signal_init(&loop->uv, &loop->terminate);
    }
    if (result == 0) {
        result = uv_signal_start(&loop->terminate, stop, SIGTERM);
    }
    if (result == 0) {
        result = uv_signal_init(&loop->uv, &loop->interrupt);
    }
    if (result == 0) {
        result = uv_signal_start(&loop->interrupt, stop, SIGINT);
    }
    return result;
}

static bool take_buffers(kvi_loop_t *loop)
{
    loop->input = kv_store_malloc(KVI_TURN_INPUT_BYTES);
    if (loop->input == NULL) {
        return false;
    }
    for (size_t i = 0; i < KVI_TURN_GROUP; i++) {
        char *const bytes = kv_store_malloc(KVI_SPARE_REPLY_BYTES);
        if (bytes == NULL) {
            return false;
        }
        loop->spare_replies[loop->spare_reply_count++] =
            (kvi_reply_t){.bytes = bytes, .capacity = KVI_SPARE_REPLY_BYTES};
    }
    return true;
}

void kvi_loop_use_store(void)
{
    (void)uv_replace_allocator(kv_store_malloc, kv_store_realloc, kv_store_calloc, kv_store_free);
}

kv_status_t kvi_loop_open(kvi_server_t *server, kvi_loop_t **result,
                          char message[KVI_LOOP_MESSAGE_BYTES])
{
    kvi_loop_t *const loop = kv_store_calloc(1, sizeof *loop);
    if (loop == NULL) {
        (void)snprintf(message, KVI_LOOP_MESSAGE_BYTES, "out of memory");
        return KV_NO_MEMORY;
    }
    loop->server = server;
    kv_status_t status = KV_OK;
    const int error = start_handles(loop);
    if (error != 0) {
        (void)snprintf(message, KVI_LOOP_MESSAGE_BYTES, "cannot start the event loop: %s",
                       uv_strerror(error));
        status = KV_IO;
    } else if (!take_buffers(loop)) {
        (void)snprintf(message, KVI_LOOP_MESSAGE_BYTES, "out of memory");
        status = KV_NO_MEMORY;
    } else {
        status = listen_on(loop, message);
    }
    if (status != KV_OK) {
        kvi_loop_close(loop);
        return status;
    }
    kvi_housekeeping_start(loop);
    *result = loop;
    return KV_OK;
}

kv_status_t kvi_loop_run(kvi_loop_t *loop, const kvi_loop_events_t *events,
                         char message[KVI_LOOP_MESSAGE_BYTES])
{
    kvi_server_t *const server = loop->server;
    loop->events = *events;
    if (server->config.dir[0] == '\0') {
        events->ready(events->context);
    } else {
        events->listening(events->context);
        if (kvi_loader_start(loop) != KV_OK) {
            (void)snprintf(message, KVI_LOOP_MESSAGE_BYTES, "out of memory");
            return KV_NO_MEMORY;
        }
    }
    while (!server->shutdown_asked) {
        (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    }
    kvi_loader_stop(loop->loader);
    kvi_loop_flush(loop);
    kvi_commit_state_t state = {.status = KV_OK};
    server->commit->ops->state(server->commit, &state);
    if (loop->failure[0] != '\0') {
        (void)snprintf(message, KVI_LOOP_MESSAGE_BYTES, "%s", loop->failure);
        return KV_IO;
    }
    if (state.status != KV_OK) {
        (void)snprintf(message, KVI_LOOP_MESSAGE_BYTES, "the last changes could not be kept: %s",
                       state.reason);
    }
    return state.status;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* The server is left without a database that would outlive its directory. */
static void close_directory(kvi_server_t *server)
{
    if (server->directory != NULL) {
        (void)kvi_directory_close(server->directory);
        server->directory = NULL;
        server->db = NULL;
        server->commit = NULL;
    }
}

void kvi_loop_close(kvi_loop_t *loop)
{
    if (loop == NULL) {
        return;
    }
    if (loop->open) {
        /* Clients see the end at once, though a load may need a moment to be broken off. */
        kvi_connection_close_all(loop);
    }
    /* Before the handle that its threads wake is closed. */
    kvi_loader_close(loop->loader);
    close_directory(loop->server);
    if (loop->open) {
        uv_walk(&loop->uv, close_handle, NULL);
        (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
        (void)uv_loop_close(&loop->uv);
    }
    for (size_t i = 0; i < loop->spare_reply_count; i++) {
        kv_store_free(loop->spare_replies[i].bytes);
    }
    for (size_t i = 0; i < KVI_TURN_GROUP; i++) {
        kv_store_free(loop->slots[i].argv);
        kv_store_free(loop->slots[i].inline_copy);
    }
    kv_store_free(loop->relocations);
    kv_store_free(loop->input);
    kv_store_free(loop);
}
