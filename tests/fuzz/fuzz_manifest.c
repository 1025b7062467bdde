#include "sandbox/image/manifest.h"
#include "tests/fuzz/fuzz.h"

static void
check(const struct kh_blob *blob)
{
    MUST(memchr(blob->name, 0, sizeof(blob->name)) && *blob->name);
    MUST(!*blob->digest || kh_digest_valid(blob->digest));
}

/* The bytes as each of the four documents; what is taken is within its bounds. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kh_manifest manifest;
    static char digest[KH_IMPORT_LAYERS_MAX][KH_DIGEST_TEXT];
    const struct kh_wanted wanted = {size & 1 ? "" : "v1", "amd64"};
    const char *text = (const char *)data;
    struct kh_blob blob;
    bool nested;
    unsigned i;

    if (kh_index_read(text, size, &wanted, &blob, &nested, NULL) == 0)
        check(&blob);
    if (kh_manifest_read(text, size, &manifest, NULL) == 0 ||
        kh_docker_read(text, size, &wanted, &manifest, NULL) == 0) {
        MUST(manifest.layers <= KH_IMPORT_LAYERS_MAX);
        check(&manifest.config);
        for (i = 0; i < manifest.layers; i++)
            check(&manifest.layer[i]);
    }
    for (i = 0; i < 3; i++)
        if (kh_config_read(text, size, &wanted, i, digest, NULL) == 0)
            MUST(i == 0 || kh_digest_valid(digest[i - 1]));
    return 0;
}
