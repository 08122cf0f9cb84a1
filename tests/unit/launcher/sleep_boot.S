/* sleep_boot.S - a boot sector that sleeps once: finds the FACS by way of RSDP, RSDT or XSDT and FADT
 * (ACPI 6.4, 5.2), writes its waking vector, says "s" on the debug port 0xe9 and enters S3. Woken there in real
 * mode (16.3.2) it says "w" when memory is as it was and PM1 status tells of the waking, "m" or "p" when
 * not, and ends by the debug exit port.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
        .set WAKE, 0x8000
        .set MARK, 0x9000
        .set EVENTS, 0x9004             /* PM1a_EVT */
        .code16
        .globl start
start:  cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x7000, %sp
        mov $wake, %si
        mov $WAKE, %di
        mov $(wake_end - wake), %cx
        cld
        rep movsb
        movl $0x6b72616d, MARK
        lgdt gdt_pointer
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmp $8, $flat
        .code32
flat:   mov $16, %ax
        mov %ax, %ds
        mov %ax, %es
        mov $0xe0000, %esi
1:      cmpl $0x20445352, (%esi)        /* "RSD PTR " */
        jne 2f
        cmpl $0x20525450, 4(%esi)
        je 3f
2:      add $16, %esi
        cmp $0x100000, %esi
        jb 1b
        jmp lost
3:      mov 16(%esi), %ebx              /* RSDT, entries of 4 bytes */
        mov $4, %ecx
        test %ebx, %ebx
        jnz 4f
        mov 24(%esi), %ebx              /* XSDT, of 8 */
        mov $8, %ecx
4:      mov 4(%ebx), %edx
        add %ebx, %edx                  /* its end */
        add $36, %ebx
5:      cmp %edx, %ebx
        jae lost
        mov (%ebx), %esi
        add %ecx, %ebx
        cmpl $0x50434146, (%esi)        /* "FACP" */
        jne 5b
        mov 36(%esi), %edi
        movl $WAKE, 12(%edi)
        mov 56(%esi), %eax
        mov %eax, EVENTS
        mov $'s', %al
        mov $0xe9, %edx
        outb %al, %dx
        mov 64(%esi), %edx              /* PM1a_CNT: SLP_EN, SLP_TYP of \_S3 */
        mov $0x2400, %ax
        outw %ax, %dx
lost:   mov $'?', %al
        mov $0xe9, %edx
        outb %al, %dx
6:      hlt
        jmp 6b

        .code16
wake:   xor %ax, %ax
        mov %ax, %ds
        cmpl $0x6b72616d, MARK
        jne 6f
        mov EVENTS, %dx
        inw %dx, %ax
        inc %ax                         /* all ones: no such register */
        jz 5f
        dec %ax
        test $0x8000, %ax               /* WAK_STS */
        mov $'w', %al
        jnz 7f
5:      mov $'p', %al
        jmp 7f
6:      mov $'m', %al
7:      mov $0xe9, %dx
        outb %al, %dx
        mov $0x501, %dx
        mov $1, %al
        outb %al, %dx
8:      hlt
        jmp 8b
wake_end:

        .balign 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff
        .quad 0x00cf93000000ffff
gdt_pointer:
        .word . - gdt - 1
        .long gdt
        .org 510
        .word 0xaa55
        .section .note.GNU-stack, "", @progbits
