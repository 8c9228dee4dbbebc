/* SPDX-License-Identifier: MIT */
/* What commands do with their arguments: compare words, read numbers, answer the usual errors. */
#ifndef KVI_SERVER_ARGUMENTS_H
#define KVI_SERVER_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "server/command.h"

/* Whether the argument is this word, in any case. Inline, because the length of a word that is
 * known here and now turns nearly every comparison into one of two numbers. */
static inline bool kvi_argument_is(kv_slice_t argument, const char *word)
{
    const size_t length = strlen(word);
    return argument.size == length && strncasecmp(argument.data, word, length) == 0;
}
/* Reads argument number into *value; else answers Redis's "value is not an integer or out of
 * range". */
bool kvi_argument_integer(kvi_request_t *request, size_t number, int64_t *value);
/* As kvi_argument_integer, with these bounds and (unless NULL) this error text. */
bool kvi_argument_between(kvi_request_t *request, size_t number, int64_t lowest, int64_t highest,
                          const char *error, int64_t *value);
/* "ERR syntax error". */
void kvi_reply_syntax_error(kvi_reply_t *reply);
/* The error Redis answers for a status of the database; not for KV_OK. */
void kvi_reply_status_error(kvi_reply_t *reply, kv_status_t status);
/* Glob patterns as Redis has them: ? * [a-z] [^x] and \ before a byte that stands for itself. */
bool kvi_glob_matches(kv_slice_t pattern, kv_slice_t text, bool any_case);
/* Moves what was written since head_at to begin, and what stood between the two behind it: for
 * lists whose length is known only behind them. */
void kvi_reply_turn_to_front(kvi_reply_t *reply, size_t begin, size_t head_at);
/* For a keyspace whose keys have no order: says so, and which engines keep one. */
void kvi_reply_needs_order(kvi_request_t *request);
/* A HELP reply: "<CONTAINER> <subcommand> ...", these lines, and those of HELP itself. */
void kvi_reply_help(kvi_reply_t *reply, const char *container, const char *const *lines,
                    size_t count);

#endif
