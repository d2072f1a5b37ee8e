/* Runs the text files in picks/: a picture of the levels in a few lines, and the job that is
 * expected.
 *
 *     options leveled T=10 level0_runs=2 level1_bytes=1000
 *     level 0                        the runs that follow are its runs, the newest first
 *     run 5:a-m=100 6:n-z=100*       tables: number, keys, bytes; * means busy; !30: its oldest
 *                                    delete was written at 30; created at, and with sequences of, 5
 *     now 200 read 7                 the time, and how far back readers go (default: not at all)
 *     clear                          the levels are empty again
 *     pick                           what policy_pick() says
 *     range c f                      what policy_pick_range() says; - is unbounded
 *     place c f                      what policy_place() says of a table from c to f
 *     check new 1 bottom 5 6         what job_check() says: new, into or leave, level, bottom or
 *                                    not, inputs
 *     debt                           policy_debt()
 *     wake                           policy_wake_ns()
 *     -> ...                         the answer expected to the line before
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/status.h"
#include "compaction/policy.h"

enum { RUNS_MAX = 8, TABLES_MAX = 16, LINE_MAX_BYTES = 256 };

struct scene {
    firn_policy_params options;
    firn_shape shape;
    firn_shape_run runs[FIRN_LEVELS_MAX][RUNS_MAX];
    firn_shape_table tables[FIRN_LEVELS_MAX][RUNS_MAX][TABLES_MAX];
    char keys[FIRN_LEVELS_MAX][RUNS_MAX][TABLES_MAX][2][16];
    size_t level; /* that runs are added to */
    firn_job job;
    char answer[LINE_MAX_BYTES];
};

static void clear_scene(struct scene *s) {
    memset(&s->shape, 0, sizeof s->shape);
    s->shape.level_count = 1;
    s->shape.read_seq = UINT64_MAX;
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        s->shape.levels[level].runs = s->runs[level];
    }
}

/* ---- Lines that describe ---- */

static void read_options(struct scene *s, char *words) {
    char *rest, *word = strtok_r(words, " ", &rest);
    s->options = (firn_policy_params){.size_ratio = 10, .level0_runs = 4, .table_bytes = 100};
    for (int policy = 0; policy_name((firn_policy)policy) != NULL; policy++) {
        if (strcmp(word, policy_name((firn_policy)policy)) == 0) {
            s->options.policy = (firn_policy)policy;
        }
    }
    while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
        (void)sscanf(word, "T=%" SCNu32, &s->options.size_ratio);
        (void)sscanf(word, "level0_runs=%" SCNu32, &s->options.level0_runs);
        (void)sscanf(word, "level1_bytes=%" SCNu64, &s->options.level1_bytes);
        (void)sscanf(word, "batch_bytes=%" SCNu64, &s->options.batch_bytes);
        (void)sscanf(word, "job_bytes=%" SCNu64, &s->options.job_bytes);
        (void)sscanf(word, "partial_levels=%" SCNu32, &s->options.partial_levels);
        (void)sscanf(word, "K=%" SCNu32, &s->options.runs_upper);
        (void)sscanf(word, "Z=%" SCNu32, &s->options.runs_last);
        (void)sscanf(word, "K1=%" SCNu32, &s->options.runs_of_level[1]);
        (void)sscanf(word, "fifo_bytes=%" SCNu64, &s->options.fifo_bytes);
        (void)sscanf(word, "fifo_ns=%" SCNu64, &s->options.fifo_ns);
        (void)sscanf(word, "delete_within=%" SCNu64, &s->options.delete_within_ns);
        if (strcmp(word, "full") == 0) {
            s->options.granularity = FIRN_GRANULARITY_FULL;
        }
    }
}

static void read_run(struct scene *s, char *words) {
    firn_shape_level *level = &s->shape.levels[s->level];
    size_t r = level->count++;
    assert_true(r < RUNS_MAX);
    size_t count = 0;
    char *rest;
    for (char *word = strtok_r(words, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < TABLES_MAX);
        firn_shape_table *t = &s->tables[s->level][r][count];
        char *smallest = s->keys[s->level][r][count][0], *largest = s->keys[s->level][r][count][1];
        memset(t, 0, sizeof *t);
        assert_int_equal(sscanf(word, "%" SCNu64 ":%15[^-]-%15[^=]=%" SCNu64, &t->number, smallest,
                                largest, &t->bytes),
                         4);
        t->created_ns = t->seq_min = t->seq_max = t->number;
        const char *delete = strchr(word, '!');
        t->oldest_delete_ns = delete != NULL ? strtoull(delete + 1, NULL, 10) : 0;
        t->tombstones = delete != NULL;
        t->busy = word[strlen(word) - 1] == '*';
        t->smallest = firn_slice_make(smallest, strlen(smallest));
        t->largest = firn_slice_make(largest, strlen(largest));
        count++;
    }
    s->runs[s->level][r] = (firn_shape_run){s->tables[s->level][r], count};
    if (s->level + 1 > s->shape.level_count) {
        s->shape.level_count = s->level + 1;
    }
}

/* ---- Lines that ask ---- */

static void answer_job(struct scene *s) {
    const firn_job *job = &s->job;
    size_t n = 0, size = sizeof s->answer;
    if (!job->any) {
        (void)snprintf(s->answer, size, job->score > 0 ? "wait" : "nothing");
        return;
    }
    for (size_t i = 0; i < job->table_count; i++) {
        n += (size_t)snprintf(s->answer + n, size - n, "%" PRIu64 " ", job->tables[i]);
    }
    if (job->output == FIRN_OUTPUT_NONE) {
        (void)snprintf(s->answer + n, size - n, "leave: %s", job->reason);
    } else {
        (void)snprintf(s->answer + n, size - n, "%s level %zu%s: %s",
                       job->output == FIRN_OUTPUT_NEW_RUN ? "as a new run of"
                       : job->output == FIRN_OUTPUT_MOVE  ? "moved to"
                                                          : "into",
                       job->output_level, job->bottom ? ", bottom" : "", job->reason);
    }
    if (job_check(&s->shape, job) != FIRN_OK) {
        (void)snprintf(s->answer, size, "a broken rule: %.200s", status_message());
    }
}

static firn_slice bound(const char *word) {
    bool none = word == NULL || strcmp(word, "-") == 0;
    return none ? firn_slice_make(NULL, 0) : firn_slice_make(word, strlen(word));
}

static void answer_range(struct scene *s, char *words) {
    char *rest, *lower = strtok_r(words, " ", &rest), *upper = strtok_r(NULL, " ", &rest);
    policy_pick_range(&s->shape, &s->options, bound(lower), bound(upper), &s->job);
    answer_job(s);
}

static void answer_place(struct scene *s, char *words) {
    char *rest, *smallest = strtok_r(words, " ", &rest), *largest = strtok_r(NULL, " ", &rest);
    struct place place;
    policy_place(&s->shape, &s->options, bound(smallest), bound(largest), &place);
    if (place.new_run) {
        (void)snprintf(s->answer, sizeof s->answer, "a new run of level %zu", place.level);
    } else {
        (void)snprintf(s->answer, sizeof s->answer, "run %zu of level %zu", place.run, place.level);
    }
}

static void answer_check(struct scene *s, char *words) {
    firn_job *job = &s->job;
    memset(job, 0, sizeof *job);
    job->any = true;
    job->output = FIRN_OUTPUT_MERGE_INTO_RUN;
    char *rest, *word = strtok_r(words, " ", &rest);
    if (strcmp(word, "new") == 0) {
        job->output = FIRN_OUTPUT_NEW_RUN;
    } else if (strcmp(word, "move") == 0) {
        job->output = FIRN_OUTPUT_MOVE;
    } else if (strcmp(word, "leave") == 0) {
        job->output = FIRN_OUTPUT_NONE;
    }
    job->output_level = strtoul(strtok_r(NULL, " ", &rest), NULL, 10);
    while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
        if (strcmp(word, "bottom") == 0) {
            job->bottom = true;
        } else {
            job->tables[job->table_count++] = strtoull(word, NULL, 10);
        }
    }
    int rc = job_check(&s->shape, job);
    (void)snprintf(s->answer, sizeof s->answer, "%s", rc == FIRN_OK ? "legal" : status_message());
}

static bool starts_with(const char *line, const char *word, char **rest) {
    size_t size = strlen(word);
    bool yes = strncmp(line, word, size) == 0 && (line[size] == '\0' || line[size] == ' ');
    *rest = (char *)(uintptr_t)line + size + (yes && line[size] == ' ');
    return yes;
}

/* Returns 1 for an answer that is not the expected one. */
static int run_line(struct scene *s, char *line, const char *file, int number) {
    char *rest;
    if (line[0] == '\0' || line[0] == '#') {
        return 0;
    }
    if (starts_with(line, "options", &rest)) {
        read_options(s, rest);
    } else if (starts_with(line, "level", &rest)) {
        s->level = strtoul(rest, NULL, 10);
        assert_true(s->level < FIRN_LEVELS_MAX);
    } else if (starts_with(line, "run", &rest)) {
        read_run(s, rest);
    } else if (starts_with(line, "clear", &rest)) {
        clear_scene(s);
    } else if (starts_with(line, "pick", &rest)) {
        policy_pick(&s->shape, &s->options, &s->job);
        answer_job(s);
    } else if (starts_with(line, "range", &rest)) {
        answer_range(s, rest);
    } else if (starts_with(line, "place", &rest)) {
        answer_place(s, rest);
    } else if (starts_with(line, "check", &rest)) {
        answer_check(s, rest);
    } else if (starts_with(line, "debt", &rest)) {
        (void)snprintf(s->answer, sizeof s->answer, "%" PRIu64,
                       policy_debt(&s->shape, &s->options));
    } else if (starts_with(line, "wake", &rest)) {
        uint64_t wake = policy_wake_ns(&s->shape, &s->options);
        (void)snprintf(s->answer, sizeof s->answer, wake == UINT64_MAX ? "never" : "%" PRIu64,
                       wake);
    } else if (starts_with(line, "now", &rest)) {
        s->shape.read_seq = UINT64_MAX;
        (void)sscanf(rest, "%" SCNu64 " read %" SCNu64, &s->shape.now_ns, &s->shape.read_seq);
    } else if (starts_with(line, "->", &rest)) {
        if (strcmp(rest, s->answer) != 0) {
            printf("%s:%d:\n  expected %s\n  got      %s\n", file, number, rest, s->answer);
            return 1;
        }
    } else {
        fail_msg("%s:%d: what is \"%s\"?", file, number, line);
    }
    return 0;
}

static void run_file(const char *name) {
    char path[1024], line[LINE_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%.*s/picks/%s", (int)(strrchr(__FILE__, '/') - __FILE__),
                   __FILE__, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    clear_scene(s);
    int wrong = 0, number = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        wrong += run_line(s, line, name, ++number);
    }
    (void)fclose(file);
    free(s);
    assert_true(number > 0);
    assert_int_equal(wrong, 0);
}

static void leveled_picks(void **state) {
    (void)state;
    run_file("leveled.txt");
}

static void tiered_picks(void **state) {
    (void)state;
    run_file("tiered.txt");
}

static void fluid_picks(void **state) {
    (void)state;
    run_file("fluid.txt");
}

static void fifo_picks(void **state) {
    (void)state;
    run_file("fifo.txt");
}

static void overdue_deletes_go_on(void **state) {
    (void)state;
    run_file("overdue.txt");
}

static void ranges_take_what_they_overlap(void **state) {
    (void)state;
    run_file("range.txt");
}

static void tables_from_outside_find_the_lowest_place(void **state) {
    (void)state;
    run_file("place.txt");
}

static void a_broken_rule_is_named(void **state) {
    (void)state;
    run_file("check.txt");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leveled_picks),
        cmocka_unit_test(tiered_picks),
        cmocka_unit_test(fluid_picks),
        cmocka_unit_test(fifo_picks),
        cmocka_unit_test(overdue_deletes_go_on),
        cmocka_unit_test(ranges_take_what_they_overlap),
        cmocka_unit_test(a_broken_rule_is_named),
        cmocka_unit_test(tables_from_outside_find_the_lowest_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
