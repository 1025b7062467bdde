#include <jansson.h>

#include "kernelhost/gateway/config.h"
#include "kernelhost/gateway/limits.h"
#include "protocol/jupyter/jsontree.h"
#include "tests/fuzz/fuzz.h"

/* The body of a request, as the HTTP server takes it: a tree is an object and says the
 * same when written and read again; limits in it are within their bounds. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_buf text = KH_BUF_INIT;
    struct kh_limits limits = {0};
    struct kh_config config = {.bad = {0}};
    json_t *body, *again;

    if (kh_jsontree_parse((struct kh_slice){data, size}, 1 << 20, &body, NULL) < 0)
        return 0;
    MUST(json_is_object(body));
    if (kh_limits_read(body, &limits, NULL) == 0)
        MUST(limits.cpu_milli == 0 ||
             (limits.cpu_milli >= 10 && limits.cpu_milli <= 1000000));
    if (kh_config_parse((struct kh_slice){data, size}, &config, NULL) == 0)
        MUST(config.prices.cpu_second >= 0 && config.bad.code == 0);
    kh_jsontree_dump(body, &text);
    MUST(kh_jsontree_parse((struct kh_slice){kh_buf_ptr(&text), kh_buf_len(&text)},
                           8 << 20, &again, NULL) == 0);
    MUST(json_equal(body, again));
    json_decref(body);
    json_decref(again);
    kh_buf_release(&text);
    return 0;
}
