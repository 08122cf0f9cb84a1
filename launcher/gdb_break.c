/* gdb_break.c - breakpoints and watchpoints of the debugger.
 *
 * Intel SDM volume 3, 17.2 (debug registers); Linux Documentation/virt/kvm/api.rst,
 * KVM_SET_GUEST_DEBUG. A software breakpoint is the instruction INT3 (0xcc) in the guest's memory;
 * the hardware's four serve the rest. Leaves out: watchpoints for reading only, which the processor
 * does not have.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/ioctl.h>

#include "launcher/gdb_private.h"
#include "launcher/vm_memory.h"

enum { INT3 = 0xcc, EXCEPTION_DB = 1, EXCEPTION_BP = 3 };
enum { DR6_STEP = 1 << 14, DR7_FIXED = 0x400, DR7_EXACT = 0x200, WAYS_WRITE = 1, WAYS_ACCESS = 3 };

static GdbBreak *
break_at(const Gdb *gdb, guint i)
{
    return &g_array_index(gdb->breaks, GdbBreak, i);
}

static bool
break_is_hardware(const GdbBreak *b)
{
    return b->kind != GDB_BREAK_SOFTWARE;
}

static int
break_find(const Gdb *gdb, GdbBreakKind kind, uint64_t address, uint64_t len)
{
    for (guint i = 0; i < gdb->breaks->len; i++) {
        const GdbBreak *b = break_at(gdb, i);

        if (b->kind == kind && b->address == address &&
            (!break_is_hardware(b) || kind == GDB_BREAK_HARDWARE || b->len == len))
            return (int)i;
    }
    return -ENOENT;
}

/* Another one at the same place in memory, by another address. */
static const GdbBreak *
break_alias(const Gdb *gdb, uint64_t gpa, guint except)
{
    for (guint i = 0; i < gdb->breaks->len; i++)
        if (i != except && !break_is_hardware(break_at(gdb, i)) && break_at(gdb, i)->gpa == gpa)
            return break_at(gdb, i);
    return NULL;
}

static int
break_write_int3(Gdb *gdb, GdbBreak *b)
{
    const GdbBreak *alias;
    uint8_t int3 = INT3;
    int ret = vm_memory_translate(gdb_vcpu(gdb, gdb->thread), b->address, &b->gpa);

    if (ret == 0)
        ret = vm_memory_read(gdb->vm, b->gpa, &b->old, 1);
    if (ret < 0)
        return ret;
    alias = break_alias(gdb, b->gpa, G_MAXUINT);
    if (alias)
        b->old = alias->old;
    return vm_memory_write(gdb->vm, b->gpa, &int3, 1);
}

static int
break_check_hardware(const Gdb *gdb, const GdbBreak *b)
{
    unsigned used = 0;

    for (guint i = 0; i < gdb->breaks->len; i++)
        used += break_is_hardware(break_at(gdb, i));
    if (used >= GDB_HARDWARE_MAX)
        return -ENOSPC;
    if (b->kind == GDB_BREAK_HARDWARE)
        return 0;
    return (b->len == 1 || b->len == 2 || b->len == 4 || b->len == 8) && b->address % b->len == 0
               ? 0
               : -EINVAL;
}

int
gdb_break_insert(Gdb *gdb, GdbBreakKind kind, uint64_t address, uint64_t len)
{
    GdbBreak b = { .kind = kind, .address = address, .len = (unsigned)MIN(len, 16u) };
    int ret;

    if (kind == GDB_WATCH_READ || kind > GDB_WATCH_ACCESS)
        return -ENOTSUP;
    if (break_find(gdb, kind, address, len) >= 0)
        return 0;
    ret = kind == GDB_BREAK_SOFTWARE ? break_write_int3(gdb, &b) : break_check_hardware(gdb, &b);
    if (ret == 0)
        g_array_append_val(gdb->breaks, b);
    return ret;
}

static void
break_drop(Gdb *gdb, guint i)
{
    const GdbBreak *b = break_at(gdb, i);
    uint8_t now;

    /* What the guest has written over in the meantime stays. */
    if (!break_is_hardware(b) && !break_alias(gdb, b->gpa, i) &&
        vm_memory_read(gdb->vm, b->gpa, &now, 1) == 0 && now == INT3)
        vm_memory_write(gdb->vm, b->gpa, &b->old, 1);
    g_array_remove_index(gdb->breaks, i);
}

int
gdb_break_remove(Gdb *gdb, GdbBreakKind kind, uint64_t address, uint64_t len)
{
    int i = break_find(gdb, kind, address, len);

    if (kind == GDB_WATCH_READ || kind > GDB_WATCH_ACCESS)
        return -ENOTSUP;
    if (i >= 0)
        break_drop(gdb, (guint)i);
    return MIN(i, 0);
}

void
gdb_break_remove_all(Gdb *gdb)
{
    while (gdb->breaks->len > 0)
        break_drop(gdb, gdb->breaks->len - 1);
}

/* The two bits of DR7 for a length of 1, 2, 4 and 8. */
static uint64_t
break_length_bits(const GdbBreak *b)
{
    if (b->kind == GDB_BREAK_HARDWARE)
        return 0;
    return b->len == 8 ? 2 : b->len - 1;
}

static void
break_fill(const Gdb *gdb, struct kvm_guest_debug *debug)
{
    unsigned n = 0;

    for (guint i = 0; i < gdb->breaks->len; i++) {
        const GdbBreak *b = break_at(gdb, i);
        uint64_t ways = b->kind == GDB_BREAK_HARDWARE ? 0
                        : b->kind == GDB_WATCH_WRITE  ? WAYS_WRITE
                                                      : WAYS_ACCESS;

        if (!break_is_hardware(b)) {
            debug->control |= KVM_GUESTDBG_USE_SW_BP;
            continue;
        }
        debug->control |= KVM_GUESTDBG_USE_HW_BP;
        debug->arch.debugreg[n] = b->address;
        debug->arch.debugreg[7] |= DR7_FIXED | DR7_EXACT | UINT64_C(2) << 2 * n |
                                   (ways | break_length_bits(b) << 2) << (16 + 4 * n);
        n++;
    }
}

void
gdb_break_arm(Gdb *gdb, Vcpu *vcpu, bool step)
{
    struct kvm_guest_debug debug = { 0 };
    int offered = kvm_extension(gdb->vm->kvm, KVM_CAP_SET_GUEST_DEBUG2);

    break_fill(gdb, &debug);
    /* A step is to be one of the program, not of the interrupt that happens to wait. */
    if (step)
        debug.control |=
            KVM_GUESTDBG_SINGLESTEP | ((unsigned)MAX(offered, 0) & KVM_GUESTDBG_BLOCKIRQ);
    if (debug.control)
        debug.control |= KVM_GUESTDBG_ENABLE;
    if (ioctl(vcpu_fd(vcpu), KVM_SET_GUEST_DEBUG, &debug) < 0 && debug.control)
        vm_warn("gdb: KVM_SET_GUEST_DEBUG of vCPU %u: %s", vcpu_index(vcpu), g_strerror(errno));
}

static bool
break_is_stepping(const Gdb *gdb, unsigned thread)
{
    for (guint i = 0; i < gdb->stepping->len; i++)
        if (g_array_index(gdb->stepping, unsigned, i) == thread)
            return true;
    return false;
}

static bool
break_judge_hardware(const Gdb *gdb, uint64_t dr6, GdbHit *hit)
{
    unsigned n = 0;

    for (guint i = 0; i < gdb->breaks->len; i++) {
        const GdbBreak *b = break_at(gdb, i);

        if (!break_is_hardware(b) || !(dr6 >> n++ & 1))
            continue;
        hit->kind = b->kind == GDB_BREAK_HARDWARE ? GDB_HIT_HARDWARE : GDB_HIT_WATCH;
        hit->at = *b;
        return true;
    }
    return false;
}

bool
gdb_break_judge(Gdb *gdb, Vcpu *vcpu, const struct kvm_debug_exit_arch *stop, GdbHit *ret)
{
    GdbHit hit = { .thread = vcpu_index(vcpu) + 1 };
    uint64_t gpa;
    bool ours = false;

    if (stop->exception == EXCEPTION_BP) {
        hit.kind = GDB_HIT_SOFTWARE;
        ours = vm_memory_translate(vcpu, stop->pc, &gpa) == 0 &&
               break_alias(gdb, gpa, G_MAXUINT) != NULL;
    } else if (stop->dr6 & DR6_STEP && break_is_stepping(gdb, hit.thread)) {
        hit.kind = GDB_HIT_STEP;
        ours = true;
    } else {
        ours = break_judge_hardware(gdb, stop->dr6, &hit);
    }
    if (ours)
        *ret = hit;
    return ours;
}

void
gdb_break_inject(Gdb *gdb, Vcpu *vcpu, uint32_t exception)
{
    struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE };

    break_fill(gdb, &debug);
    debug.control |= exception == EXCEPTION_BP ? KVM_GUESTDBG_INJECT_BP : KVM_GUESTDBG_INJECT_DB;
    /* EBUSY: it has another to take first, after which this one comes again. */
    if (ioctl(vcpu_fd(vcpu), KVM_SET_GUEST_DEBUG, &debug) < 0 && errno != EBUSY)
        vm_warn("gdb: a debug exception of the guest's own on vCPU %u is lost: %s",
                vcpu_index(vcpu), g_strerror(errno));
}

void
gdb_break_hide(const Gdb *gdb, uint64_t address, uint8_t *data, size_t len)
{
    for (guint i = 0; i < gdb->breaks->len; i++) {
        const GdbBreak *b = break_at(gdb, i);
        uint64_t at = (gdb->physical ? b->gpa : b->address) - address;

        if (!break_is_hardware(b) && at < len && data[at] == INT3)
            data[at] = b->old;
    }
}

void
gdb_break_written(Gdb *gdb, uint64_t address, const uint8_t *data, size_t len)
{
    const uint8_t int3 = INT3;

    for (guint i = 0; i < gdb->breaks->len; i++) {
        GdbBreak *b = break_at(gdb, i);
        uint64_t at = (gdb->physical ? b->gpa : b->address) - address;

        if (break_is_hardware(b) || at >= len)
            continue;
        b->old = data[at];
        vm_memory_write(gdb->vm, b->gpa, &int3, 1);
    }
}
