/* talk: the client's end of one kernel, for measuring: as few instructions between
 * the clock and the socket as libzmq allows, yet every message is signed and every
 * signature, ours and theirs, is checked.
 *
 * One struct talk is one kernel, owned by the program, one thread. What it cannot do
 * ends the program with a line on stderr: a benchmark with an error has no result.
 */
#ifndef KH_BENCH_TALK_H
#define KH_BENCH_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/jupyter/connfile.h"
#include "protocol/jupyter/wire.h"

#define TALK_FRAMES 16

/* A message that was received; its slices live until the next one. */
struct talk_message {
    char type[65];
    uint64_t parent; /* number of our request it answers, 0 if none of ours */
    bool idle;       /* a status that says idle */
    struct kh_slice content;
};

struct talk;

/* Ends the program with a formatted line. */
void talk_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Microseconds of CLOCK_MONOTONIC. */
double talk_now(void);

/* Connects to the kernel of a connection file, which need not be there yet. */
struct talk *talk_new(const char *connection_file);
void talk_free(struct talk *talk);

/* Waits until the kernel answers and its iopub reaches us. */
void talk_wait_ready(struct talk *talk);

/* Sends an execute_request with CODE, a JSON string; returns its number. */
uint64_t talk_execute(struct talk *talk, const char *code, bool silent);

/* Sends an interrupt_request on the control channel. */
void talk_interrupt(struct talk *talk);

/* Receives from CHANNEL (shell or iopub). False if there is none after
 * TIMEOUT milliseconds (0: none now, -1: waits). */
bool talk_receive(struct talk *talk, enum kh_channel channel, int timeout,
                  struct talk_message *ret_message);

/* The socket of a channel, for zmq_poll. */
void *talk_socket(struct talk *talk, enum kh_channel channel);

/* Waits for reply and idle of request ID; calls SEEN (may be NULL) with every iopub
 * message of it. */
void talk_finish(struct talk *talk, uint64_t id,
                 void (*seen)(const struct talk_message *message, void *data),
                 void *data);

/* Waits for the reply alone. */
void talk_reply(struct talk *talk, uint64_t id);

#endif
