/* SPDX-License-Identifier: MIT */
/* A growing text. */
#include "resp/text.h"

#include <stdarg.h>
#include <stdio.h>

#include <concordkv/kv_memory.h>

#define CAPACITY_MIN ((size_t)512)

static bool reserve(kvi_text_t *text, size_t bytes)
{
    size_t capacity = text->capacity * 2 > CAPACITY_MIN ? text->capacity * 2 : CAPACITY_MIN;
    if (bytes < text->capacity - text->size) {
        return true;
    }
    if (capacity - text->size <= bytes) {
        capacity = text->size + bytes + 1;
    }
    char *const larger = kv_store_realloc(text->bytes, capacity);
    if (larger == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = larger;
    text->capacity = capacity;
    return true;
}

void kvi_text_print(kvi_text_t *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length > 0 && !text->failed && reserve(text, (size_t)length)) {
        (void)vsnprintf(text->bytes + text->size, text->capacity - text->size, format, again);
        text->size += (size_t)length;
    }
    va_end(again);
}

void kvi_text_close(kvi_text_t *text)
{
    kv_store_free(text->bytes);
    *text = (kvi_text_t){0};
}
