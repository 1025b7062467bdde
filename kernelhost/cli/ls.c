#include "kernelhost/cli/cli.h"

#include <stdio.h>

#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_ls[] = {
    {"quiet", 'q', NULL, "print only the names"},
    {0},
};

static void
add_row(struct kh_table *table, const json_t *sandbox)
{
    const json_t *limits = json_object_get(sandbox, "limits");
    json_int_t bytes = json_integer_value(json_object_get(limits, "memory"));
    char memory[KH_SIZE_TEXT], cpus[32], kernels[32], created[KH_TIME_TEXT];

    snprintf(cpus, sizeof(cpus), "%g",
             json_number_value(json_object_get(limits, "cpus")));
    snprintf(kernels, sizeof(kernels), "%zu",
             json_array_size(json_object_get(sandbox, "kernels")));
    kh_table_add(table, kh_http_text(sandbox, "name"));
    kh_table_add(table, kh_http_text(sandbox, "state"));
    kh_table_add(table, kh_http_text(sandbox, "image"));
    kh_table_add(table, bytes > 0 ? kh_size_text((uint64_t)bytes, memory) : NULL);
    kh_table_add(table, cpus);
    kh_table_add(table, kernels);
    kh_table_add(table, kh_print_time(kh_http_text(sandbox, "created"), created));
}

int
kh_cmd_ls(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *answer = NULL;
    struct kh_table table = KH_TABLE_INIT;
    const json_t *sandboxes, *sandbox;
    size_t i;
    int r = kh_http_call(http, "GET", "/v1/sandboxes", NULL, &answer, err);

    if (r < 0)
        return r;
    sandboxes = json_object_get(answer, "sandboxes");
    if (cli->json) {
        kh_print_json(sandboxes);
        return KH_EXIT_OK;
    }
    if (!kh_args_has(args, "quiet"))
        kh_table_head(&table, "NAME STATE IMAGE MEMORY CPUS KERNELS CREATED");
    json_array_foreach(sandboxes, i, sandbox)
    {
        AUTO_FREE char *name = kh_text_safe_copy(kh_http_text(sandbox, "name"));

        if (kh_args_has(args, "quiet"))
            kh_print_line(name);
        else
            add_row(&table, sandbox);
    }
    kh_print_table(&table);
    kh_table_release(&table);
    return KH_EXIT_OK;
}
