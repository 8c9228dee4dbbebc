/* SPDX-License-Identifier: MIT */
/* What the commands of kvtool share: the options of the command line, and how they fail. */
#ifndef KVTOOL_TOOL_H
#define KVTOOL_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "kvtool/picture.h"
#include "log/directory.h"

/* Exit codes. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_DAMAGE = 2 };

typedef enum tool_format { TOOL_JSON, TOOL_REDIS } tool_format_t;

typedef struct tool_options {
    const char *host;
    int port;
    bool json;
    picture_style_t style;
    tool_format_t format;
    const char *output; /* NULL: standard output */
} tool_options_t;

/* A command: what stands behind its name is in argv. Returns the exit code. */
typedef int (*tool_run_fn)(const tool_options_t *options, int argc, char **argv);

int tool_memmap(const tool_options_t *options, int argc, char **argv);
int tool_verify(const tool_options_t *options, int argc, char **argv);
int tool_stat(const tool_options_t *options, int argc, char **argv);
int tool_dump(const tool_options_t *options, int argc, char **argv);
int tool_load(const tool_options_t *options, int argc, char **argv);
int tool_repair(const tool_options_t *options, int argc, char **argv);

/* Says what is expected instead of text, and ends the program with TOOL_FAILED. */
__attribute__((noreturn)) void tool_refuse(const char *what, const char *text);
/* One line on standard error; returns TOOL_FAILED. */
__attribute__((format(printf, 1, 2))) int tool_fail(const char *format, ...);
/* The directory that is the only argument; ends the program if it is not the only one. */
const char *tool_only_directory(const char *command, int argc, char **argv);
/* Opens a directory to look at it only; NULL after a message, *code then says how to end. */
kvi_directory_t *tool_open(const char *path, kvi_recovery_report_t *report, int *code);
/* Flushes standard output; TOOL_FAILED after a message if it cannot be written. */
int tool_end_output(int code);

#endif
