/* call: system calls for join.so, which has no libc. */
#ifndef KH_ZYGOTE_CALL_H
#define KH_ZYGOTE_CALL_H

#define EXPORT __attribute__((visibility("default")))

/* What the kernel returns: -errno on failure. */
static inline long
call(long nr, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = 0;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

#endif
