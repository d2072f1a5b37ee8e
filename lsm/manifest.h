/* lsm/manifest.h: the log of edits, and CURRENT, which names it.
 *
 *     manifest = record MANIFEST_HEADER, then records EDIT (seq: the edit number) and MARK
 *     MANIFEST_HEADER payload = preamble (lsm/preamble.h)
 *     CURRENT: see lsm/current.h
 *
 * A new manifest begins with one edit that holds a whole version. Switching to it: write and sync
 * the manifest, sync the folder, write and sync CURRENT.tmp, rename it to CURRENT, sync the folder;
 * only then may anything that the old one needed be unlinked. The first edit after opening always
 * begins a new manifest, so a recovered one is never appended to, and opening writes nothing.
 *
 * After any failure here nothing more is appended to that file: manifest_failed() turns true, no
 * file may be deleted, and the next manifest_log() writes a whole new one under a new number.
 */
#ifndef FIRN_LSM_MANIFEST_H
#define FIRN_LSM_MANIFEST_H

#include "base/env.h"
#include "lsm/edit.h"
#include "lsm/version.h"

#define MANIFEST_FORMAT_VERSION 1

struct manifest;

/* What a manifest says of a database besides its tables. */
struct manifest_state {
    uint8_t database_id[16];
    uint64_t manifest_number; /* 0: there is none yet */
    uint64_t edit_number;     /* edits so far, over all manifests */
    uint64_t next_file, log_number, last_seq;
    uint64_t unknown_read_only; /* feature bits that forbid this library to write; as recovered */
    bool durable; /* as recovered: its last record is a mark that proves all before it durable */
};

/* Every edit is synced before it is acted upon, and its record carries that the one before was. So
 * recovery may drop a bad end of a manifest, but nothing before an intact record, and never the
 * first edit, which was durable before CURRENT named the file.
 *
 * A number of an edit whose logging failed is not used again: that edit may be found after a crash.
 */

/* A writer that will begin its first manifest at the first manifest_log(). state is copied. */
int manifest_create(struct alloc *alloc, firn_env *env, const char *folder,
                    const struct manifest_state *state, struct manifest **out);

/* Makes the step from `base` to `next` durable: appends the edit, or writes `next` whole to a new
 * manifest when this is the first one, the old is over bytes_max and twice what it began with (0:
 * in any case), or it failed. *next_file is where a new file's number is taken from, and is
 * advanced; its value is recorded with the edit. Keeps the state up to date. After a failure with
 * manifest_failed() false nothing has been written; with it true, the edit may be durable or not.
 * One caller at a time. */
int manifest_log(struct manifest *m, const struct edit *edit, const struct version *next,
                 _Atomic uint64_t *next_file, uint64_t bytes_max);

const struct manifest_state *manifest_get_state(const struct manifest *m);
uint64_t manifest_bytes(const struct manifest *m);
bool manifest_failed(const struct manifest *m);

/* Appends and syncs a last MARK if anything was appended in this session; then frees m whatever it
 * returns. NULL is allowed. */
int manifest_close(struct manifest *m);

/* Makes a database of tables that are in the folder, durably: writes a manifest of this one edit,
 * which adds them, and CURRENT. For a folder that nobody has open. */
int manifest_write(struct alloc *alloc, firn_env *env, const char *folder,
                   const struct manifest_state *state, const struct edit *edit);

/* Reads CURRENT and the manifest it names, also beside a live writer. FIRN_MISSING: no CURRENT:
 * there is no database here. FIRN_CORRUPT, a manifest that is missing included; FIRN_UNSUPPORTED.
 * *version has one reference, and no `dropped`. */
int manifest_recover(struct alloc *alloc, firn_env *env, const char *folder,
                     struct manifest_state *state, struct version **version);

/* The same for manifest `number`, whatever CURRENT says: for repairs. */
int manifest_read(struct alloc *alloc, firn_env *env, const char *folder, uint64_t number,
                  struct manifest_state *state, struct version **version);

#endif
