/* child: what the first process of a sandbox does between clone and exec.
 *
 * It runs as PID 1 of the new namespaces with a copy of kernelhostd's memory,
 * so it makes system calls only: no allocation, no stdio, no lock. Everything
 * it needs was computed before (plan.h). */
#ifndef KH_HOST_CHILD_H
#define KH_HOST_CHILD_H

#include "sandbox/host/plan.h"

/* One byte from kernelhostd lets the child go on; its own last word is one byte
 * KH_CHILD_READY, written by kernelhost-init once it listens, or a whole struct
 * kh_error. */
#define KH_CHILD_GO    'G'
#define KH_CHILD_READY 'R'

/* Waits for the go on SOCKET, then sets up and execs kernelhost-init with a copy
 * of SOCKET as descriptor 3. Never returns; on failure it sends the error and
 * exits. */
void kh_child_run(const struct kh_plan *plan, int socket) __attribute__((noreturn));

#endif
