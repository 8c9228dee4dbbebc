/* SPDX-License-Identifier: MIT */
/*
 * kvtool: questions to a running server that are for people, not for programs.
 *
 *   kvtool memmap    where the server's memory is: every block by owner, shaded by fill
 *
 * Exit code 0; 1 when the command line is wrong, no server answers or its answer makes no sense,
 * after one line on standard error.
 */
#include <getopt.h>
#include <hiredis/hiredis.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <concordkv/kv_version.h>

#include "kvtool/map.h"
#include "kvtool/picture.h"

#define PORT_DEFAULT 6379
#define CONNECT_SECONDS 5
#define WIDTH_DEFAULT 64
#define CELL_BYTES_DEFAULT ((size_t)65536)

typedef struct memmap_options {
    const char *host;
    int port;
    bool json;
    picture_style_t style;
} memmap_options_t;

static void print_help(void)
{
    printf("Usage: kvtool COMMAND [OPTION]...\n"
           "Asks a running ConcordKV server.\n\n"
           "Commands:\n"
           "  memmap    the map of its memory: a row of cells for every owner, shaded by fill\n\n"
           "Options of every command:\n"
           "      --host=NAME     default 127.0.0.1\n"
           "  -p, --port=NUMBER   default %d\n"
           "  -h, --help          print this help\n"
           "  -V, --version       print the version\n\n"
           "Options of memmap:\n"
           "  -j, --json          print the blocks as the server sends them\n"
           "      --cell=BYTES    memory that a cell stands for; default %zu\n"
           "      --width=CELLS   cells in a line; default %d\n"
           "      --ascii         shade with ASCII characters only\n",
           PORT_DEFAULT, CELL_BYTES_DEFAULT, WIDTH_DEFAULT);
}

/* ---- the command line ---- */

__attribute__((noreturn)) static void refuse(const char *what, const char *text)
{
    fprintf(stderr, "kvtool: %s, not \"%s\"\n", what, text);
    exit(1);
}

static size_t parse_number(const char *what, const char *text, size_t min, size_t max)
{
    char *end = NULL;
    const unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number < min || number > max) {
        refuse(what, text);
    }
    return (size_t)number;
}

enum { OPTION_HOST = 256, OPTION_CELL, OPTION_WIDTH, OPTION_ASCII };

static void take_option(memmap_options_t *options, int option, const char *text)
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
        exit(0);
    case 'V':
        printf("kvtool %s\n", KV_VERSION_STRING);
        exit(0);
    default:
        exit(1); /* getopt has said what is wrong */
    }
}

static memmap_options_t parse_options(int argc, char **argv)
{
    static const struct option known[] = {{"host", required_argument, NULL, OPTION_HOST},
                                          {"port", required_argument, NULL, 'p'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"cell", required_argument, NULL, OPTION_CELL},
                                          {"width", required_argument, NULL, OPTION_WIDTH},
                                          {"ascii", no_argument, NULL, OPTION_ASCII},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
    memmap_options_t options = {
        .host = "127.0.0.1",
        .port = PORT_DEFAULT,
        .style = {.cell_bytes = CELL_BYTES_DEFAULT, .width = WIDTH_DEFAULT},
    };
    int option = 0;
    options.style.ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    while ((option = getopt_long(argc, argv, "p:jhV", known, NULL)) != -1) {
        take_option(&options, option, optarg);
    }
    return options;
}

/* ---- asking ---- */

/* The reply to MEMORY MAP JSON, which the caller frees, or NULL after a message. */
static redisReply *ask_map(const memmap_options_t *options, redisContext *context)
{
    if (context == NULL || context->err != 0) {
        fprintf(stderr, "kvtool: no server at %s:%d: %s\n", options->host, options->port,
                context == NULL ? "out of memory" : context->errstr);
        return NULL;
    }
    redisReply *reply = redisCommand(context, "MEMORY MAP JSON");
    if (reply == NULL) {
        fprintf(stderr, "kvtool: %s:%d does not answer: %s\n", options->host, options->port,
                context->errstr);
        return NULL;
    }
    if (reply->type != REDIS_REPLY_STRING) {
        fprintf(stderr, "kvtool: %s:%d knows no MEMORY MAP: %s\n", options->host, options->port,
                reply->type == REDIS_REPLY_ERROR ? reply->str : "the reply is no string");
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

static int show_map(const memmap_options_t *options, const char *text, size_t length)
{
    map_t map;
    if (!map_parse(&map, text, length)) {
        fprintf(stderr, "kvtool: the map of %s:%d cannot be read at byte %zu\n", options->host,
                options->port, map.error_at);
        return 1;
    }
    if (options->json) {
        printf("%s\n", text);
    } else {
        printf("memory of %s:%d\n\n", options->host, options->port);
        picture_print(&map, &options->style);
    }
    map_free(&map);
    return 0;
}

static int run_memmap(const memmap_options_t *options)
{
    const struct timeval patience = {.tv_sec = CONNECT_SECONDS};
    redisContext *context = redisConnectWithTimeout(options->host, options->port, patience);
    redisReply *reply = ask_map(options, context);
    int code = 1;
    if (reply != NULL) {
        code = show_map(options, reply->str, (size_t)reply->len);
        freeReplyObject(reply);
    }
    if (context != NULL) {
        redisFree(context);
    }
    if (fflush(stdout) != 0) {
        fprintf(stderr, "kvtool: cannot write to standard output\n");
        return 1;
    }
    return code;
}

int main(int argc, char **argv)
{
    (void)setlocale(LC_CTYPE, "");
    const memmap_options_t options = parse_options(argc, argv);
    if (optind >= argc) {
        fprintf(stderr, "kvtool: which command? `kvtool --help` lists them\n");
        return 1;
    }
    if (strcmp(argv[optind], "memmap") != 0) {
        refuse("the command is memmap", argv[optind]);
    }
    if (optind + 1 < argc) {
        refuse("memmap takes options only", argv[optind + 1]);
    }
    return run_memmap(&options);
}
