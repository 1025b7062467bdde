#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#include "kernelhost/cli/outputs.h"
#include "kernelhost/cli/render.h"
#include "tests/fuzz/fuzz.h"

/* What it prints goes nowhere. */
static void
render(const json_t *message)
{
    static int null = -1;
    struct kh_render plain = {0};
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);

    null = null < 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : null;
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    kh_render_message(&plain, message);
    kh_render_payload(json_object_get(message, "content"));
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
}

/* Messages of a sandbox, a line each, into the outputs of a cell: a notebook can hold
 * what comes of it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_outputs *outputs = kh_outputs_new();
    json_t *cell = json_object(), *message;
    const uint8_t *end;
    char *text;
    size_t i;

    kh_outputs_begin(outputs, cell);
    for (; size; data = end, size -= i) {
        end = memchr(data, '\n', size);
        end = end ? end + 1 : data + size;
        i = (size_t)(end - data);
        message = json_loadb((const char *)data, i, JSON_ALLOW_NUL, NULL);
        if (!message)
            continue;
        kh_outputs_add(outputs, message, i);
        render(message);
        json_decref(message);
    }
    kh_outputs_end(outputs);
    MUST(json_is_array(json_object_get(cell, "outputs")));
    text = json_dumps(cell, 0);
    MUST(text);
    free(text);
    kh_outputs_free(outputs);
    json_decref(cell);
    return 0;
}
