#include "kernelhost/gateway/ledger_own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define MAGIC          0x4b484c45u /* "KHLE" */
#define LEDGER_VERSION 2u

struct head {
    uint32_t magic, version;
    uint32_t kernel_size, connection_size, request_size, pad_;
};

bool
kh_ledger_reach(struct kh_ledger *ledger, size_t from, size_t size)
{
    size_t chunk, last = (from + size - 1) / KH_LEDGER_CHUNK;

    for (chunk = from / KH_LEDGER_CHUNK; chunk <= last; chunk++) {
        size_t end = (chunk + 1) * KH_LEDGER_CHUNK < KH_LEDGER_SIZE
                         ? KH_LEDGER_CHUNK
                         : KH_LEDGER_SIZE - chunk * KH_LEDGER_CHUNK;

        if (atomic_load_explicit(&ledger->had[chunk], memory_order_relaxed))
            continue;
        if (ledger->fd >= 0 &&
            fallocate(ledger->fd, 0, (off_t)(chunk * KH_LEDGER_CHUNK), (off_t)end) < 0)
            return false;
        atomic_store(&ledger->had[chunk], 1);
    }
    return true;
}

/* Chunks of the file that hold something are read where they are. */
static void
find_chunks(struct kh_ledger *ledger)
{
    off_t at = 0;

    if (ledger->fd < 0)
        return;
    while ((at = lseek(ledger->fd, at, SEEK_DATA)) >= 0 && at < (off_t)KH_LEDGER_SIZE) {
        off_t end = lseek(ledger->fd, at, SEEK_HOLE), i;

        if (end <= at)
            break;
        for (i = at / KH_LEDGER_CHUNK; i <= (end - 1) / KH_LEDGER_CHUNK; i++)
            kh_ledger_reach(ledger, (size_t)i * KH_LEDGER_CHUNK, 1);
        at = end;
    }
}

static bool
is_ours(const struct kh_ledger *ledger)
{
    const struct head *head = (const struct head *)ledger->base;

    return head->magic == MAGIC && head->version == LEDGER_VERSION &&
           head->kernel_size == sizeof(struct kh_ledger_kernel) &&
           head->connection_size == sizeof(struct kh_ledger_connection) &&
           head->request_size == sizeof(struct kh_ledger_request);
}

static void
write_head(struct kh_ledger *ledger)
{
    struct head *head = (struct head *)ledger->base;

    *head = (struct head){.magic = MAGIC,
                          .version = LEDGER_VERSION,
                          .kernel_size = sizeof(struct kh_ledger_kernel),
                          .connection_size = sizeof(struct kh_ledger_connection),
                          .request_size = sizeof(struct kh_ledger_request)};
}

static struct kh_ledger_kernel *
kernel_at(const struct kh_ledger *ledger, uint32_t index)
{
    return (struct kh_ledger_kernel *)(ledger->base + KH_LEDGER_KERNELS_AT) + index;
}

bool
kh_ledger_has(const struct kh_ledger *ledger, size_t at)
{
    return atomic_load(&ledger->had[at / KH_LEDGER_CHUNK]);
}

static void
bound_texts(struct kh_ledger_kernel *kernel)
{
    kernel->name[sizeof(kernel->name) - 1] = '\0';
    kernel->id[sizeof(kernel->id) - 1] = '\0';
    kernel->language[sizeof(kernel->language) - 1] = '\0';
    kernel->life[0].session[KH_UUID_SIZE - 1] = '\0';
    kernel->life[1].session[KH_UUID_SIZE - 1] = '\0';
}

static void
load_kernels(struct kh_ledger *ledger)
{
    size_t size = sizeof(struct kh_ledger_kernel);
    uint32_t i;

    for (i = 0; i < KH_LEDGER_KERNELS; i++)
        if (kh_ledger_has(ledger, KH_LEDGER_KERNELS_AT + (i + 1) * size - 1) &&
            kernel_at(ledger, i)->used) {
            bound_texts(kernel_at(ledger, i));
            ledger->kernel_end = i + 1;
        }
}

struct kh_ledger *
kh_ledger_open(int fd, struct kh_error *err)
{
    struct kh_ledger *ledger = kh_xcalloc(1, sizeof(*ledger));
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    struct stat st;

    ledger->fd = fd;
    if (fd >= 0 &&
        (fstat(fd, &st) < 0 ||
         (st.st_size != (off_t)KH_LEDGER_SIZE &&
          (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)KH_LEDGER_SIZE) < 0)))) {
        kh_fail_errno(err, "cannot make the ledger");
        free(ledger);
        return NULL;
    }
    ledger->base = mmap(NULL, KH_LEDGER_SIZE, PROT_READ | PROT_WRITE,
                        flags | MAP_NORESERVE, fd, 0);
    if (ledger->base == MAP_FAILED) {
        kh_fail_errno(err, "cannot map the ledger");
        free(ledger);
        return NULL;
    }
    if (!kh_ledger_reach(ledger, 0, KH_LEDGER_PAGE)) {
        kh_fail_errno(err, "cannot make the ledger");
        kh_ledger_free(ledger);
        return NULL;
    }
    find_chunks(ledger);
    if (is_ours(ledger)) {
        load_kernels(ledger);
        kh_ledger_load_requests(ledger);
    } else {
        if (fd >= 0 && (ftruncate(fd, KH_LEDGER_PAGE) < 0 ||
                        ftruncate(fd, (off_t)KH_LEDGER_SIZE) < 0)) {
            kh_fail_errno(err, "cannot empty the ledger");
            kh_ledger_free(ledger);
            return NULL;
        }
        memset((void *)ledger->had, 0, sizeof(ledger->had));
        kh_ledger_reach(ledger, 0, KH_LEDGER_PAGE);
        write_head(ledger);
    }
    return ledger;
}

void
kh_ledger_free(struct kh_ledger *ledger)
{
    if (!ledger)
        return;
    munmap(ledger->base, KH_LEDGER_SIZE);
    free(ledger);
}

void
kh_ledger_leave(struct kh_ledger *ledger)
{
    ledger->left = true;
}

bool
kh_ledger_left(const struct kh_ledger *ledger)
{
    return ledger->left;
}

struct kh_ledger_kernel *
kh_ledger_kernel(struct kh_ledger *ledger, uint32_t index)
{
    if (index >= ledger->kernel_end || !kernel_at(ledger, index)->used)
        return NULL;
    return kernel_at(ledger, index);
}

struct kh_ledger_kernel *
kh_ledger_find(struct kh_ledger *ledger, const struct kh_broker_reply *sandbox,
               uint32_t number)
{
    uint32_t i;

    for (i = 0; i < ledger->kernel_end; i++) {
        struct kh_ledger_kernel *kernel = kernel_at(ledger, i);

        if (kernel->used && kernel->number == number &&
            !memcmp(kernel->sandbox, sandbox->id, KH_ID_SIZE) &&
            !strncmp(kernel->name, sandbox->name, KH_NAME_SIZE))
            return kernel;
    }
    return NULL;
}

static struct kh_ledger_kernel *
free_kernel(struct kh_ledger *ledger)
{
    size_t size = sizeof(struct kh_ledger_kernel);
    uint32_t i = ledger->kernel_first;

    while (i < ledger->kernel_end && kernel_at(ledger, i)->used)
        i++;
    if (i == KH_LEDGER_KERNELS ||
        !kh_ledger_reach(ledger, KH_LEDGER_KERNELS_AT + i * size, size))
        return NULL;
    ledger->kernel_first = i + 1;
    if (i >= ledger->kernel_end)
        ledger->kernel_end = i + 1;
    return kernel_at(ledger, i);
}

static bool
is_inside(const struct kh_ledger *ledger, const struct kh_ledger_kernel *kernel)
{
    return kernel >= kernel_at(ledger, 0) &&
           kernel < kernel_at(ledger, KH_LEDGER_KERNELS);
}

uint32_t
kh_ledger_index(const struct kh_ledger *ledger, const struct kh_ledger_kernel *kernel)
{
    return is_inside(ledger, kernel) ? (uint32_t)(kernel - kernel_at(ledger, 0))
                                     : KH_LEDGER_KERNELS;
}

struct kh_ledger_kernel *
kh_ledger_add(struct kh_ledger *ledger, const struct kh_broker_reply *sandbox,
              uint32_t number, const char *id, const char *language)
{
    struct kh_ledger_kernel *kernel = free_kernel(ledger);

    if (!kernel)
        kernel = kh_xcalloc(1, sizeof(*kernel));
    memset(kernel, 0, sizeof(*kernel));
    kernel->number = number;
    memcpy(kernel->sandbox, sandbox->id, KH_ID_SIZE);
    snprintf(kernel->name, sizeof(kernel->name), "%s", sandbox->name);
    snprintf(kernel->id, sizeof(kernel->id), "%s", id);
    snprintf(kernel->language, sizeof(kernel->language), "%s", language);
    atomic_signal_fence(memory_order_seq_cst); /* used only when whole */
    kernel->used = 1;
    return kernel;
}

void
kh_ledger_drop(struct kh_ledger *ledger, struct kh_ledger_kernel *kernel)
{
    struct kh_ledger_request *request;

    if (!kernel || (ledger->left && is_inside(ledger, kernel)))
        return;
    if (!is_inside(ledger, kernel)) {
        free(kernel);
        return;
    }
    while ((request = kh_ledger_next(ledger, kernel, NULL)))
        kh_ledger_erase(ledger, request);
    kernel->used = 0;
    if (kh_ledger_index(ledger, kernel) < ledger->kernel_first)
        ledger->kernel_first = kh_ledger_index(ledger, kernel);
}
