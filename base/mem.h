/* mem: small allocations that abort when memory is out.
 *
 * For sizes the program itself chooses. Anything sized by a peer is bounded
 * first. The result is freed with free(). Not inline on purpose: analysers
 * report false leaks for inline allocators beside cleanup attributes.
 */
#ifndef KH_BASE_MEM_H
#define KH_BASE_MEM_H

#include <stddef.h>

/* Zeroed memory for COUNT objects of SIZE bytes; aborts on overflow or OOM. */
void *kh_xcalloc(size_t count, size_t size) __attribute__((malloc));

/* Resizes like realloc (new bytes are not zeroed); aborts on OOM. */
void *kh_xrealloc(void *p, size_t size);

/* Copies; aborts on OOM. kh_xmemdup adds one NUL byte that SIZE does not count. */
char *kh_xstrdup(const char *s) __attribute__((malloc));
void *kh_xmemdup(const void *p, size_t size) __attribute__((malloc));

/* Formats into fresh memory; aborts on OOM. */
char *kh_xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
