/* base/checksum.h: XXH3-64 (https://xxhash.com) for checksums and for hashing keys. */
#ifndef FIRN_BASE_CHECKSUM_H
#define FIRN_BASE_CHECKSUM_H

#include "base/slice.h"

uint64_t checksum(const void *data, size_t size, uint64_t seed);

/* The hash of a user key that filters and caches agree on. Stored in files: never change it. */
uint64_t key_hash(firn_slice key);

#endif
