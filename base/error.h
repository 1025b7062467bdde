/* error: what went wrong, as a value.
 *
 * A struct kh_error is a code (an errno value) and one line of text. It has a
 * fixed size, owns nothing, and may be copied, sent over a pipe or socket as
 * bytes, or thrown away. Functions that can fail take one as their last
 * argument (NULL is allowed: the caller wants only the code) and return 0 or a
 * positive result on success and -errno on failure. Outputs are set only on
 * success.
 *
 * Texts are lower case, without a full stop, the failure first, the subject in
 * single quotes, and the cure where it is known:
 *     cannot mount 'overlay': operation not permitted (hint: run as root)
 */
#ifndef KH_BASE_ERROR_H
#define KH_BASE_ERROR_H

#define KH_ERROR_TEXT_MAX 508

struct kh_error {
    int code; /* a positive errno value; 0 when nothing failed */
    char text[KH_ERROR_TEXT_MAX];
};

/* Stores CODE (positive errno) and the formatted text in *err and returns
 * -code, so that a failure is one statement: return kh_fail(err, EINVAL, ...).
 * The text is truncated to fit. */
int kh_fail(struct kh_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like kh_fail with the text of strerror(errno) appended after ": ". Takes the
 * code from errno. */
int kh_fail_errno(struct kh_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "<formatted>: " in front of an existing text, once a layer, and returns
 * -err->code. With err NULL returns -EIO. */
int kh_fail_in(struct kh_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
