/* utf8: turning bytes that a program printed into text that JSON can carry.
 *
 * What comes through the pipes of a sandbox is raw: any byte may occur, and a
 * read may end inside a character. A struct kh_utf8 keeps that cut tail (at
 * most three bytes) for the next piece. Ill-formed sequences become U+FFFD,
 * one for each maximal subpart, which is what Python's "replace" and browsers
 * do. Embedded by value; zero-initialised; owns nothing. Pure.
 */
#ifndef KH_JUPYTER_UTF8_H
#define KH_JUPYTER_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "protocol/link/frame.h"

struct kh_utf8 {
    unsigned char held[4]; /* bytes of a character that is not complete yet */
    size_t count;
};

/* Decodes IN after what is held and appends well-formed UTF-8 to OUT: at most
 * three bytes for each one of IN and held. */
void kh_utf8_feed(struct kh_utf8 *utf8, struct kh_slice in, struct kh_buf *out);

/* The stream has ended: a held tail becomes one U+FFFD. The state is as new. */
void kh_utf8_end(struct kh_utf8 *utf8, struct kh_buf *out);

/* Length of the well-formed character at DATA (1..4), or 0 when SIZE bytes do
 * not begin with one. *ret_bad (may be NULL) is then the length of the maximal
 * subpart that one U+FFFD stands for; *ret_cut (may be NULL) tells that more
 * bytes could still complete it. */
size_t kh_utf8_char(const void *data, size_t size, size_t *ret_bad, bool *ret_cut);

/* Length of the run at the start that means itself in a JSON string: ASCII
 * without control characters, quotes and backslashes. */
size_t kh_utf8_plain(const void *data, size_t size);

/* True when the bytes are well-formed UTF-8 as a whole. */
bool kh_utf8_valid(struct kh_slice text);

#endif
