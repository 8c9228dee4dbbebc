/* SPDX-License-Identifier: MIT */
/* Packing in a build without zstd: never done, never undone. */
#include "log/compress.h"

bool kvi_compress_available(void)
{
    return false;
}

size_t kvi_compress(char *to, size_t capacity, const char *from, size_t size)
{
    (void)to;
    (void)capacity;
    (void)from;
    (void)size;
    return 0;
}

bool kvi_decompress(char *to, size_t to_size, const char *from, size_t size)
{
    (void)to;
    (void)to_size;
    (void)from;
    (void)size;
    return false;
}
