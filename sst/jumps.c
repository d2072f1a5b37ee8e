#include "sst/jumps.h"

/* The best choice for the first n children, those from m on behind a jump to m, is the best one for
 * the first m and what is passed over on the way to the others: so costs grow from the best of
 * fewer children to that of all. A stretch is not made longer once what is passed inside of it
 * alone costs more than the best choice known, which keeps stretches short. */

#define CHILDREN_MAX 256

struct plan {
    uint64_t cost[CHILDREN_MAX + 1]; /* by how many children: of the best choice for them */
    uint16_t from[CHILDREN_MAX + 1]; /* where its last stretch begins */
};

static struct jump before(const struct jump_child *children, uint32_t count, struct jump node,
                          uint32_t i) {
    return i < count ? children[i].before : node;
}

/* The best choice for the first `end` children. */
static void extend(struct plan *plan, const struct jump_child *children, uint32_t count,
                   struct jump node, uint32_t end, uint64_t jump_cost) {
    uint64_t passed = 0, best = UINT64_MAX;
    uint32_t keys = before(children, count, node, end).keys;
    for (uint32_t from = end; from-- > 0;) {
        struct jump here = children[from].before, next = before(children, count, node, from + 1);
        passed += (uint64_t)(next.bytes - here.bytes + JUMP_PASS_COST) * (keys - next.keys);
        if (passed >= best) {
            break;
        }
        uint64_t cost = plan->cost[from] + passed + (from > 0 ? jump_cost : 0);
        if (cost < best) {
            best = cost;
            plan->from[end] = (uint16_t)from;
        }
    }
    plan->cost[end] = best;
}

static uint32_t width_for(struct jump most) {
    uint32_t larger = most.bytes > most.keys ? most.bytes : most.keys, width = 0;
    while (width + 1 < JUMP_WIDTHS && larger >> jump_half(width) != 0) {
        width++;
    }
    return width;
}

/* Passing over all children but the last on the way to it, and so on. */
static uint64_t cost_without(const struct jump_child *children, uint32_t count, struct jump node) {
    uint64_t cost = 0;
    for (uint32_t i = 1; i < count; i++) {
        struct jump here = children[i].before;
        cost += (uint64_t)(here.bytes - children[i - 1].before.bytes + JUMP_PASS_COST) *
                (node.keys - here.keys);
    }
    return cost;
}

/* Returns how many jumps the plan has. */
static uint32_t make_plan(struct plan *plan, const struct jump_child *children, uint32_t count,
                          struct jump node, uint64_t jump_cost) {
    plan->cost[0] = 0;
    for (uint32_t end = 1; end <= count; end++) {
        extend(plan, children, count, node, end, jump_cost);
    }
    uint32_t jumps = 0;
    /* extend() has set all up to count. NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign) */
    for (uint32_t at = plan->from[count]; at > 0; at = plan->from[at]) {
        jumps++;
    }
    return jumps;
}

size_t jumps_write(const struct jump_child *children, uint32_t count, struct jump node,
                   uint8_t *to) {
    uint64_t fixed = (uint64_t)JUMP_BYTE_PRICE * (JUMPS_HEADER + 1);
    if ((uint64_t)node.keys * (node.bytes + count * JUMP_PASS_COST) <= fixed) {
        return 0;
    }
    uint64_t without = cost_without(children, count, node);
    if (without <= fixed) {
        return 0;
    }
    struct plan plan;
    uint32_t width = width_for(children[count - 1].before), jumps;
    uint64_t jump_cost = (uint64_t)JUMP_BYTE_PRICE * (1 + jump_size(width));
    while ((jumps = make_plan(&plan, children, count, node, jump_cost)) > JUMPS_MAX) {
        jump_cost *= 2;
    }
    if (jumps == 0 || plan.cost[count] + fixed >= without) {
        return 0;
    }
    uint32_t at = plan.from[count], i = jumps;
    width = width_for(children[at].before);
    to[0] = (uint8_t)(width << 6 | (jumps - 1));
    to[1] = (uint8_t)(count - at);
    uint8_t *firsts = to + JUMPS_HEADER, *places = firsts + jumps;
    for (; at > 0; at = plan.from[at]) {
        firsts[--i] = children[at].first;
        put_jump(places + (size_t)i * jump_size(width), width, children[at].before);
    }
    return JUMPS_HEADER + jumps * (1 + jump_size(width));
}
