/* SPDX-License-Identifier: MIT */
/*
 * A keyspace: how it opens and closes, what it can be asked, and its housekeeping. The operations
 * that change data are in keyspace_write.c; record.h has the bytes, db_int.h the invariants.
 */
#include "db/db_int.h"

#include "base/bytes.h"
#include "db/access.h"

#define EXPIRE_GROUP ((size_t)16) /* late entries removed together, their misses overlapped */
#define INDEX_SHARE_MAX ((size_t)64)
#define RANDOM_TRIES ((size_t)16)  /* late samples in a row until late entries are removed */
#define RANDOM_EXPIRE ((size_t)64) /* how many then */

/* ---- life ---- */

kv_status_t kvi_keyspace_open(kvi_db_t *db, kv_slice_t name, const kvi_attributes_t *attributes,
                              kvi_keyspace_t **keyspace)
{
    kvi_keyspace_t *const opened = kv_store_calloc(1, sizeof(*opened));
    const size_t quota_bytes = db->loading ? 0 : attributes->quota_bytes;
    kvi_account_t *const account = kvi_account_open(db->budget, quota_bytes);
    if (opened == NULL || account == NULL) {
        kvi_account_release(account);
        kv_store_free(opened);
        return KV_NO_MEMORY;
    }
    opened->db = db;
    opened->account = account;
    opened->users = 1;
    opened->name_bytes = (uint8_t)name.size;
    kvi_bytes_copy(opened->name, name.data, name.size);
    kvi_keyspace_set_attributes(opened, attributes);
    *keyspace = opened;
    return KV_OK;
}

kv_status_t kvi_keyspace_clear(kvi_keyspace_t *keyspace)
{
    if (keyspace->content != NULL) {
        keyspace->db->changes++;
        kvi_content_release(keyspace->content);
        keyspace->content = NULL;
    }
    return KV_OK;
}

void kvi_keyspace_release(kvi_keyspace_t *keyspace)
{
    if (--keyspace->users == 0) {
        kvi_content_release(keyspace->content);
        kvi_account_release(keyspace->account);
        kv_store_free(keyspace->candidates);
        kv_store_free(keyspace);
    }
}

kv_slice_t kvi_keyspace_name(const kvi_keyspace_t *keyspace)
{
    return (kv_slice_t){keyspace->name, keyspace->name_bytes};
}

void kvi_keyspace_attributes(const kvi_keyspace_t *keyspace, kvi_attributes_t *attributes)
{
    *attributes = keyspace->attributes;
}

void kvi_keyspace_set_attributes(kvi_keyspace_t *keyspace, const kvi_attributes_t *attributes)
{
    keyspace->attributes = *attributes;
    if (keyspace->attributes.engine == NULL) {
        keyspace->attributes.engine = keyspace->db->engine;
    }
    keyspace->limits_deadlines = attributes->default_ttl_ms != 0 || attributes->max_ttl_ms != 0;
    const kvi_eviction_t policy = kvi_keyspace_eviction(keyspace);
    keyspace->counts_uses = policy == KVI_EVICT_ALL_LFU || policy == KVI_EVICT_VOLATILE_LFU;
    keyspace->conversion = KV_OK;
    if (!keyspace->db->loading) {
        kv_budget_set_limit(keyspace->account->budget, attributes->quota_bytes);
    }
}

void kvi_keyspace_remove(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record)
{
    kvi_content_t *const content = keyspace->content;
    kvi_keyspace_tell(keyspace, key, record);
    kvi_expiry_item_t *const item = kvi_record_item(record.data);
    (void)content->engine->ops->del(content->engine, key);
    if (item != NULL) {
        kvi_expiry_remove(&content->expiry, item);
    }
}

void kvi_keyspace_remove_late(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record)
{
    kvi_db_count_lag(keyspace->db, keyspace->db->time_ms - kvi_record_deadline(record.data));
    kvi_keyspace_remove(keyspace, key, record);
    keyspace->expired++;
}

/* ---- reads ---- */

static void fill_entry(const kvi_keyspace_t *keyspace, kv_slice_t record, int64_t now_ms,
                       kvi_entry_t *entry)
{
    entry->value = kvi_record_value(record);
    entry->deadline_ms = kvi_record_deadline(record.data);
    entry->idle_seconds = kvi_idle_seconds(keyspace, record.data, now_ms);
    entry->form = kvi_record_form(record.data);
    entry->uses = 0;
    if (keyspace->counts_uses) {
        entry->uses = (uint8_t)kvi_lfu_counter(kvi_record_access(record.data), now_ms);
    }
}

void kvi_keyspace_prefetch(kvi_keyspace_t *keyspace, size_t count, const kv_slice_t *keys)
{
    if (keyspace->content != NULL) {
        kv_engine_t *const engine = keyspace->content->engine;
        engine->ops->prefetch(engine, count, keys);
    }
}

void kvi_keyspace_prefetch_aims(kvi_keyspace_t *keyspace, size_t count, const kv_slice_t *keys,
                                uint64_t *aims)
{
    kvi_content_t *const content = keyspace->content;
    const kvi_aimed_ops_t *const aimed = content != NULL ? content->engine->ops->aimed : NULL;
    if (aimed != NULL) {
        aimed->prefetch(content->engine, count, keys, aims);
        return;
    }
    memset(aims, 0, count * sizeof aims[0]);
    kvi_keyspace_prefetch(keyspace, count, keys);
}

static void count_use(const kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record,
                      int64_t now_ms)
{
    const uint32_t access = kvi_record_access(record.data);
    const uint32_t touched = kvi_lfu_touch(access, now_ms, &keyspace->db->random);
    kvi_keyspace_mark(keyspace, key, record, touched);
}

/* Notes an access. Inline, because nearly every read does. */
static inline void touch_record(const kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record,
                                int64_t now_ms)
{
    if (keyspace->counts_uses) {
        count_use(keyspace, key, record, now_ms);
        return;
    }
    /* Not written when it would not change: a read then leaves the line clean. */
    const uint32_t clock = kvi_clock(now_ms);
    if (clock != kvi_record_access(record.data)) {
        kvi_keyspace_mark(keyspace, key, record, clock);
    }
}

kv_status_t kvi_keyspace_get(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms, bool touch,
                             kvi_entry_t *entry)
{
    kv_slice_t record;
    const kv_status_t status = kvi_keyspace_find(keyspace, key, now_ms, &record);
    if (status != KV_OK) {
        return status;
    }
    fill_entry(keyspace, record, now_ms, entry);
    if (touch) {
        touch_record(keyspace, key, record, now_ms);
    }
    return KV_OK;
}

kv_status_t kvi_keyspace_get_value(kvi_keyspace_t *keyspace, kv_slice_t key, uint64_t aim,
                                   int64_t now_ms, bool touch, kv_slice_t *value)
{
    kv_slice_t record;
    const kv_status_t status = kvi_keyspace_find_at(keyspace, key, aim, now_ms, &record);
    if (status != KV_OK) {
        return status;
    }
    if (touch) {
        touch_record(keyspace, key, record, now_ms);
    }
    *value = kvi_record_value(record);
    return KV_OK;
}

kv_status_t kvi_keyspace_peek(const kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms,
                              kv_slice_t *record)
{
    if (keyspace->content == NULL) {
        return KV_NOT_FOUND;
    }
    kv_engine_t *const engine = keyspace->content->engine;
    const kv_status_t status = engine->ops->get(engine, key, record);
    return status == KV_OK && kvi_record_is_late(record->data, now_ms) ? KV_NOT_FOUND : status;
}

void kvi_keyspace_peek_many(const kvi_keyspace_t *keyspace, size_t count, const kv_slice_t *keys,
                            int64_t now_ms, kv_slice_t *records)
{
    if (keyspace->content != NULL) {
        kv_engine_t *const engine = keyspace->content->engine;
        (void)engine->ops->get_many(engine, count, keys, records);
    }
    for (size_t i = 0; i < count; i++) {
        if (keyspace->content == NULL ||
            (records[i].data != NULL && kvi_record_is_late(records[i].data, now_ms))) {
            records[i] = (kv_slice_t){NULL, 0};
        }
    }
}

bool kvi_keyspace_notes_accesses(const kvi_keyspace_t *keyspace)
{
    const kvi_eviction_t policy = kvi_keyspace_eviction(keyspace);
    return policy == KVI_EVICT_ALL_LRU || policy == KVI_EVICT_VOLATILE_LRU || keyspace->counts_uses;
}

void kvi_keyspace_note_access(const kvi_keyspace_t *keyspace, kv_slice_t record, int64_t now_ms,
                              uint64_t number)
{
    const uint32_t before = kvi_record_access_beside(record.data);
    uint32_t after = kvi_clock(now_ms);
    if (keyspace->counts_uses) {
        kvi_random_t random = {number};
        after = kvi_lfu_touch(before, now_ms, &random);
    }
    if (after != before) { /* else the line stays where it is, in many caches */
        kvi_record_set_access_beside(kvi_record_writable(record), after);
    }
}

uint64_t kvi_keyspace_version(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms)
{
    kv_slice_t record;
    return kvi_keyspace_find(keyspace, key, now_ms, &record) == KV_OK ? kvi_record_version(record)
                                                                      : 0;
}

uint64_t kvi_keyspace_count(const kvi_keyspace_t *keyspace)
{
    const kvi_content_t *const content = keyspace->content;
    return content != NULL ? content->engine->ops->count(content->engine) : 0;
}

uint64_t kvi_keyspace_deadlines(const kvi_keyspace_t *keyspace)
{
    return keyspace->content != NULL ? keyspace->content->expiry.count : 0;
}

uint64_t kvi_keyspace_expired(const kvi_keyspace_t *keyspace)
{
    return keyspace->expired;
}

uint64_t kvi_keyspace_evicted(const kvi_keyspace_t *keyspace)
{
    return keyspace->evicted;
}

const kv_engine_ops_t *kvi_keyspace_engine(const kvi_keyspace_t *keyspace)
{
    return keyspace->content != NULL ? keyspace->content->row : keyspace->attributes.engine;
}

kv_status_t kvi_keyspace_random(kvi_keyspace_t *keyspace, uint64_t number, int64_t now_ms,
                                kv_slice_t *key)
{
    if (keyspace->content == NULL) {
        return KV_NOT_FOUND;
    }
    kv_engine_t *const engine = keyspace->content->engine;
    for (size_t tries = 1;; tries++) {
        kv_slice_t record;
        const kv_status_t status = engine->ops->sample(engine, number, key, &record);
        if (status != KV_OK || !kvi_record_is_late(record.data, now_ms)) {
            return status;
        }
        /* The next number of a linear congruential generator (Knuth's MMIX). */
        number = number * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        if (tries % RANDOM_TRIES == 0) {
            /* The sample is itself due, so at least one entry goes and the loop comes to an end. */
            (void)kvi_keyspace_expire(keyspace, now_ms, RANDOM_EXPIRE);
        }
    }
}

typedef struct scan_state {
    const kvi_keyspace_t *keyspace;
    void (*visit)(void *context, kv_slice_t key, const kvi_entry_t *entry);
    void *context;
    int64_t now_ms;
    size_t late;
} scan_state_t;

static void visit_live(void *context, kv_slice_t key, kv_slice_t record)
{
    scan_state_t *const state = context;
    if (kvi_record_is_late(record.data, state->now_ms)) {
        state->late++;
        return;
    }
    kvi_entry_t entry;
    fill_entry(state->keyspace, record, state->now_ms, &entry);
    state->visit(state->context, key, &entry);
}

uint64_t kvi_keyspace_scan(kvi_keyspace_t *keyspace, uint64_t token, size_t count, int64_t now_ms,
                           void (*visit)(void *context, kv_slice_t key, const kvi_entry_t *entry),
                           void *context)
{
    if (keyspace->content == NULL) {
        return 0;
    }
    kv_engine_t *const engine = keyspace->content->engine;
    scan_state_t state = {
        .keyspace = keyspace, .visit = visit, .context = context, .now_ms = now_ms};
    const uint64_t next = engine->ops->scan(engine, token, count, visit_live, &state);
    /* As many as were met are due; which of all the due ones go first does not matter. */
    (void)kvi_keyspace_expire(keyspace, now_ms, state.late);
    return next;
}

kv_status_t kvi_keyspace_memory(const kvi_keyspace_t *keyspace, kv_engine_memory_t *memory)
{
    *memory = (kv_engine_memory_t){0};
    const kvi_content_t *const content = keyspace->content;
    if (content == NULL) {
        return KV_OK;
    }
    const kv_status_t status = content->engine->ops->memory(content->engine, memory);
    if (status != KV_OK) {
        return status;
    }
    const size_t expiry_bytes = kvi_expiry_bytes(&content->expiry);
    memory->index_bytes += expiry_bytes;
    memory->total_bytes += expiry_bytes;
    return KV_OK;
}

kv_status_t kvi_keyspace_key_bytes(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms,
                                   size_t *bytes)
{
    kv_slice_t record;
    kv_status_t status = kvi_keyspace_find(keyspace, key, now_ms, &record);
    if (status != KV_OK) {
        return status;
    }
    kv_engine_memory_t memory;
    const kvi_content_t *const content = keyspace->content;
    status = content->engine->ops->memory(content->engine, &memory);
    if (status != KV_OK) {
        return status;
    }
    /* Its own bytes in whole granules, and an equal share of the index. An index that is nearly
     * empty is there for keys to come and not charged to the few that are. */
    const size_t own = (key.size + record.size + 7) & ~(size_t)7;
    const size_t equal = memory.index_bytes / (size_t)content->engine->ops->count(content->engine);
    const size_t share = equal < INDEX_SHARE_MAX ? equal : INDEX_SHARE_MAX;
    const kvi_expiry_item_t *const item = kvi_record_item(record.data);
    *bytes = own + share + (item != NULL ? kvi_expiry_item_bytes(&content->expiry, item) : 0);
    return KV_OK;
}

/* ---- housekeeping ---- */

/* Removes a group of late entries; their items are out of the order already. */
static void remove_group(kvi_keyspace_t *keyspace, size_t count, kvi_expiry_item_t **items)
{
    kvi_content_t *const content = keyspace->content;
    kv_engine_t *const engine = content->engine;
    kv_slice_t keys[EXPIRE_GROUP];
    for (size_t i = 0; i < count; i++) {
        keys[i] = kvi_expiry_item_key(items[i]);
    }
    engine->ops->prefetch(engine, count, keys);
    for (size_t i = 0; i < count; i++) {
        kv_slice_t record;
        if (keyspace->db->observers != NULL &&
            engine->ops->get(engine, keys[i], &record) == KV_OK) {
            kvi_db_tell(keyspace, keys[i], record);
        }
        (void)engine->ops->del(engine, keys[i]);
        kvi_expiry_cancel(&content->expiry, items[i]);
    }
}

size_t kvi_keyspace_expire(kvi_keyspace_t *keyspace, int64_t now_ms, size_t steps)
{
    size_t removed = 0;
    while (removed < steps && keyspace->content != NULL) {
        kvi_expiry_item_t *items[EXPIRE_GROUP];
        /* Those of a group lie close together; the first one's lag stands for all. */
        const int64_t first_ms = kvi_expiry_next(&keyspace->content->expiry);
        const size_t wanted = steps - removed < EXPIRE_GROUP ? steps - removed : EXPIRE_GROUP;
        const size_t taken = kvi_expiry_take_due(&keyspace->content->expiry, now_ms, items, wanted);
        if (taken == 0) {
            break;
        }
        for (size_t i = 0; i < taken; i++) {
            kvi_db_count_lag(keyspace->db, now_ms - first_ms);
        }
        remove_group(keyspace, taken, items);
        removed += taken;
    }
    keyspace->expired += removed;
    return removed;
}

int64_t kvi_keyspace_next_deadline(const kvi_keyspace_t *keyspace)
{
    return kvi_keyspace_deadlines(keyspace) > 0 ? kvi_expiry_next(&keyspace->content->expiry)
                                                : KVI_NO_DEADLINE;
}

static void item_moved(void *context, kvi_expiry_item_t *item)
{
    kv_engine_t *const engine = ((kvi_content_t *)context)->engine;
    kv_slice_t record;
    if (engine->ops->get(engine, kvi_expiry_item_key(item), &record) == KV_OK) {
        char *const bytes = kvi_record_writable(record);
        kvi_record_set_deadline(bytes, kvi_record_deadline(bytes), item);
    }
}

size_t kvi_keyspace_relocate(kvi_keyspace_t *keyspace, size_t steps)
{
    kvi_content_t *const content = keyspace->content;
    if (content == NULL || content->converting) {
        return 0;
    }
    const size_t used = content->engine->ops->relocate(content->engine, steps);
    return used + kvi_expiry_relocate(&content->expiry, steps - used, item_moved, content);
}

typedef struct check_state {
    const kvi_expiry_t *expiry;
    uint64_t deadlines;
    kv_status_t status;
} check_state_t;

static void check_record(void *context, kv_slice_t key, kv_slice_t record)
{
    check_state_t *const state = context;
    const bool whole =
        record.size >= KVI_RECORD_HEAD_BYTES && record.size >= kvi_record_head_bytes(record.data);
    if (!whole || (kvi_record_flags(record.data) & KVI_RECORD_TYPE) != 0) {
        state->status = KV_CORRUPT;
        return;
    }
    const int64_t deadline_ms = kvi_record_deadline(record.data);
    const kvi_expiry_item_t *const item = kvi_record_item(record.data);
    if ((deadline_ms == KVI_NO_DEADLINE) != (item == NULL)) {
        state->status = KV_CORRUPT;
    } else if (item != NULL) {
        state->deadlines++;
        if (kvi_expiry_check_item(state->expiry, item, key, deadline_ms) != KV_OK) {
            state->status = KV_CORRUPT;
        }
    }
}

kv_status_t kvi_keyspace_check(const kvi_keyspace_t *keyspace)
{
    const kvi_content_t *const content = keyspace->content;
    if (content == NULL) {
        return KV_OK;
    }
    kv_status_t status = kvi_expiry_check(&content->expiry);
    if (status != KV_OK) {
        return status;
    }
    kv_engine_t *const engine = content->engine;
    status = engine->ops->check(engine);
    if (status != KV_OK) {
        return status;
    }
    check_state_t state = {.expiry = &content->expiry, .status = KV_OK};
    uint64_t token = 0;
    do {
        token = engine->ops->scan(engine, token, 1024, check_record, &state);
    } while (token != 0);
    if (state.deadlines != content->expiry.count || content->expiry.reserved != 0) {
        return KV_CORRUPT;
    }
    return state.status;
}
