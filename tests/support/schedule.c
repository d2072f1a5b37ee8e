#include "tests/support/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Choices that the environment asks for. */
static bool read_fixed(struct schedule *s) {
    const char *text = getenv("FIRN_TEST_SCHEDULE");
    unsigned at, choice;
    int used;
    for (; text != NULL && sscanf(text, " %u:%u%n", &at, &choice, &used) == 2; text += used) {
        if (at < SCHEDULE_MAX) {
            s->choices[at] = (uint8_t)choice;
            s->length = at + 1 > s->length ? at + 1 : s->length;
        }
        s->fixed = true;
    }
    return s->fixed;
}

void schedule_all(struct schedule *s, unsigned surprises) {
    memset(s, 0, sizeof *s);
    s->surprises = surprises;
    (void)read_fixed(s);
}

void schedule_random(struct schedule *s, uint64_t seed) {
    memset(s, 0, sizeof *s);
    static const unsigned rates[] = {3, 8, 30, 100};
    s->random = !read_fixed(s);
    rand_init(&s->rand, seed);
    s->one_in = rates[rand_below(&s->rand, 4)];
}

static uint64_t choose(void *context, uint64_t n) {
    struct schedule *s = context;
    size_t i = s->at++;
    if (i >= SCHEDULE_MAX) {
        return 0;
    }
    s->limits[i] = (uint8_t)(n < 255 ? n : 255);
    if (i >= s->length) {
        bool surprise = s->random && rand_below(&s->rand, s->one_in) == 0;
        s->choices[i] = (uint8_t)(surprise ? rand_below(&s->rand, s->limits[i]) : 0);
        s->length = i + 1;
    }
    return s->choices[i] < n ? s->choices[i] : 0;
}

void schedule_begin(struct schedule *s, firn_env *env) {
    s->at = 0;
    sim_set_scheduler(env, choose, s);
}

bool schedule_next(struct schedule *s) {
    if (s->random || s->fixed) {
        return false;
    }
    unsigned before = 0; /* surprises up to the choice that is looked at, itself not counted */
    for (size_t i = 0; i < s->length; i++) {
        before += s->choices[i] != 0;
    }
    while (s->length > 0) {
        size_t i = s->length - 1;
        before -= s->choices[i] != 0;
        if (before < s->surprises && s->choices[i] + 1 < s->limits[i]) {
            s->choices[i]++;
            return true;
        }
        s->length--;
    }
    return false;
}

void schedule_print(const struct schedule *s, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < s->length && used + 16 < size; i++) {
        if (s->choices[i] != 0) {
            used += (size_t)snprintf(text + used, size - used, "%s%zu:%u", used > 0 ? " " : "", i,
                                     s->choices[i]);
        }
    }
}
