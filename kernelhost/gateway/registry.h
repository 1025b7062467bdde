/* registry: all sandboxes by name, as kernelhostd's records say.
 *
 * In memory, filled from kernelhostd at the start. What has to outlive the
 * gateway beyond those records (owners, tokens, kernels' ids) will be kept by
 * this module in a database; nothing else knows where names come from.
 */
#ifndef KH_GATEWAY_REGISTRY_H
#define KH_GATEWAY_REGISTRY_H

#include "kernelhost/gateway/gateway.h"
#include "kernelhost/gateway/sandbox.h"

struct kh_registry;

struct kh_registry *kh_registry_new(struct kh_gateway *gateway);
void kh_registry_free(struct kh_registry *registry);

/* Reads all records again, then calls FN. Those that are new become sandboxes,
 * the others are refreshed. */
void kh_registry_refresh(struct kh_registry *registry, kh_sandbox_fn *fn, void *arg);

/* Takes up the kernels that an earlier gateway served (recover.h). Once, after the
 * first refresh. */
void kh_registry_recover(struct kh_registry *registry);

struct kh_sandbox *kh_registry_find(struct kh_registry *registry, const char *name);
unsigned kh_registry_count(const struct kh_registry *registry);

/* In no order: INDEX from 0 until NULL. */
struct kh_sandbox *kh_registry_at(struct kh_registry *registry, unsigned index);

/* SANDBOX is NULL and ERR says why, or the other way round. */
typedef void kh_registry_fn(void *arg, struct kh_sandbox *sandbox,
                            const struct kh_error *err);

/* Makes and starts a sandbox. NAME "" is chosen here, IMAGE "" is the host's
 * preset. */
void kh_registry_create(struct kh_registry *registry, const char *name,
                        const char *image, const struct kh_limits *limits,
                        kh_registry_fn *fn, void *arg);

/* The same from a snapshot, which decides about the image, and about limits that are
 * 0. It sleeps as LADDER says; what is 0 there is the host's default. */
void kh_registry_create_from(struct kh_registry *registry, const char *name,
                             const char *snapshot, const struct kh_limits *limits,
                             const struct kh_ladder *ladder, kh_registry_fn *fn,
                             void *arg);

/* What both end in: REQUEST has an image or a snapshot. */
void kh_registry_make(struct kh_registry *registry, struct kh_broker_request *request,
                      const char *name, const struct kh_limits *limits,
                      kh_registry_fn *fn, void *arg);

struct kh_gateway *kh_registry_gateway(struct kh_registry *registry);

/* Removes everything of it. FN hears of success when nothing is left; the sandbox
 * is freed by then. */
void kh_registry_remove(struct kh_registry *registry, struct kh_sandbox *sandbox,
                        kh_sandbox_fn *fn, void *arg);

/* kernelhostd says that a PID 1 ended. */
void kh_registry_exited(struct kh_registry *registry,
                        const struct kh_broker_reply *reply);

#endif
