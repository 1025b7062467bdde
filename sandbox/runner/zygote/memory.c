/* memory: the zygote's memory, made so that many children can share it.
 *
 * A part of join.so: see join.c. Nothing here is for children.
 */
#include <linux/types.h>

#include <asm/unistd.h>
#include <stddef.h>

#include "sandbox/runner/zygote/call.h"

#define PROT_READ      1
#define PROT_WRITE     2
#define MAP_PRIVATE    2
#define MAP_ANONYMOUS  0x20
#define MAP_NORESERVE  0x4000
#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED   2
#define MADV_HUGEPAGE  14

#define HUGE_PAGE (2ul << 20)

/* What allocators round sizes up to, and add to it at most. */
#define FILL_STEP  16ul
#define FILL_LEAST 8ul
#define FILL_FINE  1024ul

long kh_detach(unsigned long start, unsigned long size, int prot);

/* Where Python's allocator of objects gets its arenas while the zygote is made: one
 * behind the other, so that huge pages hold them. */
struct kh_arenas {
    unsigned long next, end;
};

void *kh_arena_alloc(void *arenas, size_t size);
void kh_arena_free(void *arenas, void *start, size_t size);

void kh_fill(void *(*malloc)(size_t), void (*free)(void *), unsigned long start,
             unsigned long end, unsigned long most);

/* Replaces SIZE bytes at START, which are of a file, by memory that holds the same
 * and has protection PROT; large ones in huge pages, which a fork copies sooner.
 * Returns 0 or -errno, and then nothing has changed. */
EXPORT long
kh_detach(unsigned long start, unsigned long size, int prot)
{
    unsigned long room = size + HUGE_PAGE, copy, i;
    long base, r;

    base = call(__NR_mmap, 0, (long)room, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (base < 0)
        return base;
    /* As far behind a huge page's beginning as START is: then they can move. */
    copy = ((unsigned long)base & ~(HUGE_PAGE - 1)) + (start & (HUGE_PAGE - 1));
    if (copy < (unsigned long)base)
        copy += HUGE_PAGE;
    if (size >= 2 * HUGE_PAGE)
        call(__NR_madvise, (long)copy, (long)size, MADV_HUGEPAGE, 0, 0);
    if (prot & PROT_READ)
        for (i = 0; i < size / sizeof(long); i++)
            /* NOLINTNEXTLINE(performance-no-int-to-ptr): addresses of mappings */
            ((volatile long *)copy)[i] = ((const volatile long *)start)[i];
    r = call(__NR_mprotect, (long)copy, (long)size, prot, 0, 0);
    if (r >= 0)
        r = call(__NR_mremap, (long)copy, (long)size, (long)size,
                 MREMAP_MAYMOVE | MREMAP_FIXED, (long)start);
    if (copy > (unsigned long)base)
        call(__NR_munmap, base, (long)(copy - (unsigned long)base), 0, 0, 0);
    if (r >= 0)
        call(__NR_munmap, (long)(copy + size),
             (long)((unsigned long)base + room - copy - size), 0, 0, 0);
    else
        call(__NR_munmap, (long)copy, (long)((unsigned long)base + room - copy), 0, 0,
             0);
    return r < 0 ? r : 0;
}

/* Of PyObjectArenaAllocator: from what is reserved, else anywhere. */
EXPORT void *
kh_arena_alloc(void *arenas, size_t size)
{
    struct kh_arenas *room = arenas;
    long start = (long)room->next;

    if (room->end - room->next < size)
        start = call(__NR_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1);
    else
        room->next += size;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): what mmap returns */
    return start < 0 && start > -4096 ? NULL : (void *)start;
}

EXPORT void
kh_arena_free(void *arenas, void *start, size_t size)
{
    (void)arenas;
    call(__NR_munmap, (long)start, (long)size, 0, 0, 0);
}

/* Takes what MALLOC has free between START and END: what a child allocates lies side by
 * side then, elsewhere, and is not a hole in some page that the child would have to
 * copy for it. In falling sizes, since MALLOC may take a larger hole and leave the
 * rest. */
EXPORT void
kh_fill(void *(*malloc)(size_t), void (*free)(void *), unsigned long start,
        unsigned long end, unsigned long most)
{
    unsigned long size = most;

    while (size >= FILL_LEAST) {
        char *chunk = malloc(size);

        if (chunk && (unsigned long)chunk >= start && (unsigned long)chunk < end)
            continue;
        free(chunk);
        size -= size > FILL_FINE ? size / 16 & ~15ul : FILL_STEP;
    }
}
