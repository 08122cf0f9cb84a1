/* hmp_memory.c - the human monitor looks at the guest's memory: "x", "xp", "print",
 * "info mtree".
 *
 * Formats and columns as QEMU 7.2's monitor has them: /COUNT, then one of x d u o c, then the size
 * b h w g. Addresses are numbers, or $pc and $sp, with a number added. Leaves out: disassembly,
 * other registers and operators.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hw/core/bytes.h"
#include "hw/core/layout.h"
#include "launcher/hmp.h"
#include "launcher/vm_memory.h"

enum { COUNT_MAX = 4096, LINE = 16, LINE_OF_BYTES = 8 };

typedef struct {
    unsigned count, size;
    char format;
} DumpFormat;

static bool
memory_parse_format(const char *text, DumpFormat *ret)
{
    DumpFormat f = { .count = 1, .size = 4, .format = 'x' };
    const char *sizes = "bhwg", *at;

    if (g_ascii_isdigit(*text))
        f.count = (unsigned)g_ascii_strtoull(text, (char **)&text, 10);
    for (; *text; text++) {
        if ((at = strchr(sizes, *text)))
            f.size = 1u << (at - sizes);
        else if (strchr("xduoc", *text))
            f.format = *text;
        else
            return false;
    }
    if (f.format == 'c')
        f.size = 1;
    *ret = f;
    return f.count > 0 && f.count <= COUNT_MAX;
}

/* NUMBER, or $pc or $sp of @vcpu, and +NUMBER or -NUMBER behind it. */
static bool
memory_parse_address(Vcpu *vcpu, const char *text, uint64_t *ret)
{
    struct kvm_regs regs;
    uint64_t value = 0, more;
    char *end = (char *)text;

    if (*text == '$') {
        bool pc = g_str_has_prefix(text, "$pc") || g_str_has_prefix(text, "$rip");

        if ((!pc && !g_str_has_prefix(text, "$sp") && !g_str_has_prefix(text, "$rsp")) ||
            ioctl(vcpu_fd(vcpu), KVM_GET_REGS, &regs) < 0)
            return false;
        value = pc ? regs.rip : regs.rsp;
        end += text[1] == 'r' ? 4 : 3;
    } else {
        value = g_ascii_strtoull(text, &end, 0);
        if (end == text)
            return false;
    }
    if (*end == '+' || *end == '-') {
        const char *rest = end + 1;

        more = g_ascii_strtoull(rest, &end, 0);
        if (end == rest)
            return false;
        value += rest[-1] == '+' ? more : -more;
    }
    *ret = value;
    return *end == '\0';
}

static void
memory_print(GString *out, const DumpFormat *f, uint64_t value)
{
    unsigned bits = f->size * 8;
    int64_t as_signed = (int64_t)(value << (64 - bits)) >> (64 - bits);

    switch (f->format) {
    case 'd':
        g_string_append_printf(out, " %*" PRId64, (int)(f->size * 5 + 1) / 2, as_signed);
        break;
    case 'u':
        g_string_append_printf(out, " %*" PRIu64, (int)(f->size * 5 + 1) / 2, value);
        break;
    case 'o':
        g_string_append_printf(out, " 0%0*" PRIo64, (int)(bits + 2) / 3, value);
        break;
    case 'c':
        if (g_ascii_isprint((char)value))
            g_string_append_printf(out, " '%c'", (char)value);
        else
            g_string_append_printf(out, " '\\x%02x'", (unsigned)value);
        break;
    default:
        g_string_append_printf(out, " 0x%0*" PRIx64, (int)f->size * 2, value);
    }
}

/* Without the columns and leading zeros that memory is shown with. */
static void
memory_print_value(GString *out, const DumpFormat *f, uint64_t value)
{
    gsize at = out->len;

    if (f->format == 'x')
        g_string_append_printf(out, "0x%" PRIx64, value);
    else if (f->format == 'o')
        g_string_append_printf(out, "0%" PRIo64, value);
    else if (f->format == 'd')
        g_string_append_printf(out, "%" PRId64, (int64_t)value);
    else if (f->format == 'u')
        g_string_append_printf(out, "%" PRIu64, value);
    else
        memory_print(out, f, value & 0xff);
    if (out->str[at] == ' ')
        g_string_erase(out, (gssize)at, 1);
    g_string_append_c(out, '\n');
}

static void
memory_dump(HmpCall *call, Vcpu *vcpu, const DumpFormat *f, uint64_t address, bool physical)
{
    Vm *vm = qmp_session_vm(call->session);
    unsigned line = f->size == 1 ? LINE_OF_BYTES : LINE;

    for (unsigned i = 0, at = 0; i < f->count; i++, at += f->size, address += f->size) {
        uint8_t data[8];
        int ret = physical ? vm_memory_read(vm, address, data, f->size)
                           : vm_memory_access(vm, vcpu, address, data, f->size, false);

        if (ret < 0) {
            g_string_append_printf(call->out, "%sCannot access memory at 0x%" PRIx64 "\n",
                                   at % line ? "\n" : "", address);
            return;
        }
        if (at % line == 0)
            g_string_append_printf(call->out, "%s%016" PRIx64 ":", at ? "\n" : "", address);
        memory_print(call->out, f, bytes_load(data, f->size));
    }
    g_string_append_c(call->out, '\n');
}

/* [/FORMAT] ADDRESS */
void
hmp_memory(HmpCall *call)
{
    Vm *vm = qmp_session_vm(call->session);
    Vcpu *vcpu = g_ptr_array_index(vm->vcpus, 0);
    bool formatted = call->words[1][0] == '/', printed = call->words[0][0] == 'p';
    DumpFormat format;
    uint64_t address;

    if (call->n_words != (formatted ? 3u : 2u) ||
        !memory_parse_format(formatted ? call->words[1] + 1 : "", &format)) {
        g_string_append_printf(call->out,
                               "Error: %s: expected [/[COUNT up to %d][xduoc][bhwg]] ADDRESS; "
                               "instructions are for a debugger to show (gdbserver)\n",
                               call->words[0], COUNT_MAX);
        return;
    }
    vm_hold_vcpus(vm);
    if (memory_parse_address(vcpu, call->words[formatted ? 2 : 1], &address) && printed)
        memory_print_value(call->out, &format, address);
    else if (memory_parse_address(vcpu, call->words[formatted ? 2 : 1], &address))
        memory_dump(call, vcpu, &format, address, strcmp(call->words[0], "xp") == 0);
    else
        g_string_append_printf(call->out,
                               "Error: '%s' is not an address: a number, $pc or $sp, and +NUMBER\n",
                               call->words[formatted ? 2 : 1]);
    vm_release_vcpus(vm);
}

static void
memory_tree_one(uint64_t gpa, uint64_t size, const uint8_t *host, bool read_only, void *opaque)
{
    if (host)
        g_string_append_printf(opaque, "%016" PRIx64 "-%016" PRIx64 " %s\n", gpa, gpa + size - 1,
                               read_only ? "rom" : "ram");
}

void
hmp_memory_tree(HmpCall *call)
{
    memory_layout_visit(qmp_session_vm(call->session)->machine->layout, memory_tree_one, call->out);
}
