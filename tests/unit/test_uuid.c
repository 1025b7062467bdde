#include "protocol/jupyter/uuid.h"

#include "tests/tap.h"

int
main(void)
{
    static const char *const bad[] = {
        "",
        "123e4567-e89b-42d3-a456-42661417400",
        "123e4567-e89b-42d3-a456-4266141740000",
        "123e4567e89b-42d3-a456-4266141740000",
        "123e4567-e89b-42d3-a456-42661417400g",
        "{23e4567-e89b-42d3-a456-426614174000",
        "123e4567-e89b-42d3-a456_426614174000",
    };
    char text[KH_UUID_SIZE], again[KH_UUID_SIZE];
    unsigned char bytes[16];
    size_t i;

    ok(kh_uuid_parse("123e4567-E89B-42d3-a456-426614174000", bytes), "a UUID is read");
    kh_uuid_format(bytes, text);
    is_str(text, "123e4567-e89b-42d3-a456-426614174000", "and written in lower case");
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ok(!kh_uuid_parse(bad[i], bytes), "'%s' is none", bad[i]);
    kh_uuid_make(text);
    kh_uuid_make(again);
    ok(strcmp(text, again), "two are not the same");
    ok(kh_uuid_parse(text, bytes) && text[14] == '4' && strchr("89ab", text[19]),
       "a new one says that it is random");
    return done();
}
