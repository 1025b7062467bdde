/* admission: whether one more sandbox fits onto this host.
 *
 * Asked by kernelhostd before a sandbox is made or started, so that what cannot be is
 * refused in words, with nothing half made, instead of failing in the middle or taking
 * the machine down. Limits of sandboxes may together be more than the machine has
 * (most of them idle); what is watched is what is really left, less a reserve, less
 * what sandboxes that began a moment ago have not taken yet.
 */
#ifndef KH_HOST_ADMISSION_H
#define KH_HOST_ADMISSION_H

#include <stdint.h>

#include "base/error.h"
#include "base/room.h"

/* What a sandbox is expected to take soon after its start. */
#define KH_ADMISSION_MEMORY (16ull * 1024 * 1024)
#define KH_ADMISSION_TASKS  8u

/* What is left alone: tasks (or a sixteenth, if that is less), descriptors of
 * kernelhostd, disk (or a twentieth) and inodes (or a twentieth). */
#define KH_ADMISSION_KEEP_TASKS       1024u
#define KH_ADMISSION_KEEP_DESCRIPTORS 128u
#define KH_ADMISSION_KEEP_DISK        (512ull * 1024 * 1024)
#define KH_ADMISSION_KEEP_INODES      4096u

struct kh_admission {
    uint64_t reserve; /* bytes of memory kept free; 0: kh_room_reserve */
    unsigned max;     /* sandboxes that run at once */
    uint64_t recent;  /* starts of the last seconds, halved every second */
    int64_t second;   /* when `recent` was last halved */
};

/* What there is, for the decision. */
struct kh_admission_facts {
    struct kh_room room;
    struct kh_room_disk disk;
    unsigned descriptors, descriptors_max;
    unsigned running;
    uint64_t need; /* bytes of memory that it brings along; 0: a new one */
};

/* 0 when one more fits. Else which resource ran out, the figures and the cure:
 * -EUSERS (sandboxes, tasks), -ENOMEM, -EMFILE, -ENOSPC (disk, inodes). Pure. */
int kh_admission_judge(const struct kh_admission *admission,
                       const struct kh_admission_facts *facts, struct kh_error *err);

/* Reads the facts (STATE: the open state directory) and judges; if one more fits, it
 * counts as begun. */
int kh_admission_check(struct kh_admission *admission, int state, unsigned running,
                       struct kh_error *err);

/* The same in two steps, for who asks about several at once: reads the facts, all but
 * `running` and `need`; and judges by them. */
int kh_admission_read(int state, struct kh_admission_facts *ret_facts,
                      struct kh_error *err);
int kh_admission_take(struct kh_admission *admission,
                      const struct kh_admission_facts *facts, struct kh_error *err);

#endif
