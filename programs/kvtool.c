/* SPDX-License-Identifier: MIT */
/*
 * kvtool: what people ask a running server or a directory of data, and programs do not.
 *
 *   memmap         where a running server's memory is: every block by owner, shaded by fill
 *   verify DIR     reads everything and says what is wrong, with file, offset and LSN
 *   stat DIR       what is in it, by keyspace
 *   dump DIR       all entries as text, a line each; or as commands of the Redis protocol
 *   load DIR FILE  the reverse
 *   repair DIR NEW saves what can be read into a new directory, and says what is lost
 *
 * Exit code 0; 1 when the command line is wrong or something cannot be done; 2 when data are
 * damaged: each after one line on standard error.
 */
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <concordkv/kv_version.h>

#include "kvtool/tool.h"

#define PORT_DEFAULT 6379
#define WIDTH_DEFAULT 64
#define CELL_BYTES_DEFAULT ((size_t)65536)

static const struct tool_command {
    const char *name;
    tool_run_fn run;
} commands[] = {
    {"memmap", tool_memmap}, {"verify", tool_verify}, {"stat", tool_stat},
    {"dump", tool_dump},     {"load", tool_load},     {"repair", tool_repair},
};

static void print_help(void)
{
    printf("Usage: kvtool COMMAND [OPTION]... [ARGUMENT]...\n"
           "Asks a running ConcordKV server, or works on a directory that no server uses.\n\n"
           "Commands:\n"
           "  memmap           the map of a server's memory: a row of cells for every owner,\n"
           "                   shaded by fill\n"
           "  verify DIR       read everything in a directory and say what is wrong, and where\n"
           "  stat DIR         count what is in it, by keyspace\n"
           "  dump DIR         print all entries, a line of JSON each\n"
           "  load DIR [FILE]  put the entries of a dump into a directory, which is made if it is\n"
           "                   missing; without FILE from standard input\n"
           "  repair DIR NEW   save what can be read into the new directory NEW and say what is\n"
           "                   lost; DIR is not changed\n\n"
           "Options:\n"
           "  -h, --help           print this help\n"
           "  -V, --version        print the version\n\n"
           "Options of dump:\n"
           "  -f, --format=FORMAT  json (default), or redis: commands for redis-cli --pipe\n"
           "  -o, --output=FILE    write there instead of to standard output\n\n"
           "Options of memmap:\n"
           "      --host=NAME      default 127.0.0.1\n"
           "  -p, --port=NUMBER    default %d\n"
           "  -j, --json           print the blocks as the server sends them\n"
           "      --cell=BYTES     memory that a cell stands for; default %zu\n"
           "      --width=CELLS    cells in a line; default %d\n"
           "      --ascii          shade with ASCII characters only\n\n"
           "Exit status: 0; 1 if something could not be done; 2 if data are damaged.\n",
           PORT_DEFAULT, CELL_BYTES_DEFAULT, WIDTH_DEFAULT);
}

/* ---- failing ---- */

void tool_refuse(const char *what, const char *text)
{
    fprintf(stderr, "kvtool: %s, not \"%s\"\n", what, text);
    exit(TOOL_FAILED);
}

int tool_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("kvtool: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return TOOL_FAILED;
}

const char *tool_only_directory(const char *command, int argc, char **argv)
{
    if (argc < 1) {
        exit(tool_fail("%s which directory?", command));
    }
    if (argc > 1) {
        tool_refuse("there is one directory", argv[1]);
    }
    return argv[0];
}

kvi_directory_t *tool_open(const char *path, kvi_recovery_report_t *report, int *code)
{
    kvi_directory_t *directory;
    const kvi_directory_options_t options = {.path = path, .owner = "kvtool", .read_only = true};
    const kv_status_t status = kvi_directory_open(&options, &directory, report);
    if (status != KV_OK) {
        *code = tool_fail("%s: %s", path, report->reason);
        *code = status == KV_CORRUPT ? TOOL_DAMAGE : *code;
        return NULL;
    }
    return directory;
}

int tool_end_output(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return tool_fail("cannot write to standard output");
    }
    return code;
}

/* ---- the command line ---- */

static size_t parse_number(const char *what, const char *text, size_t min, size_t max)
{
    char *end = NULL;
    const unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number < min || number > max) {
        tool_refuse(what, text);
    }
    return (size_t)number;
}

static tool_format_t parse_format(const char *text)
{
    if (strcmp(text, "json") == 0) {
        return TOOL_JSON;
    }
    if (strcmp(text, "redis") != 0) {
        tool_refuse("the format is json or redis", text);
    }
    return TOOL_REDIS;
}

enum { OPTION_HOST = 256, OPTION_CELL, OPTION_WIDTH, OPTION_ASCII };

static void take_option(tool_options_t *options, int option, const char *text)
{
    switch (option) {
    case OPTION_HOST:
        options->host = text;
        break;
    case 'p':
        options->port = (int)parse_number("a port is 1 to 65535", text, 1, 65535);
        break;
    case 'j':
        options->json = true;
        break;
    case 'f':
        options->format = parse_format(text);
        break;
    case 'o':
        options->output = text;
        break;
    case OPTION_CELL:
        options->style.cell_bytes =
            parse_number("a cell is 4096 to 1073741824 bytes", text, 4096, (size_t)1 << 30);
        break;
    case OPTION_WIDTH:
        options->style.width = parse_number("a line has 1 to 1000 cells", text, 1, 1000);
        break;
    case OPTION_ASCII:
        options->style.ascii = true;
        break;
    case 'h':
        print_help();
        exit(TOOL_OK);
    case 'V':
        printf("kvtool %s\n", KV_VERSION_STRING);
        exit(TOOL_OK);
    default:
        exit(TOOL_FAILED); /* getopt has said what is wrong */
    }
}

static tool_options_t parse_options(int argc, char **argv)
{
    static const struct option known[] = {{"host", required_argument, NULL, OPTION_HOST},
                                          {"port", required_argument, NULL, 'p'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"format", required_argument, NULL, 'f'},
                                          {"output", required_argument, NULL, 'o'},
                                          {"cell", required_argument, NULL, OPTION_CELL},
                                          {"width", required_argument, NULL, OPTION_WIDTH},
                                          {"ascii", no_argument, NULL, OPTION_ASCII},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
    tool_options_t options = {
        .host = "127.0.0.1",
        .port = PORT_DEFAULT,
        .style = {.cell_bytes = CELL_BYTES_DEFAULT, .width = WIDTH_DEFAULT},
    };
    int option = 0;
    options.style.ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    while ((option = getopt_long(argc, argv, "p:jf:o:hV", known, NULL)) != -1) {
        take_option(&options, option, optarg);
    }
    return options;
}

int main(int argc, char **argv)
{
    (void)setlocale(LC_CTYPE, "");
    const tool_options_t options = parse_options(argc, argv);
    if (optind >= argc) {
        return tool_fail("which command? `kvtool --help` lists them");
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[optind], commands[i].name) == 0) {
            return commands[i].run(&options, argc - optind - 1, argv + optind + 1);
        }
    }
    tool_refuse("the commands are memmap, verify, stat, dump, load and repair", argv[optind]);
}
