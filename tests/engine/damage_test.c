/* Damage to a whole database: every bit, cut files, files of another moment, pages that lie in the
 * wrong place. Whatever is on the disk, a read gives what was written or an error; nothing is wrong
 * and nothing is missing.
 *
 * The reference database has two tables of many pages, a manifest of several edits and a log. A
 * damaged copy of it is a simulated machine of its own, which shares all files but the one that is
 * damaged. The two things that no engine can tell from a power cut are allowed, and only these: the
 * newest log may have lost its end, and the last record of a log whose successor proves nothing may
 * be damaged.
 *
 * Sampled, unless FIRN_TEST_SCALE is 1 or more: then every bit and every length. An argument
 * chooses among the tests by their names; a star in it stands for anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/history.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "db"
#define FILES_MAX 16
#define PAIRS_MAX 1200
#define LOG_KEYS 40
#define PAGE 4096u
#define COMPLAINTS_MAX 10

struct pair {
    char key[32];
    uint8_t value[64];
    size_t value_size;
};

struct file {
    char path[64];
    const char *name; /* in path */
    uint8_t *bytes;
    uint64_t size;
};

struct reference {
    firn_env *env;
    uint64_t end; /* where the cut that leaves it falls */
    struct pair *pairs;
    size_t pair_count;
    size_t log_keys_least; /* of the log's keys, so many were synced, and proven so */
    struct file files[FILES_MAX];
    size_t file_count;
    struct rand rand;
    uint64_t trials, same, told, shorter, wrong;
};

/* ---- The database. ---- */

static void options_for(firn_env *env, firn_options *options) {
    firn_options_init(options);
    options->env = env;
    options->memory_budget = UINT64_C(16) << 20;
    options->compaction_policy = FIRN_POLICY_NONE;
}

static firn_db *open_for_writing(firn_env *env) {
    firn_options options;
    firn_db *db;
    options_for(env, &options);
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    return db;
}

static void write_pair(struct reference *r, firn_db *db, const char *key, size_t size,
                       unsigned flags) {
    uint8_t value[64];
    for (size_t i = 0; i < size; i++) {
        value[i] = (uint8_t)rand_next(&r->rand);
    }
    firn_slice k = firn_slice_make(key, strlen(key));
    assert_int_equal(firn_put(db, k, firn_slice_make(value, size), flags), FIRN_OK);
}

/* Two overlapping tables with tombstones among the second's entries. */
static void write_tables(struct reference *r, firn_db *db) {
    char key[32];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 500; i++) {
            (void)sprintf(key, "key %05u", i * 7 % 500 * 2 + round);
            write_pair(r, db, key, 20 + rand_below(&r->rand, 40), 0);
        }
        for (unsigned i = 0; round == 1 && i < 50; i++) {
            firn_slice k = firn_slice_make(key, (size_t)sprintf(key, "key %05u", i * 20));
            assert_int_equal(firn_delete(db, k, 0), FIRN_OK);
        }
        assert_int_equal(firn_flush(db), FIRN_OK);
    }
}

static int load_file(void *context, const char *name, uint64_t bytes) {
    struct reference *r = context;
    if (strcmp(name, "LOCK") == 0 || bytes == 0) {
        return 0;
    }
    assert_true(r->file_count < FILES_MAX);
    struct file *f = &r->files[r->file_count++];
    (void)snprintf(f->path, sizeof f->path, FOLDER "/%s", name);
    f->name = f->path + strlen(FOLDER) + 1;
    return 0;
}

/* A machine that holds the intact database. */
static firn_env *copy_of(const struct reference *r) {
    struct sim_cut cut = {.change = r->end, .dir_mask = UINT64_MAX, .tail = SIM_TAIL_ALL};
    firn_env *image;
    assert_int_equal(sim_disk_at(r->env, &cut, &image), FIRN_OK);
    history_watch(image, "a damaged copy");
    return image;
}

static void load_files(struct reference *r) {
    firn_env *image = copy_of(r);
    assert_int_equal(env_list(image, FOLDER, load_file, r), FIRN_OK);
    for (size_t i = 0; i < r->file_count; i++) {
        const uint8_t *bytes;
        struct file *f = &r->files[i];
        assert_int_equal(sim_file_get(image, f->path, &bytes, &f->size), FIRN_OK);
        f->bytes = malloc(2 * f->size + PAGE); /* room to grow */
        assert_non_null(f->bytes);
        memcpy(f->bytes, bytes, f->size);
    }
    env_destroy(image);
}

static void load_pairs(struct reference *r) {
    firn_env *image = copy_of(r);
    firn_db *db = open_for_writing(image);
    firn_iter *it;
    r->pairs = calloc(PAIRS_MAX, sizeof *r->pairs);
    assert_non_null(r->pairs);
    assert_int_equal(firn_iter_create(db, NULL, &it), FIRN_OK);
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        struct pair *p = &r->pairs[r->pair_count++];
        firn_slice key = firn_iter_key(it), value = firn_iter_value(it);
        assert_true(r->pair_count <= PAIRS_MAX && key.size < sizeof p->key);
        memcpy(p->key, key.data, key.size);
        memcpy(p->value, value.data, value.size);
        p->value_size = value.size;
    }
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    firn_iter_destroy(it);
    assert_int_equal(r->pair_count, 1000 - 50 + LOG_KEYS);
    assert_int_equal(firn_close(db), FIRN_OK);
    env_destroy(image);
}

/* closed: in order; else by a power cut after a write that nobody synced. */
static void set_up(struct reference *r, bool closed) {
    memset(r, 0, sizeof *r);
    rand_init(&r->rand, test_seed());
    assert_int_equal(env_sim_create(1, &r->env), FIRN_OK);
    firn_db *db = open_for_writing(r->env);
    write_tables(r, db);
    for (unsigned i = 0; i < LOG_KEYS; i++) { /* behind all others, in the order of writing */
        char key[32];
        (void)sprintf(key, "log %05u", i);
        write_pair(r, db, key, 30, i % 4 == 3 && i < LOG_KEYS - 4 ? FIRN_SYNC : 0);
    }
    r->end = sim_change_count(r->env) + 1;
    assert_int_equal(firn_close(db), FIRN_OK);
    if (closed) {
        r->end = sim_change_count(r->env) + 1;
    }
    r->log_keys_least = closed ? LOG_KEYS : LOG_KEYS - 4;
    load_files(r);
    load_pairs(r);
}

static void tear_down(struct reference *r, const char *what) {
    print_message("%s: %llu tried: %llu gave the same, %llu an error, %llu lost the end of the "
                  "newest log; %llu wrong\n",
                  what, (unsigned long long)r->trials, (unsigned long long)r->same,
                  (unsigned long long)r->told, (unsigned long long)r->shorter,
                  (unsigned long long)r->wrong);
    for (size_t i = 0; i < r->file_count; i++) {
        free(r->files[i].bytes);
    }
    free(r->pairs);
    env_destroy(r->env);
    assert_int_equal(r->wrong, 0);
    assert_true(r->trials > 0 && r->told > 0);
}

/* ---- Looking at a damaged copy. ---- */

enum verdict { SAME, TOLD, SHORTER, WRONG };

static bool is_pair(const struct pair *p, firn_slice key, firn_slice value) {
    return key.size == strlen(p->key) && memcmp(key.data, p->key, key.size) == 0 &&
           value.size == p->value_size && memcmp(value.data, p->value, value.size) == 0;
}

/* A whole scan; *found pairs, of which all are those that should be there. */
static enum verdict scan(const struct reference *r, firn_db *db, bool forward, size_t *found) {
    firn_iter *it;
    *found = 0;
    if (firn_iter_create(db, NULL, &it) != FIRN_OK) {
        return TOLD;
    }
    bool right = true;
    size_t missing = 0; /* backward: known with the first key */
    if (forward) {
        firn_iter_first(it);
    } else {
        firn_iter_last(it);
        while (missing < LOG_KEYS && firn_iter_valid(it) &&
               !is_pair(&r->pairs[r->pair_count - 1 - missing], firn_iter_key(it),
                        firn_iter_value(it))) {
            missing++;
        }
    }
    while (firn_iter_valid(it) && right) {
        firn_slice key = firn_iter_key(it), value = firn_iter_value(it);
        if (!firn_iter_valid(it)) {
            break; /* the value could not be read */
        }
        size_t at = forward ? *found : r->pair_count - 1 - missing - *found;
        right = at < r->pair_count && is_pair(&r->pairs[at], key, value);
        ++*found;
        if (forward) {
            firn_iter_next(it);
        } else {
            firn_iter_prev(it);
        }
    }
    int rc = firn_iter_status(it);
    firn_iter_destroy(it);
    return !right ? WRONG : rc != FIRN_OK ? TOLD : *found == r->pair_count ? SAME : SHORTER;
}

/* Some keys by themselves: what was written, and what was not. */
static enum verdict get_some(struct reference *r, firn_db *db, size_t present) {
    enum verdict verdict = SAME;
    for (int i = 0; i < 6 && verdict != WRONG; i++) {
        const struct pair *p = &r->pairs[rand_below(&r->rand, present)];
        firn_slice key = firn_slice_make(p->key, strlen(p->key));
        firn_value value;
        int rc = firn_get(db, NULL, key, &value);
        if (rc == FIRN_OK && !is_pair(p, key, firn_slice_make(value.data, value.size))) {
            verdict = WRONG;
        } else if (rc != FIRN_OK) {
            verdict = rc == FIRN_NOT_FOUND ? WRONG : TOLD;
        }
        firn_value_release(&value);
        char absent[40];
        firn_slice other = firn_slice_make(absent, (size_t)sprintf(absent, "%s!", p->key));
        verdict = firn_contains(db, NULL, other) == FIRN_OK ? WRONG : verdict;
    }
    return verdict;
}

/* Reads all there is; least: so many of the log's keys must be there. */
static enum verdict read_all(struct reference *r, firn_db *db, size_t least) {
    size_t found, back_found;
    enum verdict forward = scan(r, db, true, &found);
    enum verdict backward = scan(r, db, false, &back_found);
    if (forward == WRONG || backward == WRONG) {
        return WRONG;
    }
    if (forward == TOLD || backward == TOLD) {
        enum verdict some = get_some(r, db, r->pair_count - LOG_KEYS);
        return some == WRONG ? WRONG : TOLD;
    }
    if (found != back_found || found < r->pair_count - LOG_KEYS + least) {
        return WRONG;
    }
    enum verdict some = get_some(r, db, found);
    return some != SAME ? some : forward;
}

/* merge: the tables are also merged, which reads them in another way. Without that, one in eight is
 * opened for reading only, which tries again and again, since a writer could be at work. */
static void judge(struct reference *r, firn_env *image, size_t least, bool merge,
                  const char *what) {
    firn_options options;
    firn_db *db;
    enum verdict verdict = TOLD;
    options_for(image, &options);
    options.read_only = !merge && r->trials % 8 == 4;
    if (firn_open(FOLDER, &options, &db) == FIRN_OK) {
        bool merged = merge && firn_compact(db, NULL, NULL, NULL) == FIRN_OK;
        verdict = read_all(r, db, least);
        if (merge && !merged && verdict == SAME) {
            verdict = TOLD;
        }
        (void)firn_close(db);
    }
    r->trials++;
    r->same += verdict == SAME;
    r->told += verdict == TOLD;
    r->shorter += verdict == SHORTER;
    if (verdict == WRONG && r->wrong++ < COMPLAINTS_MAX) {
        print_error("%s%s: wrong or missing\n", what, merge ? ", then merged" : "");
    }
}

static bool is_log(const struct file *f) {
    return strstr(f->name, ".log") != NULL;
}

/* Puts `bytes` in the place of a file and reads. */
static void judge_file(struct reference *r, const struct file *f, const uint8_t *bytes,
                       uint64_t size, size_t least, const char *what) {
    for (int merge = 0; merge < 1 + (r->trials % 8 == 0); merge++) {
        firn_env *image = copy_of(r);
        assert_int_equal(sim_file_set(image, f->path, bytes, size), FIRN_OK);
        judge(r, image, least, merge > 0, what);
        env_destroy(image);
    }
}

/* One in so many, unless all are to be tried; odd, so that all bits of a byte come about. */
static uint64_t stride(uint64_t at_full_scale) {
    double scale = test_scale();
    return scale >= 1 ? 1 : (uint64_t)((double)at_full_scale / scale) | 1;
}

/* ---- The damages. ---- */

static void flip_bits(struct reference *r) {
    char what[128];
    for (size_t i = 0; i < r->file_count; i++) {
        struct file *f = &r->files[i];
        for (uint64_t bit = 0; bit < f->size * 8; bit += stride(f->size > 8 * PAGE ? 37 : 9)) {
            (void)snprintf(what, sizeof what, "%s: bit %u of byte %llu", f->name,
                           (unsigned)(bit % 8), (unsigned long long)(bit / 8));
            f->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            judge_file(r, f, f->bytes, f->size, r->log_keys_least, what);
            f->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void every_bit_of_a_closed_database_counts(void **state) {
    (void)state;
    struct reference r;
    set_up(&r, true);
    flip_bits(&r);
    tear_down(&r, "bits, closed");
}

static void every_bit_of_a_database_that_was_not_closed_counts(void **state) {
    (void)state;
    struct reference r;
    set_up(&r, false);
    flip_bits(&r);
    tear_down(&r, "bits, not closed");
}

static void a_file_of_any_length_is_noticed(void **state) {
    (void)state;
    struct reference r;
    char what[128];
    set_up(&r, true);
    for (size_t i = 0; i < r.file_count; i++) {
        struct file *f = &r.files[i];
        size_t least = is_log(f) ? 0 : LOG_KEYS;
        for (uint64_t size = 0; size < f->size; size += stride(f->size > 8 * PAGE ? 11 : 1)) {
            (void)snprintf(what, sizeof what, "%s: cut to %llu bytes", f->name,
                           (unsigned long long)size);
            judge_file(&r, f, f->bytes, size, least, what);
        }
        memset(f->bytes + f->size, 0, PAGE);
        (void)snprintf(what, sizeof what, "%s: longer", f->name);
        judge_file(&r, f, f->bytes, f->size + 1, LOG_KEYS, what);
        judge_file(&r, f, f->bytes, f->size + PAGE, LOG_KEYS, what);
        memcpy(f->bytes + f->size, f->bytes, f->size);
        judge_file(&r, f, f->bytes, 2 * f->size, LOG_KEYS, what);
    }
    tear_down(&r, "lengths");
}

/* Any of the things that a disk, or what lies between, may do to a block. */
static void damage_block(struct reference *r, struct file *f, uint8_t *bytes, char *what,
                         size_t what_size) {
    static const char *const kinds[] = {"zeros",         "another block", "a block of another file",
                                        "swapped",       "random bytes",  "one wrong byte",
                                        "shifted by one"};
    uint64_t block = rand_below(&r->rand, 2) == 0 ? PAGE : 512;
    uint64_t blocks = (f->size + block - 1) / block;
    uint64_t at = rand_below(&r->rand, blocks) * block, from = rand_below(&r->rand, blocks) * block;
    uint64_t size = f->size - at < block ? f->size - at : block;
    size = f->size - from < size ? f->size - from : size;
    const struct file *other = &r->files[rand_below(&r->rand, r->file_count)];
    unsigned kind = (unsigned)rand_below(&r->rand, sizeof kinds / sizeof kinds[0]);
    switch (kind) {
    case 0:
        memset(bytes + at, 0, size);
        break;
    case 1:
        memmove(bytes + at, f->bytes + from, size);
        break;
    case 2:
        from = from + size <= other->size ? from : 0;
        memmove(bytes + at, other->bytes + from, other->size < size ? other->size : size);
        break;
    case 3:
        memmove(bytes + at, f->bytes + from, size);
        memmove(bytes + from, f->bytes + at, size);
        break;
    case 4:
        for (uint64_t i = 0; i < size; i++) {
            bytes[at + i] = (uint8_t)rand_next(&r->rand);
        }
        break;
    case 5:
        bytes[rand_below(&r->rand, f->size)] = (uint8_t)rand_next(&r->rand);
        break;
    default:
        memmove(bytes + at + 1, f->bytes + at, size - 1);
    }
    (void)snprintf(what, what_size, "%s: %s, %llu bytes at %llu, of %llu", f->name, kinds[kind],
                   (unsigned long long)size, (unsigned long long)at, (unsigned long long)from);
}

static void blocks_that_are_wrong_or_in_the_wrong_place_are_noticed(void **state) {
    (void)state;
    struct reference r;
    char what[160];
    set_up(&r, true);
    for (uint64_t i = 0, count = test_scaled(20000, 1000); i < count; i++) {
        struct file *f = &r.files[rand_below(&r.rand, r.file_count)];
        uint8_t *bytes = malloc(f->size);
        assert_non_null(bytes);
        memcpy(bytes, f->bytes, f->size);
        damage_block(&r, f, bytes, what, sizeof what);
        /* The end of the log, its mark with it, may be hit at once: as if it had not been written.
         */
        judge_file(&r, f, bytes, f->size, is_log(f) ? 0 : LOG_KEYS, what);
        free(bytes);
    }
    tear_down(&r, "blocks");
}

/* Each file alone as it was at an earlier moment: a backup that was put back in part, or a disk
 * that lost what it had acknowledged. */
static void a_file_of_an_earlier_moment_is_noticed(void **state) {
    (void)state;
    struct reference r;
    char what[160];
    set_up(&r, true);
    uint64_t end = r.end;
    for (uint64_t change = 1; change < end; change++) {
        struct sim_cut cut = {.change = change, .dir_mask = UINT64_MAX, .tail = SIM_TAIL_ALL};
        firn_env *before;
        assert_int_equal(sim_disk_at(r.env, &cut, &before), FIRN_OK);
        for (size_t i = 0; i < r.file_count; i++) {
            const struct file *f = &r.files[i];
            const uint8_t *bytes;
            uint64_t size;
            if (sim_file_get(before, f->path, &bytes, &size) != FIRN_OK ||
                (size == f->size && memcmp(bytes, f->bytes, size) == 0)) {
                continue;
            }
            (void)snprintf(what, sizeof what, "%s: as before %s", f->name,
                           sim_change_text(r.env, change));
            judge_file(&r, f, bytes, size, is_log(f) ? 0 : LOG_KEYS, what);
        }
        env_destroy(before);
    }
    tear_down(&r, "moments");
}

static void a_missing_file_is_noticed(void **state) {
    (void)state;
    struct reference r;
    set_up(&r, true);
    for (size_t i = 0; i < r.file_count; i++) {
        for (int merge = 0; merge < 2; merge++) {
            firn_env *image = copy_of(&r);
            assert_int_equal(env_unlink(image, r.files[i].path), FIRN_OK);
            judge(&r, image, is_log(&r.files[i]) ? 0 : LOG_KEYS, merge > 0, r.files[i].name);
            env_destroy(image);
        }
    }
    tear_down(&r, "missing files");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_of_a_closed_database_counts),
        cmocka_unit_test(every_bit_of_a_database_that_was_not_closed_counts),
        cmocka_unit_test(a_file_of_any_length_is_noticed),
        cmocka_unit_test(blocks_that_are_wrong_or_in_the_wrong_place_are_noticed),
        cmocka_unit_test(a_file_of_an_earlier_moment_is_noticed),
        cmocka_unit_test(a_missing_file_is_noticed),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
