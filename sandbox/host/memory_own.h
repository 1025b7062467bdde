/* memory_own: what memory.c and memory_share.c have in common. */
#ifndef KH_HOST_MEMORY_OWN_H
#define KH_HOST_MEMORY_OWN_H

#include "sandbox/host/memory.h"

#define KH_MEMORY_NEW ".new" /* behind the name of what is not whole yet */

/* Opens NAME in STATE/memory. */
int kh_memory_at(const struct kh_store *store, const char *name);

/* Calls FN for every file in DIR until it fails. */
int kh_memory_each(int dir,
                   int (*fn)(int dir, const char *name, void *arg, struct kh_error *),
                   void *arg, struct kh_error *err);

#endif
