/* What firn_verify() finds beside an open database: damage of each kind of file is told with the
 * file's name, however little of it is read otherwise; what a power cut leaves is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "lsm/files.h"

#define FOLDER "db"

struct told {
    unsigned count;
    char first[300];
};

static void note(void *context, const char *message) {
    struct told *t = context;
    if (t->count++ == 0) {
        (void)snprintf(t->first, sizeof t->first, "%s", message);
    }
}

static int verify(firn_db *db, struct told *t) {
    memset(t, 0, sizeof *t);
    return firn_verify(db, note, t);
}

static void put_some(firn_db *db, unsigned from, unsigned end) {
    for (unsigned i = from; i < end; i++) {
        char key[32];
        firn_slice k = firn_slice_make(key, (size_t)snprintf(key, sizeof key, "key %05u", i));
        assert_int_equal(firn_put(db, k, k, i % 10 == 9 ? FIRN_SYNC : 0), FIRN_OK);
    }
}

static firn_db *open_in(firn_env *env) {
    firn_options options;
    firn_db *db;
    firn_options_init(&options);
    options.env = env;
    options.compaction_policy = FIRN_POLICY_NONE;
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    return db;
}

struct names {
    char names[16][32];
    unsigned count;
};

static int add_name(void *context, const char *name, uint64_t bytes) {
    struct names *n = context;
    uint64_t number;
    if (bytes > 0 && file_parse(name, &number) != FILE_LOCK) {
        assert_true(n->count < 16 && strlen(name) < 32);
        (void)snprintf(n->names[n->count++], 32, "%s", name);
    }
    return 0;
}

/* A table, a log with synced writes, a manifest of several edits, CURRENT. */
static void every_damaged_file_is_named(void **state) {
    (void)state;
    firn_env *env;
    struct told told;
    struct names n = {.count = 0};
    unsigned kinds = 0;
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    firn_db *db = open_in(env);
    put_some(db, 0, 300);
    assert_int_equal(firn_flush(db), FIRN_OK);
    put_some(db, 300, 600);
    assert_int_equal(firn_flush(db), FIRN_OK);
    put_some(db, 600, 700);
    assert_int_equal(verify(db, &told), FIRN_OK);
    assert_int_equal(told.count, 0);
    assert_int_equal(env_list(env, FOLDER, add_name, &n), FIRN_OK);
    for (unsigned i = 0; i < n.count; i++) {
        char path[64];
        const uint8_t *data;
        uint64_t size, number;
        (void)snprintf(path, sizeof path, "%s/%s", FOLDER, n.names[i]);
        assert_int_equal(sim_file_get(env, path, &data, &size), FIRN_OK);
        uint8_t *bytes = malloc(size);
        assert_non_null(bytes);
        for (unsigned part = 1; part < 6; part++) {
            memcpy(bytes, data, size);
            bytes[size * part / 8] ^= 4;
            assert_int_equal(sim_file_set(env, path, bytes, size), FIRN_OK);
            assert_int_equal(verify(db, &told), FIRN_CORRUPT);
            assert_non_null(strstr(firn_errmsg(), "damages found"));
            assert_true(told.count > 0);
            if (strstr(told.first, n.names[i]) == NULL) {
                print_error("%s at %u/8: %s\n", n.names[i], part, told.first);
            }
            assert_non_null(strstr(told.first, n.names[i]));
            bytes[size * part / 8] ^= 4;
            assert_int_equal(sim_file_set(env, path, bytes, size), FIRN_OK);
            assert_int_equal(sim_file_get(env, path, &data, &size), FIRN_OK);
        }
        free(bytes);
        kinds |= 1u << file_parse(n.names[i], &number);
        assert_int_equal(verify(db, &told), FIRN_OK);
        assert_int_equal(told.count, 0);
    }
    assert_int_equal(kinds,
                     1u << FILE_CURRENT | 1u << FILE_MANIFEST | 1u << FILE_LOG | 1u << FILE_TABLE);
    assert_int_equal(firn_close(db), FIRN_OK);
    env_destroy(env);
}

/* The end of a log that nobody synced may be anything. */
static void what_a_power_cut_leaves_is_no_damage(void **state) {
    (void)state;
    for (enum sim_tail tail = SIM_TAIL_SYNCED; tail <= SIM_TAIL_STALE; tail++) {
        firn_env *env, *image;
        struct told told;
        assert_int_equal(env_sim_create(1, &env), FIRN_OK);
        firn_db *db = open_in(env);
        put_some(db, 0, 118);
        struct sim_cut cut = {.change = sim_change_count(env) + 1,
                              .dir_mask = UINT64_MAX,
                              .tail = tail,
                              .torn = 1,
                              .seed = 7};
        assert_int_equal(sim_disk_at(env, &cut, &image), FIRN_OK);
        firn_db *after = open_in(image);
        assert_int_equal(verify(after, &told), FIRN_OK);
        assert_int_equal(told.count, 0);
        assert_int_equal(firn_close(after), FIRN_OK);
        env_destroy(image);
        assert_int_equal(firn_close(db), FIRN_OK);
        env_destroy(env);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_damaged_file_is_named),
        cmocka_unit_test(what_a_power_cut_leaves_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
