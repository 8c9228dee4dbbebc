/* SPDX-License-Identifier: MIT */
/* Verifies every invariant of the array engine, as they are numbered in array_int.h, and its
 * figures. For tests. */
#include "engine/array_int.h"

/* What a walk over everything finds, to compare with what the engine keeps. */
typedef struct audit {
    const kvi_array_t *array;
    uint64_t sequence; /* of the slot before */
    uint64_t count;
    size_t key_bytes;
    size_t value_bytes;
    size_t index_bytes;
    size_t objects;
    bool sound;
} audit_t;

static void expect(audit_t *audit, bool condition)
{
    audit->sound = audit->sound && condition;
}

static void audit_object(audit_t *audit, const void *object, size_t bytes)
{
    expect(audit, kv_pool_owns(audit->array->pool, object) &&
                      kv_pool_usable_size(audit->array->pool, object) >= bytes);
    audit->objects++;
}

/* Returns the bytes of its record. */
static size_t audit_entry(audit_t *audit, uint32_t number, uint32_t slot)
{
    const kvi_array_page_t *const page = audit->array->pages[number];
    const kvi_record_view_t view = kvi_record_view(kvi_page_record(page, slot));
    const uint16_t offset = *kvi_page_offset(page, slot);
    kvi_array_place_t found = {0, 0};
    expect(audit, offset >= page->heap && offset + view.record_bytes <= page->bytes);
    expect(audit, *kvi_page_tag(page, slot) == kvi_array_tag(audit->array, view.key));
    expect(audit, kvi_array_find(audit->array, view.key, &found) && found.page == number &&
                      found.slot == slot);
    expect(audit, view.record_bytes == kvi_record_bytes(view.key.size, view.value_bytes));
    if (view.key_object != NULL) {
        audit_object(audit, view.key_object, view.key.size);
    }
    if (view.value_object != NULL) {
        audit_object(audit, view.value_object, view.value_bytes);
    }
    audit->count++;
    audit->key_bytes += view.key.size;
    audit->value_bytes += view.value_bytes;
    audit->index_bytes += kvi_record_index_bytes(view.key.size, view.value_bytes);
    return view.record_bytes;
}

static void audit_sequence(audit_t *audit, uint64_t sequence)
{
    expect(audit, sequence > audit->sequence && sequence < audit->array->next_sequence);
    audit->sequence = sequence;
}

static void audit_page(audit_t *audit, uint32_t number)
{
    const kvi_array_page_t *const page = audit->array->pages[number];
    const uint32_t slots_of_groups = (uint32_t)kvi_page_groups(page->slots) * GROUP_SLOTS;
    size_t records_bytes = 0;
    uint32_t live = 0;
    audit_object(audit, page, page->bytes);
    audit->index_bytes += sizeof *page;
    expect(audit, page->group_bytes == DENSE_GROUP_BYTES || kvi_page_is_sparse(page));
    expect(audit, page->live > 0 && page->live <= page->slots);
    expect(audit, page->bytes <= PAGE_BYTES_MAX && page->heap <= page->bytes);
    expect(audit, kvi_page_front(page) <= page->heap);
    for (uint32_t slot = 0; audit->sound && slot < slots_of_groups; slot++) {
        if (slot >= page->slots) {
            expect(audit, !kvi_page_is_live(page, slot));
            continue;
        }
        audit_sequence(audit, kvi_page_sequence(page, slot));
        if (kvi_page_is_live(page, slot)) {
            records_bytes += audit_entry(audit, number, slot);
            live++;
        }
    }
    expect(audit, live == page->live);
    expect(audit, records_bytes + page->garbage == (size_t)page->bytes - page->heap);
}

kv_status_t kvi_array_check(const kv_engine_t *engine)
{
    const kvi_array_t *const array = (const kvi_array_t *)engine;
    audit_t audit = {.array = array, .index_bytes = sizeof *array, .sound = true};
    kv_pool_stats_t stats;
    for (uint32_t i = 0; audit.sound && i < array->page_count; i++) {
        audit_page(&audit, i);
    }
    if (array->pages != NULL) {
        audit_object(&audit, array->pages, array->page_room * sizeof(kvi_array_page_t *));
        audit.index_bytes += array->page_room * sizeof(kvi_array_page_t *);
    }
    expect(&audit, array->page_count <= array->page_room);
    expect(&audit, audit.count == array->count);
    expect(&audit, audit.key_bytes == array->key_bytes);
    expect(&audit, audit.value_bytes == array->value_bytes);
    expect(&audit, audit.index_bytes == array->index_bytes);
    expect(&audit, kv_pool_check(array->pool) == KV_OK);
    /* Nothing in the pool is ours that was not found, beside the struct itself: nothing leaks. */
    expect(&audit, kv_pool_stats(array->pool, &stats) == KV_OK &&
                       stats.live_objects == audit.objects + array->cursor_objects + 1);
    return audit.sound ? KV_OK : KV_CORRUPT;
}
