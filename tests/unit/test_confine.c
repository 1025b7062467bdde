/* What a confined gateway can still do, and what it cannot, each in a child of
 * its own. */
#include "kernelhost/gateway/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tap.h"

#define NO_LANDLOCK 254

static int landlock;

/* Each returns 0, or an errno value. */
static int
result(long r)
{
    return r < 0 ? errno : 0;
}

static void *
nothing(void *arg)
{
    return arg;
}

static int
make_thread(void)
{
    pthread_t thread;
    int r = pthread_create(&thread, NULL, nothing, NULL);

    return r ? r : pthread_join(thread, NULL);
}

static int
write_here(void)
{
    int fd = open("here", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    return fd < 0 || write(fd, "x", 1) != 1 || rename("here", "there") < 0
               ? errno
               : result(unlink("there"));
}

static int
bind_here(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return errno;
    return result(unlink("sock"));
}

static int
listen_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0
               ? errno
               : result(listen(fd, 1));
}

static int
connect_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(1),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (landlock < 4)
        return NO_LANDLOCK;
    return result(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

static int
read_elsewhere(void)
{
    return landlock ? result(open("/etc/passwd", O_RDONLY | O_CLOEXEC)) : NO_LANDLOCK;
}

static int
write_elsewhere(void)
{
    return landlock ? result(open("../x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600))
                    : NO_LANDLOCK;
}

static int
kill_parent(void)
{
    return result(kill(getppid(), 0));
}

static int
run_program(void)
{
    char program[] = "/bin/true";
    char *const argv[] = {program, NULL};

    return result(execv(program, argv));
}

static int
fork_child(void)
{
    return result(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int
call_clone3(void)
{
    return result(syscall(SYS_clone3, NULL, 0));
}

static int
call_unshare(void)
{
    return result(unshare(CLONE_NEWUSER));
}

static int
call_ptrace(void)
{
    return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int
call_mount(void)
{
    return result(mount("none", ".", "tmpfs", 0, NULL));
}

static int
call_memfd(void)
{
    return result(memfd_create("x", MFD_CLOEXEC));
}

static int
call_keyctl(void)
{
    return result(syscall(SYS_keyctl, 0, -3, 0));
}

static int
call_bpf(void)
{
    return result(syscall(SYS_bpf, 0, NULL, 0));
}

static int
call_io_uring(void)
{
    return result(syscall(SYS_io_uring_setup, 1, NULL));
}

static int
call_dumpable(void)
{
    return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int
socket_netlink(void)
{
    return result(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int
socket_vsock(void)
{
    return result(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int
socket_packet(void)
{
    return result(socket(AF_PACKET, SOCK_RAW, 0));
}

/* A family whose low 32 bits are allowed and whose high ones are set. */
static int
socket_upper(void)
{
    return result(syscall(SYS_socket, AF_VSOCK | 1ull << 32, SOCK_STREAM, 0));
}

static int
ioctl_tty(void)
{
    return result(syscall(SYS_ioctl, 0, 0x5412, "x"));
}

static int
ioctl_upper(void)
{
    return result(syscall(SYS_ioctl, 0, 0x5412 | 1ull << 32, "x"));
}

static const struct {
    const char *text;
    int (*attempt)(void);
    int want;
} table[] = {
    {"a thread is made", make_thread, 0},
    {"a file is written here", write_here, 0},
    {"a socket is bound here", bind_here, 0},
    {"a TCP port is listened on", listen_tcp, 0},
    {"no TCP connection is made", connect_tcp, EACCES},
    {"no file elsewhere is read", read_elsewhere, EACCES},
    {"no file elsewhere is made", write_elsewhere, EACCES},
    {"no process is signalled", kill_parent, EPERM},
    {"no program is run", run_program, EPERM},
    {"no process is made", fork_child, EPERM},
    {"clone3 is not there", call_clone3, ENOSYS},
    {"no namespace is made", call_unshare, EPERM},
    {"nothing is traced", call_ptrace, EPERM},
    {"nothing is mounted", call_mount, EPERM},
    {"no memfd is made", call_memfd, EPERM},
    {"no key is asked for", call_keyctl, EPERM},
    {"no BPF program is loaded", call_bpf, EPERM},
    {"no io_uring is made", call_io_uring, EPERM},
    {"it cannot become dumpable", call_dumpable, EPERM},
    {"netlink is not supported", socket_netlink, EOPNOTSUPP},
    {"vsock is refused", socket_vsock, EPERM},
    {"packet sockets are refused", socket_packet, EPERM},
    {"upper bits do not help a socket", socket_upper, EPERM},
    {"no byte is pushed into a terminal", ioctl_tty, EPERM},
    {"upper bits do not help an ioctl", ioctl_upper, EPERM},
};

/* The errno value of the attempt, made confined in a child. */
static int
confined(int (*attempt)(void))
{
    struct kh_error err;
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        if (kh_confine(NULL, &landlock, &err) < 0) {
            fprintf(stderr, "# %s\n", err.text);
            _exit(255);
        }
        _exit(attempt());
    }
    if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

int
main(void)
{
    char dir[] = "/tmp/kh-confine-XXXXXX";
    size_t i;

    if (!mkdtemp(dir) || chdir(dir) < 0)
        return 1;
    for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
        int got = confined(table[i].attempt);

        if (got == NO_LANDLOCK)
            ok(true, "%s # SKIP this kernel's Landlock is too old", table[i].text);
        else
            is_int(got, table[i].want, "%s", table[i].text);
    }
    if (chdir("/") == 0)
        rmdir(dir);
    return done();
}
