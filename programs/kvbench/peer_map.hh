/* SPDX-License-Identifier: MIT */
/* The rows of the C++ maps: the same functions over whatever looks like std::map, with strings. */
#ifndef KVBENCH_PEER_MAP_HH
#define KVBENCH_PEER_MAP_HH

#include <new>
#include <string>

#include "kvbench/store.h"

namespace kvbench
{

inline kv_slice_t slice(const std::string &string)
{
    return {string.data(), string.size()};
}

/* View is what the map looks a key up by without copying it. */
template <typename Map, typename View> struct rows {
    static View view(kv_slice_t bytes)
    {
        return View(bytes.data, bytes.size);
    }

    static void *open(const store_ops_t *)
    {
        return new (std::nothrow) Map;
    }

    static void close(void *store)
    {
        delete static_cast<Map *>(store);
    }

    static bool put(void *store, kv_slice_t key, kv_slice_t value)
    {
        Map &map = *static_cast<Map *>(store);
        const auto found = map.find(view(key));
        if (found != map.end()) {
            found->second.assign(value.data, value.size);
        } else {
            map.emplace(std::string(key.data, key.size), std::string(value.data, value.size));
        }
        return true;
    }

    static bool get(void *store, kv_slice_t key, kv_slice_t *value)
    {
        const Map &map = *static_cast<Map *>(store);
        const auto found = map.find(view(key));
        if (found == map.end()) {
            return false;
        }
        *value = slice(found->second);
        return true;
    }

    static bool del(void *store, kv_slice_t key)
    {
        Map &map = *static_cast<Map *>(store);
        const auto found = map.find(view(key));
        if (found == map.end()) {
            return false;
        }
        map.erase(found);
        return true;
    }

    static uint64_t iterate(void *store)
    {
        uint64_t sum = 0;
        for (const auto &entry : *static_cast<Map *>(store)) {
            sum += store_touch(slice(entry.first)) + store_touch(slice(entry.second));
        }
        return sum;
    }

    static void *cursor_open(void *store)
    {
        return store;
    }

    static size_t seek(void *cursor, kv_slice_t key, size_t count, uint64_t *sum)
    {
        const Map &map = *static_cast<Map *>(cursor);
        size_t visited = 0;
        for (auto at = map.lower_bound(view(key)); at != map.end() && visited < count; ++at) {
            *sum += store_touch(slice(at->first)) + store_touch(slice(at->second));
            visited++;
        }
        return visited;
    }

    static void cursor_close(void *)
    {
    }

    static constexpr store_ops_t named(const char *name, size_t count_max = 0)
    {
        store_ops_t ops = {};
        ops.name = name;
        ops.shares_reads = true;
        ops.count_max = count_max;
        ops.open = open;
        ops.close = close;
        ops.put = put;
        ops.get = get;
        ops.del = del;
        ops.iterate = iterate;
        return ops;
    }

    static constexpr store_ops_t ordered(const char *name, size_t count_max = 0)
    {
        store_ops_t ops = named(name, count_max);
        ops.cursor_open = cursor_open;
        ops.seek = seek;
        ops.cursor_close = cursor_close;
        return ops;
    }
};

} // namespace kvbench

#endif
