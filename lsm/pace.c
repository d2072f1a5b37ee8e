#include "lsm/pace.h"

#define FILL_SECONDS 8.0 /* a memtable that takes longer to fill is not being filled */

void pace_begin_locked(struct pace *pace, firn_db *db) {
    pace->at_ns = env_now_ns(db->env);
    pace->bytes = counted(&db->counters.user_bytes);
    pace->entries = counted(&db->last_seq);
    pace->calm = 0;
}

static bool is_slow(double written, double memtable, double seconds) {
    return written * FILL_SECONDS <= memtable * seconds;
}

bool pace_is_calm_locked(struct pace *pace, firn_db *db, unsigned looks) {
    const firn_options *o = &db->options;
    struct pace before = *pace;
    pace_begin_locked(pace, db);
    double seconds = (double)(pace->at_ns - before.at_ns) * 1e-9;
    bool slow = is_slow((double)(pace->bytes - before.bytes), (double)o->memtable_bytes, seconds) &&
                (o->memtable_entries == 0 || is_slow((double)(pace->entries - before.entries),
                                                     (double)o->memtable_entries, seconds));
    bool held_back = atomic_load_explicit(&db->pressure, memory_order_relaxed) > 0;
    if (db->sealed_count == 0 && !db->flush_running && (slow || held_back)) {
        pace->calm = before.calm < looks ? before.calm + 1 : looks;
    }
    return pace->calm >= looks;
}
