/* session: running code in one kernel of one sandbox, as `run` does.
 *
 * While a session is open SIGINT, SIGTERM and SIGHUP are blocked and read from a
 * signalfd. The first Ctrl-C during a cell interrupts the kernel and the cell's
 * reply is waited for; the second, and the other two, leave at once, so that
 * what ran so far can still be written. One session a process.
 */
#ifndef KH_CLI_SESSION_H
#define KH_CLI_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clean.h"
#include "base/error.h"
#include "kernelhost/cli/cli.h"

struct kh_session;

enum kh_cell_status {
    KH_CELL_OK,
    KH_CELL_ERROR,   /* the code raised */
    KH_CELL_ABORTED, /* an earlier error aborted it */
    KH_CELL_LEFT,    /* a signal ended the wait: what came of it is not known */
};

struct kh_cell_end {
    enum kh_cell_status status;
    bool interrupted;        /* Ctrl-C was sent to the kernel meanwhile */
    int signal;              /* KH_CELL_LEFT: which one */
    int64_t execution_count; /* -1: none */
    json_t *reply;           /* content of the execute_reply, or NULL; owned */
};

/* A whole Jupyter message of the running cell, and its JSON text. */
typedef void kh_message_fn(const json_t *message, const char *text, size_t size,
                           void *arg);

/* Asks nothing of the host yet: the first cell starts the sandbox if it is stopped,
 * makes it if there is none and CREATE (borrowed, or NULL) says how, and goes to the
 * first living kernel of LANGUAGE or a new one, as do all later cells. */
int kh_session_open(const struct kh_cli *cli, const char *sandbox, const char *language,
                    json_t *create, struct kh_session **ret_session,
                    struct kh_error *err);

/* Does all of that now, so that what is wrong is known before the first cell. */
int kh_session_prepare(struct kh_session *session, struct kh_error *err);
void kh_session_free(struct kh_session *session);
KH_DEFINE_CLEANUP(kh_session)

/* Runs CODE (SIZE bytes of UTF-8) and gives every message to MESSAGE. Returns 0
 * with *ret_end, whose reply the caller drops, or -errno: the host or the
 * connection failed, or CODE is no UTF-8. */
int kh_session_execute(struct kh_session *session, const char *code, size_t size,
                       bool stop_on_error, kh_message_fn *message, void *arg,
                       struct kh_cell_end *ret_end, struct kh_error *err);

#endif
