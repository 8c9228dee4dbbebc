/* SPDX-License-Identifier: MIT */
/*
 * The index over the rows of commands.def: names in any case to rows, one probe for nearly every
 * name. It is built once per server, since a table of constants cannot be hashed by the compiler.
 */
#ifndef KVI_SERVER_COMMAND_TABLE_H
#define KVI_SERVER_COMMAND_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/command.h"

/* A power of two, more than twice the rows. */
#define KVI_COMMAND_SLOTS ((size_t)1024)
#define KVI_COMMAND_NAME_BYTES_MAX ((size_t)48)

typedef struct kvi_command_table {
    uint16_t slots[KVI_COMMAND_SLOTS];     /* row + 1; 0: empty; linear probing */
    bool container[KVI_COMMAND_SLOTS / 2]; /* rows with subcommands */
    bool sub[KVI_COMMAND_SLOTS / 2];       /* rows that are subcommands */
    size_t rows;
    size_t commands; /* rows that are no subcommands */
} kvi_command_table_t;

void kvi_command_table_build(kvi_command_table_t *table);
/* As kvi_command_find and kvi_command_find_sub, in one probe. */
const kvi_command_t *kvi_command_table_find(const kvi_command_table_t *table, kv_slice_t name);
const kvi_command_t *kvi_command_table_find_sub(const kvi_command_table_t *table,
                                                const kvi_command_t *container, kv_slice_t name);

/* kvi_command_dispatch for a name that has been looked up already: the row that
 * kvi_command_table_find found. */
void kvi_command_dispatch_row(kvi_request_t *request, const kvi_command_t *row);

/* The number of a row. */
size_t kvi_command_number(const kvi_command_t *command);
bool kvi_command_is_sub(const kvi_command_t *command);
/* The first and the following subcommands of a container; NULL at the end and for what is no
 * container. */
const kvi_command_t *kvi_command_next_sub(const kvi_command_t *container,
                                          const kvi_command_t *previous);

#endif
