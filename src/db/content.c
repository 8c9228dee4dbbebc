/* SPDX-License-Identifier: MIT */
/*
 * Contents: engine and deadlines of a keyspace as one thing that can change hands, and the accounts
 * that pay for them. Also whom changes are told.
 *
 *   keyspace ──► content ──► engine, deadlines      holders: the keyspace and whoever looks at it
 *       │           │
 *       └──► account ◄┘                             a content outlives its keyspace, so does this
 *
 * Thread rule: one user at a time, as the database's.
 */
#include "db/db_int.h"

kvi_account_t *kvi_account_open(kv_budget_t *parent, size_t quota_bytes)
{
    kvi_account_t *const account = kv_store_malloc(sizeof(*account));
    kv_budget_t *const budget = kv_budget_create(parent, quota_bytes);
    if (account == NULL || budget == NULL) {
        kv_budget_destroy(budget);
        kv_store_free(account);
        return NULL;
    }
    *account = (kvi_account_t){.budget = budget, .users = 1};
    return account;
}

void kvi_account_release(kvi_account_t *account)
{
    if (account != NULL && --account->users == 0) {
        kv_budget_destroy(account->budget);
        kv_store_free(account);
    }
}

kv_status_t kvi_content_open(kvi_account_t *account, const kv_engine_ops_t *row, uint64_t hash_seed,
                             size_t expected_count, kvi_content_t **content)
{
    kvi_content_t *const opened = kv_store_malloc(sizeof(*opened));
    if (opened == NULL) {
        return KV_NO_MEMORY;
    }
    *opened = (kvi_content_t){
        .row = row, .expiry = {.budget = account->budget}, .account = account, .holders = 1};
    const kv_engine_options_t options = {
        .budget = account->budget, .hash_seed = hash_seed, .expected_count = expected_count};
    const kv_status_t status = row->open(&options, &opened->engine);
    if (status != KV_OK) {
        kv_store_free(opened);
        return status;
    }
    account->users++;
    *content = opened;
    return KV_OK;
}

kv_status_t kvi_keyspace_make_content(kvi_keyspace_t *keyspace)
{
    const size_t expected = keyspace->expected_count;
    const kv_engine_ops_t *const row = keyspace->attributes.engine;
    const uint64_t seed = keyspace->db->hash_seed;
    keyspace->expected_count = 0; /* after a clear nobody knows */
    kv_status_t status =
        kvi_content_open(keyspace->account, row, seed, expected, &keyspace->content);
    if (status == KV_NO_MEMORY && expected > 0) {
        status = kvi_content_open(keyspace->account, row, seed, 0, &keyspace->content);
    }
    return status;
}

/* What was converted so far is given up: the holder writes records where they lie, in one place. */
kvi_content_t *kvi_content_hold(kvi_keyspace_t *keyspace)
{
    kvi_content_t *const content = keyspace->content;
    if (content == NULL) {
        return NULL;
    }
    if (content->converting) {
        (void)kv_engine_convert_end(content->engine, &content->engine);
        content->row = kv_engine_find(content->engine->ops->name);
        content->converting = false;
    }
    content->holders++;
    return content;
}

void kvi_content_release(kvi_content_t *content)
{
    if (content == NULL || --content->holders > 0) {
        return;
    }
    kvi_expiry_clear(&content->expiry);
    content->engine->ops->close(content->engine);
    kvi_account_release(content->account);
    kv_store_free(content);
}

kv_engine_t *kvi_content_engine(kvi_content_t *content)
{
    return content->engine;
}

kv_engine_t *kvi_keyspace_records(kvi_keyspace_t *keyspace)
{
    return keyspace->content != NULL ? keyspace->content->engine : NULL;
}

bool kvi_content_is_converting(const kvi_content_t *content)
{
    return content->converting;
}

void kvi_db_observe(kvi_db_t *db, kvi_observer_t *observer)
{
    observer->next = db->observers;
    db->observers = observer;
}

void kvi_db_unobserve(kvi_db_t *db, kvi_observer_t *observer)
{
    for (kvi_observer_t **place = &db->observers; *place != NULL; place = &(*place)->next) {
        if (*place == observer) {
            *place = observer->next;
            return;
        }
    }
}

void kvi_db_tell(kvi_keyspace_t *keyspace, kv_slice_t key, kv_slice_t record)
{
    for (kvi_observer_t *observer = keyspace->db->observers; observer != NULL;
         observer = observer->next) {
        observer->before_change(observer, keyspace->content, key, record);
    }
}

/* ---- conversion ---- */

bool kvi_keyspace_converting(const kvi_keyspace_t *keyspace)
{
    return keyspace->content != NULL && keyspace->content->converting;
}

static void end_conversion(kvi_keyspace_t *keyspace)
{
    kvi_content_t *const content = keyspace->content;
    const kv_status_t status = kv_engine_convert_end(content->engine, &content->engine);
    content->converting = false;
    if (status == KV_OK) {
        content->row = content->target;
    }
    keyspace->conversion = status;
}

static bool begin_conversion(kvi_keyspace_t *keyspace)
{
    kvi_content_t *const content = keyspace->content;
    const kv_engine_options_t options = {.budget = content->account->budget,
                                         .hash_seed = keyspace->db->hash_seed};
    kv_engine_t *engine;
    keyspace->conversion = kv_engine_convert_begin(
        content->engine, keyspace->attributes.engine->name, &options, &engine);
    if (keyspace->conversion != KV_OK) {
        return false;
    }
    content->engine = engine;
    content->target = keyspace->attributes.engine;
    content->converting = true;
    return true;
}

size_t kvi_keyspace_convert(kvi_keyspace_t *keyspace, size_t steps)
{
    kvi_content_t *const content = keyspace->content;
    if (content == NULL || content->holders > 1 || keyspace->conversion != KV_OK) {
        return 0;
    }
    /* Somebody thought better of it. */
    if (content->converting && content->target != keyspace->attributes.engine) {
        end_conversion(keyspace);
        keyspace->conversion = KV_OK;
    }
    if (!content->converting &&
        (content->row == keyspace->attributes.engine || !begin_conversion(keyspace))) {
        return 0;
    }
    bool done = false;
    const kv_status_t status = kv_engine_convert_step(content->engine, steps, &done);
    if (status != KV_OK || done) {
        end_conversion(keyspace);
        return 0;
    }
    return steps;
}
