/* tests/support/schedule.h: who runs when, on a simulated machine: every schedule with few
 * surprises, one after the other, or drawn from a seed.
 *
 * Wherever more than one thread of the machine could go on, somebody chooses (sim_set_scheduler());
 * choice 0 is the one without a surprise. A schedule is the list of choices. schedule_next() goes
 * through all that have at most so many other choices, depth first (Musuvathi and Qadeer,
 * "Iterative context bounding", 2007: most bugs need two or fewer). Drawn ones have few
 * surprises or many.
 *
 * A failing run prints its schedule, and FIRN_TEST_SCHEDULE repeats it.
 */
#ifndef FIRN_TESTS_SCHEDULE_H
#define FIRN_TESTS_SCHEDULE_H

#include "base/env_sim.h"
#include "base/rand.h"

#define SCHEDULE_MAX 4096

struct schedule {
    uint8_t choices[SCHEDULE_MAX], limits[SCHEDULE_MAX];
    size_t length, at;  /* chosen so far; later choices are 0, or drawn */
    unsigned surprises; /* at most so many choices are not 0 */
    bool random, fixed;
    unsigned one_in; /* of drawn choices is a surprise */
    struct rand rand;
};

/* All schedules of at most so many surprises; the first has none. */
void schedule_all(struct schedule *s, unsigned surprises);
/* One drawn from the seed. */
void schedule_random(struct schedule *s, uint64_t seed);

/* Begins a run on env. */
void schedule_begin(struct schedule *s, firn_env *env);
/* After a run: moves on to the next schedule; false: that was the last. */
bool schedule_next(struct schedule *s);

/* "17:1 40:2": which choices were not 0. */
void schedule_print(const struct schedule *s, char *text, size_t size);

#endif
