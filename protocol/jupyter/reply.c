#include "protocol/jupyter/reply.h"

#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"
#include "protocol/jupyter/header.h"
#include "protocol/jupyter/json.h"

void
kh_reply_state(struct kh_buf *out, const char *execution_state)
{
    kh_json_addf(out, "{\"execution_state\":%s}", execution_state);
}

void
kh_reply_stream(struct kh_buf *out, const char *name, struct kh_slice text)
{
    kh_json_addf(out, "{\"name\":%s,\"text\":%S}", name, &text);
}

/* The three members of every error, without braces. */
static void
add_error(struct kh_buf *out, const char *ename, const char *evalue)
{
    AUTO_FREE char *line = kh_xasprintf("%s: %s", ename, evalue);

    kh_json_addf(out, "\"ename\":%s,\"evalue\":%s,\"traceback\":[%s]", ename, evalue,
                 line);
}

void
kh_reply_error(struct kh_buf *out, const char *ename, const char *evalue)
{
    kh_json_addf(out, "{");
    add_error(out, ename, evalue);
    kh_json_addf(out, "}");
}

void
kh_reply_welcome(struct kh_buf *out, struct kh_slice subscription)
{
    kh_json_addf(out, "{\"subscription\":%S}", &subscription);
}

void
kh_reply_ok(struct kh_buf *out)
{
    kh_json_addf(out, "{\"status\":\"ok\"}");
}

void
kh_reply_failed(struct kh_buf *out, const char *msg_type, const char *ename,
                const char *evalue, int64_t execution_count)
{
    kh_json_addf(out, "{\"status\":\"error\",");
    add_error(out, ename, evalue);
    if (!strcmp(msg_type, "execute_reply"))
        kh_json_addf(out,
                     ",\"execution_count\":%l,\"user_expressions\":{},\"payload\":[]",
                     execution_count);
    kh_json_addf(out, "}");
}

void
kh_reply_aborted(struct kh_buf *out, int64_t execution_count)
{
    kh_json_addf(out, "{\"status\":\"aborted\",\"execution_count\":%l}",
                 execution_count);
}

void
kh_reply_shutdown(struct kh_buf *out, bool restart)
{
    kh_json_addf(out, "{\"status\":\"ok\",\"restart\":%b}", restart);
}

/* What is known of a language before its runner has spoken. */
static const struct language {
    const char *name, *version, *mimetype, *extension, *lexer, *exporter, *banner;
    const char *mode; /* JSON */
} languages[] = {
    {"python", "3", "text/x-python", ".py", "ipython3", "python", "Python 3",
     "{\"name\":\"ipython\",\"version\":3}"},
};

void
kh_reply_kernel_info(struct kh_buf *out, const char *name)
{
    const struct language *l = languages;
    struct kh_slice mode;
    size_t i;

    for (i = 0; i < KH_COUNT(languages); i++)
        if (!strcmp(languages[i].name, name))
            l = &languages[i];
    mode = kh_slice_text(l->mode);
    kh_json_addf(out,
                 "{\"status\":\"ok\",\"protocol_version\":%s,"
                 "\"implementation\":\"kernelhost\",\"implementation_version\":%s,"
                 "\"language_info\":{\"name\":%s,\"version\":%s,\"mimetype\":%s,"
                 "\"file_extension\":%s,\"pygments_lexer\":%s,\"codemirror_mode\":%J,"
                 "\"nbconvert_exporter\":%s},\"banner\":%s,\"help_links\":[],"
                 "\"supported_features\":[],\"debugger\":false}",
                 KH_PROTOCOL_VERSION, PACKAGE_VERSION, l->name, l->version, l->mimetype,
                 l->extension, l->lexer, &mode, l->exporter, l->banner);
}

void
kh_reply_connect(struct kh_buf *out, const struct kh_connfile *file)
{
    kh_json_addf(out,
                 "{\"status\":\"ok\",\"shell_port\":%d,\"iopub_port\":%d,"
                 "\"stdin_port\":%d,\"control_port\":%d,\"hb_port\":%d}",
                 file->port[KH_CHANNEL_SHELL], file->port[KH_CHANNEL_IOPUB],
                 file->port[KH_CHANNEL_STDIN], file->port[KH_CHANNEL_CONTROL],
                 file->port[KH_CHANNEL_HB]);
}
