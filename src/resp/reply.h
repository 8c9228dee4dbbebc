/* SPDX-License-Identifier: MIT */
/*
 * The reply writer: a command says what it answers, this writes RESP2 or RESP3 bytes into a growing
 * buffer. Commands never see the wire. A reply has one user at a time. When memory runs out the
 * reply is marked failed and further writes do nothing; the connection is then closed by its owner.
 */
#ifndef KVI_RESP_REPLY_H
#define KVI_RESP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <concordkv/kv_status.h>

typedef struct kvi_reply {
    char *bytes;     /* the buffer, from kv_store_malloc */
    size_t size;     /* bytes written */
    size_t capacity; /* bytes of the buffer */
    int protocol;    /* 2 or 3 */
    bool failed;     /* memory ran out */
    bool muted;      /* CLIENT REPLY OFF or SKIP: writes do nothing */
} kvi_reply_t;

void kvi_reply_open(kvi_reply_t *reply);
void kvi_reply_close(kvi_reply_t *reply);

void kvi_reply_ok(kvi_reply_t *reply);                       /* +OK */
void kvi_reply_status(kvi_reply_t *reply, const char *text); /* +text; no line ends in it */
/* -text; the text begins with its code ("ERR ..."). Line ends in it become blanks. */
__attribute__((format(printf, 2, 3))) void kvi_reply_error(kvi_reply_t *reply, const char *format,
                                                           ...);
void kvi_reply_integer(kvi_reply_t *reply, int64_t value);
void kvi_reply_bulk(kvi_reply_t *reply, kv_slice_t value);
void kvi_reply_bulk_string(kvi_reply_t *reply, const char *string);
/* RESP2: a bulk. */
void kvi_reply_verbatim(kvi_reply_t *reply, const char *format, kv_slice_t text);
void kvi_reply_double(kvi_reply_t *reply, double value); /* RESP2: a bulk */
void kvi_reply_bool(kvi_reply_t *reply, bool value);     /* RESP2: 1 or 0 */
void kvi_reply_null(kvi_reply_t *reply);                 /* RESP2: $-1 */
void kvi_reply_null_array(kvi_reply_t *reply);           /* RESP2: *-1 */
void kvi_reply_array(kvi_reply_t *reply, size_t count);  /* followed by count replies */
void kvi_reply_map(kvi_reply_t *reply,
                   size_t pairs); /* then 2 * pairs replies; RESP2: flat array */
void kvi_reply_set(kvi_reply_t *reply, size_t count); /* RESP2: an array */

/* Takes back everything written since size was reply->size: to answer an error after all. */
void kvi_reply_truncate(kvi_reply_t *reply, size_t size);

#endif
