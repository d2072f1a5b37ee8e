#include "base/env_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim_machine.h"
#include "base/rand.h"

static firn_env *machine(uint64_t seed) {
    firn_env *env;
    assert_int_equal(env_sim_create(seed, &env), FIRN_OK);
    return env;
}

static struct env_file *file_with(firn_env *env, const char *path, const char *text) {
    struct env_file *file;
    assert_int_equal(env_create(env, path, &file), FIRN_OK);
    assert_int_equal(env_append(file, text, strlen(text)), FIRN_OK);
    return file;
}

static void put_synced(firn_env *env, const char *path, const char *text) {
    struct env_file *file = file_with(env, path, text);
    assert_int_equal(env_sync(file), FIRN_OK);
    assert_int_equal(env_close(file), FIRN_OK);
}

static firn_env *cut_at(firn_env *env, uint64_t change, uint64_t mask, enum sim_tail tail) {
    struct sim_cut cut = {.change = change, .dir_mask = mask, .tail = tail, .seed = 7};
    firn_env *image;
    assert_int_equal(sim_disk_at(env, &cut, &image), FIRN_OK);
    return image;
}

static firn_env *cut_now(firn_env *env, uint64_t mask, enum sim_tail tail) {
    return cut_at(env, sim_change_count(env) + 1, mask, tail);
}

static void assert_content(firn_env *env, const char *path, const char *text) {
    const uint8_t *data;
    uint64_t size;
    assert_int_equal(sim_file_get(env, path, &data, &size), FIRN_OK);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(data, text, strlen(text));
}

static void assert_missing(firn_env *env, const char *path) {
    const uint8_t *data;
    uint64_t size;
    assert_int_equal(sim_file_get(env, path, &data, &size), FIRN_MISSING);
}

/* ---- Files and names. ---- */

static void reads_what_was_appended(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "a", "hello world");
    struct env_file *file;
    assert_int_equal(env_open(env, "./a", ENV_RANDOM, &file), FIRN_OK);
    char buffer[32];
    size_t got;
    assert_int_equal(env_read_at(file, 6, buffer, sizeof buffer, &got), FIRN_OK);
    assert_int_equal(got, 5);
    assert_memory_equal(buffer, "world", 5);
    assert_int_equal(env_read_at(file, 11, buffer, 1, &got), FIRN_OK);
    assert_int_equal(got, 0);
    uint64_t bytes;
    assert_int_equal(env_file_size(file, &bytes), FIRN_OK);
    assert_int_equal(bytes, 11);
    assert_int_equal(sim_open_files(env), 1);
    assert_int_equal(env_close(file), FIRN_OK);
    assert_int_equal(sim_open_files(env), 0);
    env_destroy(env);
}

static void create_is_exclusive_and_needs_its_folder(void **state) {
    (void)state;
    firn_env *env = machine(1);
    struct env_file *file;
    put_synced(env, "a", "1");
    assert_int_equal(env_create(env, "a", &file), FIRN_EXISTS);
    assert_int_equal(env_create(env, "d/a", &file), FIRN_MISSING);
    assert_int_equal(env_open(env, "b", ENV_RANDOM, &file), FIRN_MISSING);
    assert_int_equal(env_make_dir(env, "d"), FIRN_OK);
    assert_int_equal(env_make_dir(env, "d"), FIRN_EXISTS);
    put_synced(env, "d/a", "2");
    assert_content(env, "/d//a", "2");
    assert_int_equal(env_remove_dir(env, "d"), FIRN_IO);
    assert_int_equal(env_unlink(env, "d/a"), FIRN_OK);
    assert_int_equal(env_remove_dir(env, "d"), FIRN_OK);
    assert_int_equal(env_remove_dir(env, "d"), FIRN_MISSING);
    env_destroy(env);
}

static int count_name(void *context, const char *name, uint64_t bytes) {
    unsigned *seen = context;
    *seen += (unsigned)bytes * (name[0] == 'a' ? 1 : 100);
    return name[0] == 'x' ? 9 : 0;
}

static void lists_every_name_and_stops_when_told(void **state) {
    (void)state;
    firn_env *env = machine(1);
    assert_int_equal(env_make_dir(env, "d"), FIRN_OK);
    put_synced(env, "d/a", "12");
    put_synced(env, "d/b", "123");
    unsigned seen = 0;
    assert_int_equal(env_list(env, "d", count_name, &seen), FIRN_OK);
    assert_int_equal(seen, 302);
    put_synced(env, "d/x", "");
    assert_int_equal(env_list(env, "d", count_name, &seen), 9);
    assert_int_equal(env_list(env, "e", count_name, &seen), FIRN_MISSING);
    env_destroy(env);
}

static void rename_replaces_and_links_share(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "a", "first");
    put_synced(env, "b", "second");
    assert_int_equal(env_rename(env, "b", "a"), FIRN_OK);
    assert_content(env, "a", "second");
    assert_missing(env, "b");
    assert_int_equal(env_link(env, "a", "c"), FIRN_OK);
    assert_int_equal(env_link(env, "a", "c"), FIRN_EXISTS);
    assert_int_equal(env_unlink(env, "a"), FIRN_OK);
    assert_content(env, "c", "second");
    assert_int_equal(env_rename(env, "a", "b"), FIRN_MISSING);
    env_destroy(env);
}

static void unlinked_files_live_until_they_are_closed(void **state) {
    (void)state;
    firn_env *env = machine(1);
    assert_int_equal(sim_set_recording(env, false), FIRN_OK);
    struct env_file *file = file_with(env, "a", "still here");
    assert_int_equal(env_unlink(env, "a"), FIRN_OK);
    put_synced(env, "a", "another");
    char buffer[16];
    size_t got;
    assert_int_equal(env_read_at(file, 0, buffer, sizeof buffer, &got), FIRN_OK);
    assert_int_equal(got, 10);
    assert_memory_equal(buffer, "still here", 10);
    assert_int_equal(env_close(file), FIRN_OK);
    assert_content(env, "a", "another");
    env_destroy(env);
}

static void a_lock_has_one_holder(void **state) {
    (void)state;
    firn_env *env = machine(1);
    struct env_lock *lock, *second;
    assert_int_equal(env_lock(env, "LOCK", &lock), FIRN_OK);
    assert_int_equal(env_lock(env, "LOCK", &second), FIRN_BUSY);
    assert_null(second);
    firn_env *image = cut_now(env, ~UINT64_C(0), SIM_TAIL_ALL);
    assert_int_equal(env_lock(image, "LOCK", &second), FIRN_OK);
    env_unlock(image, second);
    env_destroy(image);
    env_unlock(env, lock);
    assert_int_equal(env_lock(env, "LOCK", &lock), FIRN_OK);
    env_unlock(env, lock);
    env_destroy(env);
}

/* ---- Cuts. ---- */

static void unsynced_bytes_may_be_lost_and_synced_ones_not(void **state) {
    (void)state;
    firn_env *env = machine(1);
    struct env_file *file = file_with(env, "a", "safe");
    assert_int_equal(env_sync(file), FIRN_OK);
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    assert_int_equal(env_append(file, "lost", 4), FIRN_OK);
    firn_env *image = cut_now(env, 0, SIM_TAIL_SYNCED);
    assert_content(image, "a", "safe");
    env_destroy(image);
    image = cut_now(env, 0, SIM_TAIL_ALL);
    assert_content(image, "a", "safelost");
    env_destroy(image);
    image = cut_now(env, 0, SIM_TAIL_ZEROS);
    const uint8_t *data;
    uint64_t size;
    assert_int_equal(sim_file_get(image, "a", &data, &size), FIRN_OK);
    assert_int_equal(size, 8);
    assert_memory_equal(data, "safe\0\0\0\0", 8);
    env_destroy(image);
    assert_int_equal(env_close(file), FIRN_OK);
    env_destroy(env);
}

static void a_synced_file_without_a_synced_name_may_be_lost(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "a", "text");
    unsigned pending, edges;
    sim_cut_choices(env, sim_change_count(env) + 1, &pending, &edges);
    assert_int_equal(pending, 1);
    assert_int_equal(edges, 0);
    firn_env *image = cut_now(env, 0, SIM_TAIL_ALL);
    assert_missing(image, "a");
    env_destroy(image);
    image = cut_now(env, 1, SIM_TAIL_SYNCED);
    assert_content(image, "a", "text");
    env_destroy(image);
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    sim_cut_choices(env, sim_change_count(env) + 1, &pending, &edges);
    assert_int_equal(pending, 0);
    image = cut_now(env, 0, SIM_TAIL_SYNCED);
    assert_content(image, "a", "text");
    env_destroy(image);
    env_destroy(env);
}

static void a_rename_happens_whole_or_not_at_all(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "CURRENT", "old");
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    put_synced(env, "tmp", "new");
    assert_int_equal(env_rename(env, "tmp", "CURRENT"), FIRN_OK);
    static const char *const current[] = {"old", "old", "new", "new"};
    static const bool tmp[] = {false, true, false, false};
    for (uint64_t mask = 0; mask < 4; mask++) {
        firn_env *image = cut_now(env, mask, SIM_TAIL_ALL);
        assert_content(image, "CURRENT", current[mask]);
        if (tmp[mask]) {
            assert_content(image, "tmp", "new");
        } else {
            assert_missing(image, "tmp");
        }
        env_destroy(image);
    }
    env_destroy(env);
}

static void a_folder_of_unsynced_name_takes_its_files_along(void **state) {
    (void)state;
    firn_env *env = machine(1);
    assert_int_equal(env_make_dir(env, "db"), FIRN_OK);
    put_synced(env, "db/a", "text");
    assert_int_equal(env_sync_dir(env, "db"), FIRN_OK);
    firn_env *image = cut_now(env, 0, SIM_TAIL_ALL);
    assert_missing(image, "db/a");
    struct env_file *file;
    assert_int_equal(env_create(image, "db/b", &file), FIRN_MISSING);
    env_destroy(image);
    image = cut_now(env, 1, SIM_TAIL_ALL);
    assert_content(image, "db/a", "text");
    env_destroy(image);
    assert_int_equal(env_sync_dir(env, ""), FIRN_OK);
    image = cut_now(env, 0, SIM_TAIL_ALL);
    assert_content(image, "db/a", "text");
    env_destroy(image);
    env_destroy(env);
}

static void an_unsynced_unlink_may_come_back(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "a", "text");
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    assert_int_equal(env_unlink(env, "a"), FIRN_OK);
    firn_env *image = cut_now(env, 0, SIM_TAIL_ALL);
    assert_content(image, "a", "text");
    env_destroy(image);
    image = cut_now(env, 1, SIM_TAIL_ALL);
    assert_missing(image, "a");
    env_destroy(image);
    env_destroy(env);
}

static void tails_tear_at_sector_edges(void **state) {
    (void)state;
    firn_env *env = machine(1);
    struct env_file *file = file_with(env, "a", "");
    static char block[1500];
    memset(block, 'x', sizeof block);
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    assert_int_equal(env_append(file, block, 100), FIRN_OK);
    assert_int_equal(env_sync(file), FIRN_OK);
    assert_int_equal(env_append(file, block, sizeof block), FIRN_OK); /* 100 to 1600 */
    unsigned pending, edges;
    uint64_t end = sim_change_count(env) + 1;
    sim_cut_choices(env, end, &pending, &edges);
    assert_int_equal(edges, 3);
    static const uint64_t sizes[] = {100, 512, 1024, 1536, 1600};
    for (uint32_t torn = 0; torn < 5; torn++) {
        struct sim_cut cut = {.change = end, .tail = SIM_TAIL_TORN, .torn = torn};
        firn_env *image;
        assert_int_equal(sim_disk_at(env, &cut, &image), FIRN_OK);
        const uint8_t *data;
        uint64_t size;
        assert_int_equal(sim_file_get(image, "a", &data, &size), FIRN_OK);
        assert_int_equal(size, sizes[torn]);
        env_destroy(image);
    }
    assert_int_equal(env_close(file), FIRN_OK);
    env_destroy(env);
}

static void an_image_can_be_written_without_touching_the_original(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "a", "text");
    firn_env *image = cut_now(env, 1, SIM_TAIL_ALL);
    uint64_t before = sim_disk_hash(env);
    assert_int_equal(sim_disk_hash(image), before);
    assert_int_equal(sim_file_set(image, "a", "TEXT", 4), FIRN_OK);
    put_synced(image, "b", "more");
    assert_int_equal(env_unlink(image, "a"), FIRN_OK);
    assert_int_not_equal(sim_disk_hash(image), before);
    assert_int_equal(sim_disk_hash(env), before);
    assert_content(env, "a", "text");
    env_destroy(image);
    env_destroy(env);
}

static void an_image_can_be_recorded_and_cut_again(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "a", "text");
    firn_env *image = cut_now(env, 1, SIM_TAIL_ALL);
    assert_int_equal(sim_set_recording(image, true), FIRN_OK);
    assert_int_equal(env_unlink(image, "a"), FIRN_OK);
    put_synced(image, "b", "more");
    assert_int_equal(sim_change_count(image), 5);
    firn_env *second = cut_at(image, 6, 2, SIM_TAIL_ALL);
    assert_content(second, "a", "text");
    assert_content(second, "b", "more");
    env_destroy(second);
    second = cut_at(image, 1, 0, SIM_TAIL_ALL);
    assert_int_equal(sim_disk_hash(second), sim_disk_hash(env));
    env_destroy(second);
    env_destroy(image);
    env_destroy(env);
}

static void what_a_killed_process_did_is_seen_but_not_safe(void **state) {
    (void)state;
    firn_env *env = machine(1), *killed, *image;
    struct env_file *f;
    put_synced(env, "a", "old");
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    assert_int_equal(env_create(env, "b", &f), FIRN_OK);
    assert_int_equal(env_append(f, "snow", 4), FIRN_OK);
    assert_int_equal(env_sync(f), FIRN_OK);
    assert_int_equal(env_append(f, "ice", 3), FIRN_OK);
    assert_int_equal(env_rename(env, "b", "c"), FIRN_OK);
    assert_int_equal(sim_kill_at(env, sim_change_count(env) + 1, &killed), FIRN_OK);
    assert_content(killed, "a", "old");
    assert_content(killed, "c", "snowice");
    assert_missing(killed, "b");
    struct sim_cut cut = {.change = 1};
    assert_int_equal(sim_disk_at(killed, &cut, &image), FIRN_OK);
    assert_content(image, "a", "old");
    assert_missing(image, "c");
    env_destroy(image);
    cut.dir_mask = UINT64_MAX;
    assert_int_equal(sim_disk_at(killed, &cut, &image), FIRN_OK);
    assert_content(image, "c", "snow");
    env_destroy(image);
    /* The next process can make it safe. */
    struct env_file *again;
    assert_int_equal(env_open(killed, "c", ENV_RANDOM, &again), FIRN_OK);
    assert_int_equal(env_sync(again), FIRN_OK);
    assert_int_equal(env_close(again), FIRN_OK);
    assert_int_equal(env_sync_dir(killed, "."), FIRN_OK);
    cut = (struct sim_cut){.change = sim_change_count(killed) + 1};
    assert_int_equal(sim_disk_at(killed, &cut, &image), FIRN_OK);
    assert_content(image, "c", "snowice");
    env_destroy(image);
    env_destroy(killed);
    assert_int_equal(env_close(f), FIRN_OK);
    env_destroy(env);
}

static void changes_have_texts(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "a", "text");
    assert_int_equal(env_rename(env, "a", "b"), FIRN_OK);
    assert_string_equal(sim_change_text(env, 1), "create a");
    assert_string_equal(sim_change_text(env, 2), "append a 4 bytes at 0");
    assert_string_equal(sim_change_text(env, 3), "sync a");
    assert_string_equal(sim_change_text(env, 5), "rename a to b");
    assert_int_equal(sim_change_call(env, 3), SIM_SYNC);
    assert_int_equal(sim_change_call(env, 6), SIM_CALLS);
    env_destroy(env);
}

static void moments_that_were_not_recorded_are_told(void **state) {
    (void)state;
    firn_env *env = machine(1), *image;
    unsigned pending, edges;
    put_synced(env, "a", "text"); /* create, append, sync */
    uint64_t end = sim_change_count(env) + 1;
    for (uint64_t change = 0; change <= end + 1; change += end + 1) {
        struct sim_cut cut = {.change = change};
        assert_int_equal(sim_disk_at(env, &cut, &image), FIRN_INVALID);
        assert_null(image);
        assert_int_equal(sim_kill_at(env, change, &image), FIRN_INVALID);
        assert_null(image);
        sim_cut_choices(env, change, &pending, &edges);
        assert_int_equal(pending + edges, 0);
        assert_string_equal(sim_change_text(env, change), "no recorded change");
        assert_int_equal(sim_change_call(env, change), SIM_CALLS);
    }
    assert_string_equal(sim_change_text(env, end), "the end");
    assert_string_equal(sim_change_text(env, 1), sim_change_text(env, 1));
    sim_cut_choices(env, end, &pending, &edges);
    assert_int_equal(pending, 1);
    assert_int_equal(sim_set_recording(env, false), FIRN_OK);
    assert_string_equal(sim_change_text(env, 1), "no recorded change");
    struct sim_cut cut = {.change = 1};
    assert_int_equal(sim_disk_at(env, &cut, &image), FIRN_INVALID);
    env_destroy(env);
}

/* The model again, written down in the most direct way: every cut of a random history against what
 * a replay of the calls from the start gives. */
#define FILES 5
struct naive {
    int size[64], synced[64], files;                   /* of file i, in bytes */
    int name[FILES];                                   /* which file a name leads to; -1: none */
    int kind[64], from[64], to[64], file[64], pending; /* name changes: c, r, u */
};

static void naive_change_name(int name[FILES], const struct naive *n, int i) {
    int file = n->file[i];
    if (n->kind[i] != 'c') {
        file = name[n->from[i]] >= 0 ? name[n->from[i]] : file;
        name[n->from[i]] = -1;
    }
    if (n->kind[i] != 'u') {
        name[n->to[i]] = file;
    }
}

static void naive_pend(struct naive *n, int kind, int from, int to, int file) {
    n->kind[n->pending] = kind;
    n->from[n->pending] = from;
    n->to[n->pending] = to;
    n->file[n->pending++] = file;
}

static void cuts_agree_with_a_direct_replay(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        firn_env *env = machine(seed);
        struct rand r;
        rand_init(&r, seed);
        struct naive n = {.files = 0};
        int live[FILES];
        struct env_file *open[FILES] = {NULL};
        for (int i = 0; i < FILES; i++) {
            n.name[i] = live[i] = -1;
        }
        for (int step = 0; step < 60; step++) {
            int i = (int)rand_below(&r, FILES), j = (int)rand_below(&r, FILES);
            char path[16], other[16];
            (void)snprintf(path, sizeof path, "f%d", i);
            (void)snprintf(other, sizeof other, "f%d", j);
            switch (rand_below(&r, 6)) {
            case 0:
                if (live[i] < 0) {
                    assert_int_equal(env_create(env, path, &open[i]), FIRN_OK);
                    live[i] = n.files;
                    naive_pend(&n, 'c', 0, i, n.files++);
                }
                break;
            case 1:
                if (open[i] != NULL) {
                    assert_int_equal(env_append(open[i], "abc", 3), FIRN_OK);
                    n.size[live[i]] += 3;
                }
                break;
            case 2:
                if (open[i] != NULL) {
                    assert_int_equal(env_sync(open[i]), FIRN_OK);
                    n.synced[live[i]] = n.size[live[i]];
                }
                break;
            case 3:
                if (live[i] >= 0 && i != j) {
                    assert_int_equal(env_rename(env, path, other), FIRN_OK);
                    naive_pend(&n, 'r', i, j, live[i]);
                    live[j] = live[i];
                    live[i] = -1;
                    assert_int_equal(env_close(open[j]), FIRN_OK);
                    open[j] = open[i];
                    open[i] = NULL;
                }
                break;
            case 4:
                if (live[i] >= 0) {
                    assert_int_equal(env_unlink(env, path), FIRN_OK);
                    naive_pend(&n, 'u', i, 0, live[i]);
                    live[i] = -1;
                    assert_int_equal(env_close(open[i]), FIRN_OK);
                    open[i] = NULL;
                }
                break;
            default:
                if (rand_below(&r, 3) == 0) {
                    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
                    for (int k = 0; k < n.pending; k++) {
                        naive_change_name(n.name, &n, k);
                    }
                    n.pending = 0;
                }
            }
            uint64_t mask = rand_next(&r);
            bool all = rand_below(&r, 2) == 0;
            unsigned pending, edges;
            sim_cut_choices(env, sim_change_count(env) + 1, &pending, &edges);
            assert_int_equal(pending, n.pending);
            firn_env *image = cut_now(env, mask, all ? SIM_TAIL_ALL : SIM_TAIL_SYNCED);
            int name[FILES];
            memcpy(name, n.name, sizeof name);
            for (int k = 0; k < n.pending; k++) {
                if (mask >> k & 1) {
                    naive_change_name(name, &n, k);
                }
            }
            for (int k = 0; k < FILES; k++) {
                (void)snprintf(path, sizeof path, "f%d", k);
                const uint8_t *data;
                uint64_t size = 0;
                int rc = sim_file_get(image, path, &data, &size);
                assert_int_equal(rc, name[k] < 0 ? FIRN_MISSING : FIRN_OK);
                assert_int_equal(size, name[k] < 0 ? 0 : (all ? n.size : n.synced)[name[k]]);
            }
            env_destroy(image);
        }
        for (int i = 0; i < FILES; i++) {
            (void)env_close(open[i]);
        }
        env_destroy(env);
    }
}

/* ---- Faults. ---- */

static void a_fault_hits_the_call_it_is_addressed_to(void **state) {
    (void)state;
    static const enum sim_fault_kind kinds[] = {SIM_FAULT_EIO, SIM_FAULT_ENOSPC, SIM_FAULT_EMFILE,
                                                SIM_FAULT_SHORT, SIM_FAULT_DONE_ERROR};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        firn_env *env = machine(1);
        struct env_file *file = file_with(env, "a", "1234");
        sim_set_fault(env, sim_call_count(env) + 1, kinds[k], false);
        int rc = env_append(file, "5678", 4);
        bool space = kinds[k] == SIM_FAULT_ENOSPC || kinds[k] == SIM_FAULT_SHORT;
        assert_int_equal(rc, space ? FIRN_NO_SPACE : FIRN_IO);
        assert_true(sim_fault_hit(env));
        uint64_t bytes;
        assert_int_equal(env_file_size(file, &bytes), FIRN_OK);
        assert_int_equal(bytes, kinds[k] == SIM_FAULT_SHORT        ? 6
                                : kinds[k] == SIM_FAULT_DONE_ERROR ? 8
                                                                   : 4);
        assert_null(sim_misuse(env));
        assert_int_equal(env_append(file, "9", 1), FIRN_INVALID); /* poisoned */
        assert_non_null(sim_misuse(env));
        assert_int_equal(env_close(file), FIRN_OK);
        env_destroy(env);
    }
}

static void a_closed_file_is_of_no_more_use(void **state) {
    (void)state;
    for (unsigned use = 0; use < 5; use++) {
        firn_env *env = machine(1);
        struct env_file *file, *other;
        uint64_t bytes;
        char to[4];
        size_t got;
        assert_int_equal(env_create(env, "a", &file), FIRN_OK);
        assert_int_equal(env_append(file, "text", 4), FIRN_OK);
        assert_int_equal(env_close(file), FIRN_OK);
        assert_int_equal(env_open(env, "a", ENV_RANDOM, &other), FIRN_OK);
        assert_ptr_not_equal(file, other);
        assert_null(sim_misuse(env));
        int rc = use == 0   ? env_close(file)
                 : use == 1 ? env_append(file, "more", 4)
                 : use == 2 ? env_sync(file)
                 : use == 3 ? env_file_size(file, &bytes)
                            : env_read_at(file, 0, to, sizeof to, &got);
        assert_int_equal(rc, FIRN_INVALID);
        assert_string_equal(sim_misuse(env), "used after it was closed: a");
        assert_int_equal(sim_open_files(env), 1);
        assert_content(env, "a", "text");
        assert_int_equal(env_close(other), FIRN_OK);
        assert_int_equal(sim_open_files(env), 0);
        env_destroy(env);
    }
}

static int count_any(void *context, const char *name, uint64_t bytes) {
    (void)name;
    (void)bytes;
    ++*(unsigned *)context;
    return 0;
}

/* Each kind of call, to the first that fails. */
static int use(firn_env *env) {
    static const char bytes[3000];
    struct env_file *file = NULL, *again = NULL;
    struct env_lock *lock;
    unsigned names = 0;
    int rc = env_make_dir(env, "d");
    rc = rc != FIRN_OK ? rc : env_create(env, "d/a", &file);
    for (unsigned i = 0; rc == FIRN_OK && i < 40; i++) {
        rc = env_append(file, bytes, sizeof bytes);
        rc = rc == FIRN_OK && i % 10 == 5 ? env_sync(file) : rc;
    }
    rc = rc != FIRN_OK ? rc : env_rename(env, "d/a", "d/b");
    rc = rc != FIRN_OK ? rc : env_link(env, "d/b", "d/c");
    rc = rc != FIRN_OK ? rc : env_open(env, "d/c", ENV_RANDOM, &again);
    rc = rc != FIRN_OK ? rc : env_lock(env, "d/lock", &lock);
    if (rc == FIRN_OK) {
        env_unlock(env, lock);
        rc = env_list(env, "d", count_any, &names);
        assert_true(rc != FIRN_OK || names == 3);
    }
    rc = rc != FIRN_OK ? rc : env_unlink(env, "d/b");
    rc = rc != FIRN_OK ? rc : env_sync_dir(env, "d");
    for (uint64_t change = 5; rc == FIRN_OK && change <= sim_change_count(env); change += 9) {
        struct sim_cut cut = {.change = change, .dir_mask = UINT64_MAX, .tail = SIM_TAIL_STALE};
        firn_env *image;
        rc = sim_disk_at(env, &cut, &image);
        env_destroy(image);
        rc = rc != FIRN_OK ? rc : sim_kill_at(env, change, &image);
        env_destroy(rc == FIRN_OK ? image : NULL);
    }
    rc = rc != FIRN_OK ? rc : sim_set_recording(env, true);
    int closed = env_close(file);
    rc = rc != FIRN_OK ? rc : closed;
    closed = env_close(again);
    return rc != FIRN_OK ? rc : closed;
}

/* Then the call says so, and what was there before is there. */
static void a_machine_may_run_out_of_memory(void **state) {
    (void)state;
    unsigned failed = 0;
    for (uint64_t n = 1;; n++, failed++) {
        firn_env *env = machine(1);
        struct alloc *alloc = &sim_machine_of(env)->alloc;
        put_synced(env, "kept", "text");
        atomic_store(&alloc->fail_after, n);
        int rc = use(env);
        bool hit = atomic_exchange(&alloc->fail_after, 0) == 0;
        assert_int_equal(rc, hit ? FIRN_NOMEM : FIRN_OK);
        assert_content(env, "kept", "text");
        put_synced(env, "new", "words");
        assert_content(env, "new", "words");
        assert_int_equal(sim_open_files(env), 0);
        assert_null(sim_misuse(env));
        env_destroy(env);
        if (!hit) {
            break;
        }
    }
    assert_true(failed > 20);
}

/* A signal may interrupt a call: it takes effect in the end. */
static void an_interrupted_append_is_whole_and_may_be_cut_in_two(void **state) {
    (void)state;
    firn_env *env = machine(1), *image;
    struct env_file *file = file_with(env, "a", "1234");
    uint64_t before = sim_change_count(env);
    sim_set_fault(env, sim_call_count(env) + 1, SIM_FAULT_EINTR, false);
    assert_int_equal(env_append(file, "5678", 4), FIRN_OK);
    assert_true(sim_fault_hit(env));
    assert_content(env, "a", "12345678");
    assert_int_equal(sim_change_count(env), before + 2);
    image = cut_at(env, before + 2, UINT64_MAX, SIM_TAIL_ALL);
    assert_content(image, "a", "123456");
    env_destroy(image);
    sim_set_fault(env, sim_call_count(env) + 1, SIM_FAULT_EINTR, false);
    assert_int_equal(env_sync(file), FIRN_OK);
    assert_true(sim_fault_hit(env));
    assert_int_equal(env_close(file), FIRN_OK);
    env_destroy(env);
}

static void a_persistent_lack_of_space_still_lets_files_go(void **state) {
    (void)state;
    firn_env *env = machine(1);
    put_synced(env, "a", "1234");
    sim_set_fault(env, sim_call_count(env) + 1, SIM_FAULT_ENOSPC, true);
    struct env_file *file;
    assert_int_equal(env_create(env, "b", &file), FIRN_NO_SPACE);
    assert_int_equal(env_create(env, "c", &file), FIRN_NO_SPACE);
    assert_int_equal(env_open(env, "a", ENV_RANDOM, &file), FIRN_OK);
    assert_int_equal(env_close(file), FIRN_OK);
    assert_int_equal(env_unlink(env, "a"), FIRN_OK);
    sim_set_fault(env, 0, SIM_FAULT_EIO, false);
    put_synced(env, "b", "1");
    env_destroy(env);
}

static void a_failed_sync_makes_nothing_safe(void **state) {
    (void)state;
    firn_env *env = machine(1);
    struct env_file *file = file_with(env, "a", "1234");
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    sim_set_fault(env, sim_call_count(env) + 1, SIM_FAULT_EIO, false);
    assert_int_equal(env_sync(file), FIRN_IO);
    firn_env *image = cut_now(env, 0, SIM_TAIL_SYNCED);
    assert_content(image, "a", "");
    env_destroy(image);
    assert_int_equal(env_close(file), FIRN_OK);
    env_destroy(env);
}

static void a_failed_sync_may_lose_what_a_later_one_seems_to_save(void **state) {
    (void)state;
    static const char *const seen[] = {"snowice", "snowice", "snow\0\0\0", "snow"};
    for (unsigned loss = SIM_SYNC_KEEPS; loss <= SIM_SYNC_REVERTS; loss++) {
        firn_env *env = machine(1), *image;
        struct env_file *f, *again;
        const uint8_t *data;
        uint64_t size;
        put_synced(env, "other", "");
        assert_int_equal(env_create(env, "a", &f), FIRN_OK);
        assert_int_equal(env_append(f, "snow", 4), FIRN_OK);
        assert_int_equal(env_sync(f), FIRN_OK);
        assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
        assert_int_equal(env_append(f, "ice", 3), FIRN_OK);
        sim_set_failed_sync(env, (enum sim_failed_sync)loss);
        sim_set_fault(env, sim_sync_count(env) + 1, SIM_FAULT_SYNC, false);
        assert_int_equal(env_sync(f), FIRN_IO);
        assert_int_equal(env_close(f), FIRN_OK);
        assert_int_equal(sim_file_get(env, "a", &data, &size), FIRN_OK);
        assert_int_equal(size, loss == SIM_SYNC_REVERTS ? 4 : 7);
        assert_memory_equal(data, seen[loss], size);
        assert_int_equal(env_open(env, "a", ENV_RANDOM, &again), FIRN_OK);
        assert_int_equal(env_sync(again), FIRN_OK);
        assert_int_equal(env_close(again), FIRN_OK);
        image = cut_now(env, 0, SIM_TAIL_SYNCED);
        assert_int_equal(sim_file_get(image, "a", &data, &size), FIRN_OK);
        assert_int_equal(size, loss == SIM_SYNC_REVERTS ? 4 : 7);
        assert_memory_equal(data, loss == SIM_SYNC_KEEPS ? "snowice" : "snow\0\0\0", size);
        env_destroy(image);
        env_destroy(env);
    }
}

static void the_quota_is_kept_and_unlinking_gives_room(void **state) {
    (void)state;
    firn_env *env = machine(1);
    sim_set_quota(env, 10);
    struct env_file *file = file_with(env, "a", "12345678");
    assert_int_equal(env_append(file, "9abc", 4), FIRN_NO_SPACE);
    assert_int_equal(env_close(file), FIRN_OK);
    assert_content(env, "a", "123456789a");
    assert_int_equal(env_create(env, "b", &file), FIRN_OK);
    assert_int_equal(env_preallocate(file, 1), FIRN_NO_SPACE);
    assert_int_equal(env_unlink(env, "a"), FIRN_OK);
    assert_int_equal(env_preallocate(file, 9), FIRN_OK);
    assert_int_equal(env_append(file, "123456789", 9), FIRN_OK);
    assert_int_equal(env_append(file, "ab", 2), FIRN_NO_SPACE);
    assert_int_equal(env_close(file), FIRN_OK);
    assert_null(sim_misuse(env));
    env_destroy(env);
}

/* ---- Time and jobs. ---- */

struct shop {
    firn_env *env;
    struct mutex mutex;
    struct cond cond;
    int made, taken, yields;
};

static void make_one(void *argument) {
    struct shop *shop = argument;
    for (int i = 0; i < 3; i++) {
        env_yield(shop->env, "making");
        shop->yields++;
    }
    mutex_lock(&shop->mutex);
    shop->made++;
    cond_broadcast(&shop->cond);
    mutex_unlock(&shop->mutex);
}

static void take_one(void *argument) {
    struct shop *shop = argument;
    mutex_lock(&shop->mutex);
    while (shop->made == shop->taken) {
        (void)env_wait(shop->env, &shop->cond, &shop->mutex, ENV_FOREVER);
    }
    shop->taken++;
    mutex_unlock(&shop->mutex);
}

static void shop_init(struct shop *shop, uint64_t seed) {
    memset(shop, 0, sizeof *shop);
    shop->env = machine(seed);
    mutex_init(&shop->mutex, RANK_DB);
    cond_init(&shop->cond);
}

static void shop_deinit(struct shop *shop) {
    mutex_deinit(&shop->mutex);
    cond_deinit(&shop->cond);
    env_destroy(shop->env);
}

static void jobs_run_while_their_caller_waits(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct shop shop;
        shop_init(&shop, seed);
        assert_int_equal(env_set_threads(shop.env, 3), FIRN_OK);
        for (int i = 0; i < 10; i++) { /* takers first: they wait for makers behind them */
            assert_int_equal(env_submit(shop.env, ENV_FLUSH, i < 2 ? take_one : make_one, &shop),
                             FIRN_OK);
        }
        for (int i = 0; i < 6; i++) {
            take_one(&shop);
        }
        sim_run_jobs(shop.env);
        assert_int_equal(shop.made, 8);
        assert_int_equal(shop.taken, 8);
        assert_int_equal(shop.yields, 24);
        assert_false(sim_deadlocked(shop.env));
        shop_deinit(&shop);
    }
}

static void waiting_for_nobody_is_a_deadlock(void **state) {
    (void)state;
    struct shop shop;
    shop_init(&shop, 1);
    mutex_lock(&shop.mutex);
    assert_false(env_wait(shop.env, &shop.cond, &shop.mutex, ENV_FOREVER));
    mutex_unlock(&shop.mutex);
    assert_true(sim_deadlocked(shop.env));
    shop_deinit(&shop);
    shop_init(&shop, 1);
    assert_int_equal(env_submit(shop.env, ENV_FLUSH, take_one, &shop), FIRN_OK);
    sim_run_jobs(shop.env);
    assert_false(sim_deadlocked(shop.env)); /* the caller was not waiting itself */
    bool woken = true;
    mutex_lock(&shop.mutex);
    while (woken) {
        woken = env_wait(shop.env, &shop.cond, &shop.mutex, ENV_FOREVER);
    }
    mutex_unlock(&shop.mutex);
    assert_true(sim_deadlocked(shop.env));
    make_one(&shop);
    sim_run_jobs(shop.env);
    assert_int_equal(shop.taken, 1);
    shop_deinit(&shop);
}

static void sleep_for_a_second(void *argument) {
    struct shop *shop = argument;
    env_sleep_ns(shop->env, 1000000000);
    shop->made++;
}

static void time_passes_by_waiting(void **state) {
    (void)state;
    struct shop shop;
    shop_init(&shop, 1);
    uint64_t start = env_now_ns(shop.env);
    mutex_lock(&shop.mutex);
    assert_false(env_wait(shop.env, &shop.cond, &shop.mutex, start + 5000000));
    mutex_unlock(&shop.mutex);
    assert_true(env_now_ns(shop.env) >= start + 5000000);
    assert_int_equal(env_submit(shop.env, ENV_COMPACT, sleep_for_a_second, &shop), FIRN_OK);
    sim_run_jobs(shop.env);
    assert_int_equal(shop.made, 1);
    assert_true(env_now_ns(shop.env) >= start + 1005000000);
    assert_false(sim_deadlocked(shop.env));
    shop_deinit(&shop);
}

static void append_order(void *argument) {
    void **pair = argument;
    char *order = pair[0];
    order[strlen(order)] = *(const char *)pair[1];
}

static void higher_priorities_start_first_and_never_at_once(void **state) {
    (void)state;
    firn_env *env = machine(1);
    char order[8] = "";
    char letters[] = "cf";
    void *compact[] = {order, &letters[0]}, *flush[] = {order, &letters[1]};
    assert_int_equal(env_submit(env, ENV_COMPACT, append_order, compact), FIRN_OK);
    assert_int_equal(env_submit(env, ENV_FLUSH, append_order, flush), FIRN_OK);
    assert_string_equal(order, "");
    sim_run_jobs(env);
    assert_string_equal(order, "fc");
    env_destroy(env);
}

static uint64_t play(uint64_t seed) {
    struct shop shop;
    shop_init(&shop, seed);
    assert_int_equal(env_set_threads(shop.env, 4), FIRN_OK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(env_submit(shop.env, ENV_FLUSH, make_one, &shop), FIRN_OK);
    }
    uint64_t trace = 0;
    for (int i = 0; i < 40; i++) {
        env_yield(shop.env, "main");
        trace = trace * 31 + (uint64_t)shop.yields;
    }
    sim_run_jobs(shop.env);
    shop_deinit(&shop);
    return trace;
}

static void a_seed_repeats_its_interleaving_and_others_differ(void **state) {
    (void)state;
    int different = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_true(play(seed) == play(seed));
        different += play(seed) != play(seed + 1);
    }
    assert_true(different > 15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_appended),
        cmocka_unit_test(create_is_exclusive_and_needs_its_folder),
        cmocka_unit_test(lists_every_name_and_stops_when_told),
        cmocka_unit_test(rename_replaces_and_links_share),
        cmocka_unit_test(unlinked_files_live_until_they_are_closed),
        cmocka_unit_test(a_lock_has_one_holder),
        cmocka_unit_test(unsynced_bytes_may_be_lost_and_synced_ones_not),
        cmocka_unit_test(a_synced_file_without_a_synced_name_may_be_lost),
        cmocka_unit_test(a_rename_happens_whole_or_not_at_all),
        cmocka_unit_test(a_folder_of_unsynced_name_takes_its_files_along),
        cmocka_unit_test(an_unsynced_unlink_may_come_back),
        cmocka_unit_test(tails_tear_at_sector_edges),
        cmocka_unit_test(an_image_can_be_written_without_touching_the_original),
        cmocka_unit_test(an_image_can_be_recorded_and_cut_again),
        cmocka_unit_test(what_a_killed_process_did_is_seen_but_not_safe),
        cmocka_unit_test(changes_have_texts),
        cmocka_unit_test(moments_that_were_not_recorded_are_told),
        cmocka_unit_test(a_closed_file_is_of_no_more_use),
        cmocka_unit_test(a_machine_may_run_out_of_memory),
        cmocka_unit_test(an_interrupted_append_is_whole_and_may_be_cut_in_two),
        cmocka_unit_test(cuts_agree_with_a_direct_replay),
        cmocka_unit_test(a_fault_hits_the_call_it_is_addressed_to),
        cmocka_unit_test(a_persistent_lack_of_space_still_lets_files_go),
        cmocka_unit_test(a_failed_sync_makes_nothing_safe),
        cmocka_unit_test(a_failed_sync_may_lose_what_a_later_one_seems_to_save),
        cmocka_unit_test(the_quota_is_kept_and_unlinking_gives_room),
        cmocka_unit_test(jobs_run_while_their_caller_waits),
        cmocka_unit_test(waiting_for_nobody_is_a_deadlock),
        cmocka_unit_test(time_passes_by_waiting),
        cmocka_unit_test(higher_priorities_start_first_and_never_at_once),
        cmocka_unit_test(a_seed_repeats_its_interleaving_and_others_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
