#include "sandbox/image/manifest.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "sandbox/image/path.h"

#define DEPTH_MAX 32
#define REF_NAME  "org.opencontainers.image.ref.name"

static void
json_freep(json_t **json)
{
    json_decref(*json);
}

#define AUTO_TREE __attribute__((cleanup(json_freep))) json_t

bool
kh_digest_valid(const char *text)
{
    return !strncmp(text, "sha256:", 7) && strlen(text) == KH_DIGEST_TEXT - 1 &&
           strspn(text + 7, "0123456789abcdef") == 64;
}

/* jansson limits the depth to 2,048 and recurses: ours is counted first. Brackets in
 * strings count too, which only makes the limit stricter. */
static bool
too_deep(const char *text, size_t size)
{
    size_t i;
    int depth = 0;

    for (i = 0; i < size; i++) {
        depth +=
            (text[i] == '{' || text[i] == '[') - (text[i] == '}' || text[i] == ']');
        if (depth > DEPTH_MAX)
            return true;
    }
    return false;
}

static int
load(const char *what, const char *text, size_t size, json_t **ret,
     struct kh_error *err)
{
    json_error_t why;

    if (size > KH_JSON_MAX || too_deep(text, size))
        return kh_fail(err, EBADMSG, "%s is too large or too deep", what);
    *ret = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    return *ret ? 0
                : kh_fail(err, EBADMSG, "%s is no JSON (line %d, column %d)", what,
                          why.line, why.column);
}

static const char *
string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static int
unsupported(struct kh_error *err, const char *what, const char *value)
{
    char shown[KH_PATH_SHOWN];

    return kh_fail(err, EBADMSG,
                   "%s '%s' is not supported (hint: skopeo copy "
                   "converts images to 'oci:DIR')",
                   what, kh_path_show(value, shown));
}

/* A descriptor's blob: it is found by its digest and nothing else. */
static int
blob_of(const json_t *descriptor, struct kh_blob *ret, struct kh_error *err)
{
    const char *digest = string(descriptor, "digest");

    if (!kh_digest_valid(digest))
        return unsupported(err, "the digest", digest);
    snprintf(ret->digest, sizeof(ret->digest), "%s", digest);
    snprintf(ret->name, sizeof(ret->name), "blobs/sha256/%s", digest + 7);
    return 0;
}

static bool
is_index(const json_t *descriptor)
{
    const char *type = string(descriptor, "mediaType");

    return !strcmp(type, "application/vnd.oci.image.index.v1+json") ||
           !strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json");
}

/* Attestations are manifests for the platform "unknown". */
static bool
runs_here(const json_t *descriptor, const struct kh_wanted *wanted)
{
    const json_t *platform = json_object_get(descriptor, "platform");

    return !platform ||
           (!strcmp(string(platform, "os"), "linux") &&
            !strcmp(string(platform, "architecture"), wanted->architecture));
}

/* "REGISTRY/NAME:TAG", what is behind a slash of it, or its tag alone. */
static bool
same_ref(const char *have, const char *want)
{
    size_t length = strlen(have), wanted = strlen(want);
    const char *end = have + length - wanted;

    if (wanted > length || strcmp(end, want) != 0)
        return false;
    return end == have || end[-1] == '/' || (end[-1] == ':' && !strchr(want, '/'));
}

struct choice {
    const json_t *found;
    size_t count;
    char names[200]; /* of all there are, for the message */
};

static void
note_name(struct choice *choice, const char *name)
{
    size_t used = strlen(choice->names);
    char shown[KH_PATH_SHOWN];

    if (*name && used + 2 < sizeof(choice->names))
        snprintf(choice->names + used, sizeof(choice->names) - used, "%s%s",
                 used ? ", " : "", kh_path_show(name, shown));
}

static int
choose(const struct choice *choice, const struct kh_wanted *wanted,
       struct kh_error *err)
{
    char shown[KH_PATH_SHOWN];

    if (choice->count == 1)
        return 0;
    if (choice->count)
        return kh_fail(err, EINVAL,
                       "the archive holds %zu images (hint: --ref NAME, one of: %s)",
                       choice->count, choice->names);
    if (*wanted->ref)
        return kh_fail(err, ENOENT,
                       "the archive holds no image '%s' for linux/%s (hint: --ref with "
                       "one of: %s)",
                       kh_path_show(wanted->ref, shown), wanted->architecture,
                       choice->names);
    return kh_fail(err, ENOENT, "the archive holds no image for linux/%s",
                   wanted->architecture);
}

int
kh_index_read(const char *text, size_t size, const struct kh_wanted *wanted,
              struct kh_blob *ret_blob, bool *ret_nested, struct kh_error *err)
{
    AUTO_TREE *root = NULL;
    struct choice choice = {0};
    const json_t *descriptor;
    size_t i;
    int r = load("the index", text, size, &root, err);

    if (r < 0)
        return r;
    json_array_foreach(json_object_get(root, "manifests"), i, descriptor)
    {
        const char *name = string(json_object_get(descriptor, "annotations"), REF_NAME);

        note_name(&choice, name);
        if (!runs_here(descriptor, wanted) ||
            (*wanted->ref && !same_ref(name, wanted->ref)))
            continue;
        choice.found = descriptor;
        choice.count++;
    }
    r = choose(&choice, wanted, err);
    if (r < 0)
        return r;
    *ret_nested = is_index(choice.found);
    return blob_of(choice.found, ret_blob, err);
}

static int
too_many(size_t layers, struct kh_error *err)
{
    return kh_fail(err, E2BIG,
                   "the image has %zu layers, more than %d (hint: flatten it: docker "
                   "export gives one tar)",
                   layers, KH_IMPORT_LAYERS_MAX);
}

/* What is in a layer shows when it is read; but some are known to be no tar. */
static int
check_type(const json_t *layer, struct kh_error *err)
{
    const char *type = string(layer, "mediaType");

    if (*type && (!strstr(type, "tar") || strstr(type, "encrypted")))
        return unsupported(err, "the layer type", type);
    return 0;
}

int
kh_manifest_read(const char *text, size_t size, struct kh_manifest *ret_manifest,
                 struct kh_error *err)
{
    AUTO_TREE *root = NULL;
    const json_t *layers, *layer;
    size_t i;
    int r = load("the manifest", text, size, &root, err);

    if (r < 0)
        return r;
    layers = json_object_get(root, "layers");
    if (!json_is_array(layers) || !json_is_object(json_object_get(root, "config")))
        return kh_fail(err, EBADMSG, "the manifest names no config and layers");
    if (json_array_size(layers) > KH_IMPORT_LAYERS_MAX)
        return too_many(json_array_size(layers), err);
    r = blob_of(json_object_get(root, "config"), &ret_manifest->config, err);
    json_array_foreach(layers, i, layer)
    {
        if (r == 0)
            r = check_type(layer, err);
        if (r == 0)
            r = blob_of(layer, &ret_manifest->layer[i], err);
    }
    ret_manifest->layers = (unsigned)json_array_size(layers);
    return r;
}

/* A name in manifest.json; "sha256:..." digests are in the config only. */
static int
name_of(const json_t *value, struct kh_blob *ret, struct kh_error *err)
{
    const char *name = json_string_value(value);

    if (!name || !*name || strlen(name) >= sizeof(ret->name))
        return kh_fail(err, EBADMSG, "manifest.json names a file that cannot be");
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    ret->digest[0] = '\0';
    return 0;
}

static bool
has_tag(const json_t *image, const char *ref, struct choice *choice)
{
    const json_t *tag;
    bool found = !*ref;
    size_t i;

    json_array_foreach(json_object_get(image, "RepoTags"), i, tag)
    {
        const char *name = json_string_value(tag);

        note_name(choice, name ? name : "");
        found = found || (name && same_ref(name, ref));
    }
    return found;
}

int
kh_docker_read(const char *text, size_t size, const struct kh_wanted *wanted,
               struct kh_manifest *ret_manifest, struct kh_error *err)
{
    AUTO_TREE *root = NULL;
    struct choice choice = {0};
    const json_t *image, *layers, *layer;
    size_t i;
    int r = load("manifest.json", text, size, &root, err);

    if (r < 0)
        return r;
    json_array_foreach(root, i, image)
    {
        if (!has_tag(image, wanted->ref, &choice))
            continue;
        choice.found = image;
        choice.count++;
    }
    r = choose(&choice, wanted, err);
    if (r < 0)
        return r;
    layers = json_object_get(choice.found, "Layers");
    if (!json_is_array(layers))
        return kh_fail(err, EBADMSG, "manifest.json names no layers");
    if (json_array_size(layers) > KH_IMPORT_LAYERS_MAX)
        return too_many(json_array_size(layers), err);
    r = name_of(json_object_get(choice.found, "Config"), &ret_manifest->config, err);
    json_array_foreach(layers, i, layer)
    {
        if (r == 0)
            r = name_of(layer, &ret_manifest->layer[i], err);
    }
    ret_manifest->layers = (unsigned)json_array_size(layers);
    return r;
}

int
kh_config_read(const char *text, size_t size, const struct kh_wanted *wanted,
               unsigned layers, char ret_digest[][KH_DIGEST_TEXT], struct kh_error *err)
{
    AUTO_TREE *root = NULL;
    const json_t *digests, *digest;
    const char *os, *architecture;
    char shown[KH_PATH_SHOWN];
    size_t i;
    int r = load("the config", text, size, &root, err);

    if (r < 0)
        return r;
    os = string(root, "os");
    architecture = string(root, "architecture");
    if ((*os && strcmp(os, "linux") != 0) ||
        (*architecture && strcmp(architecture, wanted->architecture) != 0))
        return kh_fail(err, ENOEXEC,
                       "the image is for '%s', this machine is linux/%s (hint: docker "
                       "pull --platform)",
                       kh_path_show(*architecture ? architecture : os, shown),
                       wanted->architecture);
    digests = json_object_get(json_object_get(root, "rootfs"), "diff_ids");
    if (!json_is_array(digests) || json_array_size(digests) != layers)
        return kh_fail(err, EBADMSG, "the config has %zu layers, the manifest %u",
                       json_array_size(digests), layers);
    json_array_foreach(digests, i, digest)
    {
        const char *value = json_string_value(digest);

        if (!value || !kh_digest_valid(value))
            return unsupported(err, "the digest", value ? value : "");
        snprintf(ret_digest[i], KH_DIGEST_TEXT, "%s", value);
    }
    return 0;
}
