/* docs/examples/fruit.c: open, write, read, walk, close. */
#include <stdio.h>

#include <lsm/firn.h>

int main(void) {
    firn_db *db;
    if (firn_open("fruit.firn", NULL, &db) != FIRN_OK) {
        fprintf(stderr, "%s\n", firn_errmsg());
        return 1;
    }
    firn_put(db, FIRN_STR("apple"), FIRN_STR("red"), 0);
    firn_put(db, FIRN_STR("plum"), FIRN_STR("blue"), FIRN_SYNC); /* both are durable now */

    firn_value value;
    if (firn_get(db, NULL, FIRN_STR("apple"), &value) == FIRN_OK) {
        printf("an apple is %.*s\n", (int)value.size, (const char *)value.data);
        firn_value_release(&value);
    }
    firn_iter *it;
    if (firn_iter_create(db, NULL, &it) == FIRN_OK) {
        for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
            firn_slice key = firn_iter_key(it);
            printf("%.*s\n", (int)key.size, (const char *)key.data);
        }
        firn_iter_destroy(it);
    }
    return firn_close(db) == FIRN_OK ? 0 : 1;
}
