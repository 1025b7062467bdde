/* client: measures one kernel, or several, through their connection files, and prints
 * a JSON object with the samples. The kernels may be anyone's.
 *
 *     client roundtrip COUNT CODE FILE     one cell after the other: to reply and idle
 *     client silent COUNT CODE FILE        the same with silent requests
 *     client pipeline COUNT CODE FILE      all at once: cells a second
 *     client together COUNT CODE FILE...   COUNT each on several kernels
 *     client output COUNT CODE FILE        time, and what came on iopub
 *     client first COUNT CODE FILE         until the first message of CODE's output
 *     client interrupt COUNT CODE FILE     CODE runs; from interrupt_request to idle
 *     client launch COUNT CODE FILE COMMAND...  from exec of COMMAND to its first reply
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clean.h"
#include "base/mem.h"
#include "tests/bench/talk.h"

#define KERNELS_MAX 64
#define SAMPLES_MAX 1000000

struct job {
    size_t count;
    const char *code;
    char **files; /* ends in NULL */
    double *samples;
    size_t sampled;
};

static void
sample(struct job *job, double microseconds)
{
    job->samples[job->sampled++] = microseconds;
}

static struct talk *
open_kernel(const char *file)
{
    struct talk *talk = talk_new(file);
    talk_wait_ready(talk);
    return talk;
}

static void
round_trips(struct job *job, bool silent)
{
    struct talk *talk = open_kernel(job->files[0]);
    size_t warm = job->count / 10 + 5;
    for (size_t i = 0; i < warm + job->count; i++) {
        double begun = talk_now();
        talk_finish(talk, talk_execute(talk, job->code, silent), NULL, NULL);
        if (i >= warm)
            sample(job, talk_now() - begun);
    }
    talk_free(talk);
}

static void
roundtrip(struct job *job)
{
    round_trips(job, false);
}

static void
silent(struct job *job)
{
    round_trips(job, true);
}

/* What is awaited from kernels that have several requests under way. */
struct crowd {
    struct talk *talk;
    size_t sent, replies, idles;
};

static void
take(struct crowd *one)
{
    struct talk_message message;
    while (talk_receive(one->talk, KH_CHANNEL_SHELL, 0, &message))
        one->replies += message.parent != 0;
    while (talk_receive(one->talk, KH_CHANNEL_IOPUB, 0, &message))
        one->idles += message.parent != 0 && message.idle;
}

/* Keeps WINDOW requests under way on each kernel until COUNT each are done. */
static void
drive(struct job *job, struct crowd *crowd, size_t kernels, size_t window)
{
    zmq_pollitem_t items[2 * KERNELS_MAX];
    size_t done;
    for (size_t i = 0; i < kernels; i++) {
        items[2 * i] =
            (zmq_pollitem_t){.socket = talk_socket(crowd[i].talk, KH_CHANNEL_SHELL),
                             .events = ZMQ_POLLIN};
        items[2 * i + 1] =
            (zmq_pollitem_t){.socket = talk_socket(crowd[i].talk, KH_CHANNEL_IOPUB),
                             .events = ZMQ_POLLIN};
        crowd[i] = (struct crowd){.talk = crowd[i].talk};
    }
    do {
        done = 0;
        for (size_t i = 0; i < kernels; i++) {
            struct crowd *one = &crowd[i];
            take(one);
            size_t over = one->replies < one->idles ? one->replies : one->idles;
            for (; one->sent < job->count && one->sent - over < window; one->sent++)
                talk_execute(one->talk, job->code, false);
            done += over == job->count;
        }
        if (done < kernels && zmq_poll(items, 2 * (int)kernels, 120000) <= 0)
            talk_die("no reply and idle within 120 s");
    } while (done < kernels);
}

static void
many(struct job *job, size_t window)
{
    struct crowd crowd[KERNELS_MAX];
    struct job warm = *job;
    size_t kernels = 0;
    for (; job->files[kernels] && kernels < KERNELS_MAX; kernels++)
        crowd[kernels] = (struct crowd){.talk = open_kernel(job->files[kernels])};
    warm.count = job->count / 10 + 5;
    drive(&warm, crowd, kernels, window);
    double begun = talk_now();
    drive(job, crowd, kernels, window);
    sample(job, talk_now() - begun);
    for (size_t i = 0; i < kernels; i++)
        talk_free(crowd[i].talk);
}

static void
pipeline(struct job *job)
{
    many(job, job->count);
}

static void
together(struct job *job)
{
    many(job, 1);
}

struct seen {
    double first;
    size_t messages, bytes;
};

static void
count_output(const struct talk_message *message, void *data)
{
    struct seen *seen = data;
    if (strcmp(message->type, "stream") != 0 &&
        strcmp(message->type, "display_data") != 0)
        return;
    if (seen->messages++ == 0)
        seen->first = talk_now();
    seen->bytes += message->content.size;
}

static void
each_output(struct job *job, bool first)
{
    struct talk *talk = open_kernel(job->files[0]);
    struct seen seen = {0};
    talk_finish(talk, talk_execute(talk, "\"1+1\"", false), NULL, NULL);
    for (size_t i = 0; i < job->count; i++) {
        seen = (struct seen){0};
        double begun = talk_now();
        talk_finish(talk, talk_execute(talk, job->code, false), count_output, &seen);
        sample(job, (first ? seen.first : talk_now()) - begun);
        if (seen.messages == 0)
            talk_die("the cell had no output");
    }
    printf("{\"messages\": %zu, \"bytes\": %zu, ", seen.messages, seen.bytes);
    talk_free(talk);
}

static void
output(struct job *job)
{
    each_output(job, false);
}

static void
first(struct job *job)
{
    each_output(job, true);
}

static void
interrupt(struct job *job)
{
    struct talk *talk = open_kernel(job->files[0]);
    struct talk_message message;
    for (size_t i = 0; i < job->count; i++) {
        uint64_t id = talk_execute(talk, job->code, false);
        do {
            talk_receive(talk, KH_CHANNEL_IOPUB, -1, &message);
        } while (strcmp(message.type, "stream") != 0);
        zmq_poll(NULL, 0, 20); /* the cell is in its loop */
        double begun = talk_now();
        talk_interrupt(talk);
        talk_finish(talk, id, NULL, NULL);
        sample(job, talk_now() - begun);
        while (talk_receive(talk, KH_CHANNEL_CONTROL, 100, &message) &&
               strcmp(message.type, "interrupt_reply") != 0)
            ;
        zmq_poll(NULL, 0, 60);
    }
    talk_free(talk);
}

static void
launch(struct job *job)
{
    char **command = job->files + 1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    for (size_t i = 0; i < job->count; i++) {
        pid_t pid;
        double begun = talk_now();
        if (posix_spawnp(&pid, command[0], &actions, NULL, command, environ) != 0)
            talk_die("cannot run '%s'", command[0]);
        struct talk *talk = talk_new(job->files[0]);
        talk_reply(talk, talk_execute(talk, job->code, false));
        sample(job, talk_now() - begun);
        talk_free(talk);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    posix_spawn_file_actions_destroy(&actions);
}

static const struct {
    const char *name;
    void (*run)(struct job *job);
} measures[] = {
    {"roundtrip", roundtrip}, {"silent", silent}, {"pipeline", pipeline},
    {"together", together},   {"output", output}, {"first", first},
    {"interrupt", interrupt}, {"launch", launch},
};

int
main(int argc, char **argv)
{
    struct job job = {0};
    if (argc < 5)
        talk_die("usage: client MEASURE COUNT CODE-AS-JSON FILE... (see the source)");
    job = (struct job){
        .count = strtoul(argv[2], NULL, 10), .code = argv[3], .files = argv + 4};
    if (job.count == 0 || job.count > SAMPLES_MAX)
        talk_die("COUNT is a number from 1 to %d", SAMPLES_MAX);
    job.samples = kh_xcalloc(job.count, sizeof(*job.samples));
    for (size_t i = 0; i < KH_COUNT(measures); i++) {
        if (strcmp(argv[1], measures[i].name) != 0)
            continue;
        measures[i].run(&job);
        if (measures[i].run != output && measures[i].run != first)
            printf("{");
        printf("\"us\": [");
        for (size_t n = 0; n < job.sampled; n++)
            printf("%s%.1f", n ? ", " : "", job.samples[n]);
        printf("]}\n");
        free(job.samples);
        return 0;
    }
    talk_die("there is no measure '%s'", argv[1]);
}
