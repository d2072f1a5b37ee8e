#include "base/env_span.h"

#include <stddef.h>
#include <string.h>

static struct env_span *span_of(struct env_file *file) {
    return (struct env_span *)(void *)((char *)file - offsetof(struct env_span, file));
}

static int span_open(firn_env *env, const char *path, enum env_access access,
                     struct env_file **out) {
    (void)path;
    (void)access;
    *out = &((struct env_span *)(void *)env)->file; /* env is its first member */
    return FIRN_OK;
}

static int span_read_at(struct env_file *file, uint64_t offset, void *to, size_t size,
                        size_t *got) {
    firn_slice bytes = span_of(file)->bytes;
    uint64_t left = offset < bytes.size ? bytes.size - offset : 0;
    *got = left < size ? (size_t)left : size;
    if (*got > 0) {
        memcpy(to, (const uint8_t *)bytes.data + offset, *got);
    }
    return FIRN_OK;
}

static int span_file_size(struct env_file *file, uint64_t *bytes) {
    *bytes = span_of(file)->bytes.size;
    return FIRN_OK;
}

static const void *span_file_memory(struct env_file *file) {
    return span_of(file)->bytes.data;
}

static int span_close(struct env_file *file) {
    (void)file;
    return FIRN_OK;
}

void env_span_init(struct env_span *span, firn_slice bytes) {
    static const struct env_ops ops = {
        .open = span_open,
        .read_at = span_read_at,
        .file_size = span_file_size,
        .file_memory = span_file_memory,
        .close = span_close,
    };
    span->env.ops = &ops;
    span->file.env = &span->env;
    span->bytes = bytes;
}
