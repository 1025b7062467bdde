/* registry_own: what the files of the registry share. */
#ifndef KH_GATEWAY_REGISTRY_OWN_H
#define KH_GATEWAY_REGISTRY_OWN_H

#include "kernelhost/gateway/registry.h"

struct kh_registry {
    struct kh_gateway *gateway;
    struct kh_sandbox **sandboxes; /* sorted by name */
    bool recovered;                /* the database is in step */
    unsigned count, size;
};

/* Its row in the database, new or in the place of the one there is. */
void kh_registry_note(struct kh_registry *registry,
                      const struct kh_broker_reply *record);

#endif
