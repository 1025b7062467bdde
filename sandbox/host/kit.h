/* kit: the read-only layer that brings kernelhost-init and the runners inside.
 *
 * Installed as files under KH_KITDIR, copied once a version into STATE/kit/HASH,
 * where the sandboxes' overlays take it from: what runs inside never shares an
 * inode with the host's own files. It also brings /workspace and the user's
 * home, and /.kernelhost/run, which only init may enter. */
#ifndef KH_HOST_KIT_H
#define KH_HOST_KIT_H

#include <stdbool.h>

#include "sandbox/host/store.h"

/* Makes sure that the kit of SOURCE (a directory path) is in the store. Returns
 * an open directory of it, and its version. */
int kh_kit_open(const struct kh_store *store, const char *source,
                char ret_version[KH_KIT_SIZE], struct kh_error *err);

/* Fails when SOURCE is no whole kit; changes nothing. */
int kh_kit_check(const char *source, struct kh_error *err);

/* Moves to the trash what is in the store besides the versions of which KEEP says
 * true: those that are current or that a running sandbox stands on. */
void kh_kits_sweep(const struct kh_store *store,
                   bool (*keep)(void *arg, const char *version), void *arg);

#endif
