#include "kernelhost/cli/option.h"
#include "kernelhost/cli/size.h"

#include <errno.h>

#include "base/clean.h"
#include "tests/tap.h"

static const struct kh_option options[] = {
    {"memory", 'm', "SIZE", "", false},
    {"env", 'e', "NAME=VALUE", "", true},
    {"quiet", 'q', NULL, "", false},
    {"no-stdin", 'n', NULL, "", false},
    {0},
};
static const struct kh_option more[] = {{"json", 0, NULL, "", false}, {0}};
static const struct kh_option *const tables[] = {options, more, NULL};

/* Parses a line of words; the words live as long as the returned ones. */
static int
parse(char *line, unsigned literal, struct kh_args *args, struct kh_error *err)
{
    static char *argv[16];
    int argc = 0;
    char *save = NULL, *word;

    for (word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    return kh_args_parse(tables, literal, argc, argv, args, err);
}

static void
forms(void)
{
    static const char *const same[] = {"-m 5 -q x",
                                       "-m5 -q x",
                                       "-qm5 x",
                                       "-qm 5 x",
                                       "--memory 5 --quiet x",
                                       "x --quiet --memory=5",
                                       "--quiet --memory 5 -- x"};
    struct kh_args args = {0};
    size_t i;

    for (i = 0; i < KH_COUNT(same); i++) {
        char line[64];

        snprintf(line, sizeof(line), "%s", same[i]);
        is_int(parse(line, 0, &args, NULL), 0, "'%s' is read", same[i]);
        is_str(kh_args_get(&args, "memory"), "5", "the value is there");
        ok(kh_args_has(&args, "quiet") && !kh_args_has(&args, "json"),
           "switches are known");
        ok(args.words == 1 && !strcmp(args.word[0], "x"), "the argument is there");
        kh_args_release(&args);
    }
}

static void
words(void)
{
    char dashes[] = "- -- --quiet -m";
    char command[] = "-q box ls -la --quiet";
    char later[] = "box -q ls -la --quiet";
    char repeated[] = "-e A=1 -e B=2 --json";
    struct kh_args args = {0};

    is_int(parse(dashes, 0, &args, NULL), 0, "a lone - is an argument");
    ok(args.words == 3 && args.count == 0, "behind -- nothing is an option");
    kh_args_release(&args);
    is_int(parse(command, 2, &args, NULL), 0, "a command with options is read");
    ok(args.words == 4 && !strcmp(args.word[3], "--quiet") && args.count == 1,
       "from the second word on nothing is an option");
    kh_args_release(&args);
    parse(later, 2, &args, NULL);
    ok(args.words == 4 && kh_args_has(&args, "quiet"),
       "between the two there may be one");
    kh_args_release(&args);
    parse(repeated, 0, &args, NULL);
    ok(args.count == 3 && !strcmp(args.given[0].value, "A=1") &&
           !strcmp(args.given[1].value, "B=2"),
       "an option that may be repeated keeps all values");
    kh_args_release(&args);
}

static void
refusals(void)
{
    static const struct {
        const char *line, *text;
    } bad[] = {
        {"--memroy 5", "unknown option '--memroy' (hint: --memory)"},
        {"--mem 5", "unknown option '--mem' (hint: --memory)"},
        {"--xyzzy", "unknown option '--xyzzy'"},
        {"--memroy=5", "unknown option '--memroy' (hint: --memory)"},
        {"-x", "unknown option '-x'"},
        {"-qx", "unknown option '-x'"},
        {"--memory", "option '--memory' needs a value: SIZE"},
        {"-m", "option '--memory' needs a value: SIZE"},
        {"--quiet=yes", "option '--quiet' takes no value"},
        {"-m 1 --memory 2", "option '--memory' is given twice"},
    };
    struct kh_args args = {0};
    struct kh_error err;
    size_t i;

    for (i = 0; i < KH_COUNT(bad); i++) {
        char line[64];

        snprintf(line, sizeof(line), "%s", bad[i].line);
        is_int(parse(line, 0, &args, &err), -EINVAL, "'%s' is refused", bad[i].line);
        is_str(err.text, bad[i].text, "and the text says why");
        ok(!args.word && !args.given, "nothing is set");
    }
}

static void
nearest(void)
{
    static const char *const names[] = {"create", "connect", "ls",    "rm",
                                        "run",    "show",    "start", NULL};

    is_str(kh_nearest("craete", names), "create", "swapped letters");
    is_str(kh_nearest("strat", names), "start", "swapped letters at the end");
    is_str(kh_nearest("conn", names), "connect", "an unfinished word");
    is_str(kh_nearest("shw", names), "show", "a letter is missing");
    is_str(kh_nearest("lss", names), "ls", "a letter too many");
    ok(!kh_nearest("xx", names), "two wrong letters are no 'rm'");
    ok(!kh_nearest("", names), "nothing is near to nothing");
    ok(!kh_nearest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", names),
       "a long word is near to nothing");
}

static void
times(void)
{
    static const struct {
        const char *text;
        uint64_t seconds; /* 0: refused */
    } table[] = {
        {"90", 90},
        {"90s", 90},
        {"10m", 600},
        {"2h", 7200},
        {"1.5d", 129600},
        {"0.5m", 30},
        {".5m", 30},
        {"1.9", 1},
        {"3650d", 315360000},
        {"315360000", 315360000},
        {"315360001", 0},
        {"3651d", 0},
        {"0", 0},
        {"0.9s", 0},
        {"", 0},
        {"s", 0},
        {"-1", 0},
        {" 1", 0},
        {"1 s", 0},
        {"1S", 0},
        {"1w", 0},
        {"1m30s", 0},
        {"1e3", 0},
        {"99999999999999999999999999", 0},
        {"213503982334602d", 0}, /* a second more than 2^64 of them */
    };
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++) {
        uint64_t seconds = 7;
        struct kh_error err = {0};
        int r = kh_time_parse(table[i].text, &seconds, &err);

        if (table[i].seconds)
            ok(r == 0 && seconds == table[i].seconds, "'%s' is %llu s", table[i].text,
               (unsigned long long)table[i].seconds);
        else
            ok(r == -EINVAL && seconds == 7 && err.text[0] == '\'', "refused: %s",
               err.text);
    }
}

int
main(void)
{
    forms();
    words();
    refusals();
    nearest();
    times();
    return done();
}
