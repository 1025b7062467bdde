/* log: one line a fact, on standard error, for main programs only.
 *
 *     info sandbox created name=mybox ms=12
 *
 * Libraries return errors and never log. The text is written by us; foreign
 * bytes go only through KH_LOG_ESCAPED values (kh_log_clean). Never a token, a
 * key or the body of a cell.
 */
#ifndef KH_BASE_LOG_H
#define KH_BASE_LOG_H

#include <stddef.h>

enum kh_log_level {
    KH_LOG_ERROR,
    KH_LOG_WARN,
    KH_LOG_INFO,
    KH_LOG_DEBUG,
};

/* Name shown before each line ("kernelhostd"), and the highest level shown. */
void kh_log_open(const char *program, enum kh_log_level level);

/* Writes "program: level text\n" in one write(2). Control characters that reach
 * the line all the same are replaced by '?'; at most 1,000 bytes. */
void kh_log(enum kh_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Copies SIZE foreign bytes into OUT (OUT_SIZE bytes, NUL-terminated) with
 * everything but printable ASCII as \xNN, truncated with "...". Returns OUT. */
char *kh_log_clean(const void *p, size_t size, char *out, size_t out_size);

#endif
