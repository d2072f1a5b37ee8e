/* bench/keygen.c: key sets of the kinds databases hold, from fixed seeds, the same on every
 * machine.
 *
 *     bench_keygen               the names
 *     bench_keygen NAME [COUNT]  one set, one key a line, in no order; duplicates are possible
 *
 * No key contains a newline, so the random ones draw from the other 255 bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"

static void put_uuid(struct rand *rand) { /* version 4 */
    uint64_t a = rand_next(rand), b = rand_next(rand);
    printf("%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
           (unsigned)(a & 0xfff), (unsigned)(0x8000 | (b >> 48 & 0x3fff)),
           (unsigned long long)(b & 0xffffffffffff));
}

static void put_random(struct rand *rand, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned byte = (unsigned)rand_below(rand, 255);
        putchar((int)(byte < '\n' ? byte : byte + 1));
    }
}

static void uuid(struct rand *rand, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        put_uuid(rand);
        putchar('\n');
    }
}

/* Each number below 2 * count with probability 1/2. */
static void user(struct rand *rand, uint64_t count) {
    for (uint64_t i = 0; i < 2 * count; i++) {
        if (rand_next(rand) >> 63) {
            printf("user:%012llu\n", (unsigned long long)i);
        }
    }
}

static void table(struct rand *rand, uint64_t count) {
    static const char *const tables[] = {"users", "orders", "events", "items"};
    static const char *const fields[] = {"id",         "name",   "email",  "created_at",
                                         "updated_at", "status", "amount", "description"};
    for (uint64_t made = 0; made < count;) {
        const char *name = tables[rand_below(rand, 4)];
        struct rand row = *rand; /* each field repeats the row's uuid */
        rand_next(rand);
        rand_next(rand);
        unsigned wanted = 1 + (unsigned)rand_below(rand, 8), chosen = 0;
        while (chosen != wanted) { /* a random subset of that size */
            chosen = 0;
            unsigned subset = (unsigned)rand_below(rand, 256);
            for (unsigned bits = subset; bits != 0; bits &= bits - 1) {
                chosen++;
            }
            for (unsigned i = 0; chosen == wanted && i < 8; i++) {
                if (subset >> i & 1) {
                    struct rand again = row;
                    printf("table:%s:", name);
                    put_uuid(&again);
                    printf(":%s\n", fields[i]);
                    made++;
                }
            }
        }
    }
}

static void random16(struct rand *rand, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        put_random(rand, 16);
        putchar('\n');
    }
}

static void random32(struct rand *rand, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        put_random(rand, 32);
        putchar('\n');
    }
}

static void lengths(struct rand *rand, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        put_random(rand, 8 + (size_t)rand_below(rand, 57));
        putchar('\n');
    }
}

/* Events of one day: a timestamp in microseconds and the device it comes from. */
static void stamped(struct rand *rand, uint64_t count) {
    uint64_t now = UINT64_C(1700000000000000);
    for (uint64_t i = 0; i < count; i++) {
        now += 1 + rand_below(rand, UINT64_C(172800000000) / count);
        printf("%llu:device-%05u\n", (unsigned long long)now, (unsigned)rand_below(rand, 20000));
    }
}

/* a/b/c/d, with few children near the root and many below. */
static void hierarchy(struct rand *rand, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        printf("region-%u/site-%03u/rack-%03u/unit-%06u\n", (unsigned)rand_below(rand, 8),
               (unsigned)rand_below(rand, 60), (unsigned)rand_below(rand, 200),
               (unsigned)rand_below(rand, 1000000));
    }
}

static const struct {
    const char *name;
    void (*make)(struct rand *rand, uint64_t count);
    uint64_t count;
} sets[] = {
    {"uuid", uuid, 1000000},         {"user", user, 5000000},
    {"table", table, 3000000},       {"random16", random16, 1000000},
    {"random32", random32, 1000000}, {"lengths", lengths, 1000000},
    {"stamped", stamped, 2000000},   {"hierarchy", hierarchy, 2000000},
};

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        if (argc < 2) {
            puts(sets[i].name);
        } else if (strcmp(argv[1], sets[i].name) == 0) {
            struct rand rand;
            rand_init(&rand, i + 1);
            sets[i].make(&rand, argc > 2 ? strtoull(argv[2], NULL, 10) : sets[i].count);
            return fflush(stdout) == 0 ? 0 : 1;
        }
    }
    if (argc < 2) {
        return 0;
    }
    fprintf(stderr, "%s: no such key set\n", argv[1]);
    return 2;
}
