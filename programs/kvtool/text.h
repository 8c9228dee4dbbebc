/* SPDX-License-Identifier: MIT */
/*
 * The text of a dump: a line of JSON for each entry, readable for people and any program.
 *
 *   {"keyspace":"0","engine":"hash"}                                     before the first entry
 *   {"keyspace":"0","key":"user:1","value":"Ada","deadline_ms":1800000000000,"form":1}
 *   {"keyspace":"0","key64":"AP8=","value64":"gA=="}
 *
 * Bytes that are UTF-8 stand as a JSON string, others as base64 under a name that ends with 64.
 * deadline_ms and form are left out where there is none and where it is 0.
 */
#ifndef KVTOOL_TEXT_H
#define KVTOOL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <concordkv/kv_status.h>

/* Writes "name":"bytes", or "name64":"...". */
void text_write_field(FILE *file, const char *name, kv_slice_t bytes);

/* The fields of a line. Slices point into the line, which is rewritten in place; data NULL: not
 * there. */
typedef struct text_line {
    kv_slice_t keyspace;
    kv_slice_t key;
    kv_slice_t value;
    kv_slice_t engine;
    int64_t deadline_ms; /* -1: none */
    int64_t form;
    int64_t quota;
    int64_t default_ttl_ms;
    int64_t max_ttl_ms;
} text_line_t;

/* False: it is no object of these fields; *error_at says where. */
bool text_read_line(char *line, size_t size, text_line_t *read, size_t *error_at);

#endif
