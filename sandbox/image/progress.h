/* progress: what a tool that takes minutes says meanwhile, and the signals that stop
 * it.
 *
 * On standard error: one line that is written over on a terminal, else one now and
 * then. */
#ifndef KH_IMAGE_PROGRESS_H
#define KH_IMAGE_PROGRESS_H

#include <stdbool.h>

/* SIGINT, SIGTERM and SIGHUP from now on only ask to stop. */
void kh_progress_open(void);

/* The signal that asked, or 0. */
int kh_progress_stopped(void);

void kh_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Takes the line away, so that others may write. */
void kh_progress_clear(void);

#endif
