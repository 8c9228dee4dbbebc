/* SPDX-License-Identifier: MIT */
/*
 * An arena behind std::pmr: containers of the standard library that take their memory from a
 * kv_arena_t. C++17.
 *
 *   kv_arena_t *arena = kv_arena_create(0);
 *   {
 *       concordkv::arena_resource resource(arena);
 *       std::pmr::vector<std::pmr::string> words(&resource);
 *       words.emplace_back("counted to the byte");
 *   }
 *   kv_arena_destroy(arena);
 *
 * Thread rule: that of the arena, one user at a time.
 */
#ifndef CONCORDKV_KV_ARENA_RESOURCE_HPP
#define CONCORDKV_KV_ARENA_RESOURCE_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "kv_arena_resource.hpp needs C++17: std::pmr is not in earlier standards"
#endif

#include <cstddef>
#include <memory_resource>
#include <new>

#include <concordkv/kv_memory.h>

namespace concordkv
{

/* The arena stays the caller's and must outlive the resource and every container on it. What a
 * container gives back is free only when the arena is rewound, reset or destroyed. Throws
 * std::bad_alloc where the arena returns NULL. */
class arena_resource final : public std::pmr::memory_resource
{
  public:
    explicit arena_resource(kv_arena_t *arena) noexcept : arena_(arena)
    {
    }

    kv_arena_t *arena() const noexcept
    {
        return arena_;
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        /* The standard allows 0 bytes; an arena does not. */
        const std::size_t size = bytes == 0 ? 1 : bytes;
        void *const result = alignment <= KV_ARENA_ALIGNMENT
                                 ? kv_arena_alloc(arena_, size)
                                 : kv_arena_alloc_aligned(arena_, size, alignment);
        if (result == nullptr) {
            throw std::bad_alloc();
        }
        return result;
    }

    void do_deallocate(void *, std::size_t, std::size_t) override
    {
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const auto *const same = dynamic_cast<const arena_resource *>(&other);
        return same != nullptr && same->arena_ == arena_;
    }

    kv_arena_t *arena_;
};

} // namespace concordkv

#endif
