/* What is hard here: lookups must get on. One that needs a page and then a value that is kept apart
 * comes by its page again when it has the value, and by then the cache may have lost it, or there
 * is none. So pages are kept here as long as each round uses them; and where there is no room for
 * more, a lookup reads for itself.
 *
 * A frame that enters the cache must have been one lookup's alone. So it is given away as it was
 * read, and comes back when it is in there.
 */
#include "sst/reads.h"

#include "sst/table_internal.h"

/* Reading more than this takes long by itself, and holding it for a batch takes much memory. */
#define READ_BYTES_MAX ((size_t)256 * 1024)
#define ENTRIES_MAX (4 * SST_READS_MAX)

enum read_state {
    READ_ASKED,
    READ_DONE,   /* the frame is as it was read */
    READ_FAILED, /* no frame */
    READ_TAKEN,  /* no frame: it was given away */
    READ_KEPT    /* the frame is a page that was checked */
};

struct sst_read {
    struct sst_table *table; /* referenced: it may be closed and opened anew between rounds */
    uint64_t offset;
    size_t size;
    struct page_frame *frame; /* referenced */
    enum read_state state;
    bool is_value, used; /* used: in this round */
};

void sst_reads_init(struct sst_reads *reads, struct alloc *alloc, firn_read_overlap overlap) {
    *reads = (struct sst_reads){.alloc = alloc, .overlap = overlap};
}

static void forget(struct sst_read *r) {
    page_frame_release(r->frame);
    sst_table_unref(r->table);
}

void sst_reads_deinit(struct sst_reads *reads) {
    for (size_t i = 0; i < reads->count; i++) {
        forget(&reads->entries[i]);
    }
    alloc_release(reads->alloc, MEM_OTHER, reads->entries, ENTRIES_MAX * sizeof(struct sst_read));
    *reads = (struct sst_reads){.alloc = reads->alloc};
}

static void drop_unused(struct sst_reads *reads) {
    size_t left = 0;
    for (size_t i = 0; i < reads->count; i++) {
        struct sst_read *r = &reads->entries[i];
        if (r->state == READ_ASKED || (r->state == READ_KEPT && r->used)) {
            r->used = false;
            reads->entries[left++] = *r;
        } else {
            forget(r);
        }
    }
    reads->count = left;
}

void sst_reads_run(struct sst_reads *reads) {
    struct env_read batch[SST_READS_MAX];
    struct sst_read *asked[SST_READS_MAX];
    size_t n = 0;
    drop_unused(reads);
    for (size_t i = 0; i < reads->count; i++) {
        struct sst_read *r = &reads->entries[i];
        if (r->state == READ_ASKED) {
            TABLE_COUNT(r->table, page_reads);
            asked[n] = r;
            batch[n++] = (struct env_read){.file = r->table->file,
                                           .offset = r->offset,
                                           .to = page_frame_data(r->frame),
                                           .size = r->size};
        }
    }
    env_read_many(reads->overlap, batch, n);
    for (size_t i = 0; i < n; i++) {
        asked[i]->state = READ_DONE;
        if (batch[i].rc != FIRN_OK || batch[i].got != batch[i].size) {
            asked[i]->state = READ_FAILED;
            page_frame_release(asked[i]->frame);
            asked[i]->frame = NULL;
        }
    }
    reads->asked = 0;
}

/* The entry of these bytes; of a value, one that was read for a lookup to take. */
static struct sst_read *find(const struct sst_reads *reads, const struct sst_table *t,
                             uint64_t offset, size_t size, bool is_value) {
    for (size_t i = 0; reads != NULL && i < reads->count; i++) {
        struct sst_read *r = &reads->entries[i];
        bool is_there = r->state != READ_TAKEN && (r->state != READ_ASKED || !is_value);
        if (is_there && r->offset == offset && r->size == size && r->is_value == is_value &&
            r->table->meta.number == t->meta.number) {
            return r;
        }
    }
    return NULL;
}

static int ask(struct sst_reads *reads, struct sst_table *t, struct page_cache *cache,
               uint64_t offset, size_t size, bool is_value) {
    if (reads == NULL || size > READ_BYTES_MAX || reads->count == ENTRIES_MAX) {
        return FIRN_NOT_FOUND;
    }
    if (reads->asked == SST_READS_MAX) {
        return SST_LATER;
    }
    if (reads->entries == NULL) {
        reads->entries = alloc_get(reads->alloc, MEM_OTHER, ENTRIES_MAX * sizeof(struct sst_read));
    }
    struct page_frame *frame;
    if (reads->entries == NULL || page_frame_create(cache, t->alloc, size, &frame) != FIRN_OK) {
        return FIRN_NOT_FOUND;
    }
    sst_table_ref(t);
    reads->entries[reads->count++] =
        (struct sst_read){t, offset, size, frame, READ_ASKED, is_value, false};
    reads->asked++;
    return SST_LATER;
}

static struct page_frame *give_away(struct sst_read *r) {
    struct page_frame *frame = r->frame;
    r->frame = NULL;
    r->state = READ_TAKEN;
    return frame;
}

int sst_reads_page(struct sst_reads *reads, struct sst_table *t, struct page_cache *cache,
                   uint64_t offset, size_t size, struct page_frame **frame, bool *ready) {
    struct sst_read *r = find(reads, t, offset, size, false);
    *ready = r != NULL && r->state == READ_KEPT;
    if (r == NULL) {
        return ask(reads, t, cache, offset, size, false);
    }
    if (*ready) {
        *frame = r->frame;
        page_frame_ref(*frame);
        r->used = true;
    } else if (r->state == READ_DONE) {
        *frame = give_away(r);
    } else {
        return r->state == READ_ASKED ? SST_LATER : FIRN_NOT_FOUND;
    }
    return FIRN_OK;
}

void sst_reads_keep(struct sst_reads *reads, struct sst_table *t, uint64_t offset, size_t size,
                    struct page_frame *frame) {
    for (size_t i = 0; reads != NULL && i < reads->count; i++) {
        struct sst_read *r = &reads->entries[i];
        if (r->state == READ_TAKEN && r->offset == offset && r->size == size && !r->is_value &&
            r->table->meta.number == t->meta.number) {
            page_frame_ref(frame);
            r->frame = frame;
            r->state = READ_KEPT;
            r->used = true;
            return;
        }
    }
}

/* Two lookups of one key read its value twice, since each takes it. */
int sst_reads_value(struct sst_reads *reads, struct sst_table *t, uint64_t offset, size_t size,
                    struct page_frame **frame) {
    struct sst_read *r = find(reads, t, offset, size, true);
    if (r == NULL) {
        return ask(reads, t, NULL, offset, size, true);
    }
    if (r->state == READ_FAILED) {
        return FIRN_NOT_FOUND;
    }
    *frame = give_away(r);
    return FIRN_OK;
}
