#include "sandbox/init/feed.h"

#include <errno.h>
#include <unistd.h>

static size_t all_waiting;

static void
write_some(struct kh_feed *feed)
{
    struct kh_buf *waiting = &feed->waiting;
    ssize_t n = 1;

    while (n > 0 && kh_buf_len(waiting)) {
        n = write(feed->source.fd, kh_buf_ptr(waiting), kh_buf_len(waiting));
        if (n > 0) {
            kh_buf_consume(waiting, (size_t)n);
            all_waiting -= (size_t)n;
        } else if (errno != EAGAIN && errno != EINTR) {
            kh_feed_close(feed); /* nobody reads it any more */
        }
    }
    if (feed->ended && !kh_buf_len(waiting))
        kh_source_close(&feed->source);
    kh_source_watch(&feed->source, kh_buf_len(waiting) ? EPOLLOUT : 0);
}

static void
feed_ready(struct kh_source *source, uint32_t events)
{
    (void)events;
    write_some(source->owner);
}

void
kh_feed_open(struct kh_feed *feed, int fd)
{
    *feed = (struct kh_feed){0};
    kh_source_open(&feed->source, fd, feed_ready, feed);
}

int
kh_feed_add(struct kh_feed *feed, const void *p, size_t size, struct kh_error *err)
{
    if (feed->source.fd < 0 || feed->ended)
        return 0;
    if (size > KH_FEED_MAX - all_waiting)
        return kh_fail(err, ENOBUFS, "more than %u bytes of input wait", KH_FEED_MAX);
    kh_buf_add(&feed->waiting, p, size);
    all_waiting += size;
    write_some(feed);
    return 0;
}

void
kh_feed_end(struct kh_feed *feed)
{
    feed->ended = true;
    write_some(feed);
}

void
kh_feed_close(struct kh_feed *feed)
{
    kh_source_close(&feed->source);
    all_waiting -= kh_buf_len(&feed->waiting);
    kh_buf_release(&feed->waiting);
}
