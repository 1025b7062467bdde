/* plan: everything that starting one sandbox needs, computed and checked before
 * anything privileged happens.
 *
 * A plan is made from a record (store.h) and the host's facts. It holds open
 * directories, texts and numbers; executing it (spawn.h, rootfs.h) only makes
 * system calls. Nothing in it comes from inside a sandbox, and nothing but the
 * sandbox's name, image and limits from the gateway.
 */
#ifndef KH_HOST_PLAN_H
#define KH_HOST_PLAN_H

#include <linux/filter.h>
#include <stdint.h>

#include "base/clean.h"
#include "protocol/link/broker.h"

#define KH_LAYERS_MAX 64

struct kh_plan {
    char name[KH_NAME_SIZE];
    uint32_t id_first;        /* host id of uid 0 inside */
    uint32_t owner;           /* host id that owns the user namespace (zygote.h) */
    struct kh_limits limits;  /* complete: no zero left */
    int layer[KH_LAYERS_MAX]; /* directories, top first; the kit is layer 0 */
    int layers;
    int box; /* the sandbox's directory: upper/, work/; -1: a zygote's plan */
    const char *mount_point;         /* host path of an empty directory; borrowed */
    const struct sock_fprog *filter; /* compiled seccomp filter; borrowed */
    int64_t uptime;                  /* whole seconds the host has been up */
    int64_t boottime;                /* the same with the time it was suspended */
    char boot_id[40];                /* what /proc/sys/kernel/random/boot_id shows */
    char *cpuinfo;                   /* what /proc/cpuinfo, stat, meminfo show */
    char *stat;
    char *meminfo;
};

/* Starts an empty plan: every descriptor -1. */
struct kh_plan *kh_plan_new(const char *name, const struct kh_limits *limits);
void kh_plan_free(struct kh_plan *plan);
KH_DEFINE_CLEANUP(kh_plan)

/* Fills in the texts that stand in for the host's own numbers, from LIMITS and
 * the host's /proc. Fails when /proc cannot be read. */
int kh_plan_facts(struct kh_plan *plan, struct kh_error *err);

/* Replaces zeros by defaults and checks the rest against the host (memory,
 * processors). Text with the allowed range on -EINVAL. */
int kh_limits_check(struct kh_limits *limits, struct kh_error *err);

#endif
