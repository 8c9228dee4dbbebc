/* SPDX-License-Identifier: MIT */
/*
 * Choosing what goes. LRU and LFU are approximated as in Redis: each choice takes a few entries by
 * chance and remembers the best candidates of all choices so far; the best of them goes. The
 * earliest deadline is known exactly.
 *
 *   5 samples ──► 16 candidates, the worst first ──► the last one, if it is still what it was
 *
 * A candidate is a copy of a key and its score: seconds since its last access, or 255 less its
 * counter of uses.
 */
#include "db/evict.h"

#include "base/bytes.h"
#include "db/access.h"

#define SAMPLES 5
#define CANDIDATES 16
#define CANDIDATE_KEY_BYTES ((size_t)64) /* longer keys are not remembered */
#define GROUP_BYTES ((size_t)4096)       /* freed by the first try */
#define GROUPS_MAX 12                    /* tries, each frees twice as much */
#define EXPIRE_STEPS 64
#define BYTES_PER_STEP 16 /* freed, for a step of moving what is left */
#define SHRINK_SHARE 64   /* of the memory goes at a time */
#define SHRINK_STEPS ((size_t)256)
#define MOVES_PER_STEP 4
#define HOLES_SHARE 6
#define ROUNDS 4
#define MISSES_MAX 32

typedef struct candidate {
    uint32_t score;
    uint32_t key_bytes;
    char key[CANDIDATE_KEY_BYTES];
} candidate_t;

struct kvi_candidates {
    size_t count;
    candidate_t list[CANDIDATES]; /* in the order of their scores, the lowest first */
};

/* One entry that may go. */
typedef struct victim {
    kvi_keyspace_t *keyspace;
    kv_slice_t key;
    size_t bytes;
} victim_t;

static bool is_volatile(kvi_eviction_t policy)
{
    return policy >= KVI_EVICT_VOLATILE_LRU;
}

static bool counts_uses(kvi_eviction_t policy)
{
    return policy == KVI_EVICT_ALL_LFU || policy == KVI_EVICT_VOLATILE_LFU;
}

/* ---- scores and candidates ---- */

static uint32_t score_of(const kvi_keyspace_t *keyspace, const char *record)
{
    const int64_t now_ms = keyspace->db->time_ms;
    if (counts_uses(kvi_keyspace_eviction(keyspace))) {
        return KVI_LFU_MAX - kvi_lfu_counter(kvi_record_access(record), now_ms);
    }
    return kvi_idle_seconds(keyspace, record, now_ms);
}

static bool is_candidate(const kvi_candidates_t *pool, kv_slice_t key)
{
    for (size_t i = 0; i < pool->count; i++) {
        const candidate_t *const candidate = &pool->list[i];
        if (kvi_slice_equal(key, (kv_slice_t){candidate->key, candidate->key_bytes})) {
            return true;
        }
    }
    return false;
}

static void remember(kvi_candidates_t *pool, kv_slice_t key, uint32_t score)
{
    if (key.size > CANDIDATE_KEY_BYTES || is_candidate(pool, key)) {
        return;
    }
    if (pool->count == CANDIDATES) {
        if (score <= pool->list[0].score) {
            return;
        }
        pool->count--;
        kvi_bytes_move(&pool->list[0], &pool->list[1], pool->count * sizeof(candidate_t));
    }
    size_t place = pool->count++;
    for (; place > 0 && pool->list[place - 1].score > score; place--) {
        pool->list[place] = pool->list[place - 1];
    }
    pool->list[place].score = score;
    pool->list[place].key_bytes = (uint32_t)key.size;
    kvi_bytes_copy(pool->list[place].key, key.data, key.size);
}

/* ---- samples ---- */

/* Some entry, or some with a deadline. Borrowed. */
static kv_status_t sample(kvi_keyspace_t *keyspace, bool timed, kv_slice_t *key, kv_slice_t *record)
{
    const kvi_content_t *const content = keyspace->content;
    kv_engine_t *const engine = content->engine;
    const uint64_t number = kvi_random_next(&keyspace->db->random);
    if (!timed) {
        return engine->ops->sample(engine, number, key, record);
    }
    if (content->expiry.count == 0) {
        return KV_NOT_FOUND;
    }
    *key = kvi_expiry_item_key(kvi_expiry_at(&content->expiry, number % content->expiry.count));
    return engine->ops->get(engine, *key, record);
}

static kvi_candidates_t *candidates_of(kvi_keyspace_t *keyspace)
{
    if (keyspace->candidates == NULL) {
        keyspace->candidates = kv_store_calloc(1, sizeof(*keyspace->candidates));
    }
    return keyspace->candidates;
}

static kv_status_t take_best(kvi_keyspace_t *keyspace, victim_t *victim)
{
    kvi_candidates_t *const pool = keyspace->candidates;
    const bool timed = is_volatile(kvi_keyspace_eviction(keyspace));
    kv_engine_t *const engine = keyspace->content->engine;
    while (pool->count > 0) {
        const candidate_t *const best = &pool->list[--pool->count];
        const kv_slice_t key = {best->key, best->key_bytes};
        kv_slice_t record;
        /* One that is gone, was used since or has lost its deadline is no candidate any more. */
        if (engine->ops->get(engine, key, &record) == KV_OK &&
            score_of(keyspace, record.data) >= best->score &&
            (!timed || kvi_record_deadline(record.data) != KVI_NO_DEADLINE)) {
            *victim = (victim_t){keyspace, key, key.size + record.size};
            return KV_OK;
        }
    }
    return KV_NOT_FOUND;
}

static kv_status_t choose_by_score(kvi_keyspace_t *keyspace, victim_t *victim)
{
    kvi_candidates_t *const pool = candidates_of(keyspace);
    const bool timed = is_volatile(kvi_keyspace_eviction(keyspace));
    kv_slice_t key;
    kv_slice_t record;
    kv_status_t status = KV_NOT_FOUND;
    for (int i = 0; i < SAMPLES; i++) {
        status = sample(keyspace, timed, &key, &record);
        if (status == KV_OK && pool != NULL) {
            remember(pool, key, score_of(keyspace, record.data));
        }
    }
    if (pool != NULL && take_best(keyspace, victim) == KV_OK) {
        return KV_OK;
    }
    /* Only keys that cannot be remembered: the last one sampled will do. */
    *victim = (victim_t){keyspace, key, status == KV_OK ? key.size + record.size : 0};
    return status;
}

static kv_status_t choose(kvi_keyspace_t *keyspace, victim_t *victim)
{
    const kvi_content_t *const content = keyspace->content;
    const kvi_eviction_t policy = kvi_keyspace_eviction(keyspace);
    if (content == NULL || kvi_keyspace_count(keyspace) == 0) {
        return KV_NOT_FOUND;
    }
    kv_slice_t key;
    kv_slice_t record;
    kv_status_t status;
    switch (policy) {
    case KVI_EVICT_ALL_RANDOM:
    case KVI_EVICT_VOLATILE_RANDOM:
        status = sample(keyspace, is_volatile(policy), &key, &record);
        break;
    case KVI_EVICT_VOLATILE_TTL:
        if (content->expiry.count == 0) {
            return KV_NOT_FOUND;
        }
        key = kvi_expiry_item_key(kvi_expiry_at(&content->expiry, 0));
        status = content->engine->ops->get(content->engine, key, &record);
        break;
    case KVI_EVICT_ALL_LRU:
    case KVI_EVICT_ALL_LFU:
    case KVI_EVICT_VOLATILE_LRU:
    case KVI_EVICT_VOLATILE_LFU:
        return choose_by_score(keyspace, victim);
    default:
        return KV_NOT_FOUND;
    }
    if (status == KV_OK) {
        *victim = (victim_t){keyspace, key, key.size + record.size};
    }
    return status;
}

/* ---- making room ---- */

static void submit_op(kvi_db_t *db, const kvi_op_t *op, int64_t now_ms,
                      const kvi_submitter_t *submitter, kvi_op_result_t *result)
{
    if (submitter != NULL && submitter->submit != NULL) {
        submitter->submit(submitter->context, op, now_ms, result);
    } else {
        kvi_db_apply_op(db, op, now_ms, result);
    }
}

/* The engine's own bytes of the key go with the entry, so the operation carries a copy. */
static kv_status_t evict(const victim_t *victim, const kvi_submitter_t *submitter)
{
    kvi_keyspace_t *const keyspace = victim->keyspace;
    char space[CANDIDATE_KEY_BYTES];
    const bool is_short = victim->key.size <= sizeof(space);
    char *const copy = is_short ? space : kv_store_malloc(victim->key.size);
    if (copy == NULL) {
        return KV_NO_MEMORY;
    }
    kvi_bytes_copy(copy, victim->key.data, victim->key.size);
    const kvi_op_t op = {
        .kind = KVI_OP_DELETE, .keyspace = keyspace->number, .key = {copy, victim->key.size}};
    kvi_op_result_t result;
    submit_op(keyspace->db, &op, keyspace->db->time_ms, submitter, &result);
    keyspace->evicted += result.status == KV_OK;
    if (!is_short) {
        kv_store_free(copy);
    }
    /* Missing: it was late, and has gone all the same. */
    return result.status == KV_NOT_FOUND ? KV_OK : result.status;
}

static size_t expire_some(kvi_keyspace_t *keyspace, const kvi_submitter_t *submitter)
{
    const int64_t deadline_ms = kvi_keyspace_next_deadline(keyspace);
    if (deadline_ms == KVI_NO_DEADLINE || deadline_ms >= keyspace->db->time_ms) {
        return 0;
    }
    const kvi_op_t op = {
        .kind = KVI_OP_EXPIRE, .keyspace = keyspace->number, .count = EXPIRE_STEPS};
    kvi_op_result_t result;
    submit_op(keyspace->db, &op, keyspace->db->time_ms, submitter, &result);
    return result.status == KV_OK ? (size_t)result.count : 0;
}

/* Whether eviction may take from it. */
static bool is_evictable(const kvi_keyspace_t *keyspace)
{
    return keyspace != NULL && kvi_keyspace_eviction(keyspace) != KVI_EVICT_NONE &&
           kvi_keyspace_count(keyspace) > 0 &&
           (!is_volatile(kvi_keyspace_eviction(keyspace)) || kvi_keyspace_deadlines(keyspace) > 0);
}

/* By chance, in proportion to the memory each holds. NULL: none allows it. */
static kvi_keyspace_t *choose_keyspace(kvi_db_t *db)
{
    kvi_keyspace_t *chosen = NULL;
    uint64_t seen = 0;
    for (size_t i = 0; i < db->keyspace_count; i++) {
        kvi_keyspace_t *const keyspace = db->keyspaces[i];
        if (!is_evictable(keyspace)) {
            continue;
        }
        const uint64_t bytes = kv_budget_used(keyspace->account->budget) + 1;
        seen += bytes;
        chosen = kvi_random_next(&db->random) % seen < bytes ? keyspace : chosen;
    }
    return chosen;
}

static size_t expire_all(kvi_db_t *db, const kvi_submitter_t *submitter)
{
    size_t expired = 0;
    for (size_t i = 0; i < db->keyspace_count; i++) {
        expired += db->keyspaces[i] != NULL ? expire_some(db->keyspaces[i], submitter) : 0;
    }
    return expired;
}

/* What went left holes. Entries move together, the more the harder it is to make room, so that
 * whole blocks become free for other sizes; the last entry takes all of them with it. */
static void compact(kvi_keyspace_t *keyspace, size_t bytes)
{
    kvi_content_t *const content = keyspace->content;
    if (content == NULL || content->holders > 1 || content->converting) {
        return;
    }
    if (kvi_keyspace_count(keyspace) == 0) {
        kvi_content_release(content);
        keyspace->content = NULL;
    } else if (bytes >= 4 * GROUP_BYTES) {
        (void)kvi_keyspace_relocate(keyspace, bytes / BYTES_PER_STEP);
    }
}

kv_status_t kvi_db_make_room(kvi_db_t *db, kvi_keyspace_t *keyspace, kv_status_t refusal,
                             size_t bytes, const kvi_submitter_t *submitter)
{
    const bool alone = refusal == KV_QUOTA;
    if ((alone ? expire_some(keyspace, submitter) : expire_all(db, submitter)) > 0) {
        return KV_OK;
    }
    size_t freed = 0;
    kvi_keyspace_t *const from = alone ? keyspace : choose_keyspace(db);
    if (from == NULL) {
        return refusal;
    }
    for (int misses = 0; freed < bytes && misses < MISSES_MAX;) {
        victim_t victim;
        if (choose(from, &victim) != KV_OK || evict(&victim, submitter) != KV_OK) {
            misses++;
            continue;
        }
        freed += victim.bytes;
    }
    compact(from, bytes);
    return freed > 0 ? KV_OK : refusal;
}

void kvi_db_submit(kvi_db_t *db, const kvi_op_t *op, int64_t now_ms,
                   const kvi_submitter_t *submitter, kvi_op_result_t *result)
{
    submit_op(db, op, now_ms, submitter, result);
    size_t bytes = GROUP_BYTES + op->value.size;
    for (int i = 0; i < GROUPS_MAX; i++) {
        if (result->status != KV_NO_MEMORY && result->status != KV_QUOTA) {
            return;
        }
        const bool two = op->kind == KVI_OP_COPY || op->kind == KVI_OP_RENAME;
        kvi_keyspace_t *const keyspace = kvi_db_keyspace(db, two ? op->to_keyspace : op->keyspace);
        if (keyspace == NULL ||
            kvi_db_make_room(db, keyspace, result->status, bytes, submitter) != KV_OK) {
            return;
        }
        submit_op(db, op, now_ms, submitter, result);
        bytes *= 2;
    }
}

/* A keyspace from which entries have to go. NULL: no limit is passed, or nothing may go. */
static kvi_keyspace_t *find_above(kvi_db_t *db)
{
    for (size_t i = 0; i < db->keyspace_count; i++) {
        kvi_keyspace_t *const keyspace = db->keyspaces[i];
        const size_t limit = keyspace != NULL ? keyspace->attributes.quota_bytes : 0;
        if (limit != 0 && kv_budget_used(keyspace->account->budget) > limit &&
            is_evictable(keyspace)) {
            return keyspace;
        }
    }
    const size_t limit = kvi_db_memory_limit(db);
    return limit != 0 && kvi_db_memory_used(db) > limit ? choose_keyspace(db) : NULL;
}

/* Whether moving entries together may be enough: a good part of the memory holds nothing. */
static bool has_holes(const kvi_keyspace_t *keyspace)
{
    kv_engine_memory_t memory;
    return kvi_keyspace_memory(keyspace, &memory) == KV_OK &&
           memory.slack_bytes > memory.total_bytes / HOLES_SHARE;
}

size_t kvi_db_shrink(kvi_db_t *db, size_t steps, const kvi_submitter_t *submitter)
{
    size_t used = 0;
    while (used < steps) {
        kvi_keyspace_t *const from = find_above(db);
        if (from == NULL) {
            break;
        }
        if (from->moved < ROUNDS * kvi_keyspace_count(from) && has_holes(from)) {
            /* A few rounds of moving, then some entries more. */
            const size_t moved = kvi_keyspace_relocate(from, SHRINK_STEPS);
            from->moved += moved < SHRINK_STEPS ? UINT32_MAX : moved;
        } else {
            const size_t bytes = kv_budget_used(from->account->budget) / SHRINK_SHARE;
            if (kvi_db_make_room(db, from, KV_QUOTA, bytes, submitter) != KV_OK) {
                break;
            }
            from->moved = 0;
        }
        used += SHRINK_STEPS / MOVES_PER_STEP;
    }
    return used;
}
