/* SPDX-License-Identifier: MIT */
/*
 * Walks over the array engine, by the sequence numbers of its entries: scans with tokens, samples,
 * and the moving of pages. Shapes and invariants: array_int.h. One user at a time.
 *
 * A scan goes from the newest entry to the oldest, and its token is the sequence number down to
 * which it has come. What is inserted meanwhile is newer than all that is left, so every walk ends,
 * and an entry keeps its number, so each that stays is visited once.
 */
#include "engine/array_int.h"
#include "engine/scan_order.h"

/* ---- places ---- */

static kvi_record_view_t view_of(const kvi_array_t *array, kvi_array_place_t place)
{
    return kvi_record_view(kvi_array_record(array, place));
}

bool kvi_array_next(const kvi_array_t *array, kvi_array_place_t *place)
{
    uint32_t slot = place->slot + 1;
    for (uint32_t i = place->page; i < array->page_count; i++, slot = 0) {
        for (; slot < array->pages[i]->slots; slot++) {
            if (kvi_page_is_live(array->pages[i], slot)) {
                *place = (kvi_array_place_t){i, slot};
                return true;
            }
        }
    }
    return false;
}

/* The last entry of these slots. */
static bool last_below(const kvi_array_page_t *page, uint32_t end, uint32_t *slot)
{
    while (end > 0) {
        if (kvi_page_is_live(page, --end)) {
            *slot = end;
            return true;
        }
    }
    return false;
}

bool kvi_array_previous(const kvi_array_t *array, kvi_array_place_t *place)
{
    uint32_t page = place->page;
    bool found = last_below(array->pages[page], place->slot, &place->slot);
    while (!found && page > 0) {
        page--;
        found = last_below(array->pages[page], array->pages[page]->slots, &place->slot);
    }
    place->page = page;
    return found;
}

/* The first slot with this sequence number or a higher one; may be the number of slots. */
static uint32_t slot_of(const kvi_array_page_t *page, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = page->slots;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (kvi_page_sequence(page, middle) < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The last page that begins at this sequence number or below; the first one if none does. There
 * must be one. */
static uint32_t page_of(const kvi_array_t *array, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = array->page_count;
    while (low + 1 < high) {
        const uint32_t middle = (low + high) / 2;
        if (array->pages[middle]->base <= sequence) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

bool kvi_array_seek(const kvi_array_t *array, uint64_t sequence, kvi_array_place_t *place)
{
    if (array->page_count == 0) {
        return false;
    }
    const uint32_t page = page_of(array, sequence);
    const uint32_t slot = slot_of(array->pages[page], sequence);
    *place = (kvi_array_place_t){page, slot};
    if (slot < array->pages[page]->slots && kvi_page_is_live(array->pages[page], slot)) {
        return true;
    }
    return kvi_array_next(array, place);
}

/* ---- scans ---- */

/* The newest entry below this sequence number. */
static bool seek_below(const kvi_array_t *array, uint64_t sequence, kvi_array_place_t *place)
{
    if (array->page_count == 0) {
        return false;
    }
    const uint32_t page = page_of(array, sequence);
    *place = (kvi_array_place_t){page, slot_of(array->pages[page], sequence)};
    return kvi_array_previous(array, place);
}

uint64_t kvi_array_scan(kv_engine_t *engine, uint64_t token, size_t count, kv_engine_visit_fn visit,
                        void *context)
{
    const kvi_array_t *const array = (const kvi_array_t *)engine;
    kvi_array_place_t place;
    bool more = seek_below(array, token != 0 ? token : array->next_sequence, &place);
    for (size_t visited = 0; more && (visited < count || visited == 0); visited++) {
        const kvi_record_view_t view = view_of(array, place);
        visit(context, view.key, (kv_slice_t){view.value, view.value_bytes});
        token = kvi_page_sequence(array->pages[place.page], place.slot);
        more = kvi_array_previous(array, &place);
    }
    return more ? token : 0;
}

/* Places count down from the newest entry there can ever be; a token is the sequence number below
 * which all is left. */
#define PLACES (UINT64_C(1) << 63)

static uint64_t place_of(const kv_engine_t *engine, kv_slice_t key)
{
    const kvi_array_t *const array = (const kvi_array_t *)engine;
    kvi_array_place_t place;
    return kvi_array_find(array, key, &place)
               ? PLACES - kvi_page_sequence(array->pages[place.page], place.slot)
               : PLACES;
}

static uint64_t place_at(uint64_t token)
{
    return token == 0 ? 0 : PLACES - token + 1;
}

static uint64_t token_at(uint64_t place)
{
    return place == 0 ? 0 : PLACES - place + 1;
}

const kvi_scan_order_t kvi_array_scan_order = {
    .place_of = place_of, .place_at = place_at, .token_at = token_at};

/* ---- samples ---- */

/* Exactly even, since a walk over the pages is no more than a lookup. */
kv_status_t kvi_array_sample(kv_engine_t *engine, uint64_t number, kv_slice_t *key,
                             kv_slice_t *value)
{
    const kvi_array_t *const array = (const kvi_array_t *)engine;
    if (array->count == 0) {
        return KV_NOT_FOUND;
    }
    uint64_t left = number % array->count;
    kvi_array_place_t place = {0, 0};
    while (left >= array->pages[place.page]->live) {
        left -= array->pages[place.page++]->live;
    }
    const kvi_array_page_t *const page = array->pages[place.page];
    if (page->live == page->slots) {
        place.slot = (uint32_t)left;
    } else {
        left += kvi_page_is_live(page, 0) ? 0 : 1;
        for (; left > 0; left--) {
            (void)kvi_array_next(array, &place);
        }
    }
    const kvi_record_view_t view = view_of(array, place);
    *key = view.key;
    *value = (kv_slice_t){view.value, view.value_bytes};
    return KV_OK;
}

/* ---- moving ---- */

/* Moves an object of this size out of a sparse block. */
static bool move_object(kvi_array_t *array, char *address_at, char *object, size_t bytes)
{
    if (object == NULL || !kv_pool_sparse(array->pool, object)) {
        return false;
    }
    char *const copy = kv_pool_alloc(array->pool, bytes);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, object, bytes);
    memcpy(address_at, &copy, sizeof copy);
    kv_pool_free(array->pool, object);
    return true;
}

static size_t move_objects(kvi_array_t *array, uint32_t number)
{
    const kvi_array_page_t *const page = array->pages[number];
    size_t moved = 0;
    for (uint32_t slot = 0; slot < page->slots; slot++) {
        if (kvi_page_is_live(page, slot)) {
            char *const record = kvi_page_record(page, slot);
            const kvi_record_view_t view = kvi_record_view(record);
            moved += move_object(array, record + view.header_bytes, view.key_object, view.key.size);
            moved += move_object(array, record + view.record_bytes - sizeof(char *),
                                 view.value_object, view.value_bytes);
        }
    }
    return moved;
}

/* All pages were passed, and nothing was left to move: the pool can part with the blocks that have
 * become empty. The next call looks through everything again. */
static void end_relocation(kvi_array_t *array)
{
    array->relocate_idle = 0;
    if (array->trimmed_at != array->changes) {
        array->trimmed_at = array->changes;
        (void)kv_pool_trim(array->pool);
    }
}

size_t kvi_array_relocate(kv_engine_t *engine, size_t steps)
{
    kvi_array_t *const array = (kvi_array_t *)engine;
    size_t used = 0;
    while (used < steps && array->relocate_idle < array->page_count) {
        const uint32_t at = array->relocate_at < array->page_count ? array->relocate_at : 0;
        size_t moved = move_objects(array, at) + kvi_pages_tidy(array, at);
        if (at < array->page_count && kv_pool_sparse(array->pool, array->pages[at])) {
            moved += kvi_pages_move(array, at);
        }
        array->relocate_at = at + 1;
        array->relocate_idle = moved > 0 ? 0 : array->relocate_idle + 1;
        array->changes += moved;
        used += moved + 1;
    }
    if (used < steps) {
        end_relocation(array);
        return used;
    }
    return steps;
}
