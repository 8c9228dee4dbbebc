/* SPDX-License-Identifier: MIT */
/* Arguments of commands: words, numbers, patterns. */
#include "server/arguments.h"

#include <stdio.h>

#include "base/decimal.h"

#define HEAD_BYTES_MAX ((size_t)96)

bool kvi_argument_integer(kvi_request_t *request, size_t number, int64_t *value)
{
    return kvi_argument_between(request, number, INT64_MIN, INT64_MAX, NULL, value);
}

bool kvi_argument_between(kvi_request_t *request, size_t number, int64_t lowest, int64_t highest,
                          const char *error, int64_t *value)
{
    const kv_slice_t argument = request->argv[number];
    int64_t read;
    if (!kvi_decimal_read(argument.data, argument.size, &read) || read < lowest || read > highest) {
        kvi_reply_error(request->reply, "%s",
                        error != NULL ? error : "ERR value is not an integer or out of range");
        return false;
    }
    *value = read;
    return true;
}

void kvi_reply_syntax_error(kvi_reply_t *reply)
{
    kvi_reply_error(reply, "ERR syntax error");
}

void kvi_reply_status_error(kvi_reply_t *reply, kv_status_t status)
{
    switch (status) {
    case KV_NO_MEMORY:
        kvi_reply_error(reply, "OOM command not allowed when used memory > 'maxmemory'.");
        break;
    case KV_NOT_FOUND:
        kvi_reply_error(reply, "ERR no such key");
        break;
    case KV_NOT_NUMBER:
        kvi_reply_error(reply, "ERR value is not an integer or out of range");
        break;
    case KV_OVERFLOW:
        kvi_reply_error(reply, "ERR increment or decrement would overflow");
        break;
    case KV_TOO_LARGE:
        kvi_reply_error(reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        break;
    default:
        kvi_reply_error(reply, "ERR %s", kv_status_text(status));
        break;
    }
}

static char fold(char byte, bool any_case)
{
    return any_case && byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

/* Matches one byte against the set behind the '[' at *at; leaves *at on the last byte of the set.
 */
static bool set_matches(kv_slice_t pattern, size_t *at, char byte, bool any_case)
{
    size_t i = *at + 1;
    const bool negated = i < pattern.size && pattern.data[i] == '^';
    i += negated ? 1 : 0;
    bool found = false;
    for (; i < pattern.size && pattern.data[i] != ']'; i++) {
        if (pattern.data[i] == '\\' && i + 1 < pattern.size) {
            i++;
            found = found || fold(pattern.data[i], any_case) == byte;
        } else if (i + 2 < pattern.size && pattern.data[i + 1] == '-') {
            unsigned char low = (unsigned char)fold(pattern.data[i], any_case);
            unsigned char high = (unsigned char)fold(pattern.data[i + 2], any_case);
            if (low > high) {
                const unsigned char swapped = low;
                low = high;
                high = swapped;
            }
            found = found || ((unsigned char)byte >= low && (unsigned char)byte <= high);
            i += 2;
        } else {
            found = found || fold(pattern.data[i], any_case) == byte;
        }
    }
    /* A set without its end reaches to the end of the pattern. */
    *at = i < pattern.size ? i : pattern.size - 1;
    return found != negated;
}

/* Whether one byte fits the pattern's element at *at, which is no star; *at moves to its last byte.
 */
static bool element_matches(kv_slice_t pattern, size_t *at, char text, bool any_case)
{
    const char byte = fold(text, any_case);
    switch (pattern.data[*at]) {
    case '?':
        return true;
    case '[':
        return set_matches(pattern, at, byte, any_case);
    case '\\':
        *at += *at + 1 < pattern.size ? 1 : 0;
        return fold(pattern.data[*at], any_case) == byte;
    default:
        return fold(pattern.data[*at], any_case) == byte;
    }
}

bool kvi_glob_matches(kv_slice_t pattern, kv_slice_t text, bool any_case)
{
    /* Only the last star needs to be tried again with one byte more, so the work is at most pattern
     * times text. */
    size_t at = 0;
    size_t place = 0;
    size_t star = SIZE_MAX;
    size_t star_place = 0;
    while (place < text.size || at < pattern.size) {
        if (at < pattern.size && pattern.data[at] == '*') {
            star = at++;
            star_place = place;
            continue;
        }
        if (at < pattern.size && place < text.size) {
            size_t last = at;
            if (element_matches(pattern, &last, text.data[place], any_case)) {
                at = last + 1;
                place++;
                continue;
            }
        }
        if (star == SIZE_MAX || star_place >= text.size) {
            return false;
        }
        at = star + 1;
        place = ++star_place;
    }
    return true;
}

void kvi_reply_help(kvi_reply_t *reply, const char *container, const char *const *lines,
                    size_t count)
{
    char first[96];
    (void)snprintf(first, sizeof first,
                   "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", container);
    kvi_reply_array(reply, count + 3);
    kvi_reply_status(reply, first);
    for (size_t i = 0; i < count; i++) {
        kvi_reply_status(reply, lines[i]);
    }
    kvi_reply_status(reply, "HELP");
    kvi_reply_status(reply, "    Prints this help.");
}

void kvi_reply_turn_to_front(kvi_reply_t *reply, size_t begin, size_t head_at)
{
    char head[HEAD_BYTES_MAX];
    const size_t head_bytes = reply->size - head_at;
    if (reply->failed || head_bytes == 0 || head_bytes > sizeof(head)) {
        return;
    }
    memcpy(head, reply->bytes + head_at, head_bytes);
    memmove(reply->bytes + begin + head_bytes, reply->bytes + begin, head_at - begin);
    memcpy(reply->bytes + begin, head, head_bytes);
}
