#include "protocol/jupyter/connfile.h"
#include "tests/fuzz/fuzz.h"

/* A file that is taken is the same when written and read again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kh_connfile file, again;
    static struct kh_buf out;

    kh_buf_consume(&out, kh_buf_len(&out));
    if (kh_connfile_parse((struct kh_slice){data, size}, &file, NULL) == 0) {
        kh_connfile_format(&file, &out);
        MUST(kh_connfile_parse((struct kh_slice){kh_buf_ptr(&out), kh_buf_len(&out)},
                               &again, NULL) == 0);
        MUST(!memcmp(&file, &again, sizeof(file)));
    }
    return 0;
}
