/* bench/machine.h: what the machine says about this process: time, CPU, I/O, memory, disk. */
#ifndef FIRN_BENCH_MACHINE_H
#define FIRN_BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* All since the process began, but memory, which is now. From /proc/self/io and status; zeros where
 * the system does not tell. */
struct machine_use {
    uint64_t wall_ns, process_cpu_ns;
    uint64_t handed_to_read, handed_to_write; /* bytes of read() and write() */
    uint64_t read_bytes, write_bytes;         /* bytes of the disk */
    uint64_t memory, memory_peak;             /* resident */
};

void machine_use(struct machine_use *use);

/* Begins a new memory_peak. */
void machine_forget_peak(void);

/* Bytes that the files below dir occupy on disk. */
uint64_t machine_disk_bytes(const char *dir);

/* Makes the system forget what it has cached of the files below dir. They must be clean and not
 * mapped. */
bool machine_drop_cached(const char *dir);

/* Waits until the process has hardly used CPU for so many steps of 10 ms. Returns the time at which
 * it last did. */
uint64_t machine_wait_idle(int steps);

#endif
