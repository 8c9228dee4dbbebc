/* SPDX-License-Identifier: MIT */
/* Options and deadlines of SET, GETEX and the EXPIRE family. */
#ifndef KVI_SERVER_DEADLINES_H
#define KVI_SERVER_DEADLINES_H

#include "server/command.h"

/* How a deadline is given. */
typedef enum kvi_time_kind {
    KVI_TIME_NONE = 0,
    KVI_TIME_EX,   /* seconds from now */
    KVI_TIME_PX,   /* milliseconds from now */
    KVI_TIME_EXAT, /* seconds since 1970 */
    KVI_TIME_PXAT  /* milliseconds since 1970 */
} kvi_time_kind_t;

/* The options that follow a key and, for SET, its value. */
typedef struct kvi_value_options {
    bool if_absent;     /* NX */
    bool if_present;    /* XX */
    bool get;           /* GET */
    bool keep_deadline; /* KEEPTTL */
    bool persist;       /* PERSIST */
    kvi_time_kind_t kind;
    size_t time_argument; /* the number of the argument with the time */
} kvi_value_options_t;

/* Of SET and of GETEX: false after a syntax error was answered. */
bool kvi_parse_set_options(kvi_request_t *request, kvi_value_options_t *options);
bool kvi_parse_getex_options(kvi_request_t *request, kvi_value_options_t *options);

/* The deadline that argument number gives; false after an error was answered, which it is for times
 * below 1 and for those that do not fit. */
bool kvi_parse_deadline(kvi_request_t *request, size_t number, kvi_time_kind_t kind,
                        int64_t *deadline_ms);
/* As above for EXPIRE and its like, where a time may be negative or past. */
bool kvi_parse_any_deadline(kvi_request_t *request, size_t number, kvi_time_kind_t kind,
                            int64_t *deadline_ms);

/* The conditions of the EXPIRE family, from argument 3 on. */
typedef struct kvi_expire_conditions {
    bool if_none;    /* NX */
    bool if_some;    /* XX */
    bool if_greater; /* GT */
    bool if_less;    /* LT */
} kvi_expire_conditions_t;

/* False after an error was answered. */
bool kvi_parse_expire_conditions(kvi_request_t *request, kvi_expire_conditions_t *conditions);
/* Whether a deadline may take the place of the present one (KVI_NO_DEADLINE: none, which counts as
 * infinite). */
bool kvi_expire_conditions_hold(const kvi_expire_conditions_t *conditions, int64_t present_ms,
                                int64_t deadline_ms);

#endif
