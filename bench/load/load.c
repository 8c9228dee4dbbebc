/* SPDX-License-Identifier: MIT */
/* Connections, batches and the loop. Thread rule: one user. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS 1024
#define INPUT_BYTES_MIN 65536
#define SHOWN_BYTES 120
#define DRAIN_NS UINT64_C(3000000000)

void load_fail(const char *message, const char *bytes, size_t count)
{
    fprintf(stderr, "kvload: %s", message);
    if (bytes != NULL) {
        fprintf(stderr, ": got \"");
        for (size_t i = 0; i < count && i < SHOWN_BYTES; i++) {
            const unsigned char byte = (unsigned char)bytes[i];
            if (byte == '\r' || byte == '\n') {
                fputs(byte == '\r' ? "\\r" : "\\n", stderr);
            } else if (byte < ' ' || byte > '~') {
                fprintf(stderr, "\\x%02x", byte);
            } else {
                fputc(byte, stderr);
            }
        }
        fputc('"', stderr);
    }
    fputc('\n', stderr);
    exit(2);
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL) {
        load_fail("out of memory", NULL, 0);
    }
    return memory;
}

/* ---- which key is next ---- */

static uint64_t next_random(load_t *load)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random;
}

/* A fixed number for a key, so that the same keys are deleted in every run. After MurmurHash3's
 * finaliser. */
static uint64_t mix_key(uint64_t key)
{
    key ^= key >> 33;
    key *= UINT64_C(0xff51afd7ed558ccd);
    key ^= key >> 33;
    key *= UINT64_C(0xc4ceb9fe1a85ec53);
    return key ^ key >> 33;
}

__extension__ typedef unsigned __int128 wide_t;

/* number * keys / 2^64: evenly below keys, without a division. */
static uint64_t random_key(load_t *load)
{
    const uint64_t number = next_random(load) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint64_t)((wide_t)number * load->options.keys >> 64);
}

/* False when a walk over all keys has come to its end. */
static bool next_request(load_t *load, operation_t *operation, uint64_t *key)
{
    const load_options_t *options = &load->options;
    switch (options->mode) {
    case LOAD_FILL:
        *operation = OPERATION_SET;
        *key = load->next_key++;
        return *key < options->keys;
    case LOAD_DEL:
        *operation = OPERATION_DEL;
        do {
            *key = load->next_key++;
        } while (*key < options->keys &&
                 (double)(mix_key(*key + 12345) % 1000) >= options->del_percent * 10.0);
        return *key < options->keys;
    case LOAD_GET:
    case LOAD_SET:
        *operation = options->mode == LOAD_GET ? OPERATION_GET : OPERATION_SET;
        break;
    case LOAD_MIX:
        *operation = next_random(load) % 100 < options->get_percent ? OPERATION_GET : OPERATION_SET;
        break;
    }
    *key = random_key(load);
    return true;
}

/* ---- one connection ---- */

/* Prepares the next batch. False when there is nothing more to ask. */
static bool make_batch(load_t *load, connection_t *connection)
{
    operation_t operation = OPERATION_GET;
    uint64_t key = 0;
    char *out = connection->out;
    size_t count = 0;
    while (!load->draining && count < load->options.pipeline &&
           next_request(load, &operation, &key)) {
        out += protocol_request(&load->protocol, operation, key, out, &connection->expected[count]);
        count++;
    }
    connection->batch = count;
    connection->received = 0;
    connection->out_length = (size_t)(out - connection->out);
    connection->out_sent = 0;
    return count > 0;
}

static void watch(load_t *load, connection_t *connection, bool wants_write)
{
    if (connection->wants_write != wants_write) {
        struct epoll_event event = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0U),
                                    .data.ptr = connection};
        if (epoll_ctl(load->poll, EPOLL_CTL_MOD, connection->descriptor, &event) != 0) {
            load_fail(strerror(errno), NULL, 0);
        }
        connection->wants_write = wants_write;
    }
}

static void send_batch(load_t *load, connection_t *connection)
{
    while (connection->out_sent < connection->out_length) {
        const ssize_t sent = write(connection->descriptor, connection->out + connection->out_sent,
                                   connection->out_length - connection->out_sent);
        if (sent < 0 && errno == EAGAIN) {
            watch(load, connection, true);
            return;
        }
        if (sent < 0) {
            load_fail(strerror(errno), NULL, 0);
        }
        connection->out_sent += (size_t)sent;
    }
    watch(load, connection, false);
}

/* Checks what has arrived. Returns the bytes used. */
static size_t check_replies(load_t *load, connection_t *connection)
{
    size_t at = 0;
    while (connection->received < connection->batch) {
        size_t used = 0;
        const char *bytes = connection->in + at;
        const size_t count = connection->in_length - at;
        const expected_t *expected = &connection->expected[connection->received];
        const verdict_t verdict = protocol_check(&load->protocol, expected, bytes, count, &used);
        if (verdict == VERDICT_MORE) {
            break;
        }
        if (verdict == VERDICT_WRONG) {
            load_fail("wrong reply", bytes, count);
        }
        load->misses += verdict == VERDICT_MISS ? 1 : 0;
        load->replies++;
        connection->received++;
        at += used;
    }
    return at;
}

/* One read. True when the batch is complete. */
static bool receive_replies(load_t *load, connection_t *connection)
{
    const ssize_t got = read(connection->descriptor, connection->in + connection->in_length,
                             connection->in_size - connection->in_length);
    if (got == 0) {
        load_fail("the server closed a connection", NULL, 0);
    }
    if (got < 0) {
        if (errno == EAGAIN) {
            return false;
        }
        load_fail(strerror(errno), NULL, 0);
    }
    connection->in_length += (size_t)got;
    const size_t used = check_replies(load, connection);
    connection->in_length -= used;
    memmove(connection->in, connection->in + used, connection->in_length);
    if (connection->received < connection->batch) {
        return false;
    }
    if (connection->in_length > 0) {
        load_fail("more replies than requests", connection->in, connection->in_length);
    }
    if (load->recording) {
        histogram_add(&load->latencies, gauge_now_ns() - connection->batch_start_ns);
    }
    return true;
}

static void start_batch(load_t *load, connection_t *connection)
{
    if (make_batch(load, connection)) {
        connection->batch_start_ns = gauge_now_ns();
        send_batch(load, connection);
    } else {
        load->active--;
    }
}

/* ---- connecting ---- */

static int connect_tcp(const load_options_t *options)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options->port)};
    const int one = 1;
    if (inet_pton(AF_INET, options->host, &address.sin_addr) != 1) {
        load_fail("the host must be an IPv4 address", options->host, strlen(options->host));
    }
    const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (descriptor < 0 ||
        connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        load_fail(strerror(errno), NULL, 0);
    }
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return descriptor;
}

static int connect_unix(const load_options_t *options)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", options->path);
    const int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    if (descriptor < 0 ||
        connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        load_fail(strerror(errno), NULL, 0);
    }
    return descriptor;
}

static void open_connection(load_t *load, connection_t *connection)
{
    const load_options_t *options = &load->options;
    const size_t replies = load->protocol.reply_length * options->pipeline + 4096;
    connection->descriptor = options->path != NULL ? connect_unix(options) : connect_tcp(options);
    connection->expected = allocate(options->pipeline * sizeof(*connection->expected));
    connection->out = allocate(protocol_request_max(&load->protocol) * options->pipeline);
    connection->in_size = replies > INPUT_BYTES_MIN ? replies : INPUT_BYTES_MIN;
    connection->in = allocate(connection->in_size);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (fcntl(connection->descriptor, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(load->poll, EPOLL_CTL_ADD, connection->descriptor, &event) != 0) {
        load_fail(strerror(errno), NULL, 0);
    }
}

void load_open(load_t *load, const load_options_t *options)
{
    *load =
        (load_t){.options = *options, .random = UINT64_C(0x9E3779B97F4A7C15) * (options->seed + 1)};
    if (!protocol_open(&load->protocol, options->protocol, options->value_bytes)) {
        load_fail("unknown protocol or out of memory", options->protocol,
                  strlen(options->protocol));
    }
    load->poll = epoll_create1(0);
    load->connections = allocate(options->connections * sizeof(*load->connections));
    for (size_t i = 0; i < options->connections; i++) {
        open_connection(load, &load->connections[i]);
    }
}

/* ---- the run ---- */

typedef struct window {
    uint64_t start_ns;
    uint64_t replies;
    uint64_t misses;
    process_time_t server;
    uint64_t own_ns;
} window_t;

static window_t open_window(load_t *load)
{
    const uint64_t now = gauge_now_ns();
    load->recording = true;
    for (size_t i = 0; i < load->options.connections; i++) {
        load->connections[i].batch_start_ns = now;
    }
    return (window_t){.start_ns = gauge_now_ns(),
                      .replies = load->replies,
                      .misses = load->misses,
                      .server = process_time_read(load->options.server_pid),
                      .own_ns = own_time_ns()};
}

static load_figures_t close_window(const load_t *load, const window_t *window)
{
    const process_time_t server = process_time_read(load->options.server_pid);
    return (load_figures_t){.replies = load->replies - window->replies,
                            .misses = load->misses - window->misses,
                            .seconds = (double)(gauge_now_ns() - window->start_ns) / 1e9,
                            .server = {.scheduled = server.scheduled - window->server.scheduled,
                                       .user = server.user - window->server.user,
                                       .system = server.system - window->server.system},
                            .own_ns = own_time_ns() - window->own_ns};
}

static void serve_events(load_t *load, int timeout)
{
    struct epoll_event events[EVENTS];
    const int count = epoll_wait(load->poll, events, EVENTS, timeout);
    for (int i = 0; i < count; i++) {
        connection_t *connection = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) != 0) {
            send_batch(load, connection);
        }
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 &&
            receive_replies(load, connection)) {
            start_batch(load, connection);
        }
    }
}

/* Walks over all keys end by themselves and are measured from their first request. */
static bool walks_all_keys(const load_options_t *options)
{
    return options->mode == LOAD_FILL || options->mode == LOAD_DEL;
}

load_figures_t load_run(load_t *load)
{
    const load_options_t *options = &load->options;
    const bool walk = walks_all_keys(options);
    const uint64_t warm_up_ns = walk ? 0 : (uint64_t)(options->warm_up_seconds * 1e9);
    const uint64_t length_ns = walk ? UINT64_MAX / 2 : (uint64_t)(options->seconds * 1e9);
    const uint64_t begin = gauge_now_ns();
    window_t window = {0};
    if (warm_up_ns == 0) {
        window = open_window(load);
    }
    load->active = options->connections;
    for (size_t i = 0; i < options->connections; i++) {
        start_batch(load, &load->connections[i]);
    }
    while (load->active > 0) {
        serve_events(load, options->spin ? 0 : -1);
        const uint64_t now = gauge_now_ns();
        if (!load->recording) {
            if (now - begin >= warm_up_ns) {
                window = open_window(load);
            }
        } else if (now - window.start_ns >= length_ns ||
                   (options->requests > 0 && load->replies - window.replies >= options->requests)) {
            break;
        }
    }
    return close_window(load, &window);
}

void load_close(load_t *load)
{
    const uint64_t end = gauge_now_ns() + DRAIN_NS;
    load->draining = true;
    load->recording = false;
    while (load->active > 0 && gauge_now_ns() < end) {
        serve_events(load, 100);
    }
    for (size_t i = 0; i < load->options.connections; i++) {
        connection_t *connection = &load->connections[i];
        close(connection->descriptor);
        free(connection->expected);
        free(connection->out);
        free(connection->in);
    }
    free(load->connections);
    close(load->poll);
    protocol_close(&load->protocol);
}
