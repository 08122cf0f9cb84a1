/* gdb_commands.c - the packets of GDB's remote protocol ("Debugging with GDB", appendix E.2, E.4).
 *
 * A thread is a vCPU, its number one more than the vCPU's. qqemu.PhyMemMode is QEMU's own packet
 * for physical addresses. Leaves out: processes (the protocol's multiprocess extension), non-stop
 * mode, tracepoints, files. A packet that is not known gets the empty answer, as the protocol wants
 * it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "launcher/gdb_private.h"
#include "launcher/gdb_registers.h"
#include "launcher/hmp.h"
#include "launcher/vm_memory.h"

#define GDB_E_PACKET "E16" /* EINVAL */
#define GDB_E_ADDRESS "E0e"
enum { CONSOLE_PIECE = 2048 };

static void
answer(Gdb *gdb, int ret)
{
    if (ret == -ENOTSUP)
        gdb_send(gdb, "");
    else if (ret < 0)
        gdb_printf(gdb, "E%02x", (unsigned)-ret & 0xff);
    else
        gdb_send(gdb, "OK");
}

/* ---- registers ---- */

static void
command_read_registers(Gdb *gdb)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GdbRegisters) r = { 0 };
    uint8_t value[GDB_REGISTER_MAX];
    int ret = gdb_registers_load(&r, gdb->vm->kvm, gdb_vcpu(gdb, gdb->thread));

    for (unsigned i = 0; ret == 0 && i < gdb_register_count(); i++)
        gdb_hex_append(out, value, gdb_register_get(&r, i, value));
    if (ret < 0)
        answer(gdb, ret);
    else
        gdb_send(gdb, out->str);
}

static void
command_write_registers(Gdb *gdb, const char *text)
{
    g_auto(GdbRegisters) r = { 0 };
    uint8_t value[GDB_REGISTER_MAX];
    Vcpu *vcpu = gdb_vcpu(gdb, gdb->thread);
    int ret = gdb_registers_load(&r, gdb->vm->kvm, vcpu);

    for (unsigned i = 0; ret == 0 && i < gdb_register_count() && *text; i++) {
        size_t bytes = gdb_register_get(&r, i, value);
        g_autofree char *digits = g_strndup(text, 2 * bytes);

        if (!gdb_hex_bytes(digits, value, bytes) || !gdb_register_set(&r, i, value))
            ret = -EINVAL;
        text += strlen(digits);
    }
    answer(gdb, ret < 0 ? ret : gdb_registers_store(&r, vcpu));
}

/* "P12=…" and "p12" */
static void
command_register(Gdb *gdb, const char *text, bool write)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GdbRegisters) r = { 0 };
    uint8_t value[GDB_REGISTER_MAX];
    Vcpu *vcpu = gdb_vcpu(gdb, gdb->thread);
    uint64_t n;
    size_t bytes;
    int ret;

    if (!gdb_hex_number(&text, &n) || n >= gdb_register_count() || *text != (write ? '=' : '\0')) {
        gdb_send(gdb, GDB_E_PACKET);
        return;
    }
    ret = gdb_registers_load(&r, gdb->vm->kvm, vcpu);
    if (ret < 0) {
        answer(gdb, ret);
        return;
    }
    bytes = gdb_register_get(&r, (unsigned)n, value);
    if (!write) {
        gdb_hex_append(out, value, bytes);
        gdb_send(gdb, out->str);
        return;
    }
    if (!gdb_hex_bytes(text + 1, value, bytes) || !gdb_register_set(&r, (unsigned)n, value))
        ret = -EINVAL;
    answer(gdb, ret < 0 ? ret : gdb_registers_store(&r, vcpu));
}

/* ---- memory ---- */

static int
memory_access(Gdb *gdb, uint64_t address, uint8_t *data, size_t len, bool write)
{
    Vm *vm = gdb->vm;

    if (!gdb->physical)
        return vm_memory_access(vm, gdb_vcpu(gdb, gdb->thread), address, data, len, write);
    return write ? vm_memory_write(vm, address, data, len) : vm_memory_read(vm, address, data, len);
}

/* "ADDRESS,LENGTH" and what stands behind it. */
static const char *
memory_place(const char *text, char end, uint64_t *ret_address, uint64_t *ret_len)
{
    if (!gdb_hex_number(&text, ret_address) || *text++ != ',' || !gdb_hex_number(&text, ret_len) ||
        *text != end)
        return NULL;
    return end ? text + 1 : text;
}

static void
command_read_memory(Gdb *gdb, const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint8_t data[GDB_PACKET_MAX / 2];
    uint64_t address, len;

    if (!memory_place(text, '\0', &address, &len)) {
        gdb_send(gdb, GDB_E_PACKET);
        return;
    }
    len = MIN(len, sizeof(data));
    if (memory_access(gdb, address, data, len, false) < 0) {
        gdb_send(gdb, GDB_E_ADDRESS);
        return;
    }
    gdb_break_hide(gdb, address, data, len);
    gdb_hex_append(out, data, len);
    gdb_send(gdb, out->str);
}

static void
memory_put(Gdb *gdb, uint64_t address, uint8_t *data, size_t len)
{
    if (len > 0 && memory_access(gdb, address, data, len, true) < 0) {
        gdb_send(gdb, GDB_E_ADDRESS);
        return;
    }
    gdb_break_written(gdb, address, data, len);
    gdb_send(gdb, "OK");
}

static void
command_write_memory(Gdb *gdb, const char *text)
{
    uint8_t data[GDB_PACKET_MAX / 2];
    uint64_t address, len;

    text = memory_place(text, ':', &address, &len);
    if (text && len <= sizeof(data) && gdb_hex_bytes(text, data, len))
        memory_put(gdb, address, data, len);
    else
        gdb_send(gdb, GDB_E_PACKET);
}

/* As the former, binary. */
static void
command_write_binary(Gdb *gdb, char *text, size_t packet)
{
    uint64_t address, len;
    const char *from = memory_place(text, ':', &address, &len);
    char *data = from ? text + (from - text) : NULL;

    if (data && gdb_unescape((uint8_t *)data, packet - (size_t)(from - text)) == len)
        memory_put(gdb, address, (uint8_t *)data, len);
    else
        gdb_send(gdb, GDB_E_PACKET);
}

/* "0,ADDRESS,LENGTH" behind Z or z; conditions behind that are GDB's to look at. */
static void
command_break(Gdb *gdb, const char *text, bool insert)
{
    uint64_t kind, address, len;

    if (!gdb_hex_number(&text, &kind) || *text++ != ',' || !gdb_hex_number(&text, &address) ||
        *text++ != ',' || !gdb_hex_number(&text, &len)) {
        gdb_send(gdb, GDB_E_PACKET);
        return;
    }
    kind = MIN(kind, GDB_WATCH_ACCESS + 1u);
    answer(gdb, insert ? gdb_break_insert(gdb, (GdbBreakKind)kind, address, len)
                       : gdb_break_remove(gdb, (GdbBreakKind)kind, address, len));
}

/* ---- threads ---- */

/* "g1": of registers and memory; "c-1": of running. */
static void
command_select(Gdb *gdb, const char *text)
{
    bool runs = *text == 'c', all = text[0] != '\0' && text[1] == '-';
    const char *at = *text ? text + 1 : text;
    uint64_t thread = 0;

    if ((!runs && *text != 'g') || (!all && !gdb_hex_number(&at, &thread)) ||
        !gdb_vcpu(gdb, (unsigned)MIN(thread, UINT32_MAX))) {
        gdb_send(gdb, GDB_E_PACKET);
        return;
    }
    if (runs)
        gdb->run_thread = (unsigned)thread;
    else
        gdb->thread = thread ? (unsigned)thread : gdb->stop_thread;
    gdb_send(gdb, "OK");
}

static void
command_is_alive(Gdb *gdb, const char *text)
{
    uint64_t thread;

    gdb_send(gdb, gdb_hex_number(&text, &thread) && thread > 0 &&
                          gdb_vcpu(gdb, (unsigned)MIN(thread, UINT32_MAX))
                      ? "OK"
                      : GDB_E_PACKET);
}

static void
query_threads(Gdb *gdb)
{
    g_autoptr(GString) out = g_string_new("m");

    for (guint i = 0; i < gdb->vm->vcpus->len; i++)
        g_string_append_printf(out, "%s%x", i ? "," : "",
                               vcpu_index(g_ptr_array_index(gdb->vm->vcpus, i)) + 1);
    gdb_send(gdb, out->str);
}

static void
query_thread_name(Gdb *gdb, const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *name = NULL;
    uint64_t thread;
    Vcpu *vcpu =
        gdb_hex_number(&text, &thread) ? gdb_vcpu(gdb, (unsigned)MIN(thread, UINT32_MAX)) : NULL;

    if (!vcpu) {
        gdb_send(gdb, GDB_E_PACKET);
        return;
    }
    name = g_strdup_printf("CPU#%u, APIC id %u", vcpu_index(vcpu), vcpu_apic_id(vcpu));
    gdb_hex_append(out, (const uint8_t *)name, strlen(name));
    gdb_send(gdb, out->str);
}

/* ---- queries ---- */

static void
query_supported(Gdb *gdb, const char *text)
{
    gdb->knows_breaks = strstr(text, "swbreak+") && strstr(text, "hwbreak+");
    gdb_printf(gdb,
               "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;"
               "hwbreak+",
               (unsigned)GDB_PACKET_MAX);
}

/* "target.xml:OFFSET,LENGTH" */
static void
query_features(Gdb *gdb, const char *text)
{
    static const char name[] = "target.xml:";
    g_autofree char *xml = gdb_registers_xml();
    g_autoptr(GString) out = g_string_new(NULL);
    uint64_t offset, len, size = strlen(xml);

    if (!g_str_has_prefix(text, name)) {
        gdb_send(gdb, "E00");
        return;
    }
    if (!memory_place(text + strlen(name), '\0', &offset, &len) || offset > size) {
        gdb_send(gdb, GDB_E_PACKET);
        return;
    }
    len = MIN(len, GDB_PACKET_MAX / 2);
    g_string_append_c(out, offset + len < size ? 'm' : 'l');
    g_string_append_len(out, xml + offset, (gssize)MIN(len, size - offset));
    gdb_send_bytes(gdb, out->str, out->len);
}

/* "monitor …": what it says goes before the answer. */
static void
query_monitor(Gdb *gdb, const char *text)
{
    size_t len = strlen(text) / 2;
    g_autofree char *line = g_malloc0(len + 1);
    g_autoptr(GString) said = g_string_new(NULL);

    if (!gdb_hex_bytes(text, (uint8_t *)line, len)) {
        gdb_send(gdb, GDB_E_PACKET);
        return;
    }
    hmp_run(gdb->session, line, said);
    for (size_t at = 0; at < said->len; at += CONSOLE_PIECE) {
        g_autoptr(GString) out = g_string_new("O");

        gdb_hex_append(out, (const uint8_t *)said->str + at, MIN(CONSOLE_PIECE, said->len - at));
        gdb_send(gdb, out->str);
    }
    gdb_send(gdb, "OK");
}

static void
command_query(Gdb *gdb, const char *text)
{
    static const struct {
        const char *prefix;
        void (*run)(Gdb *gdb, const char *rest);
    } queries[] = {
        { "Supported", query_supported },
        { "Xfer:features:read:", query_features },
        { "Rcmd,", query_monitor },
        { "ThreadExtraInfo,", query_thread_name },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(queries); i++)
        if (g_str_has_prefix(text, queries[i].prefix)) {
            queries[i].run(gdb, text + strlen(queries[i].prefix));
            return;
        }
    if (strcmp(text, "fThreadInfo") == 0)
        query_threads(gdb);
    else if (strcmp(text, "sThreadInfo") == 0)
        gdb_send(gdb, "l");
    else if (strcmp(text, "C") == 0)
        gdb_printf(gdb, "QC%x", gdb->thread);
    else if (g_str_has_prefix(text, "Attached"))
        gdb_send(gdb, "1");
    else if (strcmp(text, "qemu.PhyMemMode") == 0)
        gdb_send(gdb, gdb->physical ? "1" : "0");
    else
        gdb_send(gdb, "");
}

static void
command_set(Gdb *gdb, const char *text)
{
    static const char physical[] = "qemu.PhyMemMode:";

    if (strcmp(text, "StartNoAckMode") == 0) {
        gdb_send(gdb, "OK");
        gdb->no_ack = true;
    } else if (g_str_has_prefix(text, physical)) {
        gdb->physical = text[strlen(physical)] != '0';
        gdb_send(gdb, "OK");
    } else {
        gdb_send(gdb, "");
    }
}

static void
command_v(Gdb *gdb, const char *text)
{
    if (strcmp(text, "Cont?") == 0) {
        gdb_send(gdb, "vCont;c;C;s;S");
    } else if (g_str_has_prefix(text, "Cont;")) {
        gdb_run_vcont(gdb, text + strlen("Cont;"));
    } else if (g_str_has_prefix(text, "Kill")) {
        gdb_send(gdb, "OK");
        vm_quit(gdb->vm, "host-ui", false, 0);
    } else if (strcmp(text, "CtrlC") == 0) {
        gdb_send(gdb, "OK");
        vm_pause(gdb->vm, VM_PAUSED);
    } else {
        gdb_send(gdb, "");
    }
}

static void
command_detach(Gdb *gdb)
{
    g_autoptr(GError) err = NULL;

    gdb_break_remove_all(gdb);
    g_array_set_size(gdb->hits, 0);
    for (guint i = 0; i < gdb->vm->vcpus->len; i++)
        gdb_break_arm(gdb, g_ptr_array_index(gdb->vm->vcpus, i), false);
    gdb_send(gdb, "OK");
    if (!vm_resume(gdb->vm, &err))
        vm_warn("gdb: %s", err->message);
}

/* c and s with an address to begin at are of a time before registers could be written; the signal
 * of C and S means nothing to a machine. */
static void
command_run(Gdb *gdb, const char *text)
{
    if ((*text == 'c' || *text == 's') && text[1])
        gdb_send(gdb, GDB_E_PACKET);
    else
        gdb_run_all(gdb, g_ascii_tolower(*text));
}

void
gdb_command(Gdb *gdb, char *text, size_t len)
{
    const char *rest = len > 0 ? text + 1 : text;

    switch (*text) {
    case '?':
        gdb_tell_stop(gdb, gdb_stop_signal(gdb));
        break;
    case 'g':
        command_read_registers(gdb);
        break;
    case 'G':
        command_write_registers(gdb, rest);
        break;
    case 'p':
    case 'P':
        command_register(gdb, rest, *text == 'P');
        break;
    case 'm':
        command_read_memory(gdb, rest);
        break;
    case 'M':
        command_write_memory(gdb, rest);
        break;
    case 'X':
        command_write_binary(gdb, text + 1, len - 1);
        break;
    case 'Z':
    case 'z':
        command_break(gdb, rest, *text == 'Z');
        break;
    case 'c':
    case 's':
    case 'C':
    case 'S':
        command_run(gdb, text);
        break;
    case 'H':
        command_select(gdb, rest);
        break;
    case 'T':
        command_is_alive(gdb, rest);
        break;
    case 'q':
        command_query(gdb, rest);
        break;
    case 'Q':
        command_set(gdb, rest);
        break;
    case 'v':
        command_v(gdb, rest);
        break;
    case 'D':
        command_detach(gdb);
        break;
    case 'k':
        vm_quit(gdb->vm, "host-ui", false, 0);
        break;
    default:
        gdb_send(gdb, "");
    }
}
