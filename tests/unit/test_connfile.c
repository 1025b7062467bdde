#include "protocol/jupyter/connfile.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/data.h"
#include "tests/tap.h"

static const enum kh_channel order[] = {KH_CHANNEL_SHELL, KH_CHANNEL_IOPUB,
                                        KH_CHANNEL_STDIN, KH_CHANNEL_CONTROL,
                                        KH_CHANNEL_HB};

static void
valid(const char *name)
{
    struct kh_slice json = data_file("connfile/valid/%s/file.json", name);
    struct kh_slice want = data_file("connfile/valid/%s/endpoints", name);
    struct kh_connfile file, again;
    struct kh_error err = {.text = ""};
    struct kh_buf got = KH_BUF_INIT, text = KH_BUF_INIT;
    char endpoint[KH_ENDPOINT_SIZE];
    size_t i;

    memset(&file, 0, sizeof(file));
    memset(&again, 0, sizeof(again));
    is_int(kh_connfile_parse(json, &file, &err), 0, "%s is taken: %s", name, err.text);
    for (i = 0; i < 5; i++) {
        kh_connfile_endpoint(&file, order[i], endpoint, NULL);
        kh_buf_addf(&got, "%s\n", endpoint);
    }
    kh_buf_add(&got, "", 1);
    is_str(kh_buf_ptr(&got), (const char *)want.data, "%s has these endpoints", name);
    kh_connfile_format(&file, &text);
    kh_connfile_parse((struct kh_slice){kh_buf_ptr(&text), kh_buf_len(&text)}, &again,
                      NULL);
    ok(!memcmp(&file, &again, sizeof(file)), "%s is the same when written", name);
    kh_buf_release(&got);
    kh_buf_release(&text);
    free((void *)json.data);
    free((void *)want.data);
}

static void
invalid(const char *name)
{
    struct kh_slice json = data_file("connfile/invalid/%s/file.json", name);
    struct kh_slice want = data_file("connfile/invalid/%s/error", name);
    struct kh_connfile file = {.kernel_name = "untouched"};
    struct kh_error err = {.text = "accepted"};
    char *line = (char *)want.data;

    line[strcspn(line, "\n")] = '\0';
    ok(kh_connfile_parse(json, &file, &err) < 0 && strstr(err.text, line), "%s: %s",
       name, err.text);
    is_str(file.kernel_name, "untouched", "%s leaves the output alone", name);
    free((void *)json.data);
    free((void *)want.data);
}

static void
each(const char *directory, void (*check)(const char *name))
{
    struct dirent **names;
    int count = data_list(directory, &names), i;

    for (i = 0; i < count; i++)
        check(names[i]->d_name);
    data_list_free(names, count);
}

static struct kh_connfile
sample(void)
{
    struct kh_connfile file = {.transport = "ipc",
                               .ip = "/run/k",
                               .port = {1, 2, 3, 4, 5},
                               .signature_scheme = KH_SIGN_SCHEME,
                               .kernel_name = "python3"};

    kh_connfile_new_key(&file);
    return file;
}

static void
on_disk(void)
{
    char directory[] = "/tmp/kh-connfile-XXXXXX";
    struct kh_connfile file = sample(), again;
    struct kh_error err = {.text = ""};
    struct dirent **names;
    struct stat st;
    int dirfd, count;

    dirfd =
        mkdtemp(directory) ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    umask(0);
    is_int(kh_connfile_write(&file, dirfd, "kernel-1.json", &err), 0,
           "it is written %s", err.text);
    ok(fstatat(dirfd, "kernel-1.json", &st, 0) == 0 && (st.st_mode & 07777) == 0600,
       "for its owner only, whatever the umask");
    kh_connfile_new_key(&file);
    kh_connfile_write(&file, dirfd, "kernel-1.json", &err);
    is_int(kh_connfile_read(dirfd, "kernel-1.json", &again, &err), 0, "and read back");
    ok(!memcmp(&file, &again, sizeof(file)), "the newest as it was");
    count = scandir(directory, &names, data_visible, alphasort);
    is_int(count, 1, "no other file is left");
    data_list_free(names, count);
    file.key[0] = '\0';
    ok(kh_connfile_write(&file, dirfd, "kernel-2.json", &err) == -EINVAL &&
           faccessat(dirfd, "kernel-2.json", F_OK, 0) < 0,
       "one without a key is not written");
    is_int(kh_connfile_read(dirfd, "kernel-3.json", &again, &err), -ENOENT,
           "an absent one is not read");
    unlinkat(dirfd, "kernel-1.json", 0);
    rmdir(directory);
    close(dirfd);
}

static void
locality(void)
{
    static const struct {
        const char *transport, *ip;
        bool local;
    } cases[] = {
        {"ipc", "/x", true},        {"tcp", "127.0.0.1", true},
        {"tcp", "127.9.9.9", true}, {"tcp", "localhost", true},
        {"tcp", "::1", true},       {"tcp", "0.0.0.0", false},
        {"tcp", "*", false},        {"tcp", "::", false},
        {"tcp", "10.0.0.1", false}, {"tcp", "::ffff:1.2.3.4", false},
    };
    struct kh_connfile file = sample();
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        snprintf(file.transport, sizeof(file.transport), "%s", cases[i].transport);
        snprintf(file.ip, sizeof(file.ip), "%s", cases[i].ip);
        ok(kh_connfile_is_local(&file) == cases[i].local, "%s %s is %slocal",
           cases[i].transport, cases[i].ip, cases[i].local ? "" : "not ");
    }
}

int
main(void)
{
    struct kh_connfile a = sample(), b = sample();
    struct kh_error err;

    each("connfile/valid", valid);
    each("connfile/invalid", invalid);
    on_disk();
    locality();
    ok(strlen(a.key) == 64 && strspn(a.key, "0123456789abcdef") == 64,
       "a new key is 64 hexadecimal digits");
    ok(strcmp(a.key, b.key), "and another each time");
    b.port[KH_CHANNEL_STDIN] = 0;
    ok(kh_connfile_check(&b, &err) == -EINVAL && strstr(err.text, "'stdin_port'"),
       "a port that was never set is found");
    is_int(kh_connfile_parse((struct kh_slice){"{}", KH_CONNFILE_MAX + 1}, &b, &err),
           -EBADMSG, "a text over the limit is refused unread");
    kh_connfile_wipe(&a);
    ok(!a.key[0] && !a.key[63], "wiping leaves nothing");
    return done();
}
