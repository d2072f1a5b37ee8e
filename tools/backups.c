#include "tools/backups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/command.h"

#define PATH_ROOM 4200

bool backups_path(const struct backups *b, uint64_t number, char *path, size_t size) {
    int n = snprintf(path, size, "%s/%06" PRIu64, b->folder, number);
    if (n < 0 || (size_t)n >= size) {
        (void)complain("%s: the path is too long", b->folder);
        return false;
    }
    return true;
}

bool backups_contain(const struct backups *b, uint64_t number) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->numbers[i] == number) {
            return true;
        }
    }
    return false;
}

static bool is_number(const char *name, uint64_t *number) {
    char again[24];
    *number = strtoull(name, NULL, 10);
    (void)snprintf(again, sizeof(again), "%06" PRIu64, *number);
    return *number > 0 && strcmp(name, again) == 0;
}

static bool is_whole(const struct backups *b, uint64_t number) {
    char path[PATH_ROOM];
    int n = snprintf(path, sizeof(path), "%s/%06" PRIu64 "/CURRENT", b->folder, number);
    return n > 0 && (size_t)n < sizeof(path) && access(path, F_OK) == 0;
}

/* Only tables and manifests lie in a backup that has no CURRENT. Anything else keeps its folder. */
static void delete_rest(const struct backups *b, uint64_t number) {
    char path[PATH_ROOM], file[PATH_ROOM + 256];
    if (!backups_path(b, number, path, sizeof(path))) {
        return;
    }
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        size_t digits = strspn(e->d_name, "0123456789");
        bool table = digits >= 6 && strcmp(e->d_name + digits, ".sst") == 0;
        if (table || strncmp(e->d_name, "MANIFEST-", 9) == 0 ||
            strcmp(e->d_name, "CURRENT.tmp") == 0) {
            (void)snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
            (void)unlink(file);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(path);
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool list(struct backups *b, bool writing) {
    DIR *dir = opendir(b->folder);
    if (dir == NULL) {
        (void)complain("%s: %s", b->folder, strerror(errno));
        return false;
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
        uint64_t number;
        if (!is_number(e->d_name, &number)) {
            continue;
        }
        b->highest = number > b->highest ? number : b->highest;
        if (is_whole(b, number)) {
            uint64_t *more = realloc(b->numbers, (b->count + 1) * sizeof(*more));
            ok = more != NULL;
            if (ok) {
                b->numbers = more;
                b->numbers[b->count++] = number;
            }
        } else if (writing) {
            delete_rest(b, number);
        }
    }
    (void)closedir(dir);
    if (!ok) {
        (void)complain("%s: no memory to list it", b->folder);
    } else if (b->count > 0) {
        qsort(b->numbers, b->count, sizeof(*b->numbers), compare_numbers);
    }
    return ok;
}

static bool take_lock(struct backups *b) {
    char path[PATH_ROOM];
    if (mkdir(b->folder, 0777) != 0 && errno != EEXIST) {
        (void)complain("%s: %s", b->folder, strerror(errno));
        return false;
    }
    int n = snprintf(path, sizeof(path), "%s/LOCK", b->folder);
    b->lock = n > 0 && (size_t)n < sizeof(path)
                  ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)
                  : -1;
    if (b->lock < 0) {
        (void)complain("%s: %s", path, strerror(errno));
        return false;
    }
    if (flock(b->lock, LOCK_EX | LOCK_NB) != 0) {
        (void)complain("%s: another process makes or deletes backups there", b->folder);
        return false;
    }
    return true;
}

bool backups_open(struct backups *b, const char *folder, bool writing) {
    *b = (struct backups){.folder = folder, .lock = -1};
    return (!writing || take_lock(b)) && list(b, writing);
}

void backups_close(struct backups *b) {
    free(b->numbers);
    if (b->lock >= 0) {
        (void)close(b->lock);
    }
    *b = (struct backups){.lock = -1};
}
