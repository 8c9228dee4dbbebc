/* SPDX-License-Identifier: MIT */
/*
 * A small shop in a directory: keyspaces, a transaction, a range of orders, a snapshot. Run it
 * twice: the second time it finds what the first one left.
 *
 *   cc embedded.c $(pkg-config --cflags --libs kvstore) -o embedded && ./embedded shop
 */
#include <concordkv/kv_db.h>

#include <stdio.h>
#include <string.h>

static kv_slice_t text(const char *string)
{
    return (kv_slice_t){string, strlen(string)};
}

static int fail(const char *what, kv_status_t status)
{
    fprintf(stderr, "%s: %s\n", what, kv_status_text(status));
    return 1;
}

/* Opens a keyspace and makes it first if it is missing. */
static kv_status_t open_keyspace(kv_db_t *db, const char *name, const char *engine,
                                 kv_keyspace_t **keyspace)
{
    const kv_attributes_t attributes = {.engine = engine};
    const kv_status_t status = kv_keyspace_create(db, name, &attributes, keyspace);
    return status == KV_EXISTS ? kv_keyspace_open(db, name, keyspace) : status;
}

/* Takes one from the stock and notes the order: both or neither. Tries again when somebody else
 * was faster. */
static kv_status_t sell(kv_db_t *db, kv_keyspace_t *stock, kv_keyspace_t *orders, const char *what)
{
    kv_value_t value = {0};
    kv_status_t status = KV_CONFLICT;
    while (status == KV_CONFLICT) {
        kv_transaction_t *transaction;
        status = kv_transaction_begin(db, &transaction);
        if (status != KV_OK) {
            break;
        }
        int left = 0;
        char number[32];
        if (kv_transaction_get_for_update(transaction, stock, text(what), &value) == KV_OK) {
            snprintf(number, sizeof(number), "%.*s", (int)value.size, value.data);
            sscanf(number, "%d", &left);
        }
        if (left == 0) {
            kv_transaction_rollback(transaction);
            status = KV_NOT_FOUND;
            break;
        }
        char order[64];
        snprintf(number, sizeof(number), "%d", left - 1);
        snprintf(order, sizeof(order), "%s/%06d", what, left);
        status = kv_transaction_put(transaction, stock, text(what), text(number), 0);
        if (status == KV_OK) {
            status = kv_transaction_put(transaction, orders, text(order), text("sold"), 0);
        }
        if (status != KV_OK) {
            kv_transaction_rollback(transaction);
            break;
        }
        status = kv_transaction_commit(transaction);
    }
    kv_value_free(&value);
    return status;
}

/* The orders of one thing, in order. */
static void print_orders(kv_keyspace_t *orders, const char *prefix)
{
    const kv_iterator_options_t options = {.prefix = text(prefix)};
    kv_iterator_t *iterator;
    if (kv_iterator_open(orders, &options, &iterator) != KV_OK) {
        return;
    }
    for (; kv_iterator_valid(iterator); (void)kv_iterator_next(iterator)) {
        const kv_slice_t key = kv_iterator_key(iterator);
        const kv_slice_t value = kv_iterator_value(iterator);
        printf("%.*s %.*s\n", (int)key.size, key.data, (int)value.size, value.data);
    }
    kv_iterator_close(iterator);
}

static int run(kv_db_t *db)
{
    kv_keyspace_t *stock;
    kv_keyspace_t *orders;
    kv_status_t status = open_keyspace(db, "stock", "hash", &stock);
    if (status != KV_OK) {
        return fail("stock", status);
    }
    status = open_keyspace(db, "orders", "bptree", &orders);
    if (status == KV_OK) {
        int64_t count;
        status = kv_keyspace_add(stock, text("pear"), 3, &count);
    }
    for (int i = 0; i < 2 && status == KV_OK; i++) {
        status = sell(db, stock, orders, "pear");
    }
    if (status == KV_OK) {
        print_orders(orders, "pear/");
    }
    kv_keyspace_close(orders);
    kv_keyspace_close(stock);
    return status == KV_OK ? 0 : fail("shop", status);
}

int main(int argc, char **argv)
{
    char error[512];
    const kv_db_options_t options = {.error = error, .error_bytes = sizeof(error)};
    kv_db_t *db;
    /* Without a directory: in memory. */
    const kv_status_t opened = kv_db_open(argc > 1 ? argv[1] : NULL, &options, &db);
    if (opened != KV_OK) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    const int result = run(db);
    const kv_status_t closed = kv_db_close(db);
    return closed == KV_OK ? result : fail("close", closed);
}
