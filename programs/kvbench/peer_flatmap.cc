/* SPDX-License-Identifier: MIT */
/* boost::container::flat_map<std::string, std::string>: a sorted vector. */
#include <string_view>

#include <boost/container/flat_map.hpp>

#include "kvbench/peer_map.hh"

extern "C" const store_ops_t store_flatmap;
const store_ops_t store_flatmap =
    kvbench::rows<boost::container::flat_map<std::string, std::string, std::less<>>,
                  std::string_view>::ordered("flatmap", 20000);
