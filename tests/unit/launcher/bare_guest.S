/* bare_guest.S - a guest small enough for any KVM: an ELF with a PVH entry that does what the first
 * letter of its command line says, after printing the line on the first serial port.
 *
 *   e  ends through the debug exit port with status 3     r  resets once, then as e
 *   o  powers off by ACPI                                  s  prints dots for ever
 *   c  crashes: tells pvpanic so, then dots for ever
 *   f  faults without a table to handle it (a triple fault)
 *   k  keeps what it has: fills memory, then looks again and again that memory and registers are
 *      as they were and that the PIT's interrupts come; prints a dot for each look, or what is not
 *      as it was (M, R, T) and ends as e
 *   l  as k, with the periodic timer of the local APIC in the PIT's place
 *   d  dirties memory for ever: each round adds one to the first and the last word of 512 pages,
 *      all of which must hold the round before; prints a dot for each, or M and ends as e
 *   m  reads and writes an MSR that there is not, which reads as zero, then as e
 *   w  wakes every other processor that the MADT names, by 32-bit x2APIC destinations (Intel SDM
 *      volume 3, 10.12.9; ACPI 6.4, 5.2.12), waits until each has counted itself, ends as e
 *   p  waits for processor 1 by Q35's CPU hotplug registers, wakes it, prints '+', ejects it when
 *      asked to, prints '-', and waits anew
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pvh_entry.inc"

        mov $stack_end, %esp
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
        cmp $'c', %al
        je crash
        cmp $'p', %al
        je plug
        cmp $'f', %al
        je fault
        cmp $'w', %al
        je wake
        cmp $'k', %al
        je keep
        cmp $'l', %al
        je keep
        cmp $'d', %al
        je dirty
        cmp $'m', %al
        je unknown_msr
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

unknown_msr:
        mov $0x12345, %ecx
        rdmsr
        or %edx, %eax
        jnz power_off                   /* not the status that is waited for */
        wrmsr
        jmp end

fault:  lidt no_table
        ud2

        .set AP_CODE, 0x60000
        .set AP_COUNT, 0xff0            /* in that segment */
wake:   mov $ap_code, %esi
        mov $AP_CODE, %edi
        mov $(ap_code_end - ap_code), %ecx
        rep movsb
        mov 32(%ebx), %esi              /* rsdp_paddr */
        mov 24(%esi), %esi              /* XSDT */
        mov %esi, %edi
        add 4(%esi), %edi
        add $36, %esi
6:      cmp %edi, %esi
        jae power_off                   /* no MADT: not the status that is waited for */
        mov (%esi), %eax
        add $8, %esi
        cmpl $0x43495041, (%eax)        /* "APIC" */
        jne 6b
        mov %eax, %esi
        mov %eax, %edi
        add 4(%eax), %edi
        add $44, %esi
        mov $0x1b, %ecx                 /* IA32_APIC_BASE: enabled, x2APIC */
        rdmsr
        or $0xc00, %eax
        wrmsr
        mov $0x802, %ecx                /* own id */
        rdmsr
        mov %eax, %ebx
        xor %ebp, %ebp                  /* how many were woken */
7:      cmp %edi, %esi
        jae 9f
        movzbl 3(%esi), %edx            /* processor local APIC: id, flags */
        mov 4(%esi), %eax
        cmpb $0, (%esi)
        je 10f
        mov 4(%esi), %edx               /* processor local x2APIC: id, flags */
        mov 8(%esi), %eax
        cmpb $9, (%esi)
        jne 8f
10:     test $1, %al
        jz 8f
        cmp %ebx, %edx
        je 8f
        mov $0x830, %ecx                /* ICR: INIT, start-up at AP_CODE */
        mov $0x4500, %eax
        wrmsr
        mov $(0x4600 + (AP_CODE >> 12)), %eax
        wrmsr
        inc %ebp
8:      movzbl 1(%esi), %eax
        add %eax, %esi
        jmp 7b
9:      pause
        cmp %ebp, AP_CODE + AP_COUNT
        jne 9b
        jmp end

plug:   mov $0x1b, %ecx
        rdmsr
        or $0xc00, %eax
        wrmsr
        mov $ap_code, %esi
        mov $AP_CODE, %edi
        mov $(ap_code_end - ap_code), %ecx
        rep movsb
        mov $0xcd8, %edx
        mov $1, %eax
        outl %eax, %dx
12:     mov $0xcdc, %edx
        inb %dx, %al
        cmp $3, %al                     /* is there, has come */
        jne 12b
        mov $2, %al
        outb %al, %dx
        mov AP_CODE + AP_COUNT, %ebx
        mov $1, %edx
        mov $0x830, %ecx
        mov $0x4500, %eax
        wrmsr
        mov $(0x4600 + (AP_CODE >> 12)), %eax
        wrmsr
13:     pause
        cmp %ebx, AP_CODE + AP_COUNT
        je 13b
        mov $'+', %al
        call print
        mov $0xcdc, %edx
14:     inb %dx, %al
        cmp $5, %al                     /* is there, is to go */
        jne 14b
        mov $8, %al
        outb %al, %dx
        mov $'-', %al
        call print
        jmp 12b

        .code16
ap_code:
        mov %cs, %ax
        mov %ax, %ds
        lock incl AP_COUNT
        cli
11:     hlt
        jmp 11b
ap_code_end:
        .code32

        .set KEPT, 0x400000
        .set KEPT_WORDS, 0x4000         /* 64 KiB, and as many zeroes behind them */
        .set TICKS, 0x3ff000
        .set LAPIC_EOI, 0xfee000b0      /* Intel SDM volume 3, table 10-1 */
        .set LAPIC_SPURIOUS, 0xfee000f0
        .set LAPIC_TIMER, 0xfee00320
        .set LAPIC_COUNT, 0xfee00380
        .set LAPIC_DIVIDE, 0xfee003e0
keep:   mov $KEPT, %edi
        mov $0x12345678, %eax
        mov $KEPT_WORDS, %ecx
12:     stosl
        imul $1664525, %eax
        add $1013904223, %eax
        loop 12b
        xor %eax, %eax                  /* an interrupt table with one entry: the timer's */
        mov %eax, TICKS
        mov $idt, %edi
        mov $(0x21 * 2), %ecx
        rep stosl
        mov %cs, %ax
        shl $16, %eax
        mov $tick, %ecx
        mov %cx, %ax
        mov %eax, idt + 0x20 * 8
        mov %ecx, %eax
        mov $0x8e00, %ax
        mov %eax, idt + 0x20 * 8 + 4
        lidt idt_table
        mov $0x11, %al                  /* PICs: vectors 0x20 and 0x28, only line 0 */
        outb %al, $0x20
        outb %al, $0xa0
        mov $0x20, %al
        outb %al, $0x21
        mov $0x28, %al
        outb %al, $0xa1
        mov $4, %al
        outb %al, $0x21
        mov $2, %al
        outb %al, $0xa1
        mov $1, %al
        outb %al, $0x21
        outb %al, $0xa1
        mov $0xfe, %al
        outb %al, $0x21
        mov $0xff, %al
        outb %al, $0xa1
        cmpb $'l', (%ebp)
        je 21f
        mov $0x34, %al                  /* PIT: rate generator, 100 a second */
        outb %al, $0x43
        mov $0x9c, %al
        outb %al, $0x40
        mov $0x2e, %al
        outb %al, $0x40
        jmp 22f
21:     mov $0xff, %al
        outb %al, $0x21
        movl $0x120, LAPIC_SPURIOUS     /* switched on */
        movl $0xb, LAPIC_DIVIDE         /* by one: KVM counts nanoseconds */
        movl $0x20020, LAPIC_TIMER      /* periodic, 100 a second */
        movl $10000000, LAPIC_COUNT
22:     mov $0x5eed0001, %ebx
        mov $0x5eed0002, %ebp
        mov %ebx, %dr0
        mov $0x5eed0003, %eax
        mov %eax, %cr2
        sti
13:     mov $KEPT, %esi                 /* memory */
        mov $0x12345678, %edx
        mov $KEPT_WORDS, %ecx
14:     lodsl
        cmp %edx, %eax
        mov $'M', %al
        jne lost
        imul $1664525, %edx
        add $1013904223, %edx
        loop 14b
        mov $KEPT_WORDS, %ecx
15:     lodsl
        test %eax, %eax
        mov $'M', %al
        jne lost
        loop 15b
        mov $'R', %al                   /* registers */
        cmp $0x5eed0001, %ebx
        jne lost
        cmp $0x5eed0002, %ebp
        jne lost
        mov %dr0, %ecx
        cmp %ebx, %ecx
        jne lost
        mov %cr2, %ecx
        cmp $0x5eed0003, %ecx
        jne lost
        mov TICKS, %edi                 /* the timer */
        mov $2000000, %ecx
16:     pause
        cmp TICKS, %edi
        jne 17f
        loop 16b
        mov $'T', %al
        jmp lost
17:     mov $'.', %al
        call print
        jmp 13b
lost:   call print
        cli
        jmp end

tick:   push %eax
        incl TICKS
        mov $0x20, %al
        outb %al, $0x20
        movl $0, LAPIC_EOI
        pop %eax
        pushl 8(%esp)                   /* not iret, which a software KVM may not know */
        popf
        lret $4

        .set DIRTY, 0x400000
        .set DIRTY_END, 0x600000
dirty:  xor %ecx, %ecx
18:     mov $DIRTY, %edi
19:     cmp %ecx, (%edi)
        jne 20f
        cmp %ecx, 4092(%edi)
        jne 20f
        lea 1(%ecx), %eax
        mov %eax, (%edi)
        mov %eax, 4092(%edi)
        add $4096, %edi
        cmp $DIRTY_END, %edi
        jb 19b
        inc %ecx
        mov $'.', %al
        call print
        jmp 18b
20:     mov $'M', %al
        jmp lost

crash:  mov $0x505, %edx
        mov $1, %al
        outb %al, %dx
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
idt_table:
        .word 0x21 * 8 - 1
        .long idt
        .bss
        .balign 16
idt:    .skip 0x21 * 8
        .balign 16
        .skip 4096
stack_end:
        .section .note.GNU-stack, "", @progbits
