#include "lsm/rate.h"

#include "base/alloc.h"
#include "base/status.h"
#include "base/sync.h"

#define BURST_NS UINT64_C(50000000)
#define ASK_NS UINT64_C(50000000) /* how often stop is asked */
#define PASSES_MAX 10

struct firn_rate_limiter {
    struct mutex mutex;
    /* Guarded by mutex. */
    struct cond changed;
    uint64_t bytes_per_second; /* 0: no limit */
    double held;               /* bytes in the bucket; below 0: debt */
    uint64_t filled_ns;        /* up to when it was filled; 0: never */
    unsigned waiting[RATE_PRIORITIES];
    unsigned passed; /* times that a flush went before a merge that waited */
    uint64_t total;
};

int firn_rate_limiter_create(uint64_t bytes_per_second, firn_rate_limiter **out) {
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    firn_rate_limiter *l = *out = alloc_get_zeroed(&alloc, MEM_OTHER, sizeof *l);
    if (l == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a rate limiter");
    }
    mutex_init(&l->mutex, RANK_RATE);
    cond_init(&l->changed);
    l->bytes_per_second = bytes_per_second;
    return FIRN_OK;
}

void firn_rate_limiter_destroy(firn_rate_limiter *l) {
    if (l == NULL) {
        return;
    }
    cond_deinit(&l->changed);
    mutex_deinit(&l->mutex);
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    alloc_count(&alloc, MEM_OTHER, sizeof *l);
    alloc_release(&alloc, MEM_OTHER, l, sizeof *l);
}

void firn_rate_limiter_set(firn_rate_limiter *l, uint64_t bytes_per_second) {
    mutex_lock(&l->mutex);
    l->bytes_per_second = bytes_per_second;
    l->held = l->held < 0 && bytes_per_second == 0 ? 0 : l->held;
    cond_broadcast(&l->changed);
    mutex_unlock(&l->mutex);
}

uint64_t firn_rate_limiter_total(firn_rate_limiter *l) {
    mutex_lock(&l->mutex);
    uint64_t total = l->total;
    mutex_unlock(&l->mutex);
    return total;
}

static void fill_locked(firn_rate_limiter *l, uint64_t now_ns) REQUIRES(&l->mutex) {
    double rate = (double)l->bytes_per_second, most = rate * (double)BURST_NS / 1e9;
    if (l->filled_ns == 0) {
        l->held = most;
    } else if (now_ns > l->filled_ns) {
        l->held += rate * (double)(now_ns - l->filled_ns) / 1e9;
    }
    l->held = l->held > most ? most : l->held;
    l->filled_ns = now_ns;
}

static bool is_his_turn(const firn_rate_limiter *l, enum rate_priority priority) {
    if (l->held <= 0) {
        return false;
    }
    bool overdue = l->waiting[RATE_MERGE] > 0 && l->passed >= PASSES_MAX;
    return priority == RATE_FLUSH ? !overdue : l->waiting[RATE_FLUSH] == 0 || overdue;
}

static void note_turn_locked(firn_rate_limiter *l, enum rate_priority priority)
    REQUIRES(&l->mutex) {
    if (priority == RATE_MERGE || l->waiting[RATE_MERGE] == 0) {
        l->passed = 0;
    } else {
        l->passed++;
    }
}

/* Until the bucket has something in it, or it is time to ask, or something changes. */
static void wait_locked(firn_rate_limiter *l, firn_env *env, uint64_t now_ns) REQUIRES(&l->mutex) {
    uint64_t wait_ns = ASK_NS;
    if (l->held <= 0) {
        double need_ns = (1 - l->held) / (double)l->bytes_per_second * 1e9;
        wait_ns = need_ns < (double)ASK_NS ? (uint64_t)need_ns + 1 : ASK_NS;
    }
    (void)env_wait(env, &l->changed, &l->mutex, now_ns + wait_ns);
}

int rate_take(firn_rate_limiter *l, firn_env *env, enum rate_priority priority, uint64_t bytes,
              int (*stop)(void *context), void *context) {
    int rc = FIRN_OK;
    mutex_lock(&l->mutex);
    l->waiting[priority]++;
    while (l->bytes_per_second > 0) {
        uint64_t now_ns = env_now_ns(env);
        fill_locked(l, now_ns);
        if (is_his_turn(l, priority)) {
            l->held -= (double)bytes;
            break;
        }
        wait_locked(l, env, now_ns);
        mutex_unlock(&l->mutex);
        rc = stop(context);
        mutex_lock(&l->mutex);
        if (rc != FIRN_OK) {
            break;
        }
    }
    l->waiting[priority]--;
    if (rc == FIRN_OK) {
        note_turn_locked(l, priority);
        l->total += bytes;
    }
    cond_broadcast(&l->changed);
    mutex_unlock(&l->mutex);
    return rc;
}
