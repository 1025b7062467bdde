/* render: what a cell shows, printed as it comes.
 *
 * Streams go to our own stdout and stderr as they are (the user asked for
 * them); results and displays as text/plain; errors and warnings to stderr with
 * only their colours, and none where that is no terminal. Pictures and other
 * data without a text form are mentioned on stderr or saved to a directory.
 */
#ifndef KH_CLI_RENDER_H
#define KH_CLI_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct kh_render {
    const char *save_dir; /* NULL: pictures are only mentioned */
    unsigned saved;       /* files written so far; they are numbered */
    bool quiet;           /* only errors, and files that were saved */
    bool expect_errors;   /* with quiet: not even errors */
};

/* Prints one Jupyter message; kinds that show nothing are skipped. */
void kh_render_message(struct kh_render *render, const json_t *message);

/* The pages of an execute_reply (`len?`), as text on standard output. */
void kh_render_payload(const json_t *reply);

#endif
