/* Opens shared sections of any bytes and searches an automaton of any bytes with them.
 *
 *     input = phrases  shared  automaton  key*      each with a u16 length before it (fuzz_input.h)
 *
 * Hostile ones may hold keys in any order and lie about how many there are in a node, so little can
 * be asked of the answers.
 */
#include "base/checksum.h"
#include "sst/key_table.h"
#include "tests/fuzz/fuzz_input.h"

#define STEPS_MAX 300
#define KEYS_MAX 8
#define KEY_BYTES_MAX 1000 /* circles of shared entries are left once keys are long */

static bool answered(int rc) {
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT);
    return rc == FIRN_OK;
}

static void find(const struct automaton_cursor *c, firn_slice key) {
    uint32_t rank;
    (void)answered(automaton_find(c->segment, c->automaton, key, &rank));
}

/* Returns how many keys there are, or were read. */
static uint32_t walk(struct automaton_cursor *c) {
    bool ok = answered(automaton_cursor_first(c));
    uint32_t keys = 0;
    for (; ok && c->valid && keys < STEPS_MAX && c->key.size < KEY_BYTES_MAX; keys++) {
        FUZZ_CHECK(c->rank == keys);
        find(c, buf_slice(&c->key));
        ok = answered(automaton_cursor_next(c));
    }
    ok = answered(automaton_cursor_last(c));
    for (uint32_t i = 0; ok && c->valid && i < STEPS_MAX && c->key.size < KEY_BYTES_MAX; i++) {
        ok = answered(automaton_cursor_prev(c));
    }
    return keys;
}

/* What runs read must be what steps find. */
static void run(struct automaton_cursor *c, struct alloc *alloc, uint32_t length) {
    struct key_run keys;
    key_run_init(&keys, alloc);
    bool ok = answered(automaton_cursor_first(c)) && c->valid && c->key.size < KEY_BYTES_MAX;
    ok = ok && answered(automaton_cursor_read(c, length, &keys));
    ok = ok && answered(automaton_cursor_first(c));
    for (uint32_t i = 0, begin = 0; ok && i < keys.count; begin = keys.ends[i++]) {
        firn_slice key = firn_slice_make(keys.bytes.data + begin, keys.ends[i] - begin);
        FUZZ_CHECK(c->valid && slice_equal(key, buf_slice(&c->key)));
        FUZZ_CHECK(answered(automaton_cursor_next(c)) || i + 1 == keys.count);
    }
    key_run_deinit(&keys);
}

/* Short runs, one behind the other, until shared automata are remembered and for a while then. */
static void run_on(struct automaton_cursor *c, struct alloc *alloc) {
    struct key_run keys;
    key_run_init(&keys, alloc);
    bool ok = answered(automaton_cursor_first(c));
    for (uint32_t i = 0; ok && c->valid && i < STEPS_MAX && c->key.size < KEY_BYTES_MAX; i++) {
        uint32_t rank = c->rank;
        ok = answered(automaton_cursor_read(c, 1 + i % 8, &keys));
        FUZZ_CHECK(!ok || !c->valid || c->rank == rank + keys.count - 1);
        if (ok && c->valid && keys.count == 1) {
            ok = answered(automaton_cursor_next(c));
        }
    }
    key_run_deinit(&keys);
}

/* A table of all keys has each of them; it may be one for those that are there more than once. */
static void tabulate(const struct automaton_cursor *c, struct alloc *alloc, uint32_t keys) {
    struct key_area area = {KEY_AREA_AUTOMATON, c->automaton, keys};
    struct key_table *table;
    struct automaton_cursor at;
    automaton_cursor_init(&at, alloc);
    automaton_cursor_open(&at, c->segment, c->automaton);
    if (answered(key_table_create(NULL, alloc, c->segment, &area, &table)) && table != NULL) {
        bool ok = answered(automaton_cursor_first(&at));
        for (; ok && at.valid; ok = answered(automaton_cursor_next(&at))) {
            firn_slice key = buf_slice(&at.key);
            uint32_t rank;
            FUZZ_CHECK(key_table_find(table, key, key_hash(key), &rank) && rank < keys);
        }
        page_frame_release(table->frame);
    }
    automaton_cursor_deinit(&at);
}

static void jump(struct automaton_cursor *c, firn_slice key, uint32_t rank) {
    find(c, key);
    if (answered(automaton_cursor_seek(c, key)) && c->valid) {
        (void)answered(automaton_cursor_next(c));
    }
    if (answered(automaton_cursor_seek(c, key)) && c->valid) {
        (void)answered(automaton_cursor_prev(c));
    }
    if (answered(automaton_cursor_to_rank(c, rank)) && c->valid) {
        FUZZ_CHECK(c->rank == rank);
        (void)answered(automaton_cursor_next(c));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct alloc alloc;
    struct reader r = reader_of(firn_slice_make(data, size));
    firn_slice part[3];
    for (int i = 0; i < 3; i++) {
        firn_slice s = fuzz_take(&r);
        part[i] = firn_slice_make(fuzz_copy(s), s.size);
    }
    struct segment *segment;
    int rc = segment_open(&alloc, part[0], part[1], size % 2 == 0, &segment);
    if (answered(rc)) {
        struct automaton_cursor c;
        automaton_cursor_init(&c, &alloc);
        automaton_cursor_open(&c, segment, part[2]);
        tabulate(&c, &alloc, walk(&c));
        run(&c, &alloc, KEY_RUN_MAX);
        run(&c, &alloc, 3);
        run_on(&c, &alloc);
        run(&c, &alloc, KEY_RUN_MAX);
        for (uint32_t i = 0; i < KEYS_MAX; i++) {
            jump(&c, fuzz_take(&r), i * i * i);
        }
        automaton_cursor_deinit(&c);
        segment_close(segment);
    }
    for (int i = 0; i < 3; i++) {
        free((void *)(uintptr_t)part[i].data);
    }
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
    return 0;
}
