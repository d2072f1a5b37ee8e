#include "tests/support/fresh_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[32];

int fresh_folder_enter(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "fresh_XXXXXX");
    return mkdtemp(folder) == NULL || chdir(folder) != 0 ? -1 : 0;
}

int fresh_folder_leave(void **state) {
    char command[64];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("..") != 0 || system(command) != 0 ? -1 : 0;
}
