/* fit: the layer that makes a foreign root filesystem fit for sandboxes.
 *
 * What a sandbox counts on and the image does not have: /workspace and a home for
 * uid 1000, a line for it in /etc/passwd and /etc/group, and the directories that
 * things are mounted on. Nothing that is there is changed but those two files. Runs
 * in the confined helper, for they are foreign. */
#ifndef KH_IMAGE_FIT_H
#define KH_IMAGE_FIT_H

#include "sandbox/image/unpack.h"

/* Adds what is missing to the layer UNPACK->root, which is on top of UNPACK->below. */
int kh_fit(struct kh_unpack *unpack, struct kh_error *err);

/* Pure: the text of a passwd or group file with the line LINE (whose third field is
 * "1000") behind it, or NULL when some line has that third field already. The
 * caller frees it. */
char *kh_fit_line(const char *text, const char *line);

#endif
