/* Phrases: whatever was trained, every label is encoded and read back; damaged sections are refused
 * or harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "sst/label_memo.h"
#include "sst/phrase.h"
#include "sst/phrase_model.h"
#include "tests/support/seed.h"

struct fixture {
    struct alloc alloc;
    struct rand rand;
    struct label_sample sample;
    struct phrase_model model;
    struct phrase_table table;
    struct buf section;
};

static int setup(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    alloc_init(&f.alloc, NULL);
    rand_init(&f.rand, test_seed());
    buf_init(&f.sample.bytes, &f.alloc, MEM_OTHER);
    buf_init(&f.section, &f.alloc, MEM_OTHER);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    phrase_table_deinit(&f->table);
    phrase_model_deinit(&f->model);
    buf_deinit(&f->sample.bytes);
    buf_deinit(&f->section);
    return atomic_load(&f->alloc.total) == 0 ? 0 : -1;
}

/* A label of words that repeat, digits, or any bytes. */
static firn_slice make_label(uint8_t *to, struct rand *r) {
    static const char *const words[] = {"/changelog.Debian.gz", "copyright", "lib", "-dev", ".mo"};
    size_t size = 0;
    switch (rand_below(r, 4)) {
    case 0:
        for (size_t n = 1 + (size_t)rand_below(r, 3); n > 0; n--) {
            size += (size_t)sprintf((char *)to + size, "%s", words[rand_below(r, 5)]);
        }
        break;
    case 1:
        size = (size_t)sprintf((char *)to, "%08x-%04x-4%03x-%08x/x",
                               (unsigned)rand_below(r, UINT32_MAX), (unsigned)rand_below(r, 65536),
                               (unsigned)rand_below(r, 4096), (unsigned)rand_next(r));
        break;
    case 2:
        size = (size_t)sprintf((char *)to, "n%u", (unsigned)rand_below(r, 3000));
        break;
    default:
        size = 1 + (size_t)rand_below(r, rand_below(r, 20) == 0 ? 700 : 12);
        for (size_t i = 0; i < size; i++) {
            to[i] = (uint8_t)rand_next(r);
        }
    }
    return firn_slice_make(to, size);
}

static enum end_mark make_end(struct rand *r) {
    return (enum end_mark)(END_LEAF + rand_below(r, END_MARKS - END_LEAF));
}

static void collect(struct fixture *f, size_t labels) {
    uint8_t bytes[1024];
    for (size_t i = 0; i < labels; i++) {
        firn_slice label = make_label(bytes, &f->rand);
        assert_int_equal(
            label_sample_add(&f->sample, label, (uint8_t)make_end(&f->rand), LANGUAGE_NONE),
            FIRN_OK);
    }
}

static void train(struct fixture *f, size_t labels, bool thorough, size_t memory) {
    struct phrase_training training = {&f->sample, 1.0, thorough, memory};
    collect(f, labels);
    assert_int_equal(phrase_model_train(&f->model, &f->alloc, &training), FIRN_OK);
    assert_int_equal(phrase_model_write(&f->model, &f->section), FIRN_OK);
    assert_int_equal(phrase_table_init(&f->table, &f->alloc, buf_slice(&f->section)), FIRN_OK);
}

/* Reads a label back; returns the byte behind it. */
static const uint8_t *decode(const struct phrase_table *t, const uint8_t *p, const uint8_t *end,
                             struct buf *text, enum end_mark *mark) {
    buf_reset(text);
    for (;;) {
        uint8_t scratch[PHRASE_SCRATCH_BYTES];
        size_t size;
        assert_true(p < end);
        const struct phrase_lead *lead = &t->leads[*p];
        const uint8_t *behind = phrase_behind(lead, p, end);
        assert_non_null(behind);
        const uint8_t *bytes = phrase_text(t, lead, p, scratch, &size);
        if (text->size == 0 && size > 0) {
            assert_int_equal(phrase_first(t, lead, p), bytes[0]);
        }
        assert_int_equal(buf_append(text, bytes, size), FIRN_OK);
        p = behind;
        if (lead->end != END_NONE) {
            *mark = (enum end_mark)lead->end;
            return p;
        }
    }
}

static void assert_round_trip(struct fixture *f, firn_slice label, enum end_mark end) {
    uint8_t codes[2048 + 2];
    struct buf text;
    enum end_mark mark;
    assert_true(phrase_model_bound(label.size) <= sizeof codes);
    size_t size = phrase_model_encode(&f->model, label, end, codes);
    assert_true(size <= phrase_model_bound(label.size));
    buf_init(&text, &f->alloc, MEM_OTHER);
    assert_ptr_equal(decode(&f->table, codes, codes + size, &text, &mark), codes + size);
    assert_int_equal(mark, end);
    assert_true(slice_equal(buf_slice(&text), label));
    assert_ptr_equal(phrase_skip(&f->table, codes, codes + size, &mark), codes + size);
    assert_int_equal(mark, end);
    for (size_t cut = 0; cut < size; cut++) { /* a label that is cut short is noticed */
        assert_null(phrase_skip(&f->table, codes, codes + cut, &mark));
    }
    buf_deinit(&text);
}

static void assert_round_trips(struct fixture *f) {
    uint8_t bytes[1024];
    for (int i = 0; i < 2000; i++) {
        firn_slice label = make_label(bytes, &f->rand);
        assert_round_trip(f, label, make_end(&f->rand));
    }
    for (int byte = 0; byte < 256; byte++) {
        for (int end = END_LEAF; end < END_MARKS; end++) {
            bytes[0] = (uint8_t)byte;
            assert_round_trip(f, firn_slice_make(bytes, 1), (enum end_mark)end);
        }
    }
}

static void labels_read_back_as_they_were_when_trained_thoroughly(void **state) {
    struct fixture *f = *state;
    train(f, 20000, true, 16 << 20);
    assert_true(f->model.patterns.count > 0);
    assert_round_trips(f);
}

static void labels_read_back_as_they_were_when_trained_fast(void **state) {
    struct fixture *f = *state;
    train(f, 5000, false, 16 << 20);
    assert_round_trips(f);
}

/* What the cheapest codes of a label take, by trying all phrases at all places. */
static size_t fewest_bytes(const struct phrase_model *m, firn_slice label, enum end_mark end) {
    size_t cost[LABEL_PIECE_MAX + 2], size = label.size;
    const uint8_t *text = slice_bytes(label);
    cost[size + 1] = 0; /* behind the end mark */
    for (size_t i = size + 1; i-- > 0;) {
        cost[i] = SIZE_MAX / 2;
        for (uint32_t id = 0; id < m->phrases.size / sizeof(struct phrase); id++) {
            const struct phrase *p = phrase_at(m, id);
            bool ends = p->end != END_NONE;
            if (p->code == UINT16_MAX || i + p->size > size || (!ends && p->size == 0) ||
                (ends && (i + p->size < size || p->end != end)) ||
                memcmp(m->text.data + p->text, text + i, p->size) != 0) {
                continue;
            }
            size_t behind = cost[i + p->size + ends] + (p->code < 256 ? 1 : 2);
            cost[i] = behind < cost[i] ? behind : cost[i];
        }
    }
    return cost[0];
}

static void labels_take_the_fewest_bytes_their_phrases_allow(void **state) {
    struct fixture *f = *state;
    char bytes[64];
    for (unsigned i = 0; i < 3000; i++) {
        size_t size = (size_t)sprintf(
            bytes, "%s%c%c%s", i % 3 == 0 ? "abra" : "cad", (int)('a' + rand_below(&f->rand, 6)),
            (int)('k' + rand_below(&f->rand, 3)), i % 7 < 4 ? "kabracada" : "");
        assert_int_equal(label_sample_add(&f->sample, firn_slice_make(bytes, size),
                                          (uint8_t)make_end(&f->rand), LANGUAGE_NONE),
                         FIRN_OK);
    }
    train(f, 0, true, 16 << 20);
    assert_int_equal(f->model.patterns.count, 0);
    for (int i = 0; i < 300; i++) {
        uint8_t codes[256];
        size_t size = (size_t)rand_below(&f->rand, 30);
        for (size_t j = 0; j < size; j++) {
            bytes[j] = "abracadk"[rand_below(&f->rand, 8)];
        }
        firn_slice label = firn_slice_make(bytes, size);
        enum end_mark end = make_end(&f->rand);
        assert_int_equal(phrase_model_encode(&f->model, label, end, codes),
                         fewest_bytes(&f->model, label, end));
        assert_round_trip(f, label, end);
    }
}

/* Where phrases begin at every place, the search for the fewest bytes is given up on the way. */
static void one_byte_again_and_again_reads_back_as_it_was(void **state) {
    struct fixture *f = *state;
    uint8_t bytes[1024];
    memset(bytes, 'a', sizeof bytes);
    for (size_t i = 0; i < 300; i++) {
        firn_slice label = firn_slice_make(bytes, 1 + (size_t)rand_below(&f->rand, 1000));
        assert_int_equal(label_sample_add(&f->sample, label, END_LEAF, LANGUAGE_NONE), FIRN_OK);
    }
    train(f, 0, true, 16 << 20);
    for (size_t size = 0; size < sizeof bytes; size += 11) {
        assert_round_trip(f, firn_slice_make(bytes, size), END_LEAF);
    }
}

/* A short label is known when, and only when, it was put there last. */
static void remembered_labels_have_their_codes(void **state) {
    struct fixture *f = *state;
    struct label_memo memo;
    uint8_t text[128], codes[MEMO_BYTES];
    bool known;
    size_t hits = 0;
    assert_int_equal(label_memo_init(&memo, &f->alloc), FIRN_OK);
    for (int i = 0; i < 20000; i++) {
        size_t size = (size_t)rand_below(&f->rand, rand_below(&f->rand, 8) == 0 ? 100 : 4);
        for (size_t j = 0; j < size; j++) {
            text[j] = (uint8_t)('a' + rand_below(&f->rand, 4));
        }
        firn_slice label = firn_slice_make(text, size);
        enum end_mark end = make_end(&f->rand);
        /* Codes that tell label and end apart. */
        size_t codes_size = 2 + size % 9;
        memset(codes, (int)(size + (size > 0 ? text[size - 1] : 0u)), sizeof codes);
        codes[0] = (uint8_t)end;
        struct memo_slot *slot = label_memo_slot(&memo, label, end, &known);
        if (known) {
            hits++;
            assert_true(slice_equal(memo_slot_codes(slot), firn_slice_make(codes, codes_size)));
        } else if (slot != NULL) {
            memo_slot_set(slot, label, end, firn_slice_make(codes, codes_size));
            (void)label_memo_slot(&memo, label, end, &known);
            assert_int_equal(known, size + codes_size <= MEMO_BYTES);
        } else {
            assert_true(size >= MEMO_BYTES);
        }
    }
    assert_true(hits > 1000);
    label_memo_deinit(&memo);
}

static void a_model_trained_on_nothing_encodes_everything(void **state) {
    struct fixture *f = *state;
    train(f, 0, true, 1 << 20);
    assert_round_trips(f);
}

static void little_memory_makes_a_coarser_model(void **state) {
    struct fixture *f = *state;
    collect(f, 20000);
    size_t before = atomic_load(&f->alloc.total);
    size_t memory = 512 << 10;
    struct phrase_training training = {&f->sample, 1.0, true, memory};
    atomic_store(&f->alloc.peak, before);
    assert_int_equal(phrase_model_train(&f->model, &f->alloc, &training), FIRN_OK);
    assert_true(atomic_load(&f->alloc.peak) - before < 2 * memory);
    assert_int_equal(phrase_model_write(&f->model, &f->section), FIRN_OK);
    assert_int_equal(phrase_table_init(&f->table, &f->alloc, buf_slice(&f->section)), FIRN_OK);
    assert_round_trips(f);
}

static void often_repeated_labels_take_one_or_two_bytes(void **state) {
    struct fixture *f = *state;
    train(f, 20000, true, 16 << 20);
    uint8_t codes[256];
    for (int end = END_LEAF; end < END_MARKS; end++) {
        firn_slice label = FIRN_STR("/changelog.Debian.gz");
        assert_true(phrase_model_encode(&f->model, label, (enum end_mark)end, codes) <= 2);
    }
}

/* Bytes of all labels of the sample and of the section, for each byte of their text. */
static double ratio_of_sample(struct fixture *f) {
    struct phrase_training training = {&f->sample, 1.0, true, 16 << 20};
    uint8_t codes[2 * LABEL_PIECE_MAX + 2];
    size_t text = 0, coded = 0;
    assert_int_equal(phrase_model_train(&f->model, &f->alloc, &training), FIRN_OK);
    assert_int_equal(phrase_model_write(&f->model, &f->section), FIRN_OK);
    for (size_t at = 0; at < f->sample.bytes.size;) {
        struct label label = label_sample_next(&f->sample, &at);
        text += label.size;
        coded += phrase_model_encode(&f->model, firn_slice_make(label.text, label.size),
                                     (enum end_mark)label.end, codes);
    }
    assert_int_equal(phrase_table_init(&f->table, &f->alloc, buf_slice(&f->section)), FIRN_OK);
    return (double)(coded + f->section.size) / (double)text;
}

static firn_slice make_random(uint8_t *to, size_t size, struct rand *r) {
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)rand_next(r);
    }
    return firn_slice_make(to, size);
}

static void collect_random(struct fixture *f, size_t labels) {
    uint8_t bytes[30];
    for (size_t i = 0; i < labels; i++) {
        firn_slice label = make_random(bytes, sizeof bytes, &f->rand);
        assert_int_equal(label_sample_add(&f->sample, label, END_LEAF, LANGUAGE_NONE), FIRN_OK);
    }
}

/* With phrases for pairs that come up by chance these would take 1.19. */
static void random_bytes_take_two_bytes_more_than_they_are(void **state) {
    struct fixture *f = *state;
    collect_random(f, 50000);
    assert_true(ratio_of_sample(f) < 1.07);
}

/* Of every size, in one piece or several, cut short or whole, and with any end mark. */
static void random_labels_read_back_as_they_were(void **state) {
    struct fixture *f = *state;
    for (int thorough = 0; thorough < 2; thorough++) {
        collect_random(f, 2000);
        train(f, 0, thorough != 0, 16 << 20);
        assert_true(f->model.random);
        for (size_t size = 1; size < 600; size++) {
            uint8_t bytes[600], codes[2 * 600 + 2];
            firn_slice label = make_random(bytes, size, &f->rand);
            assert_round_trip(f, label, make_end(&f->rand));
            assert_round_trip(f, label, END_LEAF);
            if (size >= 8 && size <= LABEL_PIECE_MAX) {
                assert_in_range(phrase_model_encode(&f->model, label, END_LEAF, codes), 1,
                                size + 2);
            }
        }
        assert_round_trips(f);
        phrase_table_deinit(&f->table);
        phrase_model_deinit(&f->model);
        buf_reset(&f->section);
    }
}

/* Every word comes up a few times only: 0.42 of the text when learnt from as large samples are. */
static void little_text_is_learnt_from_all_the_same(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 400; i++) {
        char text[64];
        int size = sprintf(text, "rack-%03u/unit-%06u", (unsigned)rand_below(&f->rand, 40),
                           (unsigned)rand_below(&f->rand, 1000000));
        assert_int_equal(label_sample_add(&f->sample, firn_slice_make(text, (size_t)size), END_LEAF,
                                          LANGUAGE_NONE),
                         FIRN_OK);
    }
    assert_true(ratio_of_sample(f) < 0.36);
}

static void damaged_sections_are_refused_or_harmless(void **state) {
    struct fixture *f = *state;
    train(f, 3000, true, 4 << 20);
    for (int round = 0; round < 1500; round++) {
        size_t size = f->section.size;
        uint8_t *bytes = malloc(size);
        assert_non_null(bytes);
        memcpy(bytes, f->section.data, size);
        if (round % 3 == 0) {
            size = (size_t)rand_below(&f->rand, size);
            bytes = realloc(bytes, size + 1);
            assert_non_null(bytes);
        } else {
            size_t at = (size_t)rand_below(&f->rand, round % 3 == 1 ? 40 : size);
            bytes[at] = (uint8_t)rand_next(&f->rand);
        }
        struct phrase_table t;
        int rc = phrase_table_init(&t, &f->alloc, firn_slice_make(bytes, size));
        assert_true(rc == FIRN_OK || rc == FIRN_CORRUPT);
        if (rc == FIRN_OK) {
            for (uint32_t lead = 0; lead < 256; lead++) { /* every code leads to readable text */
                uint8_t code[2 + PHRASE_BYTES_MAX] = {(uint8_t)lead, (uint8_t)rand_next(&f->rand)};
                uint8_t scratch[PHRASE_SCRATCH_BYTES];
                size_t n;
                const uint8_t *text = phrase_text(&t, &t.leads[lead], code, scratch, &n);
                uint8_t copy[PHRASE_BYTES_MAX];
                memcpy(copy, text, n < PHRASE_PADDING ? PHRASE_PADDING : n);
            }
        }
        phrase_table_deinit(&t);
        free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(labels_read_back_as_they_were_when_trained_thoroughly,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(labels_read_back_as_they_were_when_trained_fast, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(labels_take_the_fewest_bytes_their_phrases_allow, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_byte_again_and_again_reads_back_as_it_was, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(remembered_labels_have_their_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_trained_on_nothing_encodes_everything, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(little_memory_makes_a_coarser_model, setup, teardown),
        cmocka_unit_test_setup_teardown(often_repeated_labels_take_one_or_two_bytes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_bytes_take_two_bytes_more_than_they_are, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_labels_read_back_as_they_were, setup, teardown),
        cmocka_unit_test_setup_teardown(little_text_is_learnt_from_all_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_sections_are_refused_or_harmless, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
