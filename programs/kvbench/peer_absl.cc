/* SPDX-License-Identifier: MIT */
/* absl::flat_hash_map<std::string, std::string>: a Swiss table, the best known of the fast ones. */
#include <absl/container/flat_hash_map.h>
#include <absl/strings/string_view.h>

#include "kvbench/peer_map.hh"

extern "C" const store_ops_t store_absl;
const store_ops_t store_absl =
    kvbench::rows<absl::flat_hash_map<std::string, std::string>, absl::string_view>::named("absl");
