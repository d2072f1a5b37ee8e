/* tools/plugin.h: compaction policies of a shared object (firn_policies of lsm/firn_lab.h), for
 * --plugin. */
#ifndef FIRN_TOOLS_PLUGIN_H
#define FIRN_TOOLS_PLUGIN_H

#include <stdbool.h>

/* For args.h: opens the shared object at the path and adds its policies to the firn_options at
 * `to`, which then know them by their names. They stay for the life of the process. */
bool take_plugin(void *to, char *path, const char **problem);

#endif
