/* SPDX-License-Identifier: MIT */
/* How commands find keys: counted as hits and misses, and with the misses of the cache overlapped
 * where a command names many keys. */
#ifndef KVI_SERVER_LOOKUP_H
#define KVI_SERVER_LOOKUP_H

#include "server/command.h"
#include "server/server.h"

#define KVI_LOOKUP_GROUP ((size_t)16)

/* A read of the key in argument number; touch: it counts as an access, if the client's reads do. */
static inline bool kvi_lookup_as(kvi_request_t *request, size_t number, bool touch,
                                 kvi_entry_t *entry)
{
    const bool found = kvi_keyspace_get(request->keyspace, request->argv[number], request->now_ms,
                                        touch && !request->client->no_touch, entry) == KV_OK;
    request->server->stats.keyspace_hits += found;
    request->server->stats.keyspace_misses += !found;
    return found;
}

static inline bool kvi_lookup(kvi_request_t *request, size_t number, kvi_entry_t *entry)
{
    return kvi_lookup_as(request, number, true, entry);
}

/* For commands that want no more than the value, as most do: nothing else of the entry is worked
 * out. */
static inline bool kvi_lookup_value(kvi_request_t *request, size_t number, kv_slice_t *value)
{
    if (kvi_keyspace_get_value(request->keyspace, request->argv[number],
                               kvi_request_aim(request, number), request->now_ms,
                               !request->client->no_touch, value) != KV_OK) {
        request->server->stats.keyspace_misses++;
        return false;
    }
    request->server->stats.keyspace_hits++;
    return true;
}

/* For loops over the keys in arguments 1, 1 + step, ...: prefetches a group of them whenever number
 * is the first of one. */
static inline void kvi_lookup_ahead(kvi_request_t *request, size_t number, size_t step)
{
    /* One key alone gains nothing: its look-up is next. */
    if (request->argc <= 1 + step || (number - 1) / step % KVI_LOOKUP_GROUP != 0) {
        return;
    }
    kv_slice_t keys[KVI_LOOKUP_GROUP];
    size_t count = 0;
    for (size_t i = number; i < request->argc && count < KVI_LOOKUP_GROUP; i += step) {
        keys[count++] = request->argv[i];
    }
    kvi_keyspace_prefetch(request->keyspace, count, keys);
}

#endif
