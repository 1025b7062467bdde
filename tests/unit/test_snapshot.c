/* Records of snapshots, as bytes and in a state directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/host/host.h"
#include "sandbox/host/snapshot.h"
#include "tests/tap.h"

static struct kh_host host = {.snapshots.timer = -1};

static struct kh_snapshot_record
record_of(int number)
{
    struct kh_snapshot_record record = {.created = 1000 - (uint64_t)number, .held = 7};

    record.id[0] = (uint8_t)number;
    record.limits = (struct kh_limits){1 << 30, 500, 64, 1 << 24};
    snprintf(record.name, sizeof(record.name), "snap-%d", number);
    strcpy(record.sandbox, "box");
    strcpy(record.image, "default");
    strcpy(record.image_id, "00112233445566778899aabbccddeeff");
    return record;
}

static void
test_bytes(void)
{
    struct kh_snapshot_record record = record_of(1), again = {0};
    char bytes[KH_SNAPSHOT_RECORD_SIZE], same[KH_SNAPSHOT_RECORD_SIZE];
    char box[KH_RECORD_SIZE] = {0};
    struct kh_error err = {0};
    struct kh_record other = {.state = KH_SANDBOX_STOPPED};

    record.expires = 5;
    memset(record.box, 0xcd, sizeof(record.box));
    strcpy(record.label, "before the change");
    is_int(kh_snapshot_encode(&record, bytes, sizeof(bytes)), sizeof(bytes),
           "a record is written");
    is_int(kh_snapshot_decode(bytes, sizeof(bytes), &again, &err), 0, "and read again");
    kh_snapshot_encode(&again, same, sizeof(same));
    ok(!memcmp(bytes, same, sizeof(same)), "the same");
    ok(again.held == 7 && again.expires == 5 && again.limits.disk == 1 << 24 &&
           !memcmp(again.box, record.box, sizeof(record.box)) &&
           !strcmp(again.label, record.label),
       "field by field");
    is_int(kh_snapshot_encode(&record, bytes, 10), 0, "not where there is no room");
    is_int(kh_snapshot_decode(bytes, sizeof(bytes) - 1, &again, &err), -EBADMSG,
           "nor read cut short");
    bytes[100] ^= 1;
    is_int(kh_snapshot_decode(bytes, sizeof(bytes), &again, &err), -EBADMSG,
           "nor changed");
    strcpy(other.name, "box");
    strcpy(other.image, "default");
    strcpy(other.image_id, "00112233445566778899aabbccddeeff");
    kh_record_encode(&other, box, sizeof(box));
    is_int(kh_snapshot_decode(box, sizeof(box), &again, &err), -EBADMSG,
           "a sandbox's record is none of a snapshot");
}

static void
refuse(const struct kh_snapshot_record *record, const char *what)
{
    struct kh_snapshot_record again;
    char bytes[KH_SNAPSHOT_RECORD_SIZE];

    kh_snapshot_encode(record, bytes, sizeof(bytes));
    is_int(kh_snapshot_decode(bytes, sizeof(bytes), &again, NULL), -EBADMSG,
           "refused: %s", what);
}

static void
test_fields(void)
{
    struct kh_snapshot_record record = record_of(1);

    strcpy(record.name, "../x");
    refuse(&record, "a name that is a path");
    record = record_of(1);
    strcpy(record.name, "~fork-1");
    refuse(&record, "a temporary name");
    record = record_of(1);
    memset(record.sandbox, 'a', sizeof(record.sandbox));
    refuse(&record, "a name without an end");
    record = record_of(1);
    strcpy(record.image_id, "../../etc");
    refuse(&record, "an image that is a path");
    record = record_of(1);
    record.flags = KH_SNAPSHOT_TEMPORARY;
    refuse(&record, "a temporary one");
    record.flags = 1u << 31;
    refuse(&record, "flags that nobody knows");
    record = record_of(1);
    memset(record.label, 'a', sizeof(record.label));
    refuse(&record, "a label without an end");
}

static void
put(int number, const char *as, size_t size)
{
    struct kh_snapshot_record record = record_of(number);
    char bytes[KH_SNAPSHOT_RECORD_SIZE], path[80];
    int fd;

    record.expires = number == 9 ? 1 : number == 8 ? (uint64_t)time(NULL) + 1000 : 0;
    kh_snapshot_encode(&record, bytes, sizeof(bytes));
    mkdirat(host.store.snapshots, as, 0700);
    snprintf(path, sizeof(path), "%s/record", as);
    fd = size ? openat(host.store.snapshots, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)
              : -1;
    if (size && kh_fd_write_full(fd, bytes, size) < 0)
        abort();
    kh_fd_close(&fd);
}

static bool
is_in(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

#define ID(number) "0" #number "000000000000000000000000000000"

static void
test_load(void)
{
    const struct kh_snapshot *first;
    struct kh_error err = {0};

    put(1, ID(1), KH_SNAPSHOT_RECORD_SIZE);
    put(2, ID(2), KH_SNAPSHOT_RECORD_SIZE);
    put(3, ID(3), 0);
    put(4, ID(4), 100);
    put(5, ID(6), KH_SNAPSHOT_RECORD_SIZE);
    put(8, ID(8), KH_SNAPSHOT_RECORD_SIZE);
    put(9, ID(9), KH_SNAPSHOT_RECORD_SIZE);
    is_int(kh_snapshot_load(&host, &err), 0, "a directory is read: %s", err.text);
    is_int((int)host.snapshots.count, 3, "there are three");
    first = kh_snapshots_after(&host.snapshots, 0);
    is_str(first->record.name, "snap-8", "the oldest is the first");
    is_str(kh_snapshots_after(&host.snapshots, first->number)->record.name, "snap-2",
           "then the next");
    ok(!kh_snapshots_after(&host.snapshots, host.snapshots.at[2]->number),
       "and at the end none");
    ok(kh_snapshots_find(&host.snapshots, "snap-1") &&
           !kh_snapshots_find(&host.snapshots, "snap-9"),
       "they are found by name");
    ok(is_in(host.store.trash, ID(3)), "one without a record goes to the trash");
    ok(is_in(host.store.trash, ID(9)), "one that has expired, too");
    ok(is_in(host.store.damaged, ID(4) ".snapshot") &&
           is_in(host.store.snapshots, ID(4)),
       "half a record is set aside, and what it is of stays");
    ok(is_in(host.store.damaged, ID(6) ".snapshot"), "so is that of another");
    kh_snapshots_close(&host.snapshots);
    is_int(kh_snapshot_load(&host, &err), 0, "it is read again");
    ok(host.snapshots.count == 3 && is_in(host.store.snapshots, ID(4)),
       "and all that was kept is there");
}

static void
test_ids(void)
{
    struct kh_snapshot *snapshot = NULL;
    char text[KH_ID_TEXT];

    memset(text, 'a', sizeof(text));
    ok(!kh_id_text_valid(text), "an id without an end is none");
    text[KH_ID_TEXT - 1] = '\0';
    ok(kh_id_text_valid(text), "with one it is");
    text[KH_ID_TEXT - 2] = '\0';
    ok(!kh_id_text_valid(text), "not a digit shorter");
    text[0] = 'A';
    ok(!kh_id_text_valid(text) && !kh_id_text_valid(""), "nor what is none");
    is_int(kh_snapshot_adopt(&host, ID(1) "0", 0, &snapshot, NULL), -EINVAL,
           "nothing longer is taken over");
    is_int(kh_snapshot_adopt(&host, ID(1) "/x", 0, &snapshot, NULL), -EINVAL,
           "nor a path");
    is_int(kh_snapshot_adopt(&host, ID(1), 0, &snapshot, NULL), -ENOENT,
           "an id is looked for");
}

static void
test_table(void)
{
    struct kh_snapshots *all = &host.snapshots;
    struct kh_snapshot_record record = record_of(7);
    struct kh_snapshot *taking = kh_snapshot_new(&host, &record);

    taking->taking = true;
    ok(kh_snapshots_find(all, "snap-7") == taking,
       "one that is being taken keeps its name");
    ok(!kh_snapshots_after(all, all->at[2]->number), "and is not listed");
    kh_snapshots_forget(all, all->at[1]);
    is_str(kh_snapshots_after(all, all->at[0]->number)->record.name, "snap-1",
           "one that is gone hides no other");
    kh_snapshots_close(all);
    is_int((int)all->count, 0, "all are freed");
}

int
main(void)
{
    char path[] = "/tmp/kh-snapshot-XXXXXX";
    struct kh_error err = {0};

    kh_log_open("test", KH_LOG_ERROR + 1);
    test_bytes();
    test_fields();
    if (geteuid() != 0) {
        skip("what lies in a store", "it belongs to root");
        return done();
    }
    if (!mkdtemp(path))
        return 1;
    if (!ok(kh_store_open(path, -1, &host.store, &err) == 0, "a store is made %s",
            err.text))
        return done();
    test_load();
    test_ids();
    test_table();
    kh_store_close(&host.store);
    is_int(remove_tree(path), 0, "and removed");
    return done();
}
