/* jail: what the child that unpacks gives up before it reads the first byte. */
#ifndef KH_ARCHIVE_JAIL_H
#define KH_ARCHIVE_JAIL_H

#include "base/error.h"

/* Keeps the three descriptors (their numbers change) and no other; *DIR becomes the
 * root directory. What is left: five capabilities over files, and the system calls of
 * making them. Fails closed. */
int kh_jail_enter(int *in, int *result, int *dir, struct kh_error *err);

#endif
