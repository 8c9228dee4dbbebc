/* SPDX-License-Identifier: MIT */
/* Connections: their buffers, and what happens between a socket and the executor. The picture is in
 * loop_int.h. */
#include <stdio.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "os/os.h"
#include "server/loop_int.h"

#define OWN_INPUT_BYTES ((size_t)16 << 10)
/* How much larger than what has arrived a buffer may be made. An announced length alone gets next
 * to nothing, since the first byte of a large buffer already costs a huge page. */
#define TRUSTED_INPUT_BYTES ((size_t)64 << 10)
#define TRUSTED_SHARE ((size_t)16)
#define TRUSTED_SHARE_OF_LARGE ((size_t)4)
#define GROWTH_MIN ((size_t)8)
#define LARGE_INPUT_BYTES ((size_t)2 << 20)
/* A buffer filled less than this share is given up for a smaller one. */
#define KEPT_INPUT_SHARE ((size_t)64)
#define OWN_INPUT_TURN_BYTES ((size_t)1 << 20)

void kvi_connection_mark_ready(kvi_connection_t *connection)
{
    kvi_ready_list_t *const list = &connection->loop->ready;
    if (connection->ready) {
        return;
    }
    connection->ready = true;
    connection->next_ready = NULL;
    if (list->last != NULL) {
        list->last->next_ready = connection;
    } else {
        list->first = connection;
    }
    list->last = connection;
}

size_t kvi_connection_backlog(const kvi_connection_t *connection)
{
    return connection->client.reply.size + connection->sending.size - connection->sent;
}

static void kill_connection(kvi_connection_t *connection)
{
    connection->client.killed = true;
    kvi_connection_mark_ready(connection);
}

/* ---- input ---- */

static bool grow_own_input(kvi_connection_t *connection, size_t capacity)
{
    char *const larger = kv_store_realloc(connection->input, capacity);
    if (larger == NULL) {
        return false;
    }
    connection->input = larger;
    connection->input_capacity = capacity;
    return true;
}

/* What the own buffer may hold, judged by what has arrived. */
static size_t trusted_bytes(const kvi_connection_t *connection)
{
    const size_t size = connection->input_size;
    const size_t needed = connection->parser.needed;
    const size_t share = size < LARGE_INPUT_BYTES ? TRUSTED_SHARE : TRUSTED_SHARE_OF_LARGE;
    const size_t trusted = size * share > TRUSTED_INPUT_BYTES ? size * share : TRUSTED_INPUT_BYTES;
    return needed < trusted ? needed : trusted;
}

/* Room in the own buffer for the rest of an unfinished request. */
static uv_buf_t offer_own_input(kvi_connection_t *connection)
{
    const size_t size = connection->input_size;
    size_t capacity = connection->input_capacity;
    if (connection->blocked || connection->turn_bytes >= OWN_INPUT_TURN_BYTES) {
        return uv_buf_init(NULL, 0);
    }
    const size_t trusted = trusted_bytes(connection);
    /* Before it is full only for a good reason: what is there is copied. */
    if (size == capacity || (trusted > capacity && (trusted == connection->parser.needed ||
                                                    trusted / GROWTH_MIN > capacity))) {
        capacity = trusted;
        capacity = capacity < size + OWN_INPUT_BYTES ? size + OWN_INPUT_BYTES : capacity;
        if (!grow_own_input(connection, capacity)) {
            kill_connection(connection);
            return uv_buf_init(NULL, 0);
        }
    }
    const size_t room = connection->input_capacity - size;
    return uv_buf_init(connection->input + size, (unsigned)(room < UINT32_MAX ? room : UINT32_MAX));
}

/* Room in the turn's input; none when the turn or this connection's share of it is full, which the
 * next turn mends. */
static uv_buf_t offer_turn_input(kvi_connection_t *connection)
{
    kvi_loop_t *const loop = connection->loop;
    char *const free_bytes = loop->input + loop->input_used;
    if (connection->input_size > 0 && (connection->input + connection->input_size != free_bytes ||
                                       connection->turn_bytes >= KVI_TURN_CONNECTION_BYTES)) {
        return uv_buf_init(NULL, 0);
    }
    const size_t room = KVI_TURN_INPUT_BYTES - loop->input_used;
    return uv_buf_init(
        free_bytes,
        (unsigned)(room < KVI_TURN_CONNECTION_BYTES ? room : KVI_TURN_CONNECTION_BYTES));
}

static void offer_input(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    kvi_connection_t *const connection = handle->data;
    (void)suggested;
    *buffer =
        connection->input_capacity > 0 ? offer_own_input(connection) : offer_turn_input(connection);
}

static void receive(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    kvi_connection_t *const connection = stream->data;
    kvi_loop_t *const loop = connection->loop;
    if (count == UV_ENOBUFS || count == 0) {
        return;
    }
    if (count == UV_EOF) {
        connection->ended = true;
        (void)uv_read_stop(stream);
        connection->reading = false;
        kvi_connection_mark_ready(connection);
        return;
    }
    if (count < 0) {
        kill_connection(connection);
        return;
    }
    const size_t bytes = (size_t)count;
    if (connection->input_capacity == 0) {
        if (connection->input_size == 0) {
            connection->input = buffer->base;
        }
        loop->input_used += bytes;
    }
    connection->input_size += bytes;
    connection->turn_bytes += bytes;
    connection->client.input_bytes = connection->input_size;
    connection->client.input_capacity = connection->input_capacity;
    loop->server->stats.input_bytes += bytes;
    kvi_connection_mark_ready(connection);
}

/* Keeps the unparsed rest of a turn in the own buffer, or lets that buffer go. */
static bool keep_rest(kvi_connection_t *connection)
{
    const size_t rest = connection->input_size - connection->input_used;
    const char *const from = connection->input + connection->input_used;
    const bool own = connection->input_capacity > 0;
    connection->turn_bytes = 0;
    if (rest == 0) {
        if (own) {
            kv_store_free(connection->input);
        }
        connection->input = NULL;
        connection->input_capacity = 0;
    } else if (own && connection->input_capacity / KEPT_INPUT_SHARE <= rest) {
        if (connection->input_used > 0) {
            memmove(connection->input, from, rest);
        }
    } else {
        const size_t capacity = rest > OWN_INPUT_BYTES / 2 ? rest * 2 : OWN_INPUT_BYTES;
        char *const copy = kv_store_malloc(capacity);
        if (copy != NULL) {
            memcpy(copy, from, rest);
        }
        if (own) {
            kv_store_free(connection->input);
        }
        connection->input = copy;
        connection->input_capacity = copy != NULL ? capacity : 0;
        if (copy == NULL) {
            connection->input_size = 0;
            connection->input_used = 0;
            return false;
        }
    }
    connection->input_size = rest;
    connection->input_used = 0;
    return true;
}

/* ---- output ---- */

void kvi_connection_take_reply(kvi_connection_t *connection)
{
    kvi_loop_t *const loop = connection->loop;
    kvi_reply_t *const reply = &connection->client.reply;
    if (reply->bytes == NULL && loop->spare_reply_count > 0) {
        const kvi_reply_t *const spare = &loop->spare_replies[--loop->spare_reply_count];
        reply->bytes = spare->bytes;
        reply->capacity = spare->capacity;
        reply->size = 0;
    }
}

/* Empties a reply whose bytes have been sent. */
static void give_reply_back(kvi_loop_t *loop, kvi_reply_t *reply)
{
    if (reply->capacity > 0 && reply->capacity <= KVI_SPARE_REPLY_BYTES_MAX &&
        loop->spare_reply_count < KVI_SPARE_REPLIES) {
        loop->spare_replies[loop->spare_reply_count++] =
            (kvi_reply_t){.bytes = reply->bytes, .capacity = reply->capacity};
    } else {
        kv_store_free(reply->bytes);
    }
    reply->bytes = NULL;
    reply->capacity = 0;
    reply->size = 0;
}

static void finish_write(uv_write_t *write, int status);

/* Hands what the socket did not take to libuv, which sends it when there is room. */
static void write_later(kvi_connection_t *connection, size_t sent)
{
    connection->sending = connection->client.reply;
    connection->sent = sent;
    connection->client.reply.bytes = NULL;
    connection->client.reply.size = 0;
    connection->client.reply.capacity = 0;
    const size_t left = connection->sending.size - sent;
    const uv_buf_t buffer = uv_buf_init(connection->sending.bytes + sent,
                                        (unsigned)(left < INT32_MAX ? left : INT32_MAX));
    connection->writing = uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &buffer, 1,
                                   finish_write) == 0;
    connection->client.killed = !connection->writing;
}

/* One write for everything that waits, unless an earlier one is still under way. */
static void write_replies(kvi_connection_t *connection)
{
    kvi_reply_t *const reply = &connection->client.reply;
    kvi_stats_t *const stats = &connection->loop->server->stats;
    if (connection->writing || reply->size == 0) {
        return;
    }
    const uv_buf_t buffer =
        uv_buf_init(reply->bytes, (unsigned)(reply->size < INT32_MAX ? reply->size : INT32_MAX));
    const int sent = uv_try_write((uv_stream_t *)&connection->tcp, &buffer, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        connection->client.killed = true;
        return;
    }
    const size_t bytes = sent > 0 ? (size_t)sent : 0;
    stats->writes++;
    stats->output_bytes += bytes;
    if (bytes == reply->size) {
        give_reply_back(connection->loop, reply);
    } else {
        write_later(connection, bytes);
    }
}

static void finish_write(uv_write_t *write, int status)
{
    kvi_connection_t *const connection = write->data;
    const size_t left = connection->sending.size - connection->sent;
    connection->writing = false;
    if (status != 0) {
        /* A closing handle cancels its writes; the executor has let go of it already. */
        if (!uv_is_closing((uv_handle_t *)&connection->tcp)) {
            kill_connection(connection);
        }
        return;
    }
    const size_t bytes = left < INT32_MAX ? left : INT32_MAX;
    connection->loop->server->stats.output_bytes += bytes;
    connection->sent += bytes;
    connection->client.active_ms = connection->loop->now_ms;
    if (bytes < left) {
        /* Longer than one call may carry: the rest as a reply of its own, before all later ones. */
        const kvi_reply_t later = connection->client.reply;
        const size_t sent = connection->sent;
        connection->client.reply = connection->sending;
        write_later(connection, sent);
        connection->client.reply = later;
        if (!connection->writing) {
            kill_connection(connection);
        }
        return;
    }
    give_reply_back(connection->loop, &connection->sending);
    connection->sent = 0;
    kvi_connection_mark_ready(connection);
}

/* ---- the end of a turn, and of a connection ---- */

static void free_connection(uv_handle_t *handle)
{
    kvi_connection_t *const connection = handle->data;
    kvi_client_close(&connection->client);
    kvi_reply_close(&connection->sending);
    kvi_parser_close(&connection->parser);
    kv_store_free(connection);
}

static void unlink_held(kvi_connection_t *connection)
{
    kvi_held_list_t *const list = &connection->loop->held;
    if (connection->previous_held != NULL) {
        connection->previous_held->next_held = connection->next_held;
    } else {
        list->first = connection->next_held;
    }
    if (connection->next_held != NULL) {
        connection->next_held->previous_held = connection->previous_held;
    } else {
        list->last = connection->previous_held;
    }
    connection->wait_lsn = 0;
}

static void close_connection(kvi_connection_t *connection)
{
    if (connection->wait_lsn != 0) {
        unlink_held(connection);
    }
    if (connection->stalled) {
        connection->stalled = false;
        connection->loop->stalled--;
    }
    if (connection->input_capacity > 0) {
        kv_store_free(connection->input);
    }
    connection->input = NULL;
    connection->input_capacity = 0;
    connection->input_size = 0;
    connection->client.input_bytes = 0;
    connection->client.input_capacity = 0;
    connection->client.killed = true;
    if (!uv_is_closing((uv_handle_t *)&connection->tcp)) {
        uv_close((uv_handle_t *)&connection->tcp, free_connection);
    }
}

static void steer_reading(kvi_connection_t *connection, bool wanted)
{
    uv_stream_t *const stream = (uv_stream_t *)&connection->tcp;
    if (wanted && !connection->reading) {
        connection->reading = uv_read_start(stream, offer_input, receive) == 0;
    } else if (!wanted && connection->reading) {
        (void)uv_read_stop(stream);
        connection->reading = false;
    }
}

void kvi_connection_finish_turn(kvi_connection_t *connection)
{
    kvi_client_t *const client = &connection->client;
    kvi_server_t *const server = client->server;
    const size_t limit = (size_t)server->config.output_limit;
    if (!client->killed && !client->reply.failed && connection->wait_lsn == 0) {
        write_replies(connection);
    }
    if (kvi_connection_backlog(connection) > limit && !client->killed) {
        server->stats.output_limit_closes++;
        client->killed = true;
    }
    const bool waits = connection->wait_lsn != 0 || connection->stalled;
    const bool ended = connection->ended && !connection->blocked && !connection->stalled;
    const bool done = (client->closing || ended) && kvi_connection_backlog(connection) == 0;
    if (client->killed || client->reply.failed || done || !keep_rest(connection)) {
        close_connection(connection);
        return;
    }
    bool readable =
        !connection->blocked && !(waits && connection->input_size > KVI_TURN_CONNECTION_BYTES);
    if (connection->blocked && !waits &&
        kvi_connection_backlog(connection) <= (size_t)server->config.output_pause) {
        /* Requests wait that have arrived already: no event will announce them. */
        kvi_connection_mark_ready(connection);
        kvi_loop_turn_soon(connection->loop);
        readable = true;
    }
    steer_reading(connection, readable && !client->closing && !connection->ended);
    client->input_bytes = connection->input_size;
    client->input_capacity = connection->input_capacity;
    client->output_bytes = kvi_connection_backlog(connection);
}

/* ---- waiting for the log ---- */

void kvi_connection_hold(kvi_connection_t *connection, uint64_t lsn)
{
    kvi_held_list_t *const list = &connection->loop->held;
    if (connection->wait_lsn != 0 || connection->client.reply.size == 0) {
        return;
    }
    connection->wait_lsn = lsn;
    connection->next_held = NULL;
    connection->previous_held = list->last;
    if (list->last != NULL) {
        list->last->next_held = connection;
    } else {
        list->first = connection;
    }
    list->last = connection;
}

void kvi_connection_release(kvi_connection_t *connection)
{
    kvi_client_t *const client = &connection->client;
    unlink_held(connection);
    if (!client->killed) {
        write_replies(connection);
    }
    client->output_bytes = kvi_connection_backlog(connection);
    if (client->killed || client->closing || connection->ended || connection->input_size > 0 ||
        !connection->reading) {
        kvi_connection_mark_ready(connection);
        kvi_loop_turn_soon(connection->loop);
    }
}

/* ---- the beginning of a connection ---- */

static void write_address(char *text, const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *const six = (const struct sockaddr_in6 *)address;
        (void)uv_ip6_name(six, host, sizeof host);
        (void)snprintf(text, KVI_CLIENT_ADDRESS_BYTES, "[%s]:%d", host, ntohs(six->sin6_port));
    } else {
        const struct sockaddr_in *const four = (const struct sockaddr_in *)address;
        (void)uv_ip4_name(four, host, sizeof host);
        (void)snprintf(text, KVI_CLIENT_ADDRESS_BYTES, "%s:%d", host, ntohs(four->sin_port));
    }
}

static void describe(kvi_connection_t *connection)
{
    struct sockaddr_storage address = {0};
    int size = sizeof address;
    if (uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&address, &size) == 0) {
        write_address(connection->client.address, &address);
    }
    size = sizeof address;
    if (uv_tcp_getsockname(&connection->tcp, (struct sockaddr *)&address, &size) == 0) {
        write_address(connection->client.local_address, &address);
    }
    uv_os_fd_t descriptor;
    if (uv_fileno((uv_handle_t *)&connection->tcp, &descriptor) == 0) {
        connection->client.descriptor = descriptor;
    }
}

static void refuse(kvi_connection_t *connection)
{
    char text[] = "-ERR max number of clients reached\r\n";
    const uv_buf_t buffer = uv_buf_init(text, sizeof text - 1);
    (void)uv_try_write((uv_stream_t *)&connection->tcp, &buffer, 1);
    connection->loop->server->stats.connections_rejected++;
    close_connection(connection);
}

void kvi_connection_accept(kvi_loop_t *loop)
{
    kvi_server_t *const server = loop->server;
    kvi_connection_t *const connection = kv_store_calloc(1, sizeof *connection);
    if (connection == NULL) {
        loop->accept_waits = true;
        return;
    }
    const bool full = server->clients >= (size_t)server->config.maxclients;
    connection->loop = loop;
    kvi_parser_open(&connection->parser);
    kvi_reply_open(&connection->sending);
    kvi_client_open(server, &connection->client, kvi_os_wall_ms());
    if (uv_tcp_init(&loop->uv, &connection->tcp) != 0) {
        kvi_client_close(&connection->client);
        kv_store_free(connection);
        return;
    }
    connection->tcp.data = connection;
    connection->write.data = connection;
    if (uv_accept((uv_stream_t *)&loop->listener, (uv_stream_t *)&connection->tcp) != 0) {
        close_connection(connection);
        return;
    }
    if (full) {
        refuse(connection);
        return;
    }
    server->stats.connections++;
    (void)uv_tcp_nodelay(&connection->tcp, 1);
    if (server->config.tcp_keepalive > 0) {
        (void)uv_tcp_keepalive(&connection->tcp, 1, (unsigned)server->config.tcp_keepalive);
    }
    describe(connection);
    steer_reading(connection, true);
}

void kvi_connection_close_all(kvi_loop_t *loop)
{
    loop->ready = (kvi_ready_list_t){NULL, NULL};
    for (kvi_client_t *client = loop->server->first_client; client != NULL; client = client->next) {
        close_connection((kvi_connection_t *)client);
    }
}
