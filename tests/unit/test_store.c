/* Records in a state directory: what a create leaves, whole or cut short. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "sandbox/host/store.h"
#include "tests/tap.h"

struct seen {
    int records, problems;
    char name[KH_NAME_SIZE];
};

static void
each(void *arg, const struct kh_record *record)
{
    struct seen *seen = arg;

    seen->records++;
    memcpy(seen->name, record->name, sizeof(seen->name));
}

static void
problem(void *arg, const char *line)
{
    struct seen *seen = arg;

    (void)line;
    seen->problems++;
}

static struct seen
load(struct kh_store *store)
{
    struct seen seen = {0};

    kh_store_load(store, each, problem, &seen, NULL);
    return seen;
}

static int
entries(int parent)
{
    DIR *dir = fdopendir(openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count - 2;
}

static void
make_empty(struct kh_store *store, const struct kh_record *record)
{
    int box = kh_store_open_box(store, record->id, NULL);

    close(openat(box, "record", O_WRONLY | O_TRUNC | O_CLOEXEC));
    close(box);
}

static struct kh_record
record_of(int number)
{
    struct kh_record record = {.created = 1, .state = KH_SANDBOX_RUNNING};

    record.id[0] = (uint8_t)number;
    record.limits = (struct kh_limits){.memory = 1 << 30, .cpu_milli = 1, .pids = 16};
    snprintf(record.name, sizeof(record.name), "box-%d", number);
    strcpy(record.image, "default");
    strcpy(record.image_id, "00112233445566778899aabbccddeeff");
    return record;
}

static int
create(struct kh_store *store, const struct kh_record *record, struct kh_error *err)
{
    int r = kh_store_prepare(store, record->id, record->name, err);

    return r < 0 ? r : kh_store_create(store, record, err);
}

static void
test_create(struct kh_store *store)
{
    struct kh_record record = record_of(1);
    struct kh_error err = {0};
    struct seen seen;

    is_int(create(store, &record, &err), 0, "a record is written");
    seen = load(store);
    is_int(seen.records, 1, "and read again");
    is_str(seen.name, "box-1", "as it was");
    ok(create(store, &record, &err) < 0, "an id is used once");
    is_int(kh_store_discard(store, &record, &err), 0, "it is discarded");
    is_int(load(store).records, 0, "and gone");
    is_int(entries(store->trash), 1, "its disk is in the trash");
}

static void
test_cut(struct kh_store *store)
{
    struct kh_record record = record_of(2);
    struct seen seen;
    int box;

    create(store, &record, NULL);
    make_empty(store, &record);
    seen = load(store);
    is_int(seen.records + seen.problems, 0, "an empty record was never acknowledged");
    is_int(entries(store->sandboxes), 0, "half a create goes");
    is_int(entries(store->trash), 2, "to the trash");

    record = record_of(3);
    create(store, &record, NULL);
    make_empty(store, &record);
    box = kh_store_open_box(store, record.id, NULL);
    mkdirat(box, "work/work", 0700);
    close(box);
    seen = load(store);
    is_int(seen.problems, 1, "but one that ran was: it is told of");
    is_int(entries(store->sandboxes), 1, "and keeps its disk");
    is_int(entries(store->damaged), 1, "its record is set aside");
}

int
main(void)
{
    char path[] = "/tmp/kh-store-XXXXXX";
    struct kh_error err = {0};
    struct kh_store store;

    if (geteuid() != 0 || !mkdtemp(path)) {
        printf("1..0 # SKIP a store belongs to root\n");
        return 77;
    }
    if (!ok(kh_store_open(path, -1, &store, &err) == 0, "a store is made %s", err.text))
        return done();
    test_create(&store);
    test_cut(&store);
    kh_store_close(&store);
    is_int(remove_tree(path), 0, "and removed");
    return done();
}
