#include "kernelhost/gateway/request.h"

#include <errno.h>
#include <stdio.h>

#include "tests/tap.h"

static struct kh_request *
add(struct kh_requests *requests, uint64_t id, const char *header)
{
    struct kh_slice ident = kh_slice_text("client");
    struct kh_request *request = NULL;

    kh_requests_add(requests, id, KH_CHANNEL_SHELL, NULL, &ident, 1,
                    kh_slice_text(header), &request, NULL);
    return request;
}

static bool
parent_is(struct kh_requests *requests, uint64_t id, const char *want)
{
    struct kh_slice parent = kh_requests_parent(requests, id);

    return parent.size == strlen(want) &&
           (!parent.size || !memcmp(parent.data, want, parent.size));
}

static void
one_request(void)
{
    struct kh_requests *requests = kh_requests_new();
    struct kh_request *request = add(requests, 7, "{\"msg_id\":\"a\"}");

    ok(request && request->id == 7 && request->channel == KH_CHANNEL_SHELL &&
           !request->begun && !request->replied && !request->sent,
       "a request is noted as new");
    if (!request)
        return;
    ok(request && request->ident_count == 1 &&
           !memcmp(request->ident[0].data, "client", 6),
       "with who asked");
    ok(kh_requests_find(requests, 7) == request, "it is found by its number");
    ok(!kh_requests_find(requests, 7 + 256), "another one in its bucket is not");
    ok(parent_is(requests, 7, "{\"msg_id\":\"a\"}"), "its header is the parent");
    ok(parent_is(requests, 8, "") && parent_is(requests, 0, ""),
       "an unknown number has no parent");
    kh_requests_finish(requests, request);
    ok(!kh_requests_find(requests, 7) && kh_requests_count(requests) == 0,
       "a finished request is gone");
    ok(parent_is(requests, 7, "{\"msg_id\":\"a\"}"),
       "but late output still finds its parent");
    kh_requests_free(requests);
}

static void
order(void)
{
    struct kh_requests *requests = kh_requests_new();
    struct kh_request *second, *at;
    uint64_t id;
    bool sorted = true;

    for (id = 1; id <= 1000; id++)
        add(requests, id * 256, "{}");
    second = kh_requests_find(requests, 2 * 256);
    kh_requests_finish(requests, second);
    ok(kh_requests_first(requests)->id == 256, "the oldest is first");
    for (at = kh_requests_first(requests); at->next; at = at->next)
        sorted = sorted && at->id < at->next->id && at->next->prev == at;
    ok(sorted && at->id == 1000 * 256, "the others follow, one without the finished");
    is_int(kh_requests_count(requests), 999, "all are counted");
    kh_requests_free(requests);
}

static void
limits(void)
{
    static char big[KH_HEADER_MAX];
    struct kh_requests *requests = kh_requests_new();
    struct kh_request *request;
    struct kh_error err;
    uint64_t id;
    int r = 0;

    for (id = 1; id <= KH_REQUESTS_MAX; id++)
        r = add(requests, id, "{}") ? 0 : -1;
    is_int(r, 0, "%u requests are taken", KH_REQUESTS_MAX);
    is_int(kh_requests_add(requests, id, KH_CHANNEL_SHELL, NULL, NULL, 0,
                           kh_slice_text("{}"), &request, &err),
           -ENOBUFS, "one more is not");
    kh_requests_free(requests);

    requests = kh_requests_new();
    for (id = 1, r = 0; r == 0 && id <= KH_REQUESTS_MAX; id++)
        r = kh_requests_add(requests, id, KH_CHANNEL_SHELL, NULL, NULL, 0,
                            (struct kh_slice){big, sizeof(big)}, &request, &err);
    ok(r == -ENOBUFS && id * sizeof(big) < 2 * (size_t)KH_REQUESTS_BYTES,
       "large headers are bounded by their bytes");
    while ((request = kh_requests_first(requests)))
        kh_requests_finish(requests, request);
    ok(parent_is(requests, 1, ""), "old parents are forgotten");
    ok(add(requests, 999999, "{}"), "and there is room again");
    kh_requests_free(requests);
}

static void
window(void)
{
    struct kh_requests *requests = kh_requests_new();
    char header[16];
    uint64_t id;
    unsigned known = 0;

    for (id = 1; id <= 1000; id++) {
        snprintf(header, sizeof(header), "%u", (unsigned)id);
        kh_requests_finish(requests, add(requests, id, header));
        if (id == 100)
            ok(parent_is(requests, 1, "1") && parent_is(requests, 100, "100"),
               "the first parents are kept while there are few");
    }
    for (id = 1; id <= 1000; id++) {
        snprintf(header, sizeof(header), "%u", (unsigned)id);
        known += parent_is(requests, id, header);
    }
    is_int(known, KH_REQUESTS_PAST, "as many as that are kept");
    ok(parent_is(requests, 1000, "1000") && parent_is(requests, 745, "745") &&
           parent_is(requests, 744, ""),
       "the newest ones");
    kh_requests_free(requests);
}

static void
sinks(void)
{
    struct kh_requests *requests = kh_requests_new();
    struct kh_request *a = add(requests, 1, "{}"), *b = add(requests, 2, "{}");
    char one, other;

    a->sink = (struct kh_sink *)&one;
    b->sink = (struct kh_sink *)&other;
    kh_requests_drop_sink(requests, (struct kh_sink *)&one);
    ok(!a->sink && b->sink, "a sink that goes away is forgotten, another one is not");
    kh_requests_free(requests);
}

int
main(void)
{
    one_request();
    order();
    limits();
    window();
    sinks();
    return done();
}
