#include "sst/shared.h"

#include <stdlib.h>

struct shared_slot {
    uint64_t hash;
    uint32_t entry; /* + 1; 0: free */
};

static struct shared_entry *entry_at(const struct shared_model *m, uint32_t entry) {
    return (struct shared_entry *)(void *)m->entries.data + entry;
}

static struct shared_slot *slot_of(const struct shared_model *m, uint64_t hash) {
    size_t i = (size_t)(hash >> 20) & (m->slot_count - 1);
    while (m->slots[i].entry != 0 && m->slots[i].hash != hash) {
        i = (i + 1) & (m->slot_count - 1);
    }
    return &m->slots[i];
}

struct ranked {
    uint32_t uses, id;
};

static int by_uses(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->uses != y->uses) {
        return x->uses < y->uses ? 1 : -1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

static int rank(const struct language_table *languages, struct buf *out) {
    for (uint32_t id = 0; id < languages->count; id++) {
        const struct language *l = language_at(languages, id);
        if (l->shared) {
            struct ranked r = {l->uses, id};
            int rc = buf_append(out, &r, sizeof r);
            if (rc != FIRN_OK) {
                return rc;
            }
        }
    }
    if (out->size > 0) {
        qsort(out->data, out->size / sizeof(struct ranked), sizeof(struct ranked), by_uses);
    }
    return FIRN_OK;
}

/* How many one-byte references pay: each takes a lead byte from 256 two-byte ones. */
static struct reference_code choose_code(const struct ranked *ranked, uint32_t n) {
    struct reference_code best = {0, 1};
    double best_cost = -1;
    for (uint32_t small = 0; small < 256; small++) {
        struct reference_code code = {small, 0};
        while (reference_code_limit(&code) < n && small + code.large < 256) {
            code.large++;
        }
        if (reference_code_limit(&code) < n) {
            break;
        }
        uint32_t two = small + ((256 - code.large - small) << 8);
        double cost = 0;
        for (uint32_t i = 0; i < n; i++) {
            cost += (double)ranked[i].uses * (i < small ? 1 : i < two ? 2 : 3);
        }
        if (best_cost < 0 || cost < best_cost) {
            best_cost = cost;
            best = code;
        }
    }
    return best;
}

int shared_model_init(struct shared_model *m, struct alloc *alloc,
                      const struct language_table *languages) {
    struct buf ranks;
    memset(m, 0, sizeof *m);
    m->alloc = alloc;
    buf_init(&m->entries, alloc, MEM_BUILDER);
    buf_init(&m->bytes, alloc, MEM_BUILDER);
    buf_init(&ranks, alloc, MEM_BUILDER);
    int rc = rank(languages, &ranks);
    const struct ranked *ranked = (const struct ranked *)(const void *)ranks.data;
    size_t n = ranks.size / sizeof *ranked;
    m->slot_count = 16;
    while (m->slot_count < 2 * n) {
        m->slot_count *= 2;
    }
    if (rc == FIRN_OK) {
        m->slots = alloc_get_zeroed(alloc, MEM_BUILDER, m->slot_count * sizeof *m->slots);
        rc = m->slots != NULL ? buf_reserve(&m->entries, n * sizeof(struct shared_entry))
                              : FAIL(FIRN_NOMEM, "no memory for %zu shared sub-automata", n);
    }
    if (rc != FIRN_OK) {
        buf_deinit(&ranks);
        shared_model_deinit(m);
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = language_at(languages, ranked[i].id)->hash;
        *slot_of(m, hash) = (struct shared_slot){hash, (uint32_t)i + 1};
    }
    m->entries.size = n * sizeof(struct shared_entry);
    if (n > 0) {
        memset(m->entries.data, 0, m->entries.size);
    }
    m->code = choose_code(ranked, (uint32_t)n);
    buf_deinit(&ranks);
    return FIRN_OK;
}

void shared_model_deinit(struct shared_model *m) {
    if (m->alloc == NULL) {
        return;
    }
    buf_deinit(&m->entries);
    buf_deinit(&m->bytes);
    alloc_release(m->alloc, MEM_BUILDER, m->slots,
                  m->slots == NULL ? 0 : m->slot_count * sizeof *m->slots);
    m->alloc = NULL;
}

int shared_model_match(struct shared_model *m, uint64_t hash, firn_slice header, firn_slice body,
                       uint32_t keys, uint32_t *entry) {
    if (m->entries.size == 0) {
        return FIRN_NOT_FOUND;
    }
    uint32_t found = slot_of(m, hash)->entry;
    if (found == 0) {
        return FIRN_NOT_FOUND;
    }
    *entry = found - 1;
    struct shared_entry *e = entry_at(m, *entry);
    size_t size = header.size + body.size;
    if (e->size == 0) {
        if (size > UINT32_MAX - m->bytes.size) {
            return FIRN_NOT_FOUND;
        }
        int rc = buf_reserve(&m->bytes, size);
        if (rc != FIRN_OK) {
            return rc;
        }
        *e = (struct shared_entry){(uint32_t)m->bytes.size, (uint32_t)size, keys};
        buf_append_slice(&m->bytes, header); /* there is room: cannot fail */
        return buf_append_slice(&m->bytes, body);
    }
    const uint8_t *bytes = m->bytes.data + e->at;
    bool same = e->size == size && e->keys == keys &&
                memcmp(bytes, header.data, header.size) == 0 &&
                memcmp(bytes + header.size, body.data, body.size) == 0;
    return same ? FIRN_OK : FIRN_NOT_FOUND;
}

int shared_model_write(const struct shared_model *m, struct buf *out) {
    uint32_t n = (uint32_t)(m->entries.size / sizeof(struct shared_entry));
    if (n == 0) {
        return FIRN_OK;
    }
    int rc =
        buf_reserve(out, SHARED_SECTION_HEADER + 2 * NUMBER_BYTES_MAX * (size_t)n + m->bytes.size);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *to = out->data + out->size;
    put_u32(to, n);
    to[4] = (uint8_t)m->code.small;
    to[5] = (uint8_t)m->code.large;
    to += SHARED_SECTION_HEADER;
    for (uint32_t i = 0; i < n; i++) {
        to += put_number(to, entry_at(m, i)->size);
        to += put_number(to, entry_at(m, i)->keys);
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct shared_entry *e = entry_at(m, i);
        if (e->size > 0) { /* or there may be no bytes at all */
            memcpy(to, m->bytes.data + e->at, e->size);
            to += e->size;
        }
    }
    out->size = (size_t)(to - out->data);
    return FIRN_OK;
}

void shared_table_deinit(struct shared_table *t) {
    if (t->alloc == NULL) {
        return;
    }
    alloc_release(t->alloc, MEM_SHARED, t->starts, t->memory);
    memset(t, 0, sizeof *t);
}

const uint32_t *shared_table_large(const struct shared_table *t, uint32_t entry) {
    uint32_t low = 0, high = t->large_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (t->large[3 * middle] <= entry) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return t->large + (size_t)3 * low;
}

size_t shared_table_before(const struct shared_table *t, uint32_t entry) {
    size_t bytes = 0;
    for (uint32_t i = entry / SHARED_GROUP * SHARED_GROUP; i < entry; i++) {
        bytes += t->sizes[i] != SHARED_MANY ? t->sizes[i] : shared_table_large(t, i)[1];
    }
    return bytes;
}

/* Notes where an entry lies and what it has. */
static void set_entry(struct shared_table *t, uint32_t i, uint32_t start, uint32_t size,
                      uint32_t keys, uint32_t large) {
    if (i % SHARED_GROUP == 0) {
        t->starts[i / SHARED_GROUP] = start;
    }
    t->sizes[i] = (uint8_t)(size < SHARED_MANY ? size : SHARED_MANY);
    t->keys[i] = (uint8_t)(keys < SHARED_MANY ? keys : SHARED_MANY);
    if (size >= SHARED_MANY || keys >= SHARED_MANY) {
        uint32_t *to = t->large + (size_t)3 * large;
        to[0] = i;
        to[1] = size;
        to[2] = keys;
    }
}

/* Walks the entries' sizes and key counts; fills the table in, once it has its memory. *total:
 * bytes of all entries; *large: how many need more than bytes. Returns the byte behind, NULL:
 * damaged. */
static const uint8_t *read_counts(struct shared_table *t, const uint8_t *p, const uint8_t *end,
                                  uint64_t *total, uint32_t *large) {
    *total = 0;
    *large = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t size = 0, keys = 0;
        p = take_number(p, end, &size);
        p = p == NULL ? NULL : take_number(p, end, &keys);
        if (p == NULL || *total + size > (size_t)(end - p)) {
            return NULL;
        }
        if (t->starts != NULL) {
            set_entry(t, i, (uint32_t)*total, size, keys, *large);
        }
        *large += size >= SHARED_MANY || keys >= SHARED_MANY;
        *total += size;
    }
    return *total == (uint64_t)(end - p) ? p : NULL;
}

/* One block for all, the words first. */
static int make_room(struct shared_table *t, uint32_t large, size_t copied) {
    size_t groups = ((size_t)t->count + SHARED_GROUP - 1) / SHARED_GROUP;
    size_t words = groups + 3 * (size_t)large, sizes = groups * SHARED_GROUP;
    t->memory = words * sizeof *t->starts + sizes + t->count + copied;
    t->starts = alloc_get(t->alloc, MEM_SHARED, t->memory);
    if (t->starts == NULL) {
        t->memory = 0;
        return FAIL(FIRN_NOMEM, "no memory for %u shared sub-automata", t->count);
    }
    t->large = t->starts + groups;
    t->large_count = large;
    t->sizes = (uint8_t *)(t->starts + words);
    t->keys = t->sizes + sizes;
    memset(t->sizes, 0, sizes);
    return FIRN_OK;
}

int shared_table_init(struct shared_table *t, struct alloc *alloc, firn_slice section, bool copy) {
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    t->code = (struct reference_code){0, 1};
    if (section.size == 0) {
        return FIRN_OK;
    }
    if (section.size < SHARED_SECTION_HEADER || section.size > UINT32_MAX) {
        return FAIL(FIRN_CORRUPT, "shared section: impossible size %zu", section.size);
    }
    const uint8_t *p = slice_bytes(section), *end = p + section.size;
    uint64_t total;
    uint32_t large;
    t->count = get_u32(p);
    t->code = (struct reference_code){p[4], p[5]};
    if (t->count > (section.size - SHARED_SECTION_HEADER) / 2 || p[4] + p[5] > 256) {
        return FAIL(FIRN_CORRUPT, "shared section: %u entries, %u + %u lead bytes in %zu bytes",
                    t->count, p[4], p[5], section.size);
    }
    const uint8_t *bytes = read_counts(t, p + SHARED_SECTION_HEADER, end, &total, &large);
    if (bytes == NULL) {
        return FAIL(FIRN_CORRUPT, "shared section: %u entries do not fill %zu bytes", t->count,
                    section.size);
    }
    int rc = make_room(t, large, copy ? (size_t)total : 0);
    if (rc != FIRN_OK) {
        return rc;
    }
    (void)read_counts(t, p + SHARED_SECTION_HEADER, end, &total, &large);
    t->bytes = bytes;
    if (copy && total > 0) {
        t->bytes = memcpy(t->keys + t->count, bytes, (size_t)total);
    }
    return FIRN_OK;
}
