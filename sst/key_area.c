/* All forms but the automaton have their keys by rank, so a cursor of theirs is a rank. */
#include "sst/key_area.h"

#include "base/status.h"

const char *key_form_name(enum key_form form) {
    static const char *const names[] = {"unknown", "automaton", "numbers", "array"};
    return names[form <= KEY_FORM_MAX ? form : 0];
}

static int unknown_form(enum key_form form) {
    return FAIL(FIRN_UNSUPPORTED, "keys of unknown form %d", (int)form);
}

/* The first key at or after `key`. */
static int seek_numbers(const struct key_numbers *n, firn_slice key, size_t *rank, bool *exact) {
    key_numbers_seek(n, key, rank, exact);
    return FIRN_OK;
}

int key_area_find_other(const struct key_area *area, firn_slice key, uint32_t *rank) {
    struct key_numbers numbers;
    struct key_array array;
    size_t found = 0;
    bool exact = false;
    int rc;
    if (area->form == KEY_AREA_NUMBERS) {
        rc = key_numbers_open(area->bytes, area->keys, &numbers);
        rc = rc == FIRN_OK ? seek_numbers(&numbers, key, &found, &exact) : rc;
    } else if (area->form == KEY_AREA_ARRAY) {
        rc = key_array_open(area->bytes, area->keys, &array);
        rc = rc == FIRN_OK ? key_array_seek(&array, key, &found, &exact) : rc;
    } else {
        rc = unknown_form(area->form);
    }
    *rank = (uint32_t)found;
    return rc != FIRN_OK || exact ? rc : FIRN_NOT_FOUND;
}

void area_cursor_init(struct area_cursor *c, struct alloc *alloc) {
    memset(c, 0, sizeof *c);
    automaton_cursor_init(&c->at, alloc);
}

void area_cursor_deinit(struct area_cursor *c) {
    automaton_cursor_deinit(&c->at);
}

/* Reads what stands before the keys, once per page. */
static int open_area(struct area_cursor *c) {
    int rc = FIRN_OK;
    if (c->opened) {
        return rc;
    }
    if (c->area.form == KEY_AREA_NUMBERS) {
        rc = key_numbers_open(c->area.bytes, c->area.keys, &c->of.numbers);
    } else if (c->area.form == KEY_AREA_ARRAY) {
        rc = key_array_open(c->area.bytes, c->area.keys, &c->of.array);
    } else {
        rc = unknown_form(c->area.form);
    }
    c->opened = rc == FIRN_OK;
    return rc;
}

static int read_key(struct area_cursor *c, size_t rank, bool follows) {
    if (c->area.form == KEY_AREA_NUMBERS) {
        return follows ? key_numbers_next(&c->of.numbers, rank, &c->step, &c->at.key)
                       : key_numbers_key(&c->of.numbers, rank, &c->step, &c->at.key);
    }
    firn_slice key;
    int rc = key_array_key(&c->of.array, rank, &key);
    return rc == FIRN_OK ? buf_assign(&c->at.key, key) : rc;
}

/* follows: the cursor stands on the key before. */
static int stand(struct area_cursor *c, size_t rank, bool follows) {
    c->at.valid = false;
    if (rank >= c->area.keys) {
        return FIRN_OK;
    }
    int rc = read_key(c, rank, follows);
    c->at.rank = (uint32_t)rank;
    c->at.valid = rc == FIRN_OK;
    return rc;
}

int area_cursor_move_other(struct area_cursor *c, enum area_move move) {
    bool stands = c->at.valid;
    c->at.valid = false;
    int rc = open_area(c);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (move == AREA_FIRST || move == AREA_LAST) {
        return stand(c, move == AREA_FIRST ? 0 : c->area.keys - 1, false);
    }
    if (!stands) {
        return FAIL(FIRN_CORRUPT, "a page of %zu keys has none here", c->area.keys);
    }
    if (move == AREA_NEXT) {
        return stand(c, (size_t)c->at.rank + 1, true);
    }
    return c->at.rank == 0 ? FIRN_OK : stand(c, c->at.rank - 1, false);
}

int area_cursor_seek_other(struct area_cursor *c, firn_slice key) {
    size_t rank = 0;
    bool exact;
    c->at.valid = false;
    int rc = open_area(c);
    if (rc == FIRN_OK) {
        rc = c->area.form == KEY_AREA_NUMBERS ? seek_numbers(&c->of.numbers, key, &rank, &exact)
                                              : key_array_seek(&c->of.array, key, &rank, &exact);
    }
    return rc == FIRN_OK ? stand(c, rank, false) : rc;
}

int area_cursor_to_rank_other(struct area_cursor *c, uint32_t rank) {
    c->at.valid = false;
    int rc = open_area(c);
    return rc == FIRN_OK ? stand(c, rank, false) : rc;
}

/* Reads by key_numbers_run(), and stands on the last key. */
static int read_numbers(struct area_cursor *c, uint32_t max, struct key_run *run) {
    const struct key_numbers *n = &c->of.numbers;
    size_t left = n->keys - c->at.rank, wanted = (KEY_RUN_BYTES - 1) / n->size + 1;
    wanted = wanted < 2 ? 2 : wanted;
    wanted = wanted < max ? wanted : max;
    size_t count = wanted < left ? wanted : left;
    int rc = key_numbers_run(n, &c->of.print, c->at.rank, &c->step, count, run);
    size_t last = count * n->size - n->size;
    rc = rc == FIRN_OK ? buf_assign(&c->at.key, firn_slice_make(run->bytes.data + last, n->size))
                       : rc;
    c->at.rank += (uint32_t)(count - 1);
    c->at.valid = rc == FIRN_OK && count == wanted;
    return rc;
}

static bool prints(struct area_cursor *c) {
    if (c->area.form != KEY_AREA_NUMBERS) {
        return false;
    }
    if (!c->printing) {
        key_numbers_print_init(&c->of.numbers, &c->of.print);
        c->printing = true;
    }
    return c->of.print.fits;
}

int area_cursor_read_other(struct area_cursor *c, uint32_t max, struct key_run *run) {
    struct buf *keys = &run->bytes;
    keys->size = 0;
    run->count = 0;
    if (!c->at.valid) {
        return FAIL(FIRN_CORRUPT, "a page of %zu keys has none here", c->area.keys);
    }
    if (prints(c)) {
        return read_numbers(c, max, run);
    }
    for (;;) {
        /* The empty key has an address, too. */
        int rc = key_room(keys, keys->size, c->at.key.size);
        rc = rc == FIRN_OK ? buf_append(keys, c->at.key.data, c->at.key.size) : rc;
        if (rc != FIRN_OK) {
            c->at.valid = false;
            return rc;
        }
        run->ends[run->count++] = (uint32_t)keys->size;
        if (run->count == max || (run->count >= 2 && keys->size >= KEY_RUN_BYTES)) {
            return FIRN_OK;
        }
        rc = area_cursor_move_other(c, AREA_NEXT);
        if (rc != FIRN_OK || !c->at.valid) {
            return rc;
        }
    }
}
