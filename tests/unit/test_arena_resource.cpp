/* SPDX-License-Identifier: MIT */
/* Containers of the C++ library on an arena. Prints TAP itself: cmocka is a C library. */
#include <concordkv/kv_arena_resource.hpp>

#include <cstdint>
#include <cstdio>
#include <limits>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace
{

int cases = 0;
int failures = 0;

void report(const char *name, bool ok)
{
    cases++;
    failures += ok ? 0 : 1;
    std::printf("%sok %d - %s\n", ok ? "" : "not ", cases, name);
}

bool is_sound(const kv_arena_t *arena)
{
    return kv_arena_check(arena) == KV_OK;
}

void containers_hold_their_values()
{
    kv_arena_t *const arena = kv_arena_create(0);
    concordkv::arena_resource resource(arena);
    bool ok = resource.arena() == arena;
    {
        std::pmr::vector<std::pmr::string> words(&resource);
        std::pmr::map<int, std::pmr::string> ordered(&resource);
        std::pmr::unordered_map<std::pmr::string, int> hashed(&resource);
        for (int i = 0; i < 5000; i++) {
            const std::string text = "a text too long for the string itself " + std::to_string(i);
            words.emplace_back(text);
            ordered.emplace(i, text);
            hashed.emplace(text, i);
        }
        for (int i = 0; i < 5000; i++) {
            const auto &word = words[static_cast<std::size_t>(i)];
            ok = ok && ordered.at(i) == word && hashed.at(word) == i;
            ok = ok && kv_arena_owns(arena, word.data());
        }
    }
    report("containers hold their values", ok && is_sound(arena));
    kv_arena_destroy(arena);
}

void alignment_is_kept()
{
    kv_arena_t *const arena = kv_arena_create(0);
    concordkv::arena_resource resource(arena);
    bool ok = true;
    for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        const auto address = reinterpret_cast<std::uintptr_t>(resource.allocate(24, alignment));
        ok = ok && address % alignment == 0;
    }
    report("alignment is kept", ok && is_sound(arena));
    kv_arena_destroy(arena);
}

void zero_bytes_are_an_object()
{
    kv_arena_t *const arena = kv_arena_create(0);
    concordkv::arena_resource resource(arena);
    void *const first = resource.allocate(0);
    void *const second = resource.allocate(0);
    report("zero bytes are an object", first != nullptr && first != second);
    kv_arena_destroy(arena);
}

void refusals_throw()
{
    kv_budget_t *const budget = kv_budget_create(nullptr, 100000);
    kv_arena_options_t options = {};
    options.budget = budget;
    kv_arena_t *const arena = kv_arena_create_with(&options);
    concordkv::arena_resource resource(arena);
    int thrown = 0;
    for (const std::size_t size : {std::size_t(200000), std::numeric_limits<std::size_t>::max()}) {
        try {
            (void)resource.allocate(size);
        } catch (const std::bad_alloc &) {
            thrown++;
        }
    }
    report("refusals throw bad_alloc", thrown == 2 && is_sound(arena));
    kv_arena_destroy(arena);
    kv_budget_destroy(budget);
}

void equality_is_of_the_arena()
{
    kv_arena_t *const arena = kv_arena_create(0);
    kv_arena_t *const other = kv_arena_create(0);
    concordkv::arena_resource one(arena), same(arena), different(other);
    report("equality is of the arena", one.is_equal(same) && !one.is_equal(different) &&
                                           !one.is_equal(*std::pmr::new_delete_resource()));
    kv_arena_destroy(arena);
    kv_arena_destroy(other);
}

} // namespace

int main()
{
    containers_hold_their_values();
    alignment_is_kept();
    zero_bytes_are_an_object();
    refusals_throw();
    equality_is_of_the_arena();
    std::printf("1..%d\n", cases);
    return failures == 0 ? 0 : 1;
}
