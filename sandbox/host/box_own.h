/* box_own: the inside of boxes: box.c (their life), the other box_*.c, hibernate.c and
 * wake*.c. Nobody else includes it.
 */
#ifndef KH_HOST_BOX_OWN_H
#define KH_HOST_BOX_OWN_H

#include "sandbox/host/box.h"
#include "sandbox/host/plan.h"

/* A box of RECORD, stopped, in the host's table. */
struct kh_box *kh_box_new(struct kh_host *host, const struct kh_record *record);

/* Ids for it to run with, and back when its processes have ended. */
void kh_box_give_ids(struct kh_host *host, struct kh_box *box);

/* Everything that can be wrong is found here, before a process exists. */
int kh_box_plan(struct kh_host *host, struct kh_box *box, struct kh_plan **ret_plan,
                struct kh_error *err);

/* Starts it from its disk. */
int kh_box_begin(struct kh_host *host, struct kh_box *box, struct kh_error *err);

/* Writes down which process its PID 1 is; and that it runs. */
int kh_box_note_birth(struct kh_host *host, struct kh_box *box, pid_t pid,
                      uint32_t id_first, struct kh_error *err);
void kh_box_set_running(struct kh_host *host, struct kh_box *box);

/* It is neither SAVING nor WAKING any more: does what was asked meanwhile. */
void kh_box_catch_up(struct kh_box *box);

/* One that is `fresh` gets an identity of its own, before it goes on; one that was
 * rolled back draws other secrets; or goes, with all it has. */
void kh_box_be_born(struct kh_box *box, int pidfd);
void kh_box_be_again(struct kh_box *box, int pidfd);
void kh_box_discard(struct kh_box *box);

/* Its PID 1 has ended. */
void kh_box_init_ended(struct kh_process *process, int status);

#endif
