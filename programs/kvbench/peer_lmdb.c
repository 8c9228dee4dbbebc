/* SPDX-License-Identifier: MIT */
/*
 * LMDB on a file in memory (/dev/shm) that nothing is ever synced to. One transaction is open all
 * the time: a writing one from the first write until something is read, then a reading one, since
 * that is how LMDB is fast.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <lmdb.h>

#include "kvbench/store.h"

#define MAP_BYTES ((size_t)32 << 30) /* of addresses */

extern const store_ops_t store_lmdb;

typedef struct lmdb {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn;
    bool writing;
} lmdb_t;

static bool end_transaction(lmdb_t *lmdb)
{
    MDB_txn *const txn = lmdb->txn;
    lmdb->txn = NULL;
    if (txn != NULL && lmdb->writing) {
        return mdb_txn_commit(txn) == 0;
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return true;
}

/* Opens the transaction that is wanted, if it is not there. */
static bool turn(lmdb_t *lmdb, bool writing)
{
    if (lmdb->txn != NULL && lmdb->writing == writing) {
        return true;
    }
    if (!end_transaction(lmdb)) {
        return false;
    }
    lmdb->writing = writing;
    return mdb_txn_begin(lmdb->env, NULL, writing ? 0 : MDB_RDONLY, &lmdb->txn) == 0;
}

static bool open_environment(lmdb_t *lmdb)
{
    char path[64];
    const unsigned flags =
        MDB_NOSUBDIR | MDB_NOLOCK | MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOTLS;
    (void)snprintf(path, sizeof path, "/dev/shm/kvbench-lmdb-%ld", (long)getpid());
    if (mdb_env_create(&lmdb->env) != 0) {
        return false;
    }
    const bool opened = mdb_env_set_mapsize(lmdb->env, MAP_BYTES) == 0 &&
                        mdb_env_open(lmdb->env, path, flags, 0600) == 0;
    (void)unlink(path); /* it lives on until it is closed */
    return opened && turn(lmdb, true) && mdb_dbi_open(lmdb->txn, NULL, 0, &lmdb->dbi) == 0;
}

static void lmdb_close(void *store)
{
    lmdb_t *const lmdb = store;
    (void)end_transaction(lmdb);
    if (lmdb->env != NULL) {
        mdb_env_close(lmdb->env);
    }
    free(lmdb);
}

static void *lmdb_open(const store_ops_t *self)
{
    lmdb_t *const lmdb = calloc(1, sizeof *lmdb);
    (void)self;
    if (lmdb != NULL && !open_environment(lmdb)) {
        lmdb_close(lmdb);
        return NULL;
    }
    return lmdb;
}

static MDB_val val_of(kv_slice_t slice)
{
    return (MDB_val){slice.size, (void *)(uintptr_t)slice.data};
}

static kv_slice_t slice_of(MDB_val val)
{
    return (kv_slice_t){val.mv_data, val.mv_size};
}

static bool lmdb_put(void *store, kv_slice_t key, kv_slice_t value)
{
    lmdb_t *const lmdb = store;
    MDB_val k = val_of(key);
    MDB_val v = val_of(value);
    return turn(lmdb, true) && mdb_put(lmdb->txn, lmdb->dbi, &k, &v, 0) == 0;
}

/* In whatever transaction is open: a writing one sees its own writes. */
static bool lmdb_get(void *store, kv_slice_t key, kv_slice_t *value)
{
    lmdb_t *const lmdb = store;
    MDB_val k = val_of(key);
    MDB_val v;
    if ((lmdb->txn == NULL && !turn(lmdb, false)) || mdb_get(lmdb->txn, lmdb->dbi, &k, &v) != 0) {
        return false;
    }
    *value = slice_of(v);
    return true;
}

static bool lmdb_del(void *store, kv_slice_t key)
{
    lmdb_t *const lmdb = store;
    MDB_val k = val_of(key);
    return turn(lmdb, true) && mdb_del(lmdb->txn, lmdb->dbi, &k, NULL) == 0;
}

static void *lmdb_cursor_open(void *store)
{
    lmdb_t *const lmdb = store;
    MDB_cursor *cursor = NULL;
    return turn(lmdb, false) && mdb_cursor_open(lmdb->txn, lmdb->dbi, &cursor) == 0 ? cursor : NULL;
}

static void lmdb_cursor_close(void *cursor)
{
    mdb_cursor_close(cursor);
}

static size_t visit(MDB_cursor *cursor, MDB_val *key, MDB_cursor_op first, size_t count,
                    uint64_t *sum)
{
    MDB_val value;
    size_t visited = 0;
    for (int result = mdb_cursor_get(cursor, key, &value, first); result == 0;) {
        *sum += store_touch(slice_of(*key)) + store_touch(slice_of(value));
        visited++;
        result = visited < count ? mdb_cursor_get(cursor, key, &value, MDB_NEXT) : MDB_NOTFOUND;
    }
    return visited;
}

static size_t lmdb_seek(void *cursor, kv_slice_t key, size_t count, uint64_t *sum)
{
    MDB_val from = val_of(key);
    return visit(cursor, &from, MDB_SET_RANGE, count, sum);
}

static uint64_t lmdb_iterate(void *store)
{
    MDB_cursor *const cursor = lmdb_cursor_open(store);
    MDB_val key = {0, NULL};
    uint64_t sum = 0;
    if (cursor != NULL) {
        (void)visit(cursor, &key, MDB_FIRST, SIZE_MAX, &sum);
        lmdb_cursor_close(cursor);
    }
    return sum;
}

/* Pages of the file that were ever used. */
static void lmdb_bytes(void *store, store_bytes_t *bytes)
{
    lmdb_t *const lmdb = store;
    MDB_envinfo info;
    MDB_stat stat;
    *bytes = (store_bytes_t){0};
    if (turn(lmdb, false) && mdb_env_info(lmdb->env, &info) == 0 &&
        mdb_env_stat(lmdb->env, &stat) == 0) {
        bytes->total = (info.me_last_pgno + 1) * stat.ms_psize;
    }
}

const store_ops_t store_lmdb = {
    .name = "lmdb",
    .open = lmdb_open,
    .close = lmdb_close,
    .put = lmdb_put,
    .get = lmdb_get,
    .del = lmdb_del,
    .iterate = lmdb_iterate,
    .bytes = lmdb_bytes,
    .cursor_open = lmdb_cursor_open,
    .seek = lmdb_seek,
    .cursor_close = lmdb_cursor_close,
};
