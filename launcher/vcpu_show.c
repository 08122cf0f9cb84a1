/* vcpu_show.c - a processor's registers as text, in the form that QEMU's monitor gives them.
 *
 * Leaves out: FPU and vector registers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/ioctl.h>

#include "launcher/vcpu_private.h"
#include "util/error.h"

enum { EFER_LMA = 1 << 10, FLAG_L = 1 << 21, FLAG_DB = 1 << 22 };

/* The second word of a descriptor without the base. */
static uint32_t
show_flags(const struct kvm_segment *s)
{
    return (uint32_t)s->type << 8 | (uint32_t)(s->s & 1) << 12 | (uint32_t)(s->dpl & 3) << 13 |
           (uint32_t)(s->present & 1) << 15 | (uint32_t)(s->avl & 1) << 20 | (s->l ? FLAG_L : 0) |
           (s->db ? FLAG_DB : 0) | (uint32_t)(s->g & 1) << 23;
}

static void
show_segment(GString *out, const char *name, const struct kvm_segment *s, int digits)
{
    g_string_append_printf(out, "%-3s=%04x %0*llx %08x %08x\n", name, s->selector, digits,
                           (unsigned long long)s->base, s->limit, show_flags(s));
}

static void
show_general(GString *out, const struct kvm_regs *r, bool wide)
{
    const struct {
        const char *name;
        unsigned long long value;
    } regs[] = {
        { "AX", r->rax }, { "BX", r->rbx }, { "CX", r->rcx }, { "DX", r->rdx },
        { "SI", r->rsi }, { "DI", r->rdi }, { "BP", r->rbp }, { "SP", r->rsp },
        { "8 ", r->r8 },  { "9 ", r->r9 },  { "10", r->r10 }, { "11", r->r11 },
        { "12", r->r12 }, { "13", r->r13 }, { "14", r->r14 }, { "15", r->r15 },
    };

    for (size_t i = 0; i < (wide ? 16u : 8u); i++)
        g_string_append_printf(out, "%c%s=%0*llx%c", wide ? 'R' : 'E', regs[i].name, wide ? 16 : 8,
                               regs[i].value, i % 4 == 3 ? '\n' : ' ');
}

bool
vcpu_show(Vcpu *v, GString *out, GError **err)
{
    static const char letters[] = "CPAZSO";
    static const unsigned bits[] = { 0, 2, 4, 6, 7, 11 };
    struct kvm_regs r;
    struct kvm_sregs s;
    struct kvm_debugregs d = { 0 };
    struct kvm_mp_state state = { 0 };
    int digits;
    bool wide;

    if (ioctl(v->fd, KVM_GET_REGS, &r) < 0 || ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
        return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno,
                                    "cannot read the registers of vCPU %u", v->index);
    (void)ioctl(v->fd, KVM_GET_DEBUGREGS, &d);
    (void)ioctl(v->fd, KVM_GET_MP_STATE, &state);
    wide = s.efer & EFER_LMA;
    digits = wide ? 16 : 8;
    show_general(out, &r, wide);
    g_string_append_printf(out, "%cIP=%0*llx %cFL=%08llx [", wide ? 'R' : 'E', digits,
                           (unsigned long long)r.rip, wide ? 'R' : 'E',
                           (unsigned long long)r.rflags);
    for (size_t i = G_N_ELEMENTS(bits); i-- > 0;)
        g_string_append_c(out, r.rflags >> bits[i] & 1 ? letters[i] : '-');
    g_string_append_printf(out, "] CPL=%u HLT=%d\n", s.ss.dpl,
                           state.mp_state == KVM_MP_STATE_HALTED);
    show_segment(out, "ES", &s.es, digits);
    show_segment(out, "CS", &s.cs, digits);
    show_segment(out, "SS", &s.ss, digits);
    show_segment(out, "DS", &s.ds, digits);
    show_segment(out, "FS", &s.fs, digits);
    show_segment(out, "GS", &s.gs, digits);
    show_segment(out, "LDT", &s.ldt, digits);
    show_segment(out, "TR", &s.tr, digits);
    g_string_append_printf(out, "GDT=     %0*llx %08x\nIDT=     %0*llx %08x\n", digits,
                           (unsigned long long)s.gdt.base, s.gdt.limit, digits,
                           (unsigned long long)s.idt.base, s.idt.limit);
    g_string_append_printf(out, "CR0=%08llx CR2=%0*llx CR3=%0*llx CR4=%08llx\n",
                           (unsigned long long)s.cr0, digits, (unsigned long long)s.cr2, digits,
                           (unsigned long long)s.cr3, (unsigned long long)s.cr4);
    for (unsigned i = 0; i < 4; i++)
        g_string_append_printf(out, "DR%u=%016llx ", i, (unsigned long long)d.db[i]);
    g_string_append_printf(out, "\nDR6=%016llx DR7=%016llx\nEFER=%016llx\n",
                           (unsigned long long)d.dr6, (unsigned long long)d.dr7,
                           (unsigned long long)s.efer);
    return true;
}
