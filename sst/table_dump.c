/* What is hard here: to go on where others rightly stop. Each part of the table is loaded by itself
 * and its failure is told in its place; what depends on it is left out or found in another way.
 */
#include "sst/table_dump.h"

#include "bloom/filter.h"
#include "sst/page_dump.h"
#include "sst/page_index.h"
#include "sst/segment_internal.h"

/* Pages of up to so many units are found without an index. */
#define SEARCH_UNITS_MAX 16

struct dump {
    struct alloc *alloc;
    const struct table_dump_options *options;
    struct print *out;
    struct env_file *file;
    uint64_t file_bytes;

    uint8_t id[TABLE_ID_BYTES]; /* by the header, until the footer is known */
    bool has_header, has_footer, has_index;
    struct buf footer_bytes;
    struct footer footer;
    struct buf index_bytes;
    struct page_index index;

    /* Of the segment whose pages are being told. */
    struct buf phrases, shared, dictionary;
    struct segment *segment;         /* NULL: its sections are damaged */
    struct value_dictionary *values; /* NULL: there is none, or it is damaged */

    struct buf page, decoded;
    struct area_cursor cursor;
};

static int read_bytes(struct dump *d, uint64_t offset, uint64_t size, struct buf *to) {
    size_t got = 0;
    buf_reset(to);
    if (size > d->file_bytes || offset > d->file_bytes - size) {
        return FAIL(FIRN_CORRUPT, "the file ends at %llu, within %llu bytes at %llu",
                    (unsigned long long)d->file_bytes, (unsigned long long)size,
                    (unsigned long long)offset);
    }
    int rc = buf_reserve(to, (size_t)size);
    rc = rc == FIRN_OK ? env_read_at(d->file, offset, to->data, (size_t)size, &got) : rc;
    to->size = got;
    if (rc == FIRN_OK && got != size) {
        rc = FAIL(FIRN_CORRUPT, "the file became shorter while it was read");
    }
    return rc;
}

static bool all_pages(const struct dump *d) {
    return d->options->page == UINT64_MAX;
}

/* ---- Header and footer ---- */

static void dump_features(struct print *out, uint64_t compatible, uint64_t read_compatible,
                          uint64_t incompatible) {
    print_text(out, "features", "compatible %#llx, read-only compatible %#llx, incompatible %#llx",
               (unsigned long long)compatible, (unsigned long long)read_compatible,
               (unsigned long long)incompatible);
}

static int check_header(struct dump *d, const uint8_t *h) {
    uint64_t found = format_checksum(h + 16, 0, h, FORMAT_HEADER_BYTES - 8);
    if (get_u64(h) != FORMAT_MAGIC) {
        return FAIL(FIRN_CORRUPT, "header magic %016llx, expected %016llx",
                    (unsigned long long)get_u64(h), (unsigned long long)FORMAT_MAGIC);
    }
    if (found != get_u64(h + 56)) {
        return FAIL(FIRN_CORRUPT, "the header has checksum %016llx, expected %016llx",
                    (unsigned long long)found, (unsigned long long)get_u64(h + 56));
    }
    memcpy(d->id, h + 16, TABLE_ID_BYTES);
    d->has_header = true;
    if (get_u32(h + 8) != FORMAT_VERSION) {
        return FAIL(FIRN_UNSUPPORTED, "format version %u; this library reads %u", get_u32(h + 8),
                    FORMAT_VERSION);
    }
    return FIRN_OK;
}

static int dump_header(struct dump *d) {
    print_block(d->out, "header");
    int rc = read_bytes(d, 0, FORMAT_HEADER_BYTES, &d->page);
    if (rc == FIRN_OK) {
        const uint8_t *h = d->page.data;
        print_number(d->out, "format_version", get_u32(h + 8));
        print_number(d->out, "keyspace", get_u32(h + 12));
        print_hex(d->out, "id", h + 16, TABLE_ID_BYTES);
        dump_features(d->out, get_u64(h + 32), get_u64(h + 40), get_u64(h + 48));
        rc = check_header(d, h);
    }
    rc = print_damage(d->out, rc);
    print_end(d->out);
    return rc;
}

static int load_footer(struct dump *d) {
    size_t size = 0;
    if (d->file_bytes < FORMAT_HEADER_BYTES + FORMAT_TRAILER_BYTES) {
        return FAIL(FIRN_CORRUPT, "a file of %llu bytes has no room for a footer",
                    (unsigned long long)d->file_bytes);
    }
    int rc =
        read_bytes(d, d->file_bytes - FORMAT_TRAILER_BYTES, FORMAT_TRAILER_BYTES, &d->footer_bytes);
    rc = rc == FIRN_OK ? footer_size(d->footer_bytes.data, d->file_bytes, &size) : rc;
    rc = rc == FIRN_OK ? read_bytes(d, d->file_bytes - size, size, &d->footer_bytes) : rc;
    return rc == FIRN_OK ? footer_decode(buf_slice(&d->footer_bytes), d->file_bytes, &d->footer)
                         : rc;
}

static void dump_footer_fields(struct dump *d) {
    const struct footer *f = &d->footer;
    const struct table_meta *m = &f->meta;
    struct print *out = d->out;
    print_number(out, "offset", d->file_bytes - d->footer_bytes.size);
    print_number(out, "bytes", d->footer_bytes.size);
    print_hex(out, "id", m->id, TABLE_ID_BYTES);
    dump_features(out, f->compatible, f->read_compatible, f->incompatible);
    print_number(out, "keyspace", m->keyspace);
    print_text(out, "table_form", "%s", table_form_name(footer_form(f)));
    print_text(out, "effort", "%s", m->effort == SST_EFFORT_FULL ? "full" : "fast");
    print_number(out, "created_ns", m->created_ns);
    print_text(out, "digest", "%016llx", (unsigned long long)m->digest);
    print_number(out, "page_bytes", f->page_bytes);
    print_number(out, "pages", f->pages);
    print_number(out, "number_pages", f->number_pages);
    print_number(out, "keys", m->keys);
    print_number(out, "entries", m->entries);
    print_number(out, "tombstones", m->tombstones);
    print_number(out, "raw_key_bytes", m->raw_key_bytes);
    print_number(out, "raw_value_bytes", m->raw_value_bytes);
    print_rate(out, "false_positive_rate", filter_rate_of(m));
    print_number(out, "lowest_sequence", m->seq_min);
    print_number(out, "highest_sequence", m->seq_max);
    print_bytes(out, "smallest_key", m->smallest);
    print_bytes(out, "largest_key", m->largest);
    print_number(out, "key_area_bytes", f->key_area_bytes);
    print_number(out, "entries_bytes", f->entries_bytes);
    print_number(out, "values_bytes", f->values_bytes);
    print_number(out, "padding_bytes", f->padding_bytes);
    print_text(out, "bytes_per_key", "%.2f", (double)d->file_bytes / (double)m->keys);
}

static int dump_footer(struct dump *d) {
    print_block(d->out, "footer");
    int rc = load_footer(d);
    if (rc == FIRN_OK) {
        d->has_footer = true;
        memcpy(d->id, d->footer.meta.id, TABLE_ID_BYTES);
        dump_footer_fields(d);
    }
    rc = print_damage(d->out, rc);
    print_end(d->out);
    return rc;
}

/* ---- Sections ---- */

static const char *section_holds(uint64_t kind) {
    static const char *const holds[] = {
        "",
        "values too large for a page",
        "pages: keys in order, their entries and values",
        "the strings that edges of automata are made of",
        "sub-automata that many pages refer to",
        "a filter over the keys of pages from this one on",
        "separators: which page may hold a key, and what lies before it",
        "what values have in common, for zstd",
        "inner nodes of a btree",
    };
    return holds[kind <= SECTION_KIND_MAX ? kind : 0];
}

static int load_section(struct dump *d, const struct section *s, struct buf *to) {
    int rc = read_bytes(d, s->offset, section_stored_bytes(s), to);
    return rc == FIRN_OK ? section_check(d->id, s, to->data) : rc;
}

static firn_slice section_body(const struct section *s, const struct buf *stored) {
    return firn_slice_make(stored->data, (size_t)s->size);
}

static int dump_filter(struct dump *d, firn_slice bytes) {
    struct filter f;
    int rc = filter_open(bytes, &f);
    if (rc == FIRN_OK) {
        print_text(d->out, "kind", "%s", f.is_fuse ? "fuse" : "bloom");
    }
    if (rc == FIRN_OK && f.is_fuse) {
        print_number(d->out, "slot_bits", f.fuse.width);
        print_rate(d->out, "false_positive_rate", fuse_rate(&f.fuse));
    }
    return rc;
}

static int dump_section(struct dump *d, const struct section *s) {
    print_row(d->out, section_name(s->kind));
    print_number(d->out, "offset", s->offset);
    print_number(d->out, "bytes", section_stored_bytes(s));
    print_number(d->out, "page", s->first_page);
    print_text(d->out, "holds", "%s", section_holds(s->kind));
    int rc = FIRN_OK;
    if (section_has_chunks(s->kind)) {
        struct buf *to = s->kind == SECTION_INDEX ? &d->index_bytes : &d->page;
        rc = load_section(d, s, to);
        if (rc == FIRN_OK && s->kind == SECTION_FILTER) {
            rc = dump_filter(d, section_body(s, to));
        }
        if (rc == FIRN_OK && s->kind == SECTION_INDEX) {
            rc = page_index_open(section_body(s, to), &d->index);
            if (rc == FIRN_OK && d->index.pages != d->footer.pages) {
                rc = FAIL(FIRN_CORRUPT, "the index has %zu pages, the footer %llu", d->index.pages,
                          (unsigned long long)d->footer.pages);
            }
            d->has_index = rc == FIRN_OK;
        }
    }
    rc = print_damage(d->out, rc);
    print_end(d->out);
    return rc;
}

static int dump_sections(struct dump *d) {
    int rc = FIRN_OK;
    print_list(d->out, "sections");
    for (size_t i = 0; rc == FIRN_OK && i < d->footer.section_count; i++) {
        rc = dump_section(d, &d->footer.sections[i]);
    }
    print_list_end(d->out);
    return rc;
}

/* The sections that follow those of pages; the footer's order was checked. */
static int load_segment(struct dump *d, const struct section *pages) {
    const struct section *phrases = pages + 1, *shared = pages + 2;
    segment_close(d->segment);
    d->segment = NULL;
    value_dictionary_close(d->values);
    d->values = NULL;
    const struct section *next = shared + 1; /* an index follows in any case */
    int rc = FIRN_OK;
    if (footer_form(&d->footer) != FIRN_TABLE_FST) {
        next = pages + 1;
        d->segment = segment_empty();
    } else {
        rc = load_section(d, phrases, &d->phrases);
        rc = rc == FIRN_OK ? load_section(d, shared, &d->shared) : rc;
        rc = rc == FIRN_OK ? segment_open(d->alloc, section_body(phrases, &d->phrases),
                                          section_body(shared, &d->shared), false, &d->segment)
                           : rc;
    }
    if (rc == FIRN_OK && next->kind == SECTION_DICTIONARY) {
        rc = load_section(d, next, &d->dictionary);
        rc = rc == FIRN_OK
                 ? value_dictionary_open(d->alloc, section_body(next, &d->dictionary), &d->values)
                 : rc;
    }
    return rc;
}

/* Members that tell what the pages of a segment share. */
static int dump_shared(struct dump *d, const struct section *pages) {
    int rc = load_segment(d, pages);
    if (rc == FIRN_OK && footer_form(&d->footer) == FIRN_TABLE_FST) {
        print_number(d->out, "phrases", d->segment->phrases.phrase_count);
        print_number(d->out, "patterns", d->segment->phrases.pattern_count);
        print_number(d->out, "shared_automata", d->segment->shared.count);
        print_number(d->out, "resident_bytes", segment_memory(d->segment));
    }
    return print_damage(d->out, rc);
}

/* ---- Pages ---- */

/* Parses the page in d->page anew, decoded, where it or its values are under zstd. */
static int decode_page(struct dump *d, struct page *p) {
    if (!page_is_encoded(p)) {
        return FIRN_OK;
    }
    size_t size = page_decoded_bytes(p);
    buf_reset(&d->decoded);
    int rc = buf_reserve(&d->decoded, size);
    rc = rc == FIRN_OK ? page_decode(p, d->page.data, d->alloc, NULL, d->values, d->decoded.data)
                       : rc;
    return rc == FIRN_OK ? page_parse(d->decoded.data, size, p) : rc;
}

/* The page in d->page, which stands at offset. */
static int dump_page_bytes(struct dump *d, uint64_t offset, bool in_full) {
    struct page p;
    int rc = page_check(d->id, offset, d->page.data, d->page.size);
    rc = rc == FIRN_OK ? page_parse(d->page.data, d->page.size, &p) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t padding = p.padding_bytes, encoded = p.values.encoded.size;
    bool ice = page_is_ice(&p);
    if (ice && d->segment != NULL) { /* its dictionary is loaded with the segment */
        rc = decode_page(d, &p);
        p.padding_bytes = padding;
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    page_dump_parts(d->out, &p, d->page.size);
    if (ice) {
        print_number(d->out, "ice_bytes", encoded);
    }
    if (in_full) {
        page_dump_encoding(d->out, &p);
    }
    if (d->segment == NULL) {
        return FIRN_OK; /* its sections were told to be damaged */
    }
    area_cursor_open(&d->cursor, d->segment, &p.area);
    rc = page_dump_first_key(d->out, &d->cursor);
    if (rc == FIRN_OK && (in_full || d->options->keys)) {
        rc = decode_page(d, &p);
        rc = rc == FIRN_OK ? page_dump_keys(d->out, &p, &d->cursor) : rc;
    }
    return rc;
}

/* Where the index says the page is. */
static int read_page(struct dump *d, const struct section *pages, uint64_t page, uint64_t *offset) {
    const struct line *units = &d->index.units;
    uint64_t first = line_get(units, (size_t)pages->first_page);
    uint64_t begin = line_get(units, (size_t)page), end = line_get(units, (size_t)page + 1);
    uint64_t limit = section_units(pages);
    *offset = pages->offset;
    if (begin < first || begin >= end || end - first > limit) {
        return FAIL(FIRN_CORRUPT,
                    "page %llu is in units %llu to %llu by the index, its section ends at %llu",
                    (unsigned long long)page, (unsigned long long)begin, (unsigned long long)end,
                    (unsigned long long)(first + limit));
    }
    *offset += (begin - first) * FORMAT_UNIT_BYTES;
    return read_bytes(d, *offset, section_page_bytes(pages, begin - first, end - first), &d->page);
}

static int dump_page(struct dump *d, const struct section *pages, uint64_t page) {
    uint64_t offset;
    print_row(d->out, "page");
    print_number(d->out, "number", page);
    int rc = read_page(d, pages, page, &offset);
    print_number(d->out, "offset", offset);
    rc = rc == FIRN_OK ? dump_page_bytes(d, offset, false) : rc;
    rc = print_damage(d->out, rc);
    print_end(d->out);
    return rc;
}

/* Leaves the page that stands at offset in d->page; none there: FIRN_NOT_FOUND. The last page of a
 * segment has no whole units: only its own fields tell how long it is. */
static int find_page(struct dump *d, uint64_t offset, uint64_t end) {
    uint64_t left = end - offset, max = SEARCH_UNITS_MAX * FORMAT_UNIT_BYTES;
    max = left < max ? left : max;
    int rc = read_bytes(d, offset, max, &d->page);
    for (size_t bytes = FORMAT_UNIT_BYTES; rc == FIRN_OK && bytes <= max;
         bytes += FORMAT_UNIT_BYTES) {
        d->page.size = bytes;
        if (page_check(d->id, offset, d->page.data, bytes) == FIRN_OK) {
            return FIRN_OK;
        }
    }
    struct page p;
    if (rc == FIRN_OK && max > FORMAT_CHECKSUM_BYTES &&
        page_parse(d->page.data, (size_t)max, &p) == FIRN_OK) {
        d->page.size = (size_t)max - p.padding_bytes;
        if (page_check(d->id, offset, d->page.data, d->page.size) == FIRN_OK) {
            return FIRN_OK;
        }
    }
    return rc == FIRN_OK ? FIRN_NOT_FOUND : rc;
}

static void dump_gap(struct dump *d, uint64_t begin, uint64_t end) {
    if (begin < end) {
        print_row(d->out, "no page");
        print_number(d->out, "offset", begin);
        print_number(d->out, "bytes", end - begin);
        print_end(d->out);
    }
}

/* Without an index: what matches its checksum is a page. */
static int search_pages(struct dump *d, uint64_t begin, uint64_t end) {
    int rc = FIRN_OK;
    uint64_t gap = begin;
    while (rc == FIRN_OK && d->out->rc == FIRN_OK && begin < end) {
        rc = find_page(d, begin, end);
        if (rc == FIRN_NOT_FOUND) {
            begin += end - begin < FORMAT_UNIT_BYTES ? end - begin : FORMAT_UNIT_BYTES;
            rc = FIRN_OK;
        } else if (rc == FIRN_OK) {
            dump_gap(d, gap, begin);
            print_row(d->out, "page");
            print_number(d->out, "offset", begin);
            rc = print_damage(d->out, dump_page_bytes(d, begin, false));
            print_end(d->out);
            begin += d->page.size;
            gap = begin;
        }
    }
    dump_gap(d, gap, end);
    return rc;
}

static int dump_pages(struct dump *d, const struct section *pages, uint64_t page_end) {
    print_list(d->out, "pages");
    int rc = FIRN_OK;
    if (d->has_index) {
        /* out->rc: nobody listens any more. */
        for (uint64_t page = pages->first_page;
             rc == FIRN_OK && d->out->rc == FIRN_OK && page < page_end; page++) {
            rc = dump_page(d, pages, page);
        }
    } else {
        rc = search_pages(d, pages->offset, pages->offset + pages->size);
    }
    print_list_end(d->out);
    return rc;
}

/* Sections are told by number here. The pages section after one, or how many sections there are;
 * and where the pages of that one end. */
static size_t next_pages(const struct dump *d, size_t s, uint64_t *page_end) {
    const struct footer *f = &d->footer;
    while (++s < f->section_count && f->sections[s].kind != SECTION_PAGES) {
    }
    *page_end = s < f->section_count ? f->sections[s].first_page : f->pages;
    return s;
}

static size_t first_pages(const struct dump *d) {
    size_t s = 0;
    while (d->footer.sections[s].kind !=
           SECTION_PAGES) { /* there is one: an index must follow it */
        s++;
    }
    return s;
}

static int dump_segment(struct dump *d, const struct section *pages, uint64_t page_end) {
    print_row(d->out, "segment");
    print_number(d->out, "first_page", pages->first_page);
    print_number(d->out, "page_count", page_end - pages->first_page);
    int rc = dump_shared(d, pages);
    rc = rc == FIRN_OK ? dump_pages(d, pages, page_end) : rc;
    print_end(d->out);
    return rc;
}

static int dump_segments(struct dump *d) {
    int rc = FIRN_OK;
    print_list(d->out, "segments");
    for (size_t s = first_pages(d), next; rc == FIRN_OK && s < d->footer.section_count; s = next) {
        uint64_t page_end;
        next = next_pages(d, s, &page_end);
        rc = dump_segment(d, &d->footer.sections[s], page_end);
    }
    print_list_end(d->out);
    return rc;
}

static int dump_one_page(struct dump *d) {
    uint64_t page = d->options->page, page_end, offset;
    if (page >= d->footer.pages) {
        return FAIL(FIRN_INVALID, "there is no page %llu: the table has %llu pages",
                    (unsigned long long)page, (unsigned long long)d->footer.pages);
    }
    size_t first = first_pages(d), next;
    while ((next = next_pages(d, first, &page_end)) < d->footer.section_count && page >= page_end) {
        first = next;
    }
    const struct section *s = &d->footer.sections[first];
    print_block(d->out, "segment");
    int rc = dump_shared(d, s);
    print_end(d->out);
    if (rc != FIRN_OK) {
        return rc;
    }
    print_block(d->out, "page");
    print_number(d->out, "number", page);
    if (d->has_index) {
        rc = read_page(d, s, page, &offset);
        print_number(d->out, "offset", offset);
        rc = rc == FIRN_OK ? dump_page_bytes(d, offset, true) : rc;
        rc = print_damage(d->out, rc);
    } else {
        print_text(d->out, "note", "the index is damaged: nothing tells where this page is");
    }
    print_end(d->out);
    return rc;
}

/* ---- The table ---- */

/* Without a footer: pages stand at multiples of a unit, or, in a small table, right behind the
 * header.
 */
static int search_file(struct dump *d) {
    uint64_t begin = FORMAT_HEADER_BYTES;
    int rc = begin < d->file_bytes ? find_page(d, begin, d->file_bytes) : FIRN_NOT_FOUND;
    if (rc == FIRN_NOT_FOUND) {
        begin = FORMAT_UNIT_BYTES;
    } else if (rc != FIRN_OK) {
        return rc;
    }
    return search_pages(d, begin, d->file_bytes);
}

static int dump_all(struct dump *d) {
    int rc = dump_header(d);
    rc = rc == FIRN_OK ? dump_footer(d) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    if (d->has_footer) {
        rc = dump_sections(d);
        return rc != FIRN_OK ? rc : all_pages(d) ? dump_segments(d) : dump_one_page(d);
    }
    if (d->has_header) {
        print_list(d->out, "pages");
        rc = search_file(d);
        print_list_end(d->out);
    }
    return rc;
}

int table_dump(struct alloc *alloc, firn_env *env, const char *path,
               const struct table_dump_options *options, struct print *out) {
    struct dump d = {.alloc = alloc, .options = options, .out = out};
    int rc = env_open(env, path, ENV_RANDOM, &d.file);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct buf *bufs[] = {&d.footer_bytes, &d.index_bytes, &d.phrases, &d.shared,
                          &d.dictionary,   &d.page,        &d.decoded};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_init(bufs[i], alloc, MEM_OTHER);
    }
    footer_init(&d.footer, alloc);
    area_cursor_init(&d.cursor, alloc);
    rc = env_file_size(d.file, &d.file_bytes);
    if (rc == FIRN_OK) {
        print_number(out, "bytes", d.file_bytes);
        rc = dump_all(&d);
    }
    area_cursor_deinit(&d.cursor);
    segment_close(d.segment);
    value_dictionary_close(d.values);
    footer_deinit(&d.footer);
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_deinit(bufs[i]);
    }
    (void)env_close(d.file); /* it was only read */
    return rc;
}
