/* routes: from method and path to a handler, by one static table. */
#ifndef KH_HTTP_ROUTES_H
#define KH_HTTP_ROUTES_H

#include "kernelhost/gateway/gateway.h"
#include "kernelhost/http/server.h"

/* The handler for kh_http_new; ARG is the struct kh_gateway. */
void kh_routes_handle(void *arg, struct kh_http_request *request);

#endif
