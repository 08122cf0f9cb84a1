/* writer_start.S - where writer.c begins: the PVH entry of an ELF (Xen's ELF notes, type 18).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 4, 18
        .asciz "Xen"
        .long start

        .text
        .code32
        .globl start
start:  mov $stack_end, %esp
        call writer_run
1:      hlt
        jmp 1b

        .bss
        .balign 16
        .skip 16384
stack_end:
        .section .note.GNU-stack, "", @progbits
