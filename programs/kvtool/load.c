/* SPDX-License-Identifier: MIT */
/*
 * kvtool load: the entries of a dump into a directory, in either of its forms. Entries that are
 * there already are overwritten, others stay.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "db/attributes.h"
#include "db/op.h"
#include "kvtool/text.h"
#include "kvtool/tool.h"
#include "os/os.h"

#define TURN_OPERATIONS 1000U /* that share a batch of the log */
#define ARGUMENTS_MAX ((size_t)5)

/* Limits of a keyspace, which must not change the entries that are being loaded. */
typedef struct limits {
    uint32_t keyspace;
    int64_t quota;
    int64_t default_ttl_ms;
    int64_t max_ttl_ms;
} limits_t;

typedef struct load {
    FILE *file;
    const char *name; /* of the file */
    kvi_directory_t *directory;
    uint64_t line; /* of JSON; or the command */
    uint64_t entries;
    uint32_t keyspace; /* of the last line, or selected */
    kv_slice_t keyspace_name;
    char keyspace_bytes[KVI_KEYSPACE_NAME_BYTES_MAX];
    int64_t now_ms;
    limits_t *limits; /* to be set at the end */
    size_t limits_count;
} load_t;

static int fail_here(const load_t *load, const char *what)
{
    return tool_fail("%s, line or command %" PRIu64 ": %s", load->name, load->line, what);
}

static kv_status_t submit(load_t *load, const kvi_op_t *op, kvi_op_result_t *result)
{
    kvi_commit_t *const commit = kvi_directory_commit(load->directory);
    kvi_commit_submit(commit, op, load->now_ms, result);
    if (result->status == KV_BUSY) { /* the disk lags behind: let it catch up */
        (void)commit->ops->end_turn(commit);
        (void)commit->ops->flush(commit);
        kvi_commit_submit(commit, op, load->now_ms, result);
    }
    return result->status;
}

/* Selects a keyspace by name, making it if it is none with a number. */
static kv_status_t select_keyspace(load_t *load, kv_slice_t name)
{
    if (load->keyspace_name.data != NULL && name.size == load->keyspace_name.size &&
        memcmp(name.data, load->keyspace_bytes, name.size) == 0) {
        return KV_OK;
    }
    if (name.size == 0 || name.size > sizeof(load->keyspace_bytes)) {
        return KV_INVALID;
    }
    kvi_db_t *const db = kvi_directory_db(load->directory);
    kv_status_t status = kvi_db_find_keyspace(db, name, &load->keyspace);
    if (status == KV_NOT_FOUND) {
        const kvi_op_t op = {.kind = KVI_OP_KEYSPACE_CREATE, .key = name};
        kvi_op_result_t result;
        status = submit(load, &op, &result);
        load->keyspace = result.keyspace;
    }
    memcpy(load->keyspace_bytes, name.data, name.size);
    load->keyspace_name = (kv_slice_t){status == KV_OK ? load->keyspace_bytes : NULL, name.size};
    return status;
}

static kv_status_t put(load_t *load, kv_slice_t key, kv_slice_t value, int64_t deadline_ms,
                       kvi_form_t form)
{
    if (deadline_ms != KVI_NO_DEADLINE && deadline_ms <= load->now_ms) {
        return KV_OK; /* it has expired since the dump */
    }
    const kvi_op_t op = {.kind = KVI_OP_PUT,
                         .keyspace = load->keyspace,
                         .key = key,
                         .value = value,
                         .deadline_ms = deadline_ms,
                         .form = form};
    kvi_op_result_t result;
    const kv_status_t status = submit(load, &op, &result);
    if (++load->entries % TURN_OPERATIONS == 0) {
        kvi_commit_t *const commit = kvi_directory_commit(load->directory);
        (void)commit->ops->end_turn(commit);
        load->now_ms = kvi_os_wall_ms();
    }
    return status;
}

/* ---- JSON ---- */

static kv_status_t submit_attributes(load_t *load, uint32_t keyspace,
                                     const kvi_attributes_t *attributes)
{
    char bytes[KVI_ATTRIBUTES_BYTES_MAX];
    const size_t size = kvi_attributes_encode(attributes, KVI_ATTRIBUTES_ALL, bytes);
    const kvi_op_t op = {.kind = KVI_OP_KEYSPACE_SET, .keyspace = keyspace, .value = {bytes, size}};
    kvi_op_result_t result;
    return submit(load, &op, &result);
}

/* The engine at once, the limits later. */
static kv_status_t set_attributes(load_t *load, const text_line_t *line)
{
    char name[32];
    kvi_attributes_t attributes;
    kvi_keyspace_attributes(kvi_db_keyspace(kvi_directory_db(load->directory), load->keyspace),
                            &attributes);
    (void)snprintf(name, sizeof(name), "%.*s", (int)line->engine.size, line->engine.data);
    attributes.engine = kv_engine_find(name);
    if (attributes.engine == NULL) {
        return KV_UNSUPPORTED;
    }
    if (line->quota != 0 || line->default_ttl_ms != 0 || line->max_ttl_ms != 0) {
        limits_t *const grown =
            realloc(load->limits, (load->limits_count + 1) * sizeof(*load->limits));
        if (grown == NULL) {
            return KV_NO_MEMORY;
        }
        load->limits = grown;
        load->limits[load->limits_count++] =
            (limits_t){load->keyspace, line->quota, line->default_ttl_ms, line->max_ttl_ms};
    }
    return submit_attributes(load, load->keyspace, &attributes);
}

static kv_status_t set_limits(load_t *load)
{
    kv_status_t status = KV_OK;
    for (size_t i = 0; i < load->limits_count && status == KV_OK; i++) {
        const limits_t *const limits = &load->limits[i];
        kvi_attributes_t attributes;
        kvi_keyspace_attributes(
            kvi_db_keyspace(kvi_directory_db(load->directory), limits->keyspace), &attributes);
        attributes.quota_bytes = (size_t)limits->quota;
        attributes.default_ttl_ms = limits->default_ttl_ms;
        attributes.max_ttl_ms = limits->max_ttl_ms;
        status = submit_attributes(load, limits->keyspace, &attributes);
    }
    free(load->limits);
    return status;
}

static int load_line(load_t *load, char *text, size_t size)
{
    text_line_t line;
    size_t error_at;
    if (!text_read_line(text, size, &line, &error_at)) {
        return tool_fail("%s, line %" PRIu64 ": no line of a dump, at byte %zu", load->name,
                         load->line, error_at);
    }
    const bool is_entry = line.key.data != NULL && line.value.data != NULL;
    if (line.keyspace.data == NULL || (!is_entry && line.engine.data == NULL) ||
        line.form > KVI_FORM_TEXT) {
        return fail_here(load, "keyspace, or key and value, are missing");
    }
    kv_status_t status = select_keyspace(load, line.keyspace);
    if (status == KV_OK) {
        status = is_entry ? put(load, line.key, line.value, line.deadline_ms, (kvi_form_t)line.form)
                          : set_attributes(load, &line);
    }
    return status == KV_OK ? TOOL_OK : fail_here(load, kv_status_text(status));
}

static int load_lines(load_t *load)
{
    char *text = NULL;
    size_t capacity = 0;
    int code = TOOL_OK;
    ssize_t size;
    while (code == TOOL_OK && (size = getline(&text, &capacity, load->file)) >= 0) {
        load->line++;
        while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
            size--;
        }
        if (size > 0) {
            code = load_line(load, text, (size_t)size);
        }
    }
    free(text);
    return code;
}

/* ---- Redis commands ---- */

/* The number in a line that begins with mark. */
static bool read_count(load_t *load, char mark, size_t *count)
{
    char text[32];
    if (fgets(text, sizeof(text), load->file) == NULL || text[0] != mark ||
        !isdigit((unsigned char)text[1])) {
        return false;
    }
    char *end;
    *count = strtoull(text + 1, &end, 10);
    return end[0] == '\r' && end[1] == '\n' && *count <= KVI_DB_VALUE_BYTES_MAX;
}

static bool read_bulk(load_t *load, kv_slice_t *bytes)
{
    size_t size;
    if (!read_count(load, '$', &size)) {
        return false;
    }
    char *const data = malloc(size + 2);
    *bytes = (kv_slice_t){data, size};
    return data != NULL && fread(data, 1, size + 2, load->file) == size + 2 &&
           memcmp(data + size, "\r\n", 2) == 0;
}

static bool is_word(kv_slice_t bytes, const char *word)
{
    return bytes.size == strlen(word) && strncasecmp(bytes.data, word, bytes.size) == 0;
}

static int run_command(load_t *load, size_t count, const kv_slice_t *arguments)
{
    kv_status_t status = KV_INVALID;
    if (count == 2 && is_word(arguments[0], "SELECT")) {
        status = select_keyspace(load, arguments[1]);
    } else if (count == 3 && is_word(arguments[0], "SET")) {
        status = put(load, arguments[1], arguments[2], KVI_NO_DEADLINE, KVI_FORM_PLAIN);
    } else if (count == 5 && is_word(arguments[0], "SET") && is_word(arguments[3], "PXAT")) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%.*s", (int)arguments[4].size, arguments[4].data);
        status = put(load, arguments[1], arguments[2], strtoll(text, NULL, 10), KVI_FORM_PLAIN);
    } else {
        return fail_here(load, "only SELECT, SET and SET with PXAT are taken");
    }
    return status == KV_OK ? TOOL_OK : fail_here(load, kv_status_text(status));
}

static int load_command(load_t *load)
{
    size_t count;
    if (!read_count(load, '*', &count) || count < 1 || count > ARGUMENTS_MAX) {
        return fail_here(load, "this is no command of a dump");
    }
    kv_slice_t arguments[ARGUMENTS_MAX] = {{NULL, 0}};
    bool good = true;
    for (size_t i = 0; i < count && good; i++) {
        good = read_bulk(load, &arguments[i]);
    }
    const int code = good ? run_command(load, count, arguments)
                          : fail_here(load, "the command is cut off or damaged");
    for (size_t i = 0; i < ARGUMENTS_MAX; i++) {
        free((char *)(uintptr_t)arguments[i].data);
    }
    return code;
}

static int load_commands(load_t *load)
{
    int code = TOOL_OK;
    for (int next = getc(load->file); next != EOF && code == TOOL_OK; next = getc(load->file)) {
        (void)ungetc(next, load->file);
        load->line++;
        code = load_command(load);
    }
    return code;
}

/* ---- all of it ---- */

static int load_file(load_t *load)
{
    const int first = getc(load->file);
    (void)ungetc(first, load->file);
    const int code = first == '*' ? load_commands(load) : load_lines(load);
    if (ferror(load->file) != 0) {
        return tool_fail("cannot read %s: %s", load->name, strerror(errno));
    }
    return code;
}

int tool_load(const tool_options_t *options, int argc, char **argv)
{
    (void)options;
    if (argc < 1 || argc > 2) {
        return tool_fail("load takes a directory and at most one file");
    }
    load_t load = {.file = stdin, .name = "standard input", .now_ms = kvi_os_wall_ms()};
    if (argc == 2) {
        load.name = argv[1];
        load.file = fopen(argv[1], "rb");
        if (load.file == NULL) {
            return tool_fail("cannot open %s: %s", argv[1], strerror(errno));
        }
    }
    kvi_recovery_report_t report;
    const kvi_directory_options_t directory = {
        .path = argv[0], .owner = "kvtool", .snapshot_log_bytes = UINT64_MAX};
    kv_status_t status = kvi_directory_open(&directory, &load.directory, &report);
    int code = TOOL_OK;
    if (status != KV_OK) {
        code = tool_fail("%s: %s", argv[0], report.reason);
        code = status == KV_CORRUPT ? TOOL_DAMAGE : code;
    } else {
        kvi_commit_t *const commit = kvi_directory_commit(load.directory);
        code = load_file(&load);
        status = set_limits(&load);
        code = status == KV_OK || code != TOOL_OK ? code : tool_fail("%s", kv_status_text(status));
        (void)commit->ops->end_turn(commit);
        status = commit->ops->flush(commit);
        status = status == KV_OK && code == TOOL_OK ? kvi_directory_save(load.directory) : status;
        const kv_status_t closed = kvi_directory_close(load.directory);
        status = status == KV_OK ? closed : status;
        if (code == TOOL_OK && status != KV_OK) {
            code = tool_fail("%s: %s", argv[0], kv_status_text(status));
        }
    }
    if (load.file != stdin) {
        (void)fclose(load.file);
    }
    if (code == TOOL_OK) {
        printf("loaded: %" PRIu64 " entries\n", load.entries);
    }
    return tool_end_output(code);
}
