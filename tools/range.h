/* tools/range.h: --from, --to and --prefix: which keys a command is about. */
#ifndef FIRN_TOOLS_RANGE_H
#define FIRN_TOOLS_RANGE_H

#include "tools/args.h"

struct key_range {
    char *from, *to, *prefix; /* as given; NULL: not given */
    char *prefix_end;         /* the first key after all that start with prefix */
    firn_range range;         /* borrows from the above */
};

/* Rows for a command's table of options. */
#define ARGS_RANGE(r)                                                                              \
    ARG_TEXT("from", "KEY", &(r)->from), ARG_TEXT("to", "KEY", &(r)->to),                          \
        ARG_TEXT("prefix", "KEY", &(r)->prefix)

#define RANGE_HELP                                                                                 \
    "  --from KEY             begin at KEY\n"                                                      \
    "  --to KEY               end before KEY\n"                                                    \
    "  --prefix KEY           only keys that start with KEY\n"

/* Works out r->range after args_parse(). Complains and returns false when a key is malformed. */
bool key_range_resolve(struct key_range *r, const struct call *call);
void key_range_deinit(struct key_range *r);

#endif
