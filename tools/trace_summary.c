#include "tools/trace_summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int trace_each(const char *path, int (*act)(void *context, const firn_trace_op *op), void *context,
               firn_trace_info *info) {
    firn_trace *trace;
    firn_trace_op op;
    int rc = firn_trace_open(path, &trace);
    if (rc != FIRN_OK) {
        return rc;
    }
    int stopped = 0;
    while (stopped == 0 && (rc = firn_trace_next(trace, &op)) == FIRN_OK) {
        stopped = act(context, &op);
    }
    if (info != NULL) {
        firn_trace_get_info(trace, info);
    }
    firn_trace_close(trace);
    return stopped != 0 ? FIRN_NOMEM : rc == FIRN_NOT_FOUND ? FIRN_OK : rc;
}

/* ---- Sizes ---- */

static void count_size(struct size_counts *sizes, uint64_t size) {
    size_t class = size == 0 ? 0 : 1 + (size_t)(8 * log2((double)size));
    sizes->counts[class < SIZE_CLASSES ? class : SIZE_CLASSES - 1]++;
    sizes->count++;
    sizes->total += (double)size;
    sizes->most = size > sizes->most ? size : sizes->most;
}

double size_counts_part(const struct size_counts *sizes, double part) {
    double wanted = part * (double)sizes->count, seen = 0;
    size_t class = 0;
    for (; class < SIZE_CLASSES; class ++) {
        seen += (double)sizes->counts[class];
        if (seen >= wanted) {
            break;
        }
    }
    double size = class == 0 ? 0 : ceil(exp2((double)class / 8)) - 1;
    return size < (double)sizes->most ? size : (double)sizes->most;
}

/* ---- Keys ---- */

static uint64_t hash_of(firn_slice key) {
    const unsigned char *bytes = key.data;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key.size; i++) {
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    return h != 0 ? h : 1;
}

static struct key_count *find_key(struct key_count *keys, size_t capacity, uint64_t hash) {
    size_t i = (size_t)hash & (capacity - 1);
    while (keys[i].hash != 0 && keys[i].hash != hash) {
        i = (i + 1) & (capacity - 1);
    }
    return &keys[i];
}

static bool grow(struct trace_summary *s) {
    size_t capacity = s->capacity == 0 ? 4096 : 2 * s->capacity;
    struct key_count *keys = calloc(capacity, sizeof *keys);
    if (keys == NULL) {
        return false;
    }
    for (size_t i = 0; i < s->capacity; i++) {
        if (s->keys[i].hash != 0) {
            *find_key(keys, capacity, s->keys[i].hash) = s->keys[i];
        }
    }
    free(s->keys);
    s->keys = keys;
    s->capacity = capacity;
    return true;
}

static int take(void *context, const firn_trace_op *op) {
    struct trace_summary *s = context;
    if (2 * (s->key_count + 1) > s->capacity && !grow(s)) {
        return 1;
    }
    count_size(&s->key_bytes, op->key.size);
    if (op->kind == FIRN_TRACE_SCAN) {
        count_size(&s->scanned, op->passed);
        return 0;
    }
    struct key_count *key = find_key(s->keys, s->capacity, hash_of(op->key));
    s->keys_before += key->hash == 0 && op->kind == FIRN_TRACE_GET && op->found;
    s->key_count += key->hash == 0;
    key->hash = hash_of(op->key);
    if (op->kind == FIRN_TRACE_GET) {
        s->keys_got += key->gets++ == 0;
        if (op->found) {
            count_size(&s->get_bytes, op->value_bytes);
        }
    } else {
        s->keys_written += key->writes++ == 0;
        if (op->kind == FIRN_TRACE_PUT) {
            count_size(&s->put_bytes, op->value_bytes);
        }
    }
    return 0;
}

static int compare_counts(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

static bool sort_counts(struct trace_summary *s) {
    size_t writes = 0, gets = 0;
    s->by_writes = malloc((s->keys_written + 1) * sizeof *s->by_writes);
    s->by_gets = malloc((s->keys_got + 1) * sizeof *s->by_gets);
    if (s->by_writes == NULL || s->by_gets == NULL) {
        return false;
    }
    for (size_t i = 0; i < s->capacity; i++) {
        if (s->keys[i].writes > 0) {
            s->by_writes[writes++] = s->keys[i].writes;
        }
        if (s->keys[i].gets > 0) {
            s->by_gets[gets++] = s->keys[i].gets;
        }
    }
    qsort(s->by_writes, writes, sizeof *s->by_writes, compare_counts);
    qsort(s->by_gets, gets, sizeof *s->by_gets, compare_counts);
    return true;
}

int trace_summary_read(const char *path, struct trace_summary *s) {
    memset(s, 0, sizeof *s);
    int rc = trace_each(path, take, s, &s->info);
    return rc == FIRN_OK && !sort_counts(s) ? FIRN_NOMEM : rc;
}

void trace_summary_deinit(struct trace_summary *s) {
    free(s->keys);
    free(s->by_writes);
    free(s->by_gets);
}

double trace_summary_share(const struct trace_summary *s, bool writes, double part) {
    const uint32_t *counts = writes ? s->by_writes : s->by_gets;
    uint64_t keys = writes ? s->keys_written : s->keys_got;
    double all = 0, hot = 0, wanted = ceil(part * (double)keys);
    for (uint64_t i = 0; i < keys; i++) {
        all += counts[i];
        hot += (double)i < wanted ? counts[i] : 0;
    }
    return all > 0 ? hot / all : 0;
}
