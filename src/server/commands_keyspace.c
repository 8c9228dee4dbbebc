/* SPDX-License-Identifier: MIT */
/* KEYSPACE: keyspaces with names, and their attributes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "db/attributes.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/info.h"
#include "server/server.h"
#include "server/submit.h"

static const char *const keyspace_help[] = {
    "CREATE <name> [<attribute> <value> ...]",
    "    Create a keyspace. Attributes: ENGINE, QUOTA, EVICTION, SYNC, DEFAULT-TTL, MAX-TTL.",
    "DROP <name>",
    "    Drop a keyspace and all it holds.",
    "INFO <name>",
    "    Return attributes and bytes of a keyspace.",
    "LIST",
    "    Return the names of all keyspaces.",
    "SET <name> <attribute> <value> [<attribute> <value> ...]",
    "    Change attributes; ENGINE converts the keyspace while it is in use.",
};

void kvi_cmd_keyspace_help(kvi_request_t *request)
{
    kvi_reply_help(request->reply, "KEYSPACE", keyspace_help,
                   sizeof keyspace_help / sizeof keyspace_help[0]);
}

/* ---- attributes ---- */

static bool refuse_value(kvi_request_t *request, size_t at, const char *values)
{
    const kv_slice_t name = request->argv[at];
    kvi_reply_error(request->reply, "ERR %.*s takes %s", (int)(name.size < 32 ? name.size : 32),
                    name.data, values);
    return false;
}

/* "array, hash or bptree", of all engines or the ordered ones. */
static void list_engines(bool ordered_only, char *text, size_t size)
{
    size_t used = 0;
    const kv_engine_ops_t *ops;
    text[0] = '\0';
    for (size_t i = 0; (ops = kv_engine_at(i)) != NULL && used + 32 < size; i++) {
        if (ops->ordered || !ordered_only) {
            used += (size_t)snprintf(text + used, size - used, "%s%.20s", used > 0 ? ", " : "",
                                     ops->name);
        }
    }
}

void kvi_reply_needs_order(kvi_request_t *request)
{
    char engines[256];
    list_engines(true, engines, sizeof engines);
    kvi_reply_error(request->reply,
                    "ERR the keys of engine %s have no order; engines with one: %s. KEYSPACE SET "
                    "name ENGINE changes it",
                    kvi_keyspace_engine(request->keyspace)->name, engines);
}

static bool take_engine(kvi_request_t *request, size_t at, kvi_attributes_t *attributes)
{
    char name[32];
    const kv_slice_t value = request->argv[at + 1];
    if (value.size < sizeof name) {
        for (size_t i = 0; i < value.size; i++) {
            const char byte = value.data[i];
            name[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
        }
        name[value.size] = '\0';
        attributes->engine = kv_engine_find(name);
        if (attributes->engine != NULL) {
            return true;
        }
    }
    char engines[256];
    list_engines(false, engines, sizeof engines);
    return refuse_value(request, at, engines);
}

static bool take_quota(kvi_request_t *request, size_t at, kvi_attributes_t *attributes)
{
    int64_t bytes;
    if (!kvi_config_read_bytes(request->argv[at + 1], &bytes)) {
        return refuse_value(request, at, "bytes, as 1000, 64kb, 100mb or 2gb; 0 for no quota");
    }
    attributes->quota_bytes = (size_t)bytes;
    return true;
}

static bool take_ttl(kvi_request_t *request, size_t at, int64_t *ttl_ms)
{
    int64_t number;
    if (!kvi_argument_between(request, at + 1, 0, INT64_MAX / 2, NULL, &number)) {
        return false;
    }
    *ttl_ms = number;
    return true;
}

static bool take_attribute(kvi_request_t *request, size_t at, kvi_attributes_t *attributes,
                           unsigned *fields)
{
    const kv_slice_t name = request->argv[at];
    const kv_slice_t value = request->argv[at + 1];
    if (kvi_argument_is(name, "engine")) {
        *fields |= KVI_ATTRIBUTE_ENGINE;
        return take_engine(request, at, attributes);
    }
    if (kvi_argument_is(name, "quota")) {
        *fields |= KVI_ATTRIBUTE_QUOTA;
        return take_quota(request, at, attributes);
    }
    if (kvi_argument_is(name, "eviction")) {
        *fields |= KVI_ATTRIBUTE_EVICTION;
        return kvi_eviction_find(value, &attributes->eviction) ||
               refuse_value(request, at,
                            "default, noeviction, allkeys-lru, allkeys-lfu, allkeys-random, "
                            "volatile-lru, volatile-lfu, volatile-random or volatile-ttl");
    }
    if (kvi_argument_is(name, "sync")) {
        *fields |= KVI_ATTRIBUTE_SYNC;
        return kvi_sync_find(value, &attributes->sync) ||
               refuse_value(request, at, "default, always, everysec or no");
    }
    if (kvi_argument_is(name, "default-ttl")) {
        *fields |= KVI_ATTRIBUTE_DEFAULT_TTL;
        return take_ttl(request, at, &attributes->default_ttl_ms);
    }
    if (kvi_argument_is(name, "max-ttl")) {
        *fields |= KVI_ATTRIBUTE_MAX_TTL;
        return take_ttl(request, at, &attributes->max_ttl_ms);
    }
    kvi_reply_syntax_error(request->reply);
    return false;
}

/* The attributes from argument 3 on, as an operation carries them; false after an error was
 * answered. */
static bool encode_attributes(kvi_request_t *request, char bytes[KVI_ATTRIBUTES_BYTES_MAX],
                              kv_slice_t *encoded)
{
    kvi_attributes_t attributes = {.engine = NULL};
    unsigned fields = 0;
    if (request->argc % 2 == 0) {
        kvi_reply_syntax_error(request->reply);
        return false;
    }
    for (size_t i = 3; i < request->argc; i += 2) {
        if (!take_attribute(request, i, &attributes, &fields)) {
            return false;
        }
    }
    *encoded = (kv_slice_t){bytes, kvi_attributes_encode(&attributes, fields, bytes)};
    return true;
}

/* ---- the commands ---- */

static void finish(kvi_request_t *request, kv_status_t status)
{
    if (status == KV_OK) {
        kvi_server_look_at_syncs(request->server);
        kvi_reply_ok(request->reply);
    } else {
        kvi_request_fail(request, status);
    }
}

void kvi_cmd_keyspace_create(kvi_request_t *request)
{
    const kv_slice_t name = request->argv[2];
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    kvi_op_t create = {.kind = KVI_OP_KEYSPACE_CREATE, .key = name};
    if (!encode_attributes(request, bytes, &create.value)) {
        return;
    }
    if (name.size == 0 || name.size > KVI_KEYSPACE_NAME_BYTES_MAX || !kvi_client_is_text(name)) {
        kvi_reply_error(request->reply,
                        "ERR names of keyspaces are 1 to 255 characters without blanks");
        return;
    }
    const kv_status_t status = kvi_request_do(request, &create);
    if (status == KV_EXISTS) {
        kvi_reply_error(request->reply, "ERR a keyspace of this name exists already");
    } else if (status == KV_INVALID) {
        kvi_reply_error(request->reply, "ERR a number is no name for a new keyspace");
    } else {
        finish(request, status);
    }
}

/* The number of the keyspace in argument 2; false after an error was answered. */
static bool find_keyspace(kvi_request_t *request, uint32_t *number)
{
    if (kvi_db_find_keyspace(request->db, request->argv[2], number) == KV_OK) {
        return true;
    }
    kvi_reply_error(request->reply, "ERR no such keyspace");
    return false;
}

void kvi_cmd_keyspace_drop(kvi_request_t *request)
{
    kvi_op_t drop = {.kind = KVI_OP_KEYSPACE_DROP};
    if (!find_keyspace(request, &drop.keyspace)) {
        return;
    }
    const kv_status_t status = kvi_request_do(request, &drop);
    if (status == KV_INVALID) {
        kvi_reply_error(request->reply,
                        "ERR keyspaces with numbers are always there; FLUSHDB empties one");
        return;
    }
    if (status == KV_OK) {
        kvi_client_t *client = request->server->first_client;
        for (; client != NULL; client = client->next) {
            /* Its number may soon be another keyspace's. */
            client->database =
                client->database == drop.keyspace ? KVI_CLIENT_NO_DATABASE : client->database;
        }
    }
    finish(request, status);
}

void kvi_cmd_keyspace_set(kvi_request_t *request)
{
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    kvi_op_t set = {.kind = KVI_OP_KEYSPACE_SET};
    if (!encode_attributes(request, bytes, &set.value) || !find_keyspace(request, &set.keyspace)) {
        return;
    }
    const kv_status_t status = kvi_request_do(request, &set);
    finish(request, status);
}

void kvi_cmd_keyspace_list(kvi_request_t *request)
{
    size_t count = 0;
    for (size_t i = 0; i < kvi_db_keyspaces(request->db); i++) {
        count += kvi_db_keyspace(request->db, i) != NULL;
    }
    kvi_reply_array(request->reply, count);
    for (size_t i = 0; i < kvi_db_keyspaces(request->db); i++) {
        const kvi_keyspace_t *const keyspace = kvi_db_keyspace(request->db, i);
        if (keyspace != NULL) {
            kvi_reply_bulk(request->reply, kvi_keyspace_name(keyspace));
        }
    }
}

static void reply_number(kvi_reply_t *reply, const char *name, uint64_t number)
{
    kvi_reply_bulk_string(reply, name);
    kvi_reply_integer(reply, (int64_t)number);
}

static void reply_text(kvi_reply_t *reply, const char *name, const char *text)
{
    kvi_reply_bulk_string(reply, name);
    kvi_reply_bulk_string(reply, text);
}

size_t kvi_keyspace_split_memory(kvi_keyspace_t *keyspace, kv_engine_memory_t *memory)
{
    kv_engine_memory_t own = {0};
    *memory = own;
    kv_engine_t *const engine = kvi_keyspace_records(keyspace);
    if (engine == NULL) {
        return 0;
    }
    size_t expiry_bytes = 0;
    if (kvi_keyspace_memory(keyspace, memory) == KV_OK &&
        engine->ops->memory(engine, &own) == KV_OK && memory->index_bytes > own.index_bytes) {
        expiry_bytes = memory->index_bytes - own.index_bytes;
        memory->index_bytes = own.index_bytes;
    }
    return expiry_bytes;
}

void kvi_cmd_keyspace_info(kvi_request_t *request)
{
    uint32_t number;
    if (!find_keyspace(request, &number)) {
        return;
    }
    kvi_reply_t *const reply = request->reply;
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(request->db, number);
    kvi_attributes_t attributes = {.engine = NULL};
    kv_engine_memory_t memory;
    kvi_keyspace_attributes(keyspace, &attributes);
    const size_t expiry_bytes = kvi_keyspace_split_memory(keyspace, &memory);
    kvi_reply_map(reply, 20);
    kvi_reply_bulk_string(reply, "name");
    kvi_reply_bulk(reply, kvi_keyspace_name(keyspace));
    reply_number(reply, "number", number);
    reply_text(reply, "engine", kvi_keyspace_engine(keyspace)->name);
    reply_number(reply, "ordered", kvi_keyspace_engine(keyspace)->ordered);
    reply_number(reply, "converting", kvi_keyspace_converting(keyspace));
    reply_number(reply, "keys", kvi_keyspace_count(keyspace));
    reply_number(reply, "expires", kvi_keyspace_deadlines(keyspace));
    reply_number(reply, "expired", kvi_keyspace_expired(keyspace));
    reply_number(reply, "evicted", kvi_keyspace_evicted(keyspace));
    reply_number(reply, "quota", attributes.quota_bytes);
    reply_text(reply, "eviction", kvi_eviction_name(attributes.eviction));
    reply_text(reply, "sync", kvi_sync_name(attributes.sync));
    reply_number(reply, "default-ttl", (uint64_t)attributes.default_ttl_ms);
    reply_number(reply, "max-ttl", (uint64_t)attributes.max_ttl_ms);
    reply_number(reply, "key.bytes", memory.key_bytes);
    reply_number(reply, "value.bytes", memory.value_bytes);
    reply_number(reply, "index.bytes", memory.index_bytes);
    reply_number(reply, "expiry.bytes", expiry_bytes);
    reply_number(reply, "slack.bytes", memory.slack_bytes);
    reply_number(reply, "total.bytes", memory.total_bytes);
}

/* ---- INFO keyspaces ---- */

void kvi_info_keyspaces(const kvi_request_t *request, kvi_text_t *text)
{
    kvi_text_print(text, "# Keyspaces\r\n");
    for (size_t i = 0; i < kvi_db_keyspaces(request->db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(request->db, i);
        const bool named = i >= kvi_db_numbered(request->db);
        if (keyspace == NULL || (!named && kvi_keyspace_count(keyspace) == 0)) {
            continue;
        }
        kvi_attributes_t attributes = {.engine = NULL};
        kv_engine_memory_t memory;
        const kv_slice_t name = kvi_keyspace_name(keyspace);
        kvi_keyspace_attributes(keyspace, &attributes);
        const size_t expiry_bytes = kvi_keyspace_split_memory(keyspace, &memory);
        kvi_text_print(text, "keyspace%zu:keys=%" PRIu64 ",expires=%" PRIu64 ",engine=%s", i,
                       kvi_keyspace_count(keyspace), kvi_keyspace_deadlines(keyspace),
                       kvi_keyspace_engine(keyspace)->name);
        kvi_text_print(text, ",expiry_bytes=%zu", expiry_bytes);
        kvi_text_print(text, ",key_bytes=%zu,value_bytes=%zu,index_bytes=%zu", memory.key_bytes,
                       memory.value_bytes, memory.index_bytes);
        kvi_text_print(
            text, ",slack_bytes=%zu,total_bytes=%zu,quota=%zu,expired=%" PRIu64 ",evicted=%" PRIu64,
            memory.slack_bytes, memory.total_bytes, attributes.quota_bytes,
            kvi_keyspace_expired(keyspace), kvi_keyspace_evicted(keyspace));
        kvi_text_print(text, ",name=%.*s\r\n", (int)name.size, name.data);
    }
}
