/* criu: the program that writes processes into files and makes them again.
 *
 * CRIU must fit the kernel, and that of a distribution often does not: so a copy with
 * the libraries and the loader of its own may lie in a directory beside our programs
 * (./dev puts it there), and only without that the system's is used. It is run as a
 * program, by a child of kernelhostd that has given itself the effective id of who owns
 * the sandbox's user namespace, and kept its capabilities: what is done to processes in
 * there (prlimit) is then its right whatever root may do on this machine.
 *
 * CRIU looks into hostile processes and reads what it wrote itself; it never sees
 * anything that came over a network. See criu(8).
 */
#ifndef KH_HOST_CRIU_H
#define KH_HOST_CRIU_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct kh_criu {
    char program[PATH_MAX];
    char loader[PATH_MAX]; /* "": the system's */
    char libraries[PATH_MAX];
    char hook[PATH_MAX];
};

/* Finds it in DIR (usr/sbin/criu with usr/lib64/ld-linux-x86-64.so.2) or in the
 * system; HOOK is what it runs at the stages of a restore (hook.h). -ENOENT with the
 * cure when there is none. */
int kh_criu_find(const char *dir, const char *hook, struct kh_criu *ret_criu,
                 struct kh_error *err);

/* In a child: has CRIU find out what the kernel can, once after each start of the
 * machine, and keeps that where every later run finds it. Without it CRIU takes sockets
 * that are bound to files for deleted ones. Fails, with what CRIU says, on a kernel
 * that it cannot work with. */
int kh_criu_learn(const struct kh_criu *criu, struct kh_error *err);

/* In a child that has a mount namespace of its own: the same for a run as root, which
 * looks in /run. */
void kh_criu_remember(const struct kh_criu *criu, const char *avoid);

/* In a child: takes OWNER's effective id and executes it with ARGS (ends with NULL),
 * log and images in the directory IMAGES. Descriptor 3 is HOOK_FD, or closed for -1;
 * no other is open. Returns only on failure. */
int kh_criu_exec(const struct kh_criu *criu, uint32_t owner, const char *images,
                 const char *const *args, int hook_fd, struct kh_error *err);

/* The first error in the text LOG, which is taken apart, in one line of at most SIZE
 * bytes; "" when there is none. What is in it may come from a sandbox: it is cleaned.
 * Pure. */
void kh_criu_cause(char *log, char *out, size_t size);

/* The same of the file LOG in the directory DIR. */
void kh_criu_reason(int dir, const char *log, char *out, size_t size);

#endif
