/* SPDX-License-Identifier: MIT */
/*
 * The rows of LevelDB and RocksDB, whose interfaces are alike: a database in memory (/dev/shm)
 * whose memtable is larger than what it is given, so that the memtable is all there is. Traits
 * names the types and opens.
 */
#ifndef KVBENCH_PEER_LSM_HH
#define KVBENCH_PEER_LSM_HH

#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include <unistd.h>

#include "kvbench/store.h"

namespace kvbench
{

template <typename Traits> struct lsm {
    using slice_type = typename Traits::slice;

    struct state {
        std::string folder;
        std::unique_ptr<typename Traits::db> db;
        typename Traits::value value; /* what get gave last */
        typename Traits::environment environment;
    };

    static slice_type slice(kv_slice_t bytes)
    {
        return slice_type(bytes.data, bytes.size);
    }

    static kv_slice_t bytes(const slice_type &slice)
    {
        return {slice.data(), slice.size()};
    }

    static void *open(const store_ops_t *)
    {
        auto *const made = new (std::nothrow) state;
        std::string folder = "/dev/shm/kvbench-XXXXXX";
        if (made == nullptr || mkdtemp(&folder[0]) == nullptr) {
            delete made;
            return nullptr;
        }
        made->folder = folder;
        made->db.reset(Traits::open(made->folder, made->environment));
        if (made->db == nullptr) {
            close(made);
            return nullptr;
        }
        return made;
    }

    static void close(void *store)
    {
        auto *const closing = static_cast<state *>(store);
        Traits::reset(closing->value);
        closing->db.reset();
        Traits::destroy(closing->folder, closing->environment);
        (void)rmdir(closing->folder.c_str());
        delete closing;
    }

    static bool put(void *store, kv_slice_t key, kv_slice_t value)
    {
        auto &own = *static_cast<state *>(store);
        return own.db->Put(Traits::write_options(), slice(key), slice(value)).ok();
    }

    static bool get(void *store, kv_slice_t key, kv_slice_t *value)
    {
        auto &own = *static_cast<state *>(store);
        if (!Traits::get(*own.db, slice(key), own.value)) {
            return false;
        }
        *value = {own.value.data(), own.value.size()};
        return true;
    }

    /* These databases do not say whether the key was there. */
    static bool del(void *store, kv_slice_t key)
    {
        auto &own = *static_cast<state *>(store);
        return own.db->Delete(Traits::write_options(), slice(key)).ok();
    }

    static void *cursor_open(void *store)
    {
        return static_cast<state *>(store)->db->NewIterator(typename Traits::read_options());
    }

    static void cursor_close(void *cursor)
    {
        delete static_cast<typename Traits::iterator *>(cursor);
    }

    static size_t visit(typename Traits::iterator &at, size_t count, uint64_t *sum)
    {
        size_t visited = 0;
        while (at.Valid()) {
            *sum += store_touch(bytes(at.key())) + store_touch(bytes(at.value()));
            visited++;
            if (visited == count) {
                break;
            }
            at.Next();
        }
        return visited;
    }

    static size_t seek(void *cursor, kv_slice_t key, size_t count, uint64_t *sum)
    {
        auto &at = *static_cast<typename Traits::iterator *>(cursor);
        at.Seek(slice(key));
        return visit(at, count, sum);
    }

    static uint64_t iterate(void *store)
    {
        std::unique_ptr<typename Traits::iterator> at(
            static_cast<typename Traits::iterator *>(cursor_open(store)));
        uint64_t sum = 0;
        at->SeekToFirst();
        (void)visit(*at, SIZE_MAX, &sum);
        return sum;
    }

    static constexpr store_ops_t named(const char *name)
    {
        store_ops_t ops = {};
        ops.name = name;
        ops.open = open;
        ops.close = close;
        ops.put = put;
        ops.get = get;
        ops.del = del;
        ops.iterate = iterate;
        ops.cursor_open = cursor_open;
        ops.seek = seek;
        ops.cursor_close = cursor_close;
        return ops;
    }
};

} // namespace kvbench

#endif
