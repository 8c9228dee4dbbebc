/* SPDX-License-Identifier: MIT */
/*
 * commands.def as a table, and names to rows. Names are hashed and compared in lower case by
 * setting bit 5 of every byte, which also changes some bytes that are no letters; the comparison
 * therefore looks at letters only.
 */
#include "server/command_table.h"

#include <assert.h>
#include <string.h>

#include "server/commands.h"

static const kvi_command_t command_rows[] = {
#define COMMAND(name, function, arity, flags, first, last, step, group, since, summary, arguments) \
    {name, function, arity, flags, first, last, step, group, since, summary, arguments},
#include "server/commands.def"
#undef COMMAND
};

#define COMMAND_ROWS (sizeof command_rows / sizeof command_rows[0])

static inline char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

static bool equals(const char *name, kv_slice_t text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (name[i] == '\0' || name[i] != lower(text.data[i])) {
            return false;
        }
    }
    return name[text.size] == '\0';
}

/* FNV-1a, its high bits folded down because the slot number is made of the low ones. */
static inline size_t slot_of(kv_slice_t name)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ (uint32_t)((unsigned char)name.data[i] | 0x20U)) * UINT32_C(16777619);
    }
    return (hash ^ (hash >> 15)) & (KVI_COMMAND_SLOTS - 1);
}

void kvi_command_table_build(kvi_command_table_t *table)
{
    assert(COMMAND_ROWS < KVI_COMMAND_SLOTS / 2);
    *table = (kvi_command_table_t){.rows = COMMAND_ROWS};
    for (size_t row = 0; row < COMMAND_ROWS; row++) {
        const char *const name = command_rows[row].name;
        assert(strlen(name) < KVI_COMMAND_NAME_BYTES_MAX);
        size_t slot = slot_of((kv_slice_t){name, strlen(name)});
        while (table->slots[slot] != 0) {
            slot = (slot + 1) & (KVI_COMMAND_SLOTS - 1);
        }
        table->slots[slot] = (uint16_t)(row + 1);
        table->sub[row] = kvi_command_is_sub(&command_rows[row]);
        table->commands += table->sub[row] ? 0 : 1;
        table->container[row] = kvi_command_next_sub(&command_rows[row], NULL) != NULL;
    }
}

static const kvi_command_t *find_row(const kvi_command_table_t *table, kv_slice_t name)
{
    size_t slot = slot_of(name);
    while (table->slots[slot] != 0) {
        const kvi_command_t *const row = &command_rows[table->slots[slot] - 1];
        if (equals(row->name, name)) {
            return row;
        }
        slot = (slot + 1) & (KVI_COMMAND_SLOTS - 1);
    }
    return NULL;
}

const kvi_command_t *kvi_command_table_find(const kvi_command_table_t *table, kv_slice_t name)
{
    if (name.size >= KVI_COMMAND_NAME_BYTES_MAX) {
        return NULL;
    }
    const kvi_command_t *const row = find_row(table, name);
    /* "client|id" is what we call a subcommand, not what a client may send. */
    return row == NULL || table->sub[kvi_command_number(row)] ? NULL : row;
}

const kvi_command_t *kvi_command_table_find_sub(const kvi_command_table_t *table,
                                                const kvi_command_t *container, kv_slice_t name)
{
    char full[KVI_COMMAND_NAME_BYTES_MAX];
    const size_t length = strlen(container->name);
    if (name.size >= sizeof full - length - 1 || memchr(name.data, '|', name.size) != NULL) {
        return NULL;
    }
    memcpy(full, container->name, length);
    full[length] = '|';
    memcpy(full + length + 1, name.data, name.size);
    return find_row(table, (kv_slice_t){full, length + 1 + name.size});
}

const kvi_command_t *kvi_command_find(kv_slice_t name)
{
    for (size_t row = 0; row < COMMAND_ROWS; row++) {
        if (equals(command_rows[row].name, name) && !kvi_command_is_sub(&command_rows[row])) {
            return &command_rows[row];
        }
    }
    return NULL;
}

const kvi_command_t *kvi_command_find_sub(const kvi_command_t *container, kv_slice_t name)
{
    const size_t length = strlen(container->name);
    const kvi_command_t *sub = NULL;
    while ((sub = kvi_command_next_sub(container, sub)) != NULL) {
        if (equals(sub->name + length + 1, name)) {
            return sub;
        }
    }
    return NULL;
}

const kvi_command_t *kvi_command_at(size_t number)
{
    return number < COMMAND_ROWS ? &command_rows[number] : NULL;
}

size_t kvi_command_number(const kvi_command_t *command)
{
    return (size_t)(command - command_rows);
}

bool kvi_command_is_sub(const kvi_command_t *command)
{
    return strchr(command->name, '|') != NULL;
}

const kvi_command_t *kvi_command_next_sub(const kvi_command_t *container,
                                          const kvi_command_t *previous)
{
    const size_t length = strlen(container->name);
    const size_t first = kvi_command_number(previous != NULL ? previous : container) + 1;
    for (size_t row = first; row < COMMAND_ROWS; row++) {
        const char *const name = command_rows[row].name;
        if (strncmp(name, container->name, length) == 0 && name[length] == '|') {
            return &command_rows[row];
        }
    }
    return NULL;
}
