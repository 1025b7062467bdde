#include "kernelhost/gateway/room.h"

#include <errno.h>

#include "base/room.h"

int
kh_room_need(unsigned count, struct kh_error *err)
{
    unsigned used, max, keep = KH_ROOM_KEEP;

    kh_room_descriptors(&used, &max);
    if (keep > max / 4)
        keep = max / 4;
    if (used + count + keep <= max)
        return 0;
    return kh_fail(
        err, EMFILE,
        "the gateway has %u of %u descriptors open, and keeps %u for clients "
        "(hint: remove sandboxes, or start the host with a larger ulimit "
        "-Hn)",
        used, max, keep);
}
