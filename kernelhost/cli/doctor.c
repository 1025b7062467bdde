#include "kernelhost/cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>

#include <jansson.h>

#include "base/clean.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"

static const struct {
    const char *name;
    kh_fact_fn *check;
} facts[] = {
    {"root", kh_fact_root},
    {"kernel", kh_fact_kernel},
    {"namespaces", kh_fact_namespaces},
    {"time namespace", kh_fact_time_namespace},
    {"state directory", kh_fact_state},
    {"overlayfs", kh_fact_overlay},
    {"idmapped mounts", kh_fact_idmap},
    {"disk limits", kh_fact_disk},
    {"cgroups", kh_fact_cgroups},
    {"cgroup.kill", kh_fact_cgroup_kill},
    {"hibernation", kh_fact_hibernation},
    {"seccomp", kh_fact_seccomp},
    {"landlock", kh_fact_landlock},
    {"descriptors", kh_fact_descriptors},
    {"capacity", kh_fact_capacity},
    {"system user", kh_fact_user},
    {"programs", kh_fact_programs},
    {"default image", kh_fact_image},
    {"host", kh_fact_host},
    {"configuration", kh_fact_config},
};

static const char *const levels[] = {"ok", "warn", "fail"};

void
kh_finding_ok(struct kh_finding *finding, const char *format, ...)
{
    va_list args;

    finding->level = KH_FINDING_OK;
    va_start(args, format);
    vsnprintf(finding->detail, sizeof(finding->detail), format, args);
    va_end(args);
}

void
kh_finding_bad(struct kh_finding *finding, enum kh_finding_level level,
               const char *cure, const char *format, ...)
{
    va_list args;

    finding->level = level;
    va_start(args, format);
    vsnprintf(finding->detail, sizeof(finding->detail), format, args);
    va_end(args);
    snprintf(finding->cure, sizeof(finding->cure), "%s", cure ? cure : "");
}

static void
print(const char *name, const struct kh_finding *finding)
{
    AUTO_FREE char *detail = kh_text_safe_copy(finding->detail);

    printf("%-4s %s: %s", levels[finding->level], name, detail);
    if (finding->cure[0])
        printf(" (%s)", finding->cure);
    putchar('\n');
    fflush(stdout);
}

int
kh_cmd_doctor(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO_JSON json_t *all = json_array();
    int status = KH_EXIT_OK;
    size_t i;

    (void)args;
    (void)err;
    for (i = 0; i < KH_COUNT(facts); i++) {
        struct kh_finding finding = {0};

        facts[i].check(cli, &finding);
        if (finding.level == KH_FINDING_FAIL)
            status = KH_EXIT_FAILURE;
        if (!cli->json)
            print(facts[i].name, &finding);
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s, s:s}", "fact", facts[i].name,
                                        "level", levels[finding.level], "detail",
                                        finding.detail, "cure", finding.cure));
    }
    if (cli->json)
        kh_print_json(all);
    return status;
}
