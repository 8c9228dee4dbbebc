/* SPDX-License-Identifier: MIT */
/* KV_API marks what the library exports: everything else is hidden by -fvisibility=hidden. */
#ifndef CONCORDKV_KV_EXPORT_H
#define CONCORDKV_KV_EXPORT_H

#if defined(__GNUC__)
#define KV_API __attribute__((visibility("default")))
#else
#define KV_API
#endif

#endif
