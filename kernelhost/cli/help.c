/* help and version. */
#include "kernelhost/cli/cli.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/cli/print.h"
#include "protocol/jupyter/jsontree.h"

static void
print_options(const struct kh_option *o)
{
    for (; o && o->name; o++) {
        AUTO_FREE char *left =
            o->letter ? kh_xasprintf("-%c, --%s%s%s", o->letter, o->name,
                                     o->value ? " " : "", o->value ? o->value : "")
                      : kh_xasprintf("    --%s%s%s", o->name, o->value ? " " : "",
                                     o->value ? o->value : "");

        printf("  %-26s  %s\n", left, o->help);
    }
}

static void
explain(const struct kh_command *c)
{
    printf("usage: kernelhost %s %s\n\n%c%s.\n", c->name, c->synopsis,
           c->summary[0] - 'a' + 'A', c->summary + 1);
    if (c->help)
        printf("%s\n", c->help);
    printf("\noptions:\n");
    print_options(c->options);
    print_options(kh_global_options);
}

static void
list(void)
{
    const struct kh_command *c;

    printf("usage: kernelhost COMMAND ...\n\n"
           "Named, persistent, isolated computers that speak the Jupyter protocol.\n\n"
           "commands:\n");
    for (c = kh_commands; c->name; c++)
        printf("  %-18s  %s\n", c->name, c->summary);
    printf("\noptions of every command:\n");
    print_options(kh_global_options);
    printf("\nkernelhost help COMMAND tells more; so does man kernelhost.\n");
}

static void
explain_json(void)
{
    AUTO_JSON json_t *all = json_array();
    const struct kh_command *c;
    const struct kh_option *o;

    for (c = kh_commands; c->name; c++) {
        json_t *options = json_array();

        for (o = c->options; o && o->name; o++)
            json_array_append_new(options,
                                  json_pack("{s:s, s:s?, s:s}", "name", o->name,
                                            "value", o->value, "help", o->help));
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:o}", "name", c->name,
                                             "synopsis", c->synopsis, "summary",
                                             c->summary, "options", options));
    }
    kh_print_json(all);
}

int
kh_cmd_help(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    const struct kh_command *command;
    AUTO_FREE char *name = NULL;

    if (cli->json) {
        explain_json();
        return KH_EXIT_OK;
    }
    if (!args->words) {
        list();
        return KH_EXIT_OK;
    }
    name = kh_xasprintf("%s%s%s", args->word[0], args->words > 1 ? " " : "",
                        args->words > 1 ? args->word[1] : "");
    command = kh_command_find(name);
    if (!command)
        return kh_command_unknown(name, err);
    explain(command);
    return KH_EXIT_OK;
}

int
kh_cmd_version(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO_JSON json_t *version = json_pack("{s:s}", "version", PACKAGE_VERSION);

    (void)args;
    (void)err;
    if (cli->json)
        kh_print_json(version);
    else
        printf("kernelhost %s\n", PACKAGE_VERSION);
    return KH_EXIT_OK;
}
