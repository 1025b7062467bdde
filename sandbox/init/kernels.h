/* kernels: the table of the sandbox's kernels, by number. */
#ifndef KH_INIT_KERNELS_H
#define KH_INIT_KERNELS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/init/kernel.h"

/* The slot of NUMBER, made when it is first asked for and never freed; NULL
 * when NUMBER is not 1..KH_KERNELS_MAX. */
struct kh_kernel *kh_kernels_slot(uint32_t number);

/* The slot with the lowest number above NUMBER that was ever used, or NULL. */
struct kh_kernel *kh_kernels_after(uint32_t number);

/* A process was reaped: a runner, a checkpoint, or none of ours. */
void kh_kernels_ended(pid_t pid, int status);

uint64_t kh_kernels_due(void);
void kh_kernels_tick(uint64_t now);

/* The sandbox is a copy: tells every runner, with random bytes of its own, and FLAGS of
 * RESEED. */
void kh_kernels_reseed(unsigned flags);

/* Whether a runner, or a checkpoint, forks another one at this moment. */
bool kh_kernels_fork(void);

/* SIGKILL to every session; for the end of init in tests. */
void kh_kernels_kill_all(void);

#endif
