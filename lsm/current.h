/* lsm/current.h: CURRENT, the one file that is replaced: it names the manifest in force.
 *
 *     CURRENT = "MANIFEST-000012\n"
 *               the XXH3-64 of that line and the database id, in 16 hex digits
 *               the database id, in 32 hex digits, "\n"
 */
#ifndef FIRN_LSM_CURRENT_H
#define FIRN_LSM_CURRENT_H

#include "base/env.h"
#include "lsm/preamble.h"

#define CURRENT_BYTES_MAX 128

/* Writes the content to text (CURRENT_BYTES_MAX), and a final NUL; returns its length. */
size_t current_encode(uint64_t manifest_number, const uint8_t *database_id, char *text);

/* false when text is not exactly what current_encode() makes of some number and id. */
bool current_decode(firn_slice text, uint64_t *manifest_number, uint8_t *database_id);

/* Makes CURRENT name a manifest, durably. REQUIRES: the manifest and its name are durable. After a
 * failure either the old or the new one may be in force. */
int current_write(firn_env *env, const char *folder, uint64_t manifest_number,
                  const uint8_t *database_id);

/* FIRN_MISSING: there is none; FIRN_CORRUPT. */
int current_read(firn_env *env, const char *folder, uint64_t *manifest_number,
                 uint8_t *database_id);

#endif
