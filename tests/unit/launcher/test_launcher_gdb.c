/* test_launcher_gdb.c - the framing of GDB's protocol, and registers between KVM and it.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "launcher/gdb_private.h"
#include "launcher/gdb_registers.h"
#include "launcher/vcpu_private.h"

static GdbInput
feed(GdbParser *parser, const char *text)
{
    GdbInput last = GDB_INPUT_NOTHING;

    for (; *text; text++)
        last = gdb_parser_feed(parser, (uint8_t)*text);
    return last;
}

static void
test_packets(void **state)
{
    GdbParser parser;

    (void)state;
    gdb_parser_init(&parser);
    assert_int_equal(feed(&parser, "+junk$m1,2#fc"), GDB_INPUT_PACKET);
    assert_string_equal((char *)parser.data->data, "m1,2");
    assert_int_equal(feed(&parser, "$m1,2#fd"), GDB_INPUT_DAMAGED);
    assert_int_equal(feed(&parser, "$m1,2#zz"), GDB_INPUT_NOTHING);
    /* the end of one was lost */
    assert_int_equal(feed(&parser, "$m1,$g#67"), GDB_INPUT_PACKET);
    assert_int_equal(parser.data->len, 1);
    assert_int_equal(feed(&parser, "\3"), GDB_INPUT_INTERRUPT);
    assert_int_equal(feed(&parser, "-"), GDB_INPUT_REPEAT);
    /* one that is too long does not come through, whatever its sum is */
    feed(&parser, "$");
    for (int i = 0; i < GDB_PACKET_MAX + 16; i++)
        assert_int_equal(gdb_parser_feed(&parser, 'a'), GDB_INPUT_NOTHING);
    assert_int_equal(feed(&parser, "#00"), GDB_INPUT_DAMAGED);
    assert_true(parser.data->len <= GDB_PACKET_MAX);
    gdb_parser_clear(&parser);
}

static void
test_sending(void **state)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t data[] = { 'a', '}', 3, '}' };

    (void)state;
    gdb_packet_append(out, "OK", 2);
    gdb_packet_append(out, "a#", 2);
    assert_int_equal(out->len, 6 + 7);
    assert_memory_equal(out->data, "$OK#9a$a}\003#e1", 13);
    assert_int_equal(gdb_unescape(data, sizeof(data)), 3);
    assert_memory_equal(data, "a#}", 3);
}

static void
test_numbers(void **state)
{
    const char *at = "ffffffffffffffff,1";
    uint64_t value = 0;
    uint8_t bytes[2];

    (void)state;
    assert_true(gdb_hex_number(&at, &value));
    assert_true(value == UINT64_MAX);
    assert_string_equal(at, ",1");
    assert_false(gdb_hex_number(&at, &value));
    at = "12345678123456781";
    assert_false(gdb_hex_number(&at, &value));
    assert_true(gdb_hex_bytes("0aFf", bytes, 2));
    assert_int_equal(bytes[1], 0xff);
    assert_false(gdb_hex_bytes("0aF", bytes, 2));
    assert_false(gdb_hex_bytes("0aFg", bytes, 2));
}

/* The number by which GDB knows a register: its place in target.xml. */
static unsigned
number_of(const char *name)
{
    g_autofree char *xml = gdb_registers_xml();
    g_autofree char *tag = g_strdup_printf("<reg name=\"%s\"", name);
    const char *end = strstr(xml, tag);
    unsigned n = 0;

    assert_non_null(end);
    for (const char *p = xml; (p = strstr(p, "<reg ")) && p < end; p++)
        n++;
    return n;
}

static void
test_registers(void **state)
{
    g_auto(GdbRegisters) r = { 0 };
    uint8_t value[GDB_REGISTER_MAX] = { 0 };

    (void)state;
    r.xsave_size = GDB_XSAVE_LEGACY;
    r.xsave = g_malloc0(r.xsave_size);
    r.regs.rip = 0x1234;
    r.sregs.cs.selector = 0x8;
    r.sregs.cr0 = 1;
    r.xsave[4] = 0x81; /* FTW: the first and the last hold something */
    assert_int_equal(number_of("rip"), 16);
    assert_int_equal(gdb_register_get(&r, number_of("rip"), value), 8);
    assert_int_equal(value[0] | value[1] << 8, 0x1234);
    assert_int_equal(gdb_register_get(&r, number_of("ftag"), value), 4);
    assert_int_equal(value[0] | value[1] << 8, 0x3ffc);
    assert_int_equal(gdb_register_get(&r, number_of("xmm15"), value), 16);
    assert_int_equal(gdb_register_get(&r, gdb_register_count(), value), 0);

    /* a selector keeps its value with protection on, and moves its base without */
    memset(value, 0, sizeof(value));
    value[0] = 0x10;
    assert_false(gdb_register_set(&r, number_of("cs"), value));
    assert_int_equal(r.sregs.cs.selector, 8);
    r.sregs.cr0 = 0;
    assert_true(gdb_register_set(&r, number_of("cs"), value));
    assert_int_equal(r.sregs.cs.base, 0x100);
    r.changed = 0;
    assert_true(gdb_register_set(&r, number_of("cs"), value));
    assert_int_equal(r.changed, 0);
    value[0] = 0xfc;
    value[1] = 0xff;
    assert_true(gdb_register_set(&r, number_of("ftag"), value));
    assert_int_equal(r.xsave[4], 1);
    assert_false(gdb_register_set(&r, gdb_register_count(), value));
}

/* What debug registers say of a stop; the vCPU has no KVM under it. */
static void
test_stops(void **state)
{
    Kvm kvm = { .fd = -1, .vm_fd = -1 };
    Vcpu vcpu = { .kvm = &kvm, .fd = -1, .index = 2 };
    Vm vm = { .kvm = &kvm };
    struct kvm_debug_exit_arch stop = { .exception = 1, .dr6 = 2 };
    unsigned thread = 3;
    GdbHit hit;
    Gdb *gdb = gdb_new(&vm, NULL);

    (void)state;
    assert_int_equal(gdb_break_insert(gdb, GDB_BREAK_HARDWARE, 0x1000, 1), 0);
    assert_false(gdb_break_judge(gdb, &vcpu, &stop, &hit));
    assert_int_equal(gdb_break_insert(gdb, GDB_WATCH_ACCESS, 0x2002, 4), -EINVAL);
    assert_int_equal(gdb_break_insert(gdb, GDB_WATCH_ACCESS, 0x2008, 8), 0);
    assert_int_equal(gdb_break_insert(gdb, GDB_WATCH_ACCESS, 0x2008, 8), 0);
    assert_int_equal(gdb->breaks->len, 2);
    assert_true(gdb_break_judge(gdb, &vcpu, &stop, &hit));
    assert_int_equal(hit.kind, GDB_HIT_WATCH);
    assert_int_equal(hit.thread, 3);
    assert_int_equal(hit.at.address, 0x2008);
    /* a step is ours only where one was asked for */
    stop.dr6 = 1 << 14;
    assert_false(gdb_break_judge(gdb, &vcpu, &stop, &hit));
    g_array_append_val(gdb->stepping, thread);
    assert_true(gdb_break_judge(gdb, &vcpu, &stop, &hit));
    assert_int_equal(hit.kind, GDB_HIT_STEP);
    assert_int_equal(gdb_break_remove(gdb, GDB_BREAK_HARDWARE, 0x1000, 1), 0);
    assert_int_equal(gdb_break_remove(gdb, GDB_BREAK_HARDWARE, 0x1000, 1), -ENOENT);
    gdb_free(gdb);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets), cmocka_unit_test(test_sending),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_registers),
        cmocka_unit_test(test_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
