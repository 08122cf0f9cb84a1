/* writer_start.S - where writer.c begins.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../unit/launcher/pvh_entry.inc"

        mov $stack_end, %esp
        call writer_run
1:      hlt
        jmp 1b

        .bss
        .balign 16
        .skip 16384
stack_end:
        .section .note.GNU-stack, "", @progbits
