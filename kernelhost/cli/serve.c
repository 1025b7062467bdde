#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"

const struct kh_option kh_options_serve[] = {
    {"foreground", 0, NULL, "stay in the foreground (always so)", false},
    {0},
};

/* kernelhostd takes our place, so that a service manager or a shell sees its
 * signals and its exit status. It prints its own line when it is ready. */
int
kh_cmd_serve(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    static const char daemon[] = KH_LIBEXECDIR "/kernelhostd";
    AUTO_FREE const char **argv = kh_xcalloc(args->words + 4, sizeof(*argv));
    size_t count = 0, i;

    argv[count++] = daemon;
    argv[count++] = "--state";
    argv[count++] = cli->state;
    for (i = 0; i < args->words; i++)
        argv[count++] = args->word[i];
    execv(daemon, (char *const *)argv);
    if (errno == ENOENT)
        return kh_fail(err, EIO, "cannot find '%s' (hint: make install)", daemon);
    return kh_fail_errno(err, "cannot run '%s'", daemon);
}
