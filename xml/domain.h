/* domain.h - <domain>: the definition of a guest (libvirt formatdomain, schema domain.rng of 9.0).
 *
 * What is legal libvirt XML but not understood stands whole in the kept lists, is printed again in
 * its place, and is named by domain_def_unsupported() when the guest is to be started.
 *
 * Automatic choices that differ from libvirt's QEMU driver: a guest without a machine type gets the
 * q35 board, a USB controller without a model is the board's usual one (qemu-xhci on q35), a SCSI
 * controller without one is virtio-scsi, virtio consoles get an address as channels do, and hubs
 * are not added when USB ports run out. What is only kept gets no address.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_H
#define KILN_XML_DOMAIN_H

#include "xml/domain_char.h"
#include "xml/domain_cpu.h"
#include "xml/domain_device.h"
#include "xml/domain_disk.h"
#include "xml/domain_graphics.h"
#include "xml/domain_net.h"
#include "xml/domain_os.h"
#include "xml/domain_other.h"
#include "xml/domain_tune.h"

typedef enum {
    DOMAIN_VIRT_NONE,
    DOMAIN_VIRT_QEMU,
    DOMAIN_VIRT_KQEMU,
    DOMAIN_VIRT_KVM,
    DOMAIN_VIRT_XEN,
    DOMAIN_VIRT_LXC,
    DOMAIN_VIRT_UML,
    DOMAIN_VIRT_OPENVZ,
    DOMAIN_VIRT_TEST,
    DOMAIN_VIRT_VMWARE,
    DOMAIN_VIRT_HYPERV,
    DOMAIN_VIRT_VBOX,
    DOMAIN_VIRT_PHYP,
    DOMAIN_VIRT_VZ,
    DOMAIN_VIRT_BHYVE,
    DOMAIN_VIRT_HVF,
} DomainVirtType;

typedef struct {
    char *model; /* "dac", "apparmor" … */
    int type;    /* 0, 1 dynamic, 2 static, 3 none */
    int relabel; /* yes/no */
    char *label, *imagelabel, *baselabel;
} DomainSeclabel;

typedef struct {
    int virt_type;     /* DomainVirtType; always set */
    uint64_t id;       /* live; XML_UNSET: not running */
    char *name;        /* always set */
    char *uuid;        /* set after completion */
    int genid_present; /* 0 or 1 */
    char *genid;       /* UUID text; set after completion when present */
    char *title, *description;
    char *metadata;                        /* the whole element as XML */
    uint64_t max_memory, max_memory_slots; /* KiB; hotplug limit */
    uint64_t memory;                       /* KiB; set after completion, a multiple of 1024 */
    int dump_core;                         /* on/off */
    uint64_t current_memory;               /* KiB; set after completion, at most @memory */
    DomainBlkiotune *blkiotune;            /* NULL when it would say nothing */
    DomainMemtune *memtune;                /* NULL when it would say nothing */
    DomainMemoryBacking *memory_backing;
    uint64_t vcpus;     /* at most 65535; set after completion */
    int vcpu_placement; /* 0, 1 static, 2 auto */
    char *vcpu_cpuset;
    uint64_t vcpus_current;  /* absent: all */
    GPtrArray *vcpu_list;    /* DomainVcpu; empty or one per vCPU */
    uint64_t iothreads;      /* count; set after completion when there are any */
    GPtrArray *iothread_ids; /* DomainIothread; @iothreads long after completion */
    int default_iothread;    /* 0 or 1 */
    uint64_t default_pool_min, default_pool_max;
    DomainCputune *cputune;
    DomainNumatune *numatune;
    char *partition; /* <resource> */
    char *fc_appid;
    char *bootloader, *bootloader_args;
    DomainOs os;
    DomainFeatures *features;
    DomainCpu *cpu;
    DomainClock clock;
    int on_poweroff, on_reboot, on_crash; /* DomainLifecycleAction; set after completion */
    int on_lockfailure;                   /* 0, 1 poweroff, 2 restart, 3 pause, 4 ignore */
    int pm;                               /* 0 or 1: <pm> is there */
    int pm_mem, pm_disk;                  /* yes/no */
    GPtrArray *perf_events;               /* DomainPerfEvent */
    char *emulator;                       /* set after completion */
    GPtrArray *disks;                     /* DomainDisk */
    GPtrArray *controllers;               /* DomainController */
    GPtrArray *interfaces;                /* DomainInterface */
    GPtrArray *serials, *parallels, *consoles, *channels; /* DomainChar */
    GPtrArray *inputs;                                    /* DomainInput */
    GPtrArray *tpms;                                      /* DomainTpm */
    GPtrArray *graphics;                                  /* DomainGraphics */
    GPtrArray *sounds;                                    /* DomainSound */
    GPtrArray *audios;                                    /* DomainAudio */
    GPtrArray *videos;                                    /* DomainVideo; the primary one first */
    GPtrArray *redirdevs;                                 /* DomainRedirdev */
    GPtrArray *hubs;                                      /* DomainHub */
    GPtrArray *watchdogs;                                 /* DomainWatchdog */
    DomainBalloon *balloon; /* set after completion (model none if unwanted) */
    GPtrArray *rngs;        /* DomainRng */
    GPtrArray *panics;      /* DomainPanic */
    DomainVsock *vsock;
    GPtrArray *sysinfos;  /* DomainSysinfo */
    GPtrArray *seclabels; /* DomainSeclabel */
    GPtrArray *kept;      /* XmlKept: everything else */
} DomainDef;

typedef struct {
    char *name;
    int enabled; /* yes/no */
} DomainPerfEvent;

/* The root type, for tables that hold a whole <domain> (the daemon's status file). Objects parsed
 * by way of it are neither completed nor checked as a whole: call domain_def_complete(). */
extern const XmlType domain_def_type;

/* What the daemon, not the XML, decides. */
typedef struct {
    const char *emulator; /* absolute path of kiln-vmm */
    const char *machine;  /* board of a guest that names none; NULL: DOMAIN_DEFAULT_MACHINE */
    bool session;         /* a user's own daemon */
} DomainDefaults;

/* What "q35", "pc" and QEMU's versioned names of them become. Names never change their meaning. */
#define DOMAIN_MACHINE_Q35 "kiln-q35-1.0"
#define DOMAIN_MACHINE_PC "kiln-pc-1.0"
#define DOMAIN_DEFAULT_MACHINE DOMAIN_MACHINE_Q35
#define DOMAIN_DEFAULT_CPU "qemu64"

typedef enum {
    DOMAIN_PARSE_VALIDATE = 1 << 0, /* check against the schema first */
    DOMAIN_PARSE_LIVE = 1 << 1,     /* keep what only a running guest has (id, tty paths, taps'
                                     * names, aliases); without it such things are dropped */
} DomainParseFlags;

/* Parses, completes and checks one <domain> (DomainParseFlags). Errors: VIR_ERR_XML_DETAIL (not
 * well formed), VIR_ERR_XML_INVALID_SCHEMA, VIR_ERR_XML_ERROR (illegal or missing values),
 * VIR_ERR_CONFIG_UNSUPPORTED (legal, but never possible here). Any thread. */
DomainDef *domain_def_parse(const char *xml, unsigned flags, const DomainDefaults *defaults,
                            GError **err);

typedef enum {
    DOMAIN_FORMAT_INACTIVE = 1 << 0, /* without what only a running guest has */
    DOMAIN_FORMAT_SECURE = 1 << 1,   /* with passwords */
    DOMAIN_FORMAT_STATUS = 1 << 2,   /* the daemon's own file: everything */
    DOMAIN_FORMAT_JOINED = 1 << 3,   /* for readers: interfaces of networks as what they joined */
} DomainFormatFlags;

/* g_free() the text. */
char *domain_def_format(const DomainDef *def, unsigned flags);

DomainDef *domain_def_copy(const DomainDef *def);
void domain_def_free(DomainDef *def);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DomainDef, domain_def_free)
bool domain_def_equal(const DomainDef *a, const DomainDef *b);

/* Makes the automatic choices that clients read back: UUID, sizes, machine, controllers, targets,
 * addresses, MACs. Done by domain_def_parse(); call it again after changing a definition. What is
 * already chosen stays. Then runs every check. */
bool domain_def_complete(DomainDef *def, const DomainDefaults *defaults, GError **err);

/* Of a complete definition that a client wants to define or create now: refuses what libvirt
 * refuses only then (VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_XML_ERROR), and gives it the processor
 * model that QEMU has without -cpu when it names none, unless @keep_cpu. What is stored without one
 * runs on the host's. */
bool domain_def_as_new(DomainDef *def, bool keep_cpu, GError **err);
bool domain_def_names_cpu(const DomainDef *def);
/* The processor part of domain_def_as_new(). */
bool domain_def_give_cpu(DomainDef *def, GError **err);

/* The model of an interface that names none: rtl8139. For one that is to come to @running (else
 * NULL), a q35, it is virtio: a card of that age finds no slot there while the guest runs. */
void domain_interface_give_model(DomainInterface *net, const DomainDef *running);

/* Refuses, by name (VIR_ERR_CONFIG_UNSUPPORTED), the first thing that Kiln keeps but cannot give a
 * guest. To be asked before starting. */
bool domain_def_unsupported(const DomainDef *def, GError **err);

/* Whether a guest running with @a would see no difference under @b (save, migrate, update). */
bool domain_def_abi_check(const DomainDef *a, const DomainDef *b, GError **err);

/* --- live definitions ------------------------------------------------------------------------- */

/* Gives every device without one its alias, by libvirt's names: virtio-disk0, sata0-0-0, net0,
 * serial0, console0, channel0, pci.1, pcie.0, virtio-serial0, rng0, balloon0, input0, video0. A
 * console that mirrors the first serial gets that one's alias. */
void domain_def_assign_aliases(DomainDef *def);

/* Whether console @index is the first serial seen again, with no device of its own. */
bool domain_def_console_is_serial(const DomainDef *def, unsigned index);
/* Copies what the running guest made known of serial 0 (tty path, alias) to console 0 when that one
 * mirrors it. */
void domain_def_mirror_console(DomainDef *def);

/* --- looking up ------------------------------------------------------------------------------- */

/* Whether the board is one of the PC family of 1996 (i440FX), not a q35. */
bool domain_def_is_pc(const DomainDef *def);
/* 16 bytes of @def's UUID, which must be set. */
void domain_def_uuid(const DomainDef *def, uint8_t ret[16]);

/* The disk under @target, which is @def's; NULL when there is none. */
DomainDisk *domain_def_disk(const DomainDef *def, const char *target);
/* The same for what clients say of a disk: its target, or the path of its image. */
DomainDisk *domain_def_disk_named(const DomainDef *def, const char *name);
/* vCPUs that are on at start. */
unsigned domain_def_vcpus_current(const DomainDef *def);
/* Whether vCPU @index is on and whether it can come or go while the guest runs, with the defaults
 * of those that <vcpus> does not name: the first ones are on, for good. */
void domain_def_vcpu(const DomainDef *def, unsigned index, DomainVcpu *ret);
/* The controller, or NULL. */
DomainController *domain_def_controller(const DomainDef *def, DomainControllerType type,
                                        uint64_t index);
/* Every device info of a device with an own address, in libvirt's order, told with the element's
 * name. Stops and returns false when @visit does. */
typedef bool (*DomainDeviceVisit)(const char *element, void *device, DomainDeviceInfo *info,
                                  void *opaque);
bool domain_def_each_device(DomainDef *def, DomainDeviceVisit visit, void *opaque);

/* Whether @def's devices have automatic I/O threads: the entry of @id, or NULL. */
DomainIothread *domain_def_iothread(const DomainDef *def, uint64_t id);

/* The schema of <domain> as RELAX NG. g_free() the text. */
char *domain_def_schema(void);

#endif
