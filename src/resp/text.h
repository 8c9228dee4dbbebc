/* SPDX-License-Identifier: MIT */
/*
 * A text that grows as it is written, for replies and reports that people read. When memory runs
 * out it is marked failed and further writes do nothing. One user at a time.
 */
#ifndef KVI_RESP_TEXT_H
#define KVI_RESP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <concordkv/kv_status.h>

typedef struct kvi_text {
    char *bytes; /* NUL-terminated once something was written; from kv_store_malloc */
    size_t size; /* without the NUL */
    size_t capacity;
    bool failed;
} kvi_text_t;

__attribute__((format(printf, 2, 3))) void kvi_text_print(kvi_text_t *text, const char *format,
                                                          ...);
void kvi_text_close(kvi_text_t *text);

static inline kv_slice_t kvi_text_slice(const kvi_text_t *text)
{
    return (kv_slice_t){text->bytes, text->size};
}

#endif
