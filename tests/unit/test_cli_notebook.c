/* Notebooks: what is accepted, how messages become outputs, what is written. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "kernelhost/cli/notebook.h"
#include "kernelhost/cli/outputs.h"
#include "protocol/jupyter/jsontree.h"
#include "tests/tap.h"

#define BOOK(cells)                                                                    \
    "{\"nbformat\":4,\"nbformat_minor\":5,\"metadata\":{},\"cells\":[" cells "]}"

static void
refusals(void)
{
    static const struct {
        const char *data, *text;
    } bad[] = {
        {"", "'x' is no notebook: line 1"},
        {"{", "'x' is no notebook: line 1"},
        {"[]", "'x' is no notebook: no JSON object"},
        {"{}", "'x' is no notebook: nbformat is missing"},
        {"{\"nbformat\":3}",
         "notebook 'x' has the old format 3 (hint: jupyter nbconvert"},
        {"{\"nbformat\":5}", "notebook 'x' has format 5"},
        {"{\"nbformat\":\"4\"}", "'x' is no notebook: nbformat is missing"},
        {"{\"nbformat\":4}", "notebook 'x' has no nbformat_minor"},
        {"{\"nbformat\":4,\"nbformat_minor\":5,\"cells\":[]}",
         "metadata of notebook 'x' is no object"},
        {"{\"nbformat\":4,\"nbformat_minor\":5,\"metadata\":{},\"cells\":{}}",
         "notebook 'x' has no list of cells"},
        {BOOK("1"), "cell 1 of notebook 'x' is damaged: it is no object"},
        {BOOK("{\"cell_type\":\"heading\"}"), "cell 1 of notebook 'x' is damaged: its "
                                              "cell_type"},
        {BOOK("{\"cell_type\":\"raw\",\"source\":\"\",\"metadata\":{}},"
              "{\"cell_type\":\"raw\",\"source\":[1],\"metadata\":{}}"),
         "cell 2 of notebook 'x' is damaged: its source is no text"},
        {BOOK("{\"cell_type\":\"raw\",\"source\":\"\"}"),
         "cell 1 of notebook 'x' is damaged: its metadata"},
        {BOOK("{\"cell_type\":\"code\",\"source\":\"\",\"metadata\":{}}"),
         "cell 1 of notebook 'x' is damaged: its outputs"},
    };
    struct kh_error err;
    json_t *notebook = NULL;
    size_t i;

    for (i = 0; i < KH_COUNT(bad); i++) {
        is_int(
            kh_notebook_parse("x", bad[i].data, strlen(bad[i].data), &notebook, &err),
            -EBADMSG, "bad notebook %zu is refused", i);
        ok(!strncmp(err.text, bad[i].text, strlen(bad[i].text)) && !notebook,
           "and the text says why: %s", err.text);
    }
}

static void
reading(void)
{
    static const char text[] =
        "{\"nbformat\":4,\"nbformat_minor\":5,\"metadata\":{\"kernelspec\":{"
        "\"language\":"
        "\"R\"}},\"cells\":[{\"cell_type\":\"code\",\"source\":[\"a\\n\",\"b\"],"
        "\"metadata\":{\"tags\":[1,\"skip-execution\"]},\"outputs\":[]},"
        "{\"cell_type\":\"markdown\",\"source\":\"x\",\"metadata\":{}}]}";
    AUTO_JSON json_t *notebook = NULL;
    struct kh_buf source = KH_BUF_INIT;
    json_t *cells;

    is_int(kh_notebook_parse("x", text, sizeof(text) - 1, &notebook, NULL), 0,
           "a notebook is read");
    is_str(kh_notebook_language(notebook), "R", "its language is known");
    cells = json_object_get(notebook, "cells");
    ok(kh_notebook_is_code(json_array_get(cells, 0)) &&
           !kh_notebook_is_code(json_array_get(cells, 1)),
       "code is told from text");
    ok(kh_notebook_has_tag(json_array_get(cells, 0), "skip-execution") &&
           !kh_notebook_has_tag(json_array_get(cells, 0), "skip") &&
           !kh_notebook_has_tag(json_array_get(cells, 1), "skip-execution"),
       "tags are found");
    kh_notebook_source(json_array_get(cells, 0), &source);
    kh_buf_add(&source, "", 1);
    is_str(kh_buf_ptr(&source), "a\nb", "lines make one source");
    kh_buf_release(&source);
}

/* Feeds messages (type, content ... NULL) to the cell and returns its outputs. */
static char *
feed(struct kh_outputs *outputs, json_t *cell, va_list args)
{
    const char *type;

    while ((type = va_arg(args, const char *))) {
        const char *content = va_arg(args, const char *);
        AUTO_JSON json_t *message =
            json_pack("{s:{s:s}, s:o}", "header", "msg_type", type, "content",
                      json_loads(content, JSON_ALLOW_NUL, NULL));

        kh_outputs_add(outputs, message, strlen(content));
    }
    kh_outputs_end(outputs);
    return json_dumps(json_object_get(cell, "outputs"), JSON_COMPACT | JSON_SORT_KEYS);
}

/* A new cell whose messages leave the outputs WANT. */
static void
cell_is(const char *want, const char *what, ...)
{
    AUTO(kh_outputs) struct kh_outputs *outputs = kh_outputs_new();
    AUTO_JSON json_t *cell = json_pack("{s:[i]}", "outputs", 1);
    AUTO_FREE char *text = NULL;
    va_list args;

    kh_outputs_begin(outputs, cell);
    va_start(args, what);
    text = feed(outputs, cell, args);
    va_end(args);
    is_str(text, want, "%s", what);
}

/* The next cell of a notebook. */
static void
next_cell(struct kh_outputs *outputs, json_t *cell, ...)
{
    va_list args;

    kh_outputs_begin(outputs, cell);
    va_start(args, cell);
    free(feed(outputs, cell, args));
    va_end(args);
}

#define OUT(text)   "stream", "{\"name\":\"stdout\",\"text\":\"" text "\"}"
#define ERR(text)   "stream", "{\"name\":\"stderr\",\"text\":\"" text "\"}"
#define CLEAR(wait) "clear_output", "{\"wait\":" wait "}"
#define STREAM(name, text)                                                             \
    "{\"name\":\"" name "\",\"output_type\":\"stream\",\"text\":\"" text "\"}"
#define DATA(text)                                                                     \
    "{\"data\":{\"text/plain\":\"" text                                                \
    "\"},\"metadata\":{},\"output_type\":\"display_data\"}"
#define SHOW(id, text)                                                                 \
    "display_data", "{\"data\":{\"text/plain\":\"" text                                \
                    "\"},\"metadata\":{},\"transient\":{\"display_id\":\"" id "\"}}"
#define UPDATE(id, text)                                                               \
    "update_display_data",                                                             \
        "{\"data\":{\"text/plain\":\"" text                                            \
        "\"},\"metadata\":{},\"transient\":{\"display_id\":\"" id "\"}}"

static void
streams(void)
{
    cell_is("[]", "a cell that says nothing", "status",
            "{\"execution_state\":\"busy\"}", NULL);
    cell_is("[" STREAM("stdout", "abc") "]", "streams of one name are merged", OUT("a"),
            OUT("b"), OUT("c"), NULL);
    cell_is("[" STREAM("stdout", "a") "," STREAM("stderr", "bc") "," STREAM("stdout",
                                                                            "d") "]",
            "those of two names are not", OUT("a"), ERR("b"), ERR("c"), OUT("d"), NULL);
    cell_is("[" STREAM("stdout", "a") "," DATA("x") "," STREAM("stdout", "b") "]",
            "a display parts a stream", OUT("a"), SHOW("", "x"), OUT("b"), NULL);
    cell_is("[" STREAM("stdout", "ab") "]", "other messages do not", OUT("a"), "status",
            "{\"execution_state\":\"busy\"}", "comm_msg", "{\"data\":{}}", OUT("b"),
            NULL);
    cell_is("[" STREAM("stdout", "a\\u0000b") "]", "a NUL is text", OUT("a\\u0000"),
            OUT("b"), NULL);
    cell_is("[]", "malformed ones are ignored", "stream", "{\"name\":\"stdout\"}",
            "stream", "{\"text\":\"a\"}", "display_data", "{\"data\":1}", "error", "{}",
            "stream", "{\"name\":\"stdout\",\"text\":[\"a\"]}", NULL);
}

static void
clears(void)
{
    cell_is("[]", "clear_output clears at once", OUT("a"), CLEAR("false"), NULL);
    cell_is("[" STREAM("stdout", "b") "]", "and what follows is new", OUT("a"),
            CLEAR("false"), OUT("b"), NULL);
    cell_is("[" STREAM("stdout", "a") "]", "with wait nothing is lost yet", OUT("a"),
            CLEAR("true"), NULL);
    cell_is("[" STREAM("stdout", "b") "]", "but with the next output", OUT("a"),
            CLEAR("true"), OUT("b"), NULL);
    cell_is("[" DATA("x") "]", "of whatever kind", OUT("a"), CLEAR("true"),
            SHOW("", "x"), NULL);
    cell_is("[" STREAM("stdout", "bc") "]", "once", OUT("a"), CLEAR("true"), OUT("b"),
            OUT("c"), NULL);
    cell_is("[]", "what was cleared is not updated", SHOW("i", "x"), CLEAR("false"),
            UPDATE("i", "y"), NULL);
}

static void
displays(void)
{
    AUTO(kh_outputs) struct kh_outputs *outputs = kh_outputs_new();
    AUTO_JSON json_t *first = json_object(), *second = json_object();
    char *got;

    cell_is("[" DATA("y") "," DATA("z") "," DATA("y") "]",
            "an update reaches its displays", SHOW("i", "w"), SHOW("j", "z"),
            SHOW("i", "x"), UPDATE("i", "y"), NULL);
    cell_is("[" DATA("y") "," DATA("y") "]",
            "a second display with the id changes the first", SHOW("i", "x"),
            SHOW("i", "y"), NULL);
    cell_is("[]", "an unknown id is ignored", UPDATE("i", "y"), NULL);
    cell_is(
        "[{\"data\":{},\"execution_count\":3,\"metadata\":{\"a\":1},\"output_type\":"
        "\"execute_result\"}]",
        "a result keeps its count and metadata", "execute_result",
        "{\"data\":{},\"execution_count\":3,\"metadata\":{\"a\":1}}", NULL);
    cell_is(
        "[{\"ename\":\"E\",\"evalue\":\"v\",\"output_type\":\"error\",\"traceback\":["
        "\"t\"]}]",
        "an error keeps its traceback", "error",
        "{\"ename\":\"E\",\"evalue\":\"v\",\"traceback\":[\"t\"]}", NULL);

    next_cell(outputs, first, SHOW("i", "x"), OUT("a"), NULL);
    next_cell(outputs, second, UPDATE("i", "y"), "execute_input",
              "{\"code\":\"\",\"execution_count\":7}", NULL);
    got = json_dumps(json_object_get(first, "outputs"), JSON_COMPACT | JSON_SORT_KEYS);
    is_str(got, "[" DATA("y") "," STREAM("stdout", "a") "]",
           "an update reaches earlier cells");
    free(got);
    is_int(json_integer_value(json_object_get(second, "execution_count")), 7,
           "a cell gets its number");
    ok(json_is_null(json_object_get(first, "execution_count")), "each its own");
}

static void
bounds(void)
{
    AUTO(kh_outputs) struct kh_outputs *outputs = kh_outputs_new();
    AUTO_JSON json_t *cell = json_object();
    AUTO_JSON json_t *message =
        json_pack("{s:{s:s}, s:{s:s, s:s}}", "header", "msg_type", "stream", "content",
                  "name", "stdout", "text", "a");
    const json_t *list;

    kh_outputs_begin(outputs, cell);
    kh_outputs_add(outputs, message, KH_OUTPUTS_MAX - 1);
    kh_outputs_add(outputs, message, 1);
    kh_outputs_add(outputs, message, 1);
    kh_outputs_add(outputs, message, 1);
    kh_outputs_end(outputs);
    list = json_object_get(cell, "outputs");
    is_int(json_array_size(list), 2, "output over the limit is left out");
    is_str(json_string_value(json_object_get(json_array_get(list, 0), "text")), "aa",
           "what fits stays");
    is_str(json_string_value(json_object_get(json_array_get(list, 1), "text")),
           "kernelhost: more output was left out\n", "and the notebook says so, once");
}

static void
writing(void)
{
    static const char text[] = BOOK(
        "{\"cell_type\":\"code\",\"source\":\"a\\nb\",\"metadata\":{},\"outputs\":["
        "{\"output_type\":\"stream\",\"name\":\"stdout\",\"text\":\"x\\ny\\n\"},"
        "{\"output_type\":\"display_data\",\"metadata\":{},\"data\":{\"image/png\":"
        "\"AA\\nBB\",\"text/html\":\"<b>\\n</b>\",\"application/"
        "json\":{\"a\":\"c\\nd\"}"
        "}}]}");
    static const char *const want[] = {
        "\n   \"source\": [\n    \"a\\n\",\n    \"b\"\n   ]",
        "\n     \"text\": [\n      \"x\\n\",\n      \"y\\n\"\n     ]",
        "\"image/png\": \"AA\\nBB\"",
        "\"text/html\": [\n       \"<b>\\n\",\n       \"</b>\"\n      ]",
        "\"a\": \"c\\nd\"",
    };
    AUTO_JSON json_t *notebook = NULL;
    struct kh_buf out = KH_BUF_INIT;
    size_t i;

    kh_notebook_parse("x", text, sizeof(text) - 1, &notebook, NULL);
    kh_notebook_format(notebook, &out);
    kh_buf_add(&out, "", 1);
    for (i = 0; i < KH_COUNT(want); i++)
        ok(strstr(kh_buf_ptr(&out), want[i]), "written as nbformat does (%zu)", i);
    ok(!strncmp(kh_buf_ptr(&out), "{\n \"nbformat\": 4,", 17),
       "members keep their order");
    is_str(kh_buf_ptr(&out) + kh_buf_len(&out) - 4, "\n}\n",
           "the file ends in a newline");
    kh_buf_release(&out);
}

int
main(void)
{
    refusals();
    reading();
    streams();
    clears();
    displays();
    bounds();
    writing();
    return done();
}
