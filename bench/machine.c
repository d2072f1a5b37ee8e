/* bench/machine.c: see machine.h. */
#include "bench/machine.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t field(const char *text, const char *name) {
    const char *at = strstr(text, name);
    unsigned long long number = 0;
    if (at != NULL) {
        sscanf(at + strlen(name), " %llu", &number);
    }
    return number;
}

static void read_text(const char *path, char *text, size_t capacity) {
    FILE *file = fopen(path, "r");
    size_t size = file == NULL ? 0 : fread(text, 1, capacity - 1, file);
    text[size] = '\0';
    if (file != NULL) {
        fclose(file);
    }
}

void machine_use(struct machine_use *use) {
    char text[4096];
    use->wall_ns = clock_ns(CLOCK_MONOTONIC);
    use->process_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    read_text("/proc/self/io", text, sizeof(text));
    use->handed_to_read = field(text, "rchar:");
    use->handed_to_write = field(text, "wchar:");
    use->read_bytes = field(text, "\nread_bytes:");
    use->write_bytes = field(text, "\nwrite_bytes:");
    read_text("/proc/self/status", text, sizeof(text));
    use->memory = field(text, "VmRSS:") << 10;
    use->memory_peak = field(text, "VmHWM:") << 10;
}

void machine_forget_peak(void) {
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file != NULL) {
        fputs("5", file);
        fclose(file);
    }
}

static uint64_t disk_bytes; /* nftw() passes no context */

static int add_blocks(const char *path, const struct stat *stat, int type, struct FTW *where) {
    (void)path;
    (void)where;
    if (type == FTW_F) {
        disk_bytes += (uint64_t)stat->st_blocks * 512;
    }
    return 0;
}

uint64_t machine_disk_bytes(const char *dir) {
    disk_bytes = 0;
    nftw(dir, add_blocks, 16, FTW_PHYS);
    return disk_bytes;
}

static int drop(const char *path, const struct stat *stat, int type, struct FTW *where) {
    (void)stat;
    (void)where;
    if (type != FTW_F) {
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int rc = fdatasync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0;
    close(fd);
    return rc;
}

bool machine_drop_cached(const char *dir) {
    return nftw(dir, drop, 16, FTW_PHYS) == 0;
}

#define IDLE_STEP_US 10000
#define IDLE_CPU_NS 300000 /* of a step: 3 % */

uint64_t machine_wait_idle(int steps) {
    uint64_t active = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int quiet = 0; quiet < steps; quiet++) {
        usleep(IDLE_STEP_US);
        uint64_t now = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        if (now - cpu > IDLE_CPU_NS) {
            active = clock_ns(CLOCK_MONOTONIC);
            quiet = -1;
        }
        cpu = now;
    }
    return active;
}
