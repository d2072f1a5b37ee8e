/* Runs files, and all files of folders, through a fuzz target: for compilers without libFuzzer, and
 * so that the corpus is a regression test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_BYTES_MAX ((size_t)4 << 20)

static size_t replayed;

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)fprintf(stderr, "cannot open %s\n", path);
        return 1;
    }
    uint8_t *input = malloc(INPUT_BYTES_MAX);
    size_t size = input == NULL ? 0 : fread(input, 1, INPUT_BYTES_MAX, file);
    (void)fclose(file);
    /* A block of just this size, so that the sanitizer sees a step too far. */
    uint8_t *exact = malloc(size + (size == 0));
    if (input == NULL || exact == NULL) {
        free(input);
        free(exact);
        return 1;
    }
    memcpy(exact, input, size);
    free(input);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    replayed++;
    return 0;
}

static int replay(const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return replay_file(path);
    }
    int failed = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            char inner[4096];
            (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            failed |= replay(inner);
        }
    }
    (void)closedir(folder);
    return failed;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed |= replay(argv[i]);
    }
    (void)printf("%zu inputs replayed\n", replayed);
    return failed != 0 || replayed == 0;
}
