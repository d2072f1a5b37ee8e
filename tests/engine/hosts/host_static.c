/* A host of libfirn.a: functions of its own may have any name that the library uses inside, and its
 * malloc is the C library's. */
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/firn.h"

/* Names that exist inside the library. They would not link twice if it showed them. */
int memtable_put(void);
int memtable_put(void) {
    return 1;
}
int checksum(void);
int checksum(void) {
    return 2;
}

int main(void) {
    /* A variable of function type, copied: ISO C has no cast from it to an object pointer. */
    void *(*function)(size_t) = malloc;
    void *address;
    memcpy(&address, &function, sizeof(address));
    Dl_info info;
    if (dladdr(address, &info) == 0 || strstr(info.dli_fname, "libc") == NULL) {
        fprintf(stderr, "FAILED: malloc comes from %s\n", info.dli_fname);
        return 1;
    }
    firn_options options;
    firn_options_init(&options);
    options.in_memory = true;
    firn_db *db;
    if (firn_open("in memory", &options, &db) != FIRN_OK ||
        firn_put(db, FIRN_STR("apple"), FIRN_STR("red"), 0) != FIRN_OK ||
        firn_contains(db, NULL, FIRN_STR("apple")) != FIRN_OK || firn_close(db) != FIRN_OK) {
        fprintf(stderr, "FAILED: through libfirn.a: %s\n", firn_errmsg());
        return 1;
    }
    return memtable_put() == 1 && checksum() == 2 ? 0 : 1;
}
