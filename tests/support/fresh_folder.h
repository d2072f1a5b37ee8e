/* tests/support/fresh_folder.h: a folder of its own for a test on real files, which begins empty
 * whatever an earlier run that was killed has left. Fixtures, as cmocka wants them: of a test, or
 * of a group.
 */
#ifndef FIRN_TESTS_FRESH_FOLDER_H
#define FIRN_TESTS_FRESH_FOLDER_H

/* Makes it in the working directory, and it the working directory. */
int fresh_folder_enter(void **state);
/* Leaves it, and removes it with all that is in it. */
int fresh_folder_leave(void **state);

#endif
