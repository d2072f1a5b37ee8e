/* Repairs: an intact database is left alone; of a damaged one, all that can be read is kept, what
 * is lost is told, and nothing is there that was never written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/file_bytes.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define KEYS 700
#define VERSIONS 4000 /* value n of a key was written by write n */

struct fixture {
    firn_env *env;
    firn_options options;
    uint16_t written[VERSIONS]; /* which key write n was of */
    unsigned writes;
    unsigned now[KEYS];    /* the last write of each key; 0: absent */
    unsigned told, losses; /* sentences; those that tell a loss */
    char first[1024];      /* sentence */
};

/* ---- A database with all kinds of files ---- */

static firn_slice key_of(unsigned key, char room[32]) {
    return firn_slice_make(room, (size_t)sprintf(room, "key %05u", key * 3));
}

/* Long for some, so that pages differ and some values lie apart. */
static firn_slice value_of(unsigned write, char room[1024]) {
    size_t size = (size_t)sprintf(room, "%u:", write);
    size_t more = write % 50 == 0 ? 900 : write % 7 * 5;
    memset(room + size, 'a' + (int)(write % 26), more);
    return firn_slice_make(room, size + more);
}

static firn_db *open_db(struct fixture *f) {
    firn_db *db;
    int rc = firn_open("db", &f->options, &db);
    if (rc != FIRN_OK) {
        print_error("%s\n", firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
    return db;
}

static void write_some(struct fixture *f, firn_db *db, struct rand *r, unsigned count) {
    char k[32], v[1024];
    for (unsigned i = 0; i < count && f->writes + 1 < VERSIONS; i++) {
        unsigned key = (unsigned)rand_below(r, KEYS), write = ++f->writes;
        bool gone = rand_below(r, 10) == 0;
        f->written[write] = (uint16_t)key;
        f->now[key] = gone ? 0 : write;
        int rc = gone ? firn_delete(db, key_of(key, k), 0)
                      : firn_put(db, key_of(key, k), value_of(write, v), 0);
        assert_int_equal(rc, FIRN_OK);
    }
}

static void set_up(struct fixture *f, uint64_t seed) {
    struct rand r;
    rand_init(&r, seed);
    memset(f, 0, sizeof *f);
    assert_int_equal(env_sim_create(seed, &f->env), FIRN_OK);
    firn_options_init(&f->options);
    f->options.env = f->env;
    f->options.memtable_entries = 200;
    f->options.table_entries = 150;
    f->options.size_ratio = 2;
    f->options.level0_runs = 2;
    firn_db *db = open_db(f);
    write_some(f, db, &r, 1500);
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
    write_some(f, db, &r, 700);
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    db = open_db(f); /* an edit, so that strays go; a second log */
    write_some(f, db, &r, 90);
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
}

static void tear_down(struct fixture *f) {
    assert_null(sim_misuse(f->env));
    assert_int_equal(sim_open_files(f->env), 0);
    env_destroy(f->env);
}

/* ---- What is there ---- */

/* Keys that do not have their last value. Fails where a value was never written for its key. */
static unsigned count_differences(const struct fixture *f, firn_db *db) {
    unsigned differences = 0;
    char k[32], v[1024];
    for (unsigned key = 0; key < KEYS; key++) {
        firn_value value;
        int rc = firn_get(db, NULL, key_of(key, k), &value);
        assert_true(rc == FIRN_OK || rc == FIRN_NOT_FOUND);
        unsigned write = 0;
        if (rc == FIRN_OK) {
            assert_int_equal(sscanf(value.data, "%u:", &write), 1);
            assert_in_range(write, 1, f->writes);
            assert_int_equal(f->written[write], key);
            firn_slice expected = value_of(write, v);
            assert_int_equal(value.size, expected.size);
            assert_memory_equal(value.data, expected.data, expected.size);
        }
        firn_value_release(&value);
        differences += write != f->now[key];
    }
    return differences;
}

static unsigned differences_of(struct fixture *f, firn_env *env) {
    firn_env *own = f->options.env;
    f->options.env = env;
    firn_db *db = open_db(f);
    assert_int_equal(firn_verify(db, NULL, NULL), FIRN_OK);
    unsigned differences = count_differences(f, db);
    assert_int_equal(firn_put(db, FIRN_STR("zz"), FIRN_STR("new"), 0), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    f->options.env = own;
    return differences;
}

static void note(void *context, const char *message) {
    struct fixture *f = context;
    if (f->told++ == 0) {
        (void)snprintf(f->first, sizeof f->first, "%s", message);
    }
    f->losses += strstr(message, " lost") != NULL;
}

static int repair(struct fixture *f, firn_env *env) {
    firn_options options = f->options;
    options.env = env;
    f->told = f->losses = 0;
    return firn_repair("db", &options, note, f);
}

static void assert_repaired(struct fixture *f) {
    int rc = repair(f, f->env);
    if (rc != FIRN_OK) {
        print_error("%s\n", firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
}

struct file {
    char path[64];
    struct file *next;
};

static int add_file(void *context, const char *name, uint64_t bytes) {
    struct file **list = context, *f = malloc(sizeof *f);
    if (bytes > 0 && strlen(name) < sizeof f->path - 4 && strcmp(name, "LOCK") != 0) {
        (void)sprintf(f->path, "db/%s", name);
        f->next = *list;
        *list = f;
    } else {
        free(f);
    }
    return FIRN_OK;
}

static struct file *files_of(const struct fixture *f) {
    struct file *list = NULL;
    assert_int_equal(env_list(f->env, "db", add_file, &list), FIRN_OK);
    assert_non_null(list);
    return list;
}

static void free_files(struct file *list) {
    while (list != NULL) {
        struct file *next = list->next;
        free(list);
        list = next;
    }
}

static const char *find_file(const struct file *list, const char *part) {
    for (; list != NULL; list = list->next) {
        if (strstr(list->path, part) != NULL) {
            return list->path;
        }
    }
    fail_msg("there is no %s", part);
    return NULL;
}

/* ---- Tests ---- */

static void an_intact_database_stays_as_it_is(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, test_seed());
    uint64_t before = sim_disk_hash(f.env);
    assert_repaired(&f);
    assert_int_equal(f.told, 0);
    assert_true(sim_disk_hash(f.env) == before);
    assert_int_equal(differences_of(&f, f.env), 0);
    tear_down(&f);
}

static void what_is_no_database_is_refused(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, 1);
    assert_int_equal(firn_repair(NULL, &f.options, NULL, NULL), FIRN_INVALID);
    assert_int_equal(firn_repair("nowhere", &f.options, NULL, NULL), FIRN_MISSING);
    assert_int_equal(env_make_dir(f.env, "empty"), FIRN_OK);
    assert_int_equal(firn_repair("empty", &f.options, NULL, NULL), FIRN_MISSING);
    firn_db *db = open_db(&f);
    assert_int_equal(repair(&f, f.env), FIRN_BUSY);
    assert_int_equal(firn_close(db), FIRN_OK);
    tear_down(&f);
}

/* Names say where tables lie; without them the sequences do. */
static void without_current_or_manifest_nothing_is_lost(void **state) {
    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        for (uint64_t seed = 1; seed < 6; seed++) {
            struct fixture f;
            set_up(&f, seed);
            struct file *files = files_of(&f);
            if (what != 1) {
                assert_int_equal(env_unlink(f.env, "db/CURRENT"), FIRN_OK);
            }
            if (what != 0) {
                assert_int_equal(env_unlink(f.env, find_file(files, "MANIFEST")), FIRN_OK);
            }
            assert_repaired(&f);
            assert_true(f.told > 0);
            assert_int_equal(differences_of(&f, f.env), 0);
            assert_repaired(&f);
            assert_int_equal(f.told, 0);
            free_files(files);
            tear_down(&f);
        }
    }
}

/* Damages a file at `at`: flips, zeros, cuts off, removes. */
static void damage(struct fixture *f, const char *path, struct rand *r, unsigned how) {
    size_t size;
    uint8_t *bytes = file_bytes_get(f->env, path, &size);
    size_t at = (size_t)rand_below(r, size);
    size_t many = size - at < 600 ? size - at : 600;
    if (how == 0) {
        bytes[at] ^= (uint8_t)(1u << rand_below(r, 8));
    } else if (how == 1) {
        memset(bytes + at, 0, many);
    } else if (how == 2) {
        for (size_t i = 0; i < many; i++) {
            bytes[at + i] = (uint8_t)rand_next(r);
        }
    }
    if (how == 4) {
        assert_int_equal(env_unlink(f->env, path), FIRN_OK);
    } else {
        file_bytes_set(f->env, path, bytes, how == 3 ? at : size);
    }
    free(bytes);
}

static void any_damage_is_mended_and_told(void **state) {
    (void)state;
    struct rand r;
    uint64_t seed = test_seed(), rounds = test_scaled(60, 6);
    unsigned kept = 0, all = 0;
    rand_init(&r, seed);
    for (uint64_t round = 0; round < rounds; round++) {
        struct fixture f;
        set_up(&f, seed + round);
        struct file *files = files_of(&f);
        unsigned count = 0, pick;
        for (struct file *x = files; x != NULL; x = x->next) {
            count++;
        }
        pick = (unsigned)rand_below(&r, count);
        struct file *x = files;
        for (unsigned i = 0; i < pick; i++) {
            x = x->next;
        }
        unsigned how = (unsigned)(round % 5);
        damage(&f, x->path, &r, how);
        assert_repaired(&f);
        unsigned differences = differences_of(&f, f.env);
        /* The end of a log or manifest, with the mark that closed it, or a whole log, leaves no
         * trace. */
        bool log = strstr(x->path, ".log") != NULL, manifest = strstr(x->path, "MANIFEST") != NULL;
        bool traceless = (how >= 3 && log) || (f.told == 0 && (log || manifest));
        if (differences > 0 && f.losses == 0 && !traceless) {
            print_error("%s, damage %u: %u keys differ, told: %s\n", x->path, how, differences,
                        f.first);
            fail();
        }
        kept += KEYS - differences;
        all += KEYS;
        assert_repaired(&f);
        assert_int_equal(f.told, 0);
        free_files(files);
        tear_down(&f);
    }
    print_message("%u of %u keys had their last values\n", kept, all);
    assert_true(kept > all / 2);
}

static bool holds_file(firn_env *env, const char *path, const uint8_t *bytes, size_t size) {
    const uint8_t *found;
    uint64_t found_size;
    return sim_file_get(env, path, &found, &found_size) == FIRN_OK && found_size == size &&
           memcmp(found, bytes, size) == 0;
}

/* Wherever the power is cut from change `first` on, and whatever of the changes of names is durable
 * then, the damaged file has one of its names. */
static void assert_kept_by_any_cut(firn_env *env, uint64_t first, const char *path,
                                   const char *kept_as, const uint8_t *bytes, size_t size) {
    unsigned moved = 0;
    for (uint64_t change = first; change <= sim_change_count(env) + 1; change++) {
        unsigned pending, edges;
        sim_cut_choices(env, change, &pending, &edges);
        assert_true(pending <= 12);
        for (uint64_t mask = 0; mask < UINT64_C(1) << pending; mask++) {
            struct sim_cut cut = {.change = change, .dir_mask = mask, .tail = SIM_TAIL_SYNCED};
            firn_env *disk;
            assert_int_equal(sim_disk_at(env, &cut, &disk), FIRN_OK);
            bool kept = holds_file(disk, kept_as, bytes, size);
            assert_true(kept || holds_file(disk, path, bytes, size));
            moved += kept;
            env_destroy(disk);
        }
    }
    assert_true(moved > 0);
}

/* One page of many: only its keys are lost, and the sentence tells how many at most. */
static void of_a_table_only_the_damaged_pages_are_lost(void **state) {
    (void)state;
    struct fixture f;
    memset(&f, 0, sizeof f);
    assert_int_equal(env_sim_create(1, &f.env), FIRN_OK);
    firn_options_init(&f.options);
    f.options.env = f.env;
    f.options.value_compression = false;
    firn_db *db = open_db(&f);
    char k[32], v[1024];
    for (unsigned key = 0; key < KEYS; key++) {
        unsigned write = ++f.writes;
        f.written[write] = (uint16_t)key;
        f.now[key] = write;
        assert_int_equal(firn_put(db, key_of(key, k), value_of(write, v), 0), FIRN_OK);
    }
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    struct file *files = files_of(&f);
    const char *table = find_file(files, ".sst");
    size_t size;
    uint8_t *bytes = file_bytes_get(f.env, table, &size);
    assert_true(size > 6 * 4096);                    /* several pages */
    uint8_t *found = memmem(bytes, size, "401:", 4); /* in the second page */
    assert_non_null(found);
    found[1] ^= 1;
    file_bytes_set(f.env, table, bytes, size);
    assert_int_equal(sim_set_recording(f.env, true), FIRN_OK); /* from these bytes on */
    uint64_t first = sim_change_count(f.env) + 1;
    assert_repaired(&f);
    assert_true(f.losses > 0);
    unsigned told = 0;
    char from[64] = "", to[64] = "";
    assert_int_equal(sscanf(strchr(f.first, ':'), ": %u keys from \"%63[^\"]\" to \"%63[^\"]\"",
                            &told, from, to),
                     3);
    unsigned differences = differences_of(&f, f.env);
    assert_true(differences >= 1 && differences <= told && told < KEYS / 3);
    unsigned between = 0; /* the borders that are told have no more keys between them */
    for (unsigned key = 0; key < KEYS; key++) {
        firn_slice text = key_of(key, k);
        between += slice_compare(text, firn_slice_make(from, strlen(from))) >= 0 &&
                   slice_compare(text, firn_slice_make(to, strlen(to))) < 0;
    }
    assert_int_equal(between, told);
    char lost[80]; /* the damaged table is still there */
    (void)sprintf(lost, "db/lost/%s", table + 3);
    assert_true(holds_file(f.env, lost, bytes, size));
    assert_kept_by_any_cut(f.env, first, table, lost, bytes, size);
    free(bytes);
    free_files(files);
    tear_down(&f);
}

/* Nothing but a log, of twenty keys. */
static void set_up_log(struct fixture *f) {
    memset(f, 0, sizeof *f);
    assert_int_equal(env_sim_create(1, &f->env), FIRN_OK);
    firn_options_init(&f->options);
    f->options.env = f->env;
    firn_db *db = open_db(f);
    char k[32], v[1024];
    for (unsigned key = 0; key < 20; key++) {
        unsigned write = ++f->writes;
        f->written[write] = (uint16_t)key;
        f->now[key] = write;
        assert_int_equal(firn_put(db, key_of(key, k), value_of(write, v), FIRN_SYNC), FIRN_OK);
    }
    assert_int_equal(firn_close(db), FIRN_OK);
}

/* Flips a bit where the log has `text`, or in its header where that is empty. The database opens no
 * more. */
static void damage_log(struct fixture *f, const char *log, firn_slice text) {
    size_t size;
    uint8_t *bytes = file_bytes_get(f->env, log, &size);
    uint8_t *at = text.size == 0 ? bytes + 5 : memmem(bytes, size, text.data, text.size);
    assert_non_null(at);
    *at ^= 1;
    file_bytes_set(f->env, log, bytes, size);
    free(bytes);
    firn_db *refused;
    assert_int_equal(firn_open("db", &f->options, &refused), FIRN_CORRUPT);
}

/* What a log's header listed is not known then; what the log holds is. */
static void a_log_without_its_header_is_read_all_the_same(void **state) {
    (void)state;
    struct fixture f;
    set_up_log(&f);
    struct file *files = files_of(&f);
    damage_log(&f, find_file(files, ".log"), firn_slice_make("", 0));
    assert_repaired(&f);
    assert_true(f.told > 0);
    assert_int_equal(differences_of(&f, f.env), 0);
    free_files(files);
    tear_down(&f);
}

/* Records behind a damaged one are found again. */
static void of_a_log_only_the_damaged_record_is_lost(void **state) {
    (void)state;
    for (unsigned damaged = 1; damaged <= 20; damaged++) {
        struct fixture f;
        char v[1024];
        set_up_log(&f);
        struct file *files = files_of(&f);
        damage_log(&f, find_file(files, ".log"), value_of(damaged, v));
        assert_repaired(&f);
        assert_int_equal(f.losses, 1);
        assert_int_equal(differences_of(&f, f.env), 1);
        free_files(files);
        tear_down(&f);
    }
}

/* ---- A repair that fails, or is cut short ---- */

static void break_it(struct fixture *f, uint64_t seed) {
    set_up(f, seed);
    struct rand r;
    rand_init(&r, seed);
    struct file *files = files_of(f);
    damage(f, find_file(files, ".sst"), &r, 2);
    assert_int_equal(
        env_unlink(f->env, seed % 2 == 0 ? "db/CURRENT" : find_file(files, "MANIFEST")), FIRN_OK);
    free_files(files);
}

static void a_failed_repair_can_be_tried_again(void **state) {
    (void)state;
    unsigned failed = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct fixture f;
        break_it(&f, seed);
        assert_repaired(&f);
        unsigned expected = differences_of(&f, f.env);
        tear_down(&f);
        uint64_t step = 1 + test_scaled(20, 1) / 2;
        step = 22 - (step > 21 ? 21 : step); /* few of the calls in a short run */
        for (uint64_t n = 1;; n += step) {
            break_it(&f, seed);
            sim_set_fault(f.env, sim_call_count(f.env) + n,
                          n % 2 == 0 ? SIM_FAULT_EIO : SIM_FAULT_DONE_ERROR, false);
            int rc = repair(&f, f.env);
            bool hit = sim_fault_hit(f.env);
            sim_set_fault(f.env, 0, SIM_FAULT_EIO, false);
            failed += rc != FIRN_OK;
            assert_repaired(&f);
            assert_true(differences_of(&f, f.env) <= expected);
            tear_down(&f);
            if (!hit) {
                break;
            }
        }
    }
    assert_true(failed > 5);
}

static void a_power_cut_in_a_repair_loses_nothing_more(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct fixture f;
        struct rand r;
        rand_init(&r, test_seed());
        break_it(&f, seed);
        assert_int_equal(sim_set_recording(f.env, true), FIRN_OK);
        assert_repaired(&f);
        uint64_t end = sim_change_count(f.env) + 1;
        uint64_t step = 1 + 19 / test_scaled(20, 1);
        firn_env *whole;
        struct sim_cut after = {.change = end, .dir_mask = ~UINT64_C(0), .tail = SIM_TAIL_ALL};
        assert_int_equal(sim_disk_at(f.env, &after, &whole), FIRN_OK);
        unsigned expected = differences_of(&f, whole);
        env_destroy(whole);
        for (uint64_t change = 1; change <= end; change += step) {
            struct sim_cut cut = {.change = change,
                                  .dir_mask = rand_next(&r),
                                  .tail = (enum sim_tail)rand_below(&r, SIM_TAIL_MIXED + 1),
                                  .torn = 1,
                                  .seed = rand_next(&r)};
            unsigned pending, edges;
            sim_cut_choices(f.env, change, &pending, &edges);
            cut.dir_mask &= pending >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << pending) - 1;
            firn_env *disk;
            assert_int_equal(sim_disk_at(f.env, &cut, &disk), FIRN_OK);
            int rc = repair(&f, disk);
            if (rc != FIRN_OK) {
                print_error("cut before change %llu (%s): %s\n", (unsigned long long)change,
                            sim_change_text(f.env, change), firn_errmsg());
            }
            assert_int_equal(rc, FIRN_OK);
            assert_true(differences_of(&f, disk) <= expected);
            env_destroy(disk);
        }
        tear_down(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_intact_database_stays_as_it_is),
        cmocka_unit_test(what_is_no_database_is_refused),
        cmocka_unit_test(without_current_or_manifest_nothing_is_lost),
        cmocka_unit_test(any_damage_is_mended_and_told),
        cmocka_unit_test(of_a_table_only_the_damaged_pages_are_lost),
        cmocka_unit_test(a_log_without_its_header_is_read_all_the_same),
        cmocka_unit_test(of_a_log_only_the_damaged_record_is_lost),
        cmocka_unit_test(a_failed_repair_can_be_tried_again),
        cmocka_unit_test(a_power_cut_in_a_repair_loses_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
