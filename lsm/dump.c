/* firn_dump(): finds out what a file is, by its name or else, for copies under other names, by how
 * it begins, and has it explained.
 */
#include "lsm/dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "lsm/current.h"
#include "lsm/options.h"
#include "sst/format.h"
#include "sst/table_dump.h"

/* Of a header record: where its preamble and therein the file's number are. */
#define AT_PREAMBLE RECORD_HEADER_BYTES
#define AT_NUMBER (AT_PREAMBLE + PREAMBLE_MAGIC_BYTES + 4 + 3 * 8 + DATABASE_ID_BYTES)
#define START_BYTES (AT_NUMBER + 8)

static enum file_kind kind_by_content(const uint8_t *start, size_t size, uint64_t *number) {
    *number = 0;
    if (size >= 8 && get_u64(start) == FORMAT_MAGIC) {
        return FILE_TABLE;
    }
    if (size < START_BYTES) {
        return FILE_OTHER;
    }
    *number = get_u64(start + AT_NUMBER);
    if (memcmp(start + AT_PREAMBLE, preamble_log.magic, PREAMBLE_MAGIC_BYTES) == 0) {
        return FILE_LOG;
    }
    if (memcmp(start + AT_PREAMBLE, preamble_manifest.magic, PREAMBLE_MAGIC_BYTES) == 0) {
        return FILE_MANIFEST;
    }
    return FILE_OTHER;
}

static int read_start(firn_env *env, const char *path, void *to, size_t capacity, size_t *size) {
    struct env_file *file;
    int rc = env_open(env, path, ENV_RANDOM, &file);
    if (rc == FIRN_OK) {
        rc = env_read_at(file, 0, to, capacity, size);
        (void)env_close(file); /* it was only read */
    }
    return rc;
}

/* FIRN_INVALID: none of ours. */
static int find_kind(firn_env *env, const char *path, enum file_kind *kind, uint64_t *number) {
    uint8_t start[CURRENT_BYTES_MAX], id[DATABASE_ID_BYTES];
    _Static_assert(sizeof start >= START_BYTES, "enough of any kind to tell it");
    size_t size = 0;
    uint64_t manifest;
    int rc = read_start(env, path, start, sizeof start, &size);
    if (rc != FIRN_OK) {
        return rc;
    }
    const char *slash = strrchr(path, '/');
    *kind = file_parse(slash == NULL ? path : slash + 1, number);
    if (*kind == FILE_OTHER) {
        *kind = current_decode(firn_slice_make(start, size), &manifest, id)
                    ? FILE_CURRENT
                    : kind_by_content(start, size, number);
    }
    if (*kind == FILE_OTHER || *kind == FILE_LOCK) {
        return FAIL(FIRN_INVALID, "%s: it is no table, log, manifest or CURRENT", path);
    }
    return FIRN_OK;
}

static int dump_current(firn_env *env, const char *path, struct print *out) {
    char text[CURRENT_BYTES_MAX];
    size_t size = 0;
    int rc = read_start(env, path, text, sizeof text, &size);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t number;
    uint8_t id[DATABASE_ID_BYTES];
    print_number(out, "bytes", size);
    if (!current_decode(firn_slice_make(text, size), &number, id)) {
        print_bytes(out, "content", firn_slice_make(text, size));
        return print_damage(
            out, FAIL(FIRN_CORRUPT,
                      "its %zu bytes are not the name of a manifest with its checksum", size));
    }
    print_text(out, "manifest_in_force", "MANIFEST-%06" PRIu64, number);
    print_hex(out, "database_id", id, DATABASE_ID_BYTES);
    return FIRN_OK;
}

static int dump_file(struct alloc *alloc, firn_env *env, const char *path,
                     const firn_dump_options *dump, enum file_kind kind, uint64_t number,
                     struct print *out) {
    static const char *const names[] = {
        [FILE_CURRENT] = "the name of the manifest in force",
        [FILE_CURRENT_TMP] = "a CURRENT being written",
        [FILE_MANIFEST] = "manifest",
        [FILE_LOG] = "log",
        [FILE_TABLE] = "table",
    };
    print_text(out, "path", "%s", path);
    print_text(out, "is", "%s", names[kind]);
    const struct table_dump_options table = {dump->page, dump->keys};
    switch (kind) {
    case FILE_TABLE:
        return table_dump(alloc, env, path, &table, out);
    case FILE_LOG:
        return dump_log(alloc, env, path, number, out);
    case FILE_MANIFEST:
        return dump_manifest(alloc, env, path, number, out);
    default:
        return dump_current(env, path, out);
    }
}

/* Nothing is written before the kind is known. */
static int dump_in(struct alloc *alloc, firn_env *env, const char *path,
                   const firn_dump_options *dump,
                   int (*write)(void *context, const char *text, size_t size), void *context) {
    enum file_kind kind;
    uint64_t number = 0;
    int rc = find_kind(env, path, &kind, &number);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct print out;
    print_init(&out, dump->format, write, context);
    rc = dump_file(alloc, env, path, dump, kind, number, &out);
    int written = print_finish(&out);
    rc = rc == FIRN_OK ? written : rc;
    if (rc == FIRN_OK && out.damages > 0) {
        rc = FAIL(FIRN_CORRUPT, "%s: %" PRIu64 " %s found", path, out.damages,
                  out.damages == 1 ? "damage" : "damages");
    }
    return rc;
}

void firn_dump_options_init(firn_dump_options *dump) {
    memset(dump, 0, sizeof *dump);
    dump->struct_size = sizeof *dump;
    dump->page = FIRN_DUMP_ALL_PAGES;
}

static int check_arguments(const char *path, const firn_dump_options *dump,
                           int (*write)(void *context, const char *text, size_t size)) {
    if (path == NULL || strlen(path) >= PATH_BYTES_MAX || write == NULL) {
        return FAIL(FIRN_INVALID, "a dump needs a path of less than %d bytes and a receiver",
                    PATH_BYTES_MAX);
    }
    if (dump->struct_size != sizeof *dump) {
        return FAIL(FIRN_INVALID,
                    "firn_dump_options has size %zu, expected %zu: was it initialised?",
                    dump->struct_size, sizeof *dump);
    }
    if (dump->format != FIRN_TEXT && dump->format != FIRN_JSON) {
        return FAIL(FIRN_INVALID, "a dump of unknown format %d", (int)dump->format);
    }
    return FIRN_OK;
}

int firn_dump(const char *path, const firn_options *options, const firn_dump_options *dump,
              int (*write)(void *context, const char *text, size_t size), void *context) {
    firn_options resolved;
    firn_dump_options defaults;
    firn_dump_options_init(&defaults);
    dump = dump == NULL ? &defaults : dump;
    int rc = options_resolve(options, &resolved);
    rc = rc == FIRN_OK ? check_arguments(path, dump, write) : rc;
    firn_env *env = resolved.env;
    if (rc == FIRN_OK && env == NULL) {
        rc = env_posix_create(&env);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    struct alloc alloc;
    alloc_init(&alloc, resolved.allocator);
    rc = dump_in(&alloc, env, path, dump, write, context);
    if (resolved.env == NULL) {
        env_destroy(env);
    }
    return rc;
}
