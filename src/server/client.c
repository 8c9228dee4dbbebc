/* SPDX-License-Identifier: MIT */
/* Clients: their list and what commands may change of them. */
#include "server/client.h"

#include <string.h>

#include <concordkv/kv_memory.h>

#include "server/server.h"

void kvi_client_open(kvi_server_t *server, kvi_client_t *client, int64_t now_ms)
{
    client->server = server;
    client->id = ++server->last_client_id;
    client->created_ms = now_ms;
    client->active_ms = now_ms;
    kvi_reply_open(&client->reply);
    client->previous = server->last_client;
    client->next = NULL;
    if (server->last_client != NULL) {
        server->last_client->next = client;
    } else {
        server->first_client = client;
    }
    server->last_client = client;
    server->clients++;
}

static void clear_text(char **field)
{
    kv_store_free(*field);
    *field = NULL;
}

void kvi_client_close(kvi_client_t *client)
{
    kvi_server_t *const server = client->server;
    if (client->previous != NULL) {
        client->previous->next = client->next;
    } else {
        server->first_client = client->next;
    }
    if (client->next != NULL) {
        client->next->previous = client->previous;
    } else {
        server->last_client = client->previous;
    }
    server->clients--;
    kvi_transaction_discard(client);
    clear_text(&client->name);
    kvi_reply_close(&client->reply);
}

void kvi_client_reset(kvi_client_t *client)
{
    kvi_transaction_discard(client);
    client->database = 0;
    client->reply.protocol = 2;
    client->reply_mode = KVI_REPLY_ON;
    client->reply.muted = false;
    client->no_touch = false;
    client->no_evict = false;
    clear_text(&client->name);
}

kvi_request_t kvi_client_request(kvi_client_t *client, int64_t now_ms, size_t argc,
                                 const kv_slice_t *argv)
{
    kvi_server_t *const server = client->server;
    return (kvi_request_t){
        .server = server,
        .client = client,
        .db = server->db,
        .keyspace = kvi_db_keyspace(server->db, client->database),
        .now_ms = now_ms,
        .argc = argc,
        .argv = argv,
        .reply = &client->reply,
    };
}

bool kvi_client_is_text(kv_slice_t text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '!' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

kv_status_t kvi_client_set_text(char **field, kv_slice_t text)
{
    if (!kvi_client_is_text(text)) {
        return KV_INVALID;
    }
    char *copy = NULL;
    if (text.size > 0) {
        copy = kv_store_malloc(text.size + 1);
        if (copy == NULL) {
            return KV_NO_MEMORY;
        }
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
    }
    kv_store_free(*field);
    *field = copy;
    return KV_OK;
}
