#include "sst/key_area.h"

const char *key_form_name(enum key_form form) {
    static const char *const names[] = {"unknown", "automaton"};
    return names[form <= KEY_FORM_MAX ? form : 0];
}

void area_cursor_init(struct area_cursor *c, struct alloc *alloc) {
    memset(c, 0, sizeof *c);
    automaton_cursor_init(&c->at, alloc);
}

void area_cursor_deinit(struct area_cursor *c) {
    automaton_cursor_deinit(&c->at);
}
