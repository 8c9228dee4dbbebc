/* SPDX-License-Identifier: MIT */
/* Packing with zstd at its fastest ordinary level: a snapshot must keep up with the disk. */
#include "log/compress.h"

#include <zstd.h>

#define LEVEL 1

bool kvi_compress_available(void)
{
    return true;
}

size_t kvi_compress(char *to, size_t capacity, const char *from, size_t size)
{
    const size_t limit = capacity < size ? capacity : size;
    const size_t packed = ZSTD_compress(to, limit, from, size, LEVEL);
    return ZSTD_isError(packed) || packed >= size ? 0 : packed;
}

bool kvi_decompress(char *to, size_t to_size, const char *from, size_t size)
{
    const size_t unpacked = ZSTD_decompress(to, to_size, from, size);
    return !ZSTD_isError(unpacked) && unpacked == to_size;
}
