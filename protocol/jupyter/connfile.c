#include "protocol/jupyter/connfile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/clean.h"
#include "base/fd.h"
#include "protocol/jupyter/json.h"

#define CURVE_KEY 40 /* characters of Z85 */

enum kind { TEXT, PORT };

static const struct field {
    const char *name;
    enum kind kind;
    bool required;
    size_t offset, size;
} fields[] = {
#define TEXT_FIELD(name, required)                                                     \
    {                                                                                  \
#name, TEXT, required, offsetof(struct kh_connfile, name),                     \
            sizeof(((struct kh_connfile *)0)->name)                                    \
    }
#define PORT_FIELD(name, channel)                                                      \
    {                                                                                  \
        name, PORT, true, offsetof(struct kh_connfile, port[channel]),                 \
            sizeof(uint16_t)                                                           \
    }
    PORT_FIELD("shell_port", KH_CHANNEL_SHELL),
    PORT_FIELD("iopub_port", KH_CHANNEL_IOPUB),
    PORT_FIELD("stdin_port", KH_CHANNEL_STDIN),
    PORT_FIELD("control_port", KH_CHANNEL_CONTROL),
    PORT_FIELD("hb_port", KH_CHANNEL_HB),
    TEXT_FIELD(transport, false),
    TEXT_FIELD(ip, true),
    TEXT_FIELD(key, true),
    TEXT_FIELD(signature_scheme, false),
    TEXT_FIELD(kernel_name, false),
    TEXT_FIELD(jupyter_session, false),
    TEXT_FIELD(curve_publickey, false),
    TEXT_FIELD(curve_secretkey, false),
};

static int
take_text(const struct field *field, struct kh_json_value value,
          struct kh_connfile *file, struct kh_error *err)
{
    long r = kh_json_text(value, (char *)file + field->offset, field->size);

    if (r == -EMSGSIZE)
        return kh_fail(err, EINVAL, "'%s' is longer than %zu bytes", field->name,
                       field->size - 1);
    if (r < 0)
        return kh_fail(err, EINVAL, "'%s' must be a string without NUL", field->name);
    return 0;
}

static int
take_port(const struct field *field, struct kh_json_value value,
          struct kh_connfile *file, struct kh_error *err)
{
    uint16_t *port = (uint16_t *)(void *)((char *)file + field->offset);
    int64_t number;

    if (kh_json_integer(value, 1, 65535, &number) < 0)
        return kh_fail(err, EINVAL, "'%s' must be a number from 1 to 65535",
                       field->name);
    *port = (uint16_t)number;
    return 0;
}

static int
take_field(const struct field *field, struct kh_json_value value,
           struct kh_connfile *file, struct kh_error *err)
{
    if (value.type == 0 || (value.type == KH_JSON_NULL && !field->required)) {
        if (field->required)
            return kh_fail(err, EINVAL, "'%s' is missing", field->name);
        return 0;
    }
    return field->kind == PORT ? take_port(field, value, file, err)
                               : take_text(field, value, file, err);
}

int
kh_connfile_parse(struct kh_slice json, struct kh_connfile *ret_file,
                  struct kh_error *err)
{
    struct kh_json_value values[KH_COUNT(fields)];
    const char *names[KH_COUNT(fields)];
    struct kh_connfile file = {.transport = "tcp"};
    size_t i;
    int r;

    if (json.size > KH_CONNFILE_MAX)
        return kh_fail(err, EBADMSG,
                       "connection file: %zu bytes are over the limit of %u", json.size,
                       KH_CONNFILE_MAX);
    for (i = 0; i < KH_COUNT(fields); i++)
        names[i] = fields[i].name;
    r = kh_json_find(json, names, KH_COUNT(fields), values, err);
    for (i = 0; i < KH_COUNT(fields) && r == 0; i++)
        r = take_field(&fields[i], values[i], &file, err);
    if (!file.signature_scheme[0])
        memcpy(file.signature_scheme, KH_SIGN_SCHEME, sizeof(KH_SIGN_SCHEME));
    if (r < 0)
        kh_fail_in(err, "connection file");
    else
        r = kh_connfile_check(&file, err);
    if (r == 0)
        *ret_file = file;
    kh_connfile_wipe(&file);
    return r;
}

static bool
is_address(const char *ip)
{
    unsigned char bytes[16];

    return !strcmp(ip, "*") || !strcmp(ip, "localhost") ||
           inet_pton(AF_INET, ip, bytes) == 1 || inet_pton(AF_INET6, ip, bytes) == 1;
}

static int
check_ip(const struct kh_connfile *file, struct kh_error *err)
{
    const char *c;

    if (!kh_connfile_is_ipc(file)) {
        if (is_address(file->ip))
            return 0;
        return kh_fail(err, EINVAL,
                       "'ip' must be an IPv4 or IPv6 address, 'localhost' "
                       "or '*' with transport tcp");
    }
    for (c = file->ip; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return kh_fail(err, EINVAL, "'ip' has a control character in its path");
    if (file->ip[0] != '/')
        return kh_fail(err, EINVAL,
                       "'ip' must be an absolute path prefix with transport ipc");
    return 0;
}

static int
check_ports(const struct kh_connfile *file, struct kh_error *err)
{
    int a, b;

    for (a = 0; a < KH_CHANNELS; a++) {
        if (!file->port[a])
            return kh_fail(err, EINVAL, "'%s_port' must be a number from 1 to 65535",
                           kh_channel_name(a));
        for (b = 0; b < a; b++)
            if (file->port[a] == file->port[b])
                return kh_fail(err, EINVAL, "'%s_port' and '%s_port' are both %u",
                               kh_channel_name(b), kh_channel_name(a), file->port[a]);
    }
    return 0;
}

static bool
is_z85(const char *key)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
                                 "RSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

    return strlen(key) == CURVE_KEY && strspn(key, digits) == CURVE_KEY;
}

static int
check_curve(const struct kh_connfile *file, struct kh_error *err)
{
    if (!file->curve_publickey[0] && !file->curve_secretkey[0])
        return 0;
    if (!is_z85(file->curve_publickey) || !is_z85(file->curve_secretkey))
        return kh_fail(err, EINVAL,
                       "'curve_publickey' and 'curve_secretkey' must both be "
                       "40 characters of Z85, or both be absent");
    return 0;
}

static int
check(const struct kh_connfile *file, struct kh_error *err)
{
    char endpoint[KH_ENDPOINT_SIZE];
    int r, i;

    if (strcmp(file->transport, "tcp") && strcmp(file->transport, "ipc"))
        return kh_fail(err, EINVAL, "'transport' must be 'tcp' or 'ipc'");
    if (!file->key[0])
        return kh_fail(err, EINVAL,
                       "'key' is empty, which would let anybody in (hint: put "
                       "a random secret there)");
    r = check_ip(file, err);
    if (r == 0)
        r = check_ports(file, err);
    if (r == 0)
        r = check_curve(file, err);
    for (i = 0; i < KH_CHANNELS && r == 0; i++)
        r = kh_connfile_endpoint(file, i, endpoint, err);
    return r;
}

int
kh_connfile_check(const struct kh_connfile *file, struct kh_error *err)
{
    int r = check(file, err);

    return r < 0 ? kh_fail_in(err, "connection file") : 0;
}

bool
kh_connfile_is_ipc(const struct kh_connfile *file)
{
    return !strcmp(file->transport, "ipc");
}

int
kh_connfile_read(int dirfd, const char *path, struct kh_connfile *ret_file,
                 struct kh_error *err)
{
    AUTO_FREE char *data = NULL;
    size_t size;
    int r;

    r = kh_fd_read_file(dirfd, path, KH_CONNFILE_MAX, &data, &size, err);
    if (r < 0)
        return r;
    r = kh_connfile_parse((struct kh_slice){data, size}, ret_file, err);
    OPENSSL_cleanse(data, size);
    return r;
}

void
kh_connfile_format(const struct kh_connfile *file, struct kh_buf *out)
{
    size_t i;

    for (i = 0; i < KH_COUNT(fields); i++) {
        const struct field *field = &fields[i];
        const char *at = (const char *)file + field->offset;

        if (field->kind == TEXT && !field->required && !*at)
            continue;
        kh_json_addf(out, i ? ",\n  %s: " : "{\n  %s: ", field->name);
        if (field->kind == TEXT)
            kh_json_addf(out, "%s", at);
        else
            kh_json_addf(out, "%d", *(const uint16_t *)(const void *)at);
    }
    kh_json_addf(out, "\n}\n");
}

int
kh_connfile_write(const struct kh_connfile *file, int dirfd, const char *path,
                  struct kh_error *err)
{
    struct kh_buf text = KH_BUF_INIT;
    int r = kh_connfile_check(file, err);

    if (r < 0)
        return r;
    kh_buf_reserve(&text, 8 * sizeof(*file)); /* no copy of the key is left behind */
    kh_connfile_format(file, &text);
    r = kh_fd_replace_file(dirfd, path, kh_buf_ptr(&text), kh_buf_len(&text), 0600,
                           err);
    OPENSSL_cleanse(kh_buf_ptr(&text), kh_buf_len(&text));
    kh_buf_release(&text);
    return r;
}

int
kh_connfile_endpoint(const struct kh_connfile *file, enum kh_channel channel,
                     char ret_endpoint[KH_ENDPOINT_SIZE], struct kh_error *err)
{
    unsigned port = file->port[channel];
    const char *ip = file->ip;
    int length;

    if (kh_connfile_is_ipc(file)) {
        length = snprintf(ret_endpoint, KH_ENDPOINT_SIZE, "ipc://%s-%u", ip, port) - 6;
        if (length > KH_CONNFILE_PATH_MAX)
            return kh_fail(err, ENAMETOOLONG,
                           "socket path '%s-%u' is %d bytes too long (hint: a shorter "
                           "runtime directory)",
                           ip, port, length - KH_CONNFILE_PATH_MAX);
        return 0;
    }
    if (!strcmp(ip, "localhost"))
        ip = "127.0.0.1"; /* bind takes no names, and a resolver might be asked */
    snprintf(ret_endpoint, KH_ENDPOINT_SIZE,
             strchr(ip, ':') ? "tcp://[%s]:%u" : "tcp://%s:%u", ip, port);
    return 0;
}

bool
kh_connfile_is_local(const struct kh_connfile *file)
{
    struct in6_addr ip6;

    if (kh_connfile_is_ipc(file) || !strcmp(file->ip, "localhost"))
        return true;
    if (inet_pton(AF_INET6, file->ip, &ip6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&ip6);
    return !strncmp(file->ip, "127.", 4);
}

void
kh_connfile_new_key(struct kh_connfile *file)
{
    unsigned char bytes[32];
    size_t i;

    kh_random(bytes, sizeof(bytes));
    for (i = 0; i < sizeof(bytes); i++)
        snprintf(file->key + 2 * i, 3, "%02x", bytes[i]);
    OPENSSL_cleanse(bytes, sizeof(bytes));
}

void
kh_connfile_wipe(struct kh_connfile *file)
{
    OPENSSL_cleanse(file, sizeof(*file));
}
