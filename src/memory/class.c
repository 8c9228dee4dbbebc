/* SPDX-License-Identifier: MIT */
/* The classes of small sizes as a table, because one load is quicker than the arithmetic. */
#include "memory/class.h"

const uint8_t kvi_class_table[KVI_CLASS_TABLE_UNITS + 1] = {
    0,                                                              /* nothing */
    0,  1,  2,  3,  4,  5,  6,  7,                                  /* steps of 1 */
    8,  9,  10, 11, 12, 13, 14, 15,                                 /* steps of 1 */
    16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 23, 23, /* 2 */
    24, 24, 24, 24, 25, 25, 25, 25, 26, 26, 26, 26, 27, 27, 27, 27, /* 4 */
    28, 28, 28, 28, 29, 29, 29, 29, 30, 30, 30, 30, 31, 31, 31, 31,
};
