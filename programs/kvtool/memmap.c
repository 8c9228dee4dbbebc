/* SPDX-License-Identifier: MIT */
/* kvtool memmap: the map of a running server's memory, asked for over its port. */
#include <hiredis/hiredis.h>
#include <stdio.h>

#include "kvtool/map.h"
#include "kvtool/tool.h"

#define CONNECT_SECONDS 5

/* ---- asking ---- */

/* The reply to MEMORY MAP JSON, which the caller frees, or NULL after a message. */
static redisReply *ask_map(const tool_options_t *options, redisContext *context)
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

static int show_map(const tool_options_t *options, const char *text, size_t length)
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

int tool_memmap(const tool_options_t *options, int argc, char **argv)
{
    if (argc > 0) {
        tool_refuse("memmap takes options only", argv[0]);
    }
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
