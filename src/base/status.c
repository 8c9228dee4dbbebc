/* SPDX-License-Identifier: MIT */
/* Names and texts of the statuses, and the version. */
#include <concordkv/kv_status.h>
#include <concordkv/kv_version.h>

typedef struct status_row {
    kv_status_t status;
    const char *name;
    const char *text;
} status_row_t;

static const status_row_t status_rows[] = {
#define STATUS_ROW(name, number, text) {KV_##name, "KV_" #name, text},
    KV_STATUS_MAP(STATUS_ROW)
#undef STATUS_ROW
};

static const status_row_t *find_row(kv_status_t status)
{
    static const status_row_t unknown = {KV_OK, "KV_UNKNOWN", "unknown status"};
    for (size_t i = 0; i < sizeof status_rows / sizeof status_rows[0]; i++) {
        if (status_rows[i].status == status) {
            return &status_rows[i];
        }
    }
    return &unknown;
}

const char *kv_status_name(kv_status_t status)
{
    return find_row(status)->name;
}

const char *kv_status_text(kv_status_t status)
{
    return find_row(status)->text;
}

const char *kv_version(void)
{
    return KV_VERSION_STRING;
}
