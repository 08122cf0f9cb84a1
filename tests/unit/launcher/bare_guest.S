/* bare_guest.S - a guest small enough for any KVM: an ELF with a PVH entry that does what the first
 * letter of its command line says, after printing the line on the first serial port.
 *
 *   e  ends through the debug exit port with status 3     r  resets once, then as e
 *   o  powers off by ACPI                                  s  prints dots for ever
 *   f  faults without a table to handle it (a triple fault)
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
        mov 24(%ebx), %esi              /* hvm_start_info: cmdline_paddr */
        mov %esi, %ebp
1:      lodsb
        test %al, %al
        jz 2f
        call print
        jmp 1b
2:      mov $'\n', %al
        call print
        mov (%ebp), %al
        cmp $'o', %al
        je power_off
        cmp $'s', %al
        je spin
        cmp $'f', %al
        je fault
        cmp $'r', %al
        jne end
        /* RAM keeps its contents over a reset, but what was loaded is loaded anew: the mark lies
         * outside. */
        cmpl $0x6d61726b, 0x300000
        je end
        movl $0x6d61726b, 0x300000
        mov $0xcf9, %edx
        mov $6, %al
        outb %al, %dx
3:      hlt
        jmp 3b

end:    mov $0x501, %edx
        mov $1, %al
        outb %al, %dx
        jmp 3b

power_off:
        mov $0x604, %edx                /* PM1a_CNT: SLP_EN, SLP_TYP of \_S5 */
        mov $0x2000, %ax
        outw %ax, %dx
        jmp 3b

fault:  lidt no_table
        ud2

spin:   mov $'.', %al
        call print
        mov $100000, %ecx
4:      pause
        loop 4b
        jmp spin

print:  mov %al, %ah
        mov $0x3fd, %edx
5:      inb %dx, %al
        test $0x20, %al
        jz 5b
        mov $0x3f8, %edx
        mov %ah, %al
        outb %al, %dx
        ret

        .balign 8
no_table:
        .word 0
        .long 0
        .bss
        .balign 16
        .skip 4096
stack_end:
        .section .note.GNU-stack, "", @progbits
