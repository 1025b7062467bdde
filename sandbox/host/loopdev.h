/* loopdev: a file as a block device.
 *
 * The device frees itself when its last user (a mount, in whatever namespace) goes.
 */
#ifndef KH_HOST_LOOPDEV_H
#define KH_HOST_LOOPDEV_H

#include "base/error.h"

#define KH_LOOPDEV_SIZE 32

/* Puts the path of the device of the file open at FILE into RET_PATH: the one that it
 * has already, which sandboxes of an earlier kernelhostd may still have mounted, or
 * a new one. Returns the open device: hold it until it is mounted. */
int kh_loopdev_attach(int file, char ret_path[KH_LOOPDEV_SIZE], struct kh_error *err);

#endif
