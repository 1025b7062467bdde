#include "protocol/jupyter/header.h"
#include "protocol/link/broker.h"
#include "tests/fuzz/fuzz.h"

#define IN_TOPICS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"

/* A header that is taken has what must be there, ended within its place; names are
 * looked at without an end. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[KH_NAME_SIZE] = "", image[KH_IMAGE_NAME_SIZE] = "";
    struct kh_header header;

    if (kh_header_parse((struct kh_slice){data, size}, &header, NULL) == 0) {
        MUST(*header.msg_id && *header.session && *header.msg_type);
        MUST(strspn(header.msg_type, IN_TOPICS) == strlen(header.msg_type));
        MUST(memchr(header.subshell_id, 0, sizeof(header.subshell_id)));
        MUST(!*header.version || !strcmp(header.version, "5") ||
             !strncmp(header.version, "5.", 2));
    }
    memcpy(name, data, size < sizeof(name) ? size : sizeof(name));
    memcpy(image, data, size < sizeof(image) ? size : sizeof(image));
    if (kh_name_valid(name))
        MUST(kh_image_name_valid(image) || size >= sizeof(name));
    return 0;
}
