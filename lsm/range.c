/* How many keys lie in a range. */
#include "lsm/order.h"

static int count_exactly(firn_db *db, const firn_order_options *options, const firn_range *range,
                         uint64_t *total) {
    struct order o;
    int rc = order_open(db, options, range, ORDER_GLANCE, &o);
    rc = rc == FIRN_OK ? order_walk(&o, NULL, total) : rc;
    order_close(&o);
    *total = rc == FIRN_OK ? *total : 0;
    return rc;
}

int firn_count(firn_db *db, const firn_snapshot *snapshot, const firn_range *range,
               uint64_t *total) {
    firn_order_options options;
    firn_order_options_init(&options);
    options.snapshot = snapshot;
    *total = 0;
    return count_exactly(db, &options, range, total);
}

int firn_count_estimate(firn_db *db, const firn_order_options *options, const firn_range *range,
                        firn_tally *total) {
    struct order o;
    memset(total, 0, sizeof *total);
    int rc = order_open(db, options, range, ORDER_GLANCE, &o);
    for (size_t i = 0; rc == FIRN_OK && i < order_part_count(&o);) {
        i = order_cluster(&o, i);
        firn_tally tally = order_cluster_tally(&o);
        if (!tally_is_exact(tally) && o.options.exact) {
            rc = order_walk_cluster(&o, 0, NULL, &tally.about);
            tally.at_least = tally.at_most = tally.about;
        }
        tally_add(total, tally);
    }
    order_close(&o);
    if (rc != FIRN_OK) {
        memset(total, 0, sizeof *total);
    }
    return rc;
}

int firn_rank(firn_db *db, const firn_order_options *options, firn_slice key, firn_tally *rank) {
    firn_range below = {.upper = key.data != NULL ? key : firn_slice_make("", 0)};
    return firn_count_estimate(db, options, &below, rank);
}

int firn_is_empty(firn_db *db, bool *empty) {
    *empty = false;
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.keys_only = true;
    firn_iter *it;
    int rc = firn_iter_create(db, &options, &it);
    if (rc != FIRN_OK) {
        return rc;
    }
    firn_iter_first(it);
    *empty = !firn_iter_valid(it);
    rc = firn_iter_status(it);
    firn_iter_destroy(it);
    return rc;
}
