/* SPDX-License-Identifier: MIT */
/*
 * The operations on a keyspace: everything that changes data. Each finds the old record, drafts the
 * new one and has it placed; whatever can fail comes before the first change.
 */
#include "db/db_int.h"

#include <math.h>
#include <string.h>

#include "base/decimal.h"
#include "base/long_double.h"
#include "db/access.h"

/* A record to be: what shall stand under a key, but for the value's bytes. */
typedef struct draft {
    kv_slice_t old; /* the present record; data NULL: there is none, or none with a deadline */
    size_t size;    /* of the new value */
    bool keep;      /* as much of the old value as fits stays; the rest is undefined */
    kvi_form_t form;
    int64_t deadline_ms;
    int64_t now_ms;
} draft_t;

/* Has the engine make room for the draft under key. The first bytes of the old value are behind the
 * head then, if they are kept. */
static kv_status_t place_bytes(kvi_keyspace_t *keyspace, kv_slice_t key, const draft_t *draft,
                               size_t head, char **place)
{
    kv_engine_t *const engine = keyspace->content->engine;
    if (!draft->keep || draft->old.data == NULL) {
        return engine->ops->place(engine, key, head + draft->size, 0, place);
    }
    const size_t old_head = kvi_record_head_bytes(draft->old.data);
    const size_t old_size = draft->old.size - old_head;
    const size_t kept = old_size < draft->size ? old_size : draft->size;
    const kv_status_t placed =
        engine->ops->place(engine, key, head + draft->size, old_head + kept, place);
    if (placed == KV_OK && head != old_head) {
        memmove(*place + head, *place + old_head, kept);
    }
    return placed;
}

/* Puts the draft in the place of the old record and gives the place of its value. The deadline's
 * item is taken over from the old record if there is one. */
static kv_status_t place_record(kvi_keyspace_t *keyspace, kv_slice_t key, const draft_t *draft,
                                char **value)
{
    kv_status_t status = kvi_keyspace_open_content(keyspace);
    if (status != KV_OK) {
        return status;
    }
    kvi_expiry_t *const expiry = &keyspace->content->expiry;
    const bool has_deadline = draft->deadline_ms != KVI_NO_DEADLINE;
    kvi_expiry_item_t *item = draft->old.data != NULL ? kvi_record_item(draft->old.data) : NULL;
    kvi_expiry_item_t *reserved = NULL;
    if (has_deadline && item == NULL) {
        reserved = kvi_expiry_reserve(expiry, key);
        if (reserved == NULL) {
            return KV_NO_MEMORY;
        }
    }
    /* A value that stays keeps the head it has, unless that is too short: bytes then need not move.
     */
    const bool timed = has_deadline || (draft->keep && draft->old.data != NULL &&
                                        kvi_record_is_timed(draft->old.data));
    const size_t head = timed ? KVI_RECORD_TIMED_HEAD_BYTES : KVI_RECORD_HEAD_BYTES;
    kvi_keyspace_tell(keyspace, key, draft->old);
    const uint32_t access = kvi_access_of_write(keyspace, draft->old, draft->now_ms);
    char *place;
    status = place_bytes(keyspace, key, draft, head, &place);
    if (status != KV_OK) {
        kvi_expiry_cancel(expiry, reserved);
        return status;
    }
    if (reserved != NULL) {
        kvi_expiry_add(expiry, reserved, draft->deadline_ms);
        item = reserved;
    } else if (has_deadline) {
        kvi_expiry_move(expiry, item, draft->deadline_ms);
    } else if (item != NULL) {
        kvi_expiry_remove(expiry, item);
        item = NULL;
    }
    place[0] =
        (char)((timed ? KVI_RECORD_TIMED : 0) | (unsigned)draft->form << KVI_RECORD_FORM_SHIFT |
               (unsigned)keyspace->db->epochs.now << KVI_RECORD_EPOCH_SHIFT);
    kvi_record_set_access(place, access);
    if (timed) {
        kvi_record_set_deadline(place, draft->deadline_ms, item);
    }
    keyspace->db->changes++;
    *value = place + head;
    return KV_OK;
}

static void copy_bytes(char *to, kv_slice_t from)
{
    if (from.size > 0) {
        memcpy(to, from.data, from.size);
    }
}

/* The latest deadline that the keyspace allows, if this is later or none. */
static int64_t cut_deadline(const kvi_keyspace_t *keyspace, int64_t deadline_ms, int64_t now_ms)
{
    if (keyspace->attributes.max_ttl_ms == 0) {
        return deadline_ms;
    }
    const int64_t latest = kvi_deadline_after(now_ms, keyspace->attributes.max_ttl_ms);
    return deadline_ms == KVI_NO_DEADLINE || deadline_ms > latest ? latest : deadline_ms;
}

/* The deadline of an entry that is put with this one, or with none. */
static int64_t limit_deadline(const kvi_keyspace_t *keyspace, int64_t deadline_ms, int64_t now_ms)
{
    if (deadline_ms == KVI_NO_DEADLINE && keyspace->attributes.default_ttl_ms != 0) {
        deadline_ms = kvi_deadline_after(now_ms, keyspace->attributes.default_ttl_ms);
    }
    return cut_deadline(keyspace, deadline_ms, now_ms);
}

static bool is_past(int64_t deadline_ms, int64_t now_ms)
{
    return deadline_ms != KVI_NO_DEADLINE && deadline_ms <= now_ms;
}

/* ---- put and delete ---- */

static kv_status_t check_condition(const kvi_put_options_t *options, const kv_slice_t *old)
{
    if (options->condition == KVI_PUT_IF_ABSENT && old->data != NULL) {
        return KV_EXISTS;
    }
    if (options->condition == KVI_PUT_IF_PRESENT && old->data == NULL) {
        return KV_NOT_FOUND;
    }
    if (options->condition == KVI_PUT_IF_VERSION &&
        options->version != (old->data != NULL ? kvi_record_version(*old) : 0)) {
        return KV_CONFLICT;
    }
    return KV_OK;
}

/* Whether the old record does not matter, nor anybody who is told of it, and there is no deadline
 * before or after. */
static inline bool is_plain(const kvi_keyspace_t *keyspace, const kvi_put_options_t *options)
{
    return keyspace->content != NULL && keyspace->content->expiry.count == 0 &&
           keyspace->db->observers == NULL && options->condition == KVI_PUT_ALWAYS &&
           options->deadline_ms == KVI_NO_DEADLINE && !keyspace->limits_deadlines &&
           !keyspace->counts_uses;
}

/* What place_record comes to then. */
static kv_status_t put_plain(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t value,
                             int64_t now_ms, const kvi_put_options_t *options)
{
    kv_engine_t *const engine = keyspace->content->engine;
    const kvi_aimed_ops_t *const aimed = engine->ops->aimed;
    const size_t bytes = KVI_RECORD_HEAD_BYTES + value.size;
    char *place;
    const kv_status_t status = options->aim != 0 && aimed != NULL
                                   ? aimed->place(engine, key, options->aim, bytes, &place)
                                   : engine->ops->place(engine, key, bytes, 0, &place);
    if (status == KV_OK) {
        place[0] = (char)((unsigned)options->form << KVI_RECORD_FORM_SHIFT |
                          (unsigned)keyspace->db->epochs.now << KVI_RECORD_EPOCH_SHIFT);
        kvi_record_set_access(place, kvi_clock(now_ms));
        kvi_bytes_copy(place + KVI_RECORD_HEAD_BYTES, value.data, value.size);
        keyspace->db->changes++;
    }
    return status;
}

kv_status_t kvi_keyspace_put(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t value,
                             int64_t now_ms, const kvi_put_options_t *options)
{
    static const kvi_put_options_t plain = {.deadline_ms = KVI_NO_DEADLINE};
    const kvi_put_options_t *const chosen = options != NULL ? options : &plain;
    if (is_plain(keyspace, chosen)) {
        return put_plain(keyspace, key, value, now_ms, chosen);
    }
    draft_t draft = {.size = value.size,
                     .form = chosen->form,
                     .deadline_ms = chosen->deadline_ms,
                     .now_ms = now_ms};
    /* The old record matters for the condition and for its deadline; usually there is neither. */
    if (chosen->condition != KVI_PUT_ALWAYS || kvi_keyspace_deadlines(keyspace) > 0 ||
        keyspace->db->observers != NULL || keyspace->counts_uses) {
        (void)kvi_keyspace_find(keyspace, key, now_ms, &draft.old);
        const kv_status_t status = check_condition(chosen, &draft.old);
        if (status != KV_OK) {
            return status;
        }
    }
    if (chosen->keep_deadline) {
        draft.deadline_ms =
            draft.old.data != NULL ? kvi_record_deadline(draft.old.data) : KVI_NO_DEADLINE;
    }
    if (keyspace->limits_deadlines && (!chosen->keep_deadline || draft.old.data == NULL)) {
        draft.deadline_ms = limit_deadline(keyspace, draft.deadline_ms, now_ms);
    }
    if (!chosen->keep_deadline && is_past(draft.deadline_ms, now_ms)) {
        (void)kvi_keyspace_delete(keyspace, key, now_ms);
        return KV_OK;
    }
    char *place;
    const kv_status_t status = place_record(keyspace, key, &draft, &place);
    if (status == KV_OK) {
        copy_bytes(place, value);
    }
    return status;
}

kv_status_t kvi_keyspace_delete(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms)
{
    if (keyspace->content == NULL) {
        return KV_NOT_FOUND;
    }
    if (keyspace->content->expiry.count == 0 && keyspace->db->observers == NULL) {
        kv_engine_t *const engine = keyspace->content->engine;
        const kv_status_t deleted = engine->ops->del(engine, key);
        keyspace->db->changes += deleted == KV_OK;
        return deleted;
    }
    kv_slice_t record;
    const kv_status_t status = kvi_keyspace_find(keyspace, key, now_ms, &record);
    if (status == KV_OK) {
        kvi_keyspace_remove(keyspace, key, record);
        keyspace->db->changes++;
    }
    return status;
}

kv_status_t kvi_keyspace_restore(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record)
{
    draft_t draft = {.deadline_ms = KVI_NO_DEADLINE};
    if (keyspace->content != NULL) {
        kv_engine_t *const engine = keyspace->content->engine;
        if (engine->ops->get(engine, key, &draft.old) != KV_OK) {
            draft.old = (kv_slice_t){NULL, 0};
        }
    }
    if (record.data == NULL) {
        if (draft.old.data != NULL) {
            kvi_keyspace_remove(keyspace, key, draft.old);
        }
        return KV_OK;
    }
    const kv_slice_t value = kvi_record_value(record);
    draft.size = value.size;
    draft.form = kvi_record_form(record.data);
    draft.deadline_ms = kvi_record_deadline(record.data);
    char *place;
    const kv_status_t status = place_record(keyspace, key, &draft, &place);
    if (status == KV_OK) {
        copy_bytes(place, value);
        kvi_record_set_access(place - (draft.deadline_ms != KVI_NO_DEADLINE
                                           ? KVI_RECORD_TIMED_HEAD_BYTES
                                           : KVI_RECORD_HEAD_BYTES),
                              kvi_record_access(record.data));
    }
    return status;
}

/* ---- changes to a value ---- */

/* The draft of a change to the value under key: its deadline stays. */
static draft_t draft_change(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t now_ms)
{
    draft_t draft = {.deadline_ms = KVI_NO_DEADLINE, .keep = true, .now_ms = now_ms};
    if (kvi_keyspace_find(keyspace, key, now_ms, &draft.old) == KV_OK) {
        draft.deadline_ms = kvi_record_deadline(draft.old.data);
    } else if (keyspace->limits_deadlines) {
        draft.deadline_ms = limit_deadline(keyspace, KVI_NO_DEADLINE, now_ms);
    }
    return draft;
}

/* Empty if there is none. */
static kv_slice_t old_value(const draft_t *draft)
{
    return draft->old.data != NULL ? kvi_record_value(draft->old) : (kv_slice_t){NULL, 0};
}

kv_status_t kvi_keyspace_append(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t tail,
                                int64_t now_ms, size_t *new_size)
{
    draft_t draft = draft_change(keyspace, key, now_ms);
    const size_t old_size = old_value(&draft).size;
    if (old_size > KVI_DB_VALUE_BYTES_MAX || tail.size > KVI_DB_VALUE_BYTES_MAX - old_size) {
        return KV_TOO_LARGE;
    }
    draft.size = old_size + tail.size;
    draft.form = draft.old.data != NULL ? KVI_FORM_RAW : KVI_FORM_PLAIN;
    char *value;
    const kv_status_t status = place_record(keyspace, key, &draft, &value);
    if (status == KV_OK) {
        copy_bytes(value + old_size, tail);
        *new_size = draft.size;
    }
    return status;
}

kv_status_t kvi_keyspace_write_at(kvi_keyspace_t *keyspace, kv_slice_t key, size_t offset,
                                  kv_slice_t bytes, int64_t now_ms, size_t *new_size)
{
    draft_t draft = draft_change(keyspace, key, now_ms);
    const size_t old_size = old_value(&draft).size;
    if (bytes.size == 0) { /* creates nothing and fills no gap */
        *new_size = old_size;
        return KV_OK;
    }
    if (offset > KVI_DB_VALUE_BYTES_MAX || bytes.size > KVI_DB_VALUE_BYTES_MAX - offset) {
        return KV_TOO_LARGE;
    }
    const size_t end = offset + bytes.size;
    draft.size = end > old_size ? end : old_size;
    draft.form = KVI_FORM_RAW;
    char *value;
    const kv_status_t status = place_record(keyspace, key, &draft, &value);
    if (status == KV_OK) {
        if (offset > old_size) {
            memset(value + old_size, 0, offset - old_size);
        }
        copy_bytes(value + offset, bytes);
        *new_size = draft.size;
    }
    return status;
}

/* Makes text the value of the drafted change: in place if it has the old length, which is the usual
 * case of a counter. */
static kv_status_t write_text(kvi_keyspace_t *keyspace, kv_slice_t key, draft_t *draft,
                              kv_slice_t text, kv_slice_t *written)
{
    char *value;
    if (draft->old.data != NULL && old_value(draft).size == text.size &&
        !keyspace->content->converting) {
        kvi_keyspace_tell(keyspace, key, draft->old);
        char *const record = kvi_record_writable(draft->old);
        kvi_record_set_epoch(record, keyspace->db->epochs.now);
        kvi_record_set_form(record, draft->form);
        kvi_record_set_access(record, kvi_access_of_write(keyspace, draft->old, draft->now_ms));
        value = record + kvi_record_head_bytes(record);
        keyspace->db->changes++;
    } else {
        draft->size = text.size;
        const kv_status_t status = place_record(keyspace, key, draft, &value);
        if (status != KV_OK) {
            return status;
        }
    }
    copy_bytes(value, text);
    *written = (kv_slice_t){value, text.size};
    return KV_OK;
}

kv_status_t kvi_keyspace_add(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t delta,
                             int64_t now_ms, int64_t *sum)
{
    draft_t draft = draft_change(keyspace, key, now_ms);
    const kv_slice_t old = old_value(&draft);
    int64_t number = 0;
    if (draft.old.data != NULL && !kvi_decimal_read(old.data, old.size, &number)) {
        return KV_NOT_NUMBER;
    }
    if (delta > 0 ? number > INT64_MAX - delta : number < INT64_MIN - delta) {
        return KV_OVERFLOW;
    }
    char text[KVI_DECIMAL_BYTES_MAX];
    const char *const end = kvi_decimal_write_signed(text, number + delta);
    kv_slice_t written;
    const kv_status_t status =
        write_text(keyspace, key, &draft, (kv_slice_t){text, (size_t)(end - text)}, &written);
    if (status == KV_OK) {
        *sum = number + delta;
    }
    return status;
}

kv_status_t kvi_keyspace_add_float(kvi_keyspace_t *keyspace, kv_slice_t key, long double delta,
                                   int64_t now_ms, kv_slice_t *sum)
{
    draft_t draft = draft_change(keyspace, key, now_ms);
    long double number = 0;
    if (draft.old.data != NULL && !kvi_long_double_parse(old_value(&draft), &number)) {
        return KV_NOT_NUMBER;
    }
    number += delta;
    if (isnan(number) || isinf(number)) {
        return KV_OVERFLOW;
    }
    draft.form = KVI_FORM_TEXT;
    char text[KVI_LONG_DOUBLE_TEXT_BYTES];
    const size_t size = kvi_long_double_format(number, text);
    return write_text(keyspace, key, &draft, (kv_slice_t){text, size}, sum);
}

/* ---- deadlines ---- */

/* Of a record that has the fields for it: in place. */
static kv_status_t change_deadline(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record,
                                   int64_t deadline_ms)
{
    kvi_expiry_t *const expiry = &keyspace->content->expiry;
    char *const bytes = kvi_record_writable(record);
    kvi_expiry_item_t *item = kvi_record_item(bytes);
    kvi_expiry_item_t *reserved = NULL;
    if (item == NULL) {
        reserved = kvi_expiry_reserve(expiry, key);
        if (reserved == NULL) {
            return KV_NO_MEMORY;
        }
    }
    kvi_keyspace_tell(keyspace, key, record);
    if (deadline_ms == KVI_NO_DEADLINE) {
        kvi_expiry_remove(expiry, item);
        item = NULL;
    } else if (item != NULL) {
        kvi_expiry_move(expiry, item, deadline_ms);
    } else {
        kvi_expiry_add(expiry, reserved, deadline_ms);
        item = reserved;
    }
    kvi_record_set_deadline(bytes, deadline_ms, item);
    kvi_record_set_epoch(bytes, keyspace->db->epochs.now);
    keyspace->db->changes++;
    return KV_OK;
}

kv_status_t kvi_keyspace_set_deadline(kvi_keyspace_t *keyspace, kv_slice_t key, int64_t deadline_ms,
                                      int64_t now_ms)
{
    draft_t draft = draft_change(keyspace, key, now_ms);
    if (draft.old.data == NULL) {
        return KV_NOT_FOUND;
    }
    if (is_past(deadline_ms, now_ms)) {
        kvi_keyspace_remove(keyspace, key, draft.old);
        keyspace->db->changes++;
        return KV_OK;
    }
    deadline_ms = cut_deadline(keyspace, deadline_ms, now_ms);
    const bool stays = deadline_ms == KVI_NO_DEADLINE && draft.deadline_ms == KVI_NO_DEADLINE;
    const bool in_place = kvi_record_is_timed(draft.old.data) && !keyspace->content->converting;
    if (stays || in_place) {
        kvi_keyspace_mark(keyspace, key, draft.old,
                          kvi_access_of_write(keyspace, draft.old, now_ms));
    }
    if (stays) {
        return KV_OK;
    }
    if (in_place) {
        return change_deadline(keyspace, key, draft.old, deadline_ms);
    }
    draft.size = old_value(&draft).size;
    draft.form = kvi_record_form(draft.old.data);
    draft.deadline_ms = deadline_ms;
    char *value;
    return place_record(keyspace, key, &draft, &value);
}

/* ---- between keys ---- */

static bool is_same_key(const kvi_keyspace_t *from, kv_slice_t key, const kvi_keyspace_t *to,
                        kv_slice_t new_key)
{
    return from == to && key.size == new_key.size &&
           (key.size == 0 || memcmp(key.data, new_key.data, key.size) == 0);
}

kv_status_t kvi_keyspace_copy(kvi_keyspace_t *from, kv_slice_t key, kvi_keyspace_t *to,
                              kv_slice_t new_key, bool replace, int64_t now_ms)
{
    /* The target first: removing a late one there must not come after the source is borrowed. */
    draft_t draft = {.now_ms = now_ms};
    (void)kvi_keyspace_find(to, new_key, now_ms, &draft.old);
    const bool taken = draft.old.data != NULL;
    kv_slice_t source;
    const kv_status_t found = kvi_keyspace_find(from, key, now_ms, &source);
    if (found != KV_OK) {
        return found;
    }
    if (taken && !replace) {
        return KV_EXISTS;
    }
    if (is_same_key(from, key, to, new_key)) {
        return KV_OK;
    }
    draft.size = kvi_record_value(source).size;
    draft.form = kvi_record_form(source.data);
    draft.deadline_ms = cut_deadline(to, kvi_record_deadline(source.data), now_ms);
    char *value;
    const kv_status_t status = place_record(to, new_key, &draft, &value);
    if (status != KV_OK) {
        return status;
    }
    /* The place may have moved the source: both are looked up again, and neither can be missing. */
    kv_slice_t target;
    kv_engine_t *const from_engine = from->content->engine;
    kv_engine_t *const to_engine = to->content->engine;
    (void)from_engine->ops->get(from_engine, key, &source);
    (void)to_engine->ops->get(to_engine, new_key, &target);
    value = kvi_record_writable(target) + kvi_record_head_bytes(target.data);
    copy_bytes(value, kvi_record_value(source));
    return KV_OK;
}

kv_status_t kvi_keyspace_rename(kvi_keyspace_t *from, kv_slice_t key, kvi_keyspace_t *to,
                                kv_slice_t new_key, bool replace, int64_t now_ms)
{
    const kv_status_t status = kvi_keyspace_copy(from, key, to, new_key, replace, now_ms);
    if (status == KV_OK && !is_same_key(from, key, to, new_key)) {
        (void)kvi_keyspace_delete(from, key, now_ms);
    }
    return status;
}
