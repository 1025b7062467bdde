/* limits: the options that say what a sandbox may use, and when it sleeps. */
#ifndef KH_CLI_LIMITS_H
#define KH_CLI_LIMITS_H

#include <jansson.h>

#include "base/error.h"
#include "kernelhost/cli/option.h"

/* Rows for a command's table: of what a sandbox may use, and of a new one. */
#define KH_RESOURCE_OPTIONS                                                            \
    {"memory", 'm', "SIZE", "memory limit: 512M, 1.5G"},                               \
        {"cpus", 0, "N", "processors: 1, 0.5"},                                        \
        {"pids", 0, "N", "processes and threads"},                                     \
    {                                                                                  \
        "disk", 0, "SIZE", "size of its files: 2G, 500M"                               \
    }
#define KH_LIMIT_OPTIONS                                                               \
    {"image", 'i', "IMAGE", "image to start from (default)"}, KH_RESOURCE_OPTIONS

#define KH_IDLE_OPTIONS                                                                \
    {"freeze-after", 0, "TIME", "freeze it when it was idle so long; or never"},       \
        {"hibernate-after", 0, "TIME",                                                 \
         "hibernate it when it was idle so long; or never"},                           \
    {                                                                                  \
        "keep-awake", 0, NULL, "the same as never for both"                            \
    }

/* Checks those that were given and puts them into BODY as doc/api.md wants
 * them. -EINVAL names the bad one. */
int kh_limits_read(const struct kh_args *args, json_t *body, struct kh_error *err);

/* The same for KH_IDLE_OPTIONS. */
int kh_idle_read(const struct kh_args *args, json_t *body, struct kh_error *err);

#define KH_IDLE_TEXT 96

/* A ladder of the API in words. Returns OUT. */
const char *kh_idle_text(const json_t *ladder, char out[KH_IDLE_TEXT]);

#endif
