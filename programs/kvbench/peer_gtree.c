/* SPDX-License-Identifier: MIT */
/* GLib's GTree, a balanced binary tree, with keys and values of any bytes: each an allocation of
 * its own behind its length. */
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "base/bytes.h"
#include "kvbench/store.h"

extern const store_ops_t store_gtree;

typedef struct bytes {
    size_t size;
    char data[];
} bytes_t;

/* What a stored key and one to look for begin with. */
typedef struct probe {
    kv_slice_t slice;
} probe_t;

typedef struct stored_key {
    probe_t probe; /* of the bytes behind it */
    char bytes[];
} stored_key_t;

typedef struct visitor {
    uint64_t sum;
} visitor_t;

static gint compare_keys(gconstpointer a, gconstpointer b, gpointer data)
{
    (void)data;
    return kvi_slice_compare(((const probe_t *)a)->slice, ((const probe_t *)b)->slice);
}

static void *gtree_open(const store_ops_t *self)
{
    (void)self;
    return g_tree_new_full(compare_keys, NULL, free, free);
}

static void gtree_close(void *store)
{
    g_tree_destroy(store);
}

static bool gtree_put(void *store, kv_slice_t key, kv_slice_t value)
{
    stored_key_t *const own_key = malloc(sizeof *own_key + key.size);
    bytes_t *const own_value = malloc(sizeof *own_value + value.size);
    if (own_key == NULL || own_value == NULL) {
        free(own_key);
        free(own_value);
        return false;
    }
    memcpy(own_key->bytes, key.data, key.size);
    own_key->probe.slice = (kv_slice_t){own_key->bytes, key.size};
    own_value->size = value.size;
    memcpy(own_value->data, value.data, value.size);
    g_tree_insert(store, own_key, own_value);
    return true;
}

static bool gtree_get(void *store, kv_slice_t key, kv_slice_t *value)
{
    const probe_t probe = {key};
    const bytes_t *const found = g_tree_lookup(store, &probe);
    if (found != NULL) {
        *value = (kv_slice_t){found->data, found->size};
    }
    return found != NULL;
}

static bool gtree_del(void *store, kv_slice_t key)
{
    const probe_t probe = {key};
    return g_tree_remove(store, &probe);
}

static gboolean add_entry(gpointer key, gpointer value, gpointer data)
{
    const bytes_t *const own_value = value;
    ((visitor_t *)data)->sum += store_touch(((const probe_t *)key)->slice) +
                                store_touch((kv_slice_t){own_value->data, own_value->size});
    return FALSE;
}

static uint64_t gtree_iterate(void *store)
{
    visitor_t visitor = {0};
    g_tree_foreach(store, add_entry, &visitor);
    return visitor.sum;
}

static void *gtree_cursor_open(void *store)
{
    return store;
}

static size_t gtree_seek(void *cursor, kv_slice_t key, size_t count, uint64_t *sum)
{
    const probe_t probe = {key};
    visitor_t visitor = {0};
    size_t visited = 0;
    for (GTreeNode *node = g_tree_lower_bound(cursor, &probe); node != NULL && visited < count;
         node = g_tree_node_next(node)) {
        (void)add_entry(g_tree_node_key(node), g_tree_node_value(node), &visitor);
        visited++;
    }
    *sum += visitor.sum;
    return visited;
}

static void gtree_cursor_close(void *cursor)
{
    (void)cursor;
}

const store_ops_t store_gtree = {
    .name = "gtree",
    .shares_reads = true,
    .open = gtree_open,
    .close = gtree_close,
    .put = gtree_put,
    .get = gtree_get,
    .del = gtree_del,
    .iterate = gtree_iterate,
    .cursor_open = gtree_cursor_open,
    .seek = gtree_seek,
    .cursor_close = gtree_cursor_close,
};
