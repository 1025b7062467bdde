/* clean: cleanup attributes, so that every early return releases what it holds.
 *
 *     AUTO_FREE char *path = kh_xstrdup(name);
 *     AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
 *     AUTO(kh_buf) struct kh_buf *b = kh_buf_new();      calls kh_buf_freep
 *
 * Ownership leaves a scope only by STEAL_PTR or STEAL_FD. A module that wants
 * AUTO(name) writes KH_DEFINE_CLEANUP(name) after its _free prototype.
 */
#ifndef KH_BASE_CLEAN_H
#define KH_BASE_CLEAN_H

#include <stdlib.h>
#include <unistd.h>

static inline void
kh_clean_free(void *p)
{
    free(*(void **)p);
}

static inline void
kh_clean_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define AUTO_FREE  __attribute__((cleanup(kh_clean_free)))
#define AUTO_FD    __attribute__((cleanup(kh_clean_fd)))
#define AUTO(name) __attribute__((cleanup(name##_freep)))

/* Defines NAME_freep(struct NAME **) from NAME_free(struct NAME *). */
#define KH_DEFINE_CLEANUP(name)                                                        \
    static inline void name##_freep(struct name **p)                                   \
    {                                                                                  \
        name##_free(*p);                                                               \
    }

#define STEAL_PTR(p)                                                                   \
    ({                                                                                 \
        __typeof__(p) kh_stolen_ = (p);                                                \
        (p) = NULL;                                                                    \
        kh_stolen_;                                                                    \
    })

#define STEAL_FD(fd)                                                                   \
    ({                                                                                 \
        int kh_stolen_ = (fd);                                                         \
        (fd) = -1;                                                                     \
        kh_stolen_;                                                                    \
    })

#define KH_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
