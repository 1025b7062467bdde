#include "kernelhost/cli/outputs.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "protocol/jupyter/jsontree.h"

/* Where a display id is shown. */
struct shown {
    char *id;
    json_t *cell;   /* borrowed: only compared */
    json_t *output; /* a reference */
};

struct kh_outputs {
    json_t *cell;       /* borrowed */
    bool clear_at_next; /* clear_output(wait=True) came */
    bool full;          /* KH_OUTPUTS_MAX was reached */
    size_t bytes;       /* of messages kept, in all cells and in this one */
    size_t cell_bytes;
    struct kh_buf text; /* of the stream that is being merged */
    json_t *stream;     /* borrowed: the output TEXT belongs to, or NULL */
    struct shown *shown;
    size_t count;
};

struct kh_outputs *
kh_outputs_new(void)
{
    return kh_xcalloc(1, sizeof(struct kh_outputs));
}

static void
flush_stream(struct kh_outputs *o)
{
    if (o->stream)
        json_object_set_new(
            o->stream, "text",
            json_stringn_nocheck(kh_buf_ptr(&o->text), kh_buf_len(&o->text)));
    o->stream = NULL;
    kh_buf_release(&o->text);
}

static void
forget(struct shown *shown)
{
    free(shown->id);
    json_decref(shown->output);
}

void
kh_outputs_free(struct kh_outputs *o)
{
    if (!o)
        return;
    flush_stream(o);
    while (o->count)
        forget(&o->shown[--o->count]);
    free(o->shown);
    free(o);
}

/* Empties the cell; its displays are no longer updated. */
static void
clear(struct kh_outputs *o)
{
    size_t i, kept = 0;

    flush_stream(o);
    for (i = 0; i < o->count; i++) {
        if (o->shown[i].cell == o->cell)
            forget(&o->shown[i]);
        else
            o->shown[kept++] = o->shown[i];
    }
    o->count = kept;
    json_object_set_new(o->cell, "outputs", json_array());
    o->clear_at_next = false;
    o->bytes -= o->cell_bytes;
    o->cell_bytes = 0;
    o->full = false;
}

void
kh_outputs_begin(struct kh_outputs *o, json_t *cell)
{
    flush_stream(o);
    o->cell = cell;
    o->cell_bytes = 0;
    json_object_set_new(cell, "execution_count", json_null());
    clear(o);
}

static json_t *
member(const json_t *content, const char *name, json_type type)
{
    json_t *value = json_object_get(content, name);

    return json_typeof(value ? value : json_null()) == type ? value : NULL;
}

static void
append(struct kh_outputs *o, json_t *output)
{
    if (o->clear_at_next)
        clear(o);
    flush_stream(o);
    json_array_append_new(json_object_get(o->cell, "outputs"), output);
}

static void
add_stream(struct kh_outputs *o, const json_t *content)
{
    const json_t *text = member(content, "text", JSON_STRING);
    const char *name = kh_http_text(content, "name");
    json_t *output;

    if (!text || !*name)
        return;
    if (!o->stream || o->clear_at_next ||
        strcmp(kh_http_text(o->stream, "name"), name)) {
        output = json_pack("{s:s, s:s, s:s}", "name", name, "output_type", "stream",
                           "text", "");
        append(o, output);
        o->stream = output;
    }
    kh_buf_add(&o->text, json_string_value(text), json_string_length(text));
}

static void
add_error(struct kh_outputs *o, const json_t *content)
{
    json_t *traceback = member(content, "traceback", JSON_ARRAY);
    json_t *ename = member(content, "ename", JSON_STRING);
    json_t *evalue = member(content, "evalue", JSON_STRING);

    if (ename && evalue && traceback)
        append(o, json_pack("{s:O, s:O, s:s, s:O}", "ename", ename, "evalue", evalue,
                            "output_type", "error", "traceback", traceback));
}

static void
update_shown(struct kh_outputs *o, const char *id, json_t *data, json_t *metadata)
{
    size_t i;

    for (i = 0; i < o->count; i++) {
        if (strcmp(o->shown[i].id, id) != 0)
            continue;
        json_object_set(o->shown[i].output, "data", data);
        json_object_set(o->shown[i].output, "metadata", metadata);
    }
}

static void
remember(struct kh_outputs *o, const char *id, json_t *output)
{
    o->shown = kh_xrealloc(o->shown, (o->count + 1) * sizeof(*o->shown));
    o->shown[o->count++] = (struct shown){kh_xstrdup(id), o->cell, json_incref(output)};
}

static void
add_display(struct kh_outputs *o, const json_t *content, const char *type)
{
    const char *id = kh_http_text(json_object_get(content, "transient"), "display_id");
    json_t *data = member(content, "data", JSON_OBJECT);
    json_t *given = member(content, "metadata", JSON_OBJECT);
    json_t *count = member(content, "execution_count", JSON_INTEGER);
    AUTO_JSON json_t *metadata = given ? json_incref(given) : json_object();
    json_t *output;

    if (!data)
        return;
    if (*id)
        update_shown(o, id, data, metadata);
    if (!strcmp(type, "update_display_data"))
        return;
    output = json_pack("{s:O, s:O, s:s}", "data", data, "metadata", metadata,
                       "output_type", type);
    if (!strcmp(type, "execute_result"))
        json_object_set(output, "execution_count", count ? count : json_null());
    append(o, output);
    if (*id)
        remember(o, id, output);
}

/* False when the outputs have become too large; says so in the cell once. */
static bool
admit(struct kh_outputs *o, size_t size)
{
    if (o->full)
        return false;
    o->bytes += size;
    o->cell_bytes += size;
    if (o->bytes <= KH_OUTPUTS_MAX)
        return true;
    o->full = true;
    append(o, json_pack("{s:s, s:s, s:s}", "name", "stderr", "output_type", "stream",
                        "text", "kernelhost: more output was left out\n"));
    return false;
}

void
kh_outputs_add(struct kh_outputs *o, const json_t *message, size_t size)
{
    const json_t *content = json_object_get(message, "content");
    const char *type = kh_http_text(json_object_get(message, "header"), "msg_type");
    json_t *count = member(content, "execution_count", JSON_INTEGER);

    if (count)
        json_object_set(o->cell, "execution_count", count);
    if (!strcmp(type, "clear_output") && json_is_true(json_object_get(content, "wait")))
        o->clear_at_next = true;
    else if (!strcmp(type, "clear_output"))
        clear(o);
    else if (!strcmp(type, "stream") && admit(o, size))
        add_stream(o, content);
    else if (!strcmp(type, "error")) /* always: it says why the cell failed */
        add_error(o, content);
    else if ((!strcmp(type, "execute_result") || !strcmp(type, "display_data") ||
              !strcmp(type, "update_display_data")) &&
             admit(o, size))
        add_display(o, content, type);
}

void
kh_outputs_end(struct kh_outputs *o)
{
    flush_stream(o);
}
