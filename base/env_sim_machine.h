/* base/env_sim_machine.h: the simulated machine itself, shared by the files that make it up:
 * env_sim.c (fates, time, jobs), env_sim_files.c (files and names), env_sim_record.c (the log of
 * changes, and cuts). */
#ifndef FIRN_BASE_ENV_SIM_MACHINE_H
#define FIRN_BASE_ENV_SIM_MACHINE_H

#include "base/env_sim_disk.h"
#include "base/env_sim_fiber.h"

/* What happened since recording began. */
struct sim_record {
    struct sim_change *changes; /* change n is changes[n - 1] */
    size_t count, capacity;
    struct sim_disk first; /* durable: what was there when recording began */
    struct sim_disk safe;  /* durable: before change `at`, where the last cut was looked for */
    uint64_t at;
};

struct sim_fault {
    uint64_t call; /* 0: none */
    enum sim_fault_kind kind;
    bool persistent, hit;
};

struct sim_string {
    struct sim_string *next;
    size_t bytes;
    char text[];
};

struct sim_machine {
    firn_env env; /* first */
    struct alloc alloc;
    struct rand rand;
    uint64_t clock_ns;
    struct sim_disk disk;
    struct sim_record record;
    bool recording;
    uint64_t changes, calls, syncs;
    struct sim_fault fault;
    void (*tell_call)(void *context, uint64_t number, enum sim_call call); /* NULL: nobody */
    void *tell_context;
    enum sim_failed_sync failed_sync;
    uint64_t quota, used;       /* bytes */
    uint64_t handles;           /* open files */
    struct sim_file *files;     /* every handle ever given out */
    struct sim_string *strings; /* every name ever used */
    struct sim_fibers fibers;
    char misuse[160]; /* the first call against base/env.h's rules */
};

struct sim_machine *sim_machine_of(const firn_env *env);

/* A machine with an empty disk. */
int sim_machine_create(uint64_t seed, struct sim_machine **out);

/* A copy of text that lives as long as the machine; NULL: no memory. */
const char *sim_machine_keep(struct sim_machine *m, const char *text, size_t size);

/* Counts a call and decides what becomes of it. */
enum sim_fate { FATE_DONE, FATE_NOTHING, FATE_HALF, FATE_DONE_ERROR, FATE_IN_TWO };
enum sim_fate sim_machine_begin_call(struct sim_machine *m, enum sim_call call);

/* The error of a call that met its fault: "name: cannot what: ...". */
int sim_machine_injected(const struct sim_machine *m, enum sim_call call, const char *what,
                         const char *name);

/* Numbers the change, records it when recording, and applies it to the disk. */
int sim_machine_change(struct sim_machine *m, const struct sim_change *change);

/* The calls of struct env_ops that env_sim_files.c carries out. */
int sim_files_create(firn_env *env, const char *path, struct env_file **out);
int sim_files_open(firn_env *env, const char *path, enum env_access access, struct env_file **out);
int sim_files_append(struct env_file *file, const void *data, size_t size);
int sim_files_preallocate(struct env_file *file, uint64_t bytes);
int sim_files_sync(struct env_file *file);
int sim_files_read_at(struct env_file *file, uint64_t offset, void *to, size_t size, size_t *got);
int sim_files_file_size(struct env_file *file, uint64_t *bytes);
const void *sim_files_file_memory(struct env_file *file);
int sim_files_close(struct env_file *file);
void sim_files_deinit(struct sim_machine *m); /* of all handles */
int sim_files_rename(firn_env *env, const char *from, const char *to);
int sim_files_link(firn_env *env, const char *from, const char *to);
int sim_files_unlink(firn_env *env, const char *path);
int sim_files_make_dir(firn_env *env, const char *path);
int sim_files_remove_dir(firn_env *env, const char *path);
int sim_files_sync_dir(firn_env *env, const char *path);
int sim_files_list(firn_env *env, const char *path,
                   int (*each)(void *context, const char *name, uint64_t bytes), void *context);
int sim_files_lock(firn_env *env, const char *path, struct env_lock **out);
void sim_files_unlock(firn_env *env, struct env_lock *lock);

int sim_record_begin(struct sim_machine *m);
int sim_record_begin_from(struct sim_machine *m, const struct sim_disk *first);
void sim_record_end(struct sim_machine *m);
int sim_record_add(struct sim_machine *m, const struct sim_change *change);

#endif
