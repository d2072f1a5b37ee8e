/* A host that knows nothing of firn at link time, as a language runtime would load it. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "lsm/firn.h"

/* dlsym() gives an object pointer; ISO C has no cast from that to a function. */
static void find(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof(symbol));
}

int main(int argc, char **argv) {
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        fprintf(stderr, "FAILED: %s\n", argc == 2 ? dlerror() : "name the library");
        return 1;
    }
    void (*options_init)(firn_options *);
    int (*open)(const char *, const firn_options *, firn_db **);
    int (*put)(firn_db *, firn_slice, firn_slice, unsigned);
    int (*get_into)(firn_db *, const firn_snapshot *, firn_slice, void *, size_t, size_t *);
    int (*close)(firn_db *);
    const char *(*errmsg)(void);
    find(library, "firn_options_init", &options_init);
    find(library, "firn_open", &open);
    find(library, "firn_put", &put);
    find(library, "firn_get_into", &get_into);
    find(library, "firn_close", &close);
    find(library, "firn_errmsg", &errmsg);

    firn_options options;
    options_init(&options);
    options.in_memory = true;
    firn_db *db;
    char value[16];
    size_t size;
    if (open("in memory", &options, &db) != FIRN_OK ||
        put(db, FIRN_STR("apple"), FIRN_STR("red"), FIRN_SYNC) != FIRN_OK ||
        get_into(db, NULL, FIRN_STR("apple"), value, sizeof(value), &size) != FIRN_OK ||
        size != 3 || memcmp(value, "red", 3) != 0 || close(db) != FIRN_OK) {
        fprintf(stderr, "FAILED: through dlopen: %s\n", errmsg());
        return 1;
    }
    if (dlclose(library) != 0) {
        fprintf(stderr, "FAILED: dlclose: %s\n", dlerror());
        return 1;
    }
    return 0;
}
