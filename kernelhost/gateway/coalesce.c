#include "kernelhost/gateway/coalesce.h"

void
kh_coalesce_init(struct kh_coalesce *coalesce,
                 void (*emit)(void *arg, uint64_t request, enum kh_stream stream,
                              struct kh_slice text),
                 void *arg)
{
    *coalesce = (struct kh_coalesce){.emit = emit, .arg = arg};
}

void
kh_coalesce_release(struct kh_coalesce *coalesce)
{
    kh_buf_release(&coalesce->text);
}

static struct kh_utf8 *
cut_of(struct kh_coalesce *coalesce, enum kh_stream stream)
{
    return &coalesce->cut[stream == KH_STREAM_STDERR];
}

void
kh_coalesce_flush(struct kh_coalesce *coalesce, uint64_t now)
{
    size_t size = kh_buf_len(&coalesce->text);

    if (!size)
        return;
    coalesce->emit(coalesce->arg, coalesce->request, coalesce->stream,
                   (struct kh_slice){kh_buf_ptr(&coalesce->text), size});
    kh_buf_consume(&coalesce->text, size);
    coalesce->emitted = now;
    coalesce->any = true;
    coalesce->said = coalesce->end;
}

/* Text of another request or stream cannot share a message. */
static void
turn_to(struct kh_coalesce *coalesce, uint64_t now, uint64_t request,
        enum kh_stream stream)
{
    if (coalesce->request == request && coalesce->stream == stream)
        return;
    kh_coalesce_flush(coalesce, now);
    coalesce->request = request;
    coalesce->stream = stream;
}

/* A character that began in an earlier entry is said with the byte that ends it. */
static void
move_on(struct kh_coalesce *coalesce, enum kh_stream stream, size_t fed, size_t piece)
{
    size_t cut = cut_of(coalesce, stream)->count;

    coalesce->next += piece;
    if (fed >= cut)
        coalesce->end = coalesce->next - cut;
}

void
kh_coalesce_feed(struct kh_coalesce *coalesce, uint64_t now, uint64_t request,
                 enum kh_stream stream, struct kh_slice bytes)
{
    const char *at = bytes.data;
    size_t left = bytes.size;

    turn_to(coalesce, now, request, stream);
    while (left) {
        size_t room = KH_COALESCE_BYTES - kh_buf_len(&coalesce->text);
        size_t piece = left < room ? left : room;

        kh_utf8_feed(cut_of(coalesce, stream), (struct kh_slice){at, piece},
                     &coalesce->text);
        at += piece;
        left -= piece;
        move_on(coalesce, stream, (size_t)(at - (const char *)bytes.data), piece);
        if (kh_buf_len(&coalesce->text) >= KH_COALESCE_BYTES)
            kh_coalesce_flush(coalesce, now);
    }
    if (!coalesce->any || now - coalesce->emitted >= KH_COALESCE_MS)
        kh_coalesce_flush(coalesce, now);
}

void
kh_coalesce_end(struct kh_coalesce *coalesce, uint64_t now)
{
    static const enum kh_stream streams[] = {KH_STREAM_STDOUT, KH_STREAM_STDERR};
    size_t i;

    for (i = 0; i < 2; i++) {
        if (!cut_of(coalesce, streams[i])->count)
            continue;
        turn_to(coalesce, now, coalesce->request, streams[i]);
        kh_utf8_end(cut_of(coalesce, streams[i]), &coalesce->text);
        coalesce->end = coalesce->next;
    }
    kh_coalesce_flush(coalesce, now);
}

bool
kh_coalesce_waits(const struct kh_coalesce *coalesce)
{
    return kh_buf_len(&coalesce->text) || coalesce->cut[0].count ||
           coalesce->cut[1].count;
}

long
kh_coalesce_due(const struct kh_coalesce *coalesce, uint64_t now)
{
    if (!kh_buf_len(&coalesce->text))
        return -1;
    if (now - coalesce->emitted >= KH_COALESCE_MS)
        return 0;
    return (long)(KH_COALESCE_MS - (now - coalesce->emitted));
}
