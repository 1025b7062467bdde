/* place: where a host keeps snapshots, as kernelhost-snapshot sees it: the records in
 * its state directory, and the disk, which is attached in kernelhostd's own mount
 * namespace only.
 *
 * An archive is unpacked beside the snapshots, under STATE/snapshots/import.ID and a
 * subvolume that nobody knows; kernelhostd makes a snapshot of the two when it is asked
 * to (snapshot_adopt.c), and what is not asked for goes at its next start.
 */
#ifndef KH_ARCHIVE_PLACE_H
#define KH_ARCHIVE_PLACE_H

#include "sandbox/host/snapshot.h"

struct kh_place {
    const char *path;
    int state, snapshots, images;
    int disk; /* its directory; -1: not opened */
};

/* Opens the state directory PATH. -EHOSTDOWN when no kernelhostd runs on it; -ENOTSUP
 * when that one has no disk. */
int kh_place_open(const char *path, struct kh_place *ret_place, struct kh_error *err);
void kh_place_close(struct kh_place *place);

/* The record of the snapshot NAME. -ENOENT with the cure. */
int kh_place_find(const struct kh_place *place, const char *name,
                  struct kh_snapshot_record *ret_record, struct kh_error *err);

/* An import that is under way. */
struct kh_import {
    struct kh_snapshot_record record; /* to be filled in; the id is there */
    char id[KH_ID_TEXT];
    char directory[KH_ID_TEXT + 8]; /* in snapshots */
    int disk;
};

/* Makes both places, the disk of at most BYTES. */
int kh_import_begin(const struct kh_place *place, uint64_t bytes,
                    struct kh_import *ret_import, struct kh_error *err);

/* Writes the record, when all is unpacked, and sees that it is on the disk. */
int kh_import_finish(const struct kh_place *place, struct kh_import *import,
                     struct kh_error *err);

/* Removes both places of ID; one that kernelhostd has made a snapshot of stays. */
void kh_import_undo(const struct kh_place *place, const char *id);

#endif
