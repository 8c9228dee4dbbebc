/* SPDX-License-Identifier: MIT */
/*
 * Writing to the array engine: entries appended, overwritten where they stand, and deleted. Shapes
 * and invariants: array_int.h. One user at a time.
 */
#include "engine/array_int.h"

/* What a record is to hold. What stands apart is in objects already; the rest of an inline value
 * behind fill is undefined. */
typedef struct record {
    kv_slice_t key;
    size_t value_bytes;
    const char *fill;
    size_t fill_bytes;
    char *key_object;
    char *value_object;
} record_t;

static size_t bytes_of(const record_t *record)
{
    return kvi_record_bytes(record->key.size, record->value_bytes);
}

static void write_record(char *at, const record_t *record)
{
    at = kvi_varint_write(kvi_varint_write(at, record->key.size), record->value_bytes);
    if (record->key_object != NULL) {
        memcpy(at, &record->key_object, sizeof record->key_object);
        at += sizeof record->key_object;
    } else {
        kvi_bytes_copy(at, record->key.data, record->key.size);
        at += record->key.size;
    }
    if (record->value_object != NULL) {
        memcpy(at, &record->value_object, sizeof record->value_object);
    } else {
        kvi_bytes_copy(at, record->fill, record->fill_bytes);
    }
}

static void count_entry(kvi_array_t *array, size_t key_bytes, size_t value_bytes)
{
    array->key_bytes += key_bytes;
    array->value_bytes += value_bytes;
    array->index_bytes += kvi_record_index_bytes(key_bytes, value_bytes);
}

static void uncount_entry(kvi_array_t *array, size_t key_bytes, size_t value_bytes)
{
    array->key_bytes -= key_bytes;
    array->value_bytes -= value_bytes;
    array->index_bytes -= kvi_record_index_bytes(key_bytes, value_bytes);
}

/* ---- what stands apart ---- */

static char *create_object(kvi_array_t *array, size_t bytes, const char *fill, size_t fill_bytes)
{
    char *const object = kv_pool_alloc(array->pool, bytes);
    if (object != NULL) {
        kvi_bytes_copy(object, fill, fill_bytes);
    }
    return object;
}

static void free_objects(kvi_array_t *array, const record_t *record)
{
    kv_pool_free(array->pool, record->key_object);
    kv_pool_free(array->pool, record->value_object);
}

/* Makes what of a new entry stands apart. */
static kv_status_t create_objects(kvi_array_t *array, record_t *record)
{
    if (record->key.size > KEY_INLINE_MAX) {
        record->key_object =
            create_object(array, record->key.size, record->key.data, record->key.size);
        if (record->key_object == NULL) {
            return KV_NO_MEMORY;
        }
    }
    if (record->value_bytes > VALUE_INLINE_MAX) {
        record->value_object =
            create_object(array, record->value_bytes, record->fill, record->fill_bytes);
        if (record->value_object == NULL) {
            free_objects(array, record);
            return KV_NO_MEMORY;
        }
    }
    return KV_OK;
}

/* ---- inserting ---- */

/* Builds the last page anew with one more record, which may be copied from the old one, or begins
 * another page if it would be too large. */
static kv_status_t append_anew(kvi_array_t *array, uint16_t tag, const record_t *record,
                               kvi_array_place_t *place)
{
    const uint32_t last = array->page_count - 1; /* if there is one */
    const kvi_array_page_t *const old = array->page_count > 0 ? array->pages[last] : NULL;
    kvi_page_plan_t plan = {
        .parts = {{old, 0, old != NULL ? old->slots : 0}},
        .appended_sequence = array->next_sequence,
        .appended_tag = tag,
        .record_bytes = bytes_of(record),
        .last = true,
    };
    const bool begin = old == NULL || kvi_page_needed(&plan) > PAGE_BYTES_MAX;
    if (begin) {
        plan.parts[0].page = NULL;
        if (kvi_pages_reserve(array, 1) != KV_OK) {
            return KV_NO_MEMORY;
        }
    }
    kvi_array_page_t *const page = kvi_page_build(array, &plan);
    if (page == NULL) {
        return KV_NO_MEMORY;
    }
    write_record(kvi_page_record(page, plan.record_slot), record);
    kvi_pages_replace(array, begin ? array->page_count : last, begin ? 0 : 1, &page, 1);
    *place = (kvi_array_place_t){array->page_count - 1, plan.record_slot};
    if (array->page_count == 1) {
        (void)kv_pool_trim(array->pool); /* a small array does not keep its smaller pages' blocks */
    }
    return KV_OK;
}

static kv_status_t append(kvi_array_t *array, const record_t *record, kvi_array_place_t *place)
{
    const uint16_t tag = kvi_array_tag(array, record->key);
    const uint32_t last = array->page_count - 1;
    char *const at = array->page_count > 0
                         ? kvi_page_append(array->pages[last], array->next_sequence, tag,
                                           bytes_of(record), &place->slot)
                         : NULL;
    if (at != NULL) {
        place->page = last;
        write_record(at, record);
    } else if (append_anew(array, tag, record, place) != KV_OK) {
        return KV_NO_MEMORY;
    }
    array->next_sequence++;
    return KV_OK;
}

static kv_status_t insert(kvi_array_t *array, record_t *record, kvi_array_place_t *place)
{
    if (create_objects(array, record) != KV_OK) {
        return KV_NO_MEMORY;
    }
    if (append(array, record, place) != KV_OK) {
        free_objects(array, record);
        return KV_NO_MEMORY;
    }
    array->count++;
    count_entry(array, record->key.size, record->value_bytes);
    return KV_OK;
}

/* ---- overwriting ---- */

/* The slot at which a page, one record of which is longer now, is cut into halves. */
static uint32_t halving_slot(const kvi_array_page_t *page)
{
    const size_t half = ((size_t)page->bytes - page->heap - page->garbage) / 2;
    size_t bytes = 0;
    uint32_t slot = 0;
    while (slot + 1 < page->slots && bytes <= half) {
        if (kvi_page_is_live(page, slot)) {
            bytes += kvi_record_view(kvi_page_record(page, slot)).record_bytes;
        }
        slot++;
    }
    return slot;
}

/* Cuts the page of this place into two, one of them with a new record. */
static kv_status_t split(kvi_array_t *array, const record_t *record, kvi_array_place_t *place)
{
    const kvi_array_page_t *const old = array->pages[place->page];
    const uint32_t cut = halving_slot(old);
    kvi_page_plan_t plans[2] = {
        {.parts = {{old, 0, cut}}},
        {.parts = {{old, cut, old->slots}}, .last = place->page + 1 == array->page_count},
    };
    const uint32_t side = place->slot >= cut;
    kvi_array_page_t *pages[2] = {NULL, NULL};
    plans[side].replaced_page = old;
    plans[side].replaced_slot = place->slot;
    plans[side].record_bytes = bytes_of(record);
    if (kvi_pages_reserve(array, 1) != KV_OK) {
        return KV_NO_MEMORY;
    }
    pages[0] = kvi_page_build(array, &plans[0]);
    pages[1] = pages[0] != NULL ? kvi_page_build(array, &plans[1]) : NULL;
    if (pages[1] == NULL) {
        kv_pool_free(array->pool, pages[0]);
        return KV_NO_MEMORY;
    }
    write_record(kvi_page_record(pages[side], plans[side].record_slot), record);
    kvi_pages_replace(array, place->page, 1, pages, 2);
    *place = (kvi_array_place_t){place->page + side, plans[side].record_slot};
    return KV_OK;
}

static kv_status_t build_with(kvi_array_t *array, const record_t *record, kvi_array_place_t *place)
{
    const kvi_array_page_t *const old = array->pages[place->page];
    kvi_page_plan_t plan = {
        .parts = {{old, 0, old->slots}},
        .replaced_page = old,
        .replaced_slot = place->slot,
        .record_bytes = bytes_of(record),
        .last = place->page + 1 == array->page_count,
    };
    if (kvi_page_needed(&plan) > PAGE_BYTES_MAX) {
        return split(array, record, place);
    }
    kvi_array_page_t *const page = kvi_page_build(array, &plan);
    if (page == NULL) {
        return KV_NO_MEMORY;
    }
    write_record(kvi_page_record(page, plan.record_slot), record);
    kvi_pages_replace(array, place->page, 1, &page, 1);
    place->slot = plan.record_slot;
    return KV_OK;
}

/* Puts a record in the place of the old one. It may be copied from that, which therefore stays
 * readable until it is written. */
static kv_status_t store_record(kvi_array_t *array, const record_t *record,
                                const kvi_record_view_t *old, kvi_array_place_t *place)
{
    kvi_array_page_t *const page = array->pages[place->page];
    const size_t bytes = bytes_of(record);
    char *const at = kvi_array_record(array, *place);
    const size_t header_bytes =
        kvi_varint_bytes(record->key.size) + kvi_varint_bytes(record->value_bytes);
    if (bytes <= old->record_bytes && header_bytes == old->header_bytes) {
        char *const value =
            at + (old->key_object != NULL ? sizeof(char *) : old->key.size) + old->header_bytes;
        page->garbage = (uint16_t)(page->garbage + old->record_bytes - bytes);
        kvi_varint_write(at + kvi_varint_bytes(record->key.size), record->value_bytes);
        if (record->value_object != NULL) {
            memcpy(value, &record->value_object, sizeof record->value_object);
        } else {
            kvi_bytes_move(value, record->fill, record->fill_bytes);
        }
        return KV_OK;
    }
    char *const moved = kvi_page_move_record(page, place->slot, bytes);
    if (moved != NULL) {
        write_record(moved, record);
        return KV_OK;
    }
    return build_with(array, record, place);
}

/* Classes are at most 12.5 % apart, so an object that is used to 7/8 could not be much smaller. */
static bool fits_well(const kvi_array_t *array, const char *object, size_t bytes)
{
    const size_t usable = kv_pool_usable_size(array->pool, object);
    return bytes <= usable && bytes + 8 >= usable - usable / 8;
}

/* Whether the old value's object can take the new one, and the record be written where it is. */
static bool keeps_object(const kvi_array_t *array, const kvi_record_view_t *old, size_t value_bytes)
{
    return old->value_object != NULL && value_bytes > VALUE_INLINE_MAX &&
           kvi_varint_bytes(value_bytes) == kvi_varint_bytes(old->value_bytes) &&
           (value_bytes == old->value_bytes || fits_well(array, old->value_object, value_bytes));
}

/* A value apart that grows will grow again: an eighth more room, so that n appends copy O(n) bytes.
 */
static size_t object_capacity(const kvi_record_view_t *old, size_t value_bytes)
{
    return old->value_object != NULL && value_bytes > old->value_bytes
               ? value_bytes + value_bytes / 8
               : value_bytes;
}

static kv_status_t overwrite(kvi_array_t *array, record_t *record, kvi_array_place_t *place)
{
    const kvi_record_view_t old = kvi_record_view(kvi_array_record(array, *place));
    record->key = old.key;
    record->key_object = old.key_object;
    if (keeps_object(array, &old, record->value_bytes)) {
        record->value_object = old.value_object;
        kvi_bytes_move(old.value_object, record->fill, record->fill_bytes);
    } else if (record->value_bytes > VALUE_INLINE_MAX) {
        record->value_object = create_object(array, object_capacity(&old, record->value_bytes),
                                             record->fill, record->fill_bytes);
        if (record->value_object == NULL) {
            return KV_NO_MEMORY;
        }
    }
    const size_t key_bytes = old.key.size; /* the slices end with the record */
    if (store_record(array, record, &old, place) != KV_OK) {
        kv_pool_free(array->pool, record->value_object);
        return KV_NO_MEMORY;
    }
    if (old.value_object != record->value_object) {
        kv_pool_free(array->pool, old.value_object);
    }
    uncount_entry(array, key_bytes, old.value_bytes);
    count_entry(array, key_bytes, record->value_bytes);
    return KV_OK;
}

/* ---- the functions of the table ---- */

kv_status_t kvi_array_put(kv_engine_t *engine, kv_slice_t key, kv_slice_t value)
{
    kvi_array_t *const array = (kvi_array_t *)engine;
    kvi_array_place_t place;
    if (key.size > KV_KEY_BYTES_MAX || value.size > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    record_t record = {
        .key = key, .value_bytes = value.size, .fill = value.data, .fill_bytes = value.size};
    array->changes++;
    return kvi_array_find(array, key, &place) ? overwrite(array, &record, &place)
                                              : insert(array, &record, &place);
}

kv_status_t kvi_array_store(kv_engine_t *engine, kv_slice_t key, size_t value_bytes,
                            size_t keep_bytes, char **value)
{
    kvi_array_t *const array = (kvi_array_t *)engine;
    kvi_array_place_t place;
    if (key.size > KV_KEY_BYTES_MAX || value_bytes > KV_VALUE_BYTES_MAX) {
        return KV_TOO_LARGE;
    }
    kv_slice_t old = {NULL, 0};
    const bool found = kvi_array_find(array, key, &place);
    if (found) {
        const kvi_record_view_t view = kvi_record_view(kvi_array_record(array, place));
        old = (kv_slice_t){view.value, view.value_bytes};
    }
    if (keep_bytes > old.size || keep_bytes > value_bytes) {
        return KV_INVALID;
    }
    record_t record = {
        .key = key, .value_bytes = value_bytes, .fill = old.data, .fill_bytes = keep_bytes};
    array->changes++;
    const kv_status_t status =
        found ? overwrite(array, &record, &place) : insert(array, &record, &place);
    if (status == KV_OK) {
        *value = kvi_record_view(kvi_array_record(array, place)).value;
    }
    return status;
}

kv_status_t kvi_array_del(kv_engine_t *engine, kv_slice_t key)
{
    kvi_array_t *const array = (kvi_array_t *)engine;
    kvi_array_place_t place;
    if (!kvi_array_find(array, key, &place)) {
        return KV_NOT_FOUND;
    }
    kvi_array_page_t *const page = array->pages[place.page];
    const kvi_record_view_t old = kvi_record_view(kvi_page_record(page, place.slot));
    array->changes++;
    array->count--;
    uncount_entry(array, old.key.size, old.value_bytes);
    *kvi_page_offset(page, place.slot) = 0;
    page->garbage = (uint16_t)(page->garbage + old.record_bytes);
    page->live--;
    kv_pool_free(array->pool, old.key_object);
    kv_pool_free(array->pool, old.value_object);
    if (page->live == 0) {
        kvi_pages_replace(array, place.page, 1, NULL, 0);
    } else {
        (void)kvi_pages_tidy(array, place.page);
    }
    return KV_OK;
}
