/* tests/support/oracle.h: what a database must hold: a sorted array of keys, each with all its
 * versions, so that it can be asked as of any moment.
 *
 * A value is not stored but grown from a seed and a size, so that values of megabytes cost nothing
 * here. Moments are counted as the database counts sequences: one per operation.
 */
#ifndef FIRN_TESTS_ORACLE_H
#define FIRN_TESTS_ORACLE_H

#include "base/slice.h"

struct oracle;

struct oracle_value {
    uint64_t seed;
    size_t size; /* bytes */
};

/* The bytes of a value. */
void oracle_fill(struct oracle_value v, uint8_t *to);
bool oracle_matches(struct oracle_value v, const void *data, size_t size);

/* A sum that identifies a set of keys and values: add up those of all its pairs. */
uint64_t oracle_pair_hash(firn_slice key, firn_slice value);

struct oracle *oracle_create(void);
void oracle_destroy(struct oracle *o);

/* Each is one operation. */
void oracle_put(struct oracle *o, firn_slice key, struct oracle_value v);
void oracle_delete(struct oracle *o, firn_slice key);

uint64_t oracle_now(const struct oracle *o); /* operations so far */

/* Whether the key was there at that moment. value may be NULL. */
bool oracle_get(const struct oracle *o, firn_slice key, uint64_t moment,
                struct oracle_value *value);

/* Keys are numbered in order; those absent at some moment are among them. */
size_t oracle_count(const struct oracle *o);
firn_slice oracle_key(const struct oracle *o, size_t i);
bool oracle_at(const struct oracle *o, size_t i, uint64_t moment, struct oracle_value *value);
size_t oracle_find(const struct oracle *o, firn_slice key); /* the first not before key */

/* The sum of oracle_pair_hash() over all that was there after the last operation. */
uint64_t oracle_hash(const struct oracle *o);

#endif
