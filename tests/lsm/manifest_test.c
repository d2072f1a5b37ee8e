/* A manifest is small enough to try every flipped bit and every length. A database is in one of the
 * states that its edits made, one after the other; damage may bring back an earlier one only where
 * no undamaged record says that the later one was durable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "lsm/current.h"
#include "lsm/files.h"
#include "lsm/manifest.h"
#include "lsm/record.h"
#include "tests/support/fault_env.h"
#include "tests/support/file_bytes.h"
#include "tests/support/seed.h"

static struct alloc alloc;
static firn_env *memory, *env; /* env: the same with faults */
static const uint8_t test_id[16] = {0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0x0f};

static int set_up(void **state) {
    (void)state;
    alloc_init(&alloc, NULL);
    return fault_env_create_pair("db", &memory, &env);
}

static int tear_down(void **state) {
    (void)state;
    fault_env_destroy_pair(memory, env);
    return atomic_load(&alloc.total) == 0 ? 0 : -1;
}

/* ---- A database that is nothing but versions ---- */

struct base {
    struct manifest *m;
    struct version *v;
    _Atomic uint64_t next_file;
    uint64_t bytes_max;
};

static int unlink_one(void *context, const char *name, uint64_t bytes) {
    (void)bytes;
    (void)snprintf(context, PATH_BYTES_MAX, "db/%s", name);
    return 1;
}

static void empty_folder(void) {
    char path[PATH_BYTES_MAX];
    while (env_list(memory, "db", unlink_one, path) == 1) {
        assert_int_equal(env_unlink(memory, path), FIRN_OK);
    }
}

static struct base begin(void) {
    empty_folder();
    struct base b = {.next_file = 1, .bytes_max = 1u << 20};
    struct manifest_state state = {.next_file = 1};
    memcpy(state.database_id, test_id, sizeof test_id);
    assert_int_equal(manifest_create(&alloc, env, "db", &state, &b.m), FIRN_OK);
    assert_int_equal(version_create(&alloc, &b.v), FIRN_OK);
    return b;
}

static int end(struct base *b) {
    version_unref(b->v);
    return manifest_close(b->m);
}

/* Logs an edit that adds a table in a run of its own, and drops the table `drop` unless that is 0.
 */
static int step(struct base *b, uint64_t drop) {
    uint64_t number = atomic_fetch_add(&b->next_file, 1);
    struct table_meta meta = {.number = number,
                              .bytes = 4096,
                              .keys = 5,
                              .entries = 10,
                              .seq_min = number * 10,
                              .seq_max = number * 10 + 9,
                              .smallest = FIRN_STR("ape"),
                              .largest = FIRN_STR("zebra")};
    struct edit e;
    struct version *next;
    edit_init(&e, &alloc);
    assert_int_equal(edit_add_table(&e, 0, number, &meta), FIRN_OK);
    if (drop != 0) {
        assert_int_equal(edit_drop_table(&e, drop), FIRN_OK);
    }
    e.has_log_number = e.has_last_seq = true;
    e.log_number = number + 1000;
    e.last_seq = meta.seq_max;
    assert_int_equal(version_apply(b->v, &e, &next), FIRN_OK);
    int rc = manifest_log(b->m, &e, next, &b->next_file, b->bytes_max);
    if (rc == FIRN_OK) {
        version_unref(b->v);
        b->v = next;
        assert_int_equal(manifest_get_state(b->m)->log_number, number + 1000);
        assert_int_equal(manifest_get_state(b->m)->next_file, atomic_load(&b->next_file));
    } else {
        version_unref(next);
    }
    edit_deinit(&e);
    return rc;
}

/* The newest table of a version, which tells what edits it has seen. */
static uint64_t newest(const struct version *v) {
    return v->levels[0].count == 0 ? 0 : v->levels[0].runs[0].id;
}

static int recover(struct manifest_state *state, struct version **v) {
    return manifest_recover(&alloc, env, "db", state, v);
}

static void assert_recovers_to(const struct base *b) {
    struct manifest_state state;
    struct version *v;
    const char *reason;
    assert_int_equal(recover(&state, &v), FIRN_OK);
    assert_true(version_check(v, &reason));
    const struct manifest_state *expected = manifest_get_state(b->m);
    assert_memory_equal(&state, expected, sizeof state);
    assert_int_equal(v->table_count, b->v->table_count);
    assert_int_equal(newest(v), newest(b->v));
    for (size_t i = 0; i < v->table_count; i++) {
        assert_int_equal(v->tables[i]->meta.number, b->v->tables[i]->meta.number);
        assert_int_equal(v->tables[i]->meta.seq_max, b->v->tables[i]->meta.seq_max);
    }
    version_unref(v);
}

/* ---- Tests ---- */

static void every_edit_is_recovered(void **state) {
    (void)state;
    struct base b = begin();
    struct manifest_state found;
    struct version *v;
    assert_int_equal(recover(&found, &v), FIRN_MISSING);
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(step(&b, i > 3 && i % 3 == 0 ? newest(b.v) : 0), FIRN_OK);
        assert_recovers_to(&b);
        assert_int_equal(manifest_get_state(b.m)->edit_number, i + 1);
        assert_int_equal(manifest_get_state(b.m)->manifest_number, 2);
        assert_false(manifest_failed(b.m));
    }
    assert_int_equal(end(&b), FIRN_OK);
}

static void a_manifest_that_grew_too_large_is_written_anew(void **state) {
    (void)state;
    struct base b = begin();
    b.bytes_max = 3000;
    uint64_t manifests = 0, before = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(step(&b, newest(b.v)), FIRN_OK);
        manifests += manifest_get_state(b.m)->manifest_number != before;
        before = manifest_get_state(b.m)->manifest_number;
        assert_true(manifest_bytes(b.m) < 3500);
        assert_recovers_to(&b);
    }
    assert_true(manifests > 2);
    assert_int_equal(end(&b), FIRN_OK);
}

static void a_recovered_manifest_is_never_appended_to(void **state) {
    (void)state;
    struct base b = begin();
    assert_int_equal(step(&b, 0), FIRN_OK);
    assert_int_equal(end(&b), FIRN_OK);
    size_t size, now;
    uint8_t *bytes = file_bytes_get(memory, "db/MANIFEST-000002", &size);
    struct manifest_state found;
    fault_env_clear(env);
    assert_int_equal(recover(&found, &b.v), FIRN_OK);
    assert_true(found.durable); /* a mark closes it */
    assert_int_equal(manifest_create(&alloc, env, "db", &found, &b.m), FIRN_OK);
    assert_string_equal(fault_env_trace(env), "orxorx"); /* opening writes nothing */
    atomic_store(&b.next_file, found.next_file);
    assert_int_equal(step(&b, 0), FIRN_OK);
    assert_int_equal(manifest_get_state(b.m)->manifest_number, 4);
    assert_int_equal(manifest_get_state(b.m)->edit_number, 2);
    assert_recovers_to(&b);
    uint8_t *after = file_bytes_get(memory, "db/MANIFEST-000002", &now);
    assert_int_equal(now, size);
    assert_memory_equal(after, bytes, size);
    free(bytes);
    free(after);
    assert_int_equal(end(&b), FIRN_OK);
}

static void switching_takes_the_steps_in_order(void **state) {
    (void)state;
    struct base b = begin();
    fault_env_clear(env);
    assert_int_equal(step(&b, 0), FIRN_OK);
    /* create, reserve, append, sync the manifest, sync the folder; drop an old CURRENT.tmp, create,
     * append, sync, close, rename it, sync the folder. */
    assert_string_equal(fault_env_trace(env), "cpasducasxmd");
    fault_env_clear(env);
    assert_int_equal(step(&b, 0), FIRN_OK);
    assert_string_equal(fault_env_trace(env), "as");
    fault_env_clear(env);
    assert_int_equal(end(&b), FIRN_OK);
    assert_string_equal(fault_env_trace(env), "asx"); /* the mark */
}

/* A fault at every call of a first manifest, a further edit and a switch; before and after it took
 * effect. What was logged before stays, what failed may be there or not, and the next edit heals.
 */
static void every_fault_is_survived(void **state) {
    (void)state;
    static const enum fault_call calls[] = {FAULT_CREATE, FAULT_APPEND, FAULT_SYNC,  FAULT_SYNC_DIR,
                                            FAULT_RENAME, FAULT_CLOSE,  FAULT_UNLINK};
    unsigned hits = 0;
    for (unsigned i = 0; i < 7 * 2 * 3 * 3; i++) {
        enum fault_call call = calls[i % 7];
        bool done = i / 7 % 2 == 1;
        unsigned scene = i / 14 % 3, n = 1 + i / 42;
        struct base b = begin();
        if (scene > 0) {
            assert_int_equal(step(&b, 0), FIRN_OK);
            assert_int_equal(step(&b, 0), FIRN_OK);
        }
        b.bytes_max = scene == 2 ? 0 : b.bytes_max;
        uint64_t before = newest(b.v), edit_before = manifest_get_state(b.m)->edit_number;
        fault_env_set(env, call, n, i % 2 == 0 ? FIRN_IO : FIRN_NO_SPACE, done);
        int rc = step(&b, 0);
        fault_env_set(env, call, 0, FIRN_OK, false);
        struct manifest_state found;
        struct version *v;
        int found_rc = recover(&found, &v);
        if (rc == FIRN_OK) { /* the fault came later than the last call, or did not matter */
            assert_false(manifest_failed(b.m));
            assert_recovers_to(&b);
            version_unref(v);
            assert_int_equal(end(&b), FIRN_OK);
            continue;
        }
        hits++;
        assert_true(manifest_failed(b.m));
        assert_int_equal(manifest_get_state(b.m)->edit_number, edit_before);
        if (found_rc == FIRN_OK) {
            assert_true(found.edit_number == edit_before || found.edit_number == edit_before + 1);
            assert_true(found.edit_number > edit_before || newest(v) == before);
            version_unref(v);
        } else {
            assert_int_equal(found_rc, FIRN_MISSING);
            assert_int_equal(scene, 0);
        }
        uint64_t failed_manifest = atomic_load(&b.next_file) - 1;
        assert_int_equal(step(&b, 0), FIRN_OK);
        assert_false(manifest_failed(b.m));
        assert_true(manifest_get_state(b.m)->manifest_number > failed_manifest);
        assert_int_equal(manifest_get_state(b.m)->edit_number, edit_before + 2); /* one is burnt */
        assert_recovers_to(&b);
        assert_int_equal(end(&b), FIRN_OK);
    }
    assert_true(hits > 30);
}

/* A manifest that failed is closed once, and not written to again, however many attempts to begin
 * another fail after it: the environment ends the program otherwise. */
static void failures_in_a_row_leave_one_manifest(void **state) {
    (void)state;
    static const enum fault_call calls[] = {FAULT_CREATE, FAULT_APPEND, FAULT_SYNC, FAULT_RENAME};
    for (unsigned first = 0; first < 2; first++) {
        struct base b = begin();
        assert_int_equal(step(&b, 0), FIRN_OK);
        uint64_t edit = manifest_get_state(b.m)->edit_number, failed = 0;
        fault_env_set(env, first == 0 ? FAULT_APPEND : FAULT_SYNC, 1, FIRN_IO, false);
        assert_int_equal(step(&b, 0), FIRN_IO);
        for (unsigned i = 0; i < 4; i++) {
            failed = atomic_load(&b.next_file);
            fault_env_set(env, calls[i], 1, FIRN_NO_SPACE, false);
            assert_int_equal(step(&b, 0), FIRN_NO_SPACE);
            assert_true(manifest_failed(b.m));
            assert_true(atomic_load(&b.next_file) > failed); /* no name is tried twice */
        }
        fault_env_set(env, FAULT_APPEND, 0, FIRN_OK, false);
        assert_int_equal(step(&b, 0), FIRN_OK);
        assert_int_equal(manifest_get_state(b.m)->edit_number, edit + 6);
        assert_recovers_to(&b);
        fault_env_set(env, FAULT_SYNC, 1, FIRN_IO, false);
        assert_int_equal(step(&b, 0), FIRN_IO);
        assert_int_equal(end(&b), FIRN_OK); /* there is none left to close */
    }
}

static void running_out_of_memory_has_no_effect(void **state) {
    (void)state;
    for (uint64_t n = 1, done = 0; done == 0; n++) {
        struct base b = begin();
        assert_int_equal(step(&b, 0), FIRN_OK);
        b.bytes_max = n % 2 == 0 ? 0 : b.bytes_max;
        struct edit e;
        edit_init(&e, &alloc);
        atomic_store(&alloc.fail_after, n / 2 + 1);
        int rc = manifest_log(b.m, &e, b.v, &b.next_file, b.bytes_max);
        bool came = atomic_load(&alloc.fail_after) == 0;
        atomic_store(&alloc.fail_after, 0);
        assert_true(rc == FIRN_OK || rc == FIRN_NOMEM);
        assert_true(came || rc == FIRN_OK);
        assert_recovers_to(&b);
        done = !came && n % 2 == 0;
        edit_deinit(&e);
        assert_int_equal(end(&b), FIRN_OK);
    }
    struct base b = begin();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(step(&b, 0), FIRN_OK);
    }
    for (uint64_t n = 1, done = 0; done == 0; n++) {
        struct manifest_state found;
        struct version *v;
        atomic_store(&alloc.fail_after, n);
        int rc = recover(&found, &v);
        done = rc == FIRN_OK;
        assert_true(done || rc == FIRN_NOMEM);
        version_unref(v);
    }
    atomic_store(&alloc.fail_after, 0);
    assert_int_equal(end(&b), FIRN_OK);
}

static void a_failure_to_read_is_never_the_end(void **state) {
    (void)state;
    struct base b = begin();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(step(&b, 0), FIRN_OK);
    }
    for (unsigned n = 1; n <= 2; n++) {
        struct manifest_state found;
        struct version *v;
        fault_env_set(env, FAULT_READ, n, FIRN_IO, false);
        assert_int_equal(recover(&found, &v), FIRN_IO);
        fault_env_set(env, FAULT_OPEN, n, FIRN_IO, false);
        assert_int_equal(recover(&found, &v), FIRN_IO);
        assert_null(v);
    }
    fault_env_set(env, FAULT_OPEN, 0, FIRN_OK, false);
    assert_int_equal(end(&b), FIRN_OK);
}

/* ---- Damage ---- */

#define PATH "db/MANIFEST-000002"

struct sample {
    uint8_t *bytes;
    size_t size;
    struct record records[16];
    size_t count;
};

static struct sample make_sample(bool close_it) {
    struct base b = begin();
    struct sample s = {0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(step(&b, i == 2 ? newest(b.v) : 0), FIRN_OK);
    }
    if (close_it) {
        assert_int_equal(end(&b), FIRN_OK);
    }
    s.bytes = file_bytes_get(memory, PATH, &s.size);
    uint64_t seed = record_seed(preamble_manifest.magic, 2), at = 0;
    while (at < s.size) {
        firn_slice rest = firn_slice_make(s.bytes + at, s.size - at);
        assert_true(record_decode(rest, at, seed, &s.records[s.count++], &at));
    }
    if (!close_it) {
        assert_int_equal(end(&b), FIRN_OK);
    }
    return s;
}

/* Recovers from these bytes. FIRN_OK: *edits is how many edits were found. */
static int recover_from(const uint8_t *bytes, size_t size, uint64_t *edits) {
    struct manifest_state found;
    struct version *v;
    file_bytes_set(memory, PATH, bytes, size);
    int rc = recover(&found, &v);
    *edits = found.edit_number;
    if (rc == FIRN_OK) { /* each state of the sample is told by its newest table and its log */
        assert_int_equal(newest(v), found.log_number - 1000);
        assert_int_equal(v->table_count, *edits - (*edits > 2));
        version_unref(v);
    }
    return rc;
}

static void every_flipped_bit_brings_back_what_was_not_proven_or_is_reported(void **state) {
    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        struct sample s = make_sample(closed == 1);
        assert_int_equal(s.count, 5 + closed);
        for (size_t bit = 0; bit < s.size * 8; bit++) {
            size_t k = 0;
            while (k + 1 < s.count && s.records[k + 1].offset <= bit / 8) {
                k++;
            }
            s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            uint64_t edits;
            int rc = recover_from(s.bytes, s.size, &edits);
            s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (k + 1 < s.count) {
                assert_int_equal(rc, FIRN_CORRUPT);
            } else { /* the last record: nothing says that it was durable */
                assert_int_equal(rc, FIRN_OK);
                assert_int_equal(edits, closed ? 4 : 3);
            }
        }
        free(s.bytes);
    }
}

static void every_length_recovers_to_an_earlier_edit(void **state) {
    (void)state;
    struct sample s = make_sample(true);
    for (size_t size = 0; size <= s.size; size++) {
        uint64_t whole = 0, edits;
        while (whole < 4 && s.records[whole + 2].offset <= size) {
            whole++;
        }
        int rc = recover_from(s.bytes, size, &edits);
        /* CURRENT says that the header and the first edit were durable. */
        assert_int_equal(rc, whole == 0 ? FIRN_CORRUPT : FIRN_OK);
        assert_int_equal(edits, whole);
        uint8_t *zeroed = calloc(1, s.size);
        memcpy(zeroed, s.bytes, size);
        rc = recover_from(zeroed, s.size, &edits);
        assert_true(whole == 0 ? rc == FIRN_CORRUPT : rc == FIRN_OK && edits >= whole);
        free(zeroed);
    }
    free(s.bytes);
}

static void random_damage_is_an_earlier_edit_or_corruption(void **state) {
    (void)state;
    struct sample s = make_sample(true);
    struct rand rand;
    rand_init(&rand, test_seed());
    uint8_t *bytes = malloc(s.size * 2);
    for (int round = 0; round < 2000; round++) {
        size_t size = rand_below(&rand, s.size * 2);
        uint64_t edits;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = i < s.size ? s.bytes[i] : (uint8_t)rand_next(&rand);
        }
        for (uint64_t n = rand_below(&rand, 3); n > 0 && size > 0; n--) {
            bytes[rand_below(&rand, size)] = (uint8_t)rand_next(&rand);
        }
        int rc = recover_from(bytes, size, &edits);
        assert_true(rc == FIRN_OK || rc == FIRN_CORRUPT);
    }
    free(bytes);
    free(s.bytes);
}

static void a_damaged_current_is_not_a_missing_one(void **state) {
    (void)state;
    struct sample s = make_sample(true);
    struct manifest_state found;
    struct version *v;
    size_t size;
    uint8_t *current = file_bytes_get(memory, "db/CURRENT", &size);
    for (size_t bit = 0; bit < size * 8; bit++) {
        current[bit / 8] ^= (uint8_t)(1 << bit % 8);
        file_bytes_set(memory, "db/CURRENT", current, size);
        assert_int_equal(recover(&found, &v), FIRN_CORRUPT);
        current[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < size; n++) {
        file_bytes_set(memory, "db/CURRENT", current, n);
        assert_int_equal(recover(&found, &v), FIRN_CORRUPT);
    }
    file_bytes_set(memory, "db/CURRENT", current, size);
    assert_int_equal(recover(&found, &v), FIRN_OK);
    version_unref(v);
    assert_int_equal(env_unlink(memory, PATH), FIRN_OK);
    assert_int_equal(recover(&found, &v), FIRN_CORRUPT); /* names what is missing */

    /* Of another database than its manifest. */
    char text[CURRENT_BYTES_MAX];
    uint8_t id[16] = {9};
    file_bytes_set(memory, PATH, s.bytes, s.size);
    file_bytes_set(memory, "db/CURRENT", text, current_encode(2, id, text));
    assert_int_equal(recover(&found, &v), FIRN_CORRUPT);
    assert_int_equal(env_unlink(memory, "db/CURRENT"), FIRN_OK);
    assert_int_equal(recover(&found, &v), FIRN_MISSING);
    free(current);
    free(s.bytes);
}

/* Puts a record of this kind in place of the header, or after it. */
static int recover_with(enum record_kind kind, firn_slice payload, bool as_header) {
    struct sample s = make_sample(true);
    struct record r = {.kind = (uint8_t)kind, .seq = 1, .payload = payload};
    uint8_t bytes[1024];
    size_t at = as_header ? 0 : s.records[1].offset;
    memcpy(bytes, s.bytes, at);
    r.offset = at;
    record_encode_header(&r, record_seed(preamble_manifest.magic, 2), bytes + at);
    memcpy(bytes + at + RECORD_HEADER_BYTES, payload.data, payload.size);
    uint64_t edits;
    int rc = recover_from(bytes, at + RECORD_HEADER_BYTES + payload.size, &edits);
    free(s.bytes);
    return rc;
}

static void what_is_not_known_is_named(void **state) {
    (void)state;
    struct preamble p = {.number = 2, .incompatible = UINT64_C(1) << 33};
    struct buf b;
    memcpy(p.database_id, test_id, sizeof test_id);
    buf_init(&b, &alloc, MEM_OTHER);
    assert_int_equal(preamble_encode(&p, &preamble_manifest, &b), FIRN_OK);
    assert_int_equal(recover_with(RECORD_MANIFEST_HEADER, buf_slice(&b), true), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "bit 33"));
    buf_deinit(&b);
    assert_int_equal(recover_with((enum record_kind)11, FIRN_STR("?"), false), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "kind 11"));
    assert_int_equal(recover_with(RECORD_BATCH, FIRN_STR("?"), false), FIRN_CORRUPT);
    assert_int_equal(recover_with(RECORD_EDIT, FIRN_STR("\x63?"), false), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "MANIFEST-000002"));
    assert_int_equal(recover_with(RECORD_EDIT, FIRN_STR("\x05\x01"), false), FIRN_CORRUPT);
}

static void read_only_features_are_passed_on(void **state) {
    (void)state;
    struct sample s = make_sample(true);
    struct record header = s.records[0];
    s.bytes[RECORD_HEADER_BYTES + 20] = 0x10;
    record_encode_header(&header, record_seed(preamble_manifest.magic, 2), s.bytes);
    file_bytes_set(memory, PATH, s.bytes, s.size);
    struct manifest_state found;
    struct version *v;
    assert_int_equal(recover(&found, &v), FIRN_OK);
    assert_int_equal(found.unknown_read_only, 0x10);
    version_unref(v);
    free(s.bytes);
}

static void golden_manifests_are_made_and_read(void **state) {
    (void)state;
    struct sample s = make_sample(true);
    size_t size;
    uint64_t edits;
    golden_assert_equal("manifest-v1.bin", s.bytes, s.size);
    uint8_t *current = file_bytes_get(memory, "db/CURRENT", &size);
    golden_assert_equal("current-v1.txt", current, size);
    free(current);
    uint8_t *golden = golden_get("current-v1.txt", &size);
    file_bytes_set(memory, "db/CURRENT", golden, size);
    free(golden);
    golden = golden_get("manifest-v1.bin", &size);
    assert_int_equal(recover_from(golden, size, &edits), FIRN_OK);
    assert_int_equal(edits, 4);
    free(golden);

    struct record header = s.records[0];
    s.bytes[RECORD_HEADER_BYTES + 28] = 0x80;
    record_encode_header(&header, record_seed(preamble_manifest.magic, 2), s.bytes);
    golden_assert_equal("manifest-v1-rejected.bin", s.bytes, s.size);
    golden = golden_get("manifest-v1-rejected.bin", &size);
    assert_int_equal(recover_from(golden, size, &edits), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "bit 7"));
    free(golden);
    free(s.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_edit_is_recovered),
        cmocka_unit_test(a_manifest_that_grew_too_large_is_written_anew),
        cmocka_unit_test(a_recovered_manifest_is_never_appended_to),
        cmocka_unit_test(switching_takes_the_steps_in_order),
        cmocka_unit_test(every_fault_is_survived),
        cmocka_unit_test(failures_in_a_row_leave_one_manifest),
        cmocka_unit_test(running_out_of_memory_has_no_effect),
        cmocka_unit_test(a_failure_to_read_is_never_the_end),
        cmocka_unit_test(every_flipped_bit_brings_back_what_was_not_proven_or_is_reported),
        cmocka_unit_test(every_length_recovers_to_an_earlier_edit),
        cmocka_unit_test(random_damage_is_an_earlier_edit_or_corruption),
        cmocka_unit_test(a_damaged_current_is_not_a_missing_one),
        cmocka_unit_test(what_is_not_known_is_named),
        cmocka_unit_test(read_only_features_are_passed_on),
        cmocka_unit_test(golden_manifests_are_made_and_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
