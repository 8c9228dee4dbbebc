/* SPDX-License-Identifier: MIT */
#include "os/files_int.h"

#include <stdarg.h>
#include <stdio.h>

/* Besides errno the one place where a thread's last failure is kept: statuses stay plain numbers,
 * and whoever meets one can still say why. */
static _Thread_local char reason[256];

kv_status_t kvi_files_fail(kv_status_t status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return status;
}

const char *kvi_files_reason(void)
{
    return reason;
}

void kvi_files_close(kvi_files_t *files)
{
    if (files != NULL) {
        files->ops->destroy(files);
    }
}
