/* Who is let in, and what is said to who is not. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sandbox/host/admission.h"
#include "tests/tap.h"

#define MIB (1024ull * 1024)

/* A machine with 24 GiB and room for everything. */
static struct kh_admission_facts
roomy(void)
{
    return (struct kh_admission_facts){
        .room = {.memory_total = 24576 * MIB,
                 .memory_available = 20000 * MIB,
                 .tasks = 200,
                 .tasks_max = 32768},
        .disk = {.bytes = 1000 * MIB * 1024,
                 .bytes_total = 2000 * MIB * 1024,
                 .inodes = 1000000,
                 .inodes_total = 2000000},
        .descriptors = 50,
        .descriptors_max = 20000,
        .running = 10,
    };
}

static void
refused(const struct kh_admission *admission, const struct kh_admission_facts *facts,
        int code, const char *word, const char *what)
{
    struct kh_error err = {0};

    is_int(kh_admission_judge(admission, facts, &err), -code, "%s: refused", what);
    ok(strstr(err.text, word) && strstr(err.text, "(hint: "),
       "with figures and cure: %s", err.text);
}

static void
let_in(const struct kh_admission *admission, const struct kh_admission_facts *facts,
       const char *what)
{
    struct kh_error err = {0};

    is_int(kh_admission_judge(admission, facts, &err), 0, "%s: let in %s", what,
           err.text);
}

static void
each_resource(void)
{
    struct kh_admission admission = {.max = 100};
    struct kh_admission_facts facts = roomy();

    let_in(&admission, &facts, "room for all");
    facts.running = 100;
    refused(&admission, &facts, EUSERS, "100 sandboxes", "too many");
    facts = roomy();
    facts.room.memory_available = 1240 * MIB;
    refused(&admission, &facts, ENOMEM, "1240 MiB", "the reserve is touched");
    facts.room.memory_available = 1248 * MIB;
    let_in(&admission, &facts, "the reserve is not touched");
    admission.recent = 10;
    refused(&admission, &facts, ENOMEM, "need 176", "others have just begun");
    admission = (struct kh_admission){.max = 100, .reserve = 100 * MIB, .recent = 10};
    let_in(&admission, &facts, "a smaller reserve was asked for");
    facts = roomy();
    facts.room.tasks = 31900;
    refused(&admission, &facts, EUSERS, "31900 of 32768", "tasks");
    facts = roomy();
    facts.descriptors = 19872;
    refused(&admission, &facts, EMFILE, "19872 of 20000", "descriptors");
    facts.descriptors = 19871;
    let_in(&admission, &facts, "the last descriptors");
    facts = roomy();
    facts.disk.bytes = 511 * MIB;
    refused(&admission, &facts, ENOSPC, "511 MiB", "disk");
    facts = roomy();
    facts.disk.inodes = 4000;
    refused(&admission, &facts, ENOSPC, "4000 files", "inodes");
    facts.disk.inodes = facts.disk.inodes_total = 0;
    let_in(&admission, &facts, "a filesystem that does not count inodes");
    facts.disk = (struct kh_room_disk){.bytes = 60 * MIB, .bytes_total = 1000 * MIB};
    let_in(&admission, &facts, "a small disk keeps a twentieth");
}

static void
reserves(void)
{
    is_int(kh_room_reserve(24576 * MIB) / MIB, 1228, "5 %% of a large machine");
    is_int(kh_room_reserve(4096 * MIB) / MIB, 512, "512 MiB of a small one");
    is_int(kh_room_reserve(1024 * MIB) / MIB, 256, "a quarter of a tiny one");
    is_int(kh_room_meminfo("MemTotal:  1 kB\nMemFree: 2 kB\nMemAvailable:    3 kB\n",
                           "MemAvailable:"),
           3072, "meminfo is read");
    is_int(kh_room_meminfo("MemTotal: 1 kB", "MemAvailable:"), 0, "also without it");
    is_int(kh_room_meminfo("", "MemTotal:"), 0, "and empty");
}

static void
this_machine(void)
{
    struct kh_admission admission = {.max = 1000000, .reserve = 1};
    struct kh_error err = {0};
    struct kh_room room = {0};
    struct kh_room_disk disk = {0};
    unsigned used, max;
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    is_int(kh_room_read(&room, &err), 0, "this machine is read %s", err.text);
    ok(room.memory_total > room.memory_available && room.memory_available, "memory");
    ok(room.tasks > 0 && room.tasks < room.tasks_max, "tasks");
    is_int(kh_room_disk(here, &disk, &err), 0, "its disk %s", err.text);
    ok(disk.bytes_total >= disk.bytes && disk.bytes_total, "bytes");
    kh_room_descriptors(&used, &max);
    ok(used > (unsigned)here && used < max, "descriptors: %u of %u", used, max);
    kh_admission_check(&admission, here, 0, &err);
    kh_admission_check(&admission, here, 0, &err);
    ok(admission.recent == 2 || err.code, "who is let in counts as begun: %s",
       err.text);
    admission.max = 0;
    is_int(kh_admission_check(&admission, here, 0, &err), -EUSERS, "no room at all");
    ok(admission.recent <= 2, "who is refused does not");
    close(here);
}

int
main(void)
{
    each_resource();
    reserves();
    this_machine();
    return done();
}
