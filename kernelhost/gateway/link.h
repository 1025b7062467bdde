/* link: the stream between the gateway and one sandbox's kernelhost-init.
 *
 * Carries the frames of protocol/link/init.h. The sandbox is hostile after its
 * first cell: what comes in is bounded by the frame format and handed on as
 * slices; the first violation, here or in the owner's handler, closes the link
 * and nothing else. What goes out waits in a bounded buffer while init does not
 * read.
 */
#ifndef KH_GATEWAY_LINK_H
#define KH_GATEWAY_LINK_H

#include "kernelhost/gateway/loop.h"
#include "protocol/link/frame.h"

struct kh_link;

/* Unsent bytes at which kh_link_room says no, and at which the link closes. */
#define KH_LINK_OUT_SOFT (KH_FRAME_MAX + 16u * 1024 * 1024)
#define KH_LINK_OUT_HARD (2u * KH_FRAME_MAX + 32u * 1024 * 1024)

struct kh_link_events {
    /* One frame; its slices are valid during the call. A negative result with
     * *ERR set closes the link. The handler may free the link. */
    int (*frame)(void *arg, const struct kh_frame *frame, struct kh_error *err);
    /* All whole frames that had arrived were handed on. */
    void (*batch)(void *arg);
    /* The link is closed, by the peer or by an error; called once, never from
     * inside a call of the owner's, and not after kh_link_free. */
    void (*closed)(void *arg, const struct kh_error *why);
    void *arg;
};

/* Takes FD, a connected stream socket. */
struct kh_link *kh_link_new(struct kh_loop *loop, int fd,
                            const struct kh_link_events *events, struct kh_error *err);
void kh_link_free(struct kh_link *link);

/* True when SIZE more bytes may be queued without crowding the link. */
bool kh_link_room(const struct kh_link *link, size_t size);

/* Queues a frame and sends what the socket takes. Fails with -EMSGSIZE for a
 * frame over the limits and -EPIPE when the link is closed. */
int kh_link_send(struct kh_link *link, const struct kh_frame *frame,
                 struct kh_error *err);

#endif
