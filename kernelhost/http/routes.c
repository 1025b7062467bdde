#include "kernelhost/http/routes.h"

#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "kernelhost/http/v1.h"
#include "protocol/jupyter/jsontree.h"

/* NAME, ID and ITEM stand for one segment of the path each. */
static const struct {
    const char *method;
    const char *path;
    kh_v1_handler *handler;
} table[] = {
    {"GET", "/v1/health", kh_v1_health},
    {"GET", "/v1/images", kh_v1_images},
    {"GET", "/v1/usage", kh_v1_usage},
    {"GET", "/metrics", kh_v1_metrics},
    {"GET", "/v1/sandboxes", kh_v1_list},
    {"POST", "/v1/sandboxes", kh_v1_create},
    {"PUT", "/v1/sandboxes/NAME", kh_v1_ensure},
    {"GET", "/v1/sandboxes/NAME", kh_v1_show},
    {"DELETE", "/v1/sandboxes/NAME", kh_v1_remove},
    {"POST", "/v1/sandboxes/NAME/start", kh_v1_start},
    {"POST", "/v1/sandboxes/NAME/stop", kh_v1_stop},
    {"POST", "/v1/sandboxes/NAME/sleep", kh_v1_sleep},
    {"POST", "/v1/sandboxes/NAME/wake", kh_v1_wake},
    {"PATCH", "/v1/sandboxes/NAME/ladder", kh_v1_ladder},
    {"PATCH", "/v1/sandboxes/NAME/limits", kh_v1_limit},
    {"POST", "/v1/sandboxes/NAME/run", kh_v1_run},
    {"POST", "/v1/sandboxes/NAME/exec", kh_v1_exec},
    {"GET", "/v1/sandboxes/NAME/kernels", kh_v1_kernels},
    {"POST", "/v1/sandboxes/NAME/kernels", kh_v1_kernel_new},
    {"DELETE", "/v1/sandboxes/NAME/kernels/ID", kh_v1_kernel_remove},
    {"POST", "/v1/sandboxes/NAME/kernels/ID/interrupt", kh_v1_kernel_interrupt},
    {"POST", "/v1/sandboxes/NAME/kernels/ID/restart", kh_v1_kernel_restart},
    {"GET", "/v1/sandboxes/NAME/kernels/ID/checkpoints", kh_v1_checkpoints},
    {"POST", "/v1/sandboxes/NAME/kernels/ID/checkpoints", kh_v1_checkpoint_new},
    {"DELETE", "/v1/sandboxes/NAME/kernels/ID/checkpoints/ITEM",
     kh_v1_checkpoint_remove},
    {"POST", "/v1/sandboxes/NAME/kernels/ID/checkpoints/ITEM/rollback",
     kh_v1_checkpoint_rollback},
    {"POST", "/v1/sandboxes/NAME/connect", kh_v1_connect},
    {"POST", "/v1/sandboxes/NAME/snapshots", kh_v1_snapshot_new},
    {"GET", "/v1/sandboxes/NAME/checkpoints", kh_v1_points},
    {"POST", "/v1/sandboxes/NAME/checkpoints", kh_v1_point_new},
    {"POST", "/v1/sandboxes/NAME/rollback", kh_v1_rollback},
    {"POST", "/v1/sandboxes/NAME/fork", kh_v1_fork},
    {"GET", "/v1/snapshots", kh_v1_snapshots},
    {"POST", "/v1/snapshots", kh_v1_snapshot_adopt},
    {"GET", "/v1/snapshots/NAME", kh_v1_snapshot_show},
    {"DELETE", "/v1/snapshots/NAME", kh_v1_snapshot_remove},
    {"POST", "/v1/launch", kh_v1_launch},
};

/* Copies a segment of the path; a longer one than fits names nothing. */
static bool
take_segment(const char **path, char *out, size_t size)
{
    size_t length = strcspn(*path, "/");

    if (!length || length >= size)
        return false;
    memcpy(out, *path, length);
    out[length] = '\0';
    *path += length;
    return true;
}

static bool
match(const char *pattern, const char *path, struct kh_v1_call *call)
{
    const struct {
        const char *word;
        char *out;
        size_t size;
    } segments[] = {
        {"NAME", call->name, sizeof(call->name)},
        {"ID", call->id, sizeof(call->id)},
        {"ITEM", call->item, sizeof(call->item)},
    };
    size_t i;

    call->name[0] = call->id[0] = call->item[0] = '\0';
    while (*pattern) {
        for (i = 0; i < KH_COUNT(segments); i++)
            if (!strncmp(pattern, segments[i].word, strlen(segments[i].word)))
                break;
        if (i == KH_COUNT(segments)) {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        if (!take_segment(&path, segments[i].out, segments[i].size))
            return false;
        pattern += strlen(segments[i].word);
    }
    return *path == '\0' || !strcmp(path, "/");
}

static void
serve(struct kh_v1_call *call, kh_v1_handler *handler)
{
    struct kh_slice text = kh_http_body(call->request);
    struct kh_error err;
    AUTO_JSON json_t *body = NULL;

    if (!text.size)
        text = kh_slice_text("{}");
    if (kh_jsontree_parse(text, KH_HTTP_BODY_MAX, &body, &err) < 0) {
        kh_v1_fail(call->request, 400, "invalid", "the body is not right: %s",
                   err.text);
        return;
    }
    call->body = body;
    handler(call);
}

void
kh_routes_handle(void *arg, struct kh_http_request *request)
{
    struct kh_v1_call call = {.gateway = arg, .request = request};
    bool known = false;
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++) {
        if (!match(table[i].path, kh_http_path(request), &call))
            continue;
        known = true;
        if (strcmp(table[i].method, kh_http_method(request)))
            continue;
        serve(&call, table[i].handler);
        return;
    }
    if (known)
        kh_v1_fail(request, 405, "method", "this path has no such method");
    else
        kh_v1_fail(request, 404, "not_found", "there is no such path (see doc/api.md)");
}
