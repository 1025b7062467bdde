/* text: foreign text on its way to a terminal or a log. Pure.
 *
 * What a sandbox wrote may hold escape sequences that retitle, repaint or drive
 * the user's terminal, and direction marks that make a line read as another one.
 */
#ifndef KH_CLI_TEXT_H
#define KH_CLI_TEXT_H

#include <stddef.h>

#include "base/buf.h"

/* Appends TEXT with everything but printable UTF-8 as \xNN: one line. */
void kh_text_safe(struct kh_buf *out, const char *text, size_t size);

/* The same as a fresh string; the caller frees it. NULL gives "". */
char *kh_text_safe_copy(const char *text);

enum kh_text_colour {
    KH_TEXT_PLAIN,   /* all escape sequences go */
    KH_TEXT_COLOURS, /* colours and weights (CSI ... m) stay, all others go */
};

/* Appends TEXT for reading: newline and tab stay, escape sequences go as
 * COLOUR says, other control characters and broken UTF-8 become \xNN. */
void kh_text_readable(struct kh_buf *out, const char *text, size_t size,
                      enum kh_text_colour colour);

/* Columns that TEXT takes on a terminal, near enough for a table: one a
 * character. */
size_t kh_text_width(const char *text);

#endif
