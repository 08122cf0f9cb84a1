/* machine.h - one guest as the devices see it, and what they ask of whoever runs it.
 *
 * The launcher (over KVM) and the tests (a fake) implement MachineOps, make a Machine, add RAM,
 * make the board (hw/pci/q35.h) and the devices (device.h), and then let vCPUs in.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_MACHINE_H
#define KILN_HW_CORE_MACHINE_H

#include "hw/core/addrmap.h"
#include "hw/core/layout.h"
#include "hw/core/memory.h"

#include <json-glib/json-glib.h>
#include <sys/types.h>

typedef struct Device Device;

/* A message-signalled interrupt: a write of @data to @address. @devid is the requester's bus,
 * device and function. */
typedef struct {
    uint64_t address;
    uint32_t data;
    uint32_t devid;
} MsiMessage;

/* A write that signals a descriptor instead of leaving the guest for long. */
typedef struct {
    bool pio; /* port, or memory */
    uint64_t address;
    unsigned size; /* bytes of the write; 0 takes any size (memory only) */
    bool match;    /* only when the value written is @value */
    uint64_t value;
    int fd; /* eventfd; stays the caller's */
} IoEvent;

/* What the guest has asked for, or what has happened to it. */
typedef enum {
    MACHINE_SHUTDOWN,     /* guest powered itself off */
    MACHINE_RESET,        /* guest asked for a reset */
    MACHINE_SUSPEND,      /* S3 */
    MACHINE_SUSPEND_DISK, /* S4 */
    MACHINE_WAKEUP,       /* the clock's alarm, which wakes a guest that sleeps */
    MACHINE_PANIC,
    MACHINE_POWERDOWN,  /* the power button was pressed for the guest */
    MACHINE_DEBUG_EXIT, /* isa-debug-exit; @value is the exit status */
    MACHINE_IO_ERROR,   /* a disk failed and its policy is to stop the guest */
    MACHINE_WATCHDOG,   /* the guest did not feed its watchdog in time */
    MACHINE_QUIT,       /* who sits at its terminal wants it to end */
} MachineRequest;

/* What devices need from the one who runs them. Every function may be called from any thread, with
 * device locks held, and must not call back into a device. Functions returning int give 0 (or a
 * number) or -errno. All are set unless marked optional. */
typedef struct {
    /* Drives an interrupt line of the IOAPIC and, below 16, of the PICs. */
    void (*set_gsi)(void *host, uint32_t gsi, bool level);

    /* MSI routes. add returns a GSI number. Changes need not take effect before commit, so that
     * several cost one. send delivers a single message without a route. */
    int (*msi_route_add)(void *host, const MsiMessage *msg);
    int (*msi_route_update)(void *host, int gsi, const MsiMessage *msg);
    void (*msi_route_remove)(void *host, int gsi);
    int (*msi_route_commit)(void *host);
    int (*msi_send)(void *host, const MsiMessage *msg);

    /* Lets eventfd @fd raise @gsi. With @resample_fd >= 0 the line is level triggered, and the
     * guest's end-of-interrupt signals @resample_fd. A signal already pending on @fd is delivered.
     */
    int (*irqfd_add)(void *host, int fd, int resample_fd, int gsi);
    int (*irqfd_remove)(void *host, int fd, int gsi);

    int (*ioeventfd_add)(void *host, const IoEvent *event);
    int (*ioeventfd_remove)(void *host, const IoEvent *event);

    /* Optional. Maps host memory that is not guest RAM (a framebuffer, flash) for direct access;
     * returns a slot number. */
    int (*memory_map)(void *host, uint64_t gpa, uint64_t size, void *memory, bool read_only);
    void (*memory_unmap)(void *host, int slot);
    /* Optional. Between the two no vCPU executes guest code; those that do are driven out first.
     * May be called from a vCPU's own thread. */
    void (*memory_begin)(void *host);
    void (*memory_commit)(void *host);
    /* Optional. Begins or ends noting which pages of a slot are written; dirty gives one bit for
     * each page since the last call, in @bytes bytes (a multiple of 8). */
    int (*memory_log)(void *host, int slot, bool on);
    int (*memory_dirty)(void *host, int slot, void *bitmap, size_t bytes);

    /* The request is carried out later, in the main loop. @value: see MachineRequest. */
    void (*request)(void *host, MachineRequest request, int value);

    /* Emits a QMP event; takes @data, which may be NULL. */
    void (*event)(void *host, const char *name, JsonObject *data);

    /* Optional. The guest has ejected processor @index; what the guest says of an event at it, in
     * the words of ACPI's _OST. */
    void (*cpu_ejected)(void *host, unsigned index);
    void (*cpu_status)(void *host, unsigned index, uint32_t event, uint32_t status);

    /* Optional. The guest's clock, nanoseconds: monotonic, stands still while the guest is paused.
     * Default: CLOCK_MONOTONIC. */
    int64_t (*clock_ns)(void *host);
    /* Optional. Nanoseconds since 1970, UTC. Default: CLOCK_REALTIME. */
    int64_t (*wall_ns)(void *host);

    /* Optional. Opens a file named in an option (the launcher resolves /dev/fdset/N). Returns a
     * descriptor that is the caller's, or -1 with @err set. Default: open(2). */
    int (*open_file)(void *host, const char *path, int flags, mode_t mode, GError **err);
} MachineOps;

/* One NUMA node of the guest. */
typedef struct {
    uint64_t memory;    /* bytes */
    uint8_t *distances; /* one per node; NULL: 10 to itself, 20 to others */
} MachineNode;

typedef struct {
    uint32_t apic_id;
    uint32_t node; /* index into MachineConfig.nodes; 0 without NUMA */
    bool present;  /* false: may be plugged in later */
} MachineCpu;

typedef enum { RTC_BASE_UTC, RTC_BASE_LOCALTIME, RTC_BASE_TIME } MachineRtcBase;

/* What the board is told at its making. The machine keeps a deep copy. */
typedef struct {
    const char *name; /* guest's name; may be NULL */
    uint8_t uuid[16];
    uint64_t ram_below_4g;     /* bytes from 0 */
    uint64_t ram_above_4g;     /* bytes from 4 GiB */
    MachineCpu *cpus;          /* those present at the start first; read with __atomic_load_n */
    uint32_t n_cpus, max_cpus; /* present; length of @cpus */
    MachineNode *nodes;        /* NULL without NUMA */
    uint32_t n_nodes;
    uint8_t physical_bits; /* guest physical address width; 0 means 36 */
    bool firmware;         /* firmware boots it, not the launcher */
    bool s3, s4;           /* suspend to RAM, to disk are offered to the guest */
    bool hpet;             /* there is one */
    MachineRtcBase rtc_base;
    int64_t rtc_seconds; /* RTC_BASE_TIME: seconds since 1970, UTC, at the start */
    bool no_i8042;       /* the board has no PS/2 controller */
    bool tco_reboots;    /* Q35: software may let the chipset's watchdog bite */
} MachineConfig;

/* Things that devices are made of, named by id in options. Each kind has its own names. */
typedef enum {
    OBJECT_BLOCK_NODE, /* BlockNode (block/block.h) */
    OBJECT_NETDEV,     /* NetBackend (net/net.h) */
    OBJECT_CHARDEV,    /* Chardev (hw/char/chardev.h) */
    OBJECT_IOTHREAD,   /* IoLoop (util/ioloop.h) */
    OBJECT_RNG,        /* entropy source (hw/virtio) */
    OBJECT_KINDS
} ObjectKind;

typedef struct Bus Bus;
typedef struct PciRoot PciRoot;
typedef struct FwCfg FwCfg;

struct Machine {
    const MachineOps *ops;
    void *host; /* first argument of every op */
    MachineConfig config;
    GMainContext *context; /* main loop: timers, character devices */
    GuestMemory *memory;
    AddressMap *mmio, *pio;
    const struct Board *board; /* hw/pci/board.h; set by board_create() */
    uint8_t *rom;              /* system firmware, ending at 4 GiB; NULL: none. Borrowed */
    uint64_t rom_size;         /* bytes, whole pages */
    MemoryLayout *layout; /* what lies over RAM and beside it, for direct access */
    PciRoot *pci;  /* set by the board */
    FwCfg *fw_cfg; /* set by the board */
    struct Input *input; /* keys and pointers: hw/input/input.h */
    struct Displays *displays; /* screens: hw/display/display.h */
    bool running;  /* vCPUs may run; main thread */

    /*< private >*/
    GHashTable *objects[OBJECT_KINDS]; /* id -> MachineObject */
    GPtrArray *timers;                 /* DeviceTimer */
    uint8_t default_macs;              /* given out so far */
    GPtrArray *devices;                /* in order of making; owned */
    GMutex devices_lock;               /* while it changes, and for other threads that look */
    GHashTable *devices_by_id;
    GHashTable *buses; /* name -> Bus, owned by their devices */
    GMutex gsi_lock;
    GHashTable *gsi_levels; /* gsi -> how many sources hold it high */
};

/* @context: the main loop, NULL for the default one. Config is copied. */
Machine *machine_new(const MachineConfig *config, const MachineOps *ops, void *host,
                     GMainContext *context);
/* Unrealizes and frees all devices, newest first, then objects, then the maps. No vCPU may be
 * running and all AddressReaders must be gone. NULL is accepted. */
void machine_free(Machine *machine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

/* Adds an object; takes @object, which @destroy (may be NULL) frees with the machine. Refuses an id
 * in use. Main thread, as all of these. */
bool machine_object_add(Machine *machine, ObjectKind kind, const char *id, void *object,
                        GDestroyNotify destroy, GError **err);
void *machine_object_find(Machine *machine, ObjectKind kind, const char *id);
/* Lets it have several users. */
void machine_object_share(Machine *machine, ObjectKind kind, const char *id);
/* Refuses, by name, an object that a device uses. */
bool machine_object_remove(Machine *machine, ObjectKind kind, const char *id, GError **err);
/* Finds an object and marks it used by @user (one user each); NULL with @err when it is missing or
 * has another user. I/O threads may have many users. */
void *machine_object_claim(Machine *machine, ObjectKind kind, const char *id, Device *user,
                           GError **err);
void machine_object_release(Machine *machine, ObjectKind kind, const char *id, Device *user);
const char *machine_object_kind_name(ObjectKind kind);
typedef void (*MachineObjectVisit)(const char *id, void *object, void *opaque);
/* In order of ids. */
void machine_object_visit(Machine *machine, ObjectKind kind, MachineObjectVisit fn, void *opaque);

Device *machine_device_find(Machine *machine, const char *id);
typedef void (*MachineDeviceVisit)(Device *dev, void *opaque);
/* In order of making. Main thread; @fn must neither make nor free a device. */
void machine_device_visit(Machine *machine, MachineDeviceVisit fn, void *opaque);
/* Whether a device can come while the guest runs: some bus takes it. Main thread. */
bool machine_can_hotplug(Machine *machine);

/* Puts every device back to its power-on state, newest first, draining what is in flight. vCPUs
 * must be stopped. Main thread. */
void machine_reset(Machine *machine);

/* Tells all devices that the guest is about to run or has stopped (vCPUs already stand still when
 * it stops; not yet started when it runs). Main thread. */
void machine_set_running(Machine *machine, bool running);

/* Saves the state of all devices, or loads it into the same devices made anew. vCPUs stopped,
 * devices drained by machine_set_running(false). Load refuses, by device and field name, a stream
 * that does not match; the machine must then not be run. Main thread. */
bool machine_save(Machine *machine, GByteArray *out, GError **err);
bool machine_load(Machine *machine, const uint8_t *data, size_t len, GError **err);

/* An interrupt line shared by several sources: it is high while any source holds it so. Keep the
 * struct in the device; zero it and set machine and gsi. Any thread. */
typedef struct {
    Machine *machine;
    uint32_t gsi;
    bool level;
} GsiSource;
enum { GSI_NONE = -1 }; /* as (uint32_t): connected to no line */
void gsi_source_set(GsiSource *source, bool level);
/* Lowers the line and lets go of it; nothing happens when it never had one. */
void gsi_source_disconnect(GsiSource *source);
/* Moves the source to another line, keeping its level. */
void gsi_source_move(GsiSource *source, uint32_t gsi);

/* The address of a network card that was given none: 52:54:00:12:34:56 for the first and so on, as
 * users of QEMU's command line expect. Main thread. */
void machine_default_mac(Machine *machine, uint8_t ret_mac[6]);

int64_t machine_clock_ns(Machine *machine);
int64_t machine_wall_ns(Machine *machine);
int machine_open_file(Machine *machine, const char *path, int flags, mode_t mode, GError **err);

#endif
