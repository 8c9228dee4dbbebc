/* SPDX-License-Identifier: MIT */
/*
 * The picture of a map:
 *
 *   db0, pool: 1.25 MB in 20 blocks, 93.1 % used
 *     ████████████████████▓▓░                       a cell is 64 KB in the order of addresses
 *     class 64: 12 blocks, 768 KB, 98.0 % used
 *
 * Blocks that are smaller than a cell are put into one until it is full; larger ones take several
 * cells. Groups are the runs of one owner and kind in the map's order.
 */
#include "picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHADES 5

static const char *const unicode_shades[SHADES] = {"\u00b7", "\u2591", "\u2592", "\u2593",
                                                   "\u2588"};
static const char *const ascii_shades[SHADES] = {".", "-", "+", "*", "#"};

typedef struct total {
    size_t blocks;
    size_t bytes;
    size_t used;
} total_t;

static void add_total(total_t *total, const map_block_t *block)
{
    total->blocks++;
    total->bytes += block->bytes;
    total->used += block->used_bytes;
}

static void print_bytes(size_t bytes)
{
    const double kilobytes = (double)bytes / 1024.0;
    if (kilobytes < 1024.0) {
        printf("%.4g KB", kilobytes);
    } else if (kilobytes < 1048576.0) {
        printf("%.4g MB", kilobytes / 1024.0);
    } else {
        printf("%.4g GB", kilobytes / 1048576.0);
    }
}

static void print_total(const total_t *total)
{
    print_bytes(total->bytes);
    printf(" in %zu block%s", total->blocks, total->blocks == 1 ? "" : "s");
    if (total->bytes > 0) {
        printf(", %.1f %% used", 100.0 * (double)total->used / (double)total->bytes);
    }
    putchar('\n');
}

/* ---- cells ---- */

typedef struct cells {
    const picture_style_t *style;
    size_t column;
    size_t bytes; /* gathered for the next cell */
    size_t used;
} cells_t;

/* 0 for nothing used, then a shade for each begun quarter. */
static const char *shade_of(const cells_t *cells)
{
    size_t shade = 0;
    if (cells->used > 0) {
        shade = 1 + cells->used * 4 / (cells->bytes + 1);
        shade = shade < SHADES ? shade : SHADES - 1;
    }
    return cells->style->ascii ? ascii_shades[shade] : unicode_shades[shade];
}

static void put_cell(cells_t *cells)
{
    if (cells->bytes == 0) {
        return;
    }
    if (cells->column == 0) {
        printf("  ");
    }
    fputs(shade_of(cells), stdout);
    if (++cells->column == cells->style->width) {
        putchar('\n');
        cells->column = 0;
    }
    cells->bytes = 0;
    cells->used = 0;
}

/* A large block's use is spread evenly over its cells. */
static void draw_block(cells_t *cells, const map_block_t *block)
{
    const size_t cell_bytes = cells->style->cell_bytes;
    const double fill = block->bytes == 0 ? 0.0 : (double)block->used_bytes / (double)block->bytes;
    size_t left = block->bytes;
    if (cells->bytes + left > cell_bytes) {
        put_cell(cells);
    }
    while (left > 0) {
        const size_t part = left < cell_bytes - cells->bytes ? left : cell_bytes - cells->bytes;
        cells->bytes += part;
        cells->used += (size_t)((double)part * fill);
        left -= part;
        if (cells->bytes == cell_bytes) {
            put_cell(cells);
        }
    }
}

static void draw_group(const map_block_t *blocks, size_t count, const picture_style_t *style)
{
    cells_t cells = {.style = style};
    for (size_t i = 0; i < count; i++) {
        draw_block(&cells, &blocks[i]);
    }
    put_cell(&cells);
    if (cells.column > 0) {
        putchar('\n');
    }
}

/* ---- size classes ---- */

/* The smallest class above previous among blocks; 0: no more. */
static size_t next_class(const map_block_t *blocks, size_t count, size_t previous)
{
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t size = blocks[i].object_bytes;
        if (size > previous && (next == 0 || size < next)) {
            next = size;
        }
    }
    return next;
}

static void print_classes(const map_block_t *blocks, size_t count)
{
    size_t class_bytes = 0;
    while ((class_bytes = next_class(blocks, count, class_bytes)) != 0) {
        total_t total = {0, 0, 0};
        for (size_t i = 0; i < count; i++) {
            if (blocks[i].object_bytes == class_bytes) {
                add_total(&total, &blocks[i]);
            }
        }
        printf("  class %6zu: ", class_bytes);
        print_total(&total);
    }
}

/* ---- owners ---- */

static bool same_group(const map_block_t *a, const map_block_t *b)
{
    return a->owner_id == b->owner_id && strcmp(a->owner, b->owner) == 0 &&
           strcmp(a->kind, b->kind) == 0;
}

static size_t group_end(const map_t *map, size_t begin)
{
    size_t end = begin + 1;
    while (end < map->count && same_group(&map->blocks[end], &map->blocks[begin])) {
        end++;
    }
    return end;
}

static void print_group(const map_block_t *blocks, size_t count, const picture_style_t *style)
{
    total_t total = {0, 0, 0};
    for (size_t i = 0; i < count; i++) {
        add_total(&total, &blocks[i]);
    }
    if (blocks[0].owner[0] != '\0') {
        printf("%s, ", blocks[0].owner);
    }
    printf("%s: ", blocks[0].kind);
    print_total(&total);
    draw_group(blocks, count, style);
    print_classes(blocks, count);
    putchar('\n');
}

void picture_print(const map_t *map, const picture_style_t *style)
{
    total_t total = {0, 0, 0};
    for (size_t begin = 0; begin < map->count;) {
        const size_t end = group_end(map, begin);
        print_group(map->blocks + begin, end - begin, style);
        begin = end;
    }
    for (size_t i = 0; i < map->count; i++) {
        add_total(&total, &map->blocks[i]);
    }
    const char *const *shades = style->ascii ? ascii_shades : unicode_shades;
    printf("all: ");
    print_total(&total);
    printf("a cell is ");
    print_bytes(style->cell_bytes);
    printf(": %s empty, %s to a quarter, %s to a half, %s to three quarters, %s above\n", shades[0],
           shades[1], shades[2], shades[3], shades[4]);
}
