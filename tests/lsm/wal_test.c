/* The logs here are small enough to try every flipped bit and every length. What must come out is
 * always known exactly: the records before the damage, and then either the end or corruption,
 * depending on whether an undamaged record elsewhere says that the damaged place was durable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "lsm/files.h"
#include "lsm/preamble.h"
#include "lsm/wal.h"
#include "tests/support/fault_env.h"
#include "tests/support/file_bytes.h"
#include "tests/support/seed.h"

#define NUMBER 5
#define PATH "db/000005.log"
#define RECORDS_MAX 64

static struct alloc alloc;
static firn_env *memory, *env; /* env: the same with faults */

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

static const struct wal_header test_header = {
    .database_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .number = NUMBER,
    .edit_number = 42,
    .older_count = 2,
    .older = {{3, 100}, {4, 70000}},
};

static struct wal_writer *create(void) {
    struct wal_writer *w;
    assert_int_equal(wal_writer_create(&alloc, env, "db", &test_header, &w), FIRN_OK);
    return w;
}

static void add(struct wal_writer *w, uint64_t seq, const char *text) {
    assert_int_equal(wal_writer_add(w, RECORD_BATCH, seq, firn_slice_make(text, strlen(text))),
                     FIRN_OK);
}

static void flush(struct wal_writer *w) {
    assert_int_equal(wal_writer_flush(w), FIRN_OK);
}

static void sync_log(struct wal_writer *w) {
    assert_int_equal(wal_writer_sync(w), FIRN_OK);
    assert_int_equal(wal_writer_durable(w), wal_writer_bytes(w));
}

/* A log's bytes and where its records are; record 0 is the header. */
struct sample {
    uint8_t *bytes;
    size_t size;
    struct record records[RECORDS_MAX]; /* payloads point into bytes */
    size_t count;
};

static struct sample sample_of_file(void) {
    struct sample s = {0};
    s.bytes = file_bytes_get(memory, PATH, &s.size);
    uint64_t seed = record_seed(preamble_log.magic, NUMBER), at = 0;
    while (at < s.size) {
        firn_slice rest = firn_slice_make(s.bytes + at, s.size - at);
        assert_true(record_decode(rest, at, seed, &s.records[s.count++], &at));
    }
    return s;
}

/* sync: after which of the records; mark: at the end. */
static struct sample make_sample(const char *syncs, bool mark) {
    (void)env_unlink(memory, PATH);
    struct wal_writer *w = create();
    for (uint64_t i = 0; syncs[i] != '\0'; i++) {
        static const char *const texts[] = {"", "one", "the second", "a third that is longer"};
        add(w, i * 10 + 1, texts[i % 4]);
        if (syncs[i] != '+') { /* +: the next goes out together with it */
            flush(w);
        }
        if (syncs[i] == 's') {
            sync_log(w);
        }
    }
    if (mark) {
        assert_int_equal(wal_writer_mark(w), FIRN_OK);
    }
    assert_int_equal(wal_writer_close(w), FIRN_OK);
    return sample_of_file();
}

/* Reads the file, which must begin like the sample; returns the code that ended it, and how many
 * records (the header included) came before. */
static int read_like(const struct sample *s, size_t *count, bool *torn) {
    struct wal_reader *r;
    *count = 0;
    *torn = false;
    int rc = wal_reader_open(&alloc, env, "db", NUMBER, &r);
    if (rc != FIRN_OK) {
        return rc;
    }
    assert_int_equal(wal_reader_header(r)->edit_number, test_header.edit_number);
    *count = 1;
    struct record found;
    while ((rc = wal_reader_next(r, &found)) == FIRN_OK) {
        assert_true(*count < s->count);
        const struct record *expected = &s->records[(*count)++];
        assert_int_equal(found.kind, expected->kind);
        assert_int_equal(found.seq, expected->seq);
        assert_int_equal(found.offset, expected->offset);
        assert_int_equal(found.durable, expected->durable);
        assert_true(slice_equal(found.payload, expected->payload));
    }
    *torn = wal_reader_torn(r);
    if (rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT) {
        assert_int_equal(wal_reader_next(r, &found), rc); /* it stays where it is */
    }
    wal_reader_close(r);
    return rc;
}

/* The highest mark of a record other than `but`. */
static uint64_t durable_without(const struct sample *s, size_t but) {
    uint64_t durable = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (i != but && s->records[i].durable > durable) {
            durable = s->records[i].durable;
        }
    }
    return durable;
}

static void a_log_is_read_back(void **state) {
    (void)state;
    struct sample s = make_sample("--s+-s", true);
    struct wal_reader *r;
    size_t count;
    bool torn, proof;
    assert_int_equal(s.count, 8);
    assert_int_equal(read_like(&s, &count, &torn), FIRN_NOT_FOUND);
    assert_int_equal(count, s.count);
    assert_false(torn);
    assert_int_equal(s.records[7].kind, RECORD_MARK);
    assert_int_equal(s.records[7].durable, s.records[7].offset);
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_OK);
    const struct wal_header *h = wal_reader_header(r);
    assert_memory_equal(h->database_id, test_header.database_id, 16);
    assert_int_equal(h->number, NUMBER);
    assert_int_equal(h->older_count, 2);
    assert_int_equal(h->older[1].number, 4);
    assert_int_equal(h->older[1].bytes, 70000);
    assert_int_equal(h->unknown_read_only, 0);
    assert_int_equal(wal_reader_proves_sync(r, &proof), FIRN_OK);
    assert_true(proof);
    wal_reader_close(r);
    free(s.bytes);
}

static void every_flipped_bit_ends_the_log_or_is_reported(void **state) {
    (void)state;
    static const char *const shapes[] = {"", "---", "s", "--s-", "s-s--", "--s+-", "++s+s-+"};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        struct sample s = make_sample(shapes[i / 2], i % 2 == 1);
        for (size_t k = 0; k < s.count; k++) {
            uint64_t from = s.records[k].offset;
            uint64_t end = k + 1 < s.count ? s.records[k + 1].offset : s.size;
            int expected = from < durable_without(&s, k) ? FIRN_CORRUPT : FIRN_NOT_FOUND;
            for (uint64_t bit = from * 8; bit < end * 8; bit++) {
                s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                file_bytes_set(memory, PATH, s.bytes, s.size);
                s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                size_t count;
                bool torn;
                assert_int_equal(read_like(&s, &count, &torn), expected);
                assert_int_equal(count, k);
                assert_int_equal(torn, expected == FIRN_NOT_FOUND && k > 0);
            }
        }
        free(s.bytes);
    }
}

static void every_length_of_a_log_is_a_prefix_of_it(void **state) {
    (void)state;
    struct sample s = make_sample("--s-s--", true);
    size_t whole = 0; /* records that lie within `size` */
    for (size_t size = 0; size <= s.size; size++) {
        while (whole < s.count &&
               (whole + 1 < s.count ? s.records[whole + 1].offset : s.size) <= size) {
            whole++;
        }
        bool boundary = size == s.size || (whole > 0 && s.records[whole].offset == size);
        size_t count;
        bool torn;
        file_bytes_set(memory, PATH, s.bytes, size);
        assert_int_equal(read_like(&s, &count, &torn), FIRN_NOT_FOUND);
        assert_int_equal(count, whole);
        assert_int_equal(torn, whole > 0 && !boundary);

        uint8_t *zeroed = calloc(1, s.size + 100);
        memcpy(zeroed, s.bytes, size);
        file_bytes_set(memory, PATH, zeroed, s.size + 100);
        assert_int_equal(read_like(&s, &count, &torn), FIRN_NOT_FOUND);
        assert_true(count >= whole);
        free(zeroed);
    }
    free(s.bytes);
}

static void sectors_that_are_missing_end_a_log_that_was_not_synced(void **state) {
    (void)state;
    struct rand rand;
    rand_init(&rand, test_seed());
    for (int round = 0; round < 200; round++) {
        (void)env_unlink(memory, PATH);
        struct wal_writer *w = create();
        size_t synced = 2 + rand_below(&rand, 5), all = synced + rand_below(&rand, 20);
        for (size_t i = 0; i < all; i++) {
            char text[400] = {0};
            memset(text, 'a' + (int)(i % 26), rand_below(&rand, sizeof text));
            add(w, i + 1, text);
            flush(w);
            if (i + 1 == synced) {
                sync_log(w);
            }
        }
        uint64_t durable = wal_writer_durable(w);
        assert_int_equal(wal_writer_close(w), FIRN_OK);
        struct sample s = sample_of_file();
        uint8_t *left = malloc(s.size);
        memcpy(left, s.bytes, s.size);
        for (size_t at = durable; at < s.size; at = (at / 512 + 1) * 512) {
            size_t end = (at / 512 + 1) * 512 < s.size ? (at / 512 + 1) * 512 : s.size;
            if (rand_below(&rand, 2) == 0) {
                memset(left + at, 0, end - at);
            }
        }
        file_bytes_set(memory, PATH, left, s.size);
        size_t count;
        bool torn;
        assert_int_equal(read_like(&s, &count, &torn), FIRN_NOT_FOUND);
        assert_true(count >= 1 + synced);
        free(left);
        free(s.bytes);
    }
}

static void random_damage_never_yields_a_wrong_record(void **state) {
    (void)state;
    struct sample s = make_sample("--s-s-+--s", true);
    struct rand rand;
    rand_init(&rand, test_seed());
    uint8_t *bytes = malloc(s.size * 2);
    for (int round = 0; round < 2000; round++) {
        size_t size = rand_below(&rand, s.size * 2);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = i < s.size ? s.bytes[i] : (uint8_t)rand_next(&rand);
        }
        for (uint64_t n = rand_below(&rand, 4); n > 0 && size > 0; n--) {
            size_t at = rand_below(&rand, size), end = at + rand_below(&rand, 64);
            for (; at < end && at < size; at++) {
                bytes[at] = (uint8_t)rand_next(&rand);
            }
        }
        file_bytes_set(memory, PATH, bytes, size);
        size_t count;
        bool torn;
        int rc = read_like(&s, &count, &torn);
        assert_true(rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT);
    }
    free(bytes);
    free(s.bytes);
}

static void a_limit_hides_what_no_longer_counts(void **state) {
    (void)state;
    struct sample s = make_sample("----", false);
    struct wal_reader *r;
    struct record record;
    s.bytes[s.records[3].offset + 5] ^= 1; /* damage beyond the limit is nobody's business */
    file_bytes_set(memory, PATH, s.bytes, s.size);
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_OK);
    wal_reader_limit(r, s.records[3].offset);
    assert_int_equal(wal_reader_next(r, &record), FIRN_OK);
    assert_int_equal(wal_reader_next(r, &record), FIRN_OK);
    assert_int_equal(wal_reader_next(r, &record), FIRN_NOT_FOUND);
    assert_int_equal(wal_reader_offset(r), s.records[3].offset);
    assert_false(wal_reader_torn(r));
    bool proof;
    assert_int_equal(wal_reader_proves_sync(r, &proof), FIRN_OK);
    assert_false(proof);
    wal_reader_close(r);
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_OK);
    wal_reader_limit(r, s.records[2].offset + 3); /* no place where a log can end */
    assert_int_equal(wal_reader_next(r, &record), FIRN_OK);
    assert_int_equal(wal_reader_next(r, &record), FIRN_CORRUPT);
    wal_reader_close(r);
    free(s.bytes);
}

static void proof_of_a_sync_is_found_behind_damage(void **state) {
    (void)state;
    struct sample s = make_sample("-s--", false);
    struct wal_reader *r;
    struct record record;
    bool proof;
    uint64_t durable = durable_without(&s, SIZE_MAX);
    assert_true(durable > 0);
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_OK);
    assert_int_equal(wal_reader_next(r, &record), FIRN_OK);
    assert_int_equal(wal_reader_proves_sync(r, &proof), FIRN_OK);
    assert_true(proof);
    for (size_t i = 2; i < s.count; i++) { /* and the walk goes on */
        assert_int_equal(wal_reader_next(r, &record), FIRN_OK);
        assert_int_equal(record.seq, s.records[i].seq);
        assert_true(slice_equal(record.payload, s.records[i].payload));
    }
    assert_int_equal(wal_reader_next(r, &record), FIRN_NOT_FOUND);
    wal_reader_close(r);
    s.bytes[2] ^= 1;
    file_bytes_set(memory, PATH, s.bytes, s.size);
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_CORRUPT);
    free(s.bytes);
    s = make_sample("--", false);
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_OK);
    assert_int_equal(wal_reader_proves_sync(r, &proof), FIRN_OK);
    assert_false(proof);
    wal_reader_close(r);
    free(s.bytes);
}

static void large_payloads_go_out_uncopied_and_come_back(void **state) {
    (void)state;
    size_t large = (size_t)3 << 20;
    uint8_t *payload = malloc(large);
    for (size_t i = 0; i < large; i++) {
        payload[i] = (uint8_t)(i * 31 >> 8);
    }
    (void)env_unlink(memory, PATH);
    struct wal_writer *w = create();
    add(w, 1, "before");
    size_t held = atomic_load(&alloc.total);
    assert_int_equal(wal_writer_add(w, RECORD_BATCH, 2, firn_slice_make(payload, large)), FIRN_OK);
    add(w, 3, "between");
    assert_int_equal(wal_writer_add(w, RECORD_BATCH, 4, firn_slice_make(payload, large - 1)),
                     FIRN_OK);
    assert_true(atomic_load(&alloc.total) < held + (1u << 20));
    fault_env_clear(env);
    flush(w);
    assert_int_equal(fault_env_count(env, FAULT_APPEND), 4);
    add(w, 5, "after");
    add(w, 6, "and one more");
    fault_env_clear(env);
    flush(w);
    assert_int_equal(fault_env_count(env, FAULT_APPEND), 1); /* a group is one append */
    assert_int_equal(wal_writer_close(w), FIRN_OK);
    struct sample s = sample_of_file();
    size_t count;
    bool torn;
    assert_int_equal(s.count, 7);
    assert_int_equal(read_like(&s, &count, &torn), FIRN_NOT_FOUND);
    assert_int_equal(count, 7);
    assert_memory_equal(s.records[4].payload.data, payload, large - 1);
    free(payload);
    free(s.bytes);
}

static void the_first_sync_makes_the_name_durable_and_idle_ones_do_nothing(void **state) {
    (void)state;
    (void)env_unlink(memory, PATH);
    fault_env_clear(env);
    struct wal_writer *w = create();
    assert_string_equal(fault_env_trace(env), "c");
    add(w, 1, "a");
    flush(w);
    sync_log(w);
    assert_string_equal(fault_env_trace(env), "cpasd");
    sync_log(w);
    add(w, 2, "b");
    flush(w);
    sync_log(w);
    assert_string_equal(fault_env_trace(env), "cpasdas");
    assert_int_equal(wal_writer_mark(w), FIRN_OK);
    assert_string_equal(fault_env_trace(env), "cpasdasas");
    assert_int_equal(wal_writer_close(w), FIRN_OK);
}

static void space_is_asked_for_in_doubling_steps(void **state) {
    (void)state;
    (void)env_unlink(memory, PATH);
    fault_env_clear(env);
    struct wal_writer *w = create();
    char text[1000] = {0};
    memset(text, 'x', sizeof text - 1);
    uint64_t before = 0, step = 0;
    unsigned asked = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        add(w, i + 1, text);
        flush(w);
        uint64_t now = fault_env_preallocated(env);
        assert_true(now >= wal_writer_bytes(w));
        if (fault_env_count(env, FAULT_PREALLOCATE) > asked) {
            asked++;
            step = asked == 1 ? 64u << 10 : step * 2 > (4u << 20) ? 4u << 20 : step * 2;
            assert_int_equal(now, before + step);
            before = now;
        }
    }
    assert_true(asked >= 10);
    assert_int_equal(wal_writer_close(w), FIRN_OK);
}

static void a_refused_reservation_is_no_failure(void **state) {
    (void)state;
    (void)env_unlink(memory, PATH);
    struct wal_writer *w = create();
    fault_env_set(env, FAULT_PREALLOCATE, 1, FIRN_NO_SPACE, false);
    add(w, 1, "small");
    flush(w);
    sync_log(w);
    assert_false(wal_writer_poisoned(w));
    assert_int_equal(wal_writer_close(w), FIRN_OK);
}

/* Any failure of a call on the file ends its use; what had been flushed before still counts. */
static void a_failure_poisons_the_writer(void **state) {
    (void)state;
    static const enum fault_call calls[] = {FAULT_APPEND, FAULT_SYNC, FAULT_SYNC_DIR};
    for (int i = 0; i < 12; i++) {
        enum fault_call call = calls[i % 3];
        bool done = i / 3 % 2 == 1;
        int code = i / 6 == 0 ? FIRN_IO : FIRN_NO_SPACE;
        (void)env_unlink(memory, PATH);
        struct wal_writer *w = create();
        add(w, 1, "counts");
        flush(w);
        uint64_t bytes = wal_writer_bytes(w);
        add(w, 2, "does not");
        fault_env_set(env, call, 1, code, done);
        int rc = wal_writer_flush(w);
        if (rc == FIRN_OK) {
            bytes = wal_writer_bytes(w);
            rc = wal_writer_sync(w);
        }
        assert_int_equal(rc, code);
        assert_true(wal_writer_poisoned(w));
        assert_int_equal(wal_writer_bytes(w), bytes);
        assert_int_equal(wal_writer_durable(w), 0);
        fault_env_clear(env);
        assert_int_equal(wal_writer_add(w, RECORD_BATCH, 3, FIRN_STR("x")), code);
        assert_int_equal(wal_writer_flush(w), code);
        assert_int_equal(wal_writer_sync(w), code);
        assert_int_equal(wal_writer_mark(w), code);
        assert_string_equal(fault_env_trace(env), ""); /* the file is left alone */
        assert_int_equal(wal_writer_close(w), FIRN_OK);
        struct wal_reader *r;
        struct record record;
        assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_OK);
        wal_reader_limit(r, bytes);
        assert_int_equal(wal_reader_next(r, &record), FIRN_OK);
        assert_int_equal(record.seq, 1);
        wal_reader_close(r);
    }
}

static void a_failed_close_is_told(void **state) {
    (void)state;
    (void)env_unlink(memory, PATH);
    struct wal_writer *w = create();
    flush(w);
    fault_env_set(env, FAULT_CLOSE, 1, FIRN_IO, false);
    assert_int_equal(wal_writer_close(w), FIRN_IO);
    assert_int_equal(wal_writer_close(NULL), FIRN_OK);
}

static void a_failure_to_read_is_never_the_end(void **state) {
    (void)state;
    struct sample s = make_sample("--s-", true);
    struct wal_reader *r;
    fault_env_set(env, FAULT_OPEN, 1, FIRN_IO, false);
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_IO);
    fault_env_set(env, FAULT_READ, 1, FIRN_IO, false);
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_IO);
    assert_null(r);

    /* Longer than the window, so that reading goes on in the middle. */
    (void)env_unlink(memory, PATH);
    struct wal_writer *w = create();
    char text[60000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (uint64_t i = 1; i <= 30; i++) {
        add(w, i, text);
        flush(w);
    }
    assert_int_equal(wal_writer_close(w), FIRN_OK);
    for (unsigned n = 2; n < 6; n++) {
        struct record record;
        uint64_t seq = 0;
        bool failed = false;
        fault_env_set(env, FAULT_READ, n, FIRN_IO, false);
        assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_OK);
        for (;;) {
            int rc = wal_reader_next(r, &record);
            if (rc == FIRN_IO) {
                assert_false(failed);
                failed = true; /* and then it works again */
                continue;
            }
            if (rc == FIRN_NOT_FOUND) {
                break;
            }
            assert_int_equal(rc, FIRN_OK);
            assert_int_equal(record.seq, ++seq);
        }
        assert_true(failed);
        assert_int_equal(seq, 30);
        wal_reader_close(r);
    }
    free(s.bytes);
}

static void running_out_of_memory_has_no_effect(void **state) {
    (void)state;
    struct wal_writer *w = NULL;
    for (uint64_t n = 1; w == NULL; n++) {
        (void)env_unlink(memory, PATH);
        atomic_store(&alloc.fail_after, n);
        int rc = wal_writer_create(&alloc, env, "db", &test_header, &w);
        assert_true(rc == (w == NULL ? FIRN_NOMEM : FIRN_OK));
    }
    atomic_store(&alloc.fail_after, 0);
    add(w, 1, "a");
    uint8_t *large = calloc(1, 2u << 20);
    for (uint64_t n = 1, done = 0; done == 0; n++) {
        atomic_store(&alloc.fail_after, n);
        int rc = wal_writer_add(w, RECORD_BATCH, 2, firn_slice_make(large, (2u << 20)));
        done = rc == FIRN_OK;
        assert_true(done || rc == FIRN_NOMEM);
    }
    atomic_store(&alloc.fail_after, 0);
    add(w, 3, "c");
    flush(w);
    assert_int_equal(wal_writer_close(w), FIRN_OK);
    struct sample s = sample_of_file();
    assert_int_equal(s.count, 4);
    for (uint64_t n = 1, done = 0; done == 0; n++) {
        size_t count;
        bool torn;
        atomic_store(&alloc.fail_after, n);
        int rc = read_like(&s, &count, &torn);
        done = rc == FIRN_NOT_FOUND;
        assert_true(done || rc == FIRN_NOMEM || count > 0);
    }
    atomic_store(&alloc.fail_after, 0);
    free(large);
    free(s.bytes);
}

/* Writes a log whose header payload is given, and tells what opening it answers. */
static int open_with_header(firn_slice payload) {
    uint8_t bytes[512];
    struct record r = {.kind = RECORD_LOG_HEADER, .payload = payload};
    struct wal_reader *reader;
    record_encode_header(&r, record_seed(preamble_log.magic, NUMBER), bytes);
    memcpy(bytes + RECORD_HEADER_BYTES, payload.data, payload.size);
    file_bytes_set(memory, PATH, bytes, RECORD_HEADER_BYTES + payload.size);
    int rc = wal_reader_open(&alloc, env, "db", NUMBER, &reader);
    if (rc == FIRN_OK) {
        wal_reader_close(reader);
    }
    return rc;
}

static void headers_that_cannot_be_are_refused(void **state) {
    (void)state;
    enum {
        AT_VERSION = 8,
        AT_COMPATIBLE = 12,
        AT_READ_ONLY = 20,
        AT_INCOMPATIBLE = 28,
        AT_NUMBER = 52
    };
    struct buf b;
    buf_init(&b, &alloc, MEM_OTHER);
    assert_int_equal(wal_header_encode(&test_header, &b), FIRN_OK);
    assert_int_equal(open_with_header(buf_slice(&b)), FIRN_OK);
    for (size_t size = 0; size < b.size; size++) {
        assert_int_equal(open_with_header(firn_slice_make(b.data, size)), FIRN_CORRUPT);
    }
    b.data[0] ^= 1;
    assert_int_equal(open_with_header(buf_slice(&b)), FIRN_CORRUPT);
    b.data[0] ^= 1;
    b.data[AT_VERSION] = 2;
    assert_int_equal(open_with_header(buf_slice(&b)), FIRN_UNSUPPORTED);
    b.data[AT_VERSION] = 1;
    b.data[AT_COMPATIBLE + 3] = 4;
    b.data[AT_READ_ONLY + 3] = 4;
    assert_int_equal(open_with_header(buf_slice(&b)), FIRN_OK);
    struct wal_header h;
    assert_int_equal(wal_header_decode(buf_slice(&b), NUMBER, PATH, &h), FIRN_OK);
    assert_int_equal(h.unknown_read_only, 4u << 24);
    b.data[AT_INCOMPATIBLE + 1] = 0x20;
    assert_int_equal(open_with_header(buf_slice(&b)), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "bit 13"));
    b.data[AT_INCOMPATIBLE + 1] = 0;
    b.data[AT_NUMBER] ^= 1;
    assert_int_equal(open_with_header(buf_slice(&b)), FIRN_CORRUPT);
    b.data[AT_NUMBER] ^= 1;
    assert_int_equal(buf_append_u8(&b, 0), FIRN_OK);
    assert_int_equal(open_with_header(buf_slice(&b)), FIRN_CORRUPT);
    buf_deinit(&b);

    struct wal_header bad = test_header;
    bad.older[0].number = 4; /* not ascending */
    buf_init(&b, &alloc, MEM_OTHER);
    assert_int_equal(wal_header_encode(&bad, &b), FIRN_OK);
    assert_int_equal(open_with_header(buf_slice(&b)), FIRN_CORRUPT);
    buf_deinit(&b);
    bad.older_count = WAL_OLDER_MAX + 1;
    buf_init(&b, &alloc, MEM_OTHER);
    assert_int_equal(wal_header_encode(&bad, &b), FIRN_INVALID);
    buf_deinit(&b);
}

static void an_unknown_kind_of_record_is_named(void **state) {
    (void)state;
    (void)env_unlink(memory, PATH);
    struct wal_writer *w = create();
    assert_int_equal(wal_writer_add(w, (enum record_kind)19, 1, FIRN_STR("?")), FIRN_OK);
    flush(w);
    assert_int_equal(wal_writer_close(w), FIRN_OK);
    struct wal_reader *r;
    struct record record;
    assert_int_equal(wal_reader_open(&alloc, env, "db", NUMBER, &r), FIRN_OK);
    assert_int_equal(wal_reader_next(r, &record), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "kind 19"));
    wal_reader_close(r);
}

static void golden_logs_are_made_and_read(void **state) {
    (void)state;
    struct sample s = make_sample("s+-", true);
    size_t size, count;
    bool torn;
    golden_assert_equal("log-v1.bin", s.bytes, s.size);
    uint8_t *golden = golden_get("log-v1.bin", &size);
    file_bytes_set(memory, PATH, golden, size);
    assert_int_equal(read_like(&s, &count, &torn), FIRN_NOT_FOUND);
    assert_int_equal(count, 5);
    free(golden);

    /* The same with an incompatible feature that nobody knows. */
    uint8_t *bytes = s.bytes;
    struct record header = s.records[0];
    bytes[RECORD_HEADER_BYTES + 28 + 5] = 1;
    record_encode_header(&header, record_seed(preamble_log.magic, NUMBER), bytes);
    golden_assert_equal("log-v1-rejected.bin", bytes, s.size);
    golden = golden_get("log-v1-rejected.bin", &size);
    file_bytes_set(memory, PATH, golden, size);
    assert_int_equal(read_like(&s, &count, &torn), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "bit 40"));
    free(golden);
    free(s.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_is_read_back),
        cmocka_unit_test(every_flipped_bit_ends_the_log_or_is_reported),
        cmocka_unit_test(every_length_of_a_log_is_a_prefix_of_it),
        cmocka_unit_test(sectors_that_are_missing_end_a_log_that_was_not_synced),
        cmocka_unit_test(random_damage_never_yields_a_wrong_record),
        cmocka_unit_test(a_limit_hides_what_no_longer_counts),
        cmocka_unit_test(proof_of_a_sync_is_found_behind_damage),
        cmocka_unit_test(large_payloads_go_out_uncopied_and_come_back),
        cmocka_unit_test(the_first_sync_makes_the_name_durable_and_idle_ones_do_nothing),
        cmocka_unit_test(space_is_asked_for_in_doubling_steps),
        cmocka_unit_test(a_refused_reservation_is_no_failure),
        cmocka_unit_test(a_failure_poisons_the_writer),
        cmocka_unit_test(a_failed_close_is_told),
        cmocka_unit_test(a_failure_to_read_is_never_the_end),
        cmocka_unit_test(running_out_of_memory_has_no_effect),
        cmocka_unit_test(headers_that_cannot_be_are_refused),
        cmocka_unit_test(an_unknown_kind_of_record_is_named),
        cmocka_unit_test(golden_logs_are_made_and_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
