/* SPDX-License-Identifier: MIT */
/*
 * kvtool dump: all entries of a directory as text. As JSON every keyspace and every form comes
 * back; as Redis commands numbered keyspaces and values do, for any server of the protocol.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kvtool/text.h"
#include "kvtool/tool.h"
#include "os/os.h"

typedef struct dump {
    FILE *file;
    tool_format_t format;
    kv_slice_t keyspace;
} dump_t;

static void write_bulk(FILE *file, kv_slice_t bytes)
{
    fprintf(file, "$%zu\r\n", bytes.size);
    if (bytes.size > 0) {
        fwrite(bytes.data, 1, bytes.size, file);
    }
    fputs("\r\n", file);
}

static kv_slice_t slice(const char *text)
{
    return (kv_slice_t){text, strlen(text)};
}

static void write_command(const dump_t *dump, kv_slice_t key, const kvi_entry_t *entry)
{
    const bool timed = entry->deadline_ms != KVI_NO_DEADLINE;
    fprintf(dump->file, "*%d\r\n", timed ? 5 : 3);
    write_bulk(dump->file, slice("SET"));
    write_bulk(dump->file, key);
    write_bulk(dump->file, entry->value);
    if (timed) {
        char deadline[32];
        (void)snprintf(deadline, sizeof(deadline), "%" PRId64, entry->deadline_ms);
        write_bulk(dump->file, slice("PXAT"));
        write_bulk(dump->file, slice(deadline));
    }
}

static void write_line(const dump_t *dump, kv_slice_t key, const kvi_entry_t *entry)
{
    fputc('{', dump->file);
    text_write_field(dump->file, "keyspace", dump->keyspace);
    fputc(',', dump->file);
    text_write_field(dump->file, "key", key);
    fputc(',', dump->file);
    text_write_field(dump->file, "value", entry->value);
    if (entry->deadline_ms != KVI_NO_DEADLINE) {
        fprintf(dump->file, ",\"deadline_ms\":%" PRId64, entry->deadline_ms);
    }
    if (entry->form != KVI_FORM_PLAIN) {
        fprintf(dump->file, ",\"form\":%d", (int)entry->form);
    }
    fputs("}\n", dump->file);
}

static void write_entry(void *context, kv_slice_t key, const kvi_entry_t *entry)
{
    const dump_t *const dump = context;
    if (dump->format == TOOL_REDIS) {
        write_command(dump, key, entry);
    } else {
        write_line(dump, key, entry);
    }
}

static void write_keyspace(const dump_t *dump, const kvi_keyspace_t *keyspace)
{
    if (dump->format == TOOL_REDIS) {
        fputs("*2\r\n", dump->file);
        write_bulk(dump->file, slice("SELECT"));
        write_bulk(dump->file, dump->keyspace);
        return;
    }
    kvi_attributes_t attributes;
    kvi_keyspace_attributes(keyspace, &attributes);
    fputc('{', dump->file);
    text_write_field(dump->file, "keyspace", dump->keyspace);
    fprintf(dump->file, ",\"engine\":\"%s\"", kvi_keyspace_engine(keyspace)->name);
    if (attributes.quota_bytes != 0) {
        fprintf(dump->file, ",\"quota\":%zu", attributes.quota_bytes);
    }
    if (attributes.default_ttl_ms != 0) {
        fprintf(dump->file, ",\"default_ttl_ms\":%" PRId64, attributes.default_ttl_ms);
    }
    if (attributes.max_ttl_ms != 0) {
        fprintf(dump->file, ",\"max_ttl_ms\":%" PRId64, attributes.max_ttl_ms);
    }
    fputs("}\n", dump->file);
}

/* Empty ones with a number are always there and need no line. */
static bool is_worth_it(const kvi_keyspace_t *keyspace)
{
    const kv_slice_t name = kvi_keyspace_name(keyspace);
    const bool numbered = name.data[0] >= '0' && name.data[0] <= '9';
    return kvi_keyspace_count(keyspace) > 0 || !numbered;
}

static void write_all(dump_t *dump, kvi_db_t *db)
{
    const int64_t now_ms = kvi_os_wall_ms();
    for (size_t i = 0; i < kvi_db_keyspaces(db); i++) {
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, i);
        if (keyspace == NULL || !is_worth_it(keyspace)) {
            continue;
        }
        dump->keyspace = kvi_keyspace_name(keyspace);
        write_keyspace(dump, keyspace);
        uint64_t token = 0;
        do {
            token = kvi_keyspace_scan(keyspace, token, 1000, now_ms, write_entry, dump);
        } while (token != 0 && ferror(dump->file) == 0);
    }
}

int tool_dump(const tool_options_t *options, int argc, char **argv)
{
    kvi_recovery_report_t report;
    int code = TOOL_OK;
    kvi_directory_t *const directory =
        tool_open(tool_only_directory("dump", argc, argv), &report, &code);
    if (directory == NULL) {
        return code;
    }
    dump_t dump = {.file = stdout, .format = options->format};
    if (options->output != NULL) {
        dump.file = fopen(options->output, "wb");
    }
    if (dump.file == NULL) {
        code = tool_fail("cannot open %s: %s", options->output, strerror(errno));
    } else {
        write_all(&dump, kvi_directory_db(directory));
        const bool failed = ferror(dump.file) != 0;
        if (dump.file != stdout && (fclose(dump.file) != 0 || failed)) {
            code = tool_fail("cannot write %s", options->output);
        }
    }
    (void)kvi_directory_close(directory);
    return tool_end_output(code);
}
