/* base/env_sim.h: a simulated machine: single-threaded, deterministic from a seed, whose power can
 * be cut at any call and whose calls can be made to fail.
 *
 * The model of what a power cut leaves. A file has bytes that were synced and bytes appended since;
 * a folder has changes that were synced and an ordered list of changes (create, rename, link,
 * unlink) that are pending. Syncing a file says nothing about its name. After a cut, any subset of
 * each folder's pending changes may have happened (applied in order, by name: a rename moves what
 * then has the name, be it an older file), and of each file's unsynced bytes any prefix, torn at
 * any 512-byte edge (further damage is the caller's choice of enum sim_tail).
 *
 * The workload runs once with recording on. Every call that changes what is on disk gets a number,
 * 1, 2, 3...; afterwards sim_disk_at() gives, for any such number and any choice of survivors, a
 * new simulated machine that holds what a cut directly before that call could have left. File
 * contents are shared, not copied, so that this is cheap.
 *
 * Jobs given to env_submit() run inside env_wait(), env_sleep_ns(), env_yield() and sim_run_jobs(),
 * by chance from the seed: each on a stack of its own, so that a job may be half done while its
 * caller goes on. Tests may submit jobs of their own that use a database as other threads would.
 * Time advances only by sleeping, waiting and a little with each call.
 */
#ifndef FIRN_BASE_ENV_SIM_H
#define FIRN_BASE_ENV_SIM_H

#include "base/env.h"

/* Which calls count and can fail. */
enum sim_call {
    SIM_CREATE,
    SIM_APPEND,
    SIM_PREALLOCATE,
    SIM_SYNC,
    SIM_CLOSE,
    SIM_RENAME,
    SIM_LINK,
    SIM_UNLINK,
    SIM_MAKE_DIR,
    SIM_REMOVE_DIR,
    SIM_SYNC_DIR,
    SIM_OPEN,
    SIM_READ,
    SIM_SIZE,
    SIM_LIST,
    SIM_LOCK,
    SIM_SUBMIT,
    SIM_CALLS
};

int env_sim_create(uint64_t seed, firn_env **out);

/* Runs pending jobs until there are none, or those that are left cannot move. */
void sim_run_jobs(firn_env *env);

/* Who runs where more than one could is up to choose(), which gets the number of possibilities and
 * returns one of 0 to n - 1; at a yield, 0 goes on. NULL: by chance, from the seed. */
void sim_set_scheduler(firn_env *env, uint64_t (*choose)(void *context, uint64_t n), void *context);

/* Whether some env_wait() without a deadline could never have ended. It returned false. */
bool sim_deadlocked(const firn_env *env);

/* Calls back at a deadlock: its caller would most likely wait again, for ever. */
void sim_on_deadlock(firn_env *env, void (*tell)(void *context), void *context);

/* The first call against the rules of base/env.h, such as an append after a failed one, or the use
 * of a file that was closed; NULL: none. */
const char *sim_misuse(const firn_env *env);

/* Files that are open now. */
uint64_t sim_open_files(const firn_env *env);

/* A new machine records; one made by sim_disk_at() does not. Turning it on (anew) takes what is on
 * the disk now as safe and counts changes from 1; turned off, deleted files cost no memory. */
int sim_set_recording(firn_env *env, bool on);

/* Every disk-changing call so far (SIM_CREATE to SIM_SYNC_DIR), which is also the number of cut
 * points minus one: a cut may fall before call 1 .. count, or after the last (count + 1). */
uint64_t sim_change_count(const firn_env *env);
/* Every call of any kind so far; a fault is addressed by this number. */
uint64_t sim_call_count(const firn_env *env);
/* What change number n was: "append 000004.log 73 bytes at 512". Lives as long as env. */
const char *sim_change_text(const firn_env *env, uint64_t n);
enum sim_call sim_change_call(const firn_env *env, uint64_t n); /* SIM_CALLS: not recorded */

/* ---- Power cuts. ---- */

enum sim_tail {
    SIM_TAIL_SYNCED,  /* nothing of the unsynced bytes */
    SIM_TAIL_ALL,     /* all of them */
    SIM_TAIL_TORN,    /* up to the torn-th 512-byte edge after the synced size */
    SIM_TAIL_SECTORS, /* a random subset of sectors, others zero, from seed */
    SIM_TAIL_ZEROS,   /* right size, zeros */
    SIM_TAIL_GARBAGE, /* right size, random bytes from seed */
    SIM_TAIL_STALE,   /* a random subset of sectors, others as another file had them, from seed */
    SIM_TAIL_MIXED    /* any of these, for each file by itself, from seed */
};

struct sim_cut {
    uint64_t change;   /* the cut falls directly before this change */
    uint64_t dir_mask; /* bit i: pending directory change i happened (oldest first, all folders) */
    enum sim_tail tail;
    uint32_t torn; /* for SIM_TAIL_TORN: 1 is the first edge */
    uint64_t seed;
};

/* How many directory changes are pending at that point (their bits in dir_mask), and how many
 * 512-byte edges the longest unsynced tail has. */
void sim_cut_choices(const firn_env *env, uint64_t change, unsigned *pending_dirs,
                     unsigned *torn_edges);
/* A new machine, not recording, that holds what the cut left. The original must outlive it. */
int sim_disk_at(const firn_env *env, const struct sim_cut *cut, firn_env **out);
/* A new machine, recording, on which only the process was killed, directly before that change: all
 * it did is there to be read, and what was not durable is not durable yet. The original must
 * outlive it. */
int sim_kill_at(const firn_env *env, uint64_t change, firn_env **out);
/* A hash of names and contents: equal disks need checking once. */
uint64_t sim_disk_hash(const firn_env *env);

/* ---- Faults. ---- */

enum sim_fault_kind {
    SIM_FAULT_EIO,
    SIM_FAULT_ENOSPC,
    SIM_FAULT_EMFILE,
    SIM_FAULT_SHORT,      /* half of the bytes are written, then ENOSPC */
    SIM_FAULT_DONE_ERROR, /* the call took effect, yet reports EIO */
    SIM_FAULT_EINTR,      /* interrupted and gone on with: no error, but an append is two changes */
    SIM_FAULT_SYNC        /* EIO of a sync of a file; these alone are counted */
};

/* Call number `call` fails and, when persistent, so does every later call that changes the disk
 * (for ENOSPC: that needs space). Reads are never short: SHORT, where nothing is written, is EIO.
 * 0: none. */
void sim_set_fault(firn_env *env, uint64_t call, enum sim_fault_kind kind, bool persistent);
bool sim_fault_hit(const firn_env *env);

/* Calls back at every call that counts, with its number, before it does anything. NULL: nobody. */
void sim_watch_calls(firn_env *env,
                     void (*tell)(void *context, uint64_t number, enum sim_call call),
                     void *context);

/* Syncs of files so far. */
uint64_t sim_sync_count(const firn_env *env);

/* What a failed sync leaves of the bytes that it was to make durable. File systems differ. */
enum sim_failed_sync {
    SIM_SYNC_KEEPS,  /* they wait to be written as before; the default */
    SIM_SYNC_CLEANS, /* they can be read, but nothing will write them: a later sync succeeds for
                        nothing */
    SIM_SYNC_DROPS,  /* likewise, and they read as zeros */
    SIM_SYNC_REVERTS /* the file is as long again as when it was last synced */
};
void sim_set_failed_sync(firn_env *env, enum sim_failed_sync loss);

/* Bytes that all files together may hold; beyond: ENOSPC. 0: no limit. */
void sim_set_quota(firn_env *env, uint64_t bytes);
uint64_t sim_used_bytes(const firn_env *env); /* that they hold, or reserved */

/* Direct access for tests that damage files. */
int sim_file_get(firn_env *env, const char *path, const uint8_t **data, uint64_t *size);
int sim_file_set(firn_env *env, const char *path, const void *data, uint64_t size);

#endif
