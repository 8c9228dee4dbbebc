/* SPDX-License-Identifier: MIT */
/* What the implementations of files share: the sentence about the last failure. */
#ifndef KVI_OS_FILES_INT_H
#define KVI_OS_FILES_INT_H

#include "os/files.h"

/* Keeps the sentence for kvi_files_reason of this thread and returns status. */
kv_status_t kvi_files_fail(kv_status_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
