/* vm.c - making a guest from its options, in the order in which the parts need each other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/dirty_rate.h"
#include "launcher/vm.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "block/job.h"
#include "hw/pci/board.h"
#include "launcher/keyval.h"
#include "launcher/migration.h"
#include "launcher/vm_cpus.h"
#include "launcher/vm_firmware.h"
#include "launcher/vm_limits.h"
#include "launcher/vm_secrets.h"
#include "launcher/vm_vnc.h"
#include "util/error.h"

/* As QEMU 7.2 begins. */
enum { MIGRATE_BANDWIDTH = 128 << 20, MIGRATE_DOWNTIME_MS = 300 };

Vm *
vm_new(const Options *options, GError **err)
{
    g_autoptr(Vm) vm = g_new0(Vm, 1);

    g_mutex_init(&vm->requests_lock);
    vm->options = options;
    vm->kernel_fd = vm->initrd_fd = -1;
    vm->exit_status = -1;
    vm->migrate_bandwidth = MIGRATE_BANDWIDTH;
    vm->migrate_downtime = MIGRATE_DOWNTIME_MS;
    vm->fdsets = fdset_new();
    vm->ram = ram_new();
    vm->vcpus = g_ptr_array_new_with_free_func((GDestroyNotify)vcpu_free);
    vm->drive_devices = g_ptr_array_new_with_free_func((GDestroyNotify)json_object_unref);
    for (guint i = 0; i < options->add_fds->len; i++)
        if (!fdset_add_option(vm->fdsets, g_ptr_array_index(options->add_fds, i), err))
            return NULL;
    if (!vm_configure_early(vm, err))
        return NULL;
    return g_steal_pointer(&vm);
}

void
vm_free(Vm *vm)
{
    if (!vm)
        return;
    dirty_rate_free(vm->dirty_rate);
    migration_free(vm->migration);
    block_jobs_free(vm->block_jobs);
    g_ptr_array_unref(vm->vcpus);
    vm_cpus_free(vm->cpus);
    g_ptr_array_unref(vm->drive_devices);
    vm_vnc_free(vm->vnc);
    block_secrets_free(vm->secrets);
    g_free(vm->main_loop_id);
    g_free(vm->stdio_id);
    g_clear_pointer(&vm->tls_clients, g_hash_table_unref);
    vm_limits_free(vm);
    machine_free(vm->machine);
    kvm_free(vm->kvm);
    ram_free(vm->ram);
    cpu_definition_free(vm->cpu);
    fdset_free(vm->fdsets);
    if (vm->named_fds)
        g_hash_table_unref(vm->named_fds);
    if (vm->kernel_fd >= 0)
        close(vm->kernel_fd);
    if (vm->initrd_fd >= 0)
        close(vm->initrd_fd);
    if (vm->wake)
        g_source_destroy(vm->wake);
    g_clear_pointer(&vm->loop, g_main_loop_unref);
    g_free(vm->request_detail);
    g_mutex_clear(&vm->requests_lock);
    g_free(vm->name);
    g_free(vm);
}

static bool
vm_open_kvm(Vm *vm, GError **err)
{
    const char *device = vm->options->accel ? keyval_text(vm->options->accel, "device") : NULL;
    int fd = device ? fdset_open(vm->fdsets, device, O_RDWR, 0, err) : -1;

    if (device && fd < 0)
        return false;
    vm->kvm = kvm_begin(fd, err);
    return vm->kvm != NULL;
}

static bool
vm_add_memory_backends(Vm *vm, GError **err)
{
    for (guint i = 0; i < vm->options->objects->len; i++) {
        JsonObject *object = g_ptr_array_index(vm->options->objects, i);
        const char *type = keyval_text(object, "qom-type");

        if (!type)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-object: wants a type first: memory-backend-memfd, iothread, "
                                  "rng-random");
        if (g_str_has_prefix(type, "memory-backend-") && !ram_add_backend(vm->ram, object, err))
            return false;
    }
    return true;
}

/* The chipset lays its holes over RAM before either is given to KVM. */
static bool
vm_make_board(Vm *vm, GError **err)
{
    bool done;
    int ret;

    memory_layout_begin(vm->machine->layout);
    done = (!vm_boots_firmware(vm) || vm_add_firmware(vm, err)) &&
           board_create(vm->machine, vm->board, err) && vm_describe_to_firmware(vm, err);
    ret = memory_layout_commit(vm->machine->layout);
    if (done && ret < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret,
                                    "KVM refuses the guest's memory: KVM_SET_USER_MEMORY_REGION");
    return done;
}

static bool
vm_make_machine(Vm *vm, GError **err)
{
    MachineConfig config;
    bool lock = false, done = false;

    if (vm->options->overcommit &&
        !keyval_bool("-overcommit", vm->options->overcommit, "mem-lock", &lock, err))
        return false;
    if (vm_configure(vm, &config, err)) {
        uint64_t memory = 0;

        for (guint i = 0; i < vm->ram->order->len; i++)
            memory += ((RamBackend *)g_ptr_array_index(vm->ram->order, i))->size;
        config.ram_below_4g = MIN(memory, vm->board->ram_low_max);
        config.ram_above_4g = memory - config.ram_below_4g;
        vm->cpus = vm_cpus_new(vm);
        vm->machine = machine_new(&config, &vm_machine_ops, vm, NULL);
        done = ram_map(vm->ram, vm->board->ram_low_max, lock, vm->machine->memory, err);
    }
    for (unsigned i = 0; i < config.n_nodes; i++)
        g_free(config.nodes[i].distances);
    g_free(config.nodes);
    g_free(config.cpus);
    return done;
}

bool
vm_create(Vm *vm, GError **err)
{
    vm->images_away = vm->options->incoming != NULL;
    /* The kernel first: of all that can be missing it is the likeliest. What needs no virtual
     * machine is made while KVM makes that. */
    if (!vm_open_boot_files(vm, err) || !vm_open_kvm(vm, err) || !vm_add_memory_backends(vm, err) ||
        !vm_make_machine(vm, err) || !vm_add_objects(vm, err) || !vm_add_backends(vm, err) ||
        !kvm_finish(vm->kvm, err) || !vm_make_board(vm, err) || !vm_make_vcpus(vm, err) ||
        !vm_add_drive_images(vm, err) || !vm_add_flash(vm, err) || !vm_add_devices(vm, err))
        return false;
    machine_reset(vm->machine);
    if (!vm->options->incoming)
        return vm_boot(vm, err);
    vm->state = VM_INMIGRATE;
    return vm_boot_incoming(vm, err);
}

int
vm_take_fd(Vm *vm, const char *text, GError **err)
{
    char *end;
    gint64 fd = g_ascii_strtoll(text, &end, 10);
    gpointer named;

    if (vm->named_fds && g_hash_table_steal_extended(vm->named_fds, text, NULL, &named))
        return GPOINTER_TO_INT(named);
    if (end == text || *end || fd < 3 || fd > INT32_MAX || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "'%s' is not an open descriptor", text);
        return -1;
    }
    return fd;
}
