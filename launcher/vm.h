/* vm.h - one guest: everything kiln-vmm made from its options, and the states it goes through.
 *
 * All functions run in the main thread unless they say otherwise.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_H
#define KILN_LAUNCHER_VM_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/core/machine.h"
#include "hw/pci/board.h"
#include "launcher/cpu_model.h"
#include "launcher/fdset.h"
#include "launcher/kvm.h"
#include "launcher/options.h"
#include "launcher/ram.h"
#include "launcher/topology.h"
#include "launcher/vcpu.h"

/* QMP's RunState; names in vm_state_name(). */
typedef enum {
    VM_PRELAUNCH,
    VM_RUNNING,
    VM_PAUSED,
    VM_SHUTDOWN, /* powered off by the guest, kept by -no-shutdown */
    VM_PANICKED,
    VM_INTERNAL_ERROR,
    VM_IO_ERROR,       /* a disk's werror or rerror is stop */
    VM_WATCHDOG,       /* the watchdog's action is pause */
    VM_INMIGRATE,      /* waits to be loaded, or is (migration.h) */
    VM_FINISH_MIGRATE, /* stands still while it is written */
    VM_POSTMIGRATE,    /* has been written */
    VM_DEBUG,          /* a debugger stopped it */
    VM_SUSPENDED,      /* sleeps (S3): its clocks go on */
} VmState;

/* What follows an act of the guest: -action, -no-reboot, -no-shutdown. */
typedef struct {
    bool reboot_ends, shutdown_pauses;
    int panic;    /* VM_PANIC_* */
    int watchdog; /* index into vm_watchdog_actions */
} VmActions;
enum { VM_PANIC_PAUSE, VM_PANIC_SHUTDOWN, VM_PANIC_EXIT_FAILURE, VM_PANIC_NONE };
extern const char *const vm_watchdog_actions[]; /* NULL-terminated; the first is the default */

typedef struct Vm Vm;
struct Vm {
    const Options *options;
    char *name; /* NULL when not given */
    uint8_t uuid[16];
    bool has_uuid;
    VmActions actions;

    FdSets *fdsets;
    GHashTable *named_fds; /* QMP getfd: name -> descriptor; NULL until used */
    Kvm *kvm;
    Ram *ram;
    Topology topology;
    struct VmCpus *cpus; /* vm_cpus.h; @vcpus has those that are there, in order of index */
    CpuDefinition *cpu;
    bool ignore_msrs; /* those that KVM does not know */
    const Board *board;
    Machine *machine;
    GPtrArray
        *drive_devices; /* of JsonObject: devices of -drive and its like, until they are made */
    GPtrArray *vcpus;   /* of Vcpu */
    int kernel_fd, initrd_fd;

    bool (*need_zstd)(GError **err); /* before an image compressed by it is read; NULL: is there */
    bool (*need_crypto)(GError **err); /* before an encrypted image is opened; NULL: is there */
    char *main_loop_id;                /* of -object main-loop; NULL: none */
    char *stdio_id;                    /* the last chardev on standard input and output */
    struct BlockSecrets *secrets;      /* of -object secret; NULL: none */
    GHashTable *tls_clients;           /* id -> directory of -object tls-creds-x509; NULL: none */
    bool images_away;                  /* another process has the guest's images */
    GHashTable *throttles;             /* char * -> BlockThrottle *: groups; NULL: none */
    VmState state;
    bool booted;                 /* not for the first time: -boot once= is over */
    bool ran;                    /* the guest has run before: its clock has a value to keep */
    struct kvm_clock_data clock; /* while it stands still */
    int64_t clock_offset;        /* CLOCK_MONOTONIC - guest's clock; atomic */
    int64_t stopped_at;          /* guest's clock while it stands still, else -1; atomic */
    GMainLoop *loop;
    struct VmVnc *vnc;            /* NULL without VNC servers */
    struct Migration *migration;  /* the latest; NULL: none yet */
    uint64_t migrate_bandwidth;   /* bytes a second, 0: no limit; atomic */
    uint64_t migrate_downtime;    /* ms that a guest may stand still for; atomic */
    struct BlockJobs *block_jobs; /* NULL: there never was one (block_jobs.h) */
    struct DirtyRate *dirty_rate; /* the latest measurement; NULL: none yet */
    struct Gdb *gdb;              /* NULL: no debugger is waited for (gdb.h) */
    int exit_status;

    GMutex requests_lock; /* guards the next three; taken last */
    uint32_t requests;    /* bits 1 << MachineRequest, and VM_REQUEST_* */
    int request_value;
    char *request_detail;
    GSource *wake;

    /* Sends a QMP event to whoever listens; takes @data. Any thread. NULL until the server is made.
     */
    void (*emit)(void *opaque, const char *name, JsonObject *data);
    void *emit_opaque;
    /* As VcpuOps.confine. */
    bool (*confine)(void *opaque);
};

/* Makes the guest of @options (which must outlive it), ready to run: devices, memory, processors,
 * kernel loaded. What was made by halves is freed by vm_free(). */
Vm *vm_new(const Options *options, GError **err);
bool vm_create(Vm *vm, GError **err);
void vm_free(Vm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vm, vm_free)

/* vm_config.c: what the options say of the machine; the first part needs no KVM. */
bool vm_configure_early(Vm *vm, GError **err);
bool vm_configure(Vm *vm, MachineConfig *ret, GError **err);

/* vm_devices.c: objects, back ends and devices, in the order in which they need each other. */
bool vm_add_objects(Vm *vm, GError **err);
bool vm_add_object(Vm *vm, JsonObject *object, GError **err);
bool vm_add_netdev(Vm *vm, JsonObject *options, GError **err);
bool vm_add_chardev(Vm *vm, JsonObject *options, GError **err);
bool vm_add_backends(Vm *vm, GError **err);
bool vm_add_devices(Vm *vm, GError **err);
/* vm_usb.c: -usb and -usbdevice. */
bool vm_usb_add_controller(Vm *vm, GError **err);
bool vm_usb_add_devices(Vm *vm, GError **err);
bool vm_add_device(Vm *vm, JsonObject *options, GError **err);

/* vm_drives.c: images (-blockdev), and disks by the short options. */
bool vm_add_blockdev(Vm *vm, JsonObject *options, GError **err);
/* Opens @filename to be read, as node @node. */
bool vm_add_image(Vm *vm, const char *node, const char *format, const char *filename, GError **err);
/* The guest's images go over to another process, or come from it. */
bool vm_images_give(Vm *vm, GError **err);
bool vm_images_take(Vm *vm, GError **err);
bool vm_add_drive_images(Vm *vm, GError **err);
/* Makes the board's SATA controller of Q35, which a guest without such drives need not probe. */
bool vm_need_ide(Vm *vm, GError **err);
bool vm_add_drive_devices(Vm *vm, GError **err);

/* The open descriptor that @text names: a number, or a name given by QMP getfd, which it then
 * loses. The caller owns it; -1 with @err. */
int vm_take_fd(Vm *vm, const char *text, GError **err);

/* Makes a character device from the words of -serial and -qmp ("stdio", "unix:PATH,…"). @what names
 * the option in messages. */
bool vm_add_chardev_words(Vm *vm, const char *what, const char *text, const char *id, GError **err);

/* vm_boot.c: loads the kernel and puts all processors to their beginning. vCPUs stand still. */
bool vm_open_boot_files(Vm *vm, GError **err);
bool vm_boot(Vm *vm, GError **err);
/* The same for a guest whose memory and registers will be loaded. */
bool vm_boot_incoming(Vm *vm, GError **err);
/* After board_wake(): by firmware, or where the guest has said. */
bool vm_boot_awake(Vm *vm, GError **err);

/* vm_ops.c: the machine's way to KVM. */
extern const MachineOps vm_machine_ops;
int64_t vm_clock_ns(Vm *vm);

/* vm_run.c */
bool vm_start_vcpus(Vm *vm, GError **err);
/* Keeps all vCPUs out of the guest for a moment, and lets those of a running guest in again. */
void vm_hold_vcpus(Vm *vm);
void vm_release_vcpus(Vm *vm);
/* Lets a running guest, devices too, stand still for a moment that nobody is told of; false: it
 * does not run. vm_rest_end() or vm_pause() follows. */
bool vm_rest(Vm *vm);
void vm_rest_end(Vm *vm);
const char *vm_state_name(VmState state);
/* Lets the guest go on; refuses when it has ended ("stop" and "cont" of QMP). */
bool vm_resume(Vm *vm, GError **err);
void vm_pause(Vm *vm, VmState state);
/* Resets the guest at once. @reason: QMP ShutdownCause. */
bool vm_reset(Vm *vm, bool by_guest, const char *reason, GError **err);
/* Raises a non-maskable interrupt on every vCPU. */
bool vm_inject_nmi(Vm *vm, GError **err);
/* Presses the power button, which wakes a guest that sleeps. */
void vm_powerdown(Vm *vm);
/* Wakes a guest that sleeps; refuses when it does not. */
bool vm_wakeup(Vm *vm, AcpiWake reason, GError **err);
/* Ends the process after the main loop's present turn, with a SHUTDOWN event. */
void vm_quit(Vm *vm, const char *reason, bool by_guest, int status);
/* A request of the guest or a vCPU: carried out in the main loop. Any thread. */
void vm_request(Vm *vm, MachineRequest request, int value);
extern const VcpuOps vm_vcpu_ops;

/* Emits a QMP event; takes @data, which may be NULL. Any thread. */
void vm_emit(Vm *vm, const char *name, JsonObject *data);

/* Prints "kiln-vmm: …" on stderr, with the time before it if -msg asked for that. Any thread. */
void vm_warn(const char *format, ...) G_GNUC_PRINTF(1, 2);
void vm_warn_timestamps(bool on);

#endif
