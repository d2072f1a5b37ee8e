/* sst/jumps.h: which children of a node are worth a jump (sst/automaton_format.h), when the node is
 * written.
 *
 * The way to a child passes over those between it and the jump before it. What that costs in bytes
 * passed, times the keys for which it does, is weighed against the bytes that jumps take; among all
 * choices of children the one that makes the sum smallest is taken.
 */
#ifndef FIRN_SST_JUMPS_H
#define FIRN_SST_JUMPS_H

#include "sst/automaton_format.h"

/* What a child costs that is passed, in bytes, beside those it has; and what a byte of jumps costs,
 * in bytes passed times keys. */
#define JUMP_PASS_COST 12
#define JUMP_BYTE_PRICE 700

#define JUMPS_BYTES_MAX (JUMPS_HEADER + JUMPS_MAX * (1 + JUMP_BYTES_MAX))

/* A complete child of a node. */
struct jump_child {
    struct jump before; /* of its node */
    uint8_t first;      /* byte of its label */
};

/* node: bytes of all children and keys of the node. Writes its jumps; returns how many bytes they
 * take, 0 where none is worth it. REQUIRES: count is at most 256; JUMPS_BYTES_MAX bytes can be
 * written. */
size_t jumps_write(const struct jump_child *children, uint32_t count, struct jump node,
                   uint8_t *to);

#endif
