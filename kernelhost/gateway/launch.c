#include "kernelhost/gateway/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/death.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/registry.h"

struct kh_launch {
    struct kh_launches *launches;
    struct kh_launch *next;
    struct kh_connfile asked;
    char sandbox[KH_NAME_SIZE]; /* named after the connection */
    struct kh_kernel *kernel;   /* NULL: not yet, or no more */
    struct kh_timer *timer;     /* until the sandbox is removed */
    struct kh_launch_events events;
    bool attached; /* a launcher listens */
    bool pending;  /* kernelhostd or the sandbox is being waited for */
    bool used;     /* the interpreter has had a launcher */
    bool doomed;   /* freed once nothing is pending */
    uint64_t mark; /* the database's, as its endpoints were put */
};

struct kh_launches {
    struct kh_gateway *gateway;
    struct kh_launch *list;
    unsigned count;
};

struct kh_launches *
kh_launches_new(struct kh_gateway *gateway)
{
    struct kh_launches *launches = kh_xcalloc(1, sizeof(*launches));

    launches->gateway = gateway;
    return launches;
}

static struct kh_sandbox *
sandbox_of(struct kh_launch *launch)
{
    return kh_registry_find(launch->launches->gateway->registry, launch->sandbox);
}

/* Out of the list: nobody finds it any more. */
static void
unlist(struct kh_launch *launch)
{
    struct kh_launch **at = &launch->launches->list;

    while (*at && *at != launch)
        at = &(*at)->next;
    if (*at) {
        *at = launch->next;
        launch->launches->count--;
    }
}

static void
free_launch(struct kh_launch *launch)
{
    unlist(launch);
    kh_timer_close(launch->timer);
    kh_connfile_wipe(&launch->asked);
    free(launch);
}

static void
tell_ended(struct kh_launch *launch, const char *reason, int status,
           const struct kh_error *err)
{
    if (!launch->attached)
        return;
    launch->attached = false;
    launch->events.ended(launch->events.arg, reason, status, err);
}

static void
on_removed(void *arg, const struct kh_error *err)
{
    struct kh_launch *launch = arg;

    if (err)
        kh_log(KH_LOG_WARN, "sandbox of a launcher is not removed name=%s why=%s",
               launch->sandbox, err->text);
    free_launch(launch);
}

/* The end of it: the sandbox goes, and this with it. */
static void
remove_launch(struct kh_launch *launch)
{
    struct kh_sandbox *sandbox;

    unlist(launch);
    kh_timer_stop(launch->timer);
    launch->doomed = true;
    if (launch->pending)
        return;
    sandbox = sandbox_of(launch);
    if (!sandbox) {
        free_launch(launch);
        return;
    }
    launch->pending = true;
    kh_registry_remove(launch->launches->gateway->registry, sandbox, on_removed,
                       launch);
}

static void
on_timer(void *arg)
{
    remove_launch(arg);
}

static void
linger(struct kh_launch *launch)
{
    if (!launch->doomed)
        kh_timer_start(launch->timer, KH_LAUNCH_LINGER_MS, 0);
}

static void
fail(struct kh_launch *launch, const struct kh_error *err)
{
    struct kh_error copy = *err;

    tell_ended(launch, "died", 1, &copy);
    remove_launch(launch);
}

static void
on_shutdown(void *arg, bool restart)
{
    struct kh_launch *launch = arg;

    tell_ended(launch, restart ? "restart" : "shutdown", 0, NULL);
    if (!restart) {
        kh_timer_start(launch->timer, 0, 0);
        return;
    }
    launch->used = false;
    kh_kernel_restart(launch->kernel);
    linger(launch);
}

static int
shell_status(uint32_t status)
{
    if (status == KH_STATUS_UNKNOWN)
        return 1;
    return WIFSIGNALED((int)status) ? 128 + WTERMSIG((int)status)
                                    : WEXITSTATUS((int)status);
}

static void
on_died(void *arg, uint32_t status)
{
    struct kh_launch *launch = arg;

    launch->used = true;
    tell_ended(launch, "died", shell_status(status), NULL);
    linger(launch);
}

static void
on_gone(void *arg)
{
    struct kh_launch *launch = arg;

    launch->kernel = NULL;
    tell_ended(launch, "shutdown", 0, NULL);
    if (!launch->pending && !launch->doomed)
        kh_timer_start(launch->timer, 0, 0);
}

#define OWNER(launch)                                                                  \
    .shutdown = on_shutdown, .died = on_died, .gone = on_gone, .arg = (launch)

static int
bind_kernel(struct kh_launch *launch, const struct kh_connfile **ret_file,
            struct kh_error *err)
{
    struct kh_connfile file = launch->asked;
    char prefix[KH_PREFIX_SIZE] = "";
    int r = 0;

    launch->mark = kh_database_mark(launch->launches->gateway->database);
    if (kh_connfile_is_ipc(&file))
        r = kh_kernel_own_place(launch->launches->gateway, &file, prefix, err);
    if (r == 0)
        r = kh_kernel_bind(launch->kernel, &file, prefix, ret_file, err);
    kh_connfile_wipe(&file);
    return r;
}

static void
tell_ready(struct kh_launch *launch, const struct kh_connfile *file)
{
    launch->used = true;
    if (launch->attached)
        launch->events.ready(launch->events.arg, launch->sandbox,
                             kh_kernel_id(launch->kernel), file);
    else
        linger(launch);
}

static void
on_saved(void *arg, const struct kh_error *err)
{
    struct kh_launch *launch = arg;
    const struct kh_connfile *file = NULL;
    struct kh_error why;

    launch->pending = false;
    if (launch->doomed)
        remove_launch(launch);
    else if (err)
        fail(launch, err);
    else if (!launch->kernel)
        kh_timer_start(launch->timer, 0, 0); /* it was shut down meanwhile */
    else if (bind_kernel(launch, &file, &why) < 0)
        fail(launch, &why);
    else
        tell_ready(launch, file);
}

/* The launcher hears of endpoints that a restart of the host finds again. */
static void
save(struct kh_launch *launch)
{
    launch->pending = true;
    kh_database_sync(launch->launches->gateway->database, launch->mark, on_saved,
                     launch);
}

/* What runs in it was started for an earlier gateway's launcher. */
static void
stop_kernels(struct kh_sandbox *sandbox)
{
    struct kh_kernel *kernel = kh_sandbox_kernels(sandbox);

    for (; kernel; kernel = kh_kernel_next(kernel))
        kh_kernel_stop(kernel);
}

static void
on_up(void *arg, const struct kh_error *err)
{
    struct kh_launch *launch = arg;
    const struct kh_kernel_owner owner = {OWNER(launch)};
    const struct kh_connfile *file = NULL;
    struct kh_error why;

    launch->pending = false;
    if (launch->doomed) {
        remove_launch(launch);
        return;
    }
    if (err) {
        fail(launch, err);
        return;
    }
    stop_kernels(sandbox_of(launch));
    if (kh_sandbox_need_kernel(sandbox_of(launch), "python", true, &owner,
                               &launch->kernel, &why) < 0 ||
        bind_kernel(launch, &file, &why) < 0) {
        fail(launch, &why);
        return;
    }
    kh_kernel_start(launch->kernel);
    save(launch);
}

static void
bring_up(struct kh_launch *launch)
{
    launch->pending = true;
    kh_sandbox_up(sandbox_of(launch), on_up, launch);
}

static void
on_created(void *arg, struct kh_sandbox *sandbox, const struct kh_error *err)
{
    struct kh_launch *launch = arg;

    launch->pending = false;
    if (!sandbox) {
        fail(launch, err);
        return;
    }
    if (launch->doomed)
        remove_launch(launch);
    else
        bring_up(launch);
}

/* What an earlier launcher left: its endpoints are bound, its disk is there. */
static void
take_over(struct kh_launch *launch, bool resume)
{
    const struct kh_connfile *file = NULL;
    struct kh_error err;

    kh_timer_stop(launch->timer);
    if (launch->pending)
        return; /* ready comes */
    if (!launch->kernel) {
        bring_up(launch);
        return;
    }
    if (launch->used && !resume) /* it died, or its launcher has not gone yet */
        kh_kernel_restart(launch->kernel);
    if (bind_kernel(launch, &file, &err) < 0)
        fail(launch, &err);
    else
        save(launch);
}

static struct kh_launch *
find(struct kh_launches *launches, const char *name)
{
    struct kh_launch *launch = launches->list;

    while (launch && strcmp(launch->sandbox, name))
        launch = launch->next;
    return launch;
}

static struct kh_launch *
new_launch(struct kh_launches *launches, const char *name)
{
    struct kh_launch *launch = kh_xcalloc(1, sizeof(*launch));

    launch->launches = launches;
    snprintf(launch->sandbox, sizeof(launch->sandbox), "%s", name);
    launch->timer = kh_timer_new(launches->gateway->loop, on_timer, launch);
    launch->next = launches->list;
    launches->list = launch;
    launches->count++;
    return launch;
}

void
kh_launches_adopt(struct kh_launches *launches)
{
    struct kh_sandbox *sandbox;
    unsigned i = 0;

    while ((sandbox = kh_registry_at(launches->gateway->registry, i++))) {
        struct kh_launch *launch;

        if (!kh_launch_owns(kh_sandbox_name(sandbox)))
            continue;
        launch = new_launch(launches, kh_sandbox_name(sandbox));
        launch->kernel = kh_sandbox_kernels(sandbox);
        if (launch->kernel)
            kh_kernel_own(launch->kernel, &(struct kh_kernel_owner){OWNER(launch)});
        launch->used = true;
        linger(launch);
    }
}

static int
check(const struct kh_connfile *file, struct kh_error *err)
{
    if (file->curve_publickey[0])
        return kh_fail(err, EINVAL,
                       "encrypted connection files cannot be served yet (hint: "
                       "KernelManager.transport_encryption = 'disabled')");
    if (!kh_connfile_is_local(file))
        return kh_fail(err, EINVAL,
                       "'%s' is no loopback address: messages are not encrypted",
                       file->ip);
    return 0;
}

int
kh_launch_start(struct kh_launches *launches, const struct kh_connfile *file,
                const char *image, const struct kh_limits *limits, bool resume,
                const struct kh_launch_events *events, struct kh_launch **ret_launch,
                struct kh_error *err)
{
    char name[KH_NAME_SIZE];
    struct kh_launch *launch;
    bool known;
    int r = check(file, err);

    if (r < 0)
        return r;
    kh_launch_name(file, name);
    launch = find(launches, name);
    known = launch;
    if (!known && launches->count >= KH_LAUNCHES_MAX)
        return kh_fail(err, EAGAIN, "%u kernels of launchers run already",
                       launches->count);
    if (resume && !(known && (launch->kernel || launch->pending)))
        return kh_fail(err, ENOENT, "the kernel of this connection is gone");
    if (known)
        tell_ended(launch, "restart", 0, NULL);
    else
        launch = new_launch(launches, name);
    launch->asked = *file;
    launch->events = *events;
    launch->attached = true;
    *ret_launch = launch;
    if (known) {
        take_over(launch, resume);
        return 0;
    }
    launch->pending = true;
    kh_registry_create(launches->gateway->registry, name, image, limits, on_created,
                       launch);
    return 0;
}

/* A KernelManager that restarts at once has killed its launcher, and its clients
 * wait for an answer on the same ports: it must not come from the old interpreter. */
void
kh_launch_leave(struct kh_launch *launch)
{
    launch->attached = false;
    if (launch->kernel)
        kh_kernel_restart(launch->kernel);
    launch->used = false;
    linger(launch);
}

void
kh_launches_free(struct kh_launches *launches)
{
    struct kh_launch *launch, *next;

    if (!launches)
        return;
    for (launch = launches->list; launch; launch = next) {
        next = launch->next;
        free_launch(launch);
    }
    free(launches);
}
