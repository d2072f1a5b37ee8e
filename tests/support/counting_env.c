#include "tests/support/counting_env.h"

#include <stdlib.h>
#include <string.h>

struct counted_reads counted_reads;

static struct env_ops counting_ops;
static int (*read_inside)(struct env_file *, uint64_t, void *, size_t, size_t *);

static int read_one(struct env_file *file, uint64_t offset, void *to, size_t size, size_t *got) {
    struct counted_reads *c = &counted_reads;
    uint64_t number = atomic_fetch_add(&c->reads, 1) + 1;
    atomic_store(&c->last_offset, offset);
    if (number == c->failing || (offset > 0 && offset == c->failing_offset)) {
        *got = 0;
        return FAIL(FIRN_IO, "a fault that the test asked for");
    }
    return read_inside(file, offset, to, size, got);
}

static int count_read(struct env_file *file, uint64_t offset, void *to, size_t size, size_t *got) {
    atomic_fetch_add(&counted_reads.rounds, 1);
    return read_one(file, offset, to, size, got);
}

static void count_reads(firn_env *env, firn_read_overlap how, struct env_read *reads, size_t n) {
    (void)env;
    (void)how;
    atomic_fetch_add(&counted_reads.rounds, 1);
    for (size_t i = 0; i < n; i++) {
        struct env_read *r = &reads[i];
        r->rc = read_one(r->file, r->offset, r->to, r->size, &r->got);
    }
}

static const void *no_memory(struct env_file *file) {
    (void)file;
    return NULL;
}

firn_env *counting_env_create(void) {
    firn_env *env;
    if (env_mem_create(&env) != FIRN_OK) {
        abort();
    }
    memset(&counted_reads, 0, sizeof counted_reads);
    counting_ops = *env->ops;
    read_inside = env->ops->read_at;
    counting_ops.read_at = count_read;
    counting_ops.read_many = count_reads;
    counting_ops.file_memory = no_memory;
    env->ops = &counting_ops;
    return env;
}
