#include "kernelhost/cli/cli.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/text.h"

#define NO_OPTIONS NULL
#define ANY        ((unsigned)-1)

/* Every command there is. "help", the man page and the completion show them in
 * this order; tests/structure/test_cli_docs.sh compares the three. */
const struct kh_command kh_commands[] = {
    {"serve", "[--foreground] [-- KERNELHOSTD-OPTION...]",
     "run the host for a state directory",
     "Stays in the foreground and logs to standard error; ends with Ctrl-C or "
     "SIGTERM.\n"
     "What stands behind -- is passed to kernelhostd.",
     kh_options_serve, 0, ANY, 0, 0, kh_cmd_serve},
    {"restart", "", "restart the host's processes; sandboxes go on",
     "The same process executes its program anew, so a service manager sees no end.\n"
     "Prints how many sandboxes went on and how long nobody answered.",
     NO_OPTIONS, 0, 0, 0, 0, kh_cmd_restart},
    {"upgrade", "[--to FILE]", "the same with the installed version's programs",
     "Looks first whether they are all there and can take over what runs; if not,\n"
     "nothing is changed.",
     kh_options_upgrade, 0, 0, 0, 0, kh_cmd_upgrade},
    {"create",
     "[NAME] [--image IMAGE | --from SNAPSHOT] [--memory SIZE] [--cpus N] [--pids N] "
     "[--disk SIZE] [--freeze-after TIME] [--hibernate-after TIME] [--keep-awake]",
     "make a sandbox and print its name",
     "NAME has 1 to 56 lower-case letters, digits and inner hyphens. Without one the\n"
     "host makes one. Sizes end in K, M or G (of 1024).",
     kh_options_create, 0, 1, 0, 0, kh_cmd_create},
    {"ls", "[-q]", "list the sandboxes", NULL, kh_options_ls, 0, 0, 0, 0, kh_cmd_ls},
    {"show", "NAME", "tell everything about a sandbox", NULL, NO_OPTIONS, 1, 1, 0, 0,
     kh_cmd_show},
    {"limits", "NAME [--memory SIZE] [--cpus N] [--pids N] [--disk SIZE]",
     "print or change what a sandbox may use",
     "Changes hold at once, whatever it does, and for good. Less memory or disk than "
     "is\n"
     "in use is refused. Programs that asked how much there is are not told.",
     kh_options_limits, 1, 1, 0, 0, kh_cmd_limits},
    {"usage", "[NAME] [--since TIME] [--prometheus]",
     "print what sandboxes have used, and what it costs",
     "Processor seconds, memory and disk times how long, time in each state and\n"
     "executions; since the beginning, or since the hour of TIME. Removed sandboxes "
     "are\n"
     "in it. Prices are in config.json of the state directory.",
     kh_options_usage, 0, 1, 0, 0, kh_cmd_usage},
    {"rm", "NAME...", "remove sandboxes with all they hold", NULL, NO_OPTIONS, 1, ANY,
     0, 0, kh_cmd_rm},
    {"start", "NAME...", "start stopped sandboxes", NULL, NO_OPTIONS, 1, ANY, 0, 0,
     kh_cmd_start},
    {"stop", "NAME...", "stop sandboxes: processes end, files stay", NULL, NO_OPTIONS,
     1, ANY, 0, 0, kh_cmd_stop},
    {"sleep", "NAME... [--frozen]", "hibernate sandboxes: no memory, nothing lost",
     "Variables, processes and files are on the disk until somebody wants something "
     "of\n"
     "the sandbox. With --frozen its processes only stand still, in memory. Refused "
     "while\n"
     "a cell runs.",
     kh_options_sleep, 1, ANY, 0, 0, kh_cmd_sleep},
    {"wake", "NAME...", "bring sleeping sandboxes back",
     "Not needed: any message, command or connection does it.", NO_OPTIONS, 1, ANY, 0,
     0, kh_cmd_wake},
    {"idle", "NAME [--freeze-after TIME] [--hibernate-after TIME] [--keep-awake]",
     "tell or set when a sandbox sleeps by itself",
     "TIME is like 30s, 10m or 2h, or never. Idle is a sandbox in which no cell and "
     "no\n"
     "command runs, whose processes take less than a hundredth of a processor, and of\n"
     "which nobody wants anything; clients that are only connected do not count.",
     kh_options_idle, 1, 1, 0, 0, kh_cmd_idle},
    {"run", "NAME [--create] [-c CODE | FILE.py | NOTEBOOK.ipynb [-o OUT.ipynb] | -]",
     "run code or a notebook in a sandbox's kernel",
     "Variables stay: the next run finds them. Without code or file (or with -) the "
     "code\n"
     "is read from standard input. Ctrl-C interrupts the code, a second one leaves it\n"
     "running. With -o the outputs go into OUT.ipynb, and one line a cell to standard\n"
     "error; cells tagged skip-execution are skipped, an error in a cell tagged\n"
     "raises-exception is accepted. With --create the sandbox is made if there is "
     "none,\n"
     "of the image and with the limits that are given.",
     kh_options_run, 1, 2, 0, 0, kh_cmd_run},
    {"exec", "NAME [--cwd DIR] [--env NAME=VALUE] -- COMMAND [ARGUMENT...]",
     "run a command in a sandbox",
     "Its output and exit status are ours; a signal counts as 128 and its number.\n"
     "Standard input is passed on when it is no terminal.",
     kh_options_exec, 2, ANY, 2, 0, kh_cmd_exec},
    {"checkpoint", "NAME [--kernel ID | --files] [--label TEXT]",
     "note a point that a kernel, or all, can be rolled back to",
     "Prints its number. What a rollback will not bring back is listed on standard\n"
     "error. Refused while the kernel has threads. With --files it is one of the "
     "whole\n"
     "sandbox, files and all processes, whatever they do: a snapshot, whose name is\n"
     "printed.",
     kh_options_checkpoint, 1, 1, 0, 0, kh_cmd_checkpoint},
    {"checkpoint rm", "NAME CHECKPOINT... [--kernel ID]", "forget checkpoints", NULL,
     kh_options_checkpoints, 2, ANY, 0, 0, kh_cmd_checkpoint_rm},
    {"checkpoints", "NAME [--kernel ID]", "list the checkpoints of a sandbox",
     "Those of the kernel go with it, and when it is restarted or dies; those of the\n"
     "sandbox are its snapshots, and stay.",
     kh_options_checkpoints, 1, 1, 0, 0, kh_cmd_checkpoints},
    {"rollback", "NAME [CHECKPOINT] [--kernel ID]",
     "make a kernel or a sandbox what it was at a checkpoint",
     "By its number a kernel, to the newest one if none is named: variables and all "
     "else\n"
     "in its memory; its files stay as they are. By the name of a snapshot the "
     "sandbox,\n"
     "with its files and, if they are in it, its processes. Processes that began "
     "since\n"
     "are ended.",
     kh_options_checkpoints, 1, 2, 0, 0, kh_cmd_rollback},
    {"connect", "NAME [--tcp] [--kernel ID]",
     "print the path of a Jupyter connection file",
     "For jupyter console --existing FILE and every other client. Starts the sandbox "
     "and\n"
     "a kernel when there is none.",
     kh_options_connect, 1, 1, 0, 0, kh_cmd_connect},
    {"kernel",
     "-f FILE [--image IMAGE] [--memory SIZE] [--cpus N] [--pids N] [--disk SIZE]",
     "be the kernel process that a Jupyter program starts",
     "What kernelspecs call. Makes a sandbox of its own, serves the endpoints in the\n"
     "connection file and stays as long as the kernel. Other arguments mean nothing:\n"
     "Jupyter programs append some of their own.",
     kh_options_kernel, 0, ANY, 1, 0, kh_cmd_kernel},
    {"kernelspec install",
     "[--user | --prefix DIR | --sys-prefix] [--name NAME] [--display-name TEXT]",
     "offer sandboxed kernels to Jupyter on this machine",
     "Without --user, --prefix or --sys-prefix it is installed for everybody, under\n"
     "/usr/local/share/jupyter. Limits that are given apply to each of its kernels.",
     kh_options_kernelspec, 0, 0, 0, 0, kh_cmd_kernelspec_install},
    {"kernelspec list", "", "list the kernelspecs that start our kernels", NULL,
     NO_OPTIONS, 0, 0, 0, KH_COMMAND_ANYONE, kh_cmd_kernelspec_list},
    {"kernelspec remove", "NAME [--user | --prefix DIR | --sys-prefix]",
     "remove a kernelspec that install made", NULL, kh_options_kernelspec_remove, 1, 1,
     0, 0, kh_cmd_kernelspec_remove},
    {"image ls", "", "list the images",
     "With their sizes, layers and the kernels they can run. Needs no host.",
     NO_OPTIONS, 0, 0, 0, 0, kh_cmd_image_ls},
    {"image import",
     "ARCHIVE NAME [--ref NAME] [--max-size SIZE] [--max-entries N] [--timeout "
     "SECONDS]",
     "make an image of a container image or a root filesystem",
     "ARCHIVE is a tar of docker save, the directory or tar of an OCI layout, or a "
     "tar\n"
     "of a root filesystem (docker export); gzip, xz and zstd are understood.",
     kh_options_image_import, 2, 2, 0, 0, kh_cmd_image_import},
    {"image build", "NAME [--from IMAGE] [--packages FILE] [--requirements FILE]",
     "build an image: Debian, Python and what you add",
     "Adds the packages in the files to IMAGE, which was built here (default); "
     "without\n"
     "files it builds the default image anew, with mmdebstrap. Needs the network.",
     kh_options_image_build, 1, 1, 0, 0, kh_cmd_image_build},
    {"image rm", "NAME...", "remove images and the layers that nothing else needs",
     "Refused while a sandbox or a snapshot needs the image.", NO_OPTIONS, 1, ANY, 0, 0,
     kh_cmd_image_rm},
    {"snapshot", "NAME [SNAPSHOT] [--memory] [--expires TIME]",
     "keep what a sandbox's files are now, and print the snapshot's name",
     "The sandbox goes on; it stands still for the moment that this takes. With "
     "--memory\n"
     "its processes are kept as well; no cell may run then. TIME is like\n"
     "90s, 15m, 1h or 7d. A sandbox that is called like one of the commands below "
     "is\n"
     "meant behind --.",
     kh_options_snapshot, 1, 2, 0, 0, kh_cmd_snapshot},
    {"snapshot ls", "[NAME] [-q]", "list the snapshots, or those of a sandbox", NULL,
     kh_options_snapshot_ls, 0, 1, 0, 0, kh_cmd_snapshot_ls},
    {"snapshot show", "SNAPSHOT", "tell everything about a snapshot", NULL, NO_OPTIONS,
     1, 1, 0, 0, kh_cmd_snapshot_show},
    {"snapshot rm", "SNAPSHOT...", "remove snapshots",
     "Sandboxes that were made from them keep all they have.", NO_OPTIONS, 1, ANY, 0, 0,
     kh_cmd_snapshot_rm},
    {"snapshot export", "SNAPSHOT FILE [--key FILE]",
     "write a snapshot into a file, for this host or another",
     "- is standard output. The file is authenticated under the host's key, "
     "snapshot.key\n"
     "in its state directory, or another; it is not encrypted.",
     kh_options_snapshot_export, 2, 2, 0, 0, kh_cmd_snapshot_export},
    {"snapshot import",
     "FILE [SNAPSHOT] [--key FILE] [--image IMAGE] [--max-size SIZE] [--expires TIME]",
     "make a snapshot of a file that export wrote",
     "- is standard input. Refused whole if a bit of it is not as it was written.\n"
     "Sandboxes made from it have this host's default limits.",
     kh_options_snapshot_import, 1, 2, 0, 0, kh_cmd_snapshot_import},
    {"fork", "NAME NEW... [--files]", "make sandboxes with all that another has now",
     "Files, processes and variables; only the files with --files, or if it is "
     "stopped.\n"
     "Random numbers of kernels differ. Prints the names of those that were made.",
     kh_options_fork, 2, ANY, 0, 0, kh_cmd_fork},
    {"doctor", "", "tell whether this machine can run sandboxes",
     "One line a fact: ok, warn or fail, and the cure. Fails when a fact does.",
     NO_OPTIONS, 0, 0, 0, KH_COMMAND_ANYONE, kh_cmd_doctor},
    {"version", "", "print the version", NULL, NO_OPTIONS, 0, 0, 0, KH_COMMAND_ANYONE,
     kh_cmd_version},
    {"help", "[COMMAND]", "explain a command, or list them", NULL, NO_OPTIONS, 0, 2, 0,
     KH_COMMAND_ANYONE, kh_cmd_help},
    {0},
};

const struct kh_option kh_global_options[] = {
    {"state", 0, "DIR", "state directory of the host", false},
    {"json", 0, NULL, "print JSON", false},
    {"help", 'h', NULL, "explain the command", false},
    {0},
};

const struct kh_command *
kh_command_find(const char *name)
{
    const struct kh_command *c;

    for (c = kh_commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

void
kh_cli_complain(const struct kh_error *err)
{
    struct kh_buf line = KH_BUF_INIT;

    kh_buf_addf(&line, "kernelhost: ");
    kh_text_safe(&line, err->text, strlen(err->text));
    kh_buf_add(&line, "\n", 1);
    kh_fd_write_full(STDERR_FILENO, kh_buf_ptr(&line), kh_buf_len(&line));
    kh_buf_release(&line);
}

int
kh_cli_exit_status(int code)
{
    static const struct {
        int code, status;
    } map[] = {{EINVAL, KH_EXIT_USAGE},
               {ENOENT, KH_EXIT_NOT_FOUND},
               {EEXIST, KH_EXIT_CONFLICT},
               {EHOSTDOWN, KH_EXIT_NO_HOST}};
    size_t i;

    for (i = 0; i < KH_COUNT(map); i++)
        if (map[i].code == code)
            return map[i].status;
    return KH_EXIT_FAILURE;
}

/* True for the first word of commands with two: "kernelspec". */
static bool
is_group(const char *word)
{
    const struct kh_command *c;
    size_t length = strlen(word);

    for (c = kh_commands; c->name; c++)
        if (!strncmp(c->name, word, length) && c->name[length] == ' ')
            return true;
    return false;
}

int
kh_command_unknown(const char *word, struct kh_error *err)
{
    const char *names[64];
    const struct kh_command *c;
    const char *near;
    size_t count = 0, length = strlen(word);

    for (c = kh_commands; c->name; c++) {
        if (!strncmp(c->name, word, length) && c->name[length] == ' ')
            return kh_fail(err, EINVAL,
                           "'%.80s' needs one more word (hint: kernelhost %s)", word,
                           c->name);
        if (count + 1 < KH_COUNT(names))
            names[count++] = c->name;
    }
    names[count] = NULL;
    near = kh_nearest(word, names);
    return kh_fail(err, EINVAL, "unknown command '%.80s' (hint: kernelhost %s)", word,
                   near ? near : "help");
}

/* Finds the command in the first two words ("snapshot ls"), or in the first; *at moves
 * behind it. */
static int
find_command(char **argv, int argc, int *at, const struct kh_command **ret,
             struct kh_error *err)
{
    AUTO_FREE char *two =
        *at + 1 < argc ? kh_xasprintf("%s %s", argv[*at], argv[*at + 1]) : NULL;
    const struct kh_command *command = two ? kh_command_find(two) : NULL;

    if (command) {
        *at += 2;
        *ret = command;
        return 0;
    }
    command = kh_command_find(argv[*at]);
    if (!command && two && argv[*at + 1][0] != '-' && is_group(argv[*at]))
        return kh_command_unknown(two, err);
    if (!command)
        return kh_command_unknown(argv[*at], err);
    *at += 1;
    *ret = command;
    return 0;
}

static int
check_words(const struct kh_command *c, const struct kh_args *args,
            struct kh_error *err)
{
    if (args->words < c->min)
        return kh_fail(err, EINVAL, "arguments are missing (usage: kernelhost %s %s)",
                       c->name, c->synopsis);
    if (args->words > c->max)
        return kh_fail(err, EINVAL,
                       "'%.80s' is one argument too many (hint: kernelhost %s %s)",
                       args->word[c->max], c->name, c->synopsis);
    return 0;
}

static int
check_root(const struct kh_command *c, struct kh_error *err)
{
    if (c->flags & KH_COMMAND_ANYONE || geteuid() == 0)
        return 0;
    return kh_fail(err, EPERM,
                   "kernelhost needs root for now (hint: sudo kernelhost %s ...)",
                   c->name);
}

static void
take_globals(struct kh_cli *cli, const struct kh_args *args)
{
    const char *state = kh_args_get(args, "state");

    if (state) {
        cli->state = state;
        cli->state_given = true;
    }
    cli->json = cli->json || kh_args_has(args, "json");
}

/* What may stand in front of the command. Returns the number of words read. */
static int
read_front(int argc, char **argv, struct kh_cli *cli,
           const struct kh_command **ret_command, struct kh_error *err)
{
    const struct kh_option *tables[] = {kh_global_options, NULL};
    struct kh_args args;
    int r, at = 0;

    while (at < argc && argv[at][0] == '-') {
        if (!strcmp(argv[at], "--version"))
            *ret_command = kh_command_find("version");
        else if (!strcmp(argv[at], "--state"))
            at++;
        at++;
        if (*ret_command)
            return at;
    }
    r = kh_args_parse(tables, 0, at < argc ? at : argc, argv, &args, err);
    if (r < 0)
        return r;
    take_globals(cli, &args);
    if (kh_args_has(&args, "help"))
        *ret_command = kh_command_find("help");
    kh_args_release(&args);
    return at;
}

static int
run(int argc, char **argv, struct kh_error *err)
{
    const char *environment = getenv("KERNELHOST_STATE");
    struct kh_cli cli = {.state =
                             environment && *environment ? environment : KH_STATEDIR};
    const struct kh_option *tables[] = {kh_global_options, NULL, NULL};
    const struct kh_command *command = NULL;
    struct kh_args args = {0};
    int at = read_front(argc, argv, &cli, &command, err);
    int r = at < 0 ? at : 0;

    if (r == 0 && !command && at >= argc)
        return kh_fail(err, EINVAL, "no command (hint: kernelhost help)");
    if (r == 0 && !command)
        r = find_command(argv, argc, &at, &command, err);
    if (r < 0 || !command)
        return r;
    if (command->options) {
        tables[0] = command->options;
        tables[1] = kh_global_options;
    }
    r = kh_args_parse(tables, command->literal, argc - at, argv + at, &args, err);
    if (r < 0)
        return r;
    take_globals(&cli, &args);
    if (kh_args_has(&args, "help")) {
        struct kh_args about = {.word = (const char *[]){command->name}, .words = 1};

        r = kh_cmd_help(&cli, &about, err);
    } else {
        r = check_words(command, &args, err);
        if (r == 0)
            r = check_root(command, err);
        if (r == 0)
            r = command->run(&cli, &args, err);
    }
    kh_args_release(&args);
    return r;
}

int
main(int argc, char **argv)
{
    struct kh_error err = {0};
    int r;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    r = run(argc - 1, argv + 1, &err);
    if (r < 0) {
        if (err.text[0])
            kh_cli_complain(&err);
        r = kh_cli_exit_status(err.code);
    }
    curl_global_cleanup();
    return r;
}
