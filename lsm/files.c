/* Names are parsed by writing what a number would be called and comparing: there is then no second
 * description of the names that could come to differ from the first. */
#include "lsm/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_BYTES_MAX 40

static void write_name(enum file_kind kind, uint64_t number, char *name) {
    switch (kind) {
    case FILE_CURRENT:
        (void)snprintf(name, NAME_BYTES_MAX, "CURRENT");
        return;
    case FILE_CURRENT_TMP:
        (void)snprintf(name, NAME_BYTES_MAX, "CURRENT.tmp");
        return;
    case FILE_LOCK:
        (void)snprintf(name, NAME_BYTES_MAX, "LOCK");
        return;
    case FILE_MANIFEST:
        (void)snprintf(name, NAME_BYTES_MAX, "MANIFEST-%06" PRIu64, number);
        return;
    case FILE_LOG:
        (void)snprintf(name, NAME_BYTES_MAX, "%06" PRIu64 ".log", number);
        return;
    case FILE_TABLE:
        (void)snprintf(name, NAME_BYTES_MAX, "%06" PRIu64 ".sst", number);
        return;
    case FILE_OTHER:
        break;
    }
    name[0] = '\0';
}

void file_path(const char *folder, enum file_kind kind, uint64_t number, char *path) {
    char name[NAME_BYTES_MAX];
    write_name(kind, number, name);
    (void)snprintf(path, PATH_BYTES_MAX, "%s/%s", folder, name);
}

/* The first run of digits in a name, 0 when there is none; one that overflows comes out as a number
 * whose name is another. */
static uint64_t first_number(const char *name) {
    name += strcspn(name, "0123456789");
    uint64_t number = 0;
    for (; *name >= '0' && *name <= '9'; name++) {
        number = number * 10 + (uint64_t)(*name - '0');
    }
    return number;
}

enum file_kind file_parse(const char *name, uint64_t *number) {
    uint64_t found = first_number(name);
    for (int kind = FILE_CURRENT; kind <= FILE_TABLE; kind++) {
        char expected[NAME_BYTES_MAX];
        write_name((enum file_kind)kind, found, expected);
        if (strcmp(name, expected) == 0) {
            *number = kind >= FILE_MANIFEST ? found : 0;
            return (enum file_kind)kind;
        }
    }
    *number = 0;
    return FILE_OTHER;
}

void file_parent(const char *path, char *parent) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    memcpy(parent, size == 0 ? "." : path, size == 0 ? 1 : size);
    parent[size == 0 ? 1 : size] = '\0';
}
