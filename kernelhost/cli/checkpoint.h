/* checkpoint: what the commands about checkpoints share. A number is one of a kernel, a
 * name one of the sandbox: a snapshot.
 */
#ifndef KH_CLI_CHECKPOINT_H
#define KH_CLI_CHECKPOINT_H

#include <jansson.h>

#include "kernelhost/cli/cli.h"
#include "kernelhost/cli/http.h"

/* Asks about the checkpoints of *KERNEL, which is chosen when it is NULL; REST is
 * behind ".../checkpoints". The sandbox is the first word of ARGS. */
int kh_checkpoint_call(struct kh_http *http, const struct kh_args *args, char **kernel,
                       const char *method, const char *rest, json_t *body,
                       json_t **ret_answer, struct kh_error *err);

/* About those of the sandbox as a whole. */
int kh_checkpoint_whole(struct kh_http *http, const struct kh_args *args,
                        const char *method, json_t *body, json_t **ret_answer,
                        struct kh_error *err);

/* 0 when the member is missing or no integer. */
long long kh_checkpoint_integer(const json_t *object, const char *member);

/* Prints what will not come back, or did not, on standard error. */
void kh_checkpoint_lost(const json_t *checkpoint);

#endif
