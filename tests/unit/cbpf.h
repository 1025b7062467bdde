/* cbpf: evaluates classic BPF programs for seccomp as the kernel does, so that a
 * filter can be asked about system calls that nobody makes.
 *
 * Only what seccomp_check_filter() lets through: 32-bit loads from struct
 * seccomp_data, arithmetic, jumps, scratch memory, return. Anything else ends the
 * test program. Source: kernel/seccomp.c, net/core/filter.c.
 */
#ifndef KH_TESTS_CBPF_H
#define KH_TESTS_CBPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a run has touched: an instruction, and both ways of a conditional jump. */
struct cbpf_cover {
    bool taken[BPF_MAXINSNS];
    bool passed[BPF_MAXINSNS];
};

static inline uint32_t
cbpf_bad(const char *what, unsigned at)
{
    printf("Bail out! instruction %u: %s\n", at, what);
    exit(1);
}

static inline uint32_t
cbpf_alu(uint16_t code, uint32_t a, uint32_t operand, unsigned at)
{
    switch (BPF_OP(code)) {
    case BPF_ADD:
        return a + operand;
    case BPF_SUB:
        return a - operand;
    case BPF_AND:
        return a & operand;
    case BPF_OR:
        return a | operand;
    case BPF_XOR:
        return a ^ operand;
    case BPF_LSH:
        return operand < 32 ? a << operand : 0;
    case BPF_RSH:
        return operand < 32 ? a >> operand : 0;
    case BPF_NEG:
        return -a;
    default:
        return cbpf_bad("arithmetic", at);
    }
}

static inline bool
cbpf_test(uint16_t code, uint32_t a, uint32_t operand, unsigned at)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ:
        return a == operand;
    case BPF_JGT:
        return a > operand;
    case BPF_JGE:
        return a >= operand;
    case BPF_JSET:
        return a & operand;
    default:
        return cbpf_bad("jump", at);
    }
}

/* The word that PROGRAM returns for DATA; COVER may be NULL. */
static inline uint32_t
cbpf_run(const struct sock_fprog *program, const struct seccomp_data *data,
         struct cbpf_cover *cover)
{
    uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
    unsigned pc = 0;

    while (pc < program->len) {
        const struct sock_filter *i = &program->filter[pc];
        uint32_t operand = BPF_SRC(i->code) == BPF_X ? x : i->k;
        unsigned at = pc++;
        bool taken = true;

        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
        case BPF_LDX: {
            uint32_t value;

            if (BPF_MODE(i->code) == BPF_IMM)
                value = i->k;
            else if (BPF_MODE(i->code) == BPF_MEM && i->k < BPF_MEMWORDS)
                value = memory[i->k];
            else if (i->code == (BPF_LD | BPF_W | BPF_ABS) && i->k % 4 == 0 &&
                     i->k <= sizeof(*data) - 4)
                memcpy(&value, (const char *)data + i->k, 4);
            else
                return cbpf_bad("load", at);
            *(BPF_CLASS(i->code) == BPF_LD ? &a : &x) = value;
            break;
        }
        case BPF_ST:
        case BPF_STX:
            memory[i->k % BPF_MEMWORDS] = BPF_CLASS(i->code) == BPF_ST ? a : x;
            break;
        case BPF_ALU:
            a = cbpf_alu(i->code, a, operand, at);
            break;
        case BPF_JMP:
            if (BPF_OP(i->code) == BPF_JA) {
                pc += i->k;
                break;
            }
            taken = cbpf_test(i->code, a, operand, at);
            pc += taken ? i->jt : i->jf;
            break;
        case BPF_RET:
            if (cover)
                cover->taken[at] = cover->passed[at] = true;
            return BPF_RVAL(i->code) == BPF_A ? a : i->k;
        case BPF_MISC:
            *(BPF_MISCOP(i->code) == BPF_TAX ? &x : &a) =
                BPF_MISCOP(i->code) == BPF_TAX ? a : x;
            break;
        }
        if (cover && (BPF_CLASS(i->code) != BPF_JMP || BPF_OP(i->code) == BPF_JA))
            cover->taken[at] = cover->passed[at] = true;
        else if (cover)
            *(taken ? &cover->taken[at] : &cover->passed[at]) = true;
    }
    return cbpf_bad("fell off the end", pc);
}

/* The answer of several stacked programs, the last installed last: the action
 * that ranks first; among equal actions the newest program's. */
static inline uint32_t
cbpf_stack(const struct sock_fprog *programs, unsigned count,
           const struct seccomp_data *data, struct cbpf_cover *covers)
{
    uint32_t answer = SECCOMP_RET_ALLOW;

    while (count-- > 0) {
        uint32_t one = cbpf_run(&programs[count], data, covers ? &covers[count] : NULL);

        if ((int32_t)(one & SECCOMP_RET_ACTION_FULL) <
            (int32_t)(answer & SECCOMP_RET_ACTION_FULL))
            answer = one;
    }
    return answer;
}

/* A comparison with 0 that is always true: of what was masked with 0, or was just
 * found to be not above 0. libseccomp writes both for upper halves of arguments. */
static inline bool
cbpf_always(const struct sock_filter *at)
{
    bool masked = at[-1].code == (BPF_ALU | BPF_AND | BPF_K) && at[-1].k == 0;
    bool zero = at[-1].code == (BPF_JMP | BPF_JGT | BPF_K) && at[-1].k == 0;

    return at->code == (BPF_JMP | BPF_JEQ | BPF_K) && at->k == 0 && (masked || zero);
}

/* Which instructions any jump leads to: jumps go forward only. */
static inline void
cbpf_reachable(const struct sock_fprog *program, bool *reach)
{
    unsigned i;

    reach[0] = true;
    for (i = 0; i < program->len; i++) {
        const struct sock_filter *at = &program->filter[i];
        bool jump = BPF_CLASS(at->code) == BPF_JMP;

        if (!reach[i] || BPF_CLASS(at->code) == BPF_RET)
            continue;
        if (jump && BPF_OP(at->code) == BPF_JA)
            reach[i + 1 + at->k] = true;
        else if (jump)
            reach[i + 1 + at->jt] = true;
        if (!jump || (BPF_OP(at->code) != BPF_JA && !cbpf_always(at)))
            reach[i + 1 + at->jf] = true; /* jf is 0 outside jumps */
    }
}

#endif
