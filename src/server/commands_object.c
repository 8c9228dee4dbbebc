/* SPDX-License-Identifier: MIT */
/* OBJECT and MEMORY USAGE: how a value is kept and what it costs. */
#include "base/decimal.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/errors.h"
#include "server/lookup.h"
#include "server/submit.h"

/* Redis keeps shorter strings in one piece with their head and shares the integers below 10,000.
 * Programs have come to know both from the outside. */
#define EMBEDDED_BYTES_MAX ((size_t)44)
#define SHARED_INTEGERS 10000
#define SHARED_REFERENCES INT32_MAX

static bool is_integer(const kvi_entry_t *entry, int64_t *number)
{
    return entry->form == KVI_FORM_PLAIN && entry->value.size <= KVI_DECIMAL_BYTES_MAX &&
           kvi_decimal_read(entry->value.data, entry->value.size, number);
}

/* The entry of argument 2; false after null was answered. */
static bool find_object(kvi_request_t *request, kvi_entry_t *entry)
{
    const bool found = kvi_lookup_as(request, 2, false, entry);
    if (!found) {
        kvi_reply_null(request->reply);
    }
    return found;
}

void kvi_cmd_object_encoding(kvi_request_t *request)
{
    kvi_entry_t entry;
    if (!find_object(request, &entry)) {
        return;
    }
    int64_t number;
    const char *encoding = "raw";
    if (is_integer(&entry, &number)) {
        encoding = "int";
    } else if (entry.form != KVI_FORM_RAW && entry.value.size <= EMBEDDED_BYTES_MAX) {
        encoding = "embstr";
    }
    kvi_reply_bulk_string(request->reply, encoding);
}

/* Whether the keyspace's policy counts accesses instead of remembering the last one. */
static bool counts_uses(const kvi_request_t *request)
{
    kvi_attributes_t attributes;
    kvi_keyspace_attributes(request->keyspace, &attributes);
    const kvi_eviction_t eviction = attributes.eviction == KVI_EVICT_DEFAULT
                                        ? kvi_db_eviction(request->db)
                                        : attributes.eviction;
    return eviction == KVI_EVICT_ALL_LFU || eviction == KVI_EVICT_VOLATILE_LFU;
}

void kvi_cmd_object_idletime(kvi_request_t *request)
{
    kvi_entry_t entry;
    if (!find_object(request, &entry)) {
        return;
    }
    if (counts_uses(request)) {
        kvi_reply_error(request->reply, "%s", kvi_error_is_lfu);
    } else {
        kvi_reply_integer(request->reply, entry.idle_seconds);
    }
}

void kvi_cmd_object_freq(kvi_request_t *request)
{
    kvi_entry_t entry;
    if (!find_object(request, &entry)) {
        return;
    }
    if (counts_uses(request)) {
        kvi_reply_integer(request->reply, entry.uses);
    } else {
        kvi_reply_error(request->reply, "%s", kvi_error_not_lfu);
    }
}

void kvi_cmd_object_refcount(kvi_request_t *request)
{
    kvi_entry_t entry;
    if (!find_object(request, &entry)) {
        return;
    }
    int64_t number;
    const bool shared = is_integer(&entry, &number) && number >= 0 && number < SHARED_INTEGERS;
    kvi_reply_integer(request->reply, shared ? SHARED_REFERENCES : 1);
}

void kvi_cmd_object_help(kvi_request_t *request)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>."};
    kvi_reply_help(request->reply, "OBJECT", lines, sizeof(lines) / sizeof(lines[0]));
}

void kvi_cmd_memory_usage(kvi_request_t *request)
{
    for (size_t i = 3; i < request->argc; i += 2) {
        int64_t samples;
        if (!kvi_argument_is(request->argv[i], "samples") || i + 1 == request->argc) {
            kvi_reply_syntax_error(request->reply);
            return;
        }
        if (!kvi_argument_integer(request, i + 1, &samples)) {
            return;
        }
        if (samples < 0) {
            kvi_reply_syntax_error(request->reply);
            return;
        }
    }
    size_t bytes;
    const kv_status_t status =
        kvi_keyspace_key_bytes(request->keyspace, request->argv[2], request->now_ms, &bytes);
    if (status == KV_OK) {
        kvi_reply_integer(request->reply, (int64_t)bytes);
    } else if (status == KV_NOT_FOUND) {
        kvi_reply_null(request->reply);
    } else {
        kvi_request_fail(request, status);
    }
}
