/* SPDX-License-Identifier: MIT */
/* Options from the command line and from a file. The rows are in config.def. */
#include "server/options.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <concordkv/kv_engine.h>

#define OPTIONS_MAX 64
#define HELP_LINE_BYTES 256
#define HELP_ARGUMENT_BYTES 40

/* What getopt_long answers: a row's number from FIRST_ROW on, or one of these. */
enum { OPTION_CONFIG = 1000, OPTION_HELP, OPTION_VERSION, FIRST_ROW };

typedef struct file_context {
    kvi_config_t *config;
    const char *path;
    char *message;
} file_context_t;

/* What a row accepts, for messages: "a number from 0 to 65535". */
static void describe_values(const kvi_config_row_t *row, char *text, size_t size)
{
    switch (row->kind) {
    case KVI_CONFIG_BOOL:
        (void)snprintf(text, size, "yes or no");
        break;
    case KVI_CONFIG_INTEGER:
        (void)snprintf(text, size, "a number from %" PRId64 " to %" PRId64, row->lowest,
                       row->highest);
        break;
    case KVI_CONFIG_BYTES:
        (void)snprintf(text, size, "bytes, as 1000, 64kb, 100mb or 2gb, at least %" PRId64,
                       row->lowest);
        break;
    case KVI_CONFIG_CHOICE:
        (void)snprintf(text, size, "%s", row->argument);
        break;
    case KVI_CONFIG_TEXT:
        (void)snprintf(text, size, "a text without zero bytes");
        break;
    }
}

static bool check_engine(const char *prefix, const char *name, char *message)
{
    if (kv_engine_find(name) != NULL) {
        return true;
    }
    size_t used = (size_t)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES,
                                   "%sengine %.64s: no such engine; there is", prefix, name);
    const kv_engine_ops_t *ops;
    for (size_t i = 0; (ops = kv_engine_at(i)) != NULL && used < KVI_OPTIONS_MESSAGE_BYTES - 32;
         i++) {
        used += (size_t)snprintf(message + used, KVI_OPTIONS_MESSAGE_BYTES - used, "%s %.16s",
                                 i > 0 ? "," : "", ops->name);
    }
    return false;
}

/* Sets a row from outside; prefix is "--" or "file:line: ". False with a message. */
static bool apply(kvi_config_t *config, const kvi_config_row_t *row, const char *text,
                  const char *prefix, char *message)
{
    if ((row->flags & KVI_CONFIG_ABSENT) != 0) {
        (void)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES, "%s%s %.64s: %s", prefix, row->name,
                       text, row->help);
        return false;
    }
    if (strcmp(row->name, "engine") == 0 && !check_engine(prefix, text, message)) {
        return false;
    }
    char reason[KVI_CONFIG_TEXT_BYTES];
    const kv_status_t status =
        kvi_config_set(config, row, (kv_slice_t){text, strlen(text)}, reason);
    if (status == KV_NO_MEMORY) {
        (void)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES, "out of memory");
    } else if (status != KV_OK) {
        char values[HELP_LINE_BYTES];
        describe_values(row, values, sizeof values);
        (void)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES, "%s%s %.64s: not possible; it takes %s",
                       prefix, row->name, text, values);
    }
    return status == KV_OK;
}

/* ---- the file ---- */

/* Called by inih for each setting; 0 makes it remember the line. */
static int take_setting(void *user, const char *section, const char *name, const char *value)
{
    file_context_t *const context = user;
    if (context->message[0] != '\0') {
        return 1;
    }
    char prefix[HELP_LINE_BYTES];
    (void)snprintf(prefix, sizeof prefix, "%.200s: ", context->path);
    const kvi_config_row_t *const row = kvi_config_find((kv_slice_t){name, strlen(name)});
    if (section[0] != '\0' && strcmp(section, "server") != 0) {
        (void)snprintf(context->message, KVI_OPTIONS_MESSAGE_BYTES,
                       "%s[%.64s]: no such section; settings stand in [server]", prefix, section);
        return 0;
    }
    if (row == NULL || (row->flags & KVI_CONFIG_CONSTANT) != 0) {
        (void)snprintf(context->message, KVI_OPTIONS_MESSAGE_BYTES,
                       "%s%.64s: no such setting; kvserver --help lists them", prefix, name);
        return 0;
    }
    return apply(context->config, row, value, prefix, context->message) ? 1 : 0;
}

static bool read_file(kvi_config_t *config, const char *path, char *message)
{
    file_context_t context = {.config = config, .path = path, .message = message};
    message[0] = '\0';
    const int line = ini_parse(path, take_setting, &context);
    if (line == -1) {
        (void)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES, "--config %.200s: cannot be read: %s",
                       path, strerror(errno));
    } else if (line != 0 && message[0] == '\0') {
        (void)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES,
                       "%.200s: line %d is neither a comment, a [section] nor name = value", path,
                       line);
    }
    return line == 0;
}

/* ---- the command line ---- */

static void list_options(struct option options[OPTIONS_MAX])
{
    size_t count = 0;
    const kvi_config_row_t *row;
    for (int i = 0; (row = kvi_config_at((size_t)i)) != NULL && count < OPTIONS_MAX - 4; i++) {
        if ((row->flags & KVI_CONFIG_CONSTANT) == 0) {
            options[count++] = (struct option){row->name, required_argument, NULL, FIRST_ROW + i};
        }
    }
    options[count++] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
    options[count++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    options[count++] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
    options[count] = (struct option){0};
}

static bool refuse_option(int answer, char **argv, char *message)
{
    const char *const text = argv[optind - 1];
    if (answer == ':') {
        (void)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES,
                       "%.64s needs a value; see kvserver --help", text);
    } else {
        (void)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES,
                       "%.64s: no such option; see kvserver --help", text);
    }
    return false;
}

/* One walk over the command line: only --config, or all but it. False with a message. */
static bool walk(kvi_config_t *config, int argc, char **argv, bool files,
                 kvi_options_result_t *result, char *message)
{
    struct option options[OPTIONS_MAX];
    list_options(options);
    optind = 0;
    opterr = 0;
    int answer;
    bool good = true;
    while (good && (answer = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
        if (answer == OPTION_HELP || answer == OPTION_VERSION) {
            *result = answer == OPTION_HELP ? KVI_OPTIONS_HELP : KVI_OPTIONS_VERSION;
            return true;
        }
        if (answer == '?' || answer == ':') {
            good = refuse_option(answer, argv, message);
        } else if (files) {
            good = answer != OPTION_CONFIG || read_file(config, optarg, message);
        } else if (answer >= FIRST_ROW) {
            good =
                apply(config, kvi_config_at((size_t)(answer - FIRST_ROW)), optarg, "--", message);
        }
    }
    if (good && optind < argc) {
        (void)snprintf(message, KVI_OPTIONS_MESSAGE_BYTES,
                       "%.64s: not an option; options begin with --", argv[optind]);
        return false;
    }
    return good;
}

kvi_options_result_t kvi_options_parse(kvi_config_t *config, int argc, char **argv,
                                       char message[KVI_OPTIONS_MESSAGE_BYTES])
{
    kvi_options_result_t result = KVI_OPTIONS_RUN;
    if (!walk(config, argc, argv, true, &result, message)) {
        return KVI_OPTIONS_WRONG;
    }
    if (result == KVI_OPTIONS_RUN && !walk(config, argc, argv, false, &result, message)) {
        return KVI_OPTIONS_WRONG;
    }
    return result;
}

void kvi_options_help(void (*write)(void *context, const char *line), void *context)
{
    const kvi_config_row_t *row;
    char line[HELP_LINE_BYTES];
    for (size_t i = 0; (row = kvi_config_at(i)) != NULL; i++) {
        if ((row->flags & KVI_CONFIG_CONSTANT) != 0) {
            continue;
        }
        char option[64];
        const bool long_list = strlen(row->argument) > HELP_ARGUMENT_BYTES;
        (void)snprintf(option, sizeof option, "--%s %s", row->name,
                       long_list ? "WORD" : row->argument);
        const bool shown = (row->flags & KVI_CONFIG_ABSENT) == 0 && row->initial[0] != '\0';
        (void)snprintf(line, sizeof line, "  %-30s %s%s%s%s", option, row->help, shown ? " (" : "",
                       shown ? row->initial : "", shown ? ")" : "");
        write(context, line);
    }
    (void)snprintf(line, sizeof line, "  %-30s %s", "--config FILE",
                   "read settings from FILE first: name = value lines under [server]");
    write(context, line);
    (void)snprintf(line, sizeof line, "  %-30s %s", "--help", "print this and end");
    write(context, line);
    (void)snprintf(line, sizeof line, "  %-30s %s", "--version", "print the version and end");
    write(context, line);
}
