/* SPDX-License-Identifier: MIT */
/* GLib's GHashTable with keys and values of any bytes, each an allocation of its own behind its
 * length, as its users keep them. The hash is the one our engine uses. */
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "base/hash.h"
#include "kvbench/store.h"

extern const store_ops_t store_glib;

typedef struct bytes {
    size_t size;
    char data[];
} bytes_t;

/* A key to look for: never stored, so it may point at the caller's bytes. Stored keys and this
 * begin alike. */
typedef struct probe {
    size_t size;
    const char *data;
} probe_t;

typedef struct stored_key {
    probe_t probe; /* its data are the bytes behind it */
    char bytes[];
} stored_key_t;

static guint hash_key(gconstpointer key)
{
    const probe_t *const probe = key;
    return (guint)kvi_hash_bytes(probe->data, probe->size, 0);
}

static gboolean keys_equal(gconstpointer a, gconstpointer b)
{
    const probe_t *const left = a;
    const probe_t *const right = b;
    return left->size == right->size && memcmp(left->data, right->data, left->size) == 0;
}

static void *glib_open(const store_ops_t *self)
{
    (void)self;
    return g_hash_table_new_full(hash_key, keys_equal, free, free);
}

static void glib_close(void *store)
{
    g_hash_table_destroy(store);
}

static bool glib_put(void *store, kv_slice_t key, kv_slice_t value)
{
    stored_key_t *const own_key = malloc(sizeof *own_key + key.size);
    bytes_t *const own_value = malloc(sizeof *own_value + value.size);
    if (own_key == NULL || own_value == NULL) {
        free(own_key);
        free(own_value);
        return false;
    }
    memcpy(own_key->bytes, key.data, key.size);
    own_key->probe = (probe_t){key.size, own_key->bytes};
    own_value->size = value.size;
    memcpy(own_value->data, value.data, value.size);
    g_hash_table_insert(store, own_key, own_value);
    return true;
}

static bool glib_get(void *store, kv_slice_t key, kv_slice_t *value)
{
    const probe_t probe = {key.size, key.data};
    const bytes_t *const found = g_hash_table_lookup(store, &probe);
    if (found != NULL) {
        *value = (kv_slice_t){found->data, found->size};
    }
    return found != NULL;
}

static bool glib_del(void *store, kv_slice_t key)
{
    const probe_t probe = {key.size, key.data};
    return g_hash_table_remove(store, &probe);
}

static uint64_t glib_iterate(void *store)
{
    GHashTableIter iterator;
    gpointer key;
    gpointer value;
    uint64_t sum = 0;
    g_hash_table_iter_init(&iterator, store);
    while (g_hash_table_iter_next(&iterator, &key, &value)) {
        const probe_t *const own_key = key;
        const bytes_t *const own_value = value;
        sum += store_touch((kv_slice_t){own_key->data, own_key->size});
        sum += store_touch((kv_slice_t){own_value->data, own_value->size});
    }
    return sum;
}

const store_ops_t store_glib = {
    .name = "glib",
    .shares_reads = true,
    .open = glib_open,
    .close = glib_close,
    .put = glib_put,
    .get = glib_get,
    .del = glib_del,
    .iterate = glib_iterate,
};
