/* SPDX-License-Identifier: MIT */
/*
 * Size classes: multiples of the granule up to 16 of them, then eight steps a doubling, so that
 * rounding loses at most 12.5 %. Both directions are arithmetic; small sizes have a table besides.
 * Thread rule: pure functions.
 *
 *   class         0  1  2 ...  15    16  17 ...  23    24  25 ...   31   ...  111
 *   granule  8    8 16 24 ... 128   144 160 ... 256   288 320 ...  512   ...  512 KB
 *   granule 16   16 32 48 ... 256   288 320 ... 512   576 640 ... 1024   ...    1 MB
 */
#ifndef KVI_MEMORY_CLASS_H
#define KVI_MEMORY_CLASS_H

#include <stddef.h>
#include <stdint.h>

enum { KVI_CLASSES = 112, KVI_CLASS_TABLE_UNITS = 64 };

/* [units]: the class of sizes up to units granules, from 0 to KVI_CLASS_TABLE_UNITS. */
extern const uint8_t kvi_class_table[KVI_CLASS_TABLE_UNITS + 1];

/* The smallest class whose objects hold size bytes; KVI_CLASSES or more: none does. Size 0 is the
 * smallest class. */
static inline size_t kvi_class_of(size_t size, unsigned granule_shift)
{
    const size_t last = size - (size != 0); /* the last byte's offset */
    const unsigned top = 63U - (unsigned)__builtin_clzll(last | (size_t)8 << granule_shift);
    return (last >> (top - 3)) + (size_t)(top - 3 - granule_shift) * 8;
}

static inline size_t kvi_class_bytes(size_t number, unsigned granule_shift)
{
    if (number < 8) {
        return (number + 1) << granule_shift;
    }
    return (9 + number % 8) << (granule_shift + number / 8 - 1);
}

/* The smallest class whose objects hold size bytes and all start at multiples of alignment, a power
 * of two of at most 64 KB; KVI_CLASSES or more: none. Spans start at 64 KB, so the size decides. */
static inline size_t kvi_class_aligned(size_t size, size_t alignment, unsigned granule_shift)
{
    size_t number = kvi_class_of(size, granule_shift);
    while (number < KVI_CLASSES && kvi_class_bytes(number, granule_shift) % alignment != 0) {
        number++;
    }
    return number;
}

#endif
