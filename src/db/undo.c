/* SPDX-License-Identifier: MIT */
/* Saving and putting back what an atomic batch changes. */
#include "db/undo.h"

#include "base/bytes.h"

#define KEPT_BYTES ((size_t)64 << 10)

/* How an item is put back. */
typedef enum undo_kind {
    UNDO_RECORD,  /* the record of a key */
    UNDO_CONTENT, /* the content of a keyspace, held */
    UNDO_SWAP,    /* keyspace and number */
    UNDO_CREATE,  /* the keyspace named key */
    UNDO_DROP,    /* a keyspace, kept from being closed */
    UNDO_ATTRIBUTES
} undo_kind_t;

struct kvi_undo_item {
    kvi_undo_item_t *older;
    undo_kind_t kind;
    uint32_t number;
    kvi_keyspace_t *keyspace;
    kvi_content_t *content;
    kvi_attributes_t attributes;
    kv_slice_t key;
    kv_slice_t record; /* data NULL: there was none */
};

kv_status_t kvi_undo_begin(kvi_db_t *db, kvi_undo_t *undo)
{
    if (db->undo == NULL) {
        const kv_arena_options_t options = {.block_size = KEPT_BYTES, .name = "undo"};
        db->undo = kv_arena_create_with(&options);
        if (db->undo == NULL) {
            return KV_NO_MEMORY;
        }
    }
    *undo = (kvi_undo_t){.db = db, .arena = db->undo};
    return KV_OK;
}

/* A new item with copies of key and record. NULL: KV_NO_MEMORY. */
static kvi_undo_item_t *add_item(kvi_undo_t *undo, undo_kind_t kind, kv_slice_t key,
                                 kv_slice_t record)
{
    const size_t bytes = sizeof(kvi_undo_item_t) + key.size + record.size;
    kvi_undo_item_t *const item = kv_arena_alloc(undo->arena, bytes);
    if (item == NULL) {
        return NULL;
    }
    char *const key_place = (char *)(item + 1);
    char *const record_place = key_place + key.size;
    kvi_bytes_copy(key_place, key.data, key.size);
    kvi_bytes_copy(record_place, record.data, record.size);
    *item = (kvi_undo_item_t){.older = undo->newest,
                              .kind = kind,
                              .key = {key_place, key.size},
                              .record = {record.data != NULL ? record_place : NULL, record.size}};
    undo->newest = item;
    return item;
}

static kv_status_t save_record(kvi_undo_t *undo, kvi_keyspace_t *keyspace, kv_slice_t key,
                               kv_slice_t record)
{
    kvi_undo_item_t *const item = add_item(undo, UNDO_RECORD, key, record);
    if (item == NULL) {
        return KV_NO_MEMORY;
    }
    item->keyspace = keyspace;
    return KV_OK;
}

static kv_status_t save_key(kvi_undo_t *undo, kvi_keyspace_t *keyspace, kv_slice_t key)
{
    kv_slice_t record;
    (void)kvi_keyspace_find(keyspace, key, undo->db->time_ms, &record);
    return save_record(undo, keyspace, key, record);
}

typedef struct range_state {
    kvi_undo_t *undo;
    kvi_keyspace_t *keyspace;
    kv_status_t status;
} range_state_t;

static void save_visited(void *context, kv_slice_t key, kv_slice_t record)
{
    range_state_t *const state = context;
    if (state->status == KV_OK && !kvi_record_is_late(record.data, state->undo->db->time_ms)) {
        state->status = save_record(state->undo, state->keyspace, key, record);
    }
}

static kv_status_t save_range(kvi_undo_t *undo, kvi_keyspace_t *keyspace, const kv_range_t *range)
{
    static const kv_range_t everything = {{KV_BOUND_NONE, {NULL, 0}}, {KV_BOUND_NONE, {NULL, 0}}};
    range_state_t state = {.undo = undo, .keyspace = keyspace, .status = KV_OK};
    const kv_status_t status = kvi_keyspace_walk_range(
        keyspace, range != NULL ? range : &everything, save_visited, &state);
    return status != KV_OK ? status : state.status;
}

/* What concerns a keyspace as a whole. */
static kv_status_t save_keyspace(kvi_undo_t *undo, undo_kind_t kind, kvi_keyspace_t *keyspace,
                                 const kvi_op_t *op)
{
    const kv_slice_t nothing = {NULL, 0};
    kvi_undo_item_t *const item = add_item(undo, kind, op->key, nothing);
    if (item == NULL) {
        return KV_NO_MEMORY;
    }
    item->keyspace = keyspace;
    item->number = kind == UNDO_SWAP ? op->to_keyspace : op->keyspace;
    if (kind == UNDO_CONTENT) {
        item->content = kvi_content_hold(keyspace);
    } else if (kind == UNDO_DROP) {
        keyspace->users++;
    } else if (kind == UNDO_ATTRIBUTES) {
        item->attributes = keyspace->attributes;
    }
    return KV_OK;
}

/* A name that is taken is not undone: creating it will fail. */
static kv_status_t save_creation(kvi_undo_t *undo, const kvi_op_t *op)
{
    uint32_t number;
    return kvi_db_find_keyspace(undo->db, op->key, &number) == KV_OK
               ? KV_OK
               : save_keyspace(undo, UNDO_CREATE, NULL, op);
}

static kv_status_t save_keys(kvi_undo_t *undo, kvi_keyspace_t *keyspace, kvi_keyspace_t *to,
                             const kvi_op_t *op)
{
    kv_status_t status = KV_OK;
    if (op->kind != KVI_OP_COPY) {
        status = save_key(undo, keyspace, op->key);
    }
    if (status == KV_OK && (op->kind == KVI_OP_COPY || op->kind == KVI_OP_RENAME)) {
        status = save_key(undo, to, op->value);
    }
    return status;
}

kv_status_t kvi_undo_save(kvi_undo_t *undo, const kvi_op_t *op)
{
    if (op->kind == KVI_OP_KEYSPACE_CREATE) {
        return save_creation(undo, op);
    }
    kvi_keyspace_t *const keyspace = kvi_db_keyspace(undo->db, op->keyspace);
    kvi_keyspace_t *const to = kvi_db_keyspace(undo->db, op->to_keyspace);
    if (keyspace == NULL || to == NULL) {
        return KV_OK; /* the operation will fail */
    }
    switch (op->kind) {
    case KVI_OP_GUARD:
    case KVI_OP_READ:
    case KVI_OP_EXPIRE: /* late entries are no data */
        return KV_OK;
    case KVI_OP_DELETE_RANGE:
        return save_range(undo, keyspace, op->range);
    case KVI_OP_CLEAR:
        return save_keyspace(undo, UNDO_CONTENT, keyspace, op);
    case KVI_OP_SWAP:
        return save_keyspace(undo, UNDO_SWAP, keyspace, op);
    case KVI_OP_KEYSPACE_DROP:
        return save_keyspace(undo, UNDO_DROP, keyspace, op);
    case KVI_OP_KEYSPACE_SET:
        return save_keyspace(undo, UNDO_ATTRIBUTES, keyspace, op);
    default:
        return save_keys(undo, keyspace, to, op);
    }
}

static void put_keyspace_back(kvi_db_t *db, kvi_undo_item_t *item)
{
    /* The list had this place, and only the place of the last one is ever taken away. */
    while (db->keyspace_count <= item->number) {
        db->keyspaces[db->keyspace_count++] = NULL;
    }
    if (db->keyspaces[item->number] == NULL) {
        db->keyspaces[item->number] = item->keyspace;
        db->expired_before -= item->keyspace->expired;
    } else {
        kvi_keyspace_release(item->keyspace); /* dropping it had failed */
    }
}

/* A limit that comes back must wait for what is older: that may need more than it allows. */
static void lift_limit(const kvi_keyspace_t *keyspace)
{
    kv_budget_set_limit(keyspace->account->budget, 0);
}

static kv_status_t put_back(kvi_db_t *db, kvi_undo_item_t *item)
{
    uint32_t number;
    switch (item->kind) {
    case UNDO_RECORD:
        return kvi_keyspace_restore(item->keyspace, item->key, item->record);
    case UNDO_CONTENT:
        kvi_content_release(item->keyspace->content);
        item->keyspace->content = item->content;
        return KV_OK;
    case UNDO_SWAP:
        return kvi_db_swap(db, item->keyspace->number, item->number);
    case UNDO_CREATE:
        if (kvi_db_find_keyspace(db, item->key, &number) == KV_OK) {
            (void)kvi_db_drop_keyspace(db, number);
        }
        return KV_OK;
    case UNDO_DROP:
        lift_limit(item->keyspace);
        put_keyspace_back(db, item);
        return KV_OK;
    default:
        kvi_keyspace_set_attributes(item->keyspace, &item->attributes);
        lift_limit(item->keyspace);
        return KV_OK;
    }
}

/* Whether the limits on memory hold, all of them. */
static void set_limits(kvi_db_t *db, bool hold, size_t limit)
{
    kvi_db_set_memory_limit(db, hold ? limit : 0);
    for (size_t i = 0; i < db->keyspace_count; i++) {
        const kvi_keyspace_t *const keyspace = db->keyspaces[i];
        if (keyspace != NULL) {
            kv_budget_set_limit(keyspace->account->budget,
                                hold ? keyspace->attributes.quota_bytes : 0);
        }
    }
}

kv_status_t kvi_undo_run(kvi_undo_t *undo)
{
    kv_status_t status = KV_OK;
    const size_t limit = kvi_db_memory_limit(undo->db);
    set_limits(undo->db, false, 0);
    for (kvi_undo_item_t *item = undo->newest; item != NULL; item = item->older) {
        const kv_status_t restored = put_back(undo->db, item);
        status = restored != KV_OK ? restored : status;
    }
    set_limits(undo->db, true, limit);
    undo->newest = NULL;
    return status;
}

void kvi_undo_end(kvi_undo_t *undo)
{
    for (const kvi_undo_item_t *item = undo->newest; item != NULL; item = item->older) {
        kvi_content_release(item->content);
        if (item->kind == UNDO_DROP) {
            kvi_keyspace_release(item->keyspace);
        }
    }
    undo->newest = NULL;
    kv_arena_reset(undo->arena, KEPT_BYTES);
}
