#include "sandbox/image/progress.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define EVERY_S 5 /* between two lines in a log */

static volatile sig_atomic_t stopped;
static bool terminal, shown;
static time_t last;

static void
on_signal(int number)
{
    stopped = number;
}

void
kh_progress_open(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct timespec now;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    terminal = isatty(STDERR_FILENO);
    clock_gettime(CLOCK_MONOTONIC, &now);
    last = now.tv_sec;
}

int
kh_progress_stopped(void)
{
    return stopped;
}

void
kh_progress(const char *format, ...)
{
    struct timespec now;
    char line[120];
    va_list args;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!terminal && now.tv_sec < last + EVERY_S)
        return;
    last = now.tv_sec;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    dprintf(STDERR_FILENO, terminal ? "\r\033[K%s" : "%s\n", line);
    shown = terminal;
}

void
kh_progress_clear(void)
{
    if (shown)
        dprintf(STDERR_FILENO, "\r\033[K");
    shown = false;
}
