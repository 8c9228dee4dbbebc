/* SPDX-License-Identifier: MIT */
/* absl::btree_map<std::string, std::string>. */
#include <absl/container/btree_map.h>
#include <absl/strings/string_view.h>

#include "kvbench/peer_map.hh"

extern "C" const store_ops_t store_abslbtree;
const store_ops_t store_abslbtree =
    kvbench::rows<absl::btree_map<std::string, std::string, std::less<>>,
                  absl::string_view>::ordered("abslbtree");
