#include "sandbox/host/zygote.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define WORD_MAX 1024u /* bytes of a message from it */
#define ENDS_MAX 5u    /* then it is not started again */

int
kh_zygote_configure(struct kh_host *host, const char *preload, struct kh_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,";

    if (strlen(preload) >= KH_ZYGOTE_PRELOAD_MAX ||
        preload[strspn(preload, allowed)] != '\0')
        return kh_fail(err, EINVAL,
                       "the preload list must be names of Python modules, separated "
                       "by commas, or 'none'");
    free(host->preload);
    host->preload = strcmp(preload, "none") ? kh_xstrdup(preload) : NULL;
    return 0;
}

uint32_t
kh_zygote_owner(const struct kh_zygote *zygote)
{
    return kh_idmap_first(zygote->host->id_base, zygote->slot) + KH_ZYGOTE_USER;
}

static void
cut(struct kh_zygote *zygote)
{
    kh_watch_remove(&zygote->watch);
    kh_fd_close(&zygote->sock);
}

static void
fail(struct kh_zygote *zygote, const char *why)
{
    char shown[WORD_MAX];

    kh_log(KH_LOG_WARN,
           "no warm kernels for image id=%s: %s (hint: kernels are started anew, which "
           "is slower; kernelhost serve --preload)",
           zygote->image_id, kh_log_clean(why, strlen(why), shown, sizeof(shown)));
    zygote->state = KH_ZYGOTE_FAILED;
    cut(zygote);
    kh_cgroup_kill(zygote->host->groups, zygote->image_id);
    kh_process_kill(&zygote->process, SIGKILL);
}

void
kh_zygote_condemn(struct kh_zygote *zygote, const char *why)
{
    if (zygote->state != KH_ZYGOTE_FAILED)
        fail(zygote, why);
}

static void take_word(struct kh_watch *watch, uint32_t events);

static void
ended(struct kh_process *process, int status)
{
    struct kh_zygote *zygote = process->owner;
    char why[80];

    (void)kh_cgroup_remove(zygote->host->groups, zygote->image_id, NULL);
    if (zygote->state == KH_ZYGOTE_STARTING && zygote->sock >= 0)
        take_word(&zygote->watch, EPOLLIN); /* its last words may wait */
    if (zygote->state == KH_ZYGOTE_FAILED)
        return;
    cut(zygote);
    snprintf(why, sizeof(why), "its zygote ended with status 0x%x", (unsigned)status);
    if (zygote->state == KH_ZYGOTE_STARTING || ++zygote->ends > ENDS_MAX)
        fail(zygote, why);
    else
        kh_log(KH_LOG_WARN, "zygote ended image=%s status=0x%x", zygote->image_id,
               (unsigned)status);
    if (zygote->state == KH_ZYGOTE_READY)
        zygote->state = KH_ZYGOTE_STARTING;
    if (zygote->state == KH_ZYGOTE_STARTING && zygote->missed)
        (void)kh_zygote_of(zygote->host, zygote->image_id);
}

/* R, or F and why. Then nothing more. */
static void
take_word(struct kh_watch *watch, uint32_t events)
{
    struct kh_zygote *zygote = watch->owner;
    char word[WORD_MAX + 1];
    ssize_t n = kh_fd_recv(watch->fd, word, WORD_MAX, NULL);

    (void)events;
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        kh_watch_remove(&zygote->watch); /* its end follows */
        return;
    }
    word[n] = '\0';
    if (zygote->state == KH_ZYGOTE_STARTING && word[0] == 'R') {
        zygote->state = KH_ZYGOTE_READY;
        kh_log(KH_LOG_INFO, "zygote ready image=%s pid=%d", zygote->image_id,
               (int)zygote->process.pid);
    } else {
        kh_zygote_condemn(zygote, word[0] == 'F' ? word + 1 : "it speaks out of turn");
    }
}

/* What it is to do: the sandbox's filters, which its children install, and names. */
static int
send_start(const struct kh_zygote *zygote, struct kh_error *err)
{
    const struct sock_fprog *filters = zygote->host->filter;
    struct kh_buf buf = KH_BUF_INIT;
    uint32_t sizes[KH_FILTER_PROGRAMS];
    char *list, *name, *save = NULL;
    int i, r;

    kh_buf_add(&buf, "S", 1);
    for (i = 0; i < KH_FILTER_PROGRAMS; i++)
        sizes[i] = (uint32_t)(filters[i].len * sizeof(struct sock_filter));
    kh_buf_add(&buf, sizes, sizeof(sizes));
    for (i = 0; i < KH_FILTER_PROGRAMS; i++)
        kh_buf_add(&buf, filters[i].filter, sizes[i]);
    list = kh_xstrdup(zygote->host->preload);
    for (name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save))
        kh_buf_add(&buf, name, strlen(name) + 1);
    r = kh_fd_send(zygote->sock, kh_buf_ptr(&buf), kh_buf_len(&buf), -1);
    free(list);
    kh_buf_release(&buf);
    return r < 0 ? kh_fail(err, -r, "cannot send the zygote its orders") : 0;
}

static int
start(struct kh_zygote *zygote, struct kh_error *err)
{
    static const struct kh_limits limits = {
        .memory = 4096ull << 20, .cpu_milli = 1000, .pids = 64};
    struct kh_host *host = zygote->host;
    int pidfd = -1, r;
    pid_t pid = 0;

    /* One that ended may have left a child on its way. */
    kh_cgroup_kill(host->groups, zygote->image_id);
    (void)kh_cgroup_remove(host->groups, zygote->image_id, NULL);
    r = kh_cgroup_create(host->groups, zygote->image_id, &limits, err);
    if (r < 0)
        return r;
    r = kh_zygote_spawn(zygote, &pid, &pidfd, &zygote->sock, err);
    if (r == 0)
        r = kh_process_watch(&zygote->process, pid, pidfd, ended, zygote, err);
    if (r == 0)
        r = kh_watch_add(&zygote->watch, zygote->sock, EPOLLIN, take_word, zygote, err);
    if (r == 0)
        r = send_start(zygote, err);
    if (r < 0) {
        kh_process_kill(&zygote->process, SIGKILL);
        (void)kh_cgroup_remove(host->groups, zygote->image_id, NULL);
    }
    return r;
}

static struct kh_zygote *
find(const struct kh_host *host, const char *image_id)
{
    struct kh_zygote *zygote;

    for (zygote = host->zygotes; zygote; zygote = zygote->next)
        if (!strcmp(zygote->image_id, image_id))
            return zygote;
    return NULL;
}

static struct kh_zygote *
add(struct kh_host *host, const char *image_id, uint32_t slot)
{
    struct kh_zygote *zygote = kh_xcalloc(1, sizeof(*zygote));

    zygote->host = host;
    zygote->slot = slot;
    zygote->sock = zygote->process.pidfd = -1;
    snprintf(zygote->image_id, sizeof(zygote->image_id), "%s", image_id);
    zygote->next = host->zygotes;
    host->zygotes = zygote;
    return zygote;
}

static void
end(struct kh_zygote *zygote)
{
    cut(zygote);
    kh_cgroup_kill(zygote->host->groups, zygote->image_id);
    kh_process_kill(&zygote->process, SIGKILL);
    kh_process_reap(&zygote->process);
    (void)kh_cgroup_remove(zygote->host->groups, zygote->image_id, NULL);
    if (zygote->state == KH_ZYGOTE_READY)
        zygote->state = KH_ZYGOTE_STARTING;
}

static void
give_kept(struct kh_zygote *zygote)
{
    while (zygote->kept_count)
        kh_host_give_slot(zygote->host, zygote->kept[--zygote->kept_count]);
}

static void
drop(struct kh_zygote *zygote)
{
    struct kh_zygote **at = &zygote->host->zygotes;

    while (*at != zygote)
        at = &(*at)->next;
    *at = zygote->next;
    end(zygote);
    give_kept(zygote);
    kh_host_give_slot(zygote->host, zygote->slot);
    free(zygote->kept);
    free(zygote);
}

/* One more process is to be: the one that was asked for longest ago goes, and its
 * slot too if no sandbox needs it. */
static void
make_room(struct kh_host *host)
{
    struct kh_zygote *zygote, *oldest = NULL;
    unsigned count = 0;

    for (zygote = host->zygotes; zygote; zygote = zygote->next) {
        if (!zygote->process.pid)
            continue;
        count++;
        if (!oldest || zygote->used < oldest->used)
            oldest = zygote;
    }
    if (count < KH_ZYGOTES_MAX)
        return;
    if (oldest->boxes)
        end(oldest);
    else
        drop(oldest);
}

struct kh_zygote *
kh_zygote_of(struct kh_host *host, const char *image_id)
{
    static uint64_t count;
    struct kh_zygote *zygote;
    struct kh_error err = {0};
    uint32_t slot;

    if (!host->preload)
        return NULL;
    zygote = find(host, image_id);
    if (!zygote && kh_host_take_slot(host, &slot, &err) == 0)
        zygote = add(host, image_id, slot);
    if (!zygote)
        return NULL;
    zygote->used = ++count;
    if (zygote->state == KH_ZYGOTE_STARTING && !zygote->process.pid) {
        make_room(host);
        zygote->missed = false;
        if (start(zygote, &err) < 0)
            fail(zygote, err.text);
    }
    return zygote->state == KH_ZYGOTE_FAILED ? NULL : zygote;
}

struct kh_zygote *
kh_zygote_adopt(struct kh_host *host, const char *image_id, uint32_t slot)
{
    struct kh_zygote *zygote = find(host, image_id);

    if (!zygote &&
        kh_host_retake_slot(host, slot, kh_idmap_first(host->id_base, slot), NULL) == 0)
        zygote = add(host, image_id, slot);
    if (!zygote || zygote->slot != slot)
        return NULL;
    zygote->boxes++;
    return zygote;
}

/* All slots are taken: what those keep that own no sandbox is free without them. */
static void
reclaim(struct kh_host *host)
{
    struct kh_zygote *zygote;

    for (zygote = host->zygotes; zygote; zygote = zygote->next)
        if (!zygote->boxes && zygote->kept_count) {
            end(zygote);
            give_kept(zygote);
        }
}

int
kh_zygote_hold(struct kh_zygote *zygote, uint32_t *ret_slot, struct kh_error *err)
{
    int r = 0;

    zygote->boxes++; /* so that it keeps what it has */
    if (zygote->kept_count) {
        *ret_slot = zygote->kept[--zygote->kept_count];
        return 0;
    }
    r = kh_host_take_slot(zygote->host, ret_slot, err);
    if (r < 0) {
        reclaim(zygote->host);
        r = kh_host_take_slot(zygote->host, ret_slot, err);
    }
    if (r < 0)
        zygote->boxes--;
    return r;
}

void
kh_zygote_release(struct kh_zygote *zygote, uint32_t slot)
{
    zygote->boxes--;
    zygote->kept =
        kh_xrealloc(zygote->kept, (zygote->kept_count + 1) * sizeof(*zygote->kept));
    zygote->kept[zygote->kept_count++] = slot;
}

int
kh_zygote_ask(struct kh_zygote *zygote, int pidfd, int talk)
{
    union {
        char space[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {(char[]){'J'}, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int r;

    if (zygote->state != KH_ZYGOTE_READY)
        return -EAGAIN;
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(head), (int[]){pidfd, talk}, 2 * sizeof(int));
    r = sendmsg(zygote->sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
    if (r < 0 && r != -EAGAIN)
        zygote->missed = true;
    return r;
}

void
kh_zygote_end_all(struct kh_host *host)
{
    struct kh_zygote *zygote, *next;

    for (zygote = host->zygotes; zygote; zygote = next) {
        next = zygote->next;
        drop(zygote);
    }
}
