#include "bench/shapes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "base/slice.h"

#define KEY_BYTES_MAX 5000
#define TEXT_BYTES_MAX ((size_t)64 << 20)
#define TRIES 20 /* rounds of filling up what doubles left open */

/* A key that is being made. */
struct key {
    struct rand *rand;
    size_t size;
    unsigned char text[KEY_BYTES_MAX];
};

static uint64_t below(struct key *k, uint64_t n) {
    return rand_below(k->rand, n);
}

/* Small numbers are likelier than large ones. */
static uint64_t below_skewed(struct key *k, uint64_t n) {
    return below(k, 1 + below(k, 1 + below(k, n)));
}

static void byte(struct key *k, unsigned value) {
    k->text[k->size++] = (unsigned char)value;
}

/* Big-endian. */
static void number(struct key *k, uint64_t value, unsigned bytes) {
    while (bytes-- > 0) {
        byte(k, (unsigned)(value >> 8 * bytes & 0xff));
    }
}

__attribute__((format(printf, 2, 3))) static void text(struct key *k, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int size = vsnprintf((char *)k->text + k->size, sizeof k->text - k->size, format, list);
    va_end(list);
    k->size += size > 0 ? (size_t)size : 0;
}

static void letters(struct key *k, const char *alphabet, size_t count) {
    for (size_t n = strlen(alphabet); count > 0; count--) {
        byte(k, (unsigned char)alphabet[below(k, n)]);
    }
}

/* Word number `which` of a language that has the syllables of none. */
static void word(struct key *k, uint64_t which) {
    static const char *const starts[] = {"b", "br", "c", "ch", "d", "f",  "g", "h",  "k", "l",
                                         "m", "n",  "p", "pr", "r", "st", "t", "tr", "v", "w"};
    static const char *const middles[] = {"a", "e", "i", "o", "u", "ea", "ou", "ai"};
    static const char *const ends[] = {"", "n", "r", "s", "t", "nd", "ll", "ng"};
    struct rand letters_of;
    rand_init(&letters_of, which);
    for (uint64_t left = 1 + rand_below(&letters_of, 3); left > 0; left--) {
        text(k, "%s%s%s", starts[rand_below(&letters_of, 20)], middles[rand_below(&letters_of, 8)],
             ends[rand_below(&letters_of, 8)]);
    }
}

static void any_word(struct key *k) {
    word(k, below(k, 20000));
}

static const char *one_of(struct key *k, const char *const *names, size_t count) {
    return names[below(k, count)];
}
#define ONE_OF(k, ...)                                                                             \
    one_of(k, (const char *const[]){__VA_ARGS__},                                                  \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

#define HEX "0123456789abcdef"
#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define SECONDS UINT64_C(1700000000)

static void date(struct key *k, const char *between) {
    text(k, "2024%s%02u%s%02u", between, 1 + (unsigned)below(k, 12), between,
         1 + (unsigned)below(k, 28));
}

static void clock_time(struct key *k) {
    text(k, "%02u:%02u:%02u", (unsigned)below(k, 24), (unsigned)below(k, 60),
         (unsigned)below(k, 60));
}

/* ---- Names and text ---- */

static void email(struct key *k) {
    any_word(k);
    text(k, "%s", ONE_OF(k, ".", "_", ""));
    any_word(k);
    if (below(k, 2) == 0) {
        text(k, "%u", (unsigned)below(k, 100));
    }
    byte(k, '@');
    word(k, below_skewed(k, 3000));
    text(k, "%s", ONE_OF(k, ".com", ".org", ".net", ".de", ".co.uk", ".io"));
}

static void reversed_domain(struct key *k) {
    text(k, "%s.", ONE_OF(k, "com", "org", "net", "de", "uk.co", "io"));
    any_word(k);
    text(k, ".%s", ONE_OF(k, "www", "mail", "api", "cdn", ""));
    if (below(k, 3) == 0) {
        any_word(k);
    }
}

static void title(struct key *k) {
    for (uint64_t left = 2 + below(k, 4); left > 0; left--) {
        size_t begin = k->size;
        any_word(k);
        k->text[begin] = (unsigned char)(k->text[begin] - 'a' + 'A');
        if (left > 1) {
            byte(k, ' ');
        }
    }
}

static void sentences(struct key *k) {
    for (uint64_t left = 60 + below(k, 140); left > 0; left--) {
        any_word(k);
        byte(k, ' ');
    }
}

static void utf8(struct key *k, unsigned code) {
    if (code >= 0x800) {
        byte(k, 0xe0 | code >> 12);
        byte(k, 0x80 | (code >> 6 & 0x3f));
    } else {
        byte(k, 0xc0 | code >> 6);
    }
    byte(k, 0x80 | (code & 0x3f));
}

/* Words in one of five scripts each. */
static void scripts(struct key *k) {
    static const unsigned first[] = {0x430, 0x3b1, 0x5d0, 0x915, 0x4e00};
    static const unsigned count[] = {32, 24, 27, 37, 3000};
    size_t script = (size_t)below(k, 5);
    for (uint64_t left = 2 + below(k, 8); left > 0; left--) {
        utf8(k, first[script] + (unsigned)below(k, count[script]));
    }
}

static void dna(struct key *k) {
    letters(k, "ACGT", 32);
}

/* ---- Random codes ---- */

static void hex16(struct key *k) {
    letters(k, HEX, 16);
}

static void hex40(struct key *k) {
    letters(k, HEX, 40);
}

static void git_object(struct key *k) {
    text(k, "objects/");
    letters(k, HEX, 2);
    byte(k, '/');
    letters(k, HEX, 38);
}

static void base32(struct key *k) {
    letters(k, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 24);
}

static void base58(struct key *k) {
    letters(k, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 22);
}

static void base64(struct key *k) {
    letters(k, BASE64, 24);
}

static void ulid(struct key *k) {
    text(k, "01H");
    letters(k, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 23);
}

static void geohash(struct key *k) {
    letters(k, "9bcdefgu", 2);
    letters(k, "0123456789bcdefghjkmnpqrstuvwxyz", 7);
}

/* ---- Numbers ---- */

static void big_endian_40(struct key *k) {
    number(k, below(k, UINT64_C(1) << 40), 8);
}

static void big_endian_64(struct key *k) {
    number(k, rand_next(k->rand), 8);
}

static void big_endian_dense(struct key *k) {
    number(k, below(k, 400000), 4);
}

static void tenant_binary(struct key *k) {
    number(k, below(k, 500), 4);
    number(k, SECONDS * 1000000 + below(k, UINT64_C(10000000000000)), 8);
}

static void decimals(struct key *k) {
    text(k, "%u.%06u", 400 + (unsigned)(below(k, 600) + below(k, 600)),
         (unsigned)below(k, 1000000));
}

static void fraction(struct key *k) {
    text(k, "0.%016llu", (unsigned long long)below(k, UINT64_C(10000000000000000)));
}

static void user(struct key *k) {
    text(k, "user%llu", (unsigned long long)below(k, UINT64_C(1000000000000)));
}

static void hex_counter(struct key *k) {
    text(k, "%016llx", (unsigned long long)(UINT64_C(0x18c0000000) + below(k, 1000000)));
}

static void phone(struct key *k) {
    text(k, "+49-%u-%u", 100 + (unsigned)below(k, 899), 1000000 + (unsigned)below(k, 99000000));
}

static void version(struct key *k) {
    word(k, below_skewed(k, 4000));
    text(k, "@%u.%u.%u", (unsigned)below_skewed(k, 12), (unsigned)below_skewed(k, 40),
         (unsigned)below_skewed(k, 60));
    if (below(k, 8) == 0) {
        text(k, "-%s.%u", ONE_OF(k, "alpha", "beta", "rc"), (unsigned)below(k, 9));
    }
}

/* ---- Addresses ---- */

static void ipv4(struct key *k) {
    text(k, "%s.%u.%u.%u", ONE_OF(k, "10", "192", "172", "8", "44"), (unsigned)below(k, 256),
         (unsigned)below(k, 256), (unsigned)below(k, 256));
}

static void ipv4_binary(struct key *k) {
    static const unsigned first[] = {10, 192, 172, 8, 44};
    byte(k, first[below(k, 5)]);
    number(k, below(k, 1 << 24), 3);
}

static void mac(struct key *k) {
    static const char *const makers[] = {"00:1b:63", "3c:5a:b4", "52:54:00", "dc:a6:32"};
    text(k, "%s", makers[below(k, 4)]);
    for (int i = 0; i < 3; i++) {
        byte(k, ':');
        letters(k, HEX, 2);
    }
}

/* ---- Times ---- */

static void iso_time(struct key *k) {
    date(k, "-");
    byte(k, 'T');
    clock_time(k);
    text(k, ".%03uZ", (unsigned)below(k, 1000));
}

static void log_line(struct key *k) {
    date(k, "-");
    byte(k, ' ');
    clock_time(k);
    text(k, " %s [worker-%u] request id=%08x path=/", ONE_OF(k, "INFO", "INFO", "WARN", "ERROR"),
         (unsigned)below(k, 32), (unsigned)rand_next(k->rand));
    any_word(k);
    byte(k, '/');
    any_word(k);
    text(k, " status=%s", ONE_OF(k, "200", "200", "200", "404", "500"));
}

static void tenant(struct key *k) {
    text(k, "tenant-%04u/%s/%llu", (unsigned)below(k, 500),
         ONE_OF(k, "orders", "users", "events", "logs"),
         (unsigned long long)(SECONDS * 1000 + below(k, 1000000000)));
}

/* ---- Paths, tuples, documents ---- */

static void numbered_path(struct key *k) {
    text(k, "/data/%u/%u/%u.json", (unsigned)below(k, 1000), (unsigned)below(k, 1000),
         (unsigned)below(k, 1000000000));
}

static void object_key(struct key *k) {
    text(k, "logs/%s/", ONE_OF(k, "eu-west-1", "us-east-1", "ap-south-1"));
    date(k, "/");
    text(k, "/%02u/part-%05u-", (unsigned)below(k, 24), (unsigned)below(k, 200));
    letters(k, HEX, 8);
    text(k, ".parquet");
}

static void json(struct key *k) {
    text(k, "{\"id\":%u,\"name\":\"", (unsigned)below(k, 10000000));
    any_word(k);
    text(k, "\",\"active\":%s}", ONE_OF(k, "true", "false"));
}

/* Each field behind its length. */
static void counted_tuple(struct key *k) {
    for (int field = 0; field < 3; field++) {
        size_t begin = k->size;
        number(k, 0, 2);
        word(k, below(k, field == 0 ? 20 : field == 1 ? 500 : 20000));
        k->text[begin + 1] = (unsigned char)(k->size - begin - 2);
    }
}

/* A row's key as tuple layers order it: tags, text that ends in a zero, integers of their own size.
 */
static void row_key(struct key *k) {
    byte(k, 0x02);
    text(k, "%s", ONE_OF(k, "orders", "users", "items"));
    number(k, 0x0015, 2);
    byte(k, (unsigned)below(k, 200));
    uint64_t row = below(k, 1 << 24);
    unsigned bytes = row < 256 ? 1 : row < 65536 ? 2 : 3;
    byte(k, 0x14 + bytes);
    number(k, row, bytes);
    byte(k, 0x02);
    text(k, "%s", ONE_OF(k, "name", "total", "created", "state"));
    byte(k, 0);
}

/* One to four KiB, alike for most of it. */
static void very_long(struct key *k) {
    struct rand common;
    rand_init(&common, 1 + below(k, 50));
    while (k->size < 1000 + rand_below(&common, 3000)) {
        word(k, rand_below(&common, 20000));
        byte(k, '/');
    }
    letters(k, BASE64, 12);
}

/* 64 bytes of which one or two are another's. */
static void near_copies(struct key *k) {
    for (unsigned i = 0; i < 64; i++) {
        byte(k, 'A' + i * 7 % 26);
    }
    for (int i = 0; i < 2; i++) {
        k->text[below(k, 64)] = (unsigned char)(' ' + below(k, 90));
    }
}

/* All keys of one byte and of two. */
static void two_bytes(struct key *k) {
    number(k, rand_next(k->rand) & 0xffff, 1 + (unsigned)below(k, 2));
}

static const struct {
    const char *name;
    void (*make)(struct key *k);
} shapes[] = {
    {"email", email},
    {"reversed-domain", reversed_domain},
    {"title", title},
    {"sentences", sentences},
    {"scripts", scripts},
    {"dna", dna},
    {"hex16", hex16},
    {"hex40", hex40},
    {"git-object", git_object},
    {"base32", base32},
    {"base58", base58},
    {"base64", base64},
    {"ulid", ulid},
    {"geohash", geohash},
    {"big-endian-40", big_endian_40},
    {"big-endian-64", big_endian_64},
    {"big-endian-dense", big_endian_dense},
    {"tenant-binary", tenant_binary},
    {"decimals", decimals},
    {"fraction", fraction},
    {"user", user},
    {"hex-counter", hex_counter},
    {"phone", phone},
    {"version", version},
    {"ipv4", ipv4},
    {"ipv4-binary", ipv4_binary},
    {"mac", mac},
    {"iso-time", iso_time},
    {"log-line", log_line},
    {"tenant", tenant},
    {"numbered-path", numbered_path},
    {"object-key", object_key},
    {"json", json},
    {"counted-tuple", counted_tuple},
    {"row-key", row_key},
    {"very-long", very_long},
    {"near-copies", near_copies},
    {"two-bytes", two_bytes},
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

const char *shapes_name(size_t i) {
    return i < SHAPES ? shapes[i].name : NULL;
}

static int by_key(const void *a, const void *b) {
    return slice_compare(*(const firn_slice *)a, *(const firn_slice *)b);
}

static void sort_and_drop_doubles(struct shape_keys *s) {
    size_t kept = 0;
    qsort(s->keys, s->count, sizeof *s->keys, by_key);
    for (size_t i = 0; i < s->count; i++) {
        if (kept == 0 || slice_compare(s->keys[kept - 1], s->keys[i]) != 0) {
            s->keys[kept++] = s->keys[i];
        }
    }
    s->count = kept;
}

static void fill(struct shape_keys *s, size_t count, void (*make)(struct key *k), struct rand *r) {
    static struct key key;
    size_t used = 0;
    s->count = 0;
    for (int i = 0; i < TRIES && s->count < count; i++) {
        while (s->count < count && used + KEY_BYTES_MAX <= TEXT_BYTES_MAX) {
            rand_next(r);
            key.rand = r;
            key.size = 0;
            make(&key);
            memcpy(s->text + used, key.text, key.size);
            s->keys[s->count++] = firn_slice_make(s->text + used, key.size);
            used += key.size;
        }
        sort_and_drop_doubles(s);
    }
}

bool shapes_make(const char *name, size_t count, struct shape_keys *out) {
    for (size_t i = 0; i < SHAPES; i++) {
        if (strcmp(name, shapes[i].name) == 0) {
            struct rand rand;
            rand_init(&rand, i + 1);
            out->keys = malloc(count * sizeof *out->keys);
            out->text = malloc(TEXT_BYTES_MAX);
            if (out->keys == NULL || out->text == NULL) {
                shapes_free(out);
                return false;
            }
            fill(out, count, shapes[i].make, &rand);
            return true;
        }
    }
    return false;
}

void shapes_free(struct shape_keys *keys) {
    free(keys->keys);
    free(keys->text);
}
