#include <errno.h>
#include <jansson.h>

#include "protocol/jupyter/json.h"
#include "tests/fuzz/fuzz.h"

/* Our scanner and jansson's parser agree, but for what only one of them limits: we
 * the depth and the length of numbers, it their range and NUL in member names; and
 * jansson takes a NUL byte for the end of the text. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_slice text = {data, size};
    struct kh_json_walk walk = kh_json_walk(text);
    struct kh_json_value value;
    struct kh_error err = {0};
    json_error_t why;
    json_t *tree =
        json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    int r = kh_json_check(text, KH_JSON_ANY, NULL, &err), w;

    MUST(!tree || r == 0 || r == -E2BIG || strstr(err.text, "too long") ||
         memchr(data, 0, size));
    MUST(tree || r < 0 || json_error_code(&why) == json_error_numeric_overflow ||
         json_error_code(&why) == json_error_null_byte_in_key);
    while ((w = kh_json_next(&walk, NULL, &value, NULL)) > 0)
        MUST(value.text.size > 0);
    MUST(w < 0 || r == 0);
    json_decref(tree);
    return 0;
}
