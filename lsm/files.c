/* Names are parsed by writing what a number would be called and comparing: there is then no second
 * description of the names that could come to differ from the first. */
#include "lsm/files.h"

#include <string.h>

#include "base/status.h"

#define NAME_BYTES_MAX 40
#define NUMBER_DIGITS_MIN 6

/* Returns the end. Opening a database makes and compares names by the hundred: by snprintf() that
 * took a twentieth of the time. */
static char *put_number(char *to, uint64_t number) {
    char digits[20];
    size_t count = 0;
    for (; number > 0 || count < NUMBER_DIGITS_MIN; number /= 10) {
        digits[count++] = (char)('0' + number % 10);
    }
    while (count > 0) {
        *to++ = digits[--count];
    }
    return to;
}

static void write_name(enum file_kind kind, uint64_t number, char *name) {
    switch (kind) {
    case FILE_CURRENT:
        name = stpcpy(name, "CURRENT");
        break;
    case FILE_CURRENT_TMP:
        name = stpcpy(name, "CURRENT.tmp");
        break;
    case FILE_LOCK:
        name = stpcpy(name, "LOCK");
        break;
    case FILE_MANIFEST:
        name = put_number(stpcpy(name, "MANIFEST-"), number);
        break;
    case FILE_LOG:
        name = stpcpy(put_number(name, number), ".log");
        break;
    case FILE_TABLE:
        name = stpcpy(put_number(name, number), ".sst");
        break;
    case FILE_OTHER:
        break;
    }
    *name = '\0';
}

void file_path(const char *folder, enum file_kind kind, uint64_t number, char *path) {
    char name[NAME_BYTES_MAX];
    write_name(kind, number, name);
    size_t bytes = strlen(name) + 1, size = strnlen(folder, PATH_BYTES_MAX - NAME_BYTES_MAX - 1);
    memcpy(path, folder, size);
    path[size] = '/';
    memcpy(path + size + 1, name, bytes);
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

void file_remove(firn_env *env, const char *folder, enum file_kind kind, uint64_t number) {
    char path[PATH_BYTES_MAX];
    struct status_kept cause;
    status_keep(&cause);
    file_path(folder, kind, number, path);
    (void)env_unlink(env, path);
    status_put_back(&cause);
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
