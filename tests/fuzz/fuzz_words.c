#include "base/mem.h"
#include "kernelhost/cli/option.h"
#include "kernelhost/cli/size.h"
#include "tests/fuzz/fuzz.h"

#define WORDS 64

static const struct kh_option options[] = {{"name", 'n', "NAME", "x", false},
                                           {"env", 'e', "K=V", "x", true},
                                           {"quiet", 'q', NULL, "x", false},
                                           {"all", 0, NULL, "x", false},
                                           {NULL, 0, NULL, NULL, false}};

static void
numbers(const char *word)
{
    char shown[KH_SIZE_TEXT];
    uint64_t bytes, count;
    uint32_t milli;

    if (kh_size_parse(word, &bytes, NULL) == 0) {
        MUST(bytes && bytes <= 1ull << 62);
        kh_size_text(bytes, shown); /* also in P and E, which nobody writes */
        MUST(bytes >= 1ull << 50 || kh_size_parse(shown, &bytes, NULL) == 0);
    }
    if (kh_cpus_parse(word, &milli, NULL) == 0)
        MUST(milli >= 10 && milli <= 4096000);
    if (kh_time_parse(word, &count, NULL) == 0)
        MUST(count && count <= 10ull * 365 * 86400);
    if (kh_count_parse("count", word, 16, 32768, &count, NULL) == 0)
        MUST(count >= 16 && count <= 32768);
}

/* A command line: words ended by NUL, and their numbers. Every word and option that
 * is taken was given. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kh_option *tables[] = {options, NULL};
    char *text = kh_xmemdup(data, size), *argv[WORDS + 1] = {0}, *at = text;
    struct kh_args args = {0};
    int argc = 0;

    for (; at < text + size && argc < WORDS; at += strlen(at) + 1) {
        argv[argc++] = at;
        numbers(at);
    }
    if (kh_args_parse(tables, size % 3, argc, argv, &args, NULL) == 0) {
        MUST(args.words <= (size_t)argc && args.count <= size);
        MUST(!kh_args_get(&args, "name") || kh_args_has(&args, "name"));
        kh_args_release(&args);
    }
    free(text);
    return 0;
}
