/* Meters: what is added up from readings, whatever ends in between. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/host/meter.h"
#include "tests/tap.h"

#define MIB (1024ull * 1024)

static struct kh_meter
fresh(void)
{
    struct kh_meter meter = {.id = {1}, .name = "box", .boot = "this"};

    return meter;
}

static void
add(struct kh_meter *meter, uint64_t at, uint64_t group, uint64_t cpu, uint64_t memory,
    uint32_t state)
{
    struct kh_reading now = {.at = at,
                             .group = group,
                             .cpu_usec = cpu,
                             .memory = memory,
                             .disk = 10 * MIB,
                             .state = state};

    kh_meter_add(meter, &now);
}

/* As a kernelhostd that is killed leaves it, and the next one finds it. */
static struct kh_meter
reloaded(const struct kh_meter *meter)
{
    char bytes[KH_METER_SIZE];
    struct kh_meter again = {0};
    struct kh_error err = {0};

    is_int((long long)kh_meter_encode(meter, bytes, sizeof(bytes)), KH_METER_SIZE,
           "a meter is written");
    is_int(kh_meter_decode(bytes, sizeof(bytes), &again, &err), 0, "and read");
    return again;
}

static void
processor(void)
{
    struct kh_meter m = fresh(), old;

    add(&m, 1000, 7, 300, 0, KH_SANDBOX_RUNNING);
    add(&m, 2000, 7, 500, 0, KH_SANDBOX_RUNNING);
    is_int((long long)m.sum.cpu_usec, 500, "a counter is followed");
    add(&m, 3000, 7, 500, 0, KH_SANDBOX_FROZEN);
    add(&m, 4000, 7, 0, 0, KH_SANDBOX_FROZEN);
    is_int((long long)m.sum.cpu_usec, 500, "one that cannot be read adds nothing");
    add(&m, 5000, 7, 600, 0, KH_SANDBOX_RUNNING);
    is_int((long long)m.sum.cpu_usec, 600, "nor is it forgotten for that");
    add(&m, 6000, 0, 0, 0, KH_SANDBOX_STOPPED);
    add(&m, 7000, 0, 0, 0, KH_SANDBOX_STOPPED);
    old = reloaded(&m);
    add(&m, 8000, 8, 50, 0, KH_SANDBOX_RUNNING);
    is_int((long long)m.sum.cpu_usec, 650, "another group begins at nothing");
    add(&old, 8000, 8, 50, 0, KH_SANDBOX_RUNNING);
    is_int((long long)old.sum.cpu_usec, 650, "also for who reads it from the file");
    old = reloaded(&m);
    add(&old, 9000, 8, 90, 0, KH_SANDBOX_RUNNING);
    is_int((long long)old.sum.cpu_usec, 690, "and the same group is not counted twice");
    old = reloaded(&old);
    kh_meter_rebooted(&old, "next");
    add(&old, 100, 8, 20, 0, KH_SANDBOX_RUNNING);
    is_int((long long)old.sum.cpu_usec, 710,
           "a number of another boot is another group");
}

static void
begins(void)
{
    struct kh_meter m = fresh();
    struct kh_reading now = {
        .at = 10, .group = 3, .cpu_usec = 40, .state = KH_SANDBOX_RUNNING};

    add(&m, 5, 3, 30, MIB, KH_SANDBOX_RUNNING);
    kh_meter_begin(&m, &now);
    add(&m, 20, 3, 45, 0, KH_SANDBOX_RUNNING);
    ok(m.sum.cpu_usec == 5 && m.sum.running_ms == 10, "it can begin from here");
}

static void
times(void)
{
    struct kh_meter m = fresh(), lost;

    add(&m, 1000, 7, 0, 2 * MIB, KH_SANDBOX_RUNNING);
    add(&m, 3000, 7, 0, 4 * MIB, KH_SANDBOX_FROZEN);
    is_int((long long)m.sum.running_ms, 2000, "an interval counts as what it began as");
    is_int((long long)m.sum.memory, 3 * 1024 * 2000, "by the mean of both ends");
    is_int((long long)m.sum.disk, 10 * 1024 * 2000, "disk as well");
    lost = reloaded(&m);
    add(&m, 4000, 7, 0, 4 * MIB, KH_SANDBOX_HIBERNATED);
    add(&m, 9000, 0, 0, 0, KH_SANDBOX_STOPPED);
    add(&m, 19000, 0, 0, 0, KH_SANDBOX_STOPPED);
    ok(m.sum.running_ms == 2000 && m.sum.frozen_ms == 1000 &&
           m.sum.hibernated_ms == 5000,
       "each state has its own");
    is_int((long long)m.sum.memory, (3 * 2 + 4) * 1024 * 1000,
           "no memory is held on the disk, nor when stopped");
    add(&lost, 13000, 7, 0, 2 * MIB, KH_SANDBOX_FROZEN);
    is_int((long long)lost.sum.frozen_ms, 10000,
           "what nobody saw counts if it is as it was");
    is_int((long long)lost.sum.memory, (3 * 2 + 2 * 10) * 1024 * 1000,
           "by the lower end");
    lost = reloaded(&lost);
    add(&lost, 14000, 0, 0, 0, KH_SANDBOX_STOPPED);
    is_int((long long)lost.sum.frozen_ms, 10000, "and else not");
    add(&lost, 13000, 0, 0, 0, KH_SANDBOX_STOPPED);
    add(&lost, 13500, 7, 0, 0, KH_SANDBOX_RUNNING);
    is_int((long long)lost.sum.running_ms, 2000, "time does not go back");
}

static void
damage(void)
{
    struct kh_meter m = fresh(), out;
    char bytes[KH_METER_SIZE];

    add(&m, 1, 1, 1, 1, KH_SANDBOX_RUNNING);
    kh_meter_encode(&m, bytes, sizeof(bytes));
    bytes[100] ^= 1;
    is_int(kh_meter_decode(bytes, sizeof(bytes), &out, NULL), -EBADMSG,
           "a changed byte is found");
    is_int(kh_meter_decode(bytes, 100, &out, NULL), -EBADMSG, "a cut one, too");
    m.state = 9;
    kh_meter_encode(&m, bytes, sizeof(bytes));
    is_int(kh_meter_decode(bytes, sizeof(bytes), &out, NULL), -EBADMSG,
           "there is no such state");
    m.state = KH_SANDBOX_RUNNING;
    m.name[0] = '/';
    kh_meter_encode(&m, bytes, sizeof(bytes));
    is_int(kh_meter_decode(bytes, sizeof(bytes), &out, NULL), -EBADMSG,
           "nor such a name");
}

int
main(void)
{
    processor();
    begins();
    times();
    damage();
    return done();
}
