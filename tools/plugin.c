#include "tools/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "lsm/firn_lab.h"

#define POLICIES_MAX 32

static const firn_user_policy *known[POLICIES_MAX + 1]; /* of all plugins; NULL ends it */

bool take_plugin(void *to, char *path, const char **problem) {
    char here[4096];
    size_t count = 0;
    /* A name alone would be looked for among the system's libraries. */
    (void)snprintf(here, sizeof here, "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    void *object = dlopen(here, RTLD_NOW | RTLD_LOCAL);
    *problem = object == NULL ? dlerror() : "it does not define firn_policies";
    const firn_user_policy *const *policies =
        object != NULL ? (const firn_user_policy *const *)dlsym(object, "firn_policies") : NULL;
    if (policies == NULL) {
        return false;
    }
    while (known[count] != NULL) {
        count++;
    }
    *problem = "there are too many policies";
    for (; *policies != NULL; policies++) {
        if (count == POLICIES_MAX) {
            return false;
        }
        known[count++] = *policies;
    }
    ((firn_options *)to)->user_policies = known;
    return true;
}
