// docs/examples/words.cpp: counts the words of standard input, from C++: handles that close
// themselves, and a walk over the words with a prefix.
#include <cstdint>
#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

#include <lsm/firn.h>

static void check(int rc) {
    if (rc < 0) {
        throw std::runtime_error(firn_errmsg());
    }
}

static firn_slice slice(const std::string &text) {
    return firn_slice_make(text.data(), text.size());
}

struct Close {
    void operator()(firn_db *db) const { firn_close(db); }
    void operator()(firn_iter *it) const { firn_iter_destroy(it); }
};

int main(int argc, char **argv) try {
    firn_options options;
    firn_options_init(&options);
    options.in_memory = true;
    firn_db *opened;
    check(firn_open("words", &options, &opened));
    std::unique_ptr<firn_db, Close> db(opened);

    for (std::string word; std::cin >> word;) {
        uint64_t count = 0;
        size_t size;
        check(firn_get_into(db.get(), nullptr, slice(word), &count, sizeof(count), &size));
        count++;
        check(firn_put(db.get(), slice(word), firn_slice_make(&count, sizeof(count)), 0));
    }

    firn_iter_options range;
    firn_iter_options_init(&range);
    const std::string prefix = argc > 1 ? argv[1] : "";
    range.prefix = slice(prefix);
    firn_iter *created;
    check(firn_iter_create(db.get(), &range, &created));
    std::unique_ptr<firn_iter, Close> it(created);
    for (firn_iter_first(created); firn_iter_valid(created); firn_iter_next(created)) {
        const firn_slice key = firn_iter_key(created), value = firn_iter_value(created);
        uint64_t count;
        std::memcpy(&count, value.data, sizeof(count));
        std::cout << std::string(static_cast<const char *>(key.data), key.size) << ' ' << count
                  << '\n';
    }
    check(firn_iter_status(created));
    return 0;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
