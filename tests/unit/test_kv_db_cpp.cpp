// SPDX-License-Identifier: MIT
// kv_db.h from C++: what a C++ program does with a database, TAP by hand.
#include <concordkv/kv_db.h>

#include <cstdio>
#include <memory>
#include <string>

namespace
{

struct close_db {
    void operator()(kv_db_t *db) const
    {
        (void)kv_db_close(db);
    }
};

struct close_keyspace {
    void operator()(kv_keyspace_t *keyspace) const
    {
        kv_keyspace_close(keyspace);
    }
};

kv_slice_t slice(const std::string &text)
{
    return kv_slice_t{text.data(), text.size()};
}

int number = 0;
int failures = 0;

void report(bool right, const char *what)
{
    failures += right ? 0 : 1;
    std::printf("%sok %d - %s\n", right ? "" : "not ", ++number, what);
}

} // namespace

int main()
{
    std::printf("1..4\n");
    kv_db_t *opened = nullptr;
    kv_db_options_t options = {};
    options.engine = "bptree";
    report(kv_db_open(nullptr, &options, &opened) == KV_OK, "a database opens");
    const std::unique_ptr<kv_db_t, close_db> db(opened);
    kv_keyspace_t *handle = nullptr;
    report(kv_keyspace_open(db.get(), "0", &handle) == KV_OK, "a keyspace opens");
    const std::unique_ptr<kv_keyspace_t, close_keyspace> space(handle);

    const std::string key("k\0ey", 4);
    kv_value_t value = {};
    const bool stored = kv_keyspace_put(space.get(), slice(key), slice("value"), nullptr) == KV_OK;
    const bool read = kv_keyspace_get(space.get(), slice(key), &value) == KV_OK;
    report(stored && read && std::string(value.data, value.size) == "value", "a value comes back");
    kv_value_free(&value);

    kv_iterator_t *iterator = nullptr;
    const bool walks = kv_iterator_open(space.get(), nullptr, &iterator) == KV_OK;
    report(walks && kv_iterator_valid(iterator) && kv_iterator_key(iterator).size == key.size(),
           "an iterator walks");
    kv_iterator_close(iterator);
    return failures == 0 ? 0 : 1;
}
