#include "sandbox/host/meter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/host/fields.h"

static uint64_t
smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Bytes held for so long, in KiB x ms. */
static uint64_t
held(const struct kh_meter *meter, uint64_t before, uint64_t now, uint64_t ms)
{
    uint64_t bytes = meter->unseen ? smaller(before, now)
                                   : before / 2 + now / 2 + (before & now & 1);

    return bytes / 1024 * ms;
}

static void
add_time(struct kh_meter *meter, const struct kh_reading *now)
{
    struct kh_account *sum = &meter->sum;
    uint64_t ms = meter->at && now->at > meter->at ? now->at - meter->at : 0;

    if (meter->unseen && meter->state != now->state)
        ms = 0;
    if (meter->state == KH_SANDBOX_RUNNING)
        sum->running_ms += ms;
    else if (meter->state == KH_SANDBOX_FROZEN)
        sum->frozen_ms += ms;
    else if (meter->state == KH_SANDBOX_HIBERNATED)
        sum->hibernated_ms += ms;
    if (meter->state == KH_SANDBOX_RUNNING || meter->state == KH_SANDBOX_FROZEN)
        sum->memory += held(meter, meter->memory, now->memory, ms);
    sum->disk += held(meter, sum->disk_now, now->disk, ms);
}

/* A counter that cannot be read is 0; what was seen of it stays seen. */
static void
add_processor(struct kh_meter *meter, const struct kh_reading *now)
{
    if (!now->group)
        return;
    if (now->group != meter->group) {
        meter->group = now->group;
        meter->seen = 0;
    }
    if (now->cpu_usec <= meter->seen)
        return;
    meter->sum.cpu_usec += now->cpu_usec - meter->seen;
    meter->seen = now->cpu_usec;
}

static void
look(struct kh_meter *meter, const struct kh_reading *now)
{
    meter->at = now->at;
    meter->memory = now->memory;
    meter->sum.disk_now = now->disk;
    meter->state = now->state;
    meter->unseen = false;
}

void
kh_meter_add(struct kh_meter *meter, const struct kh_reading *now)
{
    add_time(meter, now);
    add_processor(meter, now);
    look(meter, now);
}

void
kh_meter_begin(struct kh_meter *meter, const struct kh_reading *now)
{
    memset(&meter->sum, 0, sizeof(meter->sum));
    meter->group = now->group;
    meter->seen = now->cpu_usec;
    look(meter, now);
}

void
kh_meter_skip(struct kh_meter *meter, const struct kh_reading *now)
{
    if (!now->group)
        return;
    meter->group = now->group;
    meter->seen = now->cpu_usec;
}

void
kh_meter_rebooted(struct kh_meter *meter, const char *boot)
{
    meter->group = meter->seen = meter->at = meter->memory = 0;
    snprintf(meter->boot, sizeof(meter->boot), "%s", boot);
}

static void
list(struct kh_cursor *c, void *value)
{
    struct kh_meter *m = value;

    kh_field_bytes(c, m->id, sizeof(m->id));
    kh_field_bytes(c, m->name, sizeof(m->name));
    kh_field_u64(c, &m->sum.cpu_usec);
    kh_field_u64(c, &m->sum.memory);
    kh_field_u64(c, &m->sum.disk);
    kh_field_u64(c, &m->sum.disk_now);
    kh_field_u64(c, &m->sum.running_ms);
    kh_field_u64(c, &m->sum.frozen_ms);
    kh_field_u64(c, &m->sum.hibernated_ms);
    kh_field_u64(c, &m->group);
    kh_field_u64(c, &m->seen);
    kh_field_u64(c, &m->at);
    kh_field_bytes(c, m->boot, sizeof(m->boot));
    kh_field_u64(c, &m->memory);
    kh_field_u32(c, &m->state);
    kh_field_u64(c, &m->created);
}

static const struct kh_fields kind = {
    .what = "meter",
    .magic = "kernelhost-use\n",
    .version = 1,
    .size = KH_METER_SIZE,
    .list = list,
};

size_t
kh_meter_encode(const struct kh_meter *meter, void *out, size_t size)
{
    struct kh_meter copy = *meter;

    if (size < KH_METER_SIZE)
        return 0;
    kh_fields_encode(&kind, &copy, out);
    return KH_METER_SIZE;
}

int
kh_meter_decode(const void *data, size_t size, struct kh_meter *ret_meter,
                struct kh_error *err)
{
    struct kh_meter m = {.unseen = true};
    int r = kh_fields_decode(&kind, data, size, &m, err);

    if (r < 0)
        return r;
    if (!kh_name_valid(m.name) || !memchr(m.boot, 0, sizeof(m.boot)))
        return kh_fail(err, EBADMSG, "meter has an impossible text");
    if (m.state < KH_SANDBOX_RUNNING || m.state > KH_SANDBOX_STOPPED)
        return kh_fail(err, EBADMSG, "meter has the impossible state %u", m.state);
    *ret_meter = m;
    return 0;
}
