/* Power cuts at every call that a manifest and a log make, on the simulated machine: in every state
 * of the folder and with every kind of unsynced tail, what was acknowledged is there, and what is
 * there is a prefix of what was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "lsm/manifest.h"
#include "lsm/wal.h"
#include "tests/support/seed.h"

#define STEPS_MAX 64

static struct alloc alloc;

/* What had been acknowledged and what had been begun after a change. */
struct moment {
    uint64_t change;
    uint64_t acknowledged, begun;
};

struct history {
    struct moment moments[STEPS_MAX];
    size_t count;
};

static void note(struct history *h, firn_env *env, uint64_t acknowledged, uint64_t begun) {
    assert_true(h->count < STEPS_MAX);
    h->moments[h->count++] = (struct moment){sim_change_count(env), acknowledged, begun};
}

/* What must be found, and what may be, after a cut directly before this change. */
static struct moment moment_before(const struct history *h, uint64_t change) {
    struct moment m = {0};
    for (size_t i = 0; i < h->count; i++) {
        if (h->moments[i].change < change) {
            m.acknowledged = h->moments[i].acknowledged;
        }
    }
    m.begun = h->moments[h->count - 1].begun;
    for (size_t i = h->count; i-- > 0;) {
        if (h->moments[i].change >= change) {
            m.begun = h->moments[i].begun;
        }
    }
    return m;
}

/* Calls check for every cut, every choice of folder changes (some of them where they are many) and
 * every kind of tail. */
static void for_every_cut(firn_env *env, const struct history *h, uint64_t seed,
                          void (*check)(firn_env *disk, const struct moment *m)) {
    struct rand rand;
    rand_init(&rand, seed);
    uint64_t states = 0;
    for (uint64_t change = 1; change <= sim_change_count(env) + 1; change++) {
        struct moment m = moment_before(h, change);
        unsigned pending, edges;
        sim_cut_choices(env, change, &pending, &edges);
        uint64_t masks = pending > 5 ? 32 : UINT64_C(1) << pending;
        for (uint64_t i = 0; i < masks; i++) {
            uint64_t all = pending >= 64 ? UINT64_MAX : (UINT64_C(1) << pending) - 1;
            uint64_t mask = pending <= 5 ? i : i == 0 ? 0 : i == 1 ? all : rand_next(&rand) & all;
            for (int n = 0; n < 4 * (SIM_TAIL_MIXED + 1); n++) { /* each four times, by chance */
                struct sim_cut cut = {.change = change,
                                      .dir_mask = mask,
                                      .tail = (enum sim_tail)(n / 4),
                                      .torn = 1 + (uint32_t)rand_below(&rand, edges + 1),
                                      .seed = rand_next(&rand)};
                firn_env *disk;
                assert_int_equal(sim_disk_at(env, &cut, &disk), FIRN_OK);
                check(disk, &m);
                env_destroy(disk);
                states++;
            }
        }
    }
    assert_true(states > 200);
}

/* ---- The manifest: edit n adds table 100 + n. ---- */

static uint64_t edits_begun, edits_done;

static void log_edit(firn_env *env, struct history *h, struct manifest *m, struct version **v,
                     _Atomic uint64_t *next_file, uint64_t bytes_max) {
    struct edit e;
    struct version *next;
    struct table_meta meta = {
        .number = 100 + edits_begun, .smallest = FIRN_STR("a"), .largest = FIRN_STR("b")};
    edit_init(&e, &alloc);
    assert_int_equal(edit_add_table(&e, 0, edits_begun, &meta), FIRN_OK);
    assert_int_equal(version_apply(*v, &e, &next), FIRN_OK);
    edits_begun++;
    note(h, env, edits_done, edits_begun);
    int rc = manifest_log(m, &e, next, next_file, bytes_max);
    edit_deinit(&e);
    version_unref(*v);
    *v = next; /* also when it failed: nothing is unlinked here, and the next manifest has it */
    if (rc == FIRN_OK) {
        edits_done = edits_begun;
    }
    note(h, env, edits_done, edits_begun);
}

static void check_manifest(firn_env *disk, const struct moment *m) {
    struct manifest_state state;
    struct version *v;
    int rc = manifest_recover(&alloc, disk, "db", &state, &v);
    if (rc == FIRN_MISSING) {
        assert_int_equal(m->acknowledged, 0);
        return;
    }
    assert_int_equal(rc, FIRN_OK);
    assert_true(v->table_count >= m->acknowledged && v->table_count <= m->begun);
    for (size_t i = 0; i < v->levels[0].count;
         i++) { /* a prefix: every run id from the last to 0 */
        assert_int_equal(v->levels[0].runs[i].id, v->table_count - 1 - i);
    }
    version_unref(v);
}

static firn_env *begin_sim(void) {
    firn_env *env;
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    assert_int_equal(env_make_dir(env, "db"), FIRN_OK);
    assert_int_equal(sim_set_recording(env, true), FIRN_OK);
    return env;
}

static void a_manifest_survives_every_cut(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    /* Without a fault; then with one at each call of a switch, and of the edit after it. */
    for (uint64_t fault = 0; fault <= 16; fault++) {
        firn_env *env = begin_sim();
        struct history h = {.count = 0};
        struct manifest *m;
        struct version *v;
        struct manifest_state start = {.database_id = {7}, .next_file = 1000};
        _Atomic uint64_t next_file = 1000;
        edits_begun = edits_done = 0;
        note(&h, env, 0, 0);
        assert_int_equal(manifest_create(&alloc, env, "db", &start, &m), FIRN_OK);
        assert_int_equal(version_create(&alloc, &v), FIRN_OK);
        for (int i = 0; i < 7; i++) {
            if (fault > 0 && i == 3) {
                sim_set_fault(env, sim_call_count(env) + fault, SIM_FAULT_DONE_ERROR, false);
            }
            log_edit(env, &h, m, &v, &next_file, i == 3 || i == 6 ? 0 : 1u << 20);
        }
        assert_int_equal(edits_done, 7);
        assert_true(fault == 0 || sim_fault_hit(env));
        assert_int_equal(manifest_close(m), FIRN_OK);
        version_unref(v);
        for_every_cut(env, &h, seed, check_manifest);
        assert_null(sim_misuse(env));
        env_destroy(env);
    }
}

/* ---- The log: batch n has sequence n. ---- */

static void check_log(firn_env *disk, const struct moment *m) {
    struct wal_reader *r;
    struct record record;
    int rc = wal_reader_open(&alloc, disk, "db", 3, &r);
    if (rc == FIRN_MISSING || rc == FIRN_NOT_FOUND) {
        assert_int_equal(m->acknowledged, 0);
        return;
    }
    assert_int_equal(rc, FIRN_OK);
    uint64_t found = 0;
    while ((rc = wal_reader_next(r, &record)) == FIRN_OK) {
        if (record.kind == RECORD_BATCH) {
            assert_int_equal(record.seq, ++found);
        }
    }
    assert_int_equal(rc, FIRN_NOT_FOUND);
    assert_true(found >= m->acknowledged && found <= m->begun);
    wal_reader_close(r);
}

static void write_log_and_cut(uint64_t seed) {
    firn_env *env = begin_sim();
    struct history h = {.count = 0};
    struct wal_writer *w;
    struct wal_header header = {.number = 3};
    struct rand rand;
    rand_init(&rand, seed);
    uint64_t acknowledged = 0, begun = 0;
    note(&h, env, 0, 0);
    assert_int_equal(wal_writer_create(&alloc, env, "db", &header, &w), FIRN_OK);
    for (int i = 0; i < 20; i++) {
        for (uint64_t n = 1 + rand_below(&rand, 3); n > 0; n--) {
            uint8_t payload[1500] = {1};
            firn_slice s = firn_slice_make(payload, rand_below(&rand, sizeof payload));
            assert_int_equal(wal_writer_add(w, RECORD_BATCH, ++begun, s), FIRN_OK);
        }
        note(&h, env, acknowledged, begun);
        assert_int_equal(wal_writer_flush(w), FIRN_OK);
        if (rand_below(&rand, 3) == 0) {
            assert_int_equal(wal_writer_sync(w), FIRN_OK);
            acknowledged = begun;
        }
        note(&h, env, acknowledged, begun);
    }
    assert_int_equal(wal_writer_mark(w), FIRN_OK);
    note(&h, env, begun, begun);
    assert_int_equal(wal_writer_close(w), FIRN_OK);
    for_every_cut(env, &h, seed, check_log);
    assert_null(sim_misuse(env));
    env_destroy(env);
}

static void a_log_survives_every_cut(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint64_t i = 0; i < 10; i++) {
        write_log_and_cut(seed + i);
    }
}

static int set_up(void **state) {
    (void)state;
    alloc_init(&alloc, NULL);
    return 0;
}

static int nothing_is_held(void **state) {
    (void)state;
    return atomic_load(&alloc.total) == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_survives_every_cut),
        cmocka_unit_test(a_log_survives_every_cut),
    };
    return cmocka_run_group_tests(tests, set_up, nothing_is_held);
}
