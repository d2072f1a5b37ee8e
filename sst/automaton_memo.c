#include "sst/automaton_memo.h"

void automaton_memo_reset(struct automaton_memo *memo, const struct segment *segment) {
    memo->segment = segment;
    for (size_t i = 0; i < MEMO_SLOTS; i++) {
        memo->slots[i].keys = 0;
    }
}

void memo_slot_fill(struct memo_slot *slot, const struct key_run *run, uint32_t first,
                    uint32_t count, size_t depth) {
    size_t size = run->ends[first + count - 1] - run->ends[first - 1] - count * depth;
    slot->keys = MEMO_TOO_LARGE;
    if (count > MEMO_KEYS_MAX || size > MEMO_TEXT_MAX) {
        return;
    }
    size_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t begin = run->ends[first + i - 1] + depth, rest = run->ends[first + i] - begin;
        memcpy(slot->text + end, run->bytes.data + begin, rest);
        end += rest;
        slot->ends[i] = (uint8_t)end;
    }
    slot->keys = count;
}
