/* flags.c - whether CMPXCHG16B and CMPXCHG8B leave alone the flags that are not theirs, for the
 * lab.
 *
 * The flags are set as a whole first, then by a comparison in a block of code of its own: an
 * emulator that works them out late, and from what is left of the wrong instruction, takes them for
 * the bits of the comparison's operand. Trace and direction are among them then.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdio.h>

enum {
    ALWAYS = 1 << 1,
    ARITHMETIC = 0x8d5, /* carry, parity, auxiliary, zero, sign, overflow */
    INTERRUPTS = 1 << 9,
};

static uint64_t memory[2] __attribute__((aligned(16)));

#define AFTER(instruction)                                                                         \
    ({                                                                                             \
        uint64_t flags_;                                                                           \
        __asm__ volatile("xor %%eax, %%eax; xor %%edx, %%edx; xor %%ebx, %%ebx; xor %%ecx, %%ecx;" \
                         "lea %1, %%rsi; mov $0x12345678, %%edi; pushf; popf; jmp 1f; 1:"          \
                         "cmp $0x7ffff800, %%edi;" instruction " (%%rsi); pushf; pop %0"           \
                         : "=r"(flags_), "+m"(memory)                                              \
                         :                                                                         \
                         : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "cc");                        \
        flags_;                                                                                    \
    })

int
main(void)
{
    uint64_t flags[2] = { AFTER("cmpxchg16b"), AFTER("cmpxchg8b") };

    for (int i = 0; i < 2; i++)
        if ((flags[i] & ~(uint64_t)ARITHMETIC) != (ALWAYS | INTERRUPTS)) {
            printf("flags are %#llx after cmpxchg%db\n", (unsigned long long)flags[i], i ? 8 : 16);
            return 1;
        }
    return 0;
}
