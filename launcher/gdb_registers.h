/* gdb_registers.h - a processor's registers as GDB numbers them, between KVM and the wire.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_GDB_REGISTERS_H
#define KILN_LAUNCHER_GDB_REGISTERS_H

#include <glib.h>
#include <linux/kvm.h>

#include "launcher/vcpu.h"

enum { GDB_REGISTER_MAX = 16, GDB_XSAVE_LEGACY = 4096 };

/* What the registers are read from and written to. */
typedef struct {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    uint64_t kernel_gs_base;
    size_t xsave_size;
    uint8_t *xsave;   /* owned */
    unsigned changed; /* 1 << kind of store */
} GdbRegisters;

/* Read and write all of them. The vCPU must be stopped. Return 0 or -errno. Main thread. */
int gdb_registers_load(GdbRegisters *r, const Kvm *kvm, Vcpu *vcpu);
int gdb_registers_store(GdbRegisters *r, Vcpu *vcpu);
void gdb_registers_clear(GdbRegisters *r);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GdbRegisters, gdb_registers_clear)

unsigned gdb_register_count(void);
/* Bytes of register @n, 0 when there is none; its value in guest order. */
size_t gdb_register_get(const GdbRegisters *r, unsigned n, uint8_t *ret);
/* As many bytes as gdb_register_get() says. False when that value cannot be given to it. */
bool gdb_register_set(GdbRegisters *r, unsigned n, const uint8_t *data);

/* target.xml: names, sizes, types. The caller frees. */
char *gdb_registers_xml(void);

#endif
