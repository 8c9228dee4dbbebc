/* SPDX-License-Identifier: MIT */
/* Draws a map of memory as text: for each owner its totals, a row of cells and its size classes. */
#ifndef KVTOOL_PICTURE_H
#define KVTOOL_PICTURE_H

#include "map.h"

typedef struct picture_style {
    size_t cell_bytes; /* memory that a cell stands for; smaller blocks share one */
    size_t width;      /* cells in a line */
    bool ascii;
} picture_style_t;

void picture_print(const map_t *map, const picture_style_t *style);

#endif
