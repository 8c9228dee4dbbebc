/* SPDX-License-Identifier: MIT */
/*
 * Long doubles as text in plain notation, as clients of INCRBYFLOAT expect them. No function
 * allocates. Thread rule: any thread.
 */
#ifndef KVI_BASE_LONG_DOUBLE_H
#define KVI_BASE_LONG_DOUBLE_H

#include <stdbool.h>
#include <stddef.h>

#include <concordkv/kv_status.h>

/* Room for the longest long double in plain notation: 4,933 digits before the point, 17 after. */
#define KVI_LONG_DOUBLE_TEXT_BYTES 5120

/* Reads what strtold reads (hexadecimal and "inf" included) if that is all of the text. False for
 * NaN, for a leading blank, for numbers out of range and for KVI_LONG_DOUBLE_TEXT_BYTES bytes or
 * more; *value is then unchanged. */
bool kvi_long_double_parse(kv_slice_t text, long double *value);
/* Writes a finite value with at most 17 digits behind the point, trailing zeros removed, and a
 * terminator; returns the bytes without it. */
size_t kvi_long_double_format(long double value, char text[KVI_LONG_DOUBLE_TEXT_BYTES]);

#endif
