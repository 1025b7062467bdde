#include "kernelhost/gateway/ledger.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/tap.h"

static const struct kh_broker_reply box = {.id = {1, 2, 3}, .name = "box"};

static struct kh_ledger_kernel *
add(struct kh_ledger *ledger, uint32_t number)
{
    return kh_ledger_add(ledger, &box, number, "01234567-89ab-cdef-0123-456789abcdef",
                         "python");
}

static struct kh_ledger_request *
note(struct kh_ledger *ledger, const struct kh_ledger_kernel *kernel, uint64_t id,
     const char *header, size_t size)
{
    const struct kh_slice ident[2] = {{"one", 3}, {"two!", 4}};
    struct kh_ledger_request fields = {
        .kernel = kh_ledger_index(ledger, kernel), .id = id, .ident_count = 2};

    return kh_ledger_note(ledger, &fields, ident, (struct kh_slice){header, size});
}

static void
lasting(int fd)
{
    struct kh_ledger *ledger = kh_ledger_open(fd, NULL);
    struct kh_ledger_kernel *kernel;
    struct kh_ledger_request *request;
    struct kh_broker_reply other = box;

    if (!ok(ledger, "a ledger in a file"))
        return;
    kernel = add(ledger, 1);
    add(ledger, 2);
    kernel->settled = 99;
    note(ledger, kernel, 7, "header", 6);
    kh_ledger_free(ledger);

    ledger = kh_ledger_open(fd, NULL);
    kernel = kh_ledger_find(ledger, &box, 1);
    ok(kernel && kernel->settled == 99, "a kernel is there after a restart");
    ok(kh_ledger_find(ledger, &box, 2) && !kh_ledger_find(ledger, &box, 3),
       "and no other");
    other.id[0] = 9;
    ok(!kh_ledger_find(ledger, &other, 1), "another sandbox of that name has none");
    request = kernel ? kh_ledger_next(ledger, kernel, NULL) : NULL;
    ok(request && request->id == 7 && request->header == 6 &&
           !memcmp(request->bytes, "onetwo!header", 13),
       "so is its request");
    ok(request && !kh_ledger_next(ledger, kernel, request), "the only one");
    kh_ledger_drop(ledger, kernel);
    ok(!kh_ledger_find(ledger, &box, 1), "a kernel is dropped");
    kernel = add(ledger, 4);
    is_int(kh_ledger_index(ledger, kernel), 0, "its place is used again");
    ok(!kh_ledger_next(ledger, kernel, NULL), "without its requests");
    kh_ledger_leave(ledger);
    kh_ledger_drop(ledger, kernel);
    ok(kh_ledger_find(ledger, &box, 4), "who leaves drops nothing");
    kh_ledger_free(ledger);
}

static void
full(void)
{
    struct kh_ledger *ledger = kh_ledger_open(-1, NULL);
    static char big[KH_LEDGER_SPAN_MAX * KH_LEDGER_BLOCK];
    struct kh_ledger_kernel *kernel = add(ledger, 1), *last = NULL;
    struct kh_ledger_request *request = NULL, *first;
    uint32_t i, count = 0;

    ok(!note(ledger, kernel, 1, big, sizeof(big)), "too large a request is not noted");
    first = note(ledger, kernel, 1, big, 3000);
    while ((request = note(ledger, kernel, 2 + count, big, 7000)))
        count++;
    ok(count > 8000 && count < KH_LEDGER_BLOCKS, "until it is full %u are", count);
    kh_ledger_erase(ledger, first);
    ok(note(ledger, kernel, 1, big, 3000) == first, "what is erased is used again");
    for (request = NULL, i = 0; (request = kh_ledger_next(ledger, kernel, request));)
        i++;
    is_int(i, count + 1, "all are found");
    for (i = 0; i < KH_LEDGER_KERNELS; i++)
        last = add(ledger, i);
    ok(last, "more kernels than there is room for are no error");
    ok(kh_ledger_index(ledger, last) == KH_LEDGER_KERNELS &&
           !note(ledger, last, 1, "h", 1),
       "but not noted");
    kh_ledger_drop(ledger, last);
    kh_ledger_free(ledger);
}

/* What a process that was killed, or a later version, may have left. */
static void
damage(int fd)
{
    struct kh_ledger *ledger = kh_ledger_open(fd, NULL);
    struct kh_ledger_kernel *kernel = add(ledger, 1);
    struct kh_ledger_request *request = note(ledger, kernel, 1, "h", 1);
    size_t size = (size_t)lseek(fd, 0, SEEK_END), i;
    unsigned char noise[4096];
    uint32_t version = 99, state = 1;

    request->header = 1u << 30;
    kh_ledger_free(ledger);
    ledger = kh_ledger_open(fd, NULL);
    kernel = kh_ledger_find(ledger, &box, 1);
    ok(kernel && !kh_ledger_next(ledger, kernel, NULL),
       "a request that cannot be is none");
    kh_ledger_free(ledger);

    for (i = 4096; i + sizeof(noise) < size && i < 4u * 1024 * 1024;
         i += sizeof(noise)) {
        size_t j;

        for (j = 0; j < sizeof(noise); j++)
            noise[j] = (unsigned char)((state = state * 1103515245u + 12345u) >> 16);
        (void)!pwrite(fd, noise, sizeof(noise), (off_t)i);
    }
    ledger = kh_ledger_open(fd, NULL);
    for (i = 0; i < KH_LEDGER_KERNELS; i++) {
        kernel = kh_ledger_kernel(ledger, (uint32_t)i);
        for (request = NULL;
             kernel && (request = kh_ledger_next(ledger, kernel, request));)
            continue;
    }
    ok(true, "noise is read");
    kh_ledger_free(ledger);
    (void)!pwrite(fd, &version, 4, 4);
    ledger = kh_ledger_open(fd, NULL);
    ok(ledger && !kh_ledger_kernel(ledger, 0), "another version begins anew");
    kh_ledger_free(ledger);
}

int
main(void)
{
    int one = memfd_create("one", MFD_CLOEXEC), two = memfd_create("two", MFD_CLOEXEC);

    lasting(one);
    full();
    damage(two);
    return done();
}
