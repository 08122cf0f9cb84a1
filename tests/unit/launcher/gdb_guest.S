/* gdb_guest.S - a guest for a debugger: long mode, every address once more in the upper half, from
 * where the program runs; processor 0 counts in memory for ever.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
        .set UPPER, 0xffff800000000000
#include "pvh_entry.inc"

        mov $stack_end, %esp
        movl $(pdpt + 3), pml4
        movl $(pdpt + 3), pml4 + 256 * 8
        movl $(pd + 3), pdpt
        xor %ecx, %ecx
        mov $0x83, %eax                 /* present, writable, 2 MiB */
1:      mov %eax, pd(, %ecx, 8)
        add $0x200000, %eax
        inc %ecx
        cmp $512, %ecx
        jne 1b
        mov $pml4, %eax
        mov %eax, %cr3
        mov %cr4, %eax
        or $0x620, %eax                 /* PAE, OSFXSR, OSXMMEXCPT */
        mov %eax, %cr4
        mov $0xc0000080, %ecx
        rdmsr
        or $0x100, %eax                 /* EFER.LME */
        wrmsr
        mov %cr0, %eax
        or $0x80000001, %eax
        mov %eax, %cr0
        lgdt gdt_pointer
        ljmp $8, $2f
        .code64
2:      mov $16, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        movabs $UPPER + 3f, %rax
        jmp *%rax
3:      movabs $UPPER + stack_end, %rsp
        mov $0x1122334455667788, %rbx
4:      call work
        jmp 4b

        .globl work, counter
work:   incq counter
        nop
        ret

        .data
        .balign 16
gdt:    .quad 0
        .quad 0x00af9b000000ffff
        .quad 0x00cf93000000ffff
gdt_pointer:
        .word . - gdt - 1
        .long gdt
counter:
        .quad 0

        .bss
        .balign 4096
pml4:   .skip 4096
pdpt:   .skip 4096
pd:     .skip 4096
stack:  .skip 4096
stack_end:
        .section .note.GNU-stack, "", @progbits
