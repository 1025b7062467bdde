#include "protocol/jupyter/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "protocol/jupyter/wire.h"

static const char *const channel_names[KH_CHANNELS] = {
    [KH_CHANNEL_SHELL] = "shell", [KH_CHANNEL_IOPUB] = "iopub",
    [KH_CHANNEL_STDIN] = "stdin", [KH_CHANNEL_CONTROL] = "control",
    [KH_CHANNEL_HB] = "hb",
};

const char *
kh_channel_name(enum kh_channel channel)
{
    return (unsigned)channel < KH_CHANNELS ? channel_names[channel] : NULL;
}

int
kh_channel_find(const char *name)
{
    int i;

    for (i = 0; i < KH_CHANNELS; i++)
        if (!strcmp(name, channel_names[i]))
            return i;
    return -1;
}

/* Checks of the types beyond JSON's. They see checked text, so the walks cannot
 * fail, and an error is only that the value is not right. */

static bool
is_count(struct kh_json_value value)
{
    int64_t n;

    return kh_json_integer(value, 0, INT32_MAX, &n) == 0;
}

static bool
is_strings(struct kh_json_value value)
{
    struct kh_json_walk walk = kh_json_walk(value.text);
    struct kh_json_value element;

    while (kh_json_next(&walk, NULL, &element, NULL) > 0)
        if (element.type != KH_JSON_STRING)
            return false;
    return value.type == KH_JSON_ARRAY;
}

static bool
ends_with(struct kh_slice raw, const char *tail)
{
    size_t size = strlen(tail);

    return raw.size >= size &&
           !memcmp((const char *)raw.data + raw.size - size, tail, size);
}

/* "application/json", "application/vnd.vega.v5+json" and parameters behind. */
static bool
is_json_mime(struct kh_slice mime)
{
    const char *semicolon = memchr(mime.data, ';', mime.size);

    if (semicolon)
        mime.size = (size_t)(semicolon - (const char *)mime.data);
    return ends_with(mime, "/json") || ends_with(mime, "+json");
}

static bool
is_bundle(struct kh_json_value value)
{
    struct kh_json_walk walk = kh_json_walk(value.text);
    struct kh_json_value data;
    struct kh_slice mime;

    while (kh_json_next(&walk, &mime, &data, NULL) > 0)
        if (data.type != KH_JSON_STRING && !is_strings(data) && !is_json_mime(mime))
            return false;
    return true;
}

static struct kh_json_value
member(struct kh_json_value value, const char *name)
{
    struct kh_json_value found;

    if (kh_json_find(value.text, &name, 1, &found, NULL) < 0)
        found.type = KH_JSON_NULL; /* twice: no better than of a wrong type */
    return found;
}

static bool
is_transient(struct kh_json_value value)
{
    enum kh_json_type type = member(value, "display_id").type;

    return type == 0 || type == KH_JSON_STRING;
}

static bool
is_display_id(struct kh_json_value value)
{
    return member(value, "display_id").type == KH_JSON_STRING;
}

static bool
is_payload(struct kh_json_value value)
{
    struct kh_json_walk walk = kh_json_walk(value.text);
    struct kh_json_value element;

    while (kh_json_next(&walk, NULL, &element, NULL) > 0)
        if (element.type != KH_JSON_OBJECT ||
            member(element, "source").type != KH_JSON_STRING)
            return false;
    return true;
}

static bool
is_language(struct kh_json_value value)
{
    return member(value, "name").type == KH_JSON_STRING;
}

/* In the order in which a field's types are named in an error. */
static const struct {
    unsigned bit;
    enum kh_json_type type;
    bool (*check)(struct kh_json_value value);
    const char *words;
} types[] = {
    {KH_JSON_STRING, KH_JSON_STRING, NULL, "a string"},
    {KH_JSON_BOOL, KH_JSON_BOOL, NULL, "true or false"},
    {KH_SCHEMA_COUNT, KH_JSON_INTEGER, is_count, "an integer from 0"},
    {KH_JSON_INTEGER, KH_JSON_INTEGER, NULL, "an integer"},
    {KH_JSON_REAL, KH_JSON_REAL, NULL, "a number"},
    {KH_SCHEMA_STRINGS, KH_JSON_ARRAY, is_strings, "an array of strings"},
    {KH_SCHEMA_PAYLOAD, KH_JSON_ARRAY, is_payload,
     "an array of objects with a string 'source'"},
    {KH_JSON_ARRAY, KH_JSON_ARRAY, NULL, "an array"},
    {KH_SCHEMA_BUNDLE, KH_JSON_OBJECT, is_bundle, "an object of MIME types and texts"},
    {KH_SCHEMA_TRANSIENT, KH_JSON_OBJECT, is_transient,
     "an object whose 'display_id' is a string"},
    {KH_SCHEMA_DISPLAY_ID, KH_JSON_OBJECT, is_display_id,
     "an object with a string 'display_id'"},
    {KH_SCHEMA_LANGUAGE, KH_JSON_OBJECT, is_language, "an object with a string 'name'"},
    {KH_JSON_OBJECT, KH_JSON_OBJECT, NULL, "an object"},
    {KH_JSON_NULL, KH_JSON_NULL, NULL, "null"},
};

static bool
has_type(struct kh_json_value value, unsigned mask)
{
    size_t i;

    for (i = 0; i < KH_COUNT(types); i++)
        if ((types[i].bit & mask) && (value.type & types[i].type) &&
            (!types[i].check || types[i].check(value)))
            return true;
    return false;
}

static const char *
type_words(unsigned mask)
{
    size_t i;

    for (i = 0; i < KH_COUNT(types) - 1; i++)
        if (types[i].bit & mask)
            return types[i].words;
    return "null";
}

/* VALUES is " a b ". */
static bool
is_one_of(struct kh_json_value value, const char *values)
{
    char word[32] = " ";
    long length = kh_json_text(value, word + 1, sizeof(word) - 2);

    if (length <= 0 || strchr(word + 1, ' '))
        return false;
    memcpy(word + 1 + length, " ", 2);
    return strstr(values, word);
}

static int
check_field(const struct kh_schema *row, const struct kh_schema_field *field,
            struct kh_json_value value, bool required, struct kh_error *err)
{
    if (!value.type && !required)
        return 0;
    if (!value.type)
        return kh_fail(err, EBADMSG, "%s: content has no '%s'", row->msg_type,
                       field->name);
    if (!has_type(value, field->types))
        return kh_fail(err, EBADMSG, "%s: content field '%s' must be %s", row->msg_type,
                       field->name, type_words(field->types));
    if (field->values && !is_one_of(value, field->values))
        return kh_fail(err, EBADMSG, "%s: content field '%s' must be one of:%s",
                       row->msg_type, field->name, field->values);
    return 0;
}

static size_t
field_names(const struct kh_schema_field *fields, const char **names)
{
    size_t count = 0;

    while (count < KH_SCHEMA_FIELDS_MAX && fields[count].name) {
        names[count] = fields[count].name;
        count++;
    }
    return count;
}

static const struct kh_schema *
find_row(const struct kh_schema *row, struct kh_slice msg_type)
{
    for (; row->msg_type; row++)
        if (strlen(row->msg_type) == msg_type.size &&
            !memcmp(row->msg_type, msg_type.data, msg_type.size))
            return row;
    return NULL;
}

const struct kh_schema *
kh_schema_request(const char *msg_type)
{
    return find_row(kh_schema_requests, kh_slice_text(msg_type));
}

const struct kh_schema *
kh_schema_kernel(struct kh_slice msg_type)
{
    return find_row(kh_schema_messages, msg_type);
}

static size_t
field_index(const struct kh_schema *row, const char *name)
{
    size_t i;

    for (i = 0; i < KH_SCHEMA_FIELDS_MAX && row->field[i].name; i++)
        if (!strcmp(row->field[i].name, name))
            return i;
    abort();
}

struct kh_json_value
kh_schema_value(const struct kh_schema *row, const struct kh_json_value *values,
                const char *name)
{
    return values[field_index(row, name)];
}

bool
kh_schema_true(const struct kh_schema *row, const struct kh_json_value *values,
               const char *name)
{
    return kh_schema_value(row, values, name).type == KH_JSON_TRUE;
}

/* The JSON text put in for an absent field. */
static const char *
preset_of(const struct kh_schema *row, const char *preset,
          const struct kh_json_value *values)
{
    if (preset[0] != '!')
        return preset;
    return kh_schema_true(row, values, preset + 1) ? "false" : "true";
}

static enum kh_json_type
preset_type(const char *preset)
{
    switch (preset[0]) {
    case '{':
        return KH_JSON_OBJECT;
    case 't':
        return KH_JSON_TRUE;
    case 'f':
        return KH_JSON_FALSE;
    default:
        return KH_JSON_INTEGER;
    }
}

/* Gives the absent fields their presets, and appends these members to SCRATCH,
 * the first one behind a '{'. */
static void
add_presets(const struct kh_schema *row, size_t count, struct kh_json_value *values,
            struct kh_buf *scratch)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const char *preset = row->field[i].preset;

        if (values[i].type || !preset)
            continue;
        preset = preset_of(row, preset, values);
        values[i].type = preset_type(preset);
        values[i].text = kh_slice_text(preset);
        kh_json_addf(scratch, kh_buf_len(scratch) ? ",%s:%J" : "{%s:%J",
                     row->field[i].name, &values[i].text);
    }
}

/* Appends the members of the object CONTENT, and its end. */
static void
add_members(struct kh_slice content, struct kh_buf *scratch)
{
    const char *open = memchr(content.data, '{', content.size), *end, *at;

    end = (const char *)content.data + content.size;
    for (at = open + 1; strchr(" \t\r\n", *at); at++)
        ;
    if (*at != '}')
        kh_buf_add(scratch, ",", 1);
    kh_buf_add(scratch, at, (size_t)(end - at));
}

int
kh_schema_apply(const struct kh_schema *row, struct kh_slice content,
                struct kh_buf *scratch, struct kh_slice *ret_content,
                struct kh_json_value *ret_values, struct kh_error *err)
{
    const char *names[KH_SCHEMA_FIELDS_MAX];
    size_t count = field_names(row->field, names), i;
    int r;

    memset(ret_values, 0, KH_SCHEMA_FIELDS_MAX * sizeof(*ret_values));
    r = kh_json_find(content, names, count, ret_values, err);
    if (r < 0)
        return kh_fail_in(err, "%s: content", row->msg_type);
    for (i = 0; i < count && r == 0; i++)
        r = check_field(row, &row->field[i], ret_values[i], row->field[i].required,
                        err);
    if (r < 0)
        return r;
    kh_buf_consume(scratch, kh_buf_len(scratch));
    add_presets(row, count, ret_values, scratch);
    *ret_content = content;
    if (kh_buf_len(scratch)) {
        add_members(content, scratch);
        *ret_content = (struct kh_slice){kh_buf_ptr(scratch), kh_buf_len(scratch)};
    }
    return 0;
}

/* What replies have besides their own fields. */
static const struct kh_schema_field reply_fields[] = {
    {"status", KH_JSON_STRING, true, NULL, " ok error aborted "},
    {"ename", KH_JSON_STRING, false, NULL, NULL},
    {"evalue", KH_JSON_STRING, false, NULL, NULL},
    {"traceback", KH_SCHEMA_STRINGS, false, NULL, NULL},
    {NULL},
};

static bool
text_is(struct kh_json_value value, const char *text)
{
    char copy[16];

    return kh_json_text(value, copy, sizeof(copy)) >= 0 && !strcmp(copy, text);
}

static int
check_reply(const struct kh_schema *row, struct kh_slice content, bool *ret_failed,
            struct kh_error *err)
{
    const char *names[KH_COUNT(reply_fields)];
    struct kh_json_value values[KH_COUNT(reply_fields)];
    size_t count = field_names(reply_fields, names), i;
    bool error = false;
    int r = kh_json_find(content, names, count, values, err);

    for (i = 0; i < count && r == 0; i++) {
        r = check_field(row, &reply_fields[i], values[i],
                        reply_fields[i].required || error, err);
        error = error || text_is(values[0], "error");
    }
    if (r == 0)
        *ret_failed = !text_is(values[0], "ok");
    return r;
}

static int
check_content(const struct kh_schema *row, struct kh_slice content,
              struct kh_error *err)
{
    const char *names[KH_SCHEMA_FIELDS_MAX];
    struct kh_json_value values[KH_SCHEMA_FIELDS_MAX];
    size_t count = field_names(row->field, names), i;
    bool failed = false;
    int r = kh_json_find(content, names, count, values, err);

    if (r == 0 && (row->flags & KH_SCHEMA_REPLY))
        r = check_reply(row, content, &failed, err);
    for (i = 0; i < count && r == 0; i++)
        r = check_field(row, &row->field[i], values[i],
                        row->field[i].required && !failed, err);
    return r;
}

int
kh_schema_check(enum kh_channel channel, struct kh_slice msg_type,
                struct kh_slice metadata, struct kh_slice content, size_t buffers,
                const struct kh_schema **ret_row, struct kh_error *err)
{
    const struct kh_schema *row = kh_schema_kernel(msg_type);
    char name[64];
    int r = 0;

    if (!row)
        return kh_fail(err, EBADMSG, "kernel's message type '%s' is not known",
                       kh_log_clean(msg_type.data, msg_type.size, name, sizeof(name)));
    if ((row->flags & KH_SCHEMA_HOST) || !(row->channels >> channel & 1))
        return kh_fail(err, EBADMSG, "a kernel must not send %s on %s", row->msg_type,
                       kh_channel_name(channel));
    if (buffers > ((row->flags & KH_SCHEMA_BUFFERS) ? KH_WIRE_BUFFERS_MAX : 0))
        return kh_fail(err, EBADMSG, "%s: %zu buffers are too many", row->msg_type,
                       buffers);
    if (metadata.size)
        r = kh_json_check(metadata, KH_JSON_OBJECT, NULL, err);
    if (r < 0)
        return kh_fail_in(err, "%s: metadata", row->msg_type);
    r = check_content(row, content, err);
    if (r < 0)
        return r;
    *ret_row = row;
    return 0;
}
