/* join: a zygote's child on its way into a sandbox.
 *
 *     kernelhostd                         the child (sandbox/runner/zygote/join.c)
 *                            <------ H    is there: the kernel says which process
 *       moves it to the cgroups
 *       G                    ------>      joins the namespaces, is forked inside,
 *                                         connects to init, gives up everything
 *                            <------ R    from the runner: the kernel says which
 *       looks at it
 *       G                    ------>      goes on
 *
 * It does not block: the host's loop goes on meanwhile. A child that is not what it
 * must be is killed and its zygote condemned; so is one whose children are late, or
 * end, three times in a row. In a sandbox where others than the zygote may have run
 * code, none of that is held against the zygote, but the sandbox: after three of them
 * no more are sent there until it is started again.
 */
#ifndef KH_HOST_JOIN_H
#define KH_HOST_JOIN_H

#include "sandbox/host/box.h"

#define KH_JOIN_TIMEOUT_MS 5000
#define KH_JOIN_TURN_MS    50 /* more for each that is before it */

struct kh_join;

/* Begins. DONE is called once, later: with code 0 when a confined runner waits in
 * init. -EAGAIN when the image has no zygote that is ready (DONE is not called). */
int kh_join_begin(struct kh_box *box,
                  void (*done)(void *owner, const struct kh_error *err), void *owner,
                  struct kh_error *err);

/* The sandbox has ended: DONE is called with -ECANCELED for each that is under way. */
void kh_join_cancel(struct kh_box *box);

#endif
