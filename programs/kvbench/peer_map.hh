/* SPDX-License-Identifier: MIT */
/* The rows of the C++ maps: the same functions over std::unordered_map and absl::flat_hash_map with
 * strings. */
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

    static void *open()
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

    static constexpr store_ops_t named(const char *name)
    {
        return {name, open, close, put, get, del, iterate, nullptr, nullptr, nullptr, nullptr};
    }
};

} // namespace kvbench

#endif
