/* SPDX-License-Identifier: MIT */
/* config.def as a table: parsing, checking and printing of settings. */
#include "server/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <concordkv/kv_memory.h>

#include "base/decimal.h"

static const kvi_config_row_t config_rows[] = {
#define CONFIG(name, field, kind, initial, lowest, highest, flags, argument, help) \
    {name,                                                                         \
     KVI_CONFIG_##kind,                                                            \
     offsetof(kvi_config_t, field),                                                \
     initial,                                                                      \
     lowest,                                                                       \
     highest,                                                                      \
     flags,                                                                        \
     argument,                                                                     \
     help},
#include "server/config.def"
#undef CONFIG
};

#define CONFIG_ROWS (sizeof config_rows / sizeof config_rows[0])

typedef struct byte_unit {
    const char *name;
    int64_t bytes;
} byte_unit_t;

/* As Redis reads them: k is 1000, kb is 1024. */
static const byte_unit_t byte_units[] = {
    {"", 1},           {"b", 1},
    {"k", 1000},       {"kb", INT64_C(1) << 10},
    {"m", 1000000},    {"mb", INT64_C(1) << 20},
    {"g", 1000000000}, {"gb", INT64_C(1) << 30},
};

static void *field_of(kvi_config_t *config, const kvi_config_row_t *row)
{
    return (char *)config + row->offset;
}

static const void *const_field_of(const kvi_config_t *config, const kvi_config_row_t *row)
{
    return (const char *)config + row->offset;
}

static bool equals(const char *name, kv_slice_t text)
{
    return strlen(name) == text.size && strncasecmp(name, text.data, text.size) == 0;
}

bool kvi_config_read_bytes(kv_slice_t text, int64_t *bytes)
{
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    int64_t number;
    if (!kvi_decimal_read(text.data, digits, &number)) {
        return false;
    }
    const kv_slice_t unit = {text.data + digits, text.size - digits};
    for (size_t i = 0; i < sizeof byte_units / sizeof byte_units[0]; i++) {
        if (equals(byte_units[i].name, unit)) {
            return !__builtin_mul_overflow(number, byte_units[i].bytes, bytes);
        }
    }
    return false;
}

static kv_status_t set_text(char **field, kv_slice_t text)
{
    char *const copy = kv_store_malloc(text.size + 1);
    if (copy == NULL) {
        return KV_NO_MEMORY;
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    kv_store_free(*field);
    *field = copy;
    return KV_OK;
}

static kv_status_t set_bool(bool *field, kv_slice_t text, char *reason)
{
    if (!equals("yes", text) && !equals("no", text)) {
        (void)snprintf(reason, KVI_CONFIG_TEXT_BYTES, "argument must be 'yes' or 'no'");
        return KV_INVALID;
    }
    *field = equals("yes", text);
    return KV_OK;
}

static kv_status_t set_number(int64_t *field, const kvi_config_row_t *row, kv_slice_t text,
                              char *reason)
{
    const bool bytes = row->kind == KVI_CONFIG_BYTES;
    int64_t number;
    if (bytes ? !kvi_config_read_bytes(text, &number)
              : !kvi_decimal_read(text.data, text.size, &number)) {
        (void)snprintf(reason, KVI_CONFIG_TEXT_BYTES, "%s",
                       bytes ? "argument must be a memory value"
                             : "argument couldn't be parsed into an integer");
        return KV_INVALID;
    }
    if (number < row->lowest || number > row->highest) {
        (void)snprintf(reason, KVI_CONFIG_TEXT_BYTES,
                       "argument must be between %" PRId64 " and %" PRId64 " inclusive",
                       row->lowest, row->highest);
        return KV_INVALID;
    }
    *field = number;
    return KV_OK;
}

/* Writes the words that stand between bars, with commas between them. */
static void list_choices(const char *choices, char *reason)
{
    size_t used = (size_t)snprintf(reason, KVI_CONFIG_TEXT_BYTES,
                                   "argument(s) must be one of the following: ");
    for (const char *at = choices; *at != '\0' && used < KVI_CONFIG_TEXT_BYTES - 3; at++) {
        if (*at == '|') {
            reason[used++] = ',';
        }
        reason[used++] = *at == '|' ? ' ' : *at;
    }
    reason[used] = '\0';
}

static kv_status_t set_choice(char **field, const kvi_config_row_t *row, kv_slice_t text,
                              char *reason)
{
    for (const char *word = row->argument; *word != '\0';) {
        const size_t length = strcspn(word, "|");
        if (length == text.size && strncasecmp(word, text.data, length) == 0) {
            return set_text(field, (kv_slice_t){word, length});
        }
        word += length + (word[length] == '|' ? 1 : 0);
    }
    list_choices(row->argument, reason);
    return KV_INVALID;
}

kv_status_t kvi_config_set(kvi_config_t *config, const kvi_config_row_t *row, kv_slice_t text,
                           char reason[KVI_CONFIG_TEXT_BYTES])
{
    void *const field = field_of(config, row);
    switch (row->kind) {
    case KVI_CONFIG_BOOL:
        return set_bool(field, text, reason);
    case KVI_CONFIG_INTEGER:
    case KVI_CONFIG_BYTES:
        return set_number(field, row, text, reason);
    case KVI_CONFIG_CHOICE:
        return set_choice(field, row, text, reason);
    case KVI_CONFIG_TEXT:
        break;
    }
    if (memchr(text.data, '\0', text.size) != NULL) {
        (void)snprintf(reason, KVI_CONFIG_TEXT_BYTES, "argument must not contain a zero byte");
        return KV_INVALID;
    }
    return set_text(field, text);
}

const char *kvi_config_get(const kvi_config_t *config, const kvi_config_row_t *row,
                           char buffer[KVI_CONFIG_TEXT_BYTES])
{
    const void *const field = const_field_of(config, row);
    switch (row->kind) {
    case KVI_CONFIG_BOOL:
        return *(const bool *)field ? "yes" : "no";
    case KVI_CONFIG_INTEGER:
    case KVI_CONFIG_BYTES:
        (void)snprintf(buffer, KVI_CONFIG_TEXT_BYTES, "%" PRId64, *(const int64_t *)field);
        return buffer;
    case KVI_CONFIG_CHOICE:
    case KVI_CONFIG_TEXT:
        break;
    }
    return *(char *const *)field;
}

kv_status_t kvi_config_open(kvi_config_t *config)
{
    *config = (kvi_config_t){0};
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        const kvi_config_row_t *const row = &config_rows[i];
        char reason[KVI_CONFIG_TEXT_BYTES];
        const kv_slice_t initial = {row->initial, strlen(row->initial)};
        const kv_status_t status = kvi_config_set(config, row, initial, reason);
        if (status != KV_OK) {
            kvi_config_close(config);
            return status;
        }
    }
    return KV_OK;
}

kv_status_t kvi_config_copy(kvi_config_t *to, const kvi_config_t *from)
{
    *to = (kvi_config_t){0};
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        const kvi_config_row_t *const row = &config_rows[i];
        char buffer[KVI_CONFIG_TEXT_BYTES];
        char reason[KVI_CONFIG_TEXT_BYTES];
        const char *const text = kvi_config_get(from, row, buffer);
        if (kvi_config_set(to, row, (kv_slice_t){text, strlen(text)}, reason) != KV_OK) {
            kvi_config_close(to);
            return KV_NO_MEMORY;
        }
    }
    return KV_OK;
}

void kvi_config_close(kvi_config_t *config)
{
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        if (config_rows[i].kind == KVI_CONFIG_TEXT || config_rows[i].kind == KVI_CONFIG_CHOICE) {
            char **const field = field_of(config, &config_rows[i]);
            kv_store_free(*field);
            *field = NULL;
        }
    }
}

const kvi_config_row_t *kvi_config_at(size_t number)
{
    return number < CONFIG_ROWS ? &config_rows[number] : NULL;
}

const kvi_config_row_t *kvi_config_find(kv_slice_t name)
{
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        if (equals(config_rows[i].name, name)) {
            return &config_rows[i];
        }
    }
    return NULL;
}

/* ---- choices ---- */

static const char *const sync_names[] = {
    [KVI_SYNC_DEFAULT] = "default",
    [KVI_SYNC_ALWAYS] = "always",
    [KVI_SYNC_EVERYSEC] = "everysec",
    [KVI_SYNC_NO] = "no",
};

static const char *const eviction_names[] = {
    [KVI_EVICT_DEFAULT] = "default",           [KVI_EVICT_NONE] = "noeviction",
    [KVI_EVICT_ALL_LRU] = "allkeys-lru",       [KVI_EVICT_ALL_LFU] = "allkeys-lfu",
    [KVI_EVICT_ALL_RANDOM] = "allkeys-random", [KVI_EVICT_VOLATILE_LRU] = "volatile-lru",
    [KVI_EVICT_VOLATILE_LFU] = "volatile-lfu", [KVI_EVICT_VOLATILE_RANDOM] = "volatile-random",
    [KVI_EVICT_VOLATILE_TTL] = "volatile-ttl",
};

bool kvi_sync_find(kv_slice_t name, kvi_sync_t *sync)
{
    for (size_t i = 0; i < sizeof sync_names / sizeof sync_names[0]; i++) {
        if (equals(sync_names[i], name)) {
            *sync = (kvi_sync_t)i;
            return true;
        }
    }
    return false;
}

bool kvi_eviction_find(kv_slice_t name, kvi_eviction_t *eviction)
{
    for (size_t i = 0; i < sizeof eviction_names / sizeof eviction_names[0]; i++) {
        if (equals(eviction_names[i], name)) {
            *eviction = (kvi_eviction_t)i;
            return true;
        }
    }
    return false;
}

const char *kvi_sync_name(kvi_sync_t sync)
{
    return sync_names[sync];
}

const char *kvi_eviction_name(kvi_eviction_t eviction)
{
    return eviction_names[eviction];
}

kvi_sync_t kvi_config_sync(const kvi_config_t *config)
{
    kvi_sync_t sync = KVI_SYNC_EVERYSEC;
    (void)kvi_sync_find((kv_slice_t){config->sync, strlen(config->sync)}, &sync);
    return sync;
}

kvi_eviction_t kvi_config_eviction(const kvi_config_t *config)
{
    kvi_eviction_t eviction = KVI_EVICT_NONE;
    (void)kvi_eviction_find(
        (kv_slice_t){config->maxmemory_policy, strlen(config->maxmemory_policy)}, &eviction);
    return eviction;
}
