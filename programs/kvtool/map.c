/* SPDX-License-Identifier: MIT */
/* Reads a map. The reader knows as much JSON as flat objects need: strings with escapes, numbers
 * and the three words. */
#include "map.h"

#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *text;
    size_t length;
    size_t at;
} reader_t;

typedef struct value {
    bool is_number;
    uint64_t number; /* of a string: what it says as 0x... or decimal, else 0 */
    char text[MAP_NAME_BYTES];
} value_t;

static void skip_blanks(reader_t *reader)
{
    while (reader->at < reader->length && strchr(" \t\r\n", reader->text[reader->at]) != NULL) {
        reader->at++;
    }
}

/* Steps over one character if it is the next one after blanks. */
static bool take(reader_t *reader, char wanted)
{
    skip_blanks(reader);
    if (reader->at < reader->length && reader->text[reader->at] == wanted) {
        reader->at++;
        return true;
    }
    return false;
}

/* The character after a backslash; \uXXXX becomes a question mark beyond ASCII. */
static bool read_escape(reader_t *reader, char *character)
{
    static const char codes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (reader->at >= reader->length) {
        return false;
    }
    const char code = reader->text[reader->at++];
    const char *place = strchr(codes, code);
    if (code != '\0' && place != NULL) {
        *character = meanings[place - codes];
        return true;
    }
    if (code != 'u' || reader->length - reader->at < 4) {
        return false;
    }
    char digits[5] = {0};
    char *end = NULL;
    memcpy(digits, reader->text + reader->at, 4);
    const unsigned long number = strtoul(digits, &end, 16);
    reader->at += 4;
    *character = number >= ' ' && number < 127 ? (char)number : '?';
    return end == digits + 4;
}

/* A string, cut to what fits; control characters, which would garble a terminal, become question
 * marks. */
static bool read_string(reader_t *reader, char out[MAP_NAME_BYTES])
{
    size_t used = 0;
    if (!take(reader, '"')) {
        return false;
    }
    while (reader->at < reader->length && reader->text[reader->at] != '"') {
        char character = reader->text[reader->at++];
        if (character == '\\' && !read_escape(reader, &character)) {
            return false;
        }
        if (used + 1 < MAP_NAME_BYTES) {
            out[used++] = (unsigned char)character < ' ' || character == 127 ? '?' : character;
        }
    }
    out[used] = '\0';
    return take(reader, '"');
}

/* A number or one of true, false and null, as the characters that such words are made of. */
static bool read_word(reader_t *reader, value_t *value)
{
    size_t used = 0;
    while (reader->at < reader->length && used + 1 < MAP_NAME_BYTES &&
           strchr("+-.0123456789Eaeflnrstu", reader->text[reader->at]) != NULL) {
        value->text[used++] = reader->text[reader->at++];
    }
    value->text[used] = '\0';
    value->is_number = used > 0 && value->text[0] >= '0' && value->text[0] <= '9';
    value->number = value->is_number ? strtoull(value->text, NULL, 10) : 0;
    return used > 0;
}

static bool read_value(reader_t *reader, value_t *value)
{
    *value = (value_t){.is_number = false};
    skip_blanks(reader);
    if (reader->at < reader->length && reader->text[reader->at] == '"') {
        if (!read_string(reader, value->text)) {
            return false;
        }
        value->number = strtoull(value->text, NULL, 0);
        return true;
    }
    return read_word(reader, value);
}

static void set_member(map_block_t *block, const char *name, const value_t *value)
{
    if (strcmp(name, "address") == 0) {
        block->address = value->number;
    } else if (strcmp(name, "owner_id") == 0) {
        block->owner_id = value->number;
    } else if (strcmp(name, "bytes") == 0) {
        block->bytes = (size_t)value->number;
    } else if (strcmp(name, "object_bytes") == 0) {
        block->object_bytes = (size_t)value->number;
    } else if (strcmp(name, "used_bytes") == 0) {
        block->used_bytes = (size_t)value->number;
    } else if (strcmp(name, "kind") == 0) {
        memcpy(block->kind, value->text, sizeof(block->kind));
    } else if (strcmp(name, "owner") == 0) {
        memcpy(block->owner, value->text, sizeof(block->owner));
    }
}

static bool read_block(reader_t *reader, map_block_t *block)
{
    char name[MAP_NAME_BYTES];
    value_t value;
    *block = (map_block_t){.bytes = 0};
    if (!take(reader, '{')) {
        return false;
    }
    if (take(reader, '}')) {
        return true;
    }
    do {
        if (!read_string(reader, name) || !take(reader, ':') || !read_value(reader, &value)) {
            return false;
        }
        set_member(block, name, &value);
    } while (take(reader, ','));
    return take(reader, '}');
}

static bool add_block(map_t *map, size_t *room, const map_block_t *block)
{
    if (map->count == *room) {
        const size_t more = *room == 0 ? 256 : *room * 2;
        map_block_t *blocks = realloc(map->blocks, more * sizeof(*blocks));
        if (blocks == NULL) {
            return false;
        }
        map->blocks = blocks;
        *room = more;
    }
    map->blocks[map->count++] = *block;
    return true;
}

static bool read_blocks(reader_t *reader, map_t *map)
{
    size_t room = 0;
    map_block_t block;
    if (!take(reader, '[')) {
        return false;
    }
    if (take(reader, ']')) {
        return true;
    }
    do {
        if (!read_block(reader, &block) || !add_block(map, &room, &block)) {
            return false;
        }
    } while (take(reader, ','));
    return take(reader, ']');
}

static int compare_blocks(const void *left, const void *right)
{
    const map_block_t *a = left;
    const map_block_t *b = right;
    int order = strcmp(a->owner, b->owner);
    if (order == 0) {
        order = strcmp(a->kind, b->kind);
    }
    if (order == 0) {
        order = (a->owner_id > b->owner_id) - (a->owner_id < b->owner_id);
    }
    return order != 0 ? order : (a->address > b->address) - (a->address < b->address);
}

bool map_parse(map_t *map, const char *text, size_t length)
{
    reader_t reader = {.text = text, .length = length};
    *map = (map_t){.blocks = NULL};
    const bool read = read_blocks(&reader, map);
    skip_blanks(&reader);
    if (!read || reader.at != length) {
        map_free(map);
        map->error_at = reader.at;
        return false;
    }
    if (map->count > 0) {
        qsort(map->blocks, map->count, sizeof(*map->blocks), compare_blocks);
    }
    return true;
}

void map_free(map_t *map)
{
    free(map->blocks);
    map->blocks = NULL;
    map->count = 0;
}
