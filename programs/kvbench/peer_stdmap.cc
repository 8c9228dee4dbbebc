/* SPDX-License-Identifier: MIT */
/* std::map<std::string, std::string>: a red-black tree. */
#include <map>
#include <string_view>

#include "kvbench/peer_map.hh"

extern "C" const store_ops_t store_stdmap;
const store_ops_t store_stdmap =
    kvbench::rows<std::map<std::string, std::string, std::less<>>, std::string_view>::ordered(
        "stdmap");
