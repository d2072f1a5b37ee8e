/* tools/levels.h: the levels of a database drawn as text. */
#ifndef FIRN_TOOLS_LEVELS_H
#define FIRN_TOOLS_LEVELS_H

#include "lsm/firn_lab.h"
#include "tools/out.h"

/* Each run as a bar over the key space, with sizes. */
void levels_draw(struct out *out, const firn_shape *shape);

#endif
