/* gdb_registers.c - the registers that GDB sees, and target.xml, which tells it of them.
 *
 * "Debugging with GDB", appendix G.5.x, "x86 Features": org.gnu.gdb.i386.core, .sse and .segments;
 * Intel SDM volume 1, 10.5.1 (the FXSAVE image) and 13.4 (the XSAVE header). The description is
 * always that of x86-64, whatever mode the processor is in: GDB cannot change its mind later.
 * Leaves out: AVX and later vector registers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/gdb_registers.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hw/core/bytes.h"

typedef enum { STORE_REGS, STORE_SREGS, STORE_XSAVE, STORE_MSR } RegisterStore;
typedef enum {
    KIND_PLAIN,    /* as many bytes as it has, at @offset */
    KIND_SELECTOR, /* of a struct kvm_segment */
    KIND_X87,      /* @size bytes of the image, shown as four */
    KIND_TAGS,     /* one bit for each register of the image, two on the wire */
    KIND_NONE,     /* reads as zero */
} RegisterKind;

typedef struct {
    const char *name, *type;
    uint16_t offset;
    uint8_t size, bits;
    uint8_t store, kind;
} Register;

enum { MSR_KERNEL_GS_BASE = 0xc0000102u };
enum {
    FX_FCW = 0,
    FX_FSW = 2,
    FX_FTW = 4,
    FX_FOP = 6,
    FX_FIP = 8,
    FX_FDP = 16,
    FX_MXCSR = 24,
    FX_ST = 32,
    FX_XMM = 160,
    XSAVE_BV = 512,
    XSAVE_X87_SSE = 3,
};
enum { CR0_PE = 1 };
#define RFLAGS_VM (UINT64_C(1) << 17)

#define REGS(f) offsetof(struct kvm_regs, f)
#define SREGS(f) offsetof(struct kvm_sregs, f)
#define GENERAL(n, t)                                                                              \
    {                                                                                              \
#n, t, REGS(n), 8, 64, STORE_REGS, KIND_PLAIN                                              \
    }
#define SEGMENT(n)                                                                                 \
    {                                                                                              \
#n, "int32", SREGS(n), 2, 32, STORE_SREGS, KIND_SELECTOR                                   \
    }
#define ST(n)                                                                                      \
    {                                                                                              \
        "st" #n, "i387_ext", FX_ST + 16 * n, 10, 80, STORE_XSAVE, KIND_PLAIN                       \
    }
#define X87(n, at, size)                                                                           \
    {                                                                                              \
        n, "int", at, size, 32, STORE_XSAVE, KIND_X87                                              \
    }
#define XMM(n)                                                                                     \
    {                                                                                              \
        "xmm" #n, "vec128", FX_XMM + 16 * n, 16, 128, STORE_XSAVE, KIND_PLAIN                      \
    }
#define SYSTEM(n)                                                                                  \
    {                                                                                              \
#n, "int64", SREGS(n), 8, 64, STORE_SREGS, KIND_PLAIN                                      \
    }

static const Register register_core[] = {
    GENERAL(rax, "int64"),
    GENERAL(rbx, "int64"),
    GENERAL(rcx, "int64"),
    GENERAL(rdx, "int64"),
    GENERAL(rsi, "int64"),
    GENERAL(rdi, "int64"),
    GENERAL(rbp, "data_ptr"),
    GENERAL(rsp, "data_ptr"),
    GENERAL(r8, "int64"),
    GENERAL(r9, "int64"),
    GENERAL(r10, "int64"),
    GENERAL(r11, "int64"),
    GENERAL(r12, "int64"),
    GENERAL(r13, "int64"),
    GENERAL(r14, "int64"),
    GENERAL(r15, "int64"),
    GENERAL(rip, "code_ptr"),
    { "eflags", "eflags", REGS(rflags), 4, 32, STORE_REGS, KIND_PLAIN },
    SEGMENT(cs),
    SEGMENT(ss),
    SEGMENT(ds),
    SEGMENT(es),
    SEGMENT(fs),
    SEGMENT(gs),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    X87("fctrl", FX_FCW, 2),
    X87("fstat", FX_FSW, 2),
    { "ftag", "int", FX_FTW, 1, 32, STORE_XSAVE, KIND_TAGS },
    { "fiseg", "int", 0, 4, 32, STORE_XSAVE, KIND_NONE },
    X87("fioff", FX_FIP, 4),
    { "foseg", "int", 0, 4, 32, STORE_XSAVE, KIND_NONE },
    X87("fooff", FX_FDP, 4),
    X87("fop", FX_FOP, 2),
};
static const Register register_sse[] = {
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    { "mxcsr", "mxcsr", FX_MXCSR, 4, 32, STORE_XSAVE, KIND_PLAIN },
};
static const Register register_segments[] = {
    { "fs_base", "int64", SREGS(fs.base), 8, 64, STORE_SREGS, KIND_PLAIN },
    { "gs_base", "int64", SREGS(gs.base), 8, 64, STORE_SREGS, KIND_PLAIN },
};
static const Register register_system[] = {
    { "k_gs_base", "int64", 0, 8, 64, STORE_MSR, KIND_PLAIN },
    SYSTEM(cr0),
    SYSTEM(cr2),
    SYSTEM(cr3),
    SYSTEM(cr4),
    SYSTEM(cr8),
    SYSTEM(efer),
};

/* In the order in which GDB numbers them. */
static const struct {
    const char *name, *types;
    const Register *registers;
    unsigned n;
} register_features[] = {
    { "org.gnu.gdb.i386.core",
      "<flags id='eflags' size='4'>"
      "<field name='CF' start='0' end='0'/><field name='' start='1' end='1'/>"
      "<field name='PF' start='2' end='2'/><field name='AF' start='4' end='4'/>"
      "<field name='ZF' start='6' end='6'/><field name='SF' start='7' end='7'/>"
      "<field name='TF' start='8' end='8'/><field name='IF' start='9' end='9'/>"
      "<field name='DF' start='10' end='10'/><field name='OF' start='11' end='11'/>"
      "<field name='NT' start='14' end='14'/><field name='RF' start='16' end='16'/>"
      "<field name='VM' start='17' end='17'/><field name='AC' start='18' end='18'/>"
      "<field name='VIF' start='19' end='19'/><field name='VIP' start='20' end='20'/>"
      "<field name='ID' start='21' end='21'/></flags>\n",
      register_core, G_N_ELEMENTS(register_core) },
    { "org.gnu.gdb.i386.sse",
      "<vector id='v4f' type='ieee_single' count='4'/><vector id='v2d' type='ieee_double' "
      "count='2'/><vector id='v16i8' type='int8' count='16'/><vector id='v8i16' type='int16' "
      "count='8'/><vector id='v4i32' type='int32' count='4'/><vector id='v2i64' type='int64' "
      "count='2'/>\n"
      "<union id='vec128'><field name='v4_float' type='v4f'/><field name='v2_double' type='v2d'/>"
      "<field name='v16_int8' type='v16i8'/><field name='v8_int16' type='v8i16'/>"
      "<field name='v4_int32' type='v4i32'/><field name='v2_int64' type='v2i64'/>"
      "<field name='uint128' type='uint128'/></union>\n"
      "<flags id='mxcsr' size='4'>"
      "<field name='IE' start='0' end='0'/><field name='DE' start='1' end='1'/>"
      "<field name='ZE' start='2' end='2'/><field name='OE' start='3' end='3'/>"
      "<field name='UE' start='4' end='4'/><field name='PE' start='5' end='5'/>"
      "<field name='DAZ' start='6' end='6'/><field name='IM' start='7' end='7'/>"
      "<field name='DM' start='8' end='8'/><field name='ZM' start='9' end='9'/>"
      "<field name='OM' start='10' end='10'/><field name='UM' start='11' end='11'/>"
      "<field name='PM' start='12' end='12'/><field name='FZ' start='15' end='15'/></flags>\n",
      register_sse, G_N_ELEMENTS(register_sse) },
    { "org.gnu.gdb.i386.segments", "", register_segments, G_N_ELEMENTS(register_segments) },
    { "kiln.x86.system", "", register_system, G_N_ELEMENTS(register_system) },
};

static const Register *
register_find(unsigned n)
{
    for (size_t i = 0; i < G_N_ELEMENTS(register_features); i++) {
        if (n < register_features[i].n)
            return &register_features[i].registers[n];
        n -= register_features[i].n;
    }
    return NULL;
}

unsigned
gdb_register_count(void)
{
    unsigned n = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(register_features); i++)
        n += register_features[i].n;
    return n;
}

char *
gdb_registers_xml(void)
{
    GString *out = g_string_new("<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM "
                                "\"gdb-target.dtd\">\n<target>\n"
                                "<architecture>i386:x86-64</architecture>\n");

    for (size_t i = 0; i < G_N_ELEMENTS(register_features); i++) {
        g_string_append_printf(out, "<feature name=\"%s\">\n%s", register_features[i].name,
                               register_features[i].types);
        for (unsigned n = 0; n < register_features[i].n; n++) {
            const Register *r = &register_features[i].registers[n];

            g_string_append_printf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>\n", r->name,
                                   r->bits, r->type);
        }
        g_string_append(out, "</feature>\n");
    }
    g_string_append(out, "</target>\n");
    return g_string_free(out, FALSE);
}

static uint8_t *
register_at(const GdbRegisters *r, const Register *reg)
{
    switch (reg->store) {
    case STORE_REGS:
        return (uint8_t *)&r->regs + reg->offset;
    case STORE_SREGS:
        return (uint8_t *)&r->sregs + reg->offset;
    case STORE_XSAVE:
        return r->xsave + reg->offset;
    default:
        return (uint8_t *)&r->kernel_gs_base;
    }
}

static uint64_t
tags_widen(uint8_t tags)
{
    uint64_t wide = 0;

    for (unsigned i = 0; i < 8; i++)
        wide |= (uint64_t)(tags >> i & 1 ? 0 : 3) << 2 * i;
    return wide;
}

size_t
gdb_register_get(const GdbRegisters *r, unsigned n, uint8_t *ret)
{
    const Register *reg = register_find(n);
    const uint8_t *at = reg ? register_at(r, reg) : NULL;
    size_t bytes = reg ? reg->bits / 8 : 0;

    if (!reg)
        return 0;
    memset(ret, 0, bytes);
    if (reg->kind == KIND_SELECTOR)
        bytes_store(ret, ((const struct kvm_segment *)(const void *)at)->selector, 2);
    else if (reg->kind == KIND_TAGS)
        bytes_store(ret, tags_widen(*at), 2);
    else if (reg->kind != KIND_NONE)
        memcpy(ret, at, reg->size);
    return bytes;
}

/* Without protection the base follows from the selector; with it a descriptor would have to be
 * loaded, which only the guest itself can do. */
static bool
selector_set(const GdbRegisters *r, struct kvm_segment *segment, uint16_t selector)
{
    if (segment->selector == selector)
        return true;
    if (r->sregs.cr0 & CR0_PE && !(r->regs.rflags & RFLAGS_VM))
        return false;
    segment->selector = selector;
    segment->base = (uint64_t)selector << 4;
    return true;
}

bool
gdb_register_set(GdbRegisters *r, unsigned n, const uint8_t *data)
{
    const Register *reg = register_find(n);
    uint8_t now[GDB_REGISTER_MAX];
    uint8_t *at;

    if (!reg)
        return false;
    /* Written back as it is in most packets. */
    if (memcmp(data, now, gdb_register_get(r, n, now)) == 0)
        return true;
    at = register_at(r, reg);
    r->changed |= 1u << reg->store;
    switch (reg->kind) {
    case KIND_SELECTOR:
        return selector_set(r, (struct kvm_segment *)(void *)at, bytes_load16(data));
    case KIND_TAGS:
        *at = 0;
        for (unsigned i = 0; i < 8; i++)
            *at |= (uint8_t)((bytes_load16(data) >> 2 * i & 3) != 3) << i;
        return true;
    case KIND_NONE:
        return false;
    default:
        memcpy(at, data, reg->size);
        return true;
    }
}

int
gdb_registers_load(GdbRegisters *r, const Kvm *kvm, Vcpu *vcpu)
{
    int fd = vcpu_fd(vcpu);
    unsigned long xsave = kvm_extension(kvm, KVM_CAP_XSAVE2) > 0 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;

    *r = (GdbRegisters){ .xsave_size = kvm->xsave_size };
    r->xsave = g_malloc0(r->xsave_size);
    if (ioctl(fd, KVM_GET_REGS, &r->regs) < 0 || ioctl(fd, KVM_GET_SREGS, &r->sregs) < 0 ||
        ioctl(fd, xsave, r->xsave) < 0)
        return -errno;
    /* A processor without 64-bit mode has none. */
    if (kvm_get_msr(fd, MSR_KERNEL_GS_BASE, &r->kernel_gs_base) < 0)
        r->kernel_gs_base = 0;
    return 0;
}

int
gdb_registers_store(GdbRegisters *r, Vcpu *vcpu)
{
    int fd = vcpu_fd(vcpu);

    if (r->changed & 1u << STORE_XSAVE) {
        /* What was in its first state is written all the same. */
        r->xsave[XSAVE_BV] |= XSAVE_X87_SSE;
        if (ioctl(fd, KVM_SET_XSAVE, r->xsave) < 0)
            return -errno;
    }
    if (r->changed & 1u << STORE_SREGS && ioctl(fd, KVM_SET_SREGS, &r->sregs) < 0)
        return -errno;
    if (r->changed & 1u << STORE_REGS && ioctl(fd, KVM_SET_REGS, &r->regs) < 0)
        return -errno;
    return r->changed & 1u << STORE_MSR ? kvm_set_msr(fd, MSR_KERNEL_GS_BASE, r->kernel_gs_base)
                                        : 0;
}

void
gdb_registers_clear(GdbRegisters *r)
{
    g_clear_pointer(&r->xsave, g_free);
}
