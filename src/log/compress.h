/* SPDX-License-Identifier: MIT */
/*
 * Packing of blocks of bytes: zstd in compress_zstd.c where it was found when this was built,
 * nothing in compress_none.c elsewhere.
 */
#ifndef KVI_LOG_COMPRESS_H
#define KVI_LOG_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

bool kvi_compress_available(void);
/* Bytes written at to; 0 if they would not be fewer than size, or it cannot be done. */
size_t kvi_compress(char *to, size_t capacity, const char *from, size_t size);
/* Whether from was unpacked to exactly to_size bytes. */
bool kvi_decompress(char *to, size_t to_size, const char *from, size_t size);

#endif
