/* SPDX-License-Identifier: MIT */
/* Long doubles as text: libc's own conversion, with the corners cut that Redis cuts. */
#include "base/long_double.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

bool kvi_long_double_parse(kv_slice_t text, long double *value)
{
    char copy[KVI_LONG_DOUBLE_TEXT_BYTES];
    if (text.size == 0 || text.size >= sizeof(copy) || is_blank(text.data[0])) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    char *end;
    errno = 0;
    const long double number = strtold(copy, &end);
    if (end != copy + text.size || isnan(number)) {
        return false;
    }
    /* A denormal result is as near as it gets and welcome; zero or infinity is not what was
     * written. */
    if (errno == ERANGE && (isinf(number) || fpclassify(number) == FP_ZERO)) {
        return false;
    }
    *value = number;
    return true;
}

size_t kvi_long_double_format(long double value, char text[KVI_LONG_DOUBLE_TEXT_BYTES])
{
    size_t size = (size_t)snprintf(text, KVI_LONG_DOUBLE_TEXT_BYTES, "%.17Lf", value);
    while (text[size - 1] == '0') { /* ends at the point: there are always 17 digits behind it */
        size--;
    }
    if (text[size - 1] == '.') {
        size--;
    }
    if (size == 2 && memcmp(text, "-0", 2) == 0) {
        text[0] = '0';
        size = 1;
    }
    text[size] = '\0';
    return size;
}
