/* docs/examples/accounts.c: an atomic batch, and a snapshot that does not see it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsm/firn.h>

static void stop(const char *what) {
    fprintf(stderr, "%s: %s\n", what, firn_errmsg());
    exit(1);
}

static long balance(firn_db *db, const firn_snapshot *snapshot, const char *account) {
    char text[24] = "0";
    size_t size;
    int rc = firn_get_into(db, snapshot, firn_slice_make(account, strlen(account)), text,
                           sizeof(text) - 1, &size);
    if (rc < 0) {
        stop("get");
    }
    if (rc == FIRN_OK) {
        text[size] = '\0';
    }
    return strtol(text, NULL, 10);
}

static void batch_set(firn_batch *batch, const char *account, long amount) {
    char text[24];
    int size = snprintf(text, sizeof(text), "%ld", amount);
    if (firn_batch_put(batch, firn_slice_make(account, strlen(account)),
                       firn_slice_make(text, (size_t)size)) != FIRN_OK) {
        stop("batch");
    }
}

int main(void) {
    firn_options options;
    firn_options_init(&options);
    options.memory_budget = 32 << 20;
    firn_db *db;
    firn_batch *batch;
    firn_snapshot *before;
    if (firn_open("accounts.firn", &options, &db) != FIRN_OK ||
        firn_batch_create(&batch) != FIRN_OK) {
        stop("open");
    }
    batch_set(batch, "alice", 100);
    batch_set(batch, "bob", 0);
    if (firn_write(db, batch, FIRN_SYNC) != FIRN_OK) {
        stop("write");
    }
    if (firn_snapshot_create(db, &before) != FIRN_OK) {
        stop("snapshot");
    }
    /* Both sides of the transfer, or neither, also across a power cut. */
    firn_batch_clear(batch);
    batch_set(batch, "alice", balance(db, NULL, "alice") - 30);
    batch_set(batch, "bob", balance(db, NULL, "bob") + 30);
    if (firn_write(db, batch, FIRN_SYNC) != FIRN_OK) {
        stop("write");
    }
    printf("before: alice %ld, bob %ld\n", balance(db, before, "alice"),
           balance(db, before, "bob"));
    printf("now: alice %ld, bob %ld\n", balance(db, NULL, "alice"), balance(db, NULL, "bob"));
    firn_snapshot_release(before);
    firn_batch_destroy(batch);
    return firn_close(db) == FIRN_OK ? 0 : 1;
}
