/* birth: by which a later kernelhostd knows the first process of a sandbox again.
 *
 * Written as sandboxes/ID/birth when a start has succeeded, before the gateway is
 * told, and removed when the sandbox is to end: who has a record and no birth is
 * stopped. It says which process it was, on this boot: it need not survive a power
 * cut, and so nothing waits for the disk. What it says is a claim like any other;
 * kh_birth_claim checks it against the kernel. Inside, nobody sees it.
 */
#ifndef KH_HOST_BIRTH_H
#define KH_HOST_BIRTH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/link/broker.h"
#include "sandbox/host/cgroup.h"

#define KH_BOOT_ID_SIZE 37 /* a UUID and its NUL */
#define KH_KIT_SIZE     17 /* 16 hex digits and a NUL */
#define KH_BIRTH_SIZE   256
#define KH_BIRTH_FILE   "birth"

struct kh_birth {
    char boot_id[KH_BOOT_ID_SIZE]; /* of the host, while it ran */
    char kit[KH_KIT_SIZE];         /* version of the kit it runs on */
    uint32_t pid;                  /* PID 1, as the host counts */
    uint64_t start_time;           /* field 22 of /proc/PID/stat */
    uint32_t slot;
    uint32_t id_first; /* host id of uid 0 inside */
    uint32_t zygote;   /* slot of the zygote that owns its user namespace, or none */
    uint64_t started;  /* seconds since 1970 */
    uint32_t init_version;     /* KH_INIT_VERSION of its kernelhost-init */
    uint64_t boot;             /* a number of each start's own; kept over hibernation */
    uint8_t place[KH_ID_SIZE]; /* of the record that it is of */
    uint32_t again;            /* 1: it is rolled back, and has not run since */
};

#define KH_BIRTH_NO_ZYGOTE UINT32_MAX

/* Fills in boot id and start time of PID, which the caller knows to exist. */
int kh_birth_note(struct kh_birth *birth, pid_t pid, struct kh_error *err);

/* The same of the file FILE in DIR; -ENOENT when there is none. */
int kh_birth_read(int dir, const char *file, struct kh_birth *ret_birth,
                  struct kh_error *err);

/* How many pid namespaces from ours down PID is in, and its number in the lowest. */
int kh_birth_levels(pid_t pid, long *ret_last, struct kh_error *err);

/* 0 when the gateway of this build speaks with the kernelhost-init of BIRTH; else
 * -EPROTO with both versions. */
int kh_birth_fits(const struct kh_birth *birth, struct kh_error *err);

/* The process of BIRTH, if it is still there. Returns a pidfd, or -ESRCH with the
 * reason when it has ended: another that got its number is not touched. -EPERM when
 * it is there, but not as the first process of sandbox ID must be; it is killed if it
 * is in the sandbox's cgroups. */
int kh_birth_claim(const struct kh_birth *birth, struct kh_cgroups *groups,
                   const char *id, struct kh_error *err);

/* Bytes to birth and back (pure). encode returns 0 when SIZE is below
 * KH_BIRTH_SIZE; decode: -EBADMSG with the reason when anything does not fit. */
size_t kh_birth_encode(const struct kh_birth *birth, void *out, size_t size);
int kh_birth_decode(const void *data, size_t size, struct kh_birth *ret_birth,
                    struct kh_error *err);

#endif
