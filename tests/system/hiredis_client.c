/* SPDX-License-Identifier: MIT */
/* A C program on hiredis, run by test_clients.py against a server on the port it is given. */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIPELINE 10000

/* Ends the program at the first wrong answer. */
static void require(bool condition, const char *what)
{
    if (!condition) {
        printf("hiredis: %s\n", what);
        exit(1);
    }
}

static void expect_text(redisReply *reply, int type, const char *text, size_t size)
{
    require(reply != NULL, "no reply");
    require(reply->type == type, "a reply of another type");
    require(reply->len == size && memcmp(reply->str, text, size) == 0, "a reply of another text");
    freeReplyObject(reply);
}

static void expect_integer(redisReply *reply, long long value)
{
    require(reply != NULL && reply->type == REDIS_REPLY_INTEGER, "no integer");
    require(reply->integer == value, "another integer");
    freeReplyObject(reply);
}

static void try_commands(redisContext *context)
{
    expect_text(redisCommand(context, "PING"), REDIS_REPLY_STATUS, "PONG", 4);
    expect_text(redisCommand(context, "SET c:%d %b", 1, "a\0b\r\n", (size_t)5), REDIS_REPLY_STATUS,
                "OK", 2);
    expect_text(redisCommand(context, "GET c:1"), REDIS_REPLY_STRING, "a\0b\r\n", 5);
    expect_integer(redisCommand(context, "APPEND c:1 xyz"), 8);
    expect_integer(redisCommand(context, "DEL c:1 c:2"), 1);
    redisReply *const reply = redisCommand(context, "GET c:1");
    require(reply != NULL && reply->type == REDIS_REPLY_NIL, "no nil");
    freeReplyObject(reply);
    static const char error[] = "ERR wrong number of arguments for 'get' command";
    expect_text(redisCommand(context, "GET"), REDIS_REPLY_ERROR, error, sizeof error - 1);
}

static void try_pipeline(redisContext *context)
{
    for (int i = 0; i < PIPELINE; i++) {
        require(redisAppendCommand(context, "INCR c:counter") == REDIS_OK, "append");
    }
    for (int i = 0; i < PIPELINE; i++) {
        redisReply *reply = NULL;
        require(redisGetReply(context, (void **)&reply) == REDIS_OK, "a reply of the pipeline");
        expect_integer(reply, i + 1);
    }
}

int main(int argc, char **argv)
{
    redisContext *const context = redisConnect("127.0.0.1", argc == 2 ? atoi(argv[1]) : 0);
    require(context != NULL && context->err == 0, "no connection");
    try_commands(context);
    try_pipeline(context);
    redisFree(context);
    printf("hiredis: all well\n");
    return 0;
}
