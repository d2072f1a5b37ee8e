#include "base/env_copy.h"

#define PIECE_BYTES ((size_t)1 << 20)

static int copy_pieces(struct env_file *from, struct env_file *to, uint8_t *piece) {
    uint64_t offset = 0;
    for (;;) {
        size_t got;
        int rc = env_read_at(from, offset, piece, PIECE_BYTES, &got);
        if (rc != FIRN_OK || got == 0) {
            return rc;
        }
        rc = env_append(to, piece, got);
        if (rc != FIRN_OK) {
            return rc;
        }
        offset += got;
    }
}

int env_copy(struct alloc *alloc, struct env_file *from, firn_env *env, const char *path) {
    struct env_file *to = NULL;
    uint8_t *piece = alloc_get(alloc, MEM_OTHER, PIECE_BYTES);
    int rc = piece != NULL ? FIRN_OK : FAIL(FIRN_NOMEM, "no memory to write %s", path);
    rc = rc != FIRN_OK ? rc : env_create(env, path, &to);
    rc = rc != FIRN_OK ? rc : copy_pieces(from, to, piece);
    rc = rc != FIRN_OK ? rc : env_sync(to);
    int closed = env_close(to);
    alloc_release(alloc, MEM_OTHER, piece, PIECE_BYTES);
    return rc != FIRN_OK ? rc : closed;
}

int env_copy_path(struct alloc *alloc, firn_env *from_env, const char *from, firn_env *env,
                  const char *path) {
    struct env_file *file;
    int rc = env_open(from_env, from, ENV_SEQUENTIAL, &file);
    if (rc == FIRN_OK) {
        rc = env_copy(alloc, file, env, path);
        (void)env_close(file); /* it was only read */
    }
    return rc;
}
