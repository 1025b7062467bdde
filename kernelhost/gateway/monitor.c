#include "kernelhost/gateway/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#include "base/clean.h"
#include "base/mem.h"

/* A socket that is watched. Its key has the place in the table in its low half, and
 * in the other half a count, so that late events of an earlier one are nobody's. */
struct entry {
    void (*fn)(void *arg, unsigned event, int value); /* NULL: free */
    void *arg;
    uint32_t birth;
    uint32_t next_free; /* place + 1 */
};

struct kh_monitor {
    zsock_t *reader;
    struct kh_zwatch *watch;
    struct entry *entries;
    uint32_t size, first_free; /* place + 1 */
};

static struct entry *
entry_of(struct kh_monitor *monitor, uint64_t key)
{
    uint32_t place = (uint32_t)key;
    struct entry *entry = place < monitor->size ? &monitor->entries[place] : NULL;

    return entry && entry->fn && entry->birth == key >> 32 ? entry : NULL;
}

static uint64_t
add_entry(struct kh_monitor *monitor)
{
    uint32_t place, old = monitor->size;
    struct entry *entry;

    if (!monitor->first_free) {
        monitor->size = old ? 2 * old : 64;
        monitor->entries =
            kh_xrealloc(monitor->entries, monitor->size * sizeof(*monitor->entries));
        memset(monitor->entries + old, 0,
               (monitor->size - old) * sizeof(*monitor->entries));
        for (place = monitor->size; place > old; place--) {
            monitor->entries[place - 1].next_free = monitor->first_free;
            monitor->first_free = place;
        }
    }
    place = monitor->first_free - 1;
    entry = &monitor->entries[place];
    monitor->first_free = entry->next_free;
    entry->birth++;
    return (uint64_t)entry->birth << 32 | place;
}

static void
drop_entry(struct kh_monitor *monitor, struct entry *entry)
{
    entry->fn = NULL;
    entry->next_free = monitor->first_free;
    monitor->first_free = (uint32_t)(entry - monitor->entries) + 1;
}

/* Three frames: whose it is, then u16 event and u32 value, then the endpoint. */
static void
tell(struct kh_monitor *monitor, zmsg_t *message)
{
    zframe_t *whose = zmsg_first(message), *what = zmsg_next(message);
    struct entry *entry;
    uint16_t event;
    int32_t value;
    uint64_t key;

    if (!whose || !what || zframe_size(whose) != sizeof(key) || zframe_size(what) != 6)
        return;
    memcpy(&key, zframe_data(whose), sizeof(key));
    memcpy(&event, zframe_data(what), 2);
    memcpy(&value, zframe_data(what) + 2, 4);
    entry = entry_of(monitor, key);
    if (entry)
        entry->fn(entry->arg, event, value);
}

static void
on_event(void *arg)
{
    struct kh_monitor *monitor = arg;
    zmsg_t *message = zmsg_recv(monitor->reader);

    if (message)
        tell(monitor, message);
    zmsg_destroy(&message);
}

bool
kh_monitor_next(struct kh_monitor *monitor)
{
    if (!(zsock_events(monitor->reader) & ZMQ_POLLIN))
        return false;
    on_event(monitor);
    return true;
}

static void
end(void *arg)
{
    struct kh_monitor *monitor = arg;

    kh_zwatch_close(monitor->watch);
    zsock_destroy(&monitor->reader);
    free(monitor->entries);
    free(monitor);
}

struct kh_monitor *
kh_monitor_of(struct kh_loop *loop, struct kh_error *err)
{
    struct kh_monitor *monitor = kh_loop_part(loop);

    if (monitor)
        return monitor;
    monitor = kh_xcalloc(1, sizeof(*monitor));
    monitor->reader = zsock_new(ZMQ_ROUTER);
    if (monitor->reader) {
        zsock_set_rcvhwm(monitor->reader, 0);
        zsock_set_linger(monitor->reader, 0);
        monitor->watch =
            kh_zwatch_new(loop, zsock_resolve(monitor->reader), on_event, monitor, err);
    } else {
        kh_fail_errno(err, "cannot make a ZeroMQ socket");
    }
    if (!monitor->watch) {
        end(monitor);
        return NULL;
    }
    kh_loop_set_part(loop, monitor, end);
    return monitor;
}

/* The reader gives each connection it makes the key as its name, which then is the
 * first frame of what comes from there. */
int
kh_monitor_watch(struct kh_monitor *monitor, void *socket, int events,
                 void (*fn)(void *arg, unsigned event, int value), void *arg,
                 uint64_t *ret_key, struct kh_error *err)
{
    uint64_t key = add_entry(monitor);
    struct entry *entry = &monitor->entries[(uint32_t)key];
    void *reader = zsock_resolve(monitor->reader);
    char endpoint[64];

    entry->fn = fn;
    entry->arg = arg;
    snprintf(endpoint, sizeof(endpoint), "inproc://monitor-%p-%016llx", (void *)monitor,
             (unsigned long long)key);
    if (zmq_socket_monitor(socket, endpoint, events) < 0 ||
        zmq_setsockopt(reader, ZMQ_CONNECT_ROUTING_ID, &key, sizeof(key)) < 0 ||
        zmq_connect(reader, endpoint) < 0) {
        kh_fail_errno(err, "cannot monitor a ZeroMQ socket");
        kh_monitor_leave(monitor, socket, key);
        return -err->code;
    }
    *ret_key = key;
    return 0;
}

void
kh_monitor_leave(struct kh_monitor *monitor, void *socket, uint64_t key)
{
    struct entry *entry = key ? entry_of(monitor, key) : NULL;

    if (!entry)
        return;
    drop_entry(monitor, entry);
    zmq_socket_monitor(socket, NULL, 0);
    kh_zwatch_kick(monitor->watch); /* the reader has to let go, too */
}
