/* tools/range.c: what is hard here: the keys that start with a prefix are a range, too. It ends
 * before the prefix with its last byte raised by one; bytes of 0xff at its end cannot be raised and
 * are dropped first, and a prefix of nothing else has no end. */
#include "tools/range.h"

#include <stdlib.h>
#include <string.h>

static bool resolve(const struct call *call, char *text, firn_slice *bytes) {
    size_t size = strlen(text);
    const char *problem;
    if (!text_decode(call->key_form, text, &size, &problem)) {
        complain_usage(call->command, "'%s' has %s", text, problem);
        return false;
    }
    *bytes = firn_slice_make(text, size);
    return true;
}

static int compare(firn_slice a, firn_slice b) {
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static void raise_lower(firn_range *range, firn_slice bound) {
    if (range->lower.data == NULL || compare(bound, range->lower) > 0) {
        range->lower = bound;
    }
}

static void sink_upper(firn_range *range, firn_slice bound) {
    if (range->upper.data == NULL || compare(bound, range->upper) < 0) {
        range->upper = bound;
    }
}

static bool apply_prefix(struct key_range *r, firn_slice prefix) {
    raise_lower(&r->range, prefix);
    r->prefix_end = malloc(prefix.size + 1);
    if (r->prefix_end == NULL) {
        complain("out of memory");
        return false;
    }
    memcpy(r->prefix_end, prefix.data, prefix.size);
    size_t size = prefix.size;
    while (size > 0 && (unsigned char)r->prefix_end[size - 1] == 0xff) {
        size--;
    }
    if (size > 0) {
        r->prefix_end[size - 1]++;
        sink_upper(&r->range, firn_slice_make(r->prefix_end, size));
    }
    return true;
}

bool key_range_resolve(struct key_range *r, const struct call *call) {
    firn_slice prefix;
    if ((r->from != NULL && !resolve(call, r->from, &r->range.lower)) ||
        (r->to != NULL && !resolve(call, r->to, &r->range.upper))) {
        return false;
    }
    return r->prefix == NULL || (resolve(call, r->prefix, &prefix) && apply_prefix(r, prefix));
}

void key_range_deinit(struct key_range *r) {
    free(r->prefix_end);
    r->prefix_end = NULL;
}
