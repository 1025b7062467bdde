#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/launch.h"
#include "kernelhost/gateway/limits.h"
#include "kernelhost/http/v1.h"
#include "protocol/jupyter/connfile.h"
#include "protocol/jupyter/jsontree.h"

/* One launcher: a stream that lasts as long as its kernel. */
struct wait {
    struct kh_http_request *request;
    struct kh_launch *launch; /* NULL: it has ended */
    bool streaming;
};

static void
write_line(struct kh_http_request *request, const struct kh_buf *line)
{
    kh_http_write(request, (struct kh_slice){kh_buf_ptr(line), kh_buf_len(line)});
}

static void
on_ready(void *arg, const char *sandbox, const char *kernel_id,
         const struct kh_connfile *file)
{
    struct wait *wait = arg;
    struct kh_buf line = KH_BUF_INIT;

    if (!wait->streaming)
        kh_http_stream(wait->request, "application/x-ndjson", NULL, NULL);
    wait->streaming = true;
    kh_json_addf(&line, "{\"type\":\"ready\",\"sandbox\":%s,\"kernel_id\":%s", sandbox,
                 kernel_id);
    /* Sockets of a KernelManager that wants ipc are ours; it finds them by
     * links that the launcher makes. */
    if (kh_connfile_is_ipc(file))
        kh_json_addf(&line, ",\"ip\":%s", file->ip);
    kh_buf_add(&line, "}\n", 2);
    write_line(wait->request, &line);
    kh_buf_release(&line);
}

static void
on_ended(void *arg, const char *reason, int status, const struct kh_error *err)
{
    struct wait *wait = arg;
    struct kh_http_request *request = wait->request;
    struct kh_buf line = KH_BUF_INIT;
    bool streaming = wait->streaming;

    free(wait);
    if (!streaming && err) {
        kh_v1_error(request, err);
        return;
    }
    if (!streaming)
        kh_http_stream(request, "application/x-ndjson", NULL, NULL);
    kh_json_addf(&line, "{\"type\":\"exit\",\"reason\":%s,\"status\":%d}\n", reason,
                 status);
    write_line(request, &line);
    kh_buf_release(&line);
    kh_http_end(request);
}

static void
on_gone(void *arg)
{
    struct wait *wait = arg;
    struct kh_http_request *request = wait->request;

    kh_launch_leave(wait->launch);
    free(wait);
    kh_http_abort(request);
}

static int
read_connection(const json_t *body, struct kh_connfile *ret_file, struct kh_error *err)
{
    const json_t *connection = json_object_get(body, "connection");
    struct kh_buf text = KH_BUF_INIT;
    int r;

    if (!json_is_object(connection))
        return kh_fail(err, EINVAL, "'connection' must be a connection file's object");
    kh_jsontree_dump(connection, &text);
    r = kh_connfile_parse((struct kh_slice){kh_buf_ptr(&text), kh_buf_len(&text)},
                          ret_file, err);
    explicit_bzero(kh_buf_ptr(&text), kh_buf_len(&text));
    kh_buf_release(&text);
    return r < 0 ? kh_fail_in(err, "'connection' is wrong") : 0;
}

static int
start(const struct kh_v1_call *call, struct kh_connfile *file, struct kh_error *err)
{
    struct kh_launch_events events = {.ready = on_ready, .ended = on_ended};
    struct kh_limits limits;
    const char *image = "";
    struct wait *wait;
    bool resume = false;
    int r = read_connection(call->body, file, err);

    if (r == 0)
        r = kh_v1_text(call->body, "image", KH_IMAGE_NAME_SIZE - 1, "", &image, err);
    if (r == 0)
        r = kh_v1_flag(call->body, "resume", false, &resume, err);
    if (r == 0)
        r = kh_limits_read(call->body, &limits, err);
    if (r == 0 && *image && !kh_image_name_valid(image))
        r = kh_fail(err, EINVAL, "'image' must be a name like 'default'");
    if (r < 0)
        return r;
    wait = kh_xcalloc(1, sizeof(*wait));
    wait->request = call->request;
    events.arg = wait;
    kh_http_on_gone(call->request, on_gone, wait);
    r = kh_launch_start(call->gateway->launches, file, image, &limits, resume, &events,
                        &wait->launch, err);
    if (r < 0) {
        kh_http_on_gone(call->request, NULL, NULL);
        free(wait);
    }
    return r;
}

void
kh_v1_launch(const struct kh_v1_call *call)
{
    struct kh_connfile file;
    struct kh_error err;

    if (start(call, &file, &err) < 0)
        kh_v1_error(call->request, &err);
    kh_connfile_wipe(&file);
}
