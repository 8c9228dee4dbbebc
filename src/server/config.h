/* SPDX-License-Identifier: MIT */
/*
 * The server's settings, made from the rows of config.def. Values come as text, from the command
 * line, a file or CONFIG SET, and are checked in one place.
 */
#ifndef KVI_SERVER_CONFIG_H
#define KVI_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

#include "db/db.h"

/* The C type of each kind. A text is NUL-terminated and owned by the config. */
#define CONFIG_FIELD_BOOL(field) bool(field);
#define CONFIG_FIELD_INTEGER(field) int64_t(field);
#define CONFIG_FIELD_BYTES(field) int64_t(field);
#define CONFIG_FIELD_TEXT(field) char *(field);
#define CONFIG_FIELD_CHOICE(field) char *(field);

typedef struct kvi_config {
#define CONFIG(name, field, kind, initial, lowest, highest, flags, argument, help) \
    CONFIG_FIELD_##kind(field)
#include "server/config.def"
#undef CONFIG
} kvi_config_t;

typedef enum kvi_config_kind {
    KVI_CONFIG_BOOL,
    KVI_CONFIG_INTEGER,
    KVI_CONFIG_BYTES,
    KVI_CONFIG_TEXT,
    KVI_CONFIG_CHOICE
} kvi_config_kind_t;

typedef enum kvi_config_flag {
    KVI_CONFIG_STARTUP = 1 << 0,
    KVI_CONFIG_CONSTANT = 1 << 1,
    KVI_CONFIG_ABSENT = 1 << 2
} kvi_config_flag_t;

typedef struct kvi_config_row {
    const char *name;
    kvi_config_kind_t kind;
    size_t offset; /* in kvi_config_t */
    const char *initial;
    int64_t lowest;
    int64_t highest;
    unsigned flags;
    const char *argument; /* for --help; of a choice the words: "yes|no" */
    const char *help;
} kvi_config_row_t;

/* Long enough for any number and any reason kvi_config_set gives. */
#define KVI_CONFIG_TEXT_BYTES 224

/* All defaults. KV_NO_MEMORY. */
kv_status_t kvi_config_open(kvi_config_t *config);
kv_status_t kvi_config_copy(kvi_config_t *to, const kvi_config_t *from);
/* Accepts a zeroed config. */
void kvi_config_close(kvi_config_t *config);

const kvi_config_row_t *kvi_config_at(size_t number); /* NULL past the last */
/* In any case. NULL: no such setting. */
const kvi_config_row_t *kvi_config_find(kv_slice_t name);

/* Parses text into the row's field. KV_INVALID with a reason as Redis words it ("argument must be
 * 'yes' or 'no'"), in reason, and nothing changed; KV_NO_MEMORY. */
kv_status_t kvi_config_set(kvi_config_t *config, const kvi_config_row_t *row, kv_slice_t text,
                           char reason[KVI_CONFIG_TEXT_BYTES]);
/* Bytes as settings have them: 1000, 64kb, 100mb, 2gb. False: not that. */
bool kvi_config_read_bytes(kv_slice_t text, int64_t *bytes);
/* What two of the choices mean to the database. */
kvi_sync_t kvi_config_sync(const kvi_config_t *config);
kvi_eviction_t kvi_config_eviction(const kvi_config_t *config);
/* By the names that maxmemory-policy has. False: no such policy. */
bool kvi_eviction_find(kv_slice_t name, kvi_eviction_t *eviction);
const char *kvi_eviction_name(kvi_eviction_t eviction);
bool kvi_sync_find(kv_slice_t name, kvi_sync_t *sync);
const char *kvi_sync_name(kvi_sync_t sync);
/* The field as text: in buffer, or the config's own string. */
const char *kvi_config_get(const kvi_config_t *config, const kvi_config_row_t *row,
                           char buffer[KVI_CONFIG_TEXT_BYTES]);

#endif
