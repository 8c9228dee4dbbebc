/* SPDX-License-Identifier: MIT */
/* std::unordered_map<std::string, std::string>, looked up without making a string of the key. */
#include <functional>
#include <string_view>
#include <unordered_map>

#include "kvbench/peer_map.hh"

namespace
{

struct hash_view {
    using is_transparent = void;
    size_t operator()(std::string_view key) const
    {
        return std::hash<std::string_view>{}(key);
    }
};

using map = std::unordered_map<std::string, std::string, hash_view, std::equal_to<>>;

} // namespace

extern "C" const store_ops_t store_std;
const store_ops_t store_std = kvbench::rows<map, std::string_view>::named("std");
