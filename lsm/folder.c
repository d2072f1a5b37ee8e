#include "lsm/folder.h"

#include <stdlib.h>

static int add_name(void *context, const char *name, uint64_t bytes) {
    struct folder *f = context;
    struct folder_file file = {.bytes = bytes};
    file.kind = file_parse(name, &file.number);
    if (file.kind == FILE_OTHER) {
        f->foreign++;
        return FIRN_OK;
    }
    f->has_current = f->has_current || file.kind == FILE_CURRENT;
    f->highest = file.number > f->highest ? file.number : f->highest;
    return buf_append(&f->files, &file, sizeof file);
}

static int compare(const void *a, const void *b) {
    const struct folder_file *x = a, *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    return (x->number > y->number) - (x->number < y->number);
}

int folder_list(struct alloc *alloc, firn_env *env, const char *path, struct folder *out) {
    memset(out, 0, sizeof *out);
    buf_init(&out->files, alloc, MEM_OTHER);
    int rc = env_list(env, path, add_name, out);
    if (rc == FIRN_OK && out->files.size > 0) {
        qsort(out->files.data, folder_count(out), sizeof(struct folder_file), compare);
    }
    return rc;
}

void folder_deinit(struct folder *f) {
    buf_deinit(&f->files);
}

size_t folder_count(const struct folder *f) {
    return f->files.size / sizeof(struct folder_file);
}

const struct folder_file *folder_at(const struct folder *f, size_t i) {
    return (const struct folder_file *)(const void *)f->files.data + i;
}

const struct folder_file *folder_find(const struct folder *f, enum file_kind kind,
                                      uint64_t number) {
    struct folder_file key = {.kind = kind, .number = number};
    if (f->files.size == 0) {
        return NULL;
    }
    return bsearch(&key, f->files.data, folder_count(f), sizeof key, compare);
}
