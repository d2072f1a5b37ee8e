/* sst/page_dump.h: says what a page of a table is made of: in a line, or with all of its keys. */
#ifndef FIRN_SST_PAGE_DUMP_H
#define FIRN_SST_PAGE_DUMP_H

#include "base/print.h"
#include "sst/automaton.h"
#include "sst/page.h"

/* Members of the open row or block: counts and bytes by part. */
void page_dump_parts(struct print *out, const struct page *p, size_t page_bytes);

/* And its first key. REQUIRES: the cursor has been opened on the page. FIRN_CORRUPT, FIRN_NOMEM. */
int page_dump_first_key(struct print *out, struct area_cursor *cursor);

/* Members that say how sequences and values are encoded. */
void page_dump_encoding(struct print *out, const struct page *p);

/* A list of every version of every key. REQUIRES: as above. FIRN_CORRUPT, FIRN_NOMEM: the list was
 * ended there. */
int page_dump_keys(struct print *out, const struct page *p, struct area_cursor *cursor);

#endif
