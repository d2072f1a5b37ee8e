/* Merges of random inputs into real tables in memory files, read back and compared with what every
 * reader saw before.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/rand.h"
#include "compaction/merge.h"
#include "sst/table.h"
#include "tests/support/array_iter.h"
#include "tests/support/seed.h"

enum { KEYS = 60, ENTRIES_MAX = 600, INPUTS = 5, SNAPSHOTS = 4, OUT_MAX = 2000 };

struct version {
    char key[8];
    uint64_t seq;
    size_t size; /* of the value, which is made from seq */
    bool dead;
};

struct fixture {
    struct alloc alloc;
    firn_env *env;
    struct rand rand;
    struct merge_request request;
    struct merge_result result;
    uint64_t next_number;
    uint64_t files_fail_at;             /* new_file() fails for this one; 0: none */
    uint64_t progress_calls, cancel_at; /* progress() answers FIRN_CANCELLED; 0: never */
    uint64_t snapshots[SNAPSHOTS];
    /* What went in, and what came out, in order. */
    struct version in[ENTRIES_MAX], out[OUT_MAX];
    size_t in_count, out_count;
    struct iter *inputs[INPUTS];
    unsigned destroyed;
};

static char value_bytes[1 << 16];

/* ---- Requests ---- */

static int new_file(void *context, uint64_t *number, char *path, size_t size) {
    struct fixture *f = context;
    *number = f->next_number++;
    if (*number == f->files_fail_at) {
        return FAIL(FIRN_NO_SPACE, "as told");
    }
    (void)snprintf(path, size, "%06" PRIu64 ".sst", *number);
    return FIRN_OK;
}

static int progress(void *context, uint64_t entries_in, uint64_t bytes_out) {
    struct fixture *f = context;
    (void)bytes_out;
    assert_true(entries_in > 0);
    return ++f->progress_calls == f->cancel_at ? FIRN_CANCELLED : FIRN_OK;
}

static int setup(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    alloc_init(&f.alloc, NULL);
    f.next_number = 1;
    f.snapshots[0] = SEQ_MAX;
    for (size_t i = 0; i < sizeof value_bytes; i++) {
        value_bytes[i] = (char)('a' + i % 23);
    }
    f.request = (struct merge_request){
        .alloc = &f.alloc,
        .inputs = f.inputs,
        .snapshots = f.snapshots,
        .snapshot_count = 1,
        .table_bytes = 1 << 26,
        .table_entries = 1 << 20,
        .new_file = new_file,
        .progress = progress,
        .context = &f,
        .builder = {.form = FIRN_TABLE_FST,
                    .page_bytes = 4096,
                    .effort = SST_EFFORT_FAST,
                    .filter_bits_per_key = 10,
                    .memory_max = 16 << 20,
                    .value_inline_max = 512,
                    .fixed_id = true},
    };
    *state = &f;
    if (env_mem_create(&f.env) != FIRN_OK) {
        return -1;
    }
    f.request.env = f.env;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    merge_result_deinit(&f->alloc, &f->result);
    env_destroy(f->env);
    return atomic_load(&f->alloc.total) == 0 ? 0 : -1;
}

static struct entry entry_of(const struct version *v) {
    struct entry e = {.key = firn_slice_make(v->key, strlen(v->key)), .seq = v->seq};
    e.kind = v->dead ? ENTRY_DELETE : ENTRY_PUT;
    e.value = firn_slice_make(value_bytes + v->seq % 100, v->dead ? 0 : v->size);
    return e;
}

static void add_version(struct fixture *f, unsigned key, uint64_t seq, size_t size, bool dead) {
    assert_true(f->in_count < ENTRIES_MAX);
    struct version *v = &f->in[f->in_count++];
    (void)snprintf(v->key, sizeof v->key, "k%03u", key % 1000);
    v->seq = seq;
    v->size = size;
    v->dead = dead;
}

static int compare_versions(const void *a, const void *b) {
    const struct version *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : (x->seq < y->seq) - (x->seq > y->seq);
}

/* Deals the versions out to `count` inputs. */
static void make_inputs(struct fixture *f, size_t count, size_t fail_at) {
    struct entry dealt[ENTRIES_MAX];
    f->request.input_count = count;
    for (size_t i = 0; i < count; i++) {
        size_t n = 0;
        for (size_t v = i; v < f->in_count; v += count) {
            dealt[n++] = entry_of(&f->in[v]);
        }
        struct array_iter_options options = {.ahead = i % 2 * 7,
                                             .fail_at = i == 0 ? fail_at : ARRAY_ITER_NEVER,
                                             .apart_bytes_min = 2000,
                                             .destroyed = &f->destroyed};
        f->inputs[i] = array_iter_create(dealt, n, &options);
    }
}

/* ---- Reading back ---- */

static void read_table(struct fixture *f, const struct table_meta *meta) {
    char path[32];
    (void)snprintf(path, sizeof path, "%06" PRIu64 ".sst", meta->number);
    struct sst_table *table;
    struct sst_counters counters = {0};
    struct iter *it;
    struct sst_iter_options options = {.cold = true};
    assert_int_equal(sst_table_open(&f->alloc, f->env, path, meta, NULL, &counters, &table),
                     FIRN_OK);
    assert_int_equal(sst_table_iter_create(table, &options, &it), FIRN_OK);
    for (iter_first(it); it->valid; iter_next(it)) {
        assert_true(f->out_count < OUT_MAX && it->entry.key.size < sizeof f->out[0].key);
        struct version *v = &f->out[f->out_count++];
        memset(v, 0, sizeof *v);
        memcpy(v->key, it->entry.key.data, it->entry.key.size);
        v->seq = it->entry.seq;
        v->size = it->entry.value.size;
        v->dead = it->entry.kind == ENTRY_DELETE;
    }
    assert_int_equal(it->status, FIRN_OK);
    iter_destroy(it);
    sst_table_unref(table);
}

static void read_outputs(struct fixture *f) {
    f->out_count = 0;
    uint64_t bytes = 0, entries = 0;
    for (size_t i = 0; i < f->result.count; i++) {
        const struct table_meta *meta = &f->result.tables[i];
        if (i > 0) { /* disjoint, so no key's versions lie in two tables */
            assert_true(slice_compare(f->result.tables[i - 1].largest, meta->smallest) < 0);
        }
        read_table(f, meta);
        bytes += meta->bytes;
        entries += meta->entries;
    }
    assert_int_equal(entries, f->out_count);
    assert_int_equal(f->result.entries_out, entries);
    assert_int_equal(f->result.bytes_out, bytes);
    for (size_t i = 1; i < f->out_count; i++) {
        assert_true(compare_versions(&f->out[i - 1], &f->out[i]) < 0);
    }
}

/* The size of the value that a reader sees, or -1; values have sizes that tell them apart. */
static long view(const struct version *versions, size_t count, const char *key, uint64_t reader) {
    const struct version *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(versions[i].key, key) == 0 && versions[i].seq <= reader &&
            (best == NULL || versions[i].seq > best->seq)) {
            best = &versions[i];
        }
    }
    return best == NULL || best->dead ? -1 : (long)best->size;
}

static void check_views(struct fixture *f) {
    for (unsigned k = 0; k < KEYS; k++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%03u", k);
        for (size_t s = 0; s < f->request.snapshot_count; s++) {
            assert_int_equal(view(f->in, f->in_count, key, f->snapshots[s]),
                             view(f->out, f->out_count, key, f->snapshots[s]));
        }
        assert_int_equal(view(f->in, f->in_count, key, SEQ_MAX),
                         view(f->out, f->out_count, key, SEQ_MAX));
    }
}

static void check_cleared(const struct fixture *f) {
    assert_int_equal(f->destroyed, f->request.input_count);
}

/* ---- Tests ---- */

static int compare_u64(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void random_versions(struct fixture *f, size_t count) {
    f->in_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = 1 + i + (rand_below(&f->rand, 20) == 0 ? 3000 : 0);
        add_version(f, (unsigned)rand_below(&f->rand, KEYS), i + 1, size,
                    rand_below(&f->rand, 3) == 0);
    }
    f->request.snapshot_count = 1 + rand_below(&f->rand, SNAPSHOTS);
    for (size_t i = 0; i < f->request.snapshot_count; i++) {
        f->snapshots[i] = rand_below(&f->rand, count + 1);
    }
    qsort(f->snapshots, f->request.snapshot_count, sizeof *f->snapshots, compare_u64);
}

static void every_reader_sees_the_same_after_a_merge(void **state) {
    struct fixture *f = *state;
    rand_init(&f->rand, test_seed());
    for (int round = 0; round < 60; round++) {
        random_versions(f, 1 + rand_below(&f->rand, ENTRIES_MAX));
        f->request.bottom = rand_below(&f->rand, 2) == 0;
        f->request.table_entries = 1 + rand_below(&f->rand, 100);
        f->destroyed = 0;
        make_inputs(f, 1 + rand_below(&f->rand, INPUTS), ARRAY_ITER_NEVER);
        assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
        assert_int_equal(f->result.entries_in, f->in_count);
        check_cleared(f);
        read_outputs(f);
        check_views(f);
        merge_result_deinit(&f->alloc, &f->result);
    }
}

static void nothing_is_made_of_nothing(void **state) {
    struct fixture *f = *state;
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK); /* no input at all */
    for (unsigned k = 0; k < 10; k++) {
        add_version(f, k, k + 1, 0, true);
    }
    f->request.bottom = true;
    make_inputs(f, 2, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
    assert_int_equal(f->result.count, 0);
    assert_int_equal(f->result.created_count, 0);
    assert_int_equal(f->result.entries_in, 10);
}

static void outputs_end_at_the_entry_limit(void **state) {
    struct fixture *f = *state;
    for (unsigned k = 0; k < 50; k++) {
        add_version(f, k, k + 1, 10, false);
    }
    f->request.table_entries = 20;
    make_inputs(f, 3, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
    assert_int_equal(f->result.count, 3);
    assert_int_equal(f->result.tables[0].entries, 20);
    assert_int_equal(f->result.tables[2].entries, 10);
    assert_int_equal(f->result.tables[1].number, 2);
}

static void outputs_end_at_the_byte_limit(void **state) {
    struct fixture *f = *state;
    for (unsigned k = 0; k < 50; k++) {
        add_version(f, k, k + 1, 10000, false);
    }
    f->request.table_bytes = 100000;
    make_inputs(f, 3, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
    assert_true(f->result.count >= 4 && f->result.count <= 8);
    read_outputs(f);
    assert_int_equal(f->out_count, 50);
}

static void outputs_end_at_cuts_only_past_a_quarter(void **state) {
    struct fixture *f = *state;
    for (unsigned k = 0; k < 60; k++) {
        add_version(f, k, k + 1, 10, false);
    }
    /* A quarter is 10 entries: the cut at 5 is passed over, those at 12 and 30 are taken. */
    const firn_slice cuts[] = {FIRN_STR("k005"), FIRN_STR("k0115"), FIRN_STR("k030")};
    f->request.cuts = cuts;
    f->request.cut_count = 3;
    f->request.cut_part = 0.25;
    f->request.table_entries = 40;
    make_inputs(f, 2, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
    assert_int_equal(f->result.count, 3);
    assert_true(slice_equal(f->result.tables[1].smallest, FIRN_STR("k012")));
    assert_true(slice_equal(f->result.tables[2].smallest, FIRN_STR("k030")));
}

static void versions_of_a_key_stay_in_one_table(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 0; i < 200; i++) {
        add_version(f, i / 100, i + 1, 10, false);
    }
    f->snapshots[0] = 0; /* all versions stay */
    f->request.table_entries = 10;
    make_inputs(f, 3, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
    assert_int_equal(f->result.count, 2);
    assert_int_equal(f->result.tables[0].entries, 100);
    assert_int_equal(f->result.tables[0].keys, 1);
}

static void metas_know_the_true_sequences(void **state) {
    struct fixture *f = *state;
    for (unsigned k = 0; k < 10; k++) {
        add_version(f, k, 100 + k, 10, false);
    }
    f->request.bottom = true;
    make_inputs(f, 1, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
    assert_int_equal(f->result.count, 1);
    assert_int_equal(f->result.tables[0].seq_min, 100);
    assert_int_equal(f->result.tables[0].seq_max, 109);
    read_outputs(f);
    for (size_t i = 0; i < f->out_count; i++) {
        assert_int_equal(f->out[i].seq, 0);
    }
}

static void the_walk_stops_before_the_upper_key(void **state) {
    struct fixture *f = *state;
    for (unsigned k = 0; k < 20; k++) {
        add_version(f, k, k + 1, 10, false);
    }
    firn_slice upper = FIRN_STR("k007");
    f->request.upper = &upper;
    make_inputs(f, 2, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
    assert_int_equal(f->result.count, 1);
    assert_true(slice_equal(f->result.tables[0].largest, FIRN_STR("k006")));
}

static void many_keys(struct fixture *f) {
    f->in_count = 0;
    for (unsigned k = 0; k < 60; k++) {
        for (unsigned i = 0; i < 10; i++) {
            add_version(f, k, k * 10 + i + 1, 4000, i == 3);
        }
    }
    f->snapshots[0] = 0;
    f->request.table_entries = 100;
    f->destroyed = 0;
}

static void a_failing_input_fails_the_merge_and_names_what_was_begun(void **state) {
    struct fixture *f = *state;
    many_keys(f);
    make_inputs(f, 2, 150);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_IO);
    assert_true(f->result.created_count > f->result.count);
    assert_true(f->result.count > 0);
    check_cleared(f);
}

static void a_file_that_cannot_be_made_fails_the_merge(void **state) {
    struct fixture *f = *state;
    many_keys(f);
    f->files_fail_at = 3;
    make_inputs(f, 2, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_NO_SPACE);
    assert_int_equal(f->result.count, 2);
    assert_int_equal(f->result.created_count, 2);
    check_cleared(f);
}

static void a_file_that_is_there_already_is_not_written_over(void **state) {
    struct fixture *f = *state;
    struct env_file *file;
    assert_int_equal(env_create(f->env, "000001.sst", &file), FIRN_OK);
    assert_int_equal(env_close(file), FIRN_OK);
    many_keys(f);
    make_inputs(f, 2, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_EXISTS);
    assert_int_equal(f->result.count, 0);
    check_cleared(f);
}

static void progress_is_told_by_bytes_and_can_cancel(void **state) {
    struct fixture *f = *state;
    many_keys(f); /* 2.1 MB of values */
    make_inputs(f, 2, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_OK);
    assert_int_equal(f->progress_calls, 2);
    merge_result_deinit(&f->alloc, &f->result);
    f->cancel_at = 3;
    f->destroyed = 0;
    make_inputs(f, 2, ARRAY_ITER_NEVER);
    assert_int_equal(merge_run(&f->request, &f->result), FIRN_CANCELLED);
    check_cleared(f);
}

static void without_memory_at_any_point_the_merge_fails_cleanly(void **state) {
    struct fixture *f = *state;
    size_t failures = 0;
    int rc = FIRN_NOMEM;
    for (uint64_t n = 1; rc != FIRN_OK; n++) {
        assert_true(n < 20000);
        f->in_count = 0;
        for (unsigned i = 0; i < 40; i++) {
            add_version(f, i / 2, i + 1, i == 7 ? 3000 : 10, i % 5 == 0);
        }
        f->request.table_entries = 8;
        f->next_number = n * 100;
        f->destroyed = 0;
        make_inputs(f, 3, ARRAY_ITER_NEVER);
        atomic_store(&f->alloc.fail_after, n);
        rc = merge_run(&f->request, &f->result);
        atomic_store(&f->alloc.fail_after, 0);
        assert_true(rc == FIRN_OK || rc == FIRN_NOMEM);
        check_cleared(f);
        merge_result_deinit(&f->alloc, &f->result);
        assert_int_equal(atomic_load(&f->alloc.total), 0);
        failures += rc != FIRN_OK;
    }
    printf("%zu allocations failed, one at a time\n", failures);
    assert_true(failures > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_reader_sees_the_same_after_a_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_made_of_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(outputs_end_at_the_entry_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(outputs_end_at_the_byte_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(outputs_end_at_cuts_only_past_a_quarter, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_of_a_key_stay_in_one_table, setup, teardown),
        cmocka_unit_test_setup_teardown(metas_know_the_true_sequences, setup, teardown),
        cmocka_unit_test_setup_teardown(the_walk_stops_before_the_upper_key, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_input_fails_the_merge_and_names_what_was_begun,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_made_fails_the_merge, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_there_already_is_not_written_over, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(progress_is_told_by_bytes_and_can_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_at_any_point_the_merge_fails_cleanly, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
