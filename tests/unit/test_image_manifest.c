/* The JSON of OCI layouts and docker archives. */
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clean.h"
#include "base/mem.h"
#include "sandbox/image/manifest.h"
#include "tests/tap.h"

#define A64       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64       "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SHA(hex)  "\"digest\":\"sha256:" hex "\""
#define FOR(arch) "\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"
#define REF(name) "\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"

static struct kh_error err;

static int
index_of(const char *text, const char *ref, struct kh_blob *blob)
{
    const struct kh_wanted wanted = {ref, "amd64"};
    bool nested;

    err.text[0] = '\0';
    return kh_index_read(text, strlen(text), &wanted, blob, &nested, &err);
}

static void
indexes(void)
{
    struct kh_blob blob;

    is_int(index_of("{\"manifests\":[{" SHA(A64) "}]}", "", &blob), 0, "one image");
    is_str(blob.name, "blobs/sha256/" A64, "its blob");
    is_int(index_of("{\"manifests\":[{" SHA(A64) "," FOR("arm64") "},{" SHA(
                        B64) "," FOR("amd64") "},{" SHA(A64) "," FOR("unknown") "}]}",
                    "", &blob),
           0, "one for this processor");
    is_str(blob.digest, "sha256:" B64, "is taken");
    is_int(index_of("{\"manifests\":[{" SHA(A64) "," FOR("arm64") "}]}", "", &blob),
           -ENOENT, "none for it");
    is_int(index_of("{\"manifests\":[{" SHA(A64) "," REF("a:v1") "},{" SHA(B64) "," REF(
                        "a:v2") "}]}",
                    "", &blob),
           -EINVAL, "two, and none was asked for");
    ok(strstr(err.text, "a:v1, a:v2"), "they are named (%s)", err.text);
    is_int(index_of("{\"manifests\":[{" SHA(A64) "," REF("a:v1") "},{" SHA(B64) "," REF(
                        "a:v2") "}]}",
                    "v2", &blob),
           0, "asked by tag");
    is_str(blob.digest, "sha256:" B64, "it is found");
    is_int(index_of("{\"manifests\":[{\"digest\":\"sha256:../../x\"}]}", "", &blob),
           -EBADMSG, "a digest that is a path");
    is_int(index_of("{\"manifests\":[{\"digest\":\"sha512:" A64 "\"}]}", "", &blob),
           -EBADMSG, "another kind of digest");
    is_int(index_of("{\"manifests\":7}", "", &blob), -ENOENT, "no list");
    is_int(index_of("[]", "", &blob), -ENOENT, "no object");
    is_int(index_of("{", "", &blob), -EBADMSG, "no JSON");
    is_int(index_of("{\"a\":1,\"a\":2}", "", &blob), -EBADMSG, "a member twice");
}

static void
bombs(void)
{
    AUTO_FREE char *deep = kh_xcalloc(1, 100001),
                   *large = kh_xcalloc(1, KH_JSON_MAX + 2);
    struct kh_blob blob;

    memset(deep, '[', 100000);
    is_int(index_of(deep, "", &blob), -EBADMSG, "100,000 levels");
    memset(large, ' ', KH_JSON_MAX + 1);
    is_int(index_of(large, "", &blob), -EBADMSG, "too large");
}

static void
manifests(void)
{
    static struct kh_manifest manifest;
    static const char good[] = "{\"config\":{" SHA(A64) "},\"layers\":[{" SHA(
        A64) ",\"mediaType\":\"application/"
             "vnd.oci.image.layer.v1.tar+zstd\"},{" SHA(B64) "}]}";
    struct kh_buf many = KH_BUF_INIT;
    int i;

    ok(kh_manifest_read(good, strlen(good), &manifest, &err) == 0 &&
           manifest.layers == 2 && !strcmp(manifest.layer[1].digest, "sha256:" B64),
       "config and layers, base first");
    is_int(kh_manifest_read("{\"layers\":[]}", 13, &manifest, &err), -EBADMSG,
           "without a config");
    kh_buf_addf(&many, "{\"config\":{" SHA(A64) "},\"layers\":[");
    for (i = 0; i <= KH_IMPORT_LAYERS_MAX; i++)
        kh_buf_addf(&many, "%s{" SHA(A64) "}", i ? "," : "");
    kh_buf_addf(&many, "]}");
    is_int(kh_manifest_read(kh_buf_ptr(&many), kh_buf_len(&many), &manifest, &err),
           -E2BIG, "too many layers");
    ok(strstr(err.text, "docker export"), "the cure (%s)", err.text);
    kh_buf_release(&many);
    is_int(kh_manifest_read("{\"config\":{" SHA(A64) "},\"layers\":[{" SHA(
                                A64) ",\"mediaType\":\"x+encrypted\"}]}",
                            strlen("{\"config\":{" SHA(A64) "},\"layers\":[{" SHA(
                                A64) ",\"mediaType\":\"x+encrypted\"}]}"),
                            &manifest, &err),
           -EBADMSG, "a layer that is no tar");
}

static void
dockers(void)
{
    static const char two[] =
        "[{\"Config\":\"c.json\",\"RepoTags\":[\"docker.io/a/"
        "b:v1\"],\"Layers\":[\"x\"]},"
        "{\"Config\":\"d.json\",\"RepoTags\":null,\"Layers\":[]}]";
    static const char odd[] = "[{\"Config\":3,\"Layers\":[\"x\"]}]";
    const char *const refs[] = {"docker.io/a/b:v1", "a/b:v1", "b:v1", "v1"};
    const char *const wrong[] = {"/b:v1", "1", ":v1", "c/a/b:v1", "a/b"};
    static struct kh_manifest manifest;
    struct kh_wanted wanted = {"", "amd64"};
    size_t i;

    is_int(kh_docker_read(two, strlen(two), &wanted, &manifest, &err), -EINVAL,
           "which?");
    for (i = 0; i < KH_COUNT(refs); i++) {
        wanted.ref = refs[i];
        ok(kh_docker_read(two, strlen(two), &wanted, &manifest, &err) == 0 &&
               !strcmp(manifest.config.name, "c.json") && manifest.layers == 1,
           "by '%s'", refs[i]);
    }
    for (i = 0; i < KH_COUNT(wrong); i++) {
        wanted.ref = wrong[i];
        is_int(kh_docker_read(two, strlen(two), &wanted, &manifest, &err), -ENOENT,
               "not by '%s'", wrong[i]);
    }
    wanted.ref = "";
    is_int(kh_docker_read(odd, strlen(odd), &wanted, &manifest, &err), -EBADMSG,
           "a name that is a number");
}

static void
configs(void)
{
    static const char text[] =
        "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":"
        "{\"diff_ids\":[\"sha256:" A64 "\"]}}";
    char digest[2][KH_DIGEST_TEXT];
    struct kh_wanted wanted = {"", "amd64"};

    ok(kh_config_read(text, strlen(text), &wanted, 1, digest, &err) == 0 &&
           !strcmp(digest[0], "sha256:" A64),
       "digests of the plain layers");
    is_int(kh_config_read(text, strlen(text), &wanted, 2, digest, &err), -EBADMSG,
           "one too few");
    wanted.architecture = "arm64";
    is_int(kh_config_read(text, strlen(text), &wanted, 1, digest, &err), -ENOEXEC,
           "another processor");
    ok(strstr(err.text, "amd64"), "it is named (%s)", err.text);
}

int
main(void)
{
    indexes();
    bombs();
    manifests();
    dockers();
    configs();
    return done();
}
