/* tree: removing and copying directory trees on the host. */
#ifndef KH_HOST_TREE_H
#define KH_HOST_TREE_H

#include <stdint.h>

#include "base/error.h"

/* Removes everything inside the open directory DIR, links never followed.
 * Neither stack nor descriptors grow with the depth: a subdirectory that is not
 * empty is first moved up into DIR. DIR must be on one filesystem and nobody
 * else may be changing it. */
int kh_tree_empty(int dir, struct kh_error *err);

/* Copies files and directories below the open FROM into the open, empty TO:
 * owner root, directories 0755, files 0755 when the owner may execute them and
 * 0644 otherwise. Other kinds of file are refused. At most 16 levels. */
int kh_tree_copy(int from, int to, struct kh_error *err);

/* A hash over names and contents of what kh_tree_copy would copy (FNV-1a). */
int kh_tree_hash(int dir, uint64_t *ret_hash, struct kh_error *err);

#endif
