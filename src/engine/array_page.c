/* SPDX-License-Identifier: MIT */
/*
 * Pages of the array engine: records and slots added in the gap, pages built anew from one or two
 * old ones, and the list of pages. Shapes and invariants: array_int.h. One user at a time.
 */
#include "engine/array_int.h"

#define PAGES_ROOM_MIN 64u

/* ---- in a page as it stands ---- */

char *kvi_page_append(kvi_array_page_t *page, uint64_t sequence, uint16_t tag, size_t record_bytes,
                      uint32_t *slot)
{
    const uint64_t delta = sequence - page->base;
    if (delta > PAGE_SPAN_MAX) {
        return NULL;
    }
    const uint32_t number = kvi_page_is_sparse(page) ? page->slots : (uint32_t)delta;
    const size_t old_front = kvi_page_front(page);
    const size_t front = sizeof *page + kvi_page_groups(number + 1) * page->group_bytes;
    if (front + record_bytes > page->heap) {
        return NULL;
    }
    memset((char *)page + old_front, 0, front - old_front);
    page->slots = (uint16_t)(number + 1);
    page->live++;
    page->heap = (uint16_t)(page->heap - record_bytes);
    *kvi_page_tag(page, number) = tag;
    *kvi_page_offset(page, number) = page->heap;
    if (kvi_page_is_sparse(page)) {
        *kvi_page_delta(page, number) = (uint16_t)delta;
    }
    *slot = number;
    return (char *)page + page->heap;
}

char *kvi_page_move_record(kvi_array_page_t *page, uint32_t slot, size_t record_bytes)
{
    if (kvi_page_front(page) + record_bytes > page->heap) {
        return NULL;
    }
    const size_t old_bytes = kvi_record_view(kvi_page_record(page, slot)).record_bytes;
    page->garbage = (uint16_t)(page->garbage + old_bytes);
    page->heap = (uint16_t)(page->heap - record_bytes);
    *kvi_page_offset(page, slot) = page->heap;
    return (char *)page + page->heap;
}

size_t kvi_page_waste(const kvi_array_page_t *page)
{
    const size_t dead = (size_t)page->slots - page->live;
    return page->heap - kvi_page_front(page) + page->garbage + dead * SLOT_BYTES;
}

void kvi_page_free(kvi_array_t *array, kvi_array_page_t *page)
{
    kv_pool_free(array->pool, page);
}

/* ---- building ---- */

/* What a plan comes to. */
typedef struct layout {
    uint64_t first; /* sequence */
    uint64_t last;
    uint32_t live;
    size_t records_bytes;
    uint32_t slots;
    size_t group_bytes;
    size_t needed;
} layout_t;

static bool is_replaced(const kvi_page_plan_t *plan, const kvi_array_page_t *page, uint32_t slot)
{
    return page == plan->replaced_page && slot == plan->replaced_slot;
}

static void lay_out_entry(layout_t *layout, uint64_t sequence, size_t record_bytes)
{
    layout->first = layout->live == 0 ? sequence : layout->first;
    layout->last = sequence;
    layout->live++;
    layout->records_bytes += record_bytes;
}

/* As dense or as sparse as makes the page smaller. */
static void choose_form(layout_t *layout)
{
    const uint64_t span = layout->last - layout->first;
    layout->needed = SIZE_MAX;
    if (span > PAGE_SPAN_MAX) {
        return;
    }
    const uint32_t dense_slots = (uint32_t)span + 1;
    const size_t dense = kvi_page_groups(dense_slots) * DENSE_GROUP_BYTES;
    const size_t sparse = kvi_page_groups(layout->live) * SPARSE_GROUP_BYTES;
    layout->slots = dense <= sparse ? dense_slots : layout->live;
    layout->group_bytes = dense <= sparse ? DENSE_GROUP_BYTES : SPARSE_GROUP_BYTES;
    layout->needed =
        sizeof(kvi_array_page_t) + (dense <= sparse ? dense : sparse) + layout->records_bytes;
}

static layout_t lay_out(const kvi_page_plan_t *plan)
{
    layout_t layout = {0};
    for (uint32_t i = 0; i < 2 && plan->parts[i].page != NULL; i++) {
        const kvi_page_part_t *const part = &plan->parts[i];
        for (uint32_t slot = part->from; slot < part->to; slot++) {
            if (kvi_page_is_live(part->page, slot)) {
                lay_out_entry(
                    &layout, kvi_page_sequence(part->page, slot),
                    is_replaced(plan, part->page, slot)
                        ? plan->record_bytes
                        : kvi_record_view(kvi_page_record(part->page, slot)).record_bytes);
            }
        }
    }
    if (plan->appended_sequence != 0) {
        lay_out_entry(&layout, plan->appended_sequence, plan->record_bytes);
    }
    choose_form(&layout);
    return layout;
}

size_t kvi_page_needed(const kvi_page_plan_t *plan)
{
    return lay_out(plan).needed;
}

/* Sizes double, so that few size classes are in use and blocks that one page leaves serve another;
 * half empty pages become one. With others before it, the last page has its full size at once. */
static size_t choose_bytes(const kvi_array_t *array, const kvi_page_plan_t *plan, size_t needed)
{
    size_t bytes = plan->last && array->page_count > 1 ? PAGE_BYTES_MAX : PAGE_BYTES_MIN;
    while (bytes < needed) {
        bytes *= 2;
    }
    return bytes;
}

/* Adds the next entry to a page whose groups have room for it. Returns its record's place. */
static char *add_entry(kvi_array_page_t *page, uint64_t sequence, uint16_t tag, size_t record_bytes)
{
    const uint64_t delta = sequence - page->base;
    const uint32_t slot = kvi_page_is_sparse(page) ? page->live : (uint32_t)delta;
    page->live++;
    page->heap = (uint16_t)(page->heap - record_bytes);
    *kvi_page_tag(page, slot) = tag;
    *kvi_page_offset(page, slot) = page->heap;
    if (kvi_page_is_sparse(page)) {
        *kvi_page_delta(page, slot) = (uint16_t)delta;
    }
    return (char *)page + page->heap;
}

static uint32_t latest_slot(const kvi_array_page_t *page, uint64_t sequence)
{
    return kvi_page_is_sparse(page) ? page->live - 1u : (uint32_t)(sequence - page->base);
}

static void fill_page(kvi_array_page_t *page, kvi_page_plan_t *plan)
{
    for (uint32_t i = 0; i < 2 && plan->parts[i].page != NULL; i++) {
        const kvi_page_part_t *const part = &plan->parts[i];
        for (uint32_t slot = part->from; slot < part->to; slot++) {
            if (!kvi_page_is_live(part->page, slot)) {
                continue;
            }
            const uint64_t sequence = kvi_page_sequence(part->page, slot);
            const uint16_t tag = *kvi_page_tag(part->page, slot);
            if (is_replaced(plan, part->page, slot)) {
                (void)add_entry(page, sequence, tag, plan->record_bytes);
                plan->record_slot = latest_slot(page, sequence);
            } else {
                char *const record = kvi_page_record(part->page, slot);
                const size_t bytes = kvi_record_view(record).record_bytes;
                memcpy(add_entry(page, sequence, tag, bytes), record, bytes);
            }
        }
    }
    if (plan->appended_sequence != 0) {
        (void)add_entry(page, plan->appended_sequence, plan->appended_tag, plan->record_bytes);
        plan->record_slot = latest_slot(page, plan->appended_sequence);
    }
}

kvi_array_page_t *kvi_page_build(kvi_array_t *array, kvi_page_plan_t *plan)
{
    const layout_t layout = lay_out(plan);
    if (layout.needed > PAGE_BYTES_MAX) {
        return NULL;
    }
    const size_t bytes = choose_bytes(array, plan, layout.needed);
    kvi_array_page_t *const page = kv_pool_alloc(array->pool, bytes);
    if (page == NULL) {
        return NULL;
    }
    page->base = layout.first;
    page->bytes = (uint16_t)bytes;
    page->slots = (uint16_t)layout.slots;
    page->live = 0;
    page->heap = (uint16_t)bytes;
    page->garbage = 0;
    page->group_bytes = (uint16_t)layout.group_bytes;
    memset(page + 1, 0, kvi_page_front(page) - sizeof *page);
    fill_page(page, plan);
    return page;
}

/* ---- the list of pages ---- */

kv_status_t kvi_pages_reserve(kvi_array_t *array, uint32_t more)
{
    const uint32_t wanted = array->page_count + more;
    if (wanted <= array->page_room) {
        return KV_OK;
    }
    const uint32_t room = wanted < PAGES_ROOM_MIN ? PAGES_ROOM_MIN : wanted + wanted / 2;
    kvi_array_page_t **const pages =
        kv_pool_realloc(array->pool, array->pages, room * sizeof(kvi_array_page_t *));
    if (pages == NULL) {
        return KV_NO_MEMORY;
    }
    array->index_bytes += (room - array->page_room) * sizeof(kvi_array_page_t *);
    array->pages = pages;
    array->page_room = room;
    (void)kv_pool_trim(array->pool); /* the block of the smaller list's size class */
    return KV_OK;
}

void kvi_pages_replace(kvi_array_t *array, uint32_t at, uint32_t old_count,
                       kvi_array_page_t *const *pages, uint32_t count)
{
    for (uint32_t i = 0; i < old_count; i++) {
        kvi_page_free(array, array->pages[at + i]);
    }
    kvi_array_page_t **const place = array->pages + at;
    const uint32_t behind = array->page_count - at - old_count;
    memmove(place + count, place + old_count, behind * sizeof *place);
    for (uint32_t i = 0; i < count; i++) {
        place[i] = pages[i];
    }
    array->page_count = array->page_count - old_count + count;
    array->index_bytes += count * sizeof(kvi_array_page_t);
    array->index_bytes -= old_count * sizeof(kvi_array_page_t);
}

static kvi_page_part_t whole(const kvi_array_page_t *page)
{
    return (kvi_page_part_t){page, 0, page->slots};
}

static size_t used_bytes(const kvi_array_page_t *page)
{
    return page->bytes - kvi_page_waste(page);
}

/* Makes one page of two neighbours, if it would not be rather full. */
static size_t merge(kvi_array_t *array, uint32_t at)
{
    if (at + 1 >= array->page_count) {
        return 0;
    }
    const kvi_array_page_t *const first = array->pages[at];
    const kvi_array_page_t *const second = array->pages[at + 1];
    if (used_bytes(first) + used_bytes(second) > PAGE_BYTES_MAX / 8 * 7) {
        return 0;
    }
    kvi_page_plan_t plan = {.parts = {whole(first), whole(second)},
                            .last = at + 2 == array->page_count};
    kvi_array_page_t *const page = kvi_page_build(array, &plan);
    if (page == NULL) {
        return 0;
    }
    kvi_pages_replace(array, at, 2, &page, 1);
    return page->live;
}

size_t kvi_pages_move(kvi_array_t *array, uint32_t at)
{
    kvi_page_plan_t plan = {.parts = {whole(array->pages[at])},
                            .last = at + 1 == array->page_count};
    kvi_array_page_t *const page = kvi_page_build(array, &plan);
    if (page == NULL) {
        return 0;
    }
    kvi_pages_replace(array, at, 1, &page, 1);
    return page->live;
}

size_t kvi_pages_tidy(kvi_array_t *array, uint32_t at)
{
    const kvi_array_page_t *const page = array->pages[at];
    const bool last = at + 1 == array->page_count;
    const size_t bytes = page->bytes;
    if (kvi_page_waste(page) <= (last ? bytes / 4 * 3 : bytes / 4 + GROUP_PART_BYTES)) {
        return 0;
    }
    size_t moved = merge(array, at);
    if (moved == 0 && at > 0) {
        moved = merge(array, at - 1);
    }
    if (moved > 0) {
        return moved;
    }
    const kvi_page_plan_t plan = {.parts = {whole(page)}, .last = last};
    const size_t fitting = choose_bytes(array, &plan, kvi_page_needed(&plan));
    return fitting + fitting / 8 < bytes ? kvi_pages_move(array, at) : 0;
}
