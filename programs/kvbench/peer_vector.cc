/* SPDX-License-Identifier: MIT */
/* std::vector of pairs of strings, searched from the front: what few entries are often kept in. */
#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "kvbench/peer_map.hh"

namespace
{

class linear
{
  public:
    using entry = std::pair<std::string, std::string>;

    auto begin() const
    {
        return entries.begin();
    }

    auto begin()
    {
        return entries.begin();
    }

    auto end() const
    {
        return entries.end();
    }

    auto end()
    {
        return entries.end();
    }

    auto find(std::string_view key) const
    {
        return std::find_if(begin(), end(), [key](const entry &e) { return e.first == key; });
    }

    auto find(std::string_view key)
    {
        return std::find_if(begin(), end(), [key](const entry &e) { return e.first == key; });
    }

    void emplace(std::string &&key, std::string &&value)
    {
        entries.emplace_back(std::move(key), std::move(value));
    }

    /* The last entry takes the place of the one that goes. */
    void erase(std::vector<entry>::const_iterator at)
    {
        const auto place = entries.begin() + (at - entries.cbegin());
        if (place + 1 != entries.end()) {
            *place = std::move(entries.back());
        }
        entries.pop_back();
    }

  private:
    std::vector<entry> entries;
};

} // namespace

extern "C" const store_ops_t store_vector;
const store_ops_t store_vector = kvbench::rows<linear, std::string_view>::named("vector", 20000);
