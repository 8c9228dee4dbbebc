/* SPDX-License-Identifier: MIT */
/* The version of this header set and of the library that was linked. */
#ifndef CONCORDKV_KV_VERSION_H
#define CONCORDKV_KV_VERSION_H

#include <concordkv/kv_export.h>

#define KV_VERSION_MAJOR 0
#define KV_VERSION_MINOR 1
#define KV_VERSION_PATCH 0
#define KV_VERSION_STRING "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the linked library, "major.minor.patch". The string is static. Any thread. */
KV_API const char *kv_version(void);

#ifdef __cplusplus
}
#endif

#endif
