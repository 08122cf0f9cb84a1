/* test_launcher_kvm.c - small real programs on real vCPUs: boot states, exits, kicks, resets.
 *
 * The programs below are assembled with the test. They run on any /dev/kvm, also a software one,
 * and talk through two ports: TEXT_PORT prints, EXIT_PORT ends. Without /dev/kvm the tests are
 * skipped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "hw/core/bytes.h"
#include "launcher/boot.h"
#include "launcher/kvm.h"
#include "launcher/ram.h"
#include "launcher/vcpu.h"

enum {
    RAM = 32 << 20,
    TEXT_PORT = 0x3f8,
    EXIT_PORT = 0xf4,
    REGISTER = 0x10000000,
    CODE = 0x1000000,
    COUNTER = 0x300000,
    TRAMPOLINE = 0x8000,
    SKIP_STATUS = 77,
};

/* 64-bit: prints with one string instruction, reads and writes a register in memory, ends with what
 * it read plus one. */
__asm__(".pushsection .rodata\n.balign 16\nguest_long:\n.code64\n"
        "cmp $0x7000, %rsi\n jne 2f\n"
        "lea 1f(%rip), %rsi\n mov $5, %ecx\n mov $0x3f8, %edx\n cld\n rep outsb\n"
        "mov $0x10000000, %ebx\n movl $0x12345678, (%rbx)\n movl 4(%rbx), %eax\n"
        "inc %eax\n mov $0xf4, %edx\n outl %eax, %dx\n"
        "2: hlt\n jmp 2b\n1: .ascii \"long\\n\"\nguest_long_end:\n"
        /* 32-bit: EBX must point to the PVH start info. */
        "guest_pvh:\n.code32\n"
        "cmpl $0x336ec578, (%ebx)\n jne 2f\n mov $0x3f8, %edx\n mov $'P', %al\n outb %al, %dx\n"
        "mov $0xf4, %edx\n mov $7, %eax\n outl %eax, %dx\n2: hlt\n jmp 2b\nguest_pvh_end:\n"
        /* 64-bit: wakes processor 1 with INIT and SIPI, waits for its word, ends. */
        "guest_smp:\n.code64\n"
        "mov $0xfee00000, %ebx\n movl $0x1ff, 0xf0(%rbx)\n movl $0x01000000, 0x310(%rbx)\n"
        "movl $0x4500, 0x300(%rbx)\n"
        "movl $0x01000000, 0x310(%rbx)\n movl $0x4608, 0x300(%rbx)\n"
        "1: cmpl $0x5a, 0x8800\n jne 1b\n"
        "mov $0xf4, %edx\n mov $9, %eax\n outl %eax, %dx\n2: hlt\n jmp 2b\nguest_smp_end:\n"
        /* 16-bit: what processor 1 runs at 0x8000. */
        "guest_ap:\n.code16\n"
        "mov $0x3f8, %dx\n mov $'A', %al\n outb %al, %dx\n"
        "xor %ax, %ax\n mov %ax, %ds\n movl $0x5a, 0x8800\n1: hlt\n jmp 1b\nguest_ap_end:\n"
        /* 64-bit: counts for ever. */
        "guest_count:\n.code64\n1: incq 0x300000\n jmp 1b\nguest_count_end:\n"
        /* 64-bit: an exception without a table to handle it. */
        "guest_fault:\n.code64\n ud2\nguest_fault_end:\n"
        ".code64\n.popsection\n");

#define PROGRAM(name) extern const uint8_t guest_##name[], guest_##name##_end[]
PROGRAM(long);
PROGRAM(pvh);
PROGRAM(smp);
PROGRAM(ap);
PROGRAM(count);
PROGRAM(fault);
#define CODE_OF(name) guest_##name, (size_t)(guest_##name##_end - guest_##name)

typedef struct {
    Kvm *kvm;
    Ram *ram;
    GuestMemory *memory;
    AddressMap *mmio, *pio;
    Topology topology;
    CpuDefinition *cpu;
    Vcpu *vcpus[2];
    IoRegion text, end, reg;
    GMutex lock;
    GCond changed;
    GString *printed;
    int64_t ended; /* value written to EXIT_PORT, -1 before */
    int event;     /* VcpuEvent, -1 before */
    char *detail;
    uint32_t written;
} Fixture;

static void
text_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Fixture *f = opaque;

    (void)offset;
    assert_int_equal(size, 1);
    g_mutex_lock(&f->lock);
    g_string_append_c(f->printed, (char)value);
    g_mutex_unlock(&f->lock);
}

static void
end_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Fixture *f = opaque;

    (void)offset;
    (void)size;
    vcpu_stop(vcpu_current());
    g_mutex_lock(&f->lock);
    f->ended = value;
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
}

static void
reg_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    if (offset == 0)
        ((Fixture *)opaque)->written = value;
}

static uint64_t
reg_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)size;
    return offset == 4 ? 41 : 0;
}

static const IoOps text_ops = { .write = text_write };
static const IoOps end_ops = { .write = end_write };
static const IoOps reg_ops = { .read = reg_read, .write = reg_write };

static void
on_event(void *opaque, Vcpu *vcpu, VcpuEvent event, const char *detail)
{
    Fixture *f = opaque;

    (void)vcpu;
    g_mutex_lock(&f->lock);
    f->event = event;
    g_free(f->detail);
    f->detail = g_strdup(detail);
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
}

static void
check(bool ok, GError *err)
{
    if (!ok)
        fail_msg("%s", err ? err->message : "failed without a reason");
}

static void
add_region(Fixture *f, AddressMap *map, IoRegion *region, const IoOps *ops, uint64_t at,
           uint64_t size)
{
    *region = (IoRegion){ .name = "test", .ops = ops, .opaque = f, .size = size };
    assert_int_equal(address_map_add(map, region, at), 0);
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    g_autoptr(GError) err = NULL;
    g_autoptr(CpuSpec) spec = cpu_spec_parse("host", NULL);
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autofree Cpuid *supported = g_new0(Cpuid, 1);
    const VcpuOps ops = { .opaque = f, .event = on_event };
    const GuestRam *ram;
    size_t n;

    f->printed = g_string_new(NULL);
    f->ended = f->event = -1;
    f->kvm = kvm_begin(-1, &err);
    check(f->kvm && kvm_finish(f->kvm, &err), err);
    f->memory = guest_memory_new();
    f->ram = ram_new();
    assert_int_equal(ram_use(f->ram, NULL, RAM, NULL), RAM);
    check(ram_map(f->ram, UINT64_C(1) << 31, false, f->memory, &err), err);
    ram = guest_memory_list(f->memory, &n);
    for (size_t i = 0; i < n; i++)
        assert_true(kvm_slot_map(f->kvm, ram[i].gpa, ram[i].size, ram[i].host, false) >= 0);
    f->mmio = address_map_new("memory", 0);
    f->pio = address_map_new("ports", 0x10000);
    add_region(f, f->pio, &f->text, &text_ops, TEXT_PORT, 1);
    add_region(f, f->pio, &f->end, &end_ops, EXIT_PORT, 4);
    add_region(f, f->mmio, &f->reg, &reg_ops, REGISTER, 8);
    f->topology = (Topology){ 2, 2, 1, 1, 2, 1 };
    check(cpuid_supported(f->kvm->fd, f->kvm->tsc_deadline, supported, &err), err);
    f->cpu = cpu_define(spec, supported, "/nonexistent", f->kvm->fd, missing, &err);
    check(f->cpu != NULL, err);
    vcpu_init_signals();
    for (unsigned i = 0; i < G_N_ELEMENTS(f->vcpus); i++) {
        f->vcpus[i] = vcpu_new(f->kvm, i, &f->topology, f->cpu, f->mmio, f->pio, &ops, &err);
        check(f->vcpus[i] != NULL, err);
        check(vcpu_start(f->vcpus[i], &err), err);
    }
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(f->vcpus); i++)
        vcpu_free(f->vcpus[i]);
    address_map_free(f->mmio);
    address_map_free(f->pio);
    cpu_definition_free(f->cpu);
    kvm_free(f->kvm);
    guest_memory_free(f->memory);
    ram_free(f->ram);
    g_string_free(f->printed, TRUE);
    g_free(f->detail);
    g_free(f);
    return 0;
}

/* Puts @code where a kernel would be and all processors to their beginning. */
static void
begin(Fixture *f, const uint8_t *code, size_t len, bool long_mode)
{
    static const uint8_t pvh_magic[4] = { 0x78, 0xc5, 0x6e, 0x33 };
    BootEntry entry = {
        .long_mode = long_mode,
        .entry = CODE,
        .argument = long_mode ? BOOT_ZERO_PAGE : BOOT_PVH,
    };
    g_autoptr(GError) err = NULL;

    assert_int_equal(guest_memory_write(f->memory, CODE, code, len), 0);
    assert_int_equal(guest_memory_write(f->memory, BOOT_PVH, pvh_magic, sizeof(pvh_magic)), 0);
    check(boot_write_gdt(f->memory, long_mode, &err), err);
    check(boot_write_page_tables(f->memory, &err), err);
    for (unsigned i = 0; i < G_N_ELEMENTS(f->vcpus); i++)
        check(vcpu_reset(f->vcpus[i], &entry, &err), err);
}

static void
resume(Fixture *f)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(f->vcpus); i++)
        vcpu_resume(f->vcpus[i]);
}

static void
stop(Fixture *f)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(f->vcpus); i++)
        vcpu_stop(f->vcpus[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(f->vcpus); i++)
        vcpu_wait_stopped(f->vcpus[i]);
}

/* Waits until the guest ends or a vCPU gives up. */
static void
wait_end(Fixture *f)
{
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    g_mutex_lock(&f->lock);
    while (f->ended < 0 && f->event < 0 && g_cond_wait_until(&f->changed, &f->lock, deadline))
        continue;
    g_mutex_unlock(&f->lock);
    stop(f);
}

static void
assert_ended(Fixture *f, int64_t value, const char *printed)
{
    if (f->event >= 0)
        fail_msg("event %d: %s", f->event, f->detail ? f->detail : "");
    assert_int_equal(f->ended, value);
    assert_string_equal(f->printed->str, printed);
}

static void
test_long_mode_and_exits(void **state)
{
    Fixture *f = *state;

    begin(f, CODE_OF(long), true);
    resume(f);
    wait_end(f);
    assert_ended(f, 42, "long\n");
    assert_int_equal(f->written, 0x12345678);
}

static void
test_pvh(void **state)
{
    Fixture *f = *state;

    begin(f, CODE_OF(pvh), false);
    resume(f);
    wait_end(f);
    assert_ended(f, 7, "P");
}

static void
run_smp(Fixture *f)
{
    f->ended = f->event = -1;
    g_string_truncate(f->printed, 0);
    assert_int_equal(guest_memory_zero(f->memory, TRAMPOLINE, 4096), 0);
    begin(f, CODE_OF(smp), true);
    assert_int_equal(guest_memory_write(f->memory, TRAMPOLINE, CODE_OF(ap)), 0);
    resume(f);
    wait_end(f);
    assert_ended(f, 9, "A");
}

static void
test_second_processor_and_reset(void **state)
{
    Fixture *f = *state;

    run_smp(f);
    /* After a reset the second processor waits for its start again. */
    kvm_reset_chips(f->kvm);
    run_smp(f);
}

static uint64_t
counter(Fixture *f)
{
    uint64_t n = 0;

    guest_memory_read(f->memory, COUNTER, &n, sizeof(n));
    return n;
}

static void
test_stopped_means_stopped(void **state)
{
    Fixture *f = *state;

    begin(f, CODE_OF(count), true);
    for (int i = 0; i < 50; i++) {
        uint64_t before;

        resume(f);
        while ((before = counter(f)) == 0)
            g_usleep(100);
        stop(f);
        before = counter(f);
        g_usleep(200);
        assert_int_equal(counter(f), before);
        before = 0;
        guest_memory_write(f->memory, COUNTER, &before, sizeof(before));
    }
}

static void
test_triple_fault(void **state)
{
    Fixture *f = *state;

    begin(f, CODE_OF(fault), true);
    resume(f);
    wait_end(f);
    /* A software KVM may fail to emulate the fault instead; it must be told either way. */
    assert_true(f->event == VCPU_TRIPLE_FAULT || f->event == VCPU_FAILED);
    if (f->event == VCPU_FAILED)
        assert_non_null(strstr(f->detail, "rip="));
}

static void
test_routes_and_doorbells(void **state)
{
    Fixture *f = *state;
    int first = kvm_route_alloc(f->kvm), second = kvm_route_alloc(f->kvm);
    int slot, fd;
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_int_equal(first, 24);
    assert_int_equal(second, 25);
    kvm_route_set(f->kvm, first, 0xfee00000, 0x31);
    assert_int_equal(kvm_route_commit(f->kvm), 0);
    kvm_route_free(f->kvm, first);
    assert_int_equal(kvm_route_alloc(f->kvm), first);
    fd = memfd_create("not-an-eventfd", 0);
    assert_true(kvm_irqfd(f->kvm, second, fd, -1, true) < 0);
    assert_true(kvm_ioeventfd(f->kvm, fd, REGISTER, 4, false, false, 0, true) < 0);
    close(fd);
    slot = kvm_slot_map(f->kvm, 0xd0000000, 4096, page, true);
    assert_true(slot >= 0);
    assert_true(kvm_slot_map(f->kvm, 0xd0000000, 4096, page, true) < 0);
    assert_int_equal(kvm_slot_unmap(f->kvm, slot), 0);
    assert_int_equal(kvm_slot_unmap(f->kvm, slot), -ENOENT);
    munmap(page, 4096);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_long_mode_and_exits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pvh, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_processor_and_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopped_means_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_triple_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_routes_and_doorbells, setup, teardown),
    };

    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        print_message("skipped: /dev/kvm: %s\n", strerror(errno));
        return SKIP_STATUS;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
