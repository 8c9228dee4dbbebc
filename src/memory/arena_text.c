/* SPDX-License-Identifier: MIT */
/*
 * What is built on kv_arena_alloc: zeroed memory, resizing, copies and formatted strings. The
 * newest allocation is resized in place by moving alloc_ptr; a string is formatted straight into
 * the current block if it fits. Thread rule: that of the arena.
 */
#include "memory/arena_int.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

void *kv_arena_calloc(kv_arena_t *arena, size_t nmemb, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(nmemb, size, &bytes)) {
        return NULL;
    }
    void *const result = kv_arena_alloc(arena, bytes);
    return result == NULL ? NULL : memset(result, 0, bytes);
}

/* Whether old is what the current block handed out last. The block before may end where the current
 * one starts. */
static bool is_newest(const kv_arena_t *arena, const char *old, size_t old_bytes)
{
    const struct kv_arena_private *const state = arena->private_state;
    const char *const start = state->current != NULL ? state->current->shown.data : state->initial;
    return (uintptr_t)old >= (uintptr_t)start &&
           (uintptr_t)old + old_bytes == (uintptr_t)arena->alloc_ptr;
}

/* Moves the end of the newest allocation. The caller has made sure that the block has room. */
static void resize_newest(kv_arena_t *arena, char *old, size_t old_size, size_t new_size)
{
    const size_t old_bytes = round_up(old_size, KV_ARENA_ALIGNMENT);
    const size_t new_bytes = round_up(new_size, KV_ARENA_ALIGNMENT);
    arena->alloc_ptr = old + new_bytes;
    arena->alloc_bytes_remaining += old_bytes;
    arena->alloc_bytes_remaining -= new_bytes;
    arena->total_allocated -= old_bytes;
    arena->total_allocated += new_bytes;
    struct profile *const profile = arena->private_state->profile;
    if (profile != NULL) {
        profile->asked -= old_size;
        profile->asked += new_size;
    }
    if (new_size > old_size) {
        kvi_arena_show(arena, old + old_size, new_size - old_size);
    } else {
        kvi_arena_hide(arena, old + new_size, old_size - new_size);
    }
}

void *kv_arena_realloc(kv_arena_t *arena, void *old, size_t old_size, size_t new_size)
{
    if (arena == NULL || old == NULL || old_size == 0) {
        return kv_arena_alloc(arena, new_size);
    }
    if (new_size == 0 || new_size > arena_bytes_max || old_size > arena_bytes_max) {
        return NULL;
    }
    const size_t old_bytes = round_up(old_size, KV_ARENA_ALIGNMENT);
    const size_t new_bytes = round_up(new_size, KV_ARENA_ALIGNMENT);
    if (is_newest(arena, old, old_bytes) && new_bytes <= arena->alloc_bytes_remaining + old_bytes) {
        resize_newest(arena, old, old_size, new_size);
        return old;
    }
    if (new_size <= old_size) {
        return old; /* the end is lost until reset, as a copy's whole place would be */
    }
    void *const result = kv_arena_alloc(arena, new_size);
    return result == NULL ? NULL : memcpy(result, old, old_size);
}

void *kv_arena_memdup(kv_arena_t *arena, const void *data, size_t size)
{
    if (data == NULL) {
        return NULL;
    }
    void *const result = kv_arena_alloc(arena, size);
    return result == NULL ? NULL : memcpy(result, data, size);
}

char *kv_arena_strdup(kv_arena_t *arena, const char *string)
{
    return string == NULL ? NULL : kv_arena_memdup(arena, string, strlen(string) + 1);
}

char *kv_arena_vprintf(kv_arena_t *arena, const char *format, va_list arguments)
{
    if (arena == NULL || format == NULL) {
        return NULL;
    }
    /* Where unused bytes are poisoned, nothing may be written before they are handed out. */
    size_t room = arena->private_state->checked ? 0 : arena->alloc_bytes_remaining;
    if (room > INT_MAX) {
        room = INT_MAX; /* more than that is an error to vsnprintf */
    }
    char *const place = arena->alloc_ptr;
    va_list again;
    va_copy(again, arguments);
    char *result = NULL;
    const int length = vsnprintf(room > 0 ? place : NULL, room, format, arguments);
    if (length >= 0) {
        const size_t size = (size_t)length + 1;
        result = kvi_arena_take(arena, size, KV_ARENA_ALIGNMENT);
        if (result != NULL && (size > room || result != place)) {
            (void)vsnprintf(result, size, format, again);
        }
    }
    va_end(again);
    return result;
}

char *kv_arena_printf(kv_arena_t *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *const result = kv_arena_vprintf(arena, format, arguments);
    va_end(arguments);
    return result;
}
