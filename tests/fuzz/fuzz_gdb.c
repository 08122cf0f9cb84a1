/* fuzz_gdb.c - what a debugger sends, to a guest that stands still and has no KVM under it.
 *
 * The first byte says whether addresses are physical ones. Lines for the monitor are left out: that
 * wants a session of QMP.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include <string.h>

#include "launcher/gdb_private.h"
#include "launcher/vcpu_private.h"

enum { RAM = 1 << 20, INPUT_MAX = 1 << 16, CPUS = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Chardev *
make_chardev(FakeMachine *fake)
{
    g_autoptr(GHashTable) props = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    g_hash_table_insert(props, g_strdup("backend"), g_strdup("null"));
    g_hash_table_insert(props, g_strdup("id"), g_strdup("gdb"));
    return chardev_new(fake->machine, props, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FakeMachine *fake;
    Kvm kvm = { .fd = -1, .vm_fd = -1, .xsave_size = 4096 };
    struct kvm_run run = { 0 };
    Vcpu cpus[CPUS] = { 0 };
    Vm vm = { .kvm = &kvm, .state = VM_PAUSED, .exit_status = -1 };
    Chardev *chardev;
    Gdb *gdb;

    if (size < 2 || size > INPUT_MAX)
        return 0;
    fake = fake_machine_new(RAM, NULL);
    vm.machine = fake->machine;
    vm.vcpus = g_ptr_array_new();
    for (unsigned i = 0; i < CPUS; i++) {
        cpus[i].kvm = &kvm;
        cpus[i].run = &run;
        cpus[i].fd = -1;
        cpus[i].index = i;
        g_mutex_init(&cpus[i].lock);
        g_cond_init(&cpus[i].changed);
        g_ptr_array_add(vm.vcpus, &cpus[i]);
    }
    chardev = make_chardev(fake);
    gdb = gdb_new(&vm, NULL);
    gdb->chardev = chardev;
    gdb->thread = gdb->stop_thread = 1;
    gdb->physical = data[0] & 1;
    for (size_t i = 1; i < size; i++)
        if (gdb_parser_feed(&gdb->in, data[i]) == GDB_INPUT_PACKET &&
            strncmp((char *)gdb->in.data->data, "qRcmd", 5) != 0) {
            gdb_command(gdb, (char *)gdb->in.data->data, gdb->in.data->len);
            vm.state = VM_PAUSED;
            g_byte_array_set_size(gdb->out, 0);
        }
    gdb_free(gdb);
    chardev_free(chardev);
    for (unsigned i = 0; i < CPUS; i++) {
        g_mutex_clear(&cpus[i].lock);
        g_cond_clear(&cpus[i].changed);
    }
    g_ptr_array_unref(vm.vcpus);
    fake_machine_free(fake);
    return 0;
}
