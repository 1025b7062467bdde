#include "sandbox/host/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/tree.h"

#define BROKER_FD 3
#define API_FD    4
#define LOCK_FD   5
#define LEDGER_FD 6

/* Memory that the system keeps for as long as it runs; where there is none a file has
 * to do. */
#define LEDGER_DIR "/dev/shm"

#define OLD_GATEWAY_MS 3000

static int
bind_api(const struct kh_store *store, struct kh_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask;
    int r;

    if (sock < 0)
        return kh_fail_errno(err, "cannot make the API socket");
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/api.sock",
             store->path);
    if (unlink(address.sun_path) < 0 && errno != ENOENT)
        return kh_fail_errno(err, "cannot remove the old '%s'", address.sun_path);
    mask = umask(0177);
    r = bind(sock, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (r < 0 || listen(sock, 512) < 0)
        return kh_fail_errno(err, "cannot listen on '%s'", address.sun_path);
    return STEAL_FD(sock);
}

/* The process that holds LOCK, or 0. */
static pid_t
holder(int lock)
{
    struct flock query = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(lock, F_GETLK, &query) < 0 || query.l_type == F_UNLCK ? 0
                                                                       : query.l_pid;
}

/* It was told to end when its parent did. Who holds the lock is no other process than
 * the one whose number the kernel says, as long as it holds it. */
static int
wait_for_old(const struct kh_store *store, struct kh_error *err)
{
    AUTO_FD int lock = openat(store->run, "gateway.lock",
                              O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    AUTO_FD int pidfd = -1;
    struct pollfd poller = {.events = POLLIN};
    pid_t pid;

    if (lock < 0)
        return kh_fail_errno(err, "cannot open the gateway's lock");
    pid = holder(lock);
    if (!pid)
        return 0;
    pidfd = kh_sys_pidfd_open(pid);
    if (pidfd < 0 || holder(lock) != pid)
        return 0; /* just ended */
    poller.fd = pidfd;
    if (poll(&poller, 1, OLD_GATEWAY_MS) == 0) {
        (void)kh_sys_pidfd_signal(pidfd, SIGKILL);
        (void)poll(&poller, 1, OLD_GATEWAY_MS);
    }
    return holder(lock) ? kh_fail(err, EBUSY,
                                  "the gateway of before, process %d, does "
                                  "not end",
                                  (int)pid)
                        : 0;
}

int
kh_gateway_open(struct kh_gateway *gateway, const struct kh_store *store,
                const char *binary, int api, struct kh_error *err)
{
    const struct passwd *user;

    memset(gateway, 0, sizeof(*gateway));
    gateway->broker = gateway->api = gateway->process.pidfd = -1;
    gateway->binary = binary;
    user = getpwnam(KH_GATEWAY_USER);
    if (!user)
        return kh_fail(err, ENOENT,
                       "there is no system user '" KH_GATEWAY_USER "' (hint: useradd "
                       "--system --no-create-home --shell /usr/sbin/nologin "
                       "" KH_GATEWAY_USER ")");
    if (user->pw_uid == 0)
        return kh_fail(err, EPERM, "the user '" KH_GATEWAY_USER "' must not be root");
    gateway->uid = user->pw_uid;
    gateway->gid = user->pw_gid;
    if (access(binary, X_OK) < 0)
        return kh_fail_errno(err, "cannot execute '%s'", binary);
    if (wait_for_old(store, err) < 0)
        return -err->code;
    gateway->api = api >= 0 ? api : bind_api(store, err);
    return gateway->api < 0 ? gateway->api : 0;
}

void
kh_gateway_close(struct kh_gateway *gateway, const struct kh_store *store)
{
    if (gateway->api >= 0) {
        (void)unlinkat(store->run, "api.sock", 0);
        (void)unlinkat(store->run, "gateway.lock", 0);
    }
    kh_fd_close(&gateway->api);
    kh_fd_close(&gateway->broker);
}

static void
remove_old(const struct kh_store *store)
{
    AUTO_FD int old = openat(store->run, "gateway.old",
                             O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    if (old >= 0 && kh_tree_empty(old, NULL) == 0)
        (void)unlinkat(store->run, "gateway.old", AT_REMOVEDIR);
}

/* An earlier gateway may still be ending, and removes what it made: not below the
 * name that the next one uses. What cannot be removed now goes the next time. */
static void
put_away(const struct kh_store *store)
{
    remove_old(store);
    if (renameat(store->run, "gateway", store->run, "gateway.old") == 0)
        remove_old(store);
}

/* Its directory, empty: an earlier one left sockets of dead kernels. */
static int
make_directory(const struct kh_gateway *gateway, const struct kh_store *store,
               struct kh_error *err)
{
    AUTO_FD int dir = -1;
    int r;

    put_away(store);
    if (mkdirat(store->run, "gateway", 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make the gateway's directory");
    dir =
        openat(store->run, "gateway", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return kh_fail_errno(err, "cannot open the gateway's directory");
    r = kh_tree_empty(dir, err);
    if (r == 0 &&
        (fchown(dir, gateway->uid, gateway->gid) < 0 || fchmod(dir, 0700) < 0))
        r = kh_fail_errno(err, "cannot give the gateway its directory");
    return r < 0 ? r : STEAL_FD(dir);
}

/* Its database is in it; as seen from its working directory. */
#define REGISTRY_PATH "../../registry"
#define CONFIG_PATH   "../../config.json"

static int
make_registry(const struct kh_gateway *gateway, const struct kh_store *store,
              struct kh_error *err)
{
    AUTO_FD int dir = -1;

    if (mkdirat(store->state, "registry", 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make the registry's directory");
    dir = openat(store->state, "registry",
                 O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0 || fchown(dir, gateway->uid, gateway->gid) < 0 || fchmod(dir, 0700) < 0)
        return kh_fail_errno(err, "cannot give the gateway its registry");
    return 0;
}

/* Where the ledger is: one name for each state directory. */
static void
ledger_path(const struct kh_store *store, char *out, size_t size)
{
    struct statfs fs;
    struct stat st;

    if (statfs(LEDGER_DIR, &fs) == 0 && fs.f_type == TMPFS_MAGIC &&
        fstat(store->state, &st) == 0)
        snprintf(out, size, LEDGER_DIR "/kernelhost-%jx-%jx", (uintmax_t)st.st_dev,
                 (uintmax_t)st.st_ino);
    else
        snprintf(out, size, "%s/run/ledger", store->path);
}

/* Anybody may make files in /dev/shm: one that is not ours, whole, is replaced. */
static int
open_ledger(const struct kh_store *store, struct kh_error *err)
{
    char path[KH_STATE_PATH_MAX + 32];
    AUTO_FD int fd = -1;
    struct stat st;

    ledger_path(store, path, sizeof(path));
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
        st.st_nlink == 1 && (st.st_mode & 07777) == 0600)
        return STEAL_FD(fd);
    kh_fd_close(&fd);
    if (unlink(path) < 0 && errno != ENOENT)
        return kh_fail_errno(err, "cannot remove '%s'", path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return kh_fail_errno(err, "cannot make '%s'", path);
    return STEAL_FD(fd);
}

void
kh_gateway_forget(const struct kh_store *store)
{
    char path[KH_STATE_PATH_MAX + 32];

    ledger_path(store, path, sizeof(path));
    (void)unlink(path);
}

/* The lock goes with the first descriptor of the file that is closed, so there is one
 * only; it cannot be written to. */
static int
hold_lock(const struct kh_store *store)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = openat(store->run, "gateway.lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0 && fd != LOCK_FD) {
        if (dup2(fd, LOCK_FD) < 0)
            return -errno;
        close(fd);
    }
    return fd < 0 || fcntl(LOCK_FD, F_SETLK, &lock) < 0 ? -errno : 0;
}

/* Gives the descriptors the numbers that the gateway knows, out of each other's way;
 * all others are closed at exec. */
static int
number_descriptors(const struct kh_gateway *gateway, const struct kh_store *store,
                   int broker, int ledger)
{
    int high = fcntl(broker, F_DUPFD_CLOEXEC, 10);
    int book = fcntl(ledger, F_DUPFD_CLOEXEC, 10), fd;

    if (high < 0 || book < 0 || dup2(gateway->api, API_FD) < 0 ||
        dup2(high, BROKER_FD) < 0 || hold_lock(store) < 0 ||
        dup2(book, LEDGER_FD) < 0 ||
        syscall(SYS_close_range, LEDGER_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return -errno;
    for (fd = BROKER_FD; fd <= LEDGER_FD; fd++)
        if (kh_fd_cloexec(fd, false) < 0)
            return -errno;
    return 0;
}

static int
become_gateway(const struct kh_gateway *gateway, const struct kh_store *store, int dir,
               int broker, int ledger)
{
    struct rlimit files;
    sigset_t none;
    int cap;

    if (fchdir(dir) < 0 || setpgid(0, 0) < 0 ||
        number_descriptors(gateway, store, broker, ledger) < 0)
        return -errno;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    if (setgroups(0, NULL) < 0 ||
        setresgid(gateway->gid, gateway->gid, gateway->gid) < 0 ||
        setresuid(gateway->uid, gateway->uid, gateway->uid) < 0)
        return -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(077);
    return 0;
}

/* The binary is opened before ids change: its path may not be open to them. */
static void
exec_gateway(const struct kh_gateway *gateway, const struct kh_store *store, int dir,
             int broker, int ledger)
{
    int binary = open(gateway->binary, O_RDONLY | O_CLOEXEC);
    char public[KH_STATE_PATH_MAX + 16];
    const char *const argv[] = {"kernelhost-gateway",
                                "--broker-fd",
                                "3",
                                "--api-fd",
                                "4",
                                "--ledger-fd",
                                "6",
                                "--registry-dir",
                                REGISTRY_PATH,
                                "--config",
                                CONFIG_PATH,
                                "--public-dir",
                                public,
                                NULL};
    static const char *const envp[] = {"LANG=C.UTF-8", NULL};
    struct kh_error err = {0};

    snprintf(public, sizeof(public), "%s/run/gateway", store->path);
    binary = binary < 0 ? binary : fcntl(binary, F_DUPFD_CLOEXEC, 20);
    if (binary < 0 || become_gateway(gateway, store, dir, broker, ledger) < 0)
        kh_fail_errno(&err, "kernelhostd: error cannot become the gateway");
    else {
        /* exec writes to neither; its prototype is older than const. */
        fexecve(binary, (char *const *)argv, (char *const *)envp);
        kh_fail_errno(&err, "kernelhostd: error cannot execute '%s'", gateway->binary);
    }
    dprintf(STDERR_FILENO, "%s\n", err.text);
    _exit(127);
}

int
kh_gateway_start(struct kh_gateway *gateway, const struct kh_store *store,
                 void (*ended)(struct kh_process *, int status), void *owner,
                 struct kh_error *err)
{
    AUTO_FD int dir = -1, ours = -1, ledger = -1;
    struct timespec now;
    int pair[2], pidfd = -1;
    int64_t now_ms;
    pid_t pid;

    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (now.tv_sec - gateway->minute >= 60 || !gateway->starts ||
        now_ms - gateway->started >= KH_GATEWAY_LIVED_MS) {
        gateway->minute = now.tv_sec;
        gateway->starts = 0;
    }
    if (++gateway->starts > KH_GATEWAY_RESTARTS)
        return kh_fail(err, EAGAIN, "the gateway ended %d times in a minute",
                       KH_GATEWAY_RESTARTS);
    gateway->started = now_ms;
    dir = make_directory(gateway, store, err);
    if (dir < 0)
        return dir;
    if (make_registry(gateway, store, err) < 0)
        return -err->code;
    ledger = open_ledger(store, err);
    if (ledger < 0)
        return ledger;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return kh_fail_errno(err, "cannot make the broker socket");
    ours = pair[0];
    kh_fd_refuse_fds(ours);
    pid = kh_sys_clone(0, -1, &pidfd);
    if (pid == 0)
        exec_gateway(gateway, store, dir, pair[1], ledger);
    close(pair[1]);
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    kh_fd_close(&gateway->broker);
    gateway->broker = STEAL_FD(ours);
    return kh_process_watch(&gateway->process, pid, pidfd, ended, owner, err);
}
