/* recover: taking up the kernels of a gateway that was killed.
 *
 * The ledger tells what was written to whom, init's journal holds everything that
 * was not. Before it is read on, the clients get a moment to come back: messages
 * for a subscriber that is not there are gone, and a reply is for one connection.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/metering.h"
#include "kernelhost/gateway/recover.h"
#include "protocol/jupyter/reply.h"
#include "protocol/link/init.h"

#define GRACE_MS 15 /* from a handshake until the socket knows its peer */

/* Which init's journal it is: positions of another one mean nothing. */
static uint64_t
init_of(struct kh_kernel *kernel)
{
    return kh_sandbox_record(kernel->sandbox)->boot;
}

/* The incarnation that speaks before entry FIRST is taken. */
static const struct kh_ledger_life *
life_before(const struct kh_ledger_kernel *note, uint64_t first)
{
    return note->life[0].began < first ? &note->life[0] : &note->life[1];
}

/* Before entry FIRST of the journal of an init that was asked for the kernel. */
static enum kh_life
state_of(const struct kh_ledger_life *life, uint64_t first)
{
    if (!life->began)
        return KH_LIFE_STARTING;
    if (life->died && life->died < first)
        return KH_LIFE_DEAD;
    return life->ready && life->ready < first ? KH_LIFE_READY : KH_LIFE_STARTING;
}

static uint64_t
first_of(const struct kh_kernel *kernel)
{
    return kh_position_seq(kernel->note->settled);
}

static void
load_request(struct kh_kernel *kernel, struct kh_ledger_request *note)
{
    struct kh_slice ident[KH_WIRE_IDENTS_MAX], header;
    const struct kh_schema *row = kh_schema_request(note->msg_type);
    uint64_t first = kh_position(first_of(kernel), 0);
    struct kh_request *request;
    const char *at = note->bytes;
    uint32_t i;

    for (i = 0; i < note->ident_count; i++) {
        ident[i] = (struct kh_slice){at, note->ident[i]};
        at += note->ident[i];
    }
    header = (struct kh_slice){at, note->header};
    note->birth = 0;
    if (kh_requests_find(kernel->requests, note->id) ||
        kh_requests_add(kernel->requests, note->id, (enum kh_channel)note->channel, row,
                        ident, note->ident_count, header, &request, NULL) < 0) {
        kh_ledger_erase(kernel->gateway->ledger, note);
        return;
    }
    request->sent = true;
    request->recovered = true;
    request->begun = note->begun && note->begun < first;
    request->replied = note->answered || (note->replied && note->replied < first);
    request->note = note;
    if (note->done && note->done < first) {
        kh_requests_finish(kernel->requests, request);
        kh_kernel_keep_done(kernel, note);
        return;
    }
    if (request->begun && request->channel == KH_CHANNEL_SHELL) {
        kernel->running++;
        if (request->id > kernel->last_request)
            kernel->last_request = request->id;
    }
}

static int
by_id(const void *a, const void *b)
{
    const struct kh_ledger_request *const *one = a, *const *two = b;

    return ((*one)->id > (*two)->id) - ((*one)->id < (*two)->id);
}

/* In the order in which they were asked. */
static void
load_requests(struct kh_kernel *kernel)
{
    struct kh_ledger_request **notes = NULL, *note = NULL;
    size_t count = 0, size = 0, i;

    while ((note = kh_ledger_next(kernel->gateway->ledger, kernel->note, note))) {
        if (count == size) {
            size = size ? 2 * size : 64;
            notes = kh_xrealloc(notes, size * sizeof(*notes));
        }
        notes[count++] = note;
    }
    if (count)
        qsort(notes, count, sizeof(*notes), by_id);
    for (i = 0; i < count; i++)
        load_request(kernel, notes[i]);
    free(notes);
}

static void
load(struct kh_kernel *kernel)
{
    struct kh_ledger_kernel *note = kernel->note;
    const struct kh_ledger_life *life;

    memcpy(kernel->id, note->id, sizeof(kernel->id));
    kernel->id[sizeof(kernel->id) - 1] = '\0';
    kernel->recovery.stopped = note->init != init_of(kernel);
    if (kernel->recovery.stopped) /* nothing can come of what was open any more */
        note->settled = note->published = UINT64_MAX;
    life = life_before(note, first_of(kernel));
    kernel->life =
        kernel->recovery.stopped ? KH_LIFE_STOPPED : state_of(life, first_of(kernel));
    if (life->session[0])
        memcpy(kernel->origin.session, life->session, sizeof(life->session));
    kernel->origin.session[KH_UUID_SIZE - 1] = '\0';
    kernel->execution_count = life->execution_count;
    kernel->skip = note->published;
    kernel->warm = note->warm;
    load_requests(kernel);
}

/* Opens the journal: what is behind it is said from now on. */
static void
begin(struct kh_kernel *kernel)
{
    const struct kh_kernel_held *held = &kernel->recovery.held;
    uint64_t first = first_of(kernel);

    kernel->seq = first ? first - 1 : 0;
    if (kernel->seq > held->last)
        kernel->seq = held->last;
    if (held->first && kernel->seq < held->first - 1)
        kernel->seq = held->first - 1;
    kernel->acked = held->first ? held->first - 1 : 0;
    kh_kernel_attach(kernel);
    if (kernel->note->ending) {
        kernel->life = KH_LIFE_STARTING;
        kh_kernel_stop(kernel);
        return;
    }
    if (kernel->life == KH_LIFE_RESTARTING) { /* somebody asked for it meanwhile */
        kh_kernel_order(kernel, KH_INIT_KERNEL_RESTART);
        return;
    }
    if (kernel->life == KH_LIFE_READY && !kh_buf_len(&kernel->info))
        kh_reply_kernel_info(&kernel->info, kernel->language);
    kh_kernel_release_held(kernel);
}

static void
answer_stranded(struct kh_kernel *kernel)
{
    struct kh_request *request = kh_requests_first(kernel->requests), *next;

    for (; request; request = next) {
        next = request->next;
        if (request->stranded || (request->recovered && kernel->recovery.stopped))
            kh_answer_lost(kernel, request, "KernelUnavailable",
                           kernel->recovery.stopped
                               ? "the sandbox ended while the host was away"
                               : "the host was started again before the kernel had "
                                 "this (hint: send it again)");
    }
}

/* Its init was rolled back while no gateway was there: what it holds is none of what
 * was noted. */
static void
meet(struct kh_kernel *kernel)
{
    kernel->life = KH_LIFE_STOPPED;
    kernel->back = true;
    kh_kernel_up(kernel, &kernel->recovery.held);
}

static bool
is_met(const struct kh_kernel *kernel, const struct kh_kernel_held *held)
{
    const struct kh_recovery *recovery = &kernel->recovery;
    bool idle = kernel->life == KH_LIFE_STOPPED || kernel->life == KH_LIFE_WAKING;

    return recovery->stopped && recovery->closed && (held ? idle : recovery->welcomed);
}

static void
open_up(struct kh_kernel *kernel)
{
    struct kh_recovery *recovery = &kernel->recovery;

    recovery->closed = false;
    kernel->note->waiting = 0;
    kh_timer_stop(recovery->timer);
    answer_stranded(kernel);
    if (recovery->stopped && kh_kernel_is_doomed(kernel))
        kh_kernel_expel(kernel, "the sandbox was rolled back");
    else if (recovery->stopped && kernel->note->ending)
        kh_kernel_stop(kernel);
    else if (recovery->stopped && recovery->welcomed)
        meet(kernel);
    else if (!recovery->stopped && recovery->welcomed)
        begin(kernel);
}

/* Clients of the HTTP API that have not come back for the rest of their output. */
static bool
awaits_sinks(const struct kh_kernel *kernel)
{
    const struct kh_request *request = kh_requests_first(kernel->requests);

    for (; request; request = request->next)
        if (request->recovered && request->note && request->note->sunk &&
            request->note->client[0] && !request->sink && !request->stranded)
            return true;
    return false;
}

static bool
all_back(const struct kh_kernel *kernel)
{
    const struct kh_ledger_kernel *note = kernel->note;
    unsigned subscribers = 0, askers = 0;

    if (kernel->channels) {
        subscribers = kh_channels_subscribers(kernel->channels);
        askers = kh_channels_askers(kernel->channels);
    }
    return subscribers >= note->subscribers &&
           (askers >= note->askers || !kh_requests_count(kernel->requests)) &&
           !awaits_sinks(kernel);
}

static void
on_timer(void *arg)
{
    struct kh_kernel *kernel = arg;

    if (!all_back(kernel))
        kh_log(
            KH_LOG_INFO,
            "not all clients are back in time kernel=%s sandbox=%s subscribers=%u of "
            "%u others=%u of %u",
            kernel->id, kh_sandbox_name(kernel->sandbox),
            kernel->channels ? kh_channels_subscribers(kernel->channels) : 0,
            kernel->note->subscribers,
            kernel->channels ? kh_channels_askers(kernel->channels) : 0,
            kernel->note->askers);
    open_up(kernel);
}

void
kh_kernel_recover_look(struct kh_kernel *kernel)
{
    if (kernel->recovery.closed && all_back(kernel))
        kh_timer_start(kernel->recovery.timer, GRACE_MS, 0);
}

static bool
is_done(const struct kh_kernel *kernel, const char *client)
{
    size_t i;

    for (i = 0; i < kernel->done_count; i++)
        if (!strcmp(kernel->done[i]->client, client))
            return true;
    return false;
}

int
kh_kernel_resume(struct kh_kernel *kernel, struct kh_sink *sink, uint64_t *ret_number,
                 struct kh_error *err)
{
    struct kh_request *request = kh_requests_first(kernel->requests);

    while (request && !(request->note && !strcmp(request->note->client, sink->client)))
        request = request->next;
    if (!request && !is_done(kernel, sink->client))
        return kh_fail(err, ENOENT, "there is no request '%s'", sink->client);
    if (request && request->stranded) {
        kh_kernel_finish(kernel, request);
        return kh_fail(err, ENOENT, "request '%s' did not get there", sink->client);
    }
    if (!request || request->sink || !kernel->recovery.closed)
        return kh_fail(err, EBUSY, "the output of request '%s' is not kept any more",
                       sink->client);
    request->sink = sink;
    *ret_number = request->id;
    kh_kernel_listen(kernel, sink);
    kh_kernel_recover_look(kernel);
    return 0;
}

bool
kh_kernel_recover_waits(const struct kh_kernel *kernel)
{
    const struct kh_recovery *recovery = &kernel->recovery;

    return recovery->known &&
           (recovery->stopped
                ? recovery->closed && recovery->welcomed
                : !recovery->welcomed ||
                      (recovery->closed && kernel->life == KH_LIFE_RESTARTING));
}

bool
kh_kernel_recover_up(struct kh_kernel *kernel, const struct kh_kernel_held *held)
{
    struct kh_request *request = kh_requests_first(kernel->requests);
    struct kh_recovery *recovery = &kernel->recovery;

    if (is_met(kernel, held)) {
        recovery->held = held ? *held : recovery->held;
        recovery->welcomed = true;
        kh_kernel_recover_look(kernel);
        return true;
    }
    if (recovery->stopped || (!recovery->closed && recovery->welcomed))
        return false;
    if (!held) {
        recovery->stopped = !recovery->welcomed && kernel->note->init;
        kernel->life = recovery->stopped ? KH_LIFE_STOPPED : kernel->life;
        if (recovery->stopped && !recovery->closed)
            answer_stranded(kernel);
        return !recovery->stopped;
    }
    recovery->welcomed = true;
    recovery->held = *held;
    for (; request; request = request->next)
        request->stranded = request->recovered && request->id > held->accepted;
    if (recovery->closed)
        kh_kernel_recover_look(kernel);
    else
        begin(kernel);
    return true;
}

/* A kernel that nobody here knows of yet. */
static void
begin_notes(struct kh_kernel *kernel, const char *id)
{
    if (id)
        snprintf(kernel->id, sizeof(kernel->id), "%s", id);
    else
        kh_uuid_make(kernel->id);
    kernel->note =
        kh_ledger_add(kernel->gateway->ledger, kh_sandbox_record(kernel->sandbox),
                      kernel->number, kernel->id, kernel->language);
    memcpy(kernel->note->life[0].session, kernel->origin.session, KH_UUID_SIZE);
    kernel->note->owned = kernel->owned;
}

static void
put(struct kh_kernel *kernel)
{
    struct kh_row_kernel row = {.number = kernel->number, .owned = kernel->note->owned};

    memcpy(row.sandbox, kh_sandbox_record(kernel->sandbox)->id, sizeof(row.sandbox));
    memcpy(row.id, kernel->id, sizeof(row.id));
    memcpy(row.kind, kernel->language, sizeof(row.kind));
    kh_database_put_kernel(kernel->gateway->database, &row);
}

void
kh_kernel_recover(struct kh_kernel *kernel, const char *id)
{
    kernel->note = kh_ledger_find(kernel->gateway->ledger,
                                  kh_sandbox_record(kernel->sandbox), kernel->number);
    kernel->recovery.timer = kh_timer_new(kernel->gateway->loop, on_timer, kernel);
    if (!kernel->note) {
        begin_notes(kernel, id);
        put(kernel);
        return;
    }
    kernel->recovery.known = kernel->recovery.closed = true;
    load(kernel);
    put(kernel);
    kh_timer_start(kernel->recovery.timer, KH_RECOVER_MS, 0);
    kh_kernel_recover_look(kernel);
}

void
kh_kernel_recover_release(struct kh_kernel *kernel)
{
    kh_timer_close(kernel->recovery.timer);
    if (!kernel->gateway->ending) {
        kh_metering_put_kernel(kernel->gateway, kernel);
        kh_database_drop_kernel(kernel->gateway->database, kernel->id);
    }
    kh_ledger_drop(kernel->gateway->ledger, kernel->note);
}

void
kh_kernel_note_spawn(struct kh_kernel *kernel)
{
    struct kh_ledger_kernel *note = kernel->note;

    note->init = init_of(kernel);
    note->settled = note->published = 0;
    note->doomed = 0;
    kh_kernel_forget_done(kernel);
    if (kernel->channels)
        kh_channels_begin(kernel->channels);
    memset(note->life, 0, sizeof(note->life));
    memcpy(note->life[0].session, kernel->origin.session, KH_UUID_SIZE);
    kernel->skip = 0;
}

void
kh_kernel_note_begin(struct kh_kernel *kernel)
{
    struct kh_ledger_life *life = kernel->note->life;

    if (life[0].began == kernel->seq && life[0].session[0]) {
        memcpy(kernel->origin.session, life[0].session, KH_UUID_SIZE);
        return; /* it is said again */
    }
    life[1] = life[0];
    life[0] = (struct kh_ledger_life){.began = kernel->seq};
    memcpy(life[0].session, kernel->origin.session, KH_UUID_SIZE);
}
