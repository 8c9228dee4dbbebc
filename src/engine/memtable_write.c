/* SPDX-License-Identifier: MIT */
/*
 * Writing a version. What takes memory comes first: the large value, the copy of the version that
 * gets old, room in the page. Then nothing can fail any more, and the record changes. Threads:
 * memtable.h.
 *
 * The version before the new one stays only if somebody may read it: a reader at r sees it if
 * its number <= r < the new one, and r is never below the table's oldest_reader.
 */
#include "engine/memtable_int.h"

#include <assert.h>

/* A write on its way. */
typedef struct draft {
    kvi_memtable_t *table;
    const kvi_memtable_write_t *write;
    bool found;
    kvi_record_t old;      /* if found: the newest version so far; its body moves */
    kv_slice_t old_value;  /* valid until something moves, but for a large one */
    bool stays;            /* the old version becomes an older one of the new */
    bool reused;           /* the old version's large value became the new one's */
    bool cut;              /* the versions behind the old one are not needed any more */
    kvi_apart_t *old_copy; /* with stays: what the old version becomes */
    char *large;           /* the object for a large value */
    kvi_record_t record;   /* the new version, without its body */
} draft_t;

static kvi_bptree_t *tree_of(const draft_t *draft)
{
    return draft->table->tree;
}

static bool is_large(size_t bytes)
{
    return bytes > VALUE_IN_RECORD_MAX;
}

static bool had_large(const draft_t *draft)
{
    return draft->found && (draft->old.flags & FLAG_LARGE) != 0;
}

/* ---- large values ---- */

/* Gives the old version's object to the new one, with the size it needs. */
static kv_status_t reuse_large(draft_t *draft)
{
    kvi_bptree_t *const tree = tree_of(draft);
    char *const old = (char *)(uintptr_t)draft->old_value.data;
    const size_t bytes = draft->write->value_bytes;
    draft->large = bytes == draft->old_value.size ? old : kv_pool_realloc(tree->pool, old, bytes);
    if (draft->large == NULL) {
        return KV_NO_MEMORY;
    }
    draft->reused = true;
    tree->used_bytes += bytes - draft->old_value.size;
    tree->guest_bytes += bytes - draft->old_value.size;
    return KV_OK;
}

/* Whether the old version's object may become the new one's. It then must be certain that nothing
 * fails later: the new record is not longer than the old one, since both are of large values. */
static bool may_reuse(const draft_t *draft)
{
    const kvi_memtable_write_t *const write = draft->write;
    return had_large(draft) && !draft->stays && write->source == NULL && write->keep_bytes > 0;
}

static kv_status_t make_large(draft_t *draft)
{
    const kvi_memtable_write_t *const write = draft->write;
    if (!is_large(write->value_bytes)) {
        return KV_OK;
    }
    if (may_reuse(draft)) {
        return reuse_large(draft);
    }
    draft->large = kvi_bptree_alloc_guest(tree_of(draft), write->value_bytes);
    if (draft->large == NULL) {
        return KV_NO_MEMORY;
    }
    if (write->source != NULL) {
        memcpy(draft->large, write->source, write->value_bytes);
    } else {
        kvi_bytes_copy(draft->large, draft->old_value.data, write->keep_bytes);
    }
    return KV_OK;
}

/* ---- the version that gets old ---- */

static kv_status_t copy_old(draft_t *draft)
{
    if (!draft->stays) {
        return KV_OK;
    }
    kvi_record_t copy = draft->old;
    copy.older = draft->cut ? 0 : copy.older;
    const size_t bytes = kvi_record_bytes(&copy);
    draft->old_copy = kvi_bptree_alloc_guest(tree_of(draft), sizeof(kvi_apart_t) + bytes);
    if (draft->old_copy == NULL) {
        return KV_NO_MEMORY;
    }
    draft->old_copy->bytes = (uint32_t)bytes;
    kvi_bytes_copy(kvi_record_write(draft->old_copy->data, &copy), copy.body, copy.body_bytes);
    return KV_OK;
}

/* Takes back what was made for a write that failed. */
static void undo(draft_t *draft)
{
    if (draft->old_copy != NULL) {
        kvi_bptree_free_guest(tree_of(draft), draft->old_copy,
                              sizeof(kvi_apart_t) + draft->old_copy->bytes);
    }
    if (draft->large != NULL) {
        assert(!draft->reused);
        kvi_bptree_free_guest(tree_of(draft), draft->large, draft->write->value_bytes);
    }
}

/* Takes what nobody needs any more. */
static void drop_old(draft_t *draft)
{
    if (!draft->found) {
        return;
    }
    kvi_memtable_uncount(draft->table, draft->write->key, draft->old.flags, draft->old_value.size);
    if (draft->cut) {
        kvi_memtable_free_older(draft->table, draft->old);
    }
    if (had_large(draft) && !draft->stays && !draft->reused) {
        kvi_bptree_free_guest(tree_of(draft), (void *)(uintptr_t)draft->old_value.data,
                              draft->old_value.size);
    }
}

/* ---- the record ---- */

static uint32_t older_of(const draft_t *draft)
{
    if (draft->stays) {
        return kvi_pool_ref(tree_of(draft)->pool, draft->old_copy);
    }
    return draft->found && !draft->cut ? draft->old.older : 0;
}

static kv_status_t make_record(draft_t *draft, char **place)
{
    const kvi_memtable_write_t *const write = draft->write;
    draft->record = (kvi_record_t){
        .sequence = write->sequence,
        .flags = (write->deleted ? FLAG_DELETED : 0) | (draft->large != NULL ? FLAG_LARGE : 0),
        .older = older_of(draft),
        .body_bytes = draft->large != NULL ? LARGE_BYTES : write->value_bytes,
    };
    /* What goes into the record may lie in a page that moves. */
    char copy[VALUE_IN_RECORD_MAX];
    const size_t kept = write->source != NULL ? write->value_bytes : write->keep_bytes;
    if (draft->large == NULL) {
        kvi_bytes_copy(copy, write->source != NULL ? write->source : draft->old_value.data, kept);
    }
    char *bytes;
    const kv_status_t status = kvi_bptree_place_found(tree_of(draft), write->key,
                                                      kvi_record_bytes(&draft->record), 0, &bytes);
    if (status != KV_OK) {
        return status;
    }
    char *const body = kvi_record_write(bytes, &draft->record);
    draft->record.body = body;
    *place = body;
    if (draft->large == NULL) {
        kvi_bytes_copy(body, copy, kept);
    } else {
        memcpy(body, &draft->large, sizeof draft->large);
        memcpy(body + sizeof draft->large, &write->value_bytes, sizeof write->value_bytes);
        *place = draft->large;
    }
    return KV_OK;
}

/* ---- the whole ---- */

static void look_at_old(draft_t *draft)
{
    const kvi_path_t *const path = kvi_bptree_find_place(draft->table->tree, draft->write->key,
                                                         STAMP_BYTES + draft->write->value_bytes);
    const uint64_t oldest_reader = draft->table->oldest_reader;
    draft->found = path->found;
    if (!path->found) {
        return;
    }
    const uint64_t slot = kvi_leaf_slots(path->leaf)[path->slot];
    const bool may_be_read = draft->write->sequence > oldest_reader;
    draft->old = kvi_record_parse(kvi_leaf_value(path->leaf, slot));
    draft->old_value = kvi_record_value(&draft->old);
    draft->stays = may_be_read && draft->old.sequence < draft->write->sequence;
    draft->cut = !may_be_read || draft->old.sequence <= oldest_reader;
}

static kv_status_t refusal(const kvi_memtable_t *table, const kvi_memtable_write_t *write)
{
    if (table->frozen) {
        return KV_READ_ONLY;
    }
    if (write->sequence < table->sequence || write->sequence > KVI_SEQUENCE_MAX) {
        return KV_INVALID;
    }
    return write->key.size > KV_KEY_BYTES_MAX || write->value_bytes > KV_VALUE_BYTES_MAX
               ? KV_TOO_LARGE
               : KV_OK;
}

kv_status_t kvi_memtable_write(kvi_memtable_t *table, const kvi_memtable_write_t *write,
                               char **place)
{
    draft_t draft = {.table = table, .write = write};
    kv_status_t status = refusal(table, write);
    if (status != KV_OK) {
        return status;
    }
    look_at_old(&draft);
    if (write->keep_bytes > draft.old_value.size || write->keep_bytes > write->value_bytes) {
        return KV_INVALID;
    }
    status = copy_old(&draft);
    if (status == KV_OK) {
        status = make_large(&draft);
    }
    if (status == KV_OK) {
        status = make_record(&draft, place);
    }
    if (status != KV_OK) {
        undo(&draft);
        return status;
    }
    drop_old(&draft);
    table->old_versions += draft.stays;
    kvi_memtable_count(table, write->key, draft.record.flags, write->value_bytes);
    table->sequence = write->sequence;
    return KV_OK;
}

kv_status_t kvi_memtable_put(kvi_memtable_t *table, uint64_t sequence, kv_slice_t key,
                             kv_slice_t value)
{
    const kvi_memtable_write_t write = {
        .sequence = sequence,
        .key = key,
        .source = value.size > 0 ? value.data : NULL,
        .value_bytes = value.size,
    };
    char *place;
    return kvi_memtable_write(table, &write, &place);
}

kv_status_t kvi_memtable_delete(kvi_memtable_t *table, uint64_t sequence, kv_slice_t key)
{
    const kvi_memtable_write_t write = {.sequence = sequence, .key = key, .deleted = true};
    char *place;
    return kvi_memtable_write(table, &write, &place);
}
