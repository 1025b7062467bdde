/* tune: settings of the machine that a host of many sandboxes needs.
 *
 * Each is only ever raised, told in the log when it was, and worked without when it
 * cannot be: nothing here is part of the confinement.
 *
 *   favordynmods   without it the kernel waits for an RCU grace period (10 ms) when
 *                  a process is moved to another control group. Documentation/
 *                  admin-guide/cgroup-v2.rst
 *   inotify        instances and watches are counted against who owns a user
 *                  namespace, too: sandboxes of one image have one owner
 *                  (zygote.h). Each has a limit of its own (child.c). inotify(7)
 */
#ifndef KH_HOST_TUNE_H
#define KH_HOST_TUNE_H

void kh_tune_host(void);

#endif
