/* What the Makefile defines on the command line, for checkers that run without it. */
#define KH_PATH "/usr/lib/kernelhost"
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#define VERSION         "0"
#endif

/* Checkers see one file at a time, so they are told what every caller relies on:
 * the result of a failure is below zero. */
#ifndef KH_DEFINES_FAIL
#include "base/error.h"

static inline int
kh_below_zero(int r)
{
    if (r >= 0)
        __builtin_unreachable();
    return r;
}

#define kh_fail(...)       kh_below_zero(kh_fail(__VA_ARGS__))
#define kh_fail_errno(...) kh_below_zero(kh_fail_errno(__VA_ARGS__))
#define kh_fail_in(...)    kh_below_zero(kh_fail_in(__VA_ARGS__))
#endif
