/* The simulated machine: fates of calls, time and jobs. What is hard here: a failed call must do
 * what a real one may do, no more: nothing, half, or all of it. The calls on files and names are in
 * env_sim_files.c, the disk in env_sim_disk.c, cuts in env_sim_record.c, jobs in env_sim_fiber.c.
 */
#include "base/env_sim.h"

#include <stdio.h>

#include "base/env_sim_machine.h"

#define WALL_CLOCK_START UINT64_C(1700000000000000000) /* 2023-11-14 */

struct sim_machine *sim_machine_of(const firn_env *env) {
    return (struct sim_machine *)(uintptr_t)env; /* const is about what the caller sees */
}

/* ---- Calls and their fates. ---- */

static bool changes_disk(enum sim_call call) {
    return call <= SIM_SYNC_DIR;
}

static bool takes_space(enum sim_call call) {
    return call == SIM_CREATE || call == SIM_APPEND || call == SIM_PREALLOCATE ||
           call == SIM_RENAME || call == SIM_LINK || call == SIM_MAKE_DIR;
}

enum sim_fate sim_machine_begin_call(struct sim_machine *m, enum sim_call call) {
    struct sim_fault *fault = &m->fault;
    m->calls++;
    m->syncs += call == SIM_SYNC;
    if (m->tell_call != NULL) {
        m->tell_call(m->tell_context, m->calls, call);
    }
    m->clock_ns += 200 + rand_below(&m->rand, 800);
    sim_fibers_moved(&m->fibers);
    bool space_only = fault->kind == SIM_FAULT_ENOSPC || fault->kind == SIM_FAULT_SHORT;
    bool later = fault->persistent && m->calls > fault->call && changes_disk(call) &&
                 (!space_only || takes_space(call));
    bool now = fault->kind == SIM_FAULT_SYNC ? call == SIM_SYNC && m->syncs == fault->call
                                             : m->calls == fault->call || later;
    if (fault->call == 0 || !now) {
        return FATE_DONE;
    }
    fault->hit = true;
    if (fault->kind == SIM_FAULT_EINTR) {
        return call == SIM_APPEND ? FATE_IN_TWO : FATE_DONE;
    }
    if (fault->kind == SIM_FAULT_SHORT && call == SIM_APPEND) {
        return FATE_HALF;
    }
    return fault->kind == SIM_FAULT_DONE_ERROR && changes_disk(call) ? FATE_DONE_ERROR
                                                                     : FATE_NOTHING;
}

int sim_machine_injected(const struct sim_machine *m, enum sim_call call, const char *what,
                         const char *name) {
    switch (m->fault.kind) {
    case SIM_FAULT_ENOSPC:
    case SIM_FAULT_SHORT:
        if (changes_disk(call)) {
            return FAIL(FIRN_NO_SPACE, "%s: cannot %s: no space left (simulated)", name, what);
        }
        break;
    case SIM_FAULT_EMFILE:
        return FAIL(FIRN_IO, "%s: cannot %s: too many open files (simulated)", name, what);
    default:
        break;
    }
    return FAIL(FIRN_IO, "%s: cannot %s: input/output error (simulated)", name, what);
}

int sim_machine_change(struct sim_machine *m, const struct sim_change *change) {
    int rc = m->recording ? sim_record_add(m, change) : FIRN_OK;
    if (rc == FIRN_OK) {
        m->changes++;
        rc = sim_disk_apply(&m->disk, change);
    }
    return rc;
}

const char *sim_machine_keep(struct sim_machine *m, const char *text, size_t size) {
    size_t bytes = sizeof(struct sim_string) + size + 1;
    struct sim_string *kept = alloc_get(&m->alloc, MEM_OTHER, bytes);
    if (kept == NULL) {
        return NULL;
    }
    kept->next = m->strings;
    kept->bytes = bytes;
    memcpy(kept->text, text, size);
    kept->text[size] = '\0';
    m->strings = kept;
    return kept->text;
}

/* ---- Time, chance, threads. ---- */

static uint64_t sim_now_ns(firn_env *env) {
    return sim_machine_of(env)->clock_ns += 20;
}

static uint64_t sim_wall_ns(firn_env *env) {
    return WALL_CLOCK_START + sim_now_ns(env);
}

static void sim_sleep_ns(firn_env *env, uint64_t ns) {
    struct sim_machine *m = sim_machine_of(env);
    uint64_t until = m->clock_ns + ns;
    while (m->clock_ns < until) {
        (void)sim_fibers_wait(&m->fibers, until);
    }
}

static void sim_random(firn_env *env, void *to, size_t size) {
    struct sim_machine *m = sim_machine_of(env);
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)to)[i] = (uint8_t)rand_next(&m->rand);
    }
}

static uint64_t sim_process_id(firn_env *env) {
    (void)env;
    return 4711;
}

static size_t sim_files_max(firn_env *env) {
    (void)env;
    return 1024;
}

static int sim_submit(firn_env *env, enum env_priority priority, void (*run)(void *),
                      void *argument) {
    struct sim_machine *m = sim_machine_of(env);
    if (sim_machine_begin_call(m, SIM_SUBMIT) != FATE_DONE) {
        return FAIL(FIRN_NOMEM, "cannot start a thread (simulated)");
    }
    return sim_fibers_submit(&m->fibers, priority, run, argument);
}

static int sim_set_threads(firn_env *env, unsigned count) {
    struct sim_machine *m = sim_machine_of(env);
    m->fibers.threads = count > m->fibers.threads ? count : m->fibers.threads;
    return FIRN_OK;
}

static bool sim_wait(firn_env *env, struct cond *cond, struct mutex *mutex,
                     uint64_t deadline_ns) NO_LOCK_ANALYSIS {
    struct sim_machine *m = sim_machine_of(env);
    (void)cond; /* sleepers look for themselves */
    mutex_unlock(mutex);
    bool woken = sim_fibers_wait(&m->fibers, deadline_ns);
    mutex_lock(mutex);
    return woken;
}

static void sim_yield(firn_env *env, const char *site) {
    (void)site;
    sim_fibers_yield(&sim_machine_of(env)->fibers);
}

/* ---- The machine. ---- */

static void sim_destroy(firn_env *env) {
    struct sim_machine *m = sim_machine_of(env);
    sim_fibers_deinit(&m->fibers);
    sim_record_end(m);
    sim_disk_deinit(&m->disk);
    sim_files_deinit(m);
    while (m->strings != NULL) {
        struct sim_string *next = m->strings->next;
        alloc_release(&m->alloc, MEM_OTHER, m->strings, m->strings->bytes);
        m->strings = next;
    }
    struct alloc host;
    alloc_init(&host, NULL);
    alloc_release(&host, MEM_OTHER, m, sizeof *m);
}

static const struct env_ops sim_ops = {
    .destroy = sim_destroy,
    .create = sim_files_create,
    .open = sim_files_open,
    .append = sim_files_append,
    .preallocate = sim_files_preallocate,
    .sync = sim_files_sync,
    .read_at = sim_files_read_at,
    .file_size = sim_files_file_size,
    .file_memory = sim_files_file_memory,
    .close = sim_files_close,
    .rename = sim_files_rename,
    .link = sim_files_link,
    .unlink = sim_files_unlink,
    .make_dir = sim_files_make_dir,
    .remove_dir = sim_files_remove_dir,
    .sync_dir = sim_files_sync_dir,
    .list = sim_files_list,
    .lock = sim_files_lock,
    .unlock = sim_files_unlock,
    .now_ns = sim_now_ns,
    .wall_ns = sim_wall_ns,
    .sleep_ns = sim_sleep_ns,
    .random = sim_random,
    .process_id = sim_process_id,
    .files_max = sim_files_max,
    .submit = sim_submit,
    .set_threads = sim_set_threads,
    .wait = sim_wait,
    .yield = sim_yield,
};

int sim_machine_create(uint64_t seed, struct sim_machine **out) {
    struct alloc host; /* the machine counts what it holds, but not itself */
    alloc_init(&host, NULL);
    struct sim_machine *m = alloc_get_zeroed(&host, MEM_OTHER, sizeof *m);
    *out = m;
    if (m == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a simulated machine");
    }
    m->env.ops = &sim_ops;
    alloc_init(&m->alloc, NULL);
    rand_init(&m->rand, seed);
    sim_fibers_init(&m->fibers, &m->alloc, &m->rand, &m->clock_ns);
    int rc = sim_disk_init(&m->disk, &m->alloc, false);
    if (rc != FIRN_OK) {
        *out = NULL;
        alloc_release(&host, MEM_OTHER, m, sizeof *m);
    }
    return rc;
}

int env_sim_create(uint64_t seed, firn_env **out) {
    struct sim_machine *m;
    *out = NULL;
    int rc = sim_machine_create(seed, &m);
    if (rc == FIRN_OK && (rc = sim_record_begin(m)) != FIRN_OK) {
        env_destroy(&m->env);
    }
    if (rc == FIRN_OK) {
        *out = &m->env;
    }
    return rc;
}

void sim_run_jobs(firn_env *env) {
    sim_fibers_drain(&sim_machine_of(env)->fibers);
}

void sim_set_scheduler(firn_env *env, uint64_t (*choose)(void *context, uint64_t n),
                       void *context) {
    struct sim_machine *m = sim_machine_of(env);
    m->fibers.choose = choose;
    m->fibers.choose_context = context;
}

bool sim_deadlocked(const firn_env *env) {
    return sim_machine_of(env)->fibers.deadlocked;
}

void sim_on_deadlock(firn_env *env, void (*tell)(void *context), void *context) {
    struct sim_machine *m = sim_machine_of(env);
    m->fibers.tell_deadlock = tell;
    m->fibers.deadlock_context = context;
}

const char *sim_misuse(const firn_env *env) {
    const struct sim_machine *m = sim_machine_of(env);
    return m->misuse[0] == '\0' ? NULL : m->misuse;
}

uint64_t sim_open_files(const firn_env *env) {
    return sim_machine_of(env)->handles;
}

uint64_t sim_change_count(const firn_env *env) {
    return sim_machine_of(env)->changes;
}

uint64_t sim_call_count(const firn_env *env) {
    return sim_machine_of(env)->calls;
}

uint64_t sim_disk_hash(const firn_env *env) {
    return sim_disk_digest(&sim_machine_of(env)->disk);
}

void sim_set_fault(firn_env *env, uint64_t call, enum sim_fault_kind kind, bool persistent) {
    sim_machine_of(env)->fault =
        (struct sim_fault){.call = call, .kind = kind, .persistent = persistent};
}

bool sim_fault_hit(const firn_env *env) {
    return sim_machine_of(env)->fault.hit;
}

uint64_t sim_sync_count(const firn_env *env) {
    return sim_machine_of(env)->syncs;
}

void sim_watch_calls(firn_env *env,
                     void (*tell)(void *context, uint64_t number, enum sim_call call),
                     void *context) {
    struct sim_machine *m = sim_machine_of(env);
    m->tell_call = tell;
    m->tell_context = context;
}

uint64_t sim_used_bytes(const firn_env *env) {
    return sim_machine_of(env)->used;
}

void sim_set_failed_sync(firn_env *env, enum sim_failed_sync loss) {
    sim_machine_of(env)->failed_sync = loss;
}

void sim_set_quota(firn_env *env, uint64_t bytes) {
    sim_machine_of(env)->quota = bytes;
}
