/* SPDX-License-Identifier: MIT */
/* What can fail returns a kv_status_t: 0 is success, every error is negative. On an error nothing
 * has changed. */
#ifndef CONCORDKV_KV_STATUS_H
#define CONCORDKV_KV_STATUS_H

#include <stddef.h>

#include <concordkv/kv_export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One list makes the enumeration, the names and the texts: X(name, number, text). */
#define KV_STATUS_MAP(X)                                \
    X(OK, 0, "ok")                                      \
    X(NOT_FOUND, -1, "no such key")                     \
    X(EXISTS, -2, "the key exists already")             \
    X(NO_MEMORY, -3, "out of memory")                   \
    X(INVALID, -4, "invalid argument")                  \
    X(TOO_LARGE, -5, "key or value too large")          \
    X(UNSUPPORTED, -6, "this engine cannot do that")    \
    X(CORRUPT, -7, "data structure or file is damaged") \
    X(NOT_NUMBER, -8, "the value is not a number")      \
    X(OVERFLOW, -9, "the result would overflow")        \
    X(IO, -10, "input/output error")                    \
    X(BUSY, -11, "in use by somebody else")             \
    X(DISK_FULL, -12, "no space left on the disk")      \
    X(READ_ONLY, -13, "writes are refused")             \
    X(CONFLICT, -14, "the data were changed meanwhile") \
    X(QUOTA, -15, "the quota of memory is reached")     \
    X(NEWER, -16, "made by a newer version")

typedef enum kv_status {
#define KV_STATUS_ENUM(name, number, text) KV_##name = (number),
    KV_STATUS_MAP(KV_STATUS_ENUM)
#undef KV_STATUS_ENUM
} kv_status_t;

/* "KV_NO_MEMORY" for KV_NO_MEMORY; "KV_UNKNOWN" for a number that is no status. Static string. Any
 * thread. */
KV_API const char *kv_status_name(kv_status_t status);

/* A short English text for people, without a full stop. Static string. Any thread. */
KV_API const char *kv_status_text(kv_status_t status);

/* Bytes that somebody else owns. data may be NULL only if size is 0. */
typedef struct kv_slice {
    const char *data;
    size_t size;
} kv_slice_t;

#ifdef __cplusplus
}
#endif

#endif
