/* Options by name, as text, and their limits: one table for all of it. */
#include "lsm/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/status.h"
#include "lsm/firn_lab.h"

enum option_type {
    OPTION_BOOL,
    OPTION_U32,
    OPTION_U64,
    OPTION_DOUBLE,
    OPTION_CHOICE, /* one of `choices` */
    OPTION_LIST    /* numbers with commas between them, each an uint8_t of runs_per_level */
};

enum option_flags {
    ZERO_CHOOSES = 1, /* 0 is allowed besides */
    OF_POLICY = 2     /* firn_set_policy() changes it in an open database */
};

/* Names by number, and how to list them. */
struct choices {
    const char *const *names;
    size_t count;
    const char *listed;
};

struct option {
    const char *name;
    enum option_type type;
    size_t offset;
    double least, most;
    unsigned flags;
    const struct choices *choices;
};

#define CHOICES(list, ...)                                                                         \
    &(const struct choices) {                                                                      \
        (const char *const[]){__VA_ARGS__},                                                        \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), list                \
    }

#define NS_PER_SECOND UINT64_C(1000000000)
#define MIB 1048576.0
#define GIB (1024 * MIB)

static const struct option options_table[] = {
    {"create_if_missing", OPTION_BOOL, offsetof(firn_options, create_if_missing), 0, 1, 0, NULL},
    {"error_if_exists", OPTION_BOOL, offsetof(firn_options, error_if_exists), 0, 1, 0, NULL},
    {"read_only", OPTION_BOOL, offsetof(firn_options, read_only), 0, 1, 0, NULL},
    {"in_memory", OPTION_BOOL, offsetof(firn_options, in_memory), 0, 1, 0, NULL},
    {"memory_budget", OPTION_U64, offsetof(firn_options, memory_budget), 16 * MIB, 65536 * GIB, 0,
     NULL},
    {"memtable_bytes", OPTION_U64, offsetof(firn_options, memtable_bytes), 65536, 16 * GIB,
     ZERO_CHOOSES, NULL},
    {"memtable_entries", OPTION_U64, offsetof(firn_options, memtable_entries), 1, 4e9, ZERO_CHOOSES,
     NULL},
    {"table_form", OPTION_CHOICE, offsetof(firn_options, table_form), 0, 2, 0,
     CHOICES("fst, array or btree", "fst", "array", "btree")},
    {"array_search", OPTION_CHOICE, offsetof(firn_options, array_search), 0, 1, 0,
     CHOICES("binary or interpolation", "binary", "interpolation")},
    {"page_bytes", OPTION_U32, offsetof(firn_options, page_bytes), 4096, 65536, 0, NULL},
    {"table_bytes", OPTION_U64, offsetof(firn_options, table_bytes), 4096, 1024 * GIB, 0, NULL},
    {"table_entries", OPTION_U64, offsetof(firn_options, table_entries), 1, 4e9, 0, NULL},
    {"page_cache", OPTION_BOOL, offsetof(firn_options, page_cache), 0, 1, 0, NULL},
    {"page_cache_bytes", OPTION_U64, offsetof(firn_options, page_cache_bytes), 65536, 65536 * GIB,
     ZERO_CHOOSES, NULL},
    {"page_cache_initial_bytes", OPTION_U64, offsetof(firn_options, page_cache_initial_bytes), 0,
     65536 * GIB, ZERO_CHOOSES, NULL},
    {"open_tables", OPTION_U32, offsetof(firn_options, open_tables), 1, 1 << 24, ZERO_CHOOSES,
     NULL},
    {"filter", OPTION_BOOL, offsetof(firn_options, filter), 0, 1, 0, NULL},
    {"filter_kind", OPTION_CHOICE, offsetof(firn_options, filter_kind), 0, 1, 0,
     CHOICES("fuse or bloom", "fuse", "bloom")},
    {"filter_allocation", OPTION_CHOICE, offsetof(firn_options, filter_allocation), 0, 1, 0,
     CHOICES("monkey or uniform", "monkey", "uniform")},
    {"filter_bits_per_key", OPTION_DOUBLE, offsetof(firn_options, filter_bits_per_key), 1, 32, 0,
     NULL},
    {"value_compression", OPTION_BOOL, offsetof(firn_options, value_compression), 0, 1, 0, NULL},
    {"ice_levels", OPTION_U32, offsetof(firn_options, ice_levels), 0, 64, 0, NULL},
    {"compaction_policy", OPTION_CHOICE, offsetof(firn_options, compaction_policy), 0, 5, OF_POLICY,
     CHOICES("none, leveled, tiered, lazy-leveled, fluid, fifo or a name of user_policies", "none",
             "leveled", "tiered", "lazy-leveled", "fluid", "fifo")},
    {"size_ratio", OPTION_U32, offsetof(firn_options, size_ratio), 2, 64, OF_POLICY, NULL},
    {"level0_runs", OPTION_U32, offsetof(firn_options, level0_runs), 1, 64, OF_POLICY, NULL},
    {"runs_upper", OPTION_U32, offsetof(firn_options, runs_upper), 1, 64, OF_POLICY, NULL},
    {"runs_last", OPTION_U32, offsetof(firn_options, runs_last), 1, 64, OF_POLICY, NULL},
    {"runs_per_level", OPTION_LIST, offsetof(firn_options, runs_per_level), 0, 64, OF_POLICY, NULL},
    {"partial_levels", OPTION_U32, offsetof(firn_options, partial_levels), 1, 14, OF_POLICY, NULL},
    {"granularity", OPTION_CHOICE, offsetof(firn_options, granularity), 0, 1, OF_POLICY,
     CHOICES("partial or full", "partial", "full")},
    {"fifo_bytes", OPTION_U64, offsetof(firn_options, fifo_bytes), 0, 1e18, OF_POLICY, NULL},
    {"fifo_seconds", OPTION_U64, offsetof(firn_options, fifo_seconds), 0, 1e9, OF_POLICY, NULL},
    {"delete_within_seconds", OPTION_U64, offsetof(firn_options, delete_within_seconds), 0, 1e9,
     OF_POLICY, NULL},
    {"background_threads", OPTION_U32, offsetof(firn_options, background_threads), 1, 64, 0, NULL},
    {"subcompactions", OPTION_U32, offsetof(firn_options, subcompactions), 1, 64, 0, NULL},
    {"background_bytes_per_second", OPTION_U64, offsetof(firn_options, background_bytes_per_second),
     65536, 65536 * GIB, ZERO_CHOOSES, NULL},
    {"read_overlap", OPTION_CHOICE, offsetof(firn_options, read_overlap), 0, 2, 0,
     CHOICES("auto, threads or none", "auto", "threads", "none")},
    {"manifest_bytes", OPTION_U64, offsetof(firn_options, manifest_bytes), 4096, GIB, 0, NULL},
};

#define LIST_COUNT (sizeof((firn_options *)NULL)->runs_per_level)
#define OPTION_COUNT (sizeof options_table / sizeof options_table[0])

void firn_options_init(firn_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    options->create_if_missing = true;
    options->memory_budget = UINT64_C(256) << 20;
    options->table_form = FIRN_TABLE_FST;
    options->page_bytes = 4096;
    options->table_bytes = UINT64_C(64) << 20;
    options->table_entries = UINT64_C(1) << 20;
    options->page_cache = true;
    options->filter = true;
    options->filter_bits_per_key = 8;
    options->value_compression = true;
    options->compaction_policy = FIRN_POLICY_LEVELED;
    options->size_ratio = 10;
    options->level0_runs = 4;
    options->runs_upper = 3;
    options->runs_last = 1;
    options->partial_levels = 1;
    options->background_threads = 2;
    options->subcompactions = 1;
    options->manifest_bytes = UINT64_C(1) << 20;
}

const char *firn_options_name(size_t i) {
    return i < OPTION_COUNT ? options_table[i].name : NULL;
}

static const struct option *find(const char *name) {
    for (size_t i = 0; name != NULL && i < OPTION_COUNT; i++) {
        if (strcmp(options_table[i].name, name) == 0) {
            return &options_table[i];
        }
    }
    return NULL;
}

/* ---- Fields as numbers ---- */

static double field_get(const firn_options *options, const struct option *o) {
    const char *at = (const char *)options + o->offset;
    switch (o->type) {
    case OPTION_BOOL:
        return *(const bool *)at;
    case OPTION_U64:
        return (double)*(const uint64_t *)(const void *)at;
    case OPTION_DOUBLE:
        return *(const double *)(const void *)at;
    default:
        return *(const uint32_t *)(const void *)at;
    }
}

static void field_set(firn_options *options, const struct option *o, double v) {
    char *at = (char *)options + o->offset;
    switch (o->type) {
    case OPTION_BOOL:
        *(bool *)at = v != 0;
        break;
    case OPTION_U64:
        *(uint64_t *)(void *)at = (uint64_t)v;
        break;
    case OPTION_DOUBLE:
        *(double *)(void *)at = v;
        break;
    case OPTION_LIST: /* by list_parse() */
        break;
    case OPTION_CHOICE: /* enums, which are as wide */
    case OPTION_U32:
        *(uint32_t *)(void *)at = (uint32_t)v;
        break;
    }
}

static bool in_range(const struct option *o, double v) {
    return (v >= o->least && v <= o->most) || (v == 0 && (o->flags & ZERO_CHOOSES) != 0);
}

static bool is_power_of_two(uint32_t v) {
    return v != 0 && (v & (v - 1)) == 0;
}

static int check_value(const struct option *o, double v) {
    if (!in_range(o, v)) {
        return FAIL(FIRN_INVALID, "option %s is %.15g, expected %.15g to %.15g%s", o->name, v,
                    o->least, o->most,
                    (o->flags & ZERO_CHOOSES) != 0 ? ", or 0 to let it choose" : "");
    }
    if ((o->type == OPTION_U32 || o->type == OPTION_U64) && v != (double)(uint64_t)v) {
        return FAIL(FIRN_INVALID, "option %s is %.15g, expected a whole number", o->name, v);
    }
    if (o->offset == offsetof(firn_options, page_bytes) && !is_power_of_two((uint32_t)v)) {
        return FAIL(FIRN_INVALID, "option page_bytes is %.15g, expected a power of two", v);
    }
    return FIRN_OK;
}

/* ---- Text ---- */

static bool parse_bool(const char *text, double *v) {
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *v = (double)(i & 1);
            return true;
        }
    }
    return false;
}

static bool parse_number(const char *text, double *v) {
    char *end;
    errno = 0;
    *v = strtod(text, &end);
    if (end == text || errno != 0 || !(*v >= 0)) {
        return false;
    }
    static const char suffixes[] = "kmgt";
    for (unsigned i = 0; *end != '\0' && suffixes[i] != '\0'; i++) {
        if ((*end | 0x20) == suffixes[i]) {
            *v *= (double)(UINT64_C(1) << (10 * (i + 1)));
            end++;
            break;
        }
    }
    return *end == '\0';
}

static bool parse_choice(const struct choices *choices, const char *text, double *v) {
    for (size_t i = 0; i < choices->count; i++) {
        if (strcmp(choices->names[i], text) == 0) {
            *v = (double)i;
            return true;
        }
    }
    return false;
}

/* "3,0,1": what is not told is 0. */
static bool list_parse(const struct option *o, const char *text, firn_options *options) {
    uint8_t list[LIST_COUNT] = {0};
    size_t count = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        unsigned long v = strtoul(at, &end, 10);
        if (end == at || at[0] < '0' || at[0] > '9' || errno != 0 || (double)v > o->most ||
            count == LIST_COUNT || (*end != ',' && *end != '\0')) {
            return false;
        }
        list[count++] = (uint8_t)v;
        at = end;
        if (*at == '\0') {
            memcpy((char *)options + o->offset, list, sizeof list);
            return true;
        }
    }
}

/* Up to the last number that is not 0, or a single 0. */
static int list_print(const struct option *o, const firn_options *options, char *text,
                      size_t capacity) {
    const uint8_t *list = (const uint8_t *)options + o->offset;
    char all[4 * LIST_COUNT + 1];
    size_t count = LIST_COUNT, length = 0;
    while (count > 1 && list[count - 1] == 0) {
        count--;
    }
    for (size_t i = 0; i < count; i++) {
        length +=
            (size_t)snprintf(all + length, sizeof all - length, "%s%u", i > 0 ? "," : "", list[i]);
    }
    return snprintf(text, capacity, "%s", all);
}

static int list_check(const struct option *o, const firn_options *options) {
    const uint8_t *list = (const uint8_t *)options + o->offset;
    for (size_t i = 0; i < LIST_COUNT; i++) {
        if (list[i] > o->most) {
            return FAIL(FIRN_INVALID, "option %s has %u for level %zu, expected 0 to %.15g",
                        o->name, list[i], i + 1, o->most);
        }
    }
    return FIRN_OK;
}

static const char *expectation(const struct option *o) {
    switch (o->type) {
    case OPTION_LIST:
        return "numbers from 0 to 64 for levels 1 to 15, with commas between them";
    case OPTION_BOOL:
        return "true or false";
    case OPTION_CHOICE:
        return o->choices->listed;
    default:
        return "a number, with k, m, g or t for powers of 1024";
    }
}

static const firn_user_policy *user_policy_named(const firn_options *options, const char *name) {
    const firn_user_policy *const *list = options->user_policies;
    while (list != NULL && *list != NULL && strcmp((*list)->name, name) != 0) {
        list++;
    }
    return list != NULL ? *list : NULL;
}

/* "compaction_policy=mine", and back. */
static bool is_policy(const struct option *o) {
    return o->offset == offsetof(firn_options, compaction_policy);
}

static bool parse(const struct option *o, const char *text, double *v) {
    switch (o->type) {
    case OPTION_BOOL:
        return parse_bool(text, v);
    case OPTION_CHOICE:
        return parse_choice(o->choices, text, v);
    default:
        return parse_number(text, v);
    }
}

int firn_options_set(firn_options *options, const char *name, const char *value) {
    const struct option *o = find(name);
    double v = 0;
    if (o == NULL) {
        return FAIL(FIRN_INVALID, "there is no option %s", name != NULL ? name : "(null)");
    }
    if (is_policy(o) && value != NULL && user_policy_named(options, value) != NULL) {
        options->user_policy = user_policy_named(options, value);
        return FIRN_OK;
    }
    bool is_list = o->type == OPTION_LIST;
    if (value == NULL || (is_list ? !list_parse(o, value, options) : !parse(o, value, &v))) {
        return FAIL(FIRN_INVALID, "option %s is \"%s\", expected %s", name,
                    value != NULL ? value : "(null)", expectation(o));
    }
    int rc = is_list ? FIRN_OK : check_value(o, v);
    if (rc == FIRN_OK) {
        field_set(options, o, v);
        options->user_policy = is_policy(o) ? NULL : options->user_policy;
    }
    return rc;
}

/* Copies what stands from begin to end, without spaces around it; false when it does not fit. */
static bool copy_trimmed(char *to, size_t capacity, const char *begin, const char *end) {
    while (begin < end && (*begin == ' ' || *begin == '\t')) {
        begin++;
    }
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) {
        end--;
    }
    size_t size = (size_t)(end - begin);
    if (size == 0 || size >= capacity || memchr(begin, '\0', size) != NULL) {
        return false;
    }
    memcpy(to, begin, size);
    to[size] = '\0';
    return true;
}

static int parse_line(firn_options *options, const char *begin, const char *end, unsigned number) {
    char name[64], value[128], problem[256];
    while (begin < end && (*begin == ' ' || *begin == '\t' || *begin == '\r')) {
        begin++;
    }
    if (begin == end || *begin == '#') {
        return FIRN_OK;
    }
    const char *equals = memchr(begin, '=', (size_t)(end - begin));
    if (equals == NULL || !copy_trimmed(name, sizeof name, begin, equals) ||
        !copy_trimmed(value, sizeof value, equals + 1, end)) {
        return FAIL(FIRN_INVALID, "line %u of the options is not NAME = VALUE", number);
    }
    if (firn_options_set(options, name, value) != FIRN_OK) {
        (void)snprintf(problem, sizeof problem, "%s", status_message());
        return FAIL(FIRN_INVALID, "line %u of the options: %s", number, problem);
    }
    return FIRN_OK;
}

int firn_options_parse(firn_options *options, firn_slice text) {
    const char *at = text.data;
    size_t left = text.size;
    int rc = FIRN_OK;
    for (unsigned number = 1; rc == FIRN_OK && left > 0; number++) {
        const char *end = memchr(at, '\n', left);
        size_t size = end != NULL ? (size_t)(end - at) : left;
        rc = parse_line(options, at, at + size, number);
        size += end != NULL;
        at += size;
        left -= size;
    }
    return rc;
}

int firn_options_get(const firn_options *options, const char *name, char *text, size_t capacity) {
    const struct option *o = find(name);
    if (o == NULL) {
        return FAIL(FIRN_INVALID, "there is no option %s", name != NULL ? name : "(null)");
    }
    double v = o->type == OPTION_LIST ? 0 : field_get(options, o);
    int length = 0;
    if (o->type == OPTION_CHOICE && !in_range(o, v)) {
        return check_value(o, v);
    }
    switch (o->type) {
    case OPTION_LIST:
        length = list_print(o, options, text, capacity);
        break;
    case OPTION_BOOL:
        length = snprintf(text, capacity, "%s", v != 0 ? "true" : "false");
        break;
    case OPTION_CHOICE:
        length =
            snprintf(text, capacity, "%s",
                     is_policy(o) && options->user_policy != NULL ? options->user_policy->name
                                                                  : o->choices->names[(size_t)v]);
        break;
    default:
        length = snprintf(text, capacity, "%.15g", v);
        break;
    }
    return (size_t)length < capacity ? FIRN_OK : FIRN_TRUNCATED;
}

/* ---- At opening ---- */

static int check_user_policy(const firn_user_policy *user, const char *option) {
    if (user != NULL && (user->name == NULL || user->pick == NULL)) {
        return FAIL(FIRN_INVALID, "option %s has a policy with no name or no pick()", option);
    }
    for (int p = 0; user != NULL && policy_name((firn_policy)p) != NULL; p++) {
        if (strcmp(user->name, policy_name((firn_policy)p)) == 0) {
            return FAIL(FIRN_INVALID, "option %s has a policy named %s, as one of firn's own",
                        option, user->name);
        }
    }
    return FIRN_OK;
}

static int check_user_policies(const firn_options *options) {
    const firn_user_policy *const *list = options->user_policies;
    int rc = check_user_policy(options->user_policy, "user_policy");
    for (; rc == FIRN_OK && list != NULL && *list != NULL; list++) {
        rc = check_user_policy(*list, "user_policies");
    }
    return rc;
}

int options_resolve(const firn_options *given, firn_options *out) {
    firn_options_init(out);
    if (given == NULL) {
        given = out;
    }
    if (given->struct_size != sizeof *given) {
        return FAIL(FIRN_INVALID, "firn_options has size %zu, expected %zu: was it initialised?",
                    given->struct_size, sizeof *given);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options_table[i];
        int rc =
            o->type == OPTION_LIST ? list_check(o, given) : check_value(o, field_get(given, o));
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    firn_options resolved = *given;
    if (resolved.memtable_bytes == 0) {
        resolved.memtable_bytes = resolved.memory_budget / 8;
    }
    if (resolved.page_cache_bytes == 0) {
        resolved.page_cache_bytes = resolved.memory_budget / 4;
    }
    int rc = check_user_policies(given);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (resolved.listener != NULL && resolved.listener->event == NULL) {
        return FAIL(FIRN_INVALID, "option listener has no event()");
    }
    if (resolved.read_only && resolved.in_memory) {
        return FAIL(FIRN_INVALID, "option read_only makes no sense with in_memory");
    }
    *out = resolved;
    return FIRN_OK;
}

static size_t field_size(const struct option *o) {
    switch (o->type) {
    case OPTION_BOOL:
        return sizeof(bool);
    case OPTION_U64:
        return sizeof(uint64_t);
    case OPTION_DOUBLE:
        return sizeof(double);
    case OPTION_LIST:
        return LIST_COUNT;
    default:
        return sizeof(uint32_t);
    }
}

void options_take_policy(const firn_options *from, firn_options *to) {
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options_table[i];
        if ((o->flags & OF_POLICY) != 0) {
            memcpy((char *)to + o->offset, (const char *)from + o->offset, field_size(o));
        }
    }
    to->user_policy = from->user_policy;
    to->user_policies = from->user_policies;
}

/* A flushed memtable takes about a quarter of its memory on disk, so that level0_runs of them come
 * down at once. A level between them and the bottom costs one merge more, and size_ratio bytes in
 * the bottom for each of its own; without it, all of the bottom is merged each time. The two cost
 * the same where the bottom is size_ratio times what comes down: only then is a level opened. */
void options_policy(const firn_options *options, firn_policy_params *policy) {
    uint64_t flushed = options->memtable_bytes / 4;
    if (options->memtable_entries > 0 && options->memtable_entries * 16 < flushed) {
        flushed = options->memtable_entries * 16;
    }
    policy->policy = options->compaction_policy;
    policy->user = options->user_policy;
    policy->size_ratio = options->size_ratio;
    policy->level0_runs = options->level0_runs;
    policy->batch_bytes = options->level0_runs * flushed;
    policy->level1_bytes = options->size_ratio * policy->batch_bytes;
    policy->table_bytes = options->table_bytes;
    policy->runs_upper = options->runs_upper;
    policy->runs_last = options->runs_last;
    policy->granularity = options->granularity;
    policy->partial_levels = options->partial_levels;
    /* Parts of a table are merged in as many bytes as a table has. */
    policy->job_bytes = options->table_bytes;
    if (options->table_entries * 16 < policy->job_bytes) {
        policy->job_bytes = options->table_entries * 16;
    }
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        policy->runs_of_level[level] = level > 0 ? options->runs_per_level[level - 1] : 0;
    }
    policy->fifo_bytes = options->fifo_bytes;
    policy->fifo_ns = options->fifo_seconds * NS_PER_SECOND;
    policy->delete_within_ns = options->delete_within_seconds * NS_PER_SECOND;
}
