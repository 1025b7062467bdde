/* frame: the unit in which our own processes talk over stream sockets.
 *
 * One framing for two protocols: gateway <-> init (doc/PROTOCOL.init) and
 * init <-> runner (doc/PROTOCOL.runner). Little-endian:
 *
 *     u32 size      bytes that follow this field
 *     u16 type      enum kh_init_type or enum kh_runner_type
 *     u16 flags     meaning depends on type
 *     u32 kernel    kernel number inside the sandbox, 0 where none
 *     u64 id        request or process id, 0 where none
 *     u64 seq       journal number, or as the type says, else 0
 *     u32 count     number of slices, at most KH_FRAME_SLICES_MAX
 *     u32 length[count]
 *     bytes         the slices one after the other, nothing behind them
 *
 * The bytes come from a process that may be hostile: everything is checked
 * here, and a frame that does not fit ends the connection. Pure: no I/O.
 */
#ifndef KH_LINK_FRAME_H
#define KH_LINK_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define KH_FRAME_HEAD       32                  /* bytes before length[] */
#define KH_FRAME_MAX        (64u * 1024 * 1024) /* largest whole frame */
#define KH_FRAME_SLICES_MAX 256u

struct kh_slice {
    const void *data; /* borrowed; NULL only when size is 0 */
    size_t size;
};

struct kh_frame {
    uint16_t type;
    uint16_t flags;
    uint32_t kernel;
    uint64_t id;
    uint64_t seq;
    uint32_t count;
    struct kh_slice slice[KH_FRAME_SLICES_MAX];
};

/* A slice over a C string, without its NUL. */
struct kh_slice kh_slice_text(const char *s);

/* Bytes the frame takes on the wire, or 0 when it would exceed a limit. */
size_t kh_frame_size(const struct kh_frame *frame);

/* Appends the frame to OUT. Returns 0, or -EMSGSIZE when it exceeds
 * KH_FRAME_MAX or KH_FRAME_SLICES_MAX (nothing is appended then). */
int kh_frame_encode(const struct kh_frame *frame, struct kh_buf *out,
                    struct kh_error *err);

/* Looks at SIZE bytes at DATA. Returns the length of the first whole frame and
 * fills *ret_frame (slices point into DATA); 0 when more bytes are needed;
 * -EBADMSG or -EMSGSIZE when no continuation can make it valid (the caller
 * ends the connection). */
long kh_frame_decode(const void *data, size_t size, struct kh_frame *ret_frame,
                     struct kh_error *err);

#endif
