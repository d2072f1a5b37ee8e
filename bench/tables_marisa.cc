// marisa-trie in its smallest setting: five tries, the smallest cache. Its ids have no order.
#include "bench/tables.h"

#include <cstdio>
#include <exception>

#include <marisa.h>

static void *build(const firn_slice *keys, size_t count) {
    marisa::Trie *trie = new marisa::Trie;
    try {
        marisa::Keyset set;
        for (size_t i = 0; i < count; i++) {
            set.push_back(static_cast<const char *>(keys[i].data), keys[i].size);
        }
        trie->build(set, 5 | MARISA_TINY_CACHE);
        return trie;
    } catch (const std::exception &e) {
        std::fprintf(stderr, "marisa: %s\n", e.what());
        delete trie;
        return nullptr;
    }
}

static uint64_t bytes(const void *table) {
    return static_cast<const marisa::Trie *>(table)->io_size();
}

static bool find(void *table, firn_slice key, uint64_t *) {
    static marisa::Agent agent;
    agent.set_query(static_cast<const char *>(key.data), key.size);
    return static_cast<const marisa::Trie *>(table)->lookup(agent);
}

static tables_walk walk(void *table) {
    tables_walk seen = {0, 0};
    marisa::Agent agent;
    agent.set_query("", 0);
    while (static_cast<const marisa::Trie *>(table)->predictive_search(agent)) {
        seen.keys++;
        seen.bytes += agent.key().length();
    }
    return seen;
}

static void destroy(void *table) {
    delete static_cast<marisa::Trie *>(table);
}

extern "C" const struct tables_form tables_marisa = {"marisa", false,   build,   bytes,  find,
                                                     walk,     nullptr, nullptr, destroy};
