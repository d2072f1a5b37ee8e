/* sst/output.h: the file a table is written to: appends gathered into large writes, the offset they
 * have reached, and the chain of all checksums written.
 */
#ifndef FIRN_SST_OUTPUT_H
#define FIRN_SST_OUTPUT_H

#include "base/env.h"
#include "sst/format.h"

struct output {
    struct env_file *file;
    struct buf pending; /* not appended to the file yet */
    uint64_t offset;    /* of the next byte */
    uint64_t parts;     /* the sum of checksums: footer.parts */
    uint8_t id[TABLE_ID_BYTES];
    /* Called before so many bytes are handed to the file; may wait, or fail. NULL: none. */
    int (*throttle)(void *context, uint64_t bytes);
    void *throttle_context;
};

void output_init(struct output *o, struct alloc *alloc, const uint8_t id[TABLE_ID_BYTES]);
void output_deinit(struct output *o); /* closes nothing */

int output_append(struct output *o, const void *data, size_t size);
/* Appends the checksum of the size bytes at data, which have just been appended and end here. */
int output_seal(struct output *o, const void *data, size_t size);
/* Appends zeros up to a multiple of alignment. */
int output_align(struct output *o, size_t alignment);
/* Appends a section's body and its chunk checksums, and lists it in the footer. */
int output_section(struct output *o, struct footer *f, enum section_kind kind, uint64_t first_page,
                   firn_slice body);
/* Hands everything to the file. */
int output_flush(struct output *o);

#endif
