/* versions: what programs of one build have in common, as one line.
 *
 * kernelhost-gateway --versions prints it; kernelhostd --check compares it, so that
 * no host starts with a gateway that it cannot speak with.
 */
#ifndef KH_LINK_VERSIONS_H
#define KH_LINK_VERSIONS_H

#include "protocol/link/broker.h"
#include "protocol/link/init.h"

#define KH_VERSIONS_TEXT(number)  KH_VERSIONS_TEXT_(number)
#define KH_VERSIONS_TEXT_(number) #number

#define KH_VERSIONS                                                                    \
    "kernelhost " PACKAGE_VERSION " broker " KH_VERSIONS_TEXT(                         \
        KH_BROKER_VERSION) " init " KH_VERSIONS_TEXT(KH_INIT_VERSION) "\n"

#endif
