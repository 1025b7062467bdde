/* The files of meters, and those of removed sandboxes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/metering_own.h"

#define SUFFIX_NEW ".new"

int
kh_metering_save(struct kh_metering *metering, const struct kh_meter *meter,
                 struct kh_error *err)
{
    char id[KH_ID_TEXT], fresh[KH_ID_TEXT + sizeof(SUFFIX_NEW)], data[KH_METER_SIZE];
    AUTO_FD int fd = -1;
    int r;

    kh_id_text(meter->id, id);
    snprintf(fresh, sizeof(fresh), "%s" SUFFIX_NEW, id);
    kh_meter_encode(meter, data, sizeof(data));
    fd = openat(metering->dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : kh_fd_write_full(fd, data, sizeof(data));
    if (r == 0 && renameat(metering->dir, fresh, metering->dir, id) < 0)
        r = -errno;
    return r < 0 ? kh_fail(err, -r, "cannot write the account of '%s': %s", meter->name,
                           strerror(-r))
                 : 0;
}

static void
keep(struct kh_metering *metering, const struct kh_meter *meter)
{
    if (metering->count == metering->size) {
        metering->size = metering->size ? 2 * metering->size : 64;
        metering->ended =
            kh_xrealloc(metering->ended, metering->size * sizeof(*metering->ended));
    }
    metering->ended[metering->count++] = (struct kh_metered){++metering->last, *meter};
}

static void
load_one(struct kh_metering *metering, const char *name)
{
    AUTO_FREE char *data = NULL;
    struct kh_error err = {0};
    struct kh_meter meter;
    char id[KH_ID_TEXT];
    size_t size = 0;
    int r = kh_fd_read_file(metering->dir, name, KH_METER_SIZE, &data, &size, &err);

    if (r == 0)
        r = kh_meter_decode(data, size, &meter, &err);
    if (r == 0) {
        kh_id_text(meter.id, id);
        if (strcmp(id, name) != 0)
            r = kh_fail(&err, EBADMSG, "it is of another sandbox");
    }
    if (r < 0) {
        kh_log(KH_LOG_ERROR, "an account is lost id=%s: %s", name, err.text);
        return;
    }
    if (strcmp(meter.boot, metering->boot) != 0)
        kh_meter_rebooted(&meter, metering->boot);
    keep(metering, &meter);
}

int
kh_metering_load(struct kh_metering *metering, struct kh_error *err)
{
    int fd = openat(metering->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir)
        return kh_fail_errno(err, "cannot list the accounts");
    while ((entry = readdir(dir)))
        if (strspn(entry->d_name, "0123456789abcdef") == KH_ID_TEXT - 1) {
            if (strlen(entry->d_name) == KH_ID_TEXT - 1)
                load_one(metering, entry->d_name);
            else
                (void)unlinkat(metering->dir, entry->d_name, 0);
        }
    closedir(dir);
    return 0;
}

void
kh_metering_close(struct kh_host *host, const struct kh_box *box)
{
    if (box->spare == KH_SPARE_NOT && host->metering && box->meter.name[0])
        keep(host->metering, &box->meter);
}

void
kh_metering_discard(struct kh_host *host, const struct kh_box *box)
{
    if (host->metering)
        (void)unlinkat(host->metering->dir, box->id, 0);
}

const struct kh_meter *
kh_metering_ended(const struct kh_host *host, uint64_t *number)
{
    const struct kh_metering *metering = host->metering;
    size_t low = 0, high = metering ? metering->count : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (metering->ended[middle].number > *number)
            high = middle;
        else
            low = middle + 1;
    }
    if (!metering || low == metering->count)
        return NULL;
    *number = metering->ended[low].number;
    return &metering->ended[low].meter;
}

void
kh_metering_drop(struct kh_host *host, const uint8_t id[KH_ID_SIZE])
{
    struct kh_metering *metering = host->metering;
    char text[KH_ID_TEXT];
    size_t i;

    for (i = 0; metering && i < metering->count; i++) {
        if (memcmp(metering->ended[i].meter.id, id, KH_ID_SIZE) != 0)
            continue;
        kh_id_text(id, text);
        (void)unlinkat(metering->dir, text, 0);
        memmove(&metering->ended[i], &metering->ended[i + 1],
                (--metering->count - i) * sizeof(*metering->ended));
        return;
    }
}
