#include "kernelhost/gateway/zmtp.h"

#include <string.h>

#define GREETING  64
#define SIGNATURE 10

#define FLAG_MORE    1u
#define FLAG_LONG    2u
#define FLAG_COMMAND 4u

#define DELIMITER  "<IDS|MSG>"
#define MSG_ID     "{\"msg_id\":\""
#define MSG_ID_LEN 11
#define SESSION    36

static const unsigned char signature[SIGNATURE] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f};

bool
kh_zmtp_begins(const void *data, size_t size)
{
    return size >= SIGNATURE && !memcmp(data, signature, SIGNATURE);
}

/* {"msg_id":"SESSION_123" */
static uint64_t
position_in(const char *head, size_t size)
{
    size_t at = MSG_ID_LEN + SESSION;
    uint64_t position = 0;

    if (size <= at + 1 || memcmp(head, MSG_ID, MSG_ID_LEN) || head[at] != '_')
        return 0;
    for (at++; at < size && head[at] >= '0' && head[at] <= '9'; at++)
        position = 10 * position + (uint64_t)(head[at] - '0');
    return at < size && head[at] == '"' ? position : 0;
}

/* The frame is whole. Returns whether the message is. */
static bool
end_frame(struct kh_zmtp *zmtp)
{
    bool delimiter = zmtp->length == sizeof(DELIMITER) - 1 &&
                     !memcmp(zmtp->head, DELIMITER, sizeof(DELIMITER) - 1);

    zmtp->in_body = false;
    zmtp->length_got = 0;
    if (zmtp->flags & FLAG_COMMAND) {
        zmtp->flags = 0;
        return false;
    }
    if (zmtp->headed && --zmtp->headed == 0)
        zmtp->position = position_in(zmtp->head, zmtp->kept);
    else if (!zmtp->headed && !zmtp->position && delimiter)
        zmtp->headed = 2;
    if (zmtp->flags & FLAG_MORE)
        return false;
    zmtp->headed = 0;
    return true;
}

/* Takes bytes of a frame's content. Returns how many. */
static size_t
take_body(struct kh_zmtp *zmtp, const char *at, size_t left)
{
    uint64_t missing = zmtp->length - zmtp->body_got;
    size_t piece = missing < left ? (size_t)missing : left;
    size_t room = KH_ZMTP_HEAD - zmtp->kept;
    size_t keep = piece < room ? piece : room;

    memcpy(zmtp->head + zmtp->kept, at, keep);
    zmtp->kept += (uint32_t)keep;
    zmtp->body_got += piece;
    return piece;
}

/* Takes a byte of what comes before the content. */
static void
take_lead(struct kh_zmtp *zmtp, unsigned char byte)
{
    uint8_t wanted;

    if (!zmtp->length_got) {
        zmtp->flags = byte;
        zmtp->lost = byte & ~(FLAG_MORE | FLAG_LONG | FLAG_COMMAND);
        zmtp->length = 0;
        zmtp->length_got = 1;
        return;
    }
    wanted = zmtp->flags & FLAG_LONG ? 9 : 2;
    zmtp->length = zmtp->length << 8 | byte;
    if (++zmtp->length_got < wanted)
        return;
    zmtp->in_body = true;
    zmtp->body_got = 0;
    zmtp->kept = 0;
}

static size_t
take_greeting(struct kh_zmtp *zmtp, const unsigned char *at, size_t left)
{
    size_t piece = GREETING - zmtp->greeting;

    if (piece > left)
        piece = left;
    /* The byte behind the signature is the version. */
    if (zmtp->greeting <= SIGNATURE && zmtp->greeting + piece > SIGNATURE &&
        at[SIGNATURE - zmtp->greeting] < 3)
        zmtp->lost = true;
    zmtp->greeting += (uint32_t)piece;
    return piece;
}

size_t
kh_zmtp_scan(struct kh_zmtp *zmtp, const void *data, size_t size,
             struct kh_zmtp_end *ends, size_t max, size_t *ret_count)
{
    const char *start = data, *at = start, *end = start + size;
    size_t count = 0;

    while (at < end && !zmtp->lost) {
        if (zmtp->greeting < GREETING) {
            at += take_greeting(zmtp, (const unsigned char *)at, (size_t)(end - at));
            continue;
        }
        if (zmtp->in_body)
            at += take_body(zmtp, at, (size_t)(end - at));
        else
            take_lead(zmtp, (unsigned char)*at++);
        if (!zmtp->in_body || zmtp->body_got < zmtp->length || !end_frame(zmtp))
            continue;
        if (zmtp->position)
            ends[count++] = (struct kh_zmtp_end){.offset = (uint32_t)(at - start),
                                                 .position = zmtp->position};
        zmtp->position = 0;
        if (count == max)
            break;
    }
    *ret_count = count;
    return zmtp->lost ? size : (size_t)(at - start);
}
