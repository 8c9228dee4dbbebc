/* SPDX-License-Identifier: MIT */
/* LevelDB's memtable through Put and Get: the class itself is internal to its library. Its log goes
 * to a file that keeps nothing, since LevelDB cannot do without one. */
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/options.h>

#include "kvbench/peer_lsm.hh"

namespace
{

class nowhere : public leveldb::WritableFile
{
  public:
    leveldb::Status Append(const leveldb::Slice &) override
    {
        return leveldb::Status::OK();
    }

    leveldb::Status Close() override
    {
        return leveldb::Status::OK();
    }

    leveldb::Status Flush() override
    {
        return leveldb::Status::OK();
    }

    leveldb::Status Sync() override
    {
        return leveldb::Status::OK();
    }
};

class environment_without_log : public leveldb::EnvWrapper
{
  public:
    environment_without_log() : leveldb::EnvWrapper(leveldb::Env::Default())
    {
    }

    leveldb::Status NewWritableFile(const std::string &name, leveldb::WritableFile **file) override
    {
        const std::string ending = ".log";
        if (name.size() > ending.size() &&
            name.compare(name.size() - ending.size(), ending.size(), ending) == 0) {
            *file = new nowhere;
            return leveldb::Status::OK();
        }
        return leveldb::EnvWrapper::NewWritableFile(name, file);
    }
};

struct traits {
    using db = leveldb::DB;
    using slice = leveldb::Slice;
    using value = std::string;
    using iterator = leveldb::Iterator;
    using read_options = leveldb::ReadOptions;
    using environment = environment_without_log;

    static leveldb::WriteOptions write_options()
    {
        return {};
    }

    static db *open(const std::string &folder, environment &env)
    {
        leveldb::Options options;
        db *opened = nullptr;
        options.create_if_missing = true;
        options.env = &env;
        options.write_buffer_size = size_t{1} << 30; /* the most it takes */
        return leveldb::DB::Open(options, folder, &opened).ok() ? opened : nullptr;
    }

    static void destroy(const std::string &folder, environment &env)
    {
        leveldb::Options options;
        options.env = &env;
        (void)leveldb::DestroyDB(folder, options);
    }

    static bool get(db &from, const slice &key, value &to)
    {
        return from.Get(read_options(), key, &to).ok();
    }

    static void reset(value &)
    {
    }
};

} // namespace

extern "C" const store_ops_t store_leveldb;
const store_ops_t store_leveldb = kvbench::lsm<traits>::named("leveldb");
