/* store_own: the inside of the store, shared by store.c (directories and records) and
 * store_disk.c (what sandboxes write). Nobody else includes it.
 */
#ifndef KH_HOST_STORE_OWN_H
#define KH_HOST_STORE_OWN_H

#include "sandbox/host/store.h"

/* The directory of sandbox ID goes to the trash, its disk at once. */
int kh_store_put_into_trash(struct kh_store *store, const char *id);

#endif
