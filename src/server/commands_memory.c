/* SPDX-License-Identifier: MIT */
/* MEMORY: where the bytes are. MEMORY USAGE, which asks for one key, stands with the commands on
 * keys. */
#include <inttypes.h>
#include <string.h>

#include <concordkv/kv_memory.h>

#include "resp/text.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/info.h"
#include "server/server.h"

#define SLACK_WORTH_SAYING ((size_t)16 << 20)

static const char *const memory_help[] = {
    "DOCTOR",
    "    Say whether memory needs attention.",
    "MALLOC-STATS",
    "    Return the counters of the allocator.",
    "MAP [JSON]",
    "    Return every block of memory: address, bytes, kind, owner, object size, bytes in use.",
    "PURGE",
    "    Give idle memory back to the system.",
    "STATS",
    "    Return the use of memory.",
    "USAGE <key> [SAMPLES <count>]",
    "    Return the bytes that a key and its value cost.",
};

void kvi_cmd_memory_help(kvi_request_t *request)
{
    kvi_reply_help(request->reply, "MEMORY", memory_help,
                   sizeof memory_help / sizeof memory_help[0]);
}

void kvi_cmd_memory_purge(kvi_request_t *request)
{
    kv_memory_cleanup();
    kvi_reply_ok(request->reply);
}

/* Says which keyspaces are near their quota, and which hold much memory that they do not use. */
static bool diagnose_keyspaces(const kvi_request_t *request, kvi_text_t *text)
{
    for (size_t i = 0; i < kvi_db_keyspaces(request->db); i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(request->db, i);
        kvi_attributes_t attributes;
        kv_engine_memory_t memory;
        if (keyspace == NULL || kvi_keyspace_memory(keyspace, &memory) != KV_OK) {
            continue;
        }
        kvi_keyspace_attributes(keyspace, &attributes);
        const kv_slice_t name = kvi_keyspace_name(keyspace);
        if (attributes.quota_bytes > 0 && memory.total_bytes > attributes.quota_bytes / 10 * 9) {
            kvi_text_print(text, "Keyspace %.*s takes %zu of the %zu bytes of its quota. ",
                           (int)name.size, name.data, memory.total_bytes, attributes.quota_bytes);
        }
        if (memory.slack_bytes > SLACK_WORTH_SAYING &&
            memory.slack_bytes > memory.total_bytes / 2) {
            kvi_text_print(text,
                           "Of the %zu bytes of keyspace %.*s %zu are unused; its entries are "
                           "being moved together. ",
                           memory.total_bytes, (int)name.size, name.data, memory.slack_bytes);
        }
    }
    return text->size > 0;
}

void kvi_cmd_memory_doctor(kvi_request_t *request)
{
    kv_memory_stats_t memory = {0};
    (void)kv_memory_stats(&memory);
    const size_t used = kvi_db_memory_used(request->db);
    const size_t limit = kvi_db_memory_limit(request->db);
    kvi_text_t text = {0};
    if (diagnose_keyspaces(request, &text)) {
        /* It says which ones. */
    } else if (limit > 0 && used > limit / 10 * 9) {
        kvi_text_print(
            &text,
            "The data take %zu of the %zu bytes that maxmemory allows: writes are or will "
            "soon be refused. Delete keys or raise maxmemory.",
            used, limit);
    } else if (memory.idle_bytes > used && memory.idle_bytes > (size_t)64 << 20) {
        kvi_text_print(
            &text,
            "%zu bytes are idle and on their way back to the system; MEMORY PURGE gives them "
            "back at once.",
            memory.idle_bytes);
    } else {
        kvi_text_print(&text, "Nothing needs attention.");
    }
    kvi_reply_verbatim(request->reply, "txt", kvi_text_slice(&text));
    kvi_text_close(&text);
}

void kvi_cmd_memory_malloc_stats(kvi_request_t *request)
{
    kv_memory_stats_t memory = {0};
    (void)kv_memory_stats(&memory);
    kvi_text_t text = {0};
    kvi_text_print(&text, "pool enabled: %s\nstore live bytes: %zu\nstore obtained bytes: %zu\n",
                   memory.pool_enabled ? "yes" : "no", memory.store_live_bytes,
                   memory.store_obtained_bytes);
    kvi_text_print(
        &text, "system bytes: %zu\nsystem peak bytes: %zu\nidle bytes: %zu\nthreads: %zu\n",
        memory.system_bytes, memory.system_peak_bytes, memory.idle_bytes, memory.threads);
    kvi_reply_verbatim(request->reply, "txt", kvi_text_slice(&text));
    kvi_text_close(&text);
}

static void reply_figure(kvi_reply_t *reply, const char *name, size_t value)
{
    kvi_reply_bulk_string(reply, name);
    kvi_reply_integer(reply, (int64_t)value);
}

static void reply_keyspace(kvi_reply_t *reply, kvi_keyspace_t *keyspace)
{
    kv_engine_memory_t memory;
    const size_t expiry_bytes = kvi_keyspace_split_memory(keyspace, &memory);
    kvi_attributes_t attributes;
    kvi_keyspace_attributes(keyspace, &attributes);
    kvi_reply_map(reply, 8);
    reply_figure(reply, "keys.count", kvi_keyspace_count(keyspace));
    reply_figure(reply, "quota.bytes", attributes.quota_bytes);
    reply_figure(reply, "key.bytes", memory.key_bytes);
    reply_figure(reply, "value.bytes", memory.value_bytes);
    reply_figure(reply, "index.bytes", memory.index_bytes);
    reply_figure(reply, "expiry.bytes", expiry_bytes);
    reply_figure(reply, "slack.bytes", memory.slack_bytes);
    reply_figure(reply, "total.bytes", memory.total_bytes);
}

static uint64_t count_keys(const kvi_keyspace_t *keyspace)
{
    return keyspace != NULL ? kvi_keyspace_count(keyspace) : 0;
}

void kvi_cmd_memory_stats(kvi_request_t *request)
{
    kvi_reply_t *const reply = request->reply;
    kvi_db_t *const db = request->db;
    kv_memory_stats_t memory = {0};
    (void)kv_memory_stats(&memory);
    const size_t data = kvi_db_memory_used(db);
    uint64_t keys = 0;
    size_t filled = 0;
    for (size_t i = 0; i < kvi_db_keyspaces(db); i++) {
        const uint64_t count = count_keys(kvi_db_keyspace(db, i));
        keys += count;
        filled += count > 0 ? 1 : 0;
    }
    kvi_reply_map(reply, 8 + filled);
    reply_figure(reply, "peak.allocated", memory.system_peak_bytes);
    reply_figure(reply, "total.allocated", data + memory.store_obtained_bytes);
    reply_figure(reply, "overhead.total", memory.store_obtained_bytes);
    reply_figure(reply, "keys.count", keys);
    reply_figure(reply, "keys.bytes-per-key", keys > 0 ? data / keys : 0);
    reply_figure(reply, "dataset.bytes", data);
    reply_figure(reply, "allocator.resident", memory.system_bytes);
    reply_figure(reply, "allocator.idle", memory.idle_bytes);
    for (size_t i = 0; i < kvi_db_keyspaces(db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        if (count_keys(keyspace) > 0) {
            kvi_text_t name = {0};
            const kv_slice_t own = kvi_keyspace_name(keyspace);
            kvi_text_print(&name, "db.%.*s", (int)own.size, own.data);
            kvi_reply_bulk(reply, kvi_text_slice(&name));
            kvi_text_close(&name);
            reply_keyspace(reply, keyspace);
        }
    }
}

/* ---- MAP ---- */

/* The visitor may not allocate, so it counts what does not fit and the caller comes again with room
 * for it. */
typedef struct block_list {
    kv_memory_block_t *blocks;
    size_t capacity;
    size_t count;
} block_list_t;

static bool collect_block(const kv_memory_block_t *block, void *context)
{
    block_list_t *const list = context;
    if (list->count < list->capacity) {
        list->blocks[list->count] = *block;
    }
    list->count++;
    return true;
}

static bool collect_blocks(block_list_t *list)
{
    for (;;) {
        list->count = 0;
        if (kv_memory_map(collect_block, list) != KV_OK) {
            return false;
        }
        if (list->count <= list->capacity) {
            return true;
        }
        /* Some more, since the list takes blocks itself. */
        const size_t capacity = list->count + list->count / 8 + 64;
        kv_memory_block_t *const larger =
            kv_store_realloc(list->blocks, capacity * sizeof larger[0]);
        if (larger == NULL) {
            return false;
        }
        list->blocks = larger;
        list->capacity = capacity;
    }
}

static void print_block(kvi_text_t *text, const kv_memory_block_t *block, bool json)
{
    static const char *const kinds[] = {"free", "arena", "pool", "large", "metadata"};
    const char *const kind =
        (size_t)block->kind < sizeof kinds / sizeof kinds[0] ? kinds[block->kind] : "unknown";
    kvi_text_print(text,
                   json ? "{\"address\":\"0x%" PRIxPTR
                          "\",\"bytes\":%zu,\"kind\":\"%s\",\"owner\":\"%s\","
                          "\"owner_id\":\"0x%" PRIxPTR "\",\"object_bytes\":%zu,\"used_bytes\":%zu}"
                        : "0x%" PRIxPTR " %zu %s %s 0x%" PRIxPTR " %zu %zu\n",
                   (uintptr_t)block->address, block->bytes, kind,
                   block->owner[0] != '\0' || json ? block->owner : "-", (uintptr_t)block->owner_id,
                   block->object_bytes, block->used_bytes);
}

void kvi_cmd_memory_map(kvi_request_t *request)
{
    const bool json = request->argc == 3 && kvi_argument_is(request->argv[2], "json");
    if (request->argc > 2 && !json) {
        kvi_reply_syntax_error(request->reply);
        return;
    }
    block_list_t list = {0};
    kvi_text_t text = {0};
    const bool good = collect_blocks(&list);
    kvi_text_print(&text, "%s", json ? "[" : "");
    for (size_t i = 0; i < list.count && good; i++) {
        kvi_text_print(&text, "%s", json && i > 0 ? ",\n" : "");
        print_block(&text, &list.blocks[i], json);
    }
    kvi_text_print(&text, "%s", json ? "]" : "");
    if (!good || text.failed) {
        kvi_reply_error(request->reply, "ERR out of memory");
    } else {
        kvi_reply_verbatim(request->reply, "txt", kvi_text_slice(&text));
    }
    kv_store_free(list.blocks);
    kvi_text_close(&text);
}
