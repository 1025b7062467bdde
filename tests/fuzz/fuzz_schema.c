#include "protocol/jupyter/schema.h"
#include "tests/fuzz/fuzz.h"

/* The content of a request that is taken stays an object with the same values. */
static void
request(const struct kh_schema *row, struct kh_slice content)
{
    static struct kh_buf scratch, again;
    static struct kh_json_value values[KH_SCHEMA_FIELDS_MAX];
    struct kh_slice filled, same;

    if (kh_schema_apply(row, content, &scratch, &filled, values, NULL) < 0)
        return;
    MUST(kh_json_check(filled, KH_JSON_OBJECT, NULL, NULL) == 0);
    MUST(kh_schema_apply(row, filled, &again, &same, values, NULL) == 0);
    MUST(same.data == filled.data && same.size == filled.size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_slice content = {data, size};
    const struct kh_schema *row, *ret;
    int channel;

    for (row = kh_schema_requests; row->msg_type; row++)
        request(row, content);
    for (row = kh_schema_messages; row->msg_type; row++)
        for (channel = 0; channel < KH_CHANNELS; channel++)
            if (kh_schema_check(channel, kh_slice_text(row->msg_type), content, content,
                                0, &ret, NULL) == 0)
                MUST(ret == row &&
                     kh_json_check(content, KH_JSON_OBJECT, NULL, NULL) == 0);
    return 0;
}
