/* SPDX-License-Identifier: MIT */
/*
 * The arenas written in C++ that ours is compared with.
 *
 * LevelDB's own arena is internal to its library: no public header gives it. What runs here is its
 * documented design, written anew: blocks of 4,096 bytes from operator new[], a vector that
 * remembers them, a pointer that is bumped in steps of 8, and a block of its own for what is larger
 * than a quarter of a block. A result for it is a result for the design on this machine's operator
 * new[], not for the library's binary.
 *
 * RocksDB's arena is internal too, and Debian's librocksdb-dev does not install its header: it does
 * not take part.
 */
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "arena_work.h"

namespace
{

class BlockArena
{
  public:
    BlockArena() = default;
    BlockArena(const BlockArena &) = delete;
    BlockArena &operator=(const BlockArena &) = delete;
    ~BlockArena()
    {
        for (char *block : blocks_) {
            delete[] block;
        }
    }

    char *Allocate(size_t size)
    {
        const size_t bytes = (size + 7) & ~size_t{7};
        if (bytes <= remaining_) {
            char *result = next_;
            next_ += bytes;
            remaining_ -= bytes;
            return result;
        }
        return AllocateFromNewBlock(bytes);
    }

    size_t Obtained() const
    {
        return obtained_;
    }

  private:
    static constexpr size_t kBlockBytes = 4096;

    char *AllocateFromNewBlock(size_t bytes)
    {
        if (bytes > kBlockBytes / 4) {
            return NewBlock(bytes);
        }
        char *block = NewBlock(kBlockBytes);
        next_ = block + bytes;
        remaining_ = kBlockBytes - bytes;
        return block;
    }

    char *NewBlock(size_t bytes)
    {
        char *block = new char[bytes];
        blocks_.push_back(block);
        obtained_ += bytes + sizeof(char *);
        return block;
    }

    char *next_ = nullptr;
    size_t remaining_ = 0;
    size_t obtained_ = 0;
    std::vector<char *> blocks_;
};

/* An arena in a box: LevelDB's design knows no reset, so a reset is a new arena, as its users do.
 */
struct BlockArenaBox {
    BlockArena *arena;
};

void *CreateBlocks(size_t)
{
    return new BlockArenaBox{new BlockArena};
}

inline void *AllocateBlocks(void *box, size_t size)
{
    return static_cast<BlockArenaBox *>(box)->arena->Allocate(size);
}

void ResetBlocks(void *box, void **, size_t)
{
    auto *const blocks = static_cast<BlockArenaBox *>(box);
    delete blocks->arena;
    blocks->arena = new BlockArena;
}

void DestroyBlocks(void *box, void **, size_t)
{
    delete static_cast<BlockArenaBox *>(box)->arena;
    delete static_cast<BlockArenaBox *>(box);
}

size_t BlocksObtained(void *box)
{
    return static_cast<BlockArenaBox *>(box)->arena->Obtained();
}

using Monotonic = std::pmr::monotonic_buffer_resource;

void *CreateMonotonic(size_t block_bytes)
{
    return new Monotonic(block_bytes, std::pmr::new_delete_resource());
}

inline void *AllocateMonotonic(void *resource, size_t size)
{
    return static_cast<Monotonic *>(resource)->allocate(size, 8);
}

void ResetMonotonic(void *resource, void **, size_t)
{
    static_cast<Monotonic *>(resource)->release();
}

void DestroyMonotonic(void *resource, void **, size_t)
{
    delete static_cast<Monotonic *>(resource);
}

constexpr arena_ops_t kBlockArena = {CreateBlocks, AllocateBlocks, ResetBlocks, DestroyBlocks,
                                     BlocksObtained};
constexpr arena_ops_t kMonotonic = {CreateMonotonic, AllocateMonotonic, ResetMonotonic,
                                    DestroyMonotonic, nullptr};

} // namespace

extern "C" arena_figures_t measure_cxx_arena(int which, const arena_plan_t *plan)
{
    return which == PEER_LEVELDB ? measure_arena(kBlockArena, plan)
                                 : measure_arena(kMonotonic, plan);
}

extern "C" uint64_t time_cxx_specification(int which, size_t block_bytes, size_t count,
                                           void **fresh_array)
{
    return which == PEER_LEVELDB ? time_specification(kBlockArena, block_bytes, count, fresh_array)
                                 : time_specification(kMonotonic, block_bytes, count, fresh_array);
}

extern "C" double measure_cxx_efficiency(size_t count, void **objects)
{
    return measure_efficiency(kBlockArena, 0, count, objects);
}
