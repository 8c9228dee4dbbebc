/* SPDX-License-Identifier: MIT */
/* Lines of JSON, written and read; text.h says which. */
#include "kvtool/text.h"

#include <string.h>

/* ---- writing ---- */

/* Bytes of the UTF-8 character that begins here; 0 if none does (RFC 3629). */
static size_t character_bytes(const unsigned char *at, size_t left)
{
    const size_t size = at[0] < 0x80   ? 1
                        : at[0] < 0xc2 ? 0
                        : at[0] < 0xe0 ? 2
                        : at[0] < 0xf0 ? 3
                                       : 4;
    if (size == 0 || size > left || at[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    const bool surrogate = at[0] == 0xed && at[1] >= 0xa0;
    const bool beyond = at[0] == 0xf4 && at[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : size;
}

static bool is_text(kv_slice_t bytes)
{
    const unsigned char *const data = (const unsigned char *)bytes.data;
    for (size_t at = 0; at < bytes.size;) {
        const size_t size = character_bytes(data + at, bytes.size - at);
        if (size == 0) {
            return false;
        }
        at += size;
    }
    return true;
}

static void write_string(FILE *file, kv_slice_t bytes)
{
    size_t start = 0;
    for (size_t at = 0; at < bytes.size; at++) {
        const unsigned char byte = (unsigned char)bytes.data[at];
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            continue;
        }
        fwrite(bytes.data + start, 1, at - start, file);
        start = at + 1;
        if (byte == '"' || byte == '\\') {
            fputc('\\', file);
            fputc(byte, file);
        } else {
            fprintf(file, "\\u%04x", byte);
        }
    }
    if (bytes.size > start) {
        fwrite(bytes.data + start, 1, bytes.size - start, file);
    }
}

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void write_base64(FILE *file, kv_slice_t bytes)
{
    const unsigned char *const data = (const unsigned char *)bytes.data;
    for (size_t at = 0; at < bytes.size; at += 3) {
        const size_t left = bytes.size - at;
        const unsigned second = left > 1 ? data[at + 1] : 0;
        const unsigned third = left > 2 ? data[at + 2] : 0;
        const unsigned word = (unsigned)data[at] << 16 | second << 8 | third;
        fputc(digits64[word >> 18], file);
        fputc(digits64[word >> 12 & 63], file);
        fputc(left > 1 ? digits64[word >> 6 & 63] : '=', file);
        fputc(left > 2 ? digits64[word & 63] : '=', file);
    }
}

void text_write_field(FILE *file, const char *name, kv_slice_t bytes)
{
    const bool text = is_text(bytes);
    fprintf(file, "\"%s%s\":\"", name, text ? "" : "64");
    if (text) {
        write_string(file, bytes);
    } else {
        write_base64(file, bytes);
    }
    fputc('"', file);
}

/* ---- reading ---- */

typedef struct scanner {
    char *at;
    char *end;
} scanner_t;

static void skip_blanks(scanner_t *scanner)
{
    while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\t')) {
        scanner->at++;
    }
}

static bool take(scanner_t *scanner, char wanted)
{
    skip_blanks(scanner);
    if (scanner->at == scanner->end || *scanner->at != wanted) {
        return false;
    }
    scanner->at++;
    return true;
}

static bool read_hex4(scanner_t *scanner, unsigned *code)
{
    if (scanner->end - scanner->at < 4) {
        return false;
    }
    *code = 0;
    for (int i = 0; i < 4; i++) {
        static const char hex[] = "0123456789abcdef";
        const char digit =
            (char)(*scanner->at | ('A' <= *scanner->at && *scanner->at <= 'F' ? 32 : 0));
        const char *const found = digit != '\0' ? strchr(hex, digit) : NULL;
        if (found == NULL) {
            return false;
        }
        *code = *code << 4 | (unsigned)(found - hex);
        scanner->at++;
    }
    return true;
}

static char *write_character(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

/* What follows a backslash; the result is never longer. NULL: it is wrong. */
static char *read_escape(scanner_t *scanner, char *to)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char name = *scanner->at++;
    if (name != 'u') {
        const char *const found = name != '\0' ? strchr(names, name) : NULL;
        if (found != NULL) {
            *to = meanings[found - names];
        }
        return found != NULL ? to + 1 : NULL;
    }
    unsigned code;
    if (!read_hex4(scanner, &code)) {
        return NULL;
    }
    if (code >= 0xd800 && code < 0xdc00) {
        unsigned low;
        if (scanner->end - scanner->at < 6 || scanner->at[0] != '\\' || scanner->at[1] != 'u') {
            return NULL;
        }
        scanner->at += 2;
        if (!read_hex4(scanner, &low) || low < 0xdc00 || low > 0xdfff) {
            return NULL;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return write_character(to, code);
}

/* A string, rewritten in place. */
static bool read_string(scanner_t *scanner, kv_slice_t *bytes)
{
    if (!take(scanner, '"')) {
        return false;
    }
    char *const start = scanner->at;
    char *to = start;
    while (scanner->at < scanner->end && *scanner->at != '"') {
        if (*scanner->at != '\\') {
            *to++ = *scanner->at++;
            continue;
        }
        scanner->at++;
        to = scanner->at < scanner->end ? read_escape(scanner, to) : NULL;
        if (to == NULL) {
            return false;
        }
    }
    *bytes = (kv_slice_t){start, (size_t)(to - start)};
    return take(scanner, '"');
}

static bool decode_base64(kv_slice_t *bytes)
{
    char *const start = (char *)(uintptr_t)bytes->data;
    char *to = start;
    if (bytes->size % 4 != 0) {
        return false;
    }
    for (size_t at = 0; at < bytes->size; at += 4) {
        unsigned word = 0;
        size_t padding = 0;
        for (size_t i = 0; i < 4; i++) {
            const char digit = start[at + i];
            const char *const found = digit != '\0' ? strchr(digits64, digit) : NULL;
            const bool pads = digit == '=' && i > 1 && at + 4 == bytes->size;
            if ((found == NULL || padding > 0) && !pads) {
                return false;
            }
            padding += pads;
            word = word << 6 | (pads ? 0 : (unsigned)(found - digits64));
        }
        *to++ = (char)(word >> 16);
        *to++ = (char)(word >> 8);
        *to++ = (char)word;
        to -= padding;
    }
    bytes->size = (size_t)(to - start);
    return true;
}

static bool read_number(scanner_t *scanner, int64_t *number)
{
    skip_blanks(scanner);
    int64_t sum = 0;
    const char *const start = scanner->at;
    for (; scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9';
         scanner->at++) {
        const int digit = *scanner->at - '0';
        if (sum > (INT64_MAX - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return scanner->at > start;
}

static bool is_named(kv_slice_t name, const char *text)
{
    return name.size == strlen(text) && memcmp(name.data, text, name.size) == 0;
}

static bool read_bytes(scanner_t *scanner, bool base64, kv_slice_t *bytes)
{
    return read_string(scanner, bytes) && (!base64 || decode_base64(bytes));
}

static bool read_field(scanner_t *scanner, text_line_t *line)
{
    kv_slice_t name;
    if (!read_string(scanner, &name) || !take(scanner, ':')) {
        return false;
    }
    const struct {
        const char *name;
        int64_t *number;
    } numbers[] = {{"deadline_ms", &line->deadline_ms},
                   {"form", &line->form},
                   {"quota", &line->quota},
                   {"default_ttl_ms", &line->default_ttl_ms},
                   {"max_ttl_ms", &line->max_ttl_ms}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (is_named(name, numbers[i].name)) {
            return read_number(scanner, numbers[i].number);
        }
    }
    const struct {
        const char *name;
        kv_slice_t *bytes;
    } strings[] = {{"keyspace", &line->keyspace},
                   {"key", &line->key},
                   {"value", &line->value},
                   {"engine", &line->engine}};
    const bool base64 = name.size > 2 && memcmp(name.data + name.size - 2, "64", 2) == 0;
    name.size -= base64 ? 2 : 0;
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        if (is_named(name, strings[i].name)) {
            return read_bytes(scanner, base64, strings[i].bytes);
        }
    }
    return false;
}

bool text_read_line(char *line, size_t size, text_line_t *read, size_t *error_at)
{
    scanner_t scanner = {line, line + size};
    *read = (text_line_t){.deadline_ms = -1};
    bool good = take(&scanner, '{');
    while (good) {
        good = read_field(&scanner, read);
        if (good && take(&scanner, '}')) {
            skip_blanks(&scanner);
            if (scanner.at == scanner.end) {
                return true;
            }
            good = false;
        } else if (good) {
            good = take(&scanner, ',');
        }
    }
    *error_at = (size_t)(scanner.at - line);
    return false;
}
