/* dump.c - the guest's memory and registers as a core file, which crash, gdb and readelf take.
 *
 * ELF-64 (System V ABI, chapters 4 and 5; its AMD64 supplement for NT_PRSTATUS): one note segment,
 * then a loadable segment for each stretch of RAM, by physical addresses. For each processor there
 * is a note CORE/NT_PRSTATUS, as Linux has it for a thread, and after those for each a note QEMU,
 * laid out as crash reads it. Leaves out: virtual addresses (paging), the kdump
 * formats.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/dump.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hw/core/bytes.h"
#include "util/error.h"
#include "util/file.h"

enum {
    PRSTATUS_SIZE = 336,
    PRSTATUS_PID = 32,
    PRSTATUS_REGS = 112,
    CPU_VERSION = 1,
    MSR_KERNEL_GS_BASE = 0xc0000102u,
};

typedef struct {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    uint64_t kernel_gs_base;
} DumpCpu;

static bool
dump_read_cpu(Vcpu *vcpu, DumpCpu *ret, GError **err)
{
    int fd = vcpu_fd(vcpu);

    *ret = (DumpCpu){ 0 };
    if (ioctl(fd, KVM_GET_REGS, &ret->regs) < 0 || ioctl(fd, KVM_GET_SREGS, &ret->sregs) < 0)
        return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno,
                                    "cannot read the registers of vCPU %u", vcpu_index(vcpu));
    if (kvm_get_msr(fd, MSR_KERNEL_GS_BASE, &ret->kernel_gs_base) < 0)
        ret->kernel_gs_base = 0; /* a processor without 64-bit mode has none */
    return true;
}

/* @name has its zero byte; both parts are filled up to four bytes. */
static void
dump_append_note(GByteArray *out, const char *name, uint32_t type, const GByteArray *data)
{
    static const uint8_t zeros[4];
    uint32_t len = (uint32_t)strlen(name) + 1;
    const Elf64_Nhdr head = { len, data->len, type };

    g_byte_array_append(out, (const guint8 *)&head, sizeof(head));
    g_byte_array_append(out, (const guint8 *)name, len);
    g_byte_array_append(out, zeros, -len & 3);
    g_byte_array_append(out, data->data, data->len);
    g_byte_array_append(out, zeros, -data->len & 3);
}

static void
dump_append(GByteArray *out, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    bytes_store(bytes, value, size);
    g_byte_array_append(out, bytes, size);
}

static void
dump_append_prstatus(GByteArray *notes, const DumpCpu *c, unsigned index)
{
    const struct kvm_regs *r = &c->regs;
    const struct kvm_sregs *s = &c->sregs;
    const uint64_t regs[] = {
        r->r15,     r->r14,         r->r13,         r->r12,         r->rbp,         r->rbx,
        r->r11,     r->r10,         r->r9,          r->r8,          r->rax,         r->rcx,
        r->rdx,     r->rsi,         r->rdi,         UINT64_MAX, /* orig_rax: in no system call */
        r->rip,     s->cs.selector, r->rflags,      r->rsp,         s->ss.selector, s->fs.base,
        s->gs.base, s->ds.selector, s->es.selector, s->fs.selector, s->gs.selector,
    };
    g_autoptr(GByteArray) data = g_byte_array_new();

    g_byte_array_set_size(data, PRSTATUS_SIZE);
    memset(data->data, 0, data->len);
    bytes_store(data->data + PRSTATUS_PID, index + 1, 4);
    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++)
        bytes_store(data->data + PRSTATUS_REGS + 8 * (size_t)i, regs[i], 8);
    dump_append_note(notes, "CORE", NT_PRSTATUS, data);
}

static void
dump_append_segment(GByteArray *out, const struct kvm_segment *s)
{
    /* the second word of a descriptor without base and limit */
    uint32_t flags = (uint32_t)s->type << 8 | (uint32_t)(s->s & 1) << 12 |
                     (uint32_t)(s->dpl & 3) << 13 | (uint32_t)(s->present & 1) << 15 |
                     (uint32_t)(s->avl & 1) << 20 | (uint32_t)(s->l & 1) << 21 |
                     (uint32_t)(s->db & 1) << 22 | (uint32_t)(s->g & 1) << 23;

    dump_append(out, s->selector, 4);
    dump_append(out, s->limit, 4);
    dump_append(out, flags, 4);
    dump_append(out, 0, 4);
    dump_append(out, s->base, 8);
}

static void
dump_append_cpu(GByteArray *notes, const DumpCpu *c)
{
    const struct kvm_regs *r = &c->regs;
    const struct kvm_sregs *s = &c->sregs;
    const uint64_t general[] = { r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi,
                                 r->rsp, r->rbp, r->r8,  r->r9,  r->r10, r->r11,
                                 r->r12, r->r13, r->r14, r->r15, r->rip, r->rflags };
    const struct kvm_segment gdt = { .base = s->gdt.base, .limit = s->gdt.limit };
    const struct kvm_segment idt = { .base = s->idt.base, .limit = s->idt.limit };
    const struct kvm_segment *segments[] = { &s->cs, &s->ds,  &s->es, &s->fs, &s->gs,
                                             &s->ss, &s->ldt, &s->tr, &gdt,   &idt };
    const uint64_t control[] = { s->cr0, 0, s->cr2, s->cr3, s->cr4, c->kernel_gs_base };
    g_autoptr(GByteArray) data = g_byte_array_new();

    dump_append(data, CPU_VERSION, 4);
    dump_append(data, 0, 4); /* the size, when it is known */
    for (unsigned i = 0; i < G_N_ELEMENTS(general); i++)
        dump_append(data, general[i], 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++)
        dump_append_segment(data, segments[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(control); i++)
        dump_append(data, control[i], 8);
    bytes_store(data->data + 4, data->len, 4);
    dump_append_note(notes, "QEMU", 0, data);
}

static GByteArray *
dump_make_notes(Vm *vm, GError **err)
{
    g_autofree DumpCpu *cpus = g_new0(DumpCpu, vm->vcpus->len);
    g_autoptr(GByteArray) notes = g_byte_array_new();

    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        if (!dump_read_cpu(vcpu, &cpus[i], err))
            return NULL;
        dump_append_prstatus(notes, &cpus[i], vcpu_index(vcpu));
    }
    for (guint i = 0; i < vm->vcpus->len; i++)
        dump_append_cpu(notes, &cpus[i]);
    return g_steal_pointer(&notes);
}

static GByteArray *
dump_make_head(const GuestRam *ram, size_t n, const GByteArray *notes)
{
    const Elf64_Ehdr head = {
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)(n + 1),
    };
    uint64_t at = sizeof(Elf64_Ehdr) + (n + 1) * sizeof(Elf64_Phdr);
    Elf64_Phdr segment = { .p_type = PT_NOTE, .p_offset = at, .p_filesz = notes->len };
    GByteArray *out = g_byte_array_new();

    segment.p_memsz = segment.p_filesz;
    g_byte_array_append(out, (const guint8 *)&head, sizeof(head));
    g_byte_array_append(out, (const guint8 *)&segment, sizeof(segment));
    at += notes->len;
    for (size_t i = 0; i < n; at += ram[i++].size) {
        segment = (Elf64_Phdr){ .p_type = PT_LOAD,
                                .p_offset = at,
                                .p_paddr = ram[i].gpa,
                                .p_filesz = ram[i].size,
                                .p_memsz = ram[i].size };
        g_byte_array_append(out, (const guint8 *)&segment, sizeof(segment));
    }
    g_byte_array_append(out, notes->data, notes->len);
    return out;
}

bool
dump_write(Vm *vm, int fd, uint64_t *ret_bytes, GError **err)
{
    size_t n;
    const GuestRam *ram = guest_memory_list(vm->machine->memory, &n);
    g_autoptr(GByteArray) notes = dump_make_notes(vm, err);
    g_autoptr(GByteArray) head = notes ? dump_make_head(ram, n, notes) : NULL;
    uint64_t bytes = head ? head->len : 0;
    int ret;

    if (!head)
        return false;
    ret = file_write_all(fd, head->data, head->len);
    for (size_t i = 0; i < n && ret == 0; i++) {
        ret = file_write_all(fd, ram[i].host, ram[i].size);
        bytes += ram[i].size;
    }
    if (ret < 0)
        return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, ret,
                                    "dump-guest-memory: writing the core file");
    *ret_bytes = bytes;
    return true;
}
