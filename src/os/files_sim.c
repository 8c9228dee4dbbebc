/* SPDX-License-Identifier: MIT */
/*
 * The simulated disk. Each file has three images of the same length:
 *
 *   cache    what reads see
 *   medium   what the disk shows once everything unsynced has been written
 *   disk     what is certainly there
 *
 * and a list of sector versions between disk and medium. cache and medium differ only in pages that
 * a failed sync has dropped.
 *
 * Invariants:
 *  1. Where no version of a sector is pending, disk and medium are equal in it.
 *  2. The bytes of all images beyond the file's size are 0.
 *  3. Nodes live until the simulation ends, since a name that was removed may come back.
 */
#include "os/files_sim.h"

#include "base/random.h"
#include "os/files_int.h"
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct version {
    uint64_t sector;
    unsigned char bytes[KVI_SIM_SECTOR_BYTES];
} version_t;

typedef struct node {
    struct node *next;
    unsigned char *cache;
    unsigned char *medium;
    unsigned char *disk;
    size_t capacity; /* of each image; a multiple of the sector */
    size_t size;
    size_t disk_size;
    size_t smallest; /* the size was this at some moment since the last sync */
    version_t *pending;
    size_t pending_count;
    size_t pending_capacity;
    bool locked;
} node_t;

typedef struct name {
    char text[KVI_FILE_NAME_BYTES];
    node_t *node;
} name_t;

typedef struct names {
    name_t *rows;
    size_t count;
    size_t capacity;
} names_t;

/* to is "" for a removal, from is "" for a new name. */
typedef struct change {
    char from[KVI_FILE_NAME_BYTES];
    char to[KVI_FILE_NAME_BYTES];
    node_t *node;
} change_t;

typedef struct sim {
    kvi_files_t base;
    kvi_os_mutex_t mutex;
    kvi_random_t random;
    node_t *nodes;
    names_t now;  /* the directory as it is seen */
    names_t kept; /* as it is certainly on the disk */
    change_t *changes;
    size_t change_count;
    size_t change_capacity;
    uint64_t capacity;
    uint64_t operations;
    uint64_t fault_at;
    kvi_sim_fault_t fault;
    bool struck;
    bool frozen;
    bool no_direct;
} sim_t;

struct kvi_file {
    sim_t *sim;
    node_t *node;
    unsigned flags;
    bool is_lock;
    char name[KVI_FILE_NAME_BYTES];
};

static sim_t *sim_of(kvi_files_t *files)
{
    return (sim_t *)(void *)files;
}

/* ---- faults ---- */

/* Counts an operation and says how it ends. Locks the simulation; leave unlocks it. */
static kvi_sim_fault_t enter(sim_t *sim)
{
    kvi_os_lock(&sim->mutex);
    sim->operations++;
    if (sim->frozen) {
        return KVI_SIM_CRASH;
    }
    if (sim->fault == KVI_SIM_NONE || sim->operations != sim->fault_at) {
        return KVI_SIM_NONE;
    }
    sim->struck = true;
    return sim->fault;
}

static kv_status_t leave(sim_t *sim, kv_status_t status)
{
    kvi_os_unlock(&sim->mutex);
    return status;
}

/* The status of an operation that fails as a whole; freezes after a crash. */
static kv_status_t fail(sim_t *sim, kvi_sim_fault_t fault, const char *what, const char *name)
{
    if (fault == KVI_SIM_CRASH) {
        sim->frozen = true;
    }
    const kv_status_t status = fault == KVI_SIM_FULL ? KV_DISK_FULL : KV_IO;
    return kvi_files_fail(status, "cannot %s %s: simulated %s", what, name,
                          fault == KVI_SIM_FULL ? "full disk" : "error");
}

static bool one_in_two(sim_t *sim)
{
    return (kvi_random_next(&sim->random) & 1) != 0;
}

/* ---- names ---- */

static name_t *find_name(names_t *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->rows[i].text, text) == 0) {
            return &names->rows[i];
        }
    }
    return NULL;
}

static void *grow(void *rows, size_t count, size_t *capacity, size_t row_bytes)
{
    if (count < *capacity) {
        return rows;
    }
    const size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    void *const larger = realloc(rows, wanted * row_bytes);
    if (larger != NULL) {
        *capacity = wanted;
    }
    return larger;
}

/* Within the room that make_room has seen to. */
static void set_name(names_t *names, const char *text, node_t *node)
{
    name_t *row = find_name(names, text);
    if (row == NULL) {
        row = &names->rows[names->count++];
        (void)snprintf(row->text, sizeof row->text, "%s", text);
    }
    row->node = node;
}

static void remove_name(names_t *names, const char *text)
{
    name_t *const row = find_name(names, text);
    if (row != NULL) {
        *row = names->rows[--names->count];
    }
}

static void apply_change(names_t *names, const change_t *change)
{
    if (change->from[0] != '\0') {
        remove_name(names, change->from);
    }
    if (change->to[0] != '\0') {
        set_name(names, change->to, change->node);
    }
}

static bool make_room(names_t *names, size_t more)
{
    while (names->capacity - names->count < more) {
        name_t *const rows = grow(names->rows, names->capacity, &names->capacity, sizeof *rows);
        if (rows == NULL) {
            return false;
        }
        names->rows = rows;
    }
    return true;
}

/* Notes and carries out a change of the directory. */
static kv_status_t change_directory(sim_t *sim, const char *from, const char *to, node_t *node)
{
    change_t *const changes =
        grow(sim->changes, sim->change_count, &sim->change_capacity, sizeof *changes);
    if (changes == NULL) {
        return kvi_files_fail(KV_NO_MEMORY, "out of memory");
    }
    sim->changes = changes;
    if (!make_room(&sim->now, 1) || !make_room(&sim->kept, sim->change_count + 1)) {
        return kvi_files_fail(KV_NO_MEMORY, "out of memory");
    }
    change_t *const change = &changes[sim->change_count++];
    (void)snprintf(change->from, sizeof change->from, "%s", from);
    (void)snprintf(change->to, sizeof change->to, "%s", to);
    change->node = node;
    apply_change(&sim->now, change);
    return KV_OK;
}

/* Writes pending changes of the directory to the disk: all of them, or each by chance. */
static void settle_directory(sim_t *sim, unsigned kept_in_16)
{
    for (size_t i = 0; i < sim->change_count; i++) {
        if (kvi_random_below(&sim->random, 16) < kept_in_16) {
            apply_change(&sim->kept, &sim->changes[i]);
        }
    }
    sim->change_count = 0;
}

/* ---- contents ---- */

static bool resize_image(unsigned char **image, size_t from, size_t to)
{
    unsigned char *const larger = realloc(*image, to);
    if (larger == NULL) {
        return false;
    }
    memset(larger + from, 0, to - from);
    *image = larger;
    return true;
}

static bool make_capacity(node_t *node, size_t size)
{
    if (size <= node->capacity) {
        return true;
    }
    size_t wanted = node->capacity == 0 ? 4 * KVI_SIM_SECTOR_BYTES : node->capacity * 2;
    while (wanted < size) {
        wanted *= 2;
    }
    if (!resize_image(&node->cache, node->capacity, wanted) ||
        !resize_image(&node->medium, node->capacity, wanted) ||
        !resize_image(&node->disk, node->capacity, wanted)) {
        return false;
    }
    node->capacity = wanted;
    return true;
}

/* Notes the sectors of a range of medium as versions that are not on the disk yet. */
static bool note_versions(node_t *node, size_t offset, size_t size)
{
    const size_t end = offset + size;
    for (size_t sector = offset / KVI_SIM_SECTOR_BYTES; sector * KVI_SIM_SECTOR_BYTES < end;
         sector++) {
        version_t *const rows =
            grow(node->pending, node->pending_count, &node->pending_capacity, sizeof *rows);
        if (rows == NULL) {
            return false;
        }
        node->pending = rows;
        version_t *const version = &rows[node->pending_count++];
        version->sector = sector;
        memcpy(version->bytes, node->medium + sector * KVI_SIM_SECTOR_BYTES, sizeof version->bytes);
    }
    return true;
}

static bool write_images(node_t *node, size_t offset, const void *bytes, size_t size)
{
    if (size == 0) {
        return true;
    }
    if (!make_capacity(node, offset + size)) {
        return false;
    }
    memcpy(node->cache + offset, bytes, size);
    memcpy(node->medium + offset, bytes, size);
    if (offset + size > node->size) {
        node->size = offset + size;
    }
    return note_versions(node, offset, size);
}

/* Puts everything pending onto the disk for good. */
static void settle_all(node_t *node)
{
    for (size_t i = 0; i < node->pending_count; i++) {
        const size_t at = node->pending[i].sector * KVI_SIM_SECTOR_BYTES;
        memcpy(node->disk + at, node->medium + at, KVI_SIM_SECTOR_BYTES);
    }
    node->pending_count = 0;
    node->disk_size = node->size;
    node->smallest = node->size;
}

/* Puts the sectors of one write onto the disk and forgets their older versions. */
static void settle_range(node_t *node, size_t offset, size_t size)
{
    const size_t first = offset / KVI_SIM_SECTOR_BYTES;
    const size_t last = (offset + size - 1) / KVI_SIM_SECTOR_BYTES;
    size_t left = 0;
    for (size_t i = 0; i < node->pending_count; i++) {
        if (node->pending[i].sector < first || node->pending[i].sector > last) {
            if (left != i) {
                node->pending[left] = node->pending[i];
            }
            left++;
        }
    }
    node->pending_count = left;
    memcpy(node->disk + first * KVI_SIM_SECTOR_BYTES, node->medium + first * KVI_SIM_SECTOR_BYTES,
           (last - first + 1) * KVI_SIM_SECTOR_BYTES);
    node->disk_size = node->size;
    node->smallest = node->size;
}

/* Any version may reach the disk, a later one over an earlier. */
static void settle_some(sim_t *sim, node_t *node, unsigned kept_in_16)
{
    for (size_t i = 0; i < node->pending_count; i++) {
        if (kvi_random_below(&sim->random, 16) < kept_in_16) {
            memcpy(node->disk + node->pending[i].sector * KVI_SIM_SECTOR_BYTES,
                   node->pending[i].bytes, KVI_SIM_SECTOR_BYTES);
        }
    }
}

/* A sync that fails: what it has not written is dropped from what will ever be written. */
static void fail_sync(sim_t *sim, node_t *node)
{
    settle_some(sim, node, kvi_random_below(&sim->random, 17));
    for (size_t i = 0; i < node->pending_count; i++) {
        const size_t at = node->pending[i].sector * KVI_SIM_SECTOR_BYTES;
        memcpy(node->medium + at, node->disk + at, KVI_SIM_SECTOR_BYTES);
    }
    node->pending_count = 0;
}

static uint64_t bytes_used(const sim_t *sim)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < sim->now.count; i++) {
        sum += sim->now.rows[i].node->size;
    }
    return sum;
}

/* ---- the table ---- */

static kv_status_t open_node(sim_t *sim, const char *name, unsigned flags, node_t **node)
{
    const name_t *const row = find_name(&sim->now, name);
    const bool create = (flags & KVI_OPEN_CREATE) != 0;
    if ((flags & KVI_OPEN_DIRECT) != 0 && sim->no_direct) {
        return kvi_files_fail(KV_UNSUPPORTED, "cannot open %s: no direct input/output", name);
    }
    if (row == NULL && !create) {
        return kvi_files_fail(KV_NOT_FOUND, "cannot open %s: no such file", name);
    }
    if (row != NULL && create) {
        return kvi_files_fail(KV_EXISTS, "cannot open %s: it exists", name);
    }
    if (row != NULL) {
        *node = row->node;
        return KV_OK;
    }
    node_t *const made = calloc(1, sizeof *made);
    if (made == NULL) {
        return kvi_files_fail(KV_NO_MEMORY, "out of memory");
    }
    made->next = sim->nodes;
    sim->nodes = made;
    *node = made;
    return change_directory(sim, "", name, made);
}

static kv_status_t make_handle(sim_t *sim, node_t *node, const char *name, unsigned flags,
                               kvi_file_t **file)
{
    kvi_file_t *const opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        return kvi_files_fail(KV_NO_MEMORY, "out of memory");
    }
    opened->sim = sim;
    opened->node = node;
    opened->flags = flags;
    (void)snprintf(opened->name, sizeof opened->name, "%s", name);
    *file = opened;
    return KV_OK;
}

static kv_status_t sim_open(kvi_files_t *files, const char *name, unsigned flags, kvi_file_t **file)
{
    sim_t *const sim = sim_of(files);
    const kvi_sim_fault_t fault = enter(sim);
    node_t *node = NULL;
    *file = NULL;
    if (fault != KVI_SIM_NONE && (fault != KVI_SIM_FULL || (flags & KVI_OPEN_CREATE) != 0)) {
        if (fault == KVI_SIM_CRASH && !sim->frozen && one_in_two(sim)) {
            (void)open_node(sim, name, flags, &node);
        }
        return leave(sim, fail(sim, fault, "open", name));
    }
    kv_status_t status = open_node(sim, name, flags, &node);
    if (status == KV_OK) {
        status = make_handle(sim, node, name, flags, file);
    }
    return leave(sim, status);
}

static void sim_close(kvi_file_t *file)
{
    if (file != NULL) {
        kvi_os_lock(&file->sim->mutex);
        if (file->is_lock) {
            file->node->locked = false;
        }
        kvi_os_unlock(&file->sim->mutex);
        free(file);
    }
}

static kv_status_t sim_read_at(kvi_file_t *file, uint64_t offset, void *bytes, size_t size,
                               size_t *got)
{
    sim_t *const sim = file->sim;
    const node_t *const node = file->node;
    const kvi_sim_fault_t fault = enter(sim);
    *got = 0;
    if (fault != KVI_SIM_NONE && fault != KVI_SIM_FULL) {
        return leave(sim, fail(sim, fault, "read", file->name));
    }
    if (offset < node->size) {
        *got = node->size - offset < size ? node->size - (size_t)offset : size;
        const bool direct = (file->flags & KVI_OPEN_DIRECT) != 0;
        memcpy(bytes, (direct ? node->medium : node->cache) + offset, *got);
    }
    return leave(sim, KV_OK);
}

/* How much of a write that ends in this way is carried out. */
static size_t part_written(sim_t *sim, kvi_sim_fault_t fault, size_t size)
{
    if (fault == KVI_SIM_SHORT) {
        return size / 2;
    }
    const uint32_t parts = kvi_random_below(&sim->random, 5);
    return parts == 4 ? size : size / 4 * parts;
}

static kv_status_t write_node(kvi_file_t *file, uint64_t offset, const void *bytes, size_t size)
{
    sim_t *const sim = file->sim;
    node_t *const node = file->node;
    size_t fits = size;
    if (sim->capacity > 0 && offset + size > node->size) {
        const uint64_t used = bytes_used(sim);
        const uint64_t room = node->size + (used < sim->capacity ? sim->capacity - used : 0);
        fits = room > offset ? (size_t)(room - offset) : 0;
        fits = fits < size ? fits : size;
    }
    if (!write_images(node, (size_t)offset, bytes, fits)) {
        return kvi_files_fail(KV_NO_MEMORY, "out of memory");
    }
    if ((file->flags & KVI_OPEN_DIRECT) != 0 && fits > 0) {
        settle_range(node, (size_t)offset, fits);
    }
    return fits == size ? KV_OK : fail(sim, KVI_SIM_FULL, "write", file->name);
}

static kv_status_t sim_write_at(kvi_file_t *file, uint64_t offset, const void *bytes, size_t size)
{
    sim_t *const sim = file->sim;
    const kvi_sim_fault_t fault = enter(sim);
    if (fault == KVI_SIM_NONE) {
        return leave(sim, write_node(file, offset, bytes, size));
    }
    if (!sim->frozen) {
        /* Not even a direct write is certain to be there. */
        const size_t part = part_written(sim, fault, size);
        if (!write_images(file->node, (size_t)offset, bytes, part)) {
            return leave(sim, kvi_files_fail(KV_NO_MEMORY, "out of memory"));
        }
    }
    return leave(sim, fail(sim, fault, "write", file->name));
}

static kv_status_t sim_sync(kvi_file_t *file)
{
    sim_t *const sim = file->sim;
    const kvi_sim_fault_t fault = enter(sim);
    if (fault == KVI_SIM_NONE) {
        settle_all(file->node);
        return leave(sim, KV_OK);
    }
    if (fault != KVI_SIM_CRASH) {
        fail_sync(sim, file->node);
    }
    return leave(sim, fail(sim, fault, "sync", file->name));
}

static kv_status_t sim_size(kvi_file_t *file, uint64_t *bytes)
{
    sim_t *const sim = file->sim;
    const kvi_sim_fault_t fault = enter(sim);
    if (fault != KVI_SIM_NONE && fault != KVI_SIM_FULL) {
        return leave(sim, fail(sim, fault, "ask for the size of", file->name));
    }
    *bytes = file->node->size;
    return leave(sim, KV_OK);
}

static void clear_tail(unsigned char *image, size_t from, size_t capacity)
{
    if (from < capacity) {
        memset(image + from, 0, capacity - from);
    }
}

static kv_status_t sim_truncate(kvi_file_t *file, uint64_t bytes)
{
    sim_t *const sim = file->sim;
    node_t *const node = file->node;
    const kvi_sim_fault_t fault = enter(sim);
    if (fault != KVI_SIM_NONE && fault != KVI_SIM_FULL) {
        return leave(sim, fail(sim, fault, "truncate", file->name));
    }
    const size_t size = (size_t)bytes;
    if (!make_capacity(node, size)) {
        return leave(sim, kvi_files_fail(KV_NO_MEMORY, "out of memory"));
    }
    clear_tail(node->cache, size, node->capacity);
    clear_tail(node->medium, size, node->capacity);
    const size_t cleared = size < node->size ? node->size - size : 0;
    node->size = size;
    if (size < node->smallest) {
        node->smallest = size;
    }
    if (!note_versions(node, size, cleared)) {
        return leave(sim, kvi_files_fail(KV_NO_MEMORY, "out of memory"));
    }
    return leave(sim, KV_OK);
}

static void sim_drop_cache(kvi_file_t *file)
{
    kvi_os_lock(&file->sim->mutex);
    if (file->node->size > 0) {
        memcpy(file->node->cache, file->node->medium, file->node->size);
    }
    kvi_os_unlock(&file->sim->mutex);
}

static kv_status_t sim_rename(kvi_files_t *files, const char *name, const char *new_name)
{
    sim_t *const sim = sim_of(files);
    const kvi_sim_fault_t fault = enter(sim);
    const name_t *const row = find_name(&sim->now, name);
    const bool done = fault == KVI_SIM_NONE || (fault == KVI_SIM_CRASH && !sim->frozen);
    kv_status_t status = KV_OK;
    if (done) {
        status = row != NULL ? change_directory(sim, name, new_name, row->node)
                             : kvi_files_fail(KV_NOT_FOUND, "cannot rename %s: no such file", name);
    }
    return leave(sim, fault == KVI_SIM_NONE ? status : fail(sim, fault, "rename", name));
}

static kv_status_t sim_remove(kvi_files_t *files, const char *name)
{
    sim_t *const sim = sim_of(files);
    const kvi_sim_fault_t fault = enter(sim);
    const name_t *const row = find_name(&sim->now, name);
    if (fault != KVI_SIM_NONE && fault != KVI_SIM_FULL) {
        if (fault == KVI_SIM_CRASH && !sim->frozen && row != NULL) {
            (void)change_directory(sim, name, "", row->node);
        }
        return leave(sim, fail(sim, fault, "remove", name));
    }
    if (row == NULL) {
        return leave(sim, kvi_files_fail(KV_NOT_FOUND, "cannot remove %s: no such file", name));
    }
    return leave(sim, change_directory(sim, name, "", row->node));
}

static kv_status_t sim_sync_directory(kvi_files_t *files)
{
    sim_t *const sim = sim_of(files);
    const kvi_sim_fault_t fault = enter(sim);
    if (fault == KVI_SIM_NONE) {
        settle_directory(sim, 16);
        return leave(sim, KV_OK);
    }
    if (fault != KVI_SIM_CRASH) {
        settle_directory(sim, kvi_random_below(&sim->random, 17));
    }
    return leave(sim, fail(sim, fault, "sync", "the directory"));
}

static kv_status_t sim_list(kvi_files_t *files, void (*visit)(void *context, const char *name),
                            void *context)
{
    sim_t *const sim = sim_of(files);
    const kvi_sim_fault_t fault = enter(sim);
    if (fault != KVI_SIM_NONE && fault != KVI_SIM_FULL) {
        return leave(sim, fail(sim, fault, "list", "the directory"));
    }
    for (size_t i = 0; i < sim->now.count; i++) {
        visit(context, sim->now.rows[i].text);
    }
    return leave(sim, KV_OK);
}

static kv_status_t sim_lock(kvi_files_t *files, const char *name, kvi_file_t **lock)
{
    sim_t *const sim = sim_of(files);
    const kvi_sim_fault_t fault = enter(sim);
    node_t *node = NULL;
    *lock = NULL;
    if (fault != KVI_SIM_NONE) {
        return leave(sim, fail(sim, fault, "lock", name));
    }
    kv_status_t status = open_node(sim, name, 0, &node);
    if (status == KV_NOT_FOUND) {
        status = open_node(sim, name, KVI_OPEN_CREATE, &node);
    }
    if (status == KV_OK && node->locked) {
        status = kvi_files_fail(KV_BUSY, "cannot lock %s: somebody has it", name);
    }
    if (status == KV_OK) {
        status = make_handle(sim, node, name, 0, lock);
    }
    if (status == KV_OK) {
        node->locked = true;
        (*lock)->is_lock = true;
    }
    return leave(sim, status);
}

static kv_status_t sim_free_space(kvi_files_t *files, uint64_t *bytes)
{
    sim_t *const sim = sim_of(files);
    kvi_os_lock(&sim->mutex);
    const uint64_t used = bytes_used(sim);
    *bytes = sim->capacity == 0 ? UINT64_MAX : used < sim->capacity ? sim->capacity - used : 0;
    return leave(sim, KV_OK);
}

static void sim_destroy(kvi_files_t *files)
{
    sim_t *const sim = sim_of(files);
    for (node_t *node = sim->nodes; node != NULL;) {
        node_t *const next = node->next;
        free(node->cache);
        free(node->medium);
        free(node->disk);
        free(node->pending);
        free(node);
        node = next;
    }
    free(sim->now.rows);
    free(sim->kept.rows);
    free(sim->changes);
    free(sim);
}

static const kvi_files_ops_t sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .read_at = sim_read_at,
    .write_at = sim_write_at,
    .sync = sim_sync,
    .size = sim_size,
    .truncate = sim_truncate,
    .drop_cache = sim_drop_cache,
    .rename = sim_rename,
    .remove = sim_remove,
    .sync_directory = sim_sync_directory,
    .list = sim_list,
    .lock = sim_lock,
    .free_space = sim_free_space,
    .destroy = sim_destroy,
};

/* ---- the tests' side ---- */

kv_status_t kvi_sim_open(const kvi_sim_options_t *options, kvi_files_t **files)
{
    sim_t *const sim = calloc(1, sizeof *sim);
    *files = NULL;
    if (sim == NULL) {
        return kvi_files_fail(KV_NO_MEMORY, "out of memory");
    }
    sim->base.ops = &sim_ops;
    sim->random.counter = options->seed;
    sim->capacity = options->capacity;
    sim->no_direct = options->no_direct;
    *files = &sim->base;
    return KV_OK;
}

void kvi_sim_fault(kvi_files_t *files, uint64_t operation, kvi_sim_fault_t fault)
{
    sim_t *const sim = sim_of(files);
    kvi_os_lock(&sim->mutex);
    sim->fault_at = operation;
    sim->fault = fault;
    sim->struck = false;
    kvi_os_unlock(&sim->mutex);
}

uint64_t kvi_sim_operations(kvi_files_t *files)
{
    sim_t *const sim = sim_of(files);
    kvi_os_lock(&sim->mutex);
    const uint64_t operations = sim->operations;
    kvi_os_unlock(&sim->mutex);
    return operations;
}

bool kvi_sim_struck(kvi_files_t *files)
{
    sim_t *const sim = sim_of(files);
    kvi_os_lock(&sim->mutex);
    const bool struck = sim->struck;
    kvi_os_unlock(&sim->mutex);
    return struck;
}

void kvi_sim_set_capacity(kvi_files_t *files, uint64_t bytes)
{
    sim_t *const sim = sim_of(files);
    kvi_os_lock(&sim->mutex);
    sim->capacity = bytes;
    kvi_os_unlock(&sim->mutex);
}

/* Every image becomes what the disk holds. */
static void lose_power(sim_t *sim, node_t *node, unsigned kept_in_16)
{
    settle_some(sim, node, kept_in_16);
    node->pending_count = 0;
    const size_t sizes[] = {node->disk_size, node->size, node->smallest};
    const size_t size = sizes[kvi_random_below(&sim->random, 3)];
    if (node->capacity > 0) {
        clear_tail(node->disk, size, node->capacity);
        memcpy(node->medium, node->disk, node->capacity);
        memcpy(node->cache, node->disk, node->capacity);
    }
    node->size = node->disk_size = node->smallest = size;
    node->locked = false;
}

void kvi_sim_power_loss(kvi_files_t *files, uint64_t seed)
{
    /* Everything, nothing, or each piece with some chance. */
    static const unsigned kept_in_16[] = {0, 16, 8, 2, 14};
    sim_t *const sim = sim_of(files);
    kvi_os_lock(&sim->mutex);
    sim->random.counter = seed;
    const unsigned count = (unsigned)(sizeof kept_in_16 / sizeof *kept_in_16);
    const unsigned kept = kept_in_16[kvi_random_below(&sim->random, count)];
    for (node_t *node = sim->nodes; node != NULL; node = node->next) {
        lose_power(sim, node, kept);
    }
    settle_directory(sim, kept_in_16[kvi_random_below(&sim->random, count)]);
    sim->now.count = 0;
    if (make_room(&sim->now, sim->kept.count)) {
        for (size_t i = 0; i < sim->kept.count; i++) {
            sim->now.rows[sim->now.count++] = sim->kept.rows[i];
        }
    }
    sim->fault = KVI_SIM_NONE;
    sim->struck = false;
    sim->frozen = false;
    kvi_os_unlock(&sim->mutex);
}

void kvi_sim_kill(kvi_files_t *files)
{
    sim_t *const sim = sim_of(files);
    kvi_os_lock(&sim->mutex);
    for (node_t *node = sim->nodes; node != NULL; node = node->next) {
        node->locked = false;
    }
    sim->fault = KVI_SIM_NONE;
    sim->struck = false;
    sim->frozen = false;
    kvi_os_unlock(&sim->mutex);
}

/* With everything of it on the disk. Locks the simulation. */
static node_t *enter_settled(sim_t *sim, const char *name)
{
    kvi_os_lock(&sim->mutex);
    const name_t *const row = find_name(&sim->now, name);
    if (row == NULL) {
        return NULL;
    }
    settle_all(row->node);
    return row->node;
}

const unsigned char *kvi_sim_bytes(kvi_files_t *files, const char *name, size_t *size)
{
    sim_t *const sim = sim_of(files);
    const node_t *const node = enter_settled(sim, name);
    *size = node != NULL ? node->size : 0;
    kvi_os_unlock(&sim->mutex);
    return node != NULL ? node->medium : NULL;
}

void kvi_sim_flip(kvi_files_t *files, const char *name, size_t offset, unsigned char bits)
{
    sim_t *const sim = sim_of(files);
    node_t *const node = enter_settled(sim, name);
    if (node != NULL && offset < node->size) {
        node->cache[offset] ^= bits;
        node->medium[offset] ^= bits;
        node->disk[offset] ^= bits;
    }
    kvi_os_unlock(&sim->mutex);
}

void kvi_sim_cut(kvi_files_t *files, const char *name, size_t size)
{
    sim_t *const sim = sim_of(files);
    node_t *const node = enter_settled(sim, name);
    if (node != NULL && size < node->size) {
        clear_tail(node->cache, size, node->capacity);
        clear_tail(node->medium, size, node->capacity);
        clear_tail(node->disk, size, node->capacity);
        node->size = node->disk_size = node->smallest = size;
    }
    kvi_os_unlock(&sim->mutex);
}
