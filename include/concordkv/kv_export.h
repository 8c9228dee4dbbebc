/* SPDX-License-Identifier: MIT */
/* KV_API marks what the library exports: everything else is hidden by -fvisibility=hidden.
 * KV_PRINTF lets the compiler check a format against its arguments. */
#ifndef CONCORDKV_KV_EXPORT_H
#define CONCORDKV_KV_EXPORT_H

#if defined(__GNUC__)
#define KV_API __attribute__((visibility("default")))
#define KV_PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#else
#define KV_API
#define KV_PRINTF(format_at, first_at)
#endif

#endif
