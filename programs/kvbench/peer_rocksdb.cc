/* SPDX-License-Identifier: MIT */
/* RocksDB's memtable, a skip list, through its Put and Get with the log off. */
#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include "kvbench/peer_lsm.hh"

namespace
{

struct traits {
    using db = rocksdb::DB;
    using slice = rocksdb::Slice;
    using value = rocksdb::PinnableSlice;
    using iterator = rocksdb::Iterator;
    using read_options = rocksdb::ReadOptions;
    struct environment {
    };

    static rocksdb::WriteOptions write_options()
    {
        rocksdb::WriteOptions options;
        options.disableWAL = true;
        return options;
    }

    static rocksdb::Options options()
    {
        rocksdb::Options options;
        options.create_if_missing = true;
        options.write_buffer_size = size_t{16} << 30;
        options.db_write_buffer_size = 0;
        options.arena_block_size = size_t{1} << 20;
        options.disable_auto_compactions = true;
        options.avoid_flush_during_shutdown = true;
        options.allow_concurrent_memtable_write = false;
        return options;
    }

    static db *open(const std::string &folder, environment &)
    {
        db *opened = nullptr;
        return rocksdb::DB::Open(options(), folder, &opened).ok() ? opened : nullptr;
    }

    static void destroy(const std::string &folder, environment &)
    {
        (void)rocksdb::DestroyDB(folder, options());
    }

    static bool get(db &from, const slice &key, value &to)
    {
        to.Reset();
        return from.Get(read_options(), from.DefaultColumnFamily(), key, &to).ok();
    }

    static void reset(value &held)
    {
        held.Reset();
    }
};

} // namespace

extern "C" const store_ops_t store_rocksdb;
const store_ops_t store_rocksdb = kvbench::lsm<traits>::named("rocksdb");
