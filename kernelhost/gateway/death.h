/* death: why a kernel ended, in words for the person at the notebook. Pure. */
#ifndef KH_GATEWAY_DEATH_H
#define KH_GATEWAY_DEATH_H

#include <stddef.h>
#include <stdint.h>

#define KH_DEATH_TEXT_MAX 400
#define KH_STATUS_UNKNOWN 0xffffffffu /* the runner could not be started */

struct kh_death {
    uint32_t status;       /* as from waitpid, or KH_STATUS_UNKNOWN */
    uint32_t oom_kills;    /* processes the memory limit killed since the start */
    uint64_t memory_limit; /* bytes; 0 when not known */
    const char *reason;    /* for KH_STATUS_UNKNOWN: what init said; printable */
};

/* Writes one sentence without a full stop at most KH_DEATH_TEXT_MAX long, like
 * "the kernel died: memory limit of 512 MiB reached (1 process killed)". */
void kh_death_text(const struct kh_death *death, char ret_text[KH_DEATH_TEXT_MAX]);

/* "512 MiB", "1.5 GiB", "300 bytes". */
void kh_death_size(uint64_t bytes, char *out, size_t size);

#endif
