/* tap: the smallest test harness: one line of TAP a check.
 *
 *     int main(void)
 *     {
 *         ok(2 + 2 == 4, "arithmetic holds");
 *         is_str(name, "mybox", "the name is kept");
 *         return done();
 *     }
 */
#ifndef KH_TESTS_TAP_H
#define KH_TESTS_TAP_H

#include <ftw.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

#define ok(condition, ...)                                                             \
    ({                                                                                 \
        int ok_ = !!(condition);                                                       \
        printf("%sok %d - ", ok_ ? "" : "not ", ++tap_count);                          \
        printf(__VA_ARGS__);                                                           \
        putchar('\n');                                                                 \
        if (!ok_) {                                                                    \
            tap_failed++;                                                              \
            printf("# failed: %s (%s:%d)\n", #condition, __FILE__, __LINE__);          \
        }                                                                              \
        fflush(stdout);                                                                \
        ok_;                                                                           \
    })

#define is_int(got, want, ...)                                                         \
    ({                                                                                 \
        long long got_ = (long long)(got), want_ = (long long)(want);                  \
        if (!ok(got_ == want_, __VA_ARGS__))                                           \
            printf("# got %lld, want %lld\n", got_, want_);                            \
    })

#define is_str(got, want, ...)                                                         \
    ({                                                                                 \
        const char *got_ = (got), *want_ = (want);                                     \
        if (!ok(got_ && !strcmp(got_, want_), __VA_ARGS__))                            \
            printf("# got '%s', want '%s'\n", got_ ? got_ : "(null)", want_);          \
    })

/* For what cannot be shown here; KH_MUST_WORK=1 makes it a failure. */
#define skip(what, why) printf("ok %d - %s # SKIP %s\n", ++tap_count, what, why)

static inline int
tap_remove(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

/* A directory with all that is below it. 0, or -1 with errno. */
static inline int
remove_tree(const char *path)
{
    return nftw(path, tap_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Prints the plan; the value for main to return. */
static inline int
done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed ? 1 : 0;
}

#endif
