/* base/env_monitor.h: what of an environment's files is durable, kept beside the files themselves,
 * in builds with FIRN_INVARIANTS.
 *
 * Every call of base/env.h is told here, with its result. From that follows, for each file that was
 * made since, whether all its bytes were synced, and whether the change that gave it its name was
 * followed by a sync of the folder. lsm/ordering.h asks for it at each moment at which the engine
 * promises something, so that a missing or misplaced sync is noticed where it is first run, without
 * a power cut.
 *
 * A failed sync proves nothing for good: the bytes stay dirty whatever later syncs say. What was
 * there before is unknown until it is synced; nobody is accused because of it.
 *
 * Thread-safe. Without memory for its books the monitor falls silent: its memory is its own, and no
 * test of the engine takes it away.
 */
#ifndef FIRN_BASE_ENV_MONITOR_H
#define FIRN_BASE_ENV_MONITOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct firn_env firn_env;
struct env_file;
struct env_monitor;
struct env_monitored; /* what is known of a file */

/* Begins to watch env, if nobody does yet. */
void env_monitor_attach(firn_env *env);
void env_monitor_destroy(struct env_monitor *m); /* NULL is allowed */

struct env_facts {
    bool known;        /* the monitor saw it made or synced */
    bool dirty;        /* some bytes are not durable */
    bool name_pending; /* the name was given, and the folder not synced since */
    bool name_reused;  /* the name meant another file whose end may not be durable either */
};

/* Of the file or folder that has that path now. */
struct env_facts env_monitor_ask(firn_env *env, const char *path);

/* The first rule that was broken on env: set once, kept until env ends. */
void env_monitor_accuse(firn_env *env, const char *text);
const char *env_monitor_accusation(firn_env *env); /* NULL: none */

/* ---- Call sites. ---- */

/* A place in the sources where one of base/env.h's calls is made. Addresses of all of them
 * stand in one section, so that tests can tell which were reached. */
struct env_site {
    const char *file, *call;
    int line;
    _Atomic unsigned reached;
};

/* Of the calling thread's last call. */
extern _Thread_local struct env_site *env_site_now;

/* One after the other, from 0; NULL past the last. */
struct env_site *env_site_at(size_t i);

#define ENV_SITE(name)                                                                             \
    __extension__({                                                                                \
        static struct env_site env_site_here = {__FILE__, name, __LINE__, 0};                      \
        static struct env_site *env_site_at_here                                                   \
            __attribute__((section("firn_env_sites"), used)) = &env_site_here;                     \
        (void)env_site_at_here;                                                                    \
        atomic_fetch_add_explicit(&env_site_here.reached, 1, memory_order_relaxed);                \
        env_site_now = &env_site_here;                                                             \
    })

/* ---- Told by base/env.h; rc: what the call returned. ---- */

void env_monitor_opened(firn_env *env, const char *path, bool created, int rc,
                        struct env_file *file);
void env_monitor_appended(struct env_file *file, int rc);
void env_monitor_synced(struct env_file *file, int rc);
void env_monitor_closing(struct env_file *file);
void env_monitor_renamed(firn_env *env, const char *from, const char *to, int rc);
void env_monitor_linked(firn_env *env, const char *from, const char *to, int rc);
void env_monitor_unlinked(firn_env *env, const char *path, int rc);
void env_monitor_made_dir(firn_env *env, const char *path, int rc);
void env_monitor_synced_dir(firn_env *env, const char *path, int rc);

#endif
