#include "kernelhost/cli/option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NAMES_MAX 64
#define WORD_MAX  32

void
kh_args_release(struct kh_args *args)
{
    free(args->word);
    free(args->given);
    memset(args, 0, sizeof(*args));
}

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap of neighbours) from A to B; both are at
 * most WORD_MAX long. */
static size_t
distance(const char *a, const char *b)
{
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    size_t m = strlen(a), n = strlen(b), i, j;

    for (i = 0; i <= m; i++)
        d[i][0] = i;
    for (j = 0; j <= n; j++)
        d[0][j] = j;
    for (i = 1; i <= m; i++) {
        for (j = 1; j <= n; j++) {
            size_t same = a[i - 1] == b[j - 1];

            d[i][j] =
                least(d[i - 1][j - 1] + !same, least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[m][n];
}

const char *
kh_nearest(const char *word, const char *const *candidates)
{
    const char *best = NULL;
    size_t best_distance = 3, i;

    if (strlen(word) > WORD_MAX || !*word)
        return NULL;
    for (i = 0; candidates[i]; i++) {
        size_t now;

        if (strlen(candidates[i]) > WORD_MAX)
            continue;
        /* An unfinished word ("con" for "connect") is near at any distance. */
        now = strlen(word) > 1 && !strncmp(candidates[i], word, strlen(word))
                  ? 1
                  : distance(word, candidates[i]);
        if (now < best_distance && now < strlen(candidates[i])) {
            best = candidates[i];
            best_distance = now;
        }
    }
    return best;
}

static const struct kh_option *
find_name(const struct kh_option *const *tables, const char *name, size_t length)
{
    const struct kh_option *o;

    for (; *tables; tables++)
        for (o = *tables; o->name; o++)
            if (strlen(o->name) == length && !memcmp(o->name, name, length))
                return o;
    return NULL;
}

static const struct kh_option *
find_letter(const struct kh_option *const *tables, char letter)
{
    const struct kh_option *o;

    for (; *tables; tables++)
        for (o = *tables; o->name; o++)
            if (o->letter && o->letter == letter)
                return o;
    return NULL;
}

static int
unknown(const struct kh_option *const *tables, const char *word, size_t length,
        struct kh_error *err)
{
    const char *names[NAMES_MAX + 1];
    char given[WORD_MAX + 1];
    const struct kh_option *o;
    const char *near = NULL;
    size_t count = 0;

    for (; *tables; tables++)
        for (o = *tables; o->name && count < NAMES_MAX; o++)
            names[count++] = o->name;
    names[count] = NULL;
    if (length <= WORD_MAX) {
        memcpy(given, word, length);
        given[length] = '\0';
        near = kh_nearest(given, names);
    }
    if (near)
        return kh_fail(err, EINVAL, "unknown option '--%.*s' (hint: --%s)",
                       (int)least(length, 80), word, near);
    return kh_fail(err, EINVAL, "unknown option '--%.*s'", (int)least(length, 80),
                   word);
}

struct reader {
    const struct kh_option *const *tables;
    struct kh_args *args;
    char *const *argv;
    int argc;
    int at;
};

static int
add(struct reader *r, const struct kh_option *o, const char *value,
    struct kh_error *err)
{
    struct kh_args *args = r->args;
    size_t i;

    for (i = 0; i < args->count && !o->many && o->value; i++)
        if (args->given[i].option == o)
            return kh_fail(err, EINVAL, "option '--%s' is given twice", o->name);
    args->given = kh_xrealloc(args->given, (args->count + 1) * sizeof(*args->given));
    args->given[args->count++] = (struct kh_given){o, value};
    return 0;
}

static int
next_value(struct reader *r, const struct kh_option *o, const char **ret,
           struct kh_error *err)
{
    if (r->at + 1 >= r->argc)
        return kh_fail(err, EINVAL, "option '--%s' needs a value: %s", o->name,
                       o->value);
    *ret = r->argv[++r->at];
    return 0;
}

static int
read_long(struct reader *r, const char *word, struct kh_error *err)
{
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const struct kh_option *o = find_name(r->tables, word, length);
    const char *value = equals ? equals + 1 : NULL;

    if (!o)
        return unknown(r->tables, word, length, err);
    if (!o->value && value)
        return kh_fail(err, EINVAL, "option '--%s' takes no value", o->name);
    if (o->value && !value && next_value(r, o, &value, err) < 0)
        return -EINVAL;
    return add(r, o, value, err);
}

static int
read_letters(struct reader *r, const char *word, struct kh_error *err)
{
    for (; *word; word++) {
        const struct kh_option *o = find_letter(r->tables, *word);
        const char *value = NULL;

        if (!o)
            return kh_fail(err, EINVAL, "unknown option '-%c'", *word);
        if (o->value && word[1])
            value = word + 1;
        else if (o->value && next_value(r, o, &value, err) < 0)
            return -EINVAL;
        if (add(r, o, value, err) < 0)
            return -EINVAL;
        if (value)
            break;
    }
    return 0;
}

int
kh_args_parse(const struct kh_option *const *tables, unsigned literal, int argc,
              char *const *argv, struct kh_args *ret, struct kh_error *err)
{
    struct kh_args args = {0};
    struct reader r = {tables, &args, argv, argc, 0};
    bool plain = false;
    int failed = 0;

    args.word = kh_xcalloc((size_t)argc + 1, sizeof(*args.word));
    for (; r.at < argc && !failed; r.at++) {
        const char *word = argv[r.at];

        if (!plain && !strcmp(word, "--")) {
            plain = true;
        } else if (plain || word[0] != '-' || !word[1]) {
            args.word[args.words++] = word;
            plain = plain || args.words == literal;
        } else if (word[1] == '-') {
            failed = read_long(&r, word + 2, err);
        } else {
            failed = read_letters(&r, word + 1, err);
        }
    }
    if (failed) {
        kh_args_release(&args);
        return failed;
    }
    *ret = args;
    return 0;
}

static const struct kh_given *
find_given(const struct kh_args *args, const char *name)
{
    size_t i = args->count;

    while (i--)
        if (!strcmp(args->given[i].option->name, name))
            return &args->given[i];
    return NULL;
}

const char *
kh_args_get(const struct kh_args *args, const char *name)
{
    const struct kh_given *given = find_given(args, name);

    return given ? given->value : NULL;
}

bool
kh_args_has(const struct kh_args *args, const char *name)
{
    return find_given(args, name) != NULL;
}
