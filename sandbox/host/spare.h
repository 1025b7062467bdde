/* spare: sandboxes made ahead of need, each with a warm runner in it, so that a
 * create only gives one a name.
 *
 * A spare is a box that runs, with the limits a create has if it names none, under a
 * name that no gateway can send, and without a record: to everybody but this module
 * it does not exist, and a later kernelhostd finds it to be trash. Spares are made
 * one by one in the background, and within a share of one processor; a create that
 * finds none makes its sandbox itself.
 */
#ifndef KH_HOST_SPARE_H
#define KH_HOST_SPARE_H

#include "sandbox/host/box.h"

#define KH_SPARES_MAX     1000u
#define KH_SPARES_PERCENT 25 /* of a processor, for making them */
#define KH_SPARES_PAUSE   10 /* ms after a create before the next is made */

struct kh_spare_image {
    char id[KH_ID_TEXT]; /* "": none */
    uint64_t inode;      /* of the file that lists its layers */
    int64_t changed;     /* ns */
};

struct kh_spares {
    struct kh_host *host;
    unsigned wanted;
    unsigned count;              /* that run, the one in the making included */
    bool making;                 /* its runner is on its way */
    int64_t begun;               /* when it was begun, ns */
    struct kh_spare_image image; /* whose spares these are */
    struct kh_box *ready;        /* list by next_spare */
    int timer;
    struct kh_watch watch;
};

/* Begins to keep WANTED spares of the default image. */
int kh_spares_open(struct kh_host *host, unsigned wanted, struct kh_error *err);

/* Gives a spare the name, image and times of RECORD (its id and limits are the
 * spare's). Returns it, or NULL when none fits. The caller writes the record. */
struct kh_box *kh_spares_claim(struct kh_host *host, const struct kh_record *record);

/* A box that is a spare has ended. */
void kh_spares_ended(struct kh_box *box);

/* Makes no more. Those there are end as other boxes do. */
void kh_spares_close(struct kh_host *host);
void kh_spares_free(struct kh_host *host);

#endif
