/* SPDX-License-Identifier: MIT */
/* Options and deadlines: what may stand together, what overflows, and in which order it is told. */
#include "server/deadlines.h"

#include "server/arguments.h"
#include "server/client.h"
#include "server/errors.h"

/* ---- options of SET and GETEX ---- */

static kvi_time_kind_t time_kind_of(kv_slice_t word)
{
    if (kvi_argument_is(word, "ex")) {
        return KVI_TIME_EX;
    }
    if (kvi_argument_is(word, "px")) {
        return KVI_TIME_PX;
    }
    if (kvi_argument_is(word, "exat")) {
        return KVI_TIME_EXAT;
    }
    return kvi_argument_is(word, "pxat") ? KVI_TIME_PXAT : KVI_TIME_NONE;
}

/* Takes the option at *at if it gives a time; moves *at to the time. */
static bool take_time(const kvi_request_t *request, size_t *at, kvi_value_options_t *options)
{
    const kvi_time_kind_t kind = time_kind_of(request->argv[*at]);
    /* The same option twice is allowed, and the last one counts. */
    const bool free = options->kind == KVI_TIME_NONE || options->kind == kind;
    if (kind == KVI_TIME_NONE || !free || options->keep_deadline || options->persist ||
        *at + 1 == request->argc) {
        return false;
    }
    options->kind = kind;
    options->time_argument = ++*at;
    return true;
}

static bool take_set_word(kv_slice_t word, kvi_value_options_t *options)
{
    if (kvi_argument_is(word, "nx") && !options->if_present) {
        options->if_absent = true;
    } else if (kvi_argument_is(word, "xx") && !options->if_absent) {
        options->if_present = true;
    } else if (kvi_argument_is(word, "get")) {
        options->get = true;
    } else if (kvi_argument_is(word, "keepttl") && options->kind == KVI_TIME_NONE) {
        options->keep_deadline = true;
    } else {
        return false;
    }
    return true;
}

bool kvi_parse_set_options(kvi_request_t *request, kvi_value_options_t *options)
{
    *options = (kvi_value_options_t){.kind = KVI_TIME_NONE};
    for (size_t at = 3; at < request->argc; at++) {
        if (!take_time(request, &at, options) && !take_set_word(request->argv[at], options)) {
            kvi_reply_syntax_error(request->reply);
            return false;
        }
    }
    return true;
}

bool kvi_parse_getex_options(kvi_request_t *request, kvi_value_options_t *options)
{
    *options = (kvi_value_options_t){.kind = KVI_TIME_NONE};
    for (size_t at = 2; at < request->argc; at++) {
        if (kvi_argument_is(request->argv[at], "persist") && options->kind == KVI_TIME_NONE) {
            options->persist = true;
        } else if (!take_time(request, &at, options)) {
            kvi_reply_syntax_error(request->reply);
            return false;
        }
    }
    return true;
}

/* ---- deadlines ---- */

static bool refuse_time(kvi_request_t *request)
{
    kvi_reply_error(request->reply, kvi_error_expire_time_of, request->client->command->name);
    return false;
}

/* The deadline that a time of this kind means; false after an overflow was answered. */
static bool deadline_of(kvi_request_t *request, int64_t time, kvi_time_kind_t kind,
                        int64_t *deadline_ms)
{
    if (kind == KVI_TIME_EX || kind == KVI_TIME_EXAT) {
        if (time > INT64_MAX / 1000 || time < INT64_MIN / 1000) {
            return refuse_time(request);
        }
        time *= 1000;
    }
    if (kind == KVI_TIME_EX || kind == KVI_TIME_PX) {
        if (time > INT64_MAX - request->now_ms) {
            return refuse_time(request);
        }
        time += request->now_ms;
    }
    *deadline_ms = time;
    return true;
}

bool kvi_parse_deadline(kvi_request_t *request, size_t number, kvi_time_kind_t kind,
                        int64_t *deadline_ms)
{
    int64_t time;
    if (!kvi_argument_integer(request, number, &time)) {
        return false;
    }
    return time > 0 ? deadline_of(request, time, kind, deadline_ms) : refuse_time(request);
}

bool kvi_parse_any_deadline(kvi_request_t *request, size_t number, kvi_time_kind_t kind,
                            int64_t *deadline_ms)
{
    int64_t time;
    return kvi_argument_integer(request, number, &time) &&
           deadline_of(request, time, kind, deadline_ms);
}

/* ---- conditions of EXPIRE ---- */

bool kvi_parse_expire_conditions(kvi_request_t *request, kvi_expire_conditions_t *conditions)
{
    *conditions = (kvi_expire_conditions_t){.if_none = false};
    for (size_t at = 3; at < request->argc; at++) {
        const kv_slice_t word = request->argv[at];
        if (kvi_argument_is(word, "nx")) {
            conditions->if_none = true;
        } else if (kvi_argument_is(word, "xx")) {
            conditions->if_some = true;
        } else if (kvi_argument_is(word, "gt")) {
            conditions->if_greater = true;
        } else if (kvi_argument_is(word, "lt")) {
            conditions->if_less = true;
        } else {
            const int shown = (int)(word.size < 128 ? word.size : 128);
            kvi_reply_error(request->reply, kvi_error_expire_option, shown, word.data);
            return false;
        }
    }
    if (conditions->if_none &&
        (conditions->if_some || conditions->if_greater || conditions->if_less)) {
        kvi_reply_error(request->reply, kvi_error_expire_nx);
        return false;
    }
    if (conditions->if_greater && conditions->if_less) {
        kvi_reply_error(request->reply, kvi_error_expire_gt_lt);
        return false;
    }
    return true;
}

bool kvi_expire_conditions_hold(const kvi_expire_conditions_t *conditions, int64_t present_ms,
                                int64_t deadline_ms)
{
    const bool some = present_ms != KVI_NO_DEADLINE;
    if ((conditions->if_none && some) || (conditions->if_some && !some)) {
        return false;
    }
    if (conditions->if_greater && (!some || deadline_ms <= present_ms)) {
        return false;
    }
    return !(conditions->if_less && some && deadline_ms >= present_ms);
}
