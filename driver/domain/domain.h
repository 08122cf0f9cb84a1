/* domain.h - guests as the daemon knows them: the registry of domains, their life, and what can be
 * asked of one.
 *
 * Follows libvirt's domain objects (formatdomain, virDomain* API of libvirt 9.0). A Domain is
 * reference-counted and stays readable after it left the registry.
 *
 * Threads: every function may be called from any thread but the manager's own (the callbacks of
 * DomainOps run there or in the caller's thread; they must not call back into a change). A query
 * takes the domain's short state lock and never waits for a change. A change (start, destroy,
 * define ...) takes the domain's job first: one at a time for a domain, in order of arrival, at
 * most 30 s of waiting, then VIR_ERR_OPERATION_TIMEOUT. Orders of locks: private.h, struct Domain.
 *
 * Errors are GErrors in KILN_ERROR with libvirt's codes. ret_ parameters are untouched on failure.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_DOMAIN_H
#define KILN_DRIVER_DOMAIN_DOMAIN_H

#include <glib.h>
#include <libvirt/libvirt.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/node/node.h"
#include "network/network.h"

typedef struct DomainManager DomainManager;
typedef struct Domain Domain;

/* What holds of VNC screens whose definitions say nothing else. */
typedef struct {
    const char *listen;   /* address; NULL: 127.0.0.1 */
    const char *password; /* NULL: none */
    const char *tls_dir;  /* the server's credentials; NULL: libvirt-vnc/ or qemu/ of pki_dir */
    bool tls;             /* viewers have to use TLS … */
    bool tls_verify;      /* … and to show a certificate */
} DomainVncConfig;

/* Where things are and who runs them. Strings are copied by domain_manager_new(). */
typedef struct {
    const char *config_dir; /* /etc/kiln/domains: NAME.xml and autostart/ links */
    const char *run_dir;    /* /run/kiln/domain: NAME.status, NAME.monitor, autostart marker */
    const char *lib_dir;    /* /var/lib/kiln: channel/NAME/ sockets */
    const char *log_dir;    /* /var/log/kiln: NAME.log */
    const char *pki_dir;    /* /etc/pki: libvirt-nbd/, libvirt-vnc/ or qemu/ with TLS credentials */
    const char *hook_program; /* /etc/kiln/hooks/qemu; need not exist. NULL: no hooks */
    const char *vmm;          /* kiln-vmm, absolute */
    const char *kvm_device;   /* NULL: /dev/kvm */
    const char *cgroup_root;  /* NULL: /sys/fs/cgroup */
    const char *vmm_user;     /* system user that kiln-vmm becomes when @privileged; NULL: none */
    DomainVncConfig vnc;
    bool save_packed; /* saved guests are packed (zstd) */
    bool privileged;  /* system daemon as root; false: session */
} DomainConfig;

/* A typed parameter: a number, unless it has a text. */
typedef struct {
    const char *name;
    uint64_t value;
    const char *text;
    bool negative; /* @value is an int64_t */
} DomainParam;

/* One end of a viewer's connection. */
typedef struct {
    int family; /* virDomainEventGraphicsAddressType */
    const char *node, *service;
} DomainEventAddress;
typedef struct {
    int phase; /* virDomainEventGraphicsPhase */
    DomainEventAddress local, remote;
    const char *auth, *x509_name, *sasl_name; /* "" for none */
} DomainEventGraphics;

/* One thing that happened, as libvirt's event callbacks tell it. */
typedef struct {
    int id;                      /* virDomainEventID */
    const char *name;            /* the domain; valid during the call */
    const uint8_t *uuid;         /* 16 bytes */
    int domain_id;               /* -1: inactive */
    int event, detail;           /* LIFECYCLE: event, detail. AGENT_LIFECYCLE: state, reason.
                                  * METADATA_CHANGE: type, 0. WATCHDOG, IO_ERROR: action, 0.
                                  * TRAY_CHANGE, DISK_CHANGE: reason, 0. Else 0 */
    uint64_t value;              /* BALLOON_CHANGE: KiB now. RTC_CHANGE: offset in seconds.
                                  * BLOCK_THRESHOLD: bytes. MIGRATION_ITERATION: which */
    const char *text;            /* METADATA_CHANGE: namespace URI or NULL. DEVICE_ADDED, _REMOVED,
                                  * _REMOVAL_FAILED, TRAY_CHANGE, DISK_CHANGE, IO_ERROR: the
                                  * device's alias. BLOCK_THRESHOLD: the disk */
    const char *source, *reason; /* IO_ERROR: the disk's source; "enospc" or "". It stands for
                                  * IO_ERROR_REASON, too. DISK_CHANGE: the source it had */
    const char *path;            /* BLOCK_THRESHOLD: of a local image, else NULL */
    uint64_t excess;             /* BLOCK_THRESHOLD: bytes beyond @value */
    const DomainEventGraphics *graphics; /* GRAPHICS */
    const DomainParam *params;           /* TUNABLE */
    unsigned n_params;
    const struct DomainJobProgress *job; /* JOB_COMPLETED */
} DomainEvent;

typedef struct {
    void (*event)(void *opaque, const DomainEvent *event);
    /* Everything that the VMM of the domain told on its monitor, before what follows from it;
     * @data is JSON, NULL when there is none. */
    void (*monitor)(void *opaque, const DomainEvent *domain, const char *name, const char *data);
    /* Something an administrator should find in the log: a definition that could not be read, a
     * guest that died while no daemon ran. */
    void (*warn)(void *opaque, const char *message);
    /* What <cpu mode='host-model'> stands for (node_get_host_model). NULL: not known. */
    const NodeHostModel *(*host_model)(void *opaque, GError **err);
    /* What <smbios mode='host'> stands for (node_get_sysinfo). NULL: not known. */
    char *(*sysinfo)(void *opaque, GError **err);
    /* The path of a storage pool's volume (g_free()), and whether it is a block device. NULL: there
     * are no pools. */
    bool (*volume)(void *opaque, const char *pool, const char *name, char **ret_path,
                   bool *ret_block, GError **err);
    /* The value of a secret, as secret_manager_get_value(). NULL: there are none. */
    GBytes *(*secret)(void *opaque, const char *uuid, int usage_type, const char *usage_id,
                      GError **err);
    /* Whether any is defined. NULL: there are none. */
    bool (*has_secrets)(void *opaque);
} DomainOps;

/* @ops, @opaque and @networks (NULL: guests with taps are refused) must outlive the manager; each
 * callback may be NULL. Touches no file. */
DomainManager *domain_manager_new(const DomainConfig *config, NetworkManager *networks,
                                  const DomainOps *ops, void *opaque);

/* Starts the manager's I/O thread, reads the definitions, takes up the guests that a former daemon
 * left running, clears up after those that died or were half started, and on the host's first start
 * of the daemon since boot starts what is marked autostart (in a thread of the manager; the call
 * does not wait for it). A bad definition is told through warn() and passed over; false only when
 * the thread cannot be started or the directories cannot be used. Call once, before anything else
 * but domain_manager_new(), after the networks are loaded. */
bool domain_manager_load(DomainManager *manager, GError **err);

/* Stops the manager's threads; guests go on running. */
void domain_manager_free(DomainManager *manager);

/* Destroys the guests that @client (any key that callers of create and start chose) asked to be
 * destroyed with it (VIR_DOMAIN_START_AUTODESTROY), and ends its consoles. Does not wait. */
void domain_manager_client_gone(DomainManager *manager, const void *client);

/* Guests that run; for the daemon's idle exit and its status line. */
unsigned domain_manager_count_active(DomainManager *manager);

/* --- finding -------------------------------------------------------------------------------- */

/* A new reference, or NULL with VIR_ERR_NO_DOMAIN (42). @name_hint, which may be NULL, is the name
 * that the client remembers, for the message only. */
Domain *domain_manager_lookup_uuid(DomainManager *manager, const uint8_t uuid[16],
                                   const char *name_hint, GError **err);
Domain *domain_manager_lookup_name(DomainManager *manager, const char *name, GError **err);
Domain *domain_manager_lookup_id(DomainManager *manager, int id, GError **err);

/* Domains (Domain *, references owned by the array) that match @flags, which are
 * virConnectListAllDomainsFlags; groups without a flag do not filter. Sorted by name. */
GPtrArray *domain_manager_list(DomainManager *manager, unsigned flags);

Domain *domain_ref(Domain *domain);
void domain_unref(Domain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Domain, domain_unref)

/* --- reading one ---------------------------------------------------------------------------- */

/* What goes on the wire as remote_nonnull_domain. The name can change (rename). */
char *domain_dup_name(Domain *domain);
const uint8_t *domain_uuid(const Domain *domain);
int domain_id(Domain *domain); /* -1: inactive */

bool domain_is_active(Domain *domain);
bool domain_is_persistent(Domain *domain);
bool domain_is_updated(Domain *domain);
bool domain_autostart(Domain *domain);
/* virDomainState and its reason. */
int domain_state(Domain *domain, int *ret_reason);

typedef struct {
    int state;                   /* virDomainState */
    uint64_t max_memory, memory; /* KiB */
    unsigned vcpus;
    uint64_t cpu_time; /* ns */
} DomainInfo;
void domain_info(Domain *domain, DomainInfo *ret_info);

/* @flags: virDomainXMLFlags. g_free() the result. */
char *domain_xml(Domain *domain, unsigned flags, GError **err);

/* virDomainControlState; @ret_details 0, @ret_ms since the present job began. */
int domain_control_state(Domain *domain, unsigned *ret_details, uint64_t *ret_ms, GError **err);

/* --- changing ------------------------------------------------------------------------------- */

/* Defines persistently (virDomainDefineFlags: VALIDATE). A running guest keeps its live definition
 * until it stops. New reference. */
Domain *domain_manager_define(DomainManager *manager, const char *xml, unsigned flags,
                              GError **err);

/* Starts a transient guest, or a persistent inactive one of the same name and UUID with this XML
 * for the run (virDomainCreateFlags). @client: see domain_manager_client_gone(). New reference. */
Domain *domain_manager_create(DomainManager *manager, const char *xml, unsigned flags,
                              const void *client, GError **err);

bool domain_start(Domain *domain, unsigned flags, const void *client, GError **err);
bool domain_destroy(Domain *domain, unsigned flags, GError **err);  /* virDomainDestroyFlags */
bool domain_shutdown(Domain *domain, unsigned flags, GError **err); /* virDomainShutdownFlags */
bool domain_reboot(Domain *domain, unsigned flags, GError **err);   /* virDomainRebootFlags */
bool domain_reset(Domain *domain, GError **err);
bool domain_suspend(Domain *domain, GError **err);
/* @size bytes of the raw disk with target or source @path; all of them, or an error. */
GBytes *domain_block_peek(Domain *domain, const char *path, uint64_t offset, size_t size,
                          GError **err);
/* Writes a core file, ELF, and does with the guest what @flags (virDomainCoreDumpFlags) say;
 * @format: virDomainCoreDumpFormat. */
bool domain_core_dump(Domain *domain, const char *path, unsigned format, unsigned flags,
                      GError **err);
/* @size bytes of a running guest's memory; @flags: one of virDomainMemoryFlags, linear addresses
 * are the first processor's. */
GBytes *domain_memory_peek(Domain *domain, uint64_t start, size_t size, unsigned flags,
                           GError **err);
/* Wakes a guest that sleeps in memory; its state changes when it has woken. */
bool domain_pm_wakeup(Domain *domain, GError **err);
bool domain_resume(Domain *domain, GError **err);
bool domain_undefine(Domain *domain, unsigned flags, GError **err); /* virDomainUndefineFlags */
bool domain_set_autostart(Domain *domain, bool autostart, GError **err);
bool domain_rename(Domain *domain, const char *name, GError **err);

/* --- devices (attach.c, detach.c, update.c) --------------------------------------------------- */

/* virDomainAttachDeviceFlags, virDomainDetachDeviceFlags, virDomainDetachDeviceAlias and
 * virDomainUpdateDeviceFlags: @xml is that of one device, @flags virDomainDeviceModifyFlags. A
 * detach from a running guest returns when the guest has agreed, or after 5 s; the device goes, and
 * DEVICE_REMOVED comes, when it does. VIR_ERR_DEVICE_MISSING (99), VIR_ERR_OPERATION_UNSUPPORTED
 * for kinds that cannot come, go or change. */
bool domain_attach_device(Domain *domain, const char *xml, unsigned flags, GError **err);
bool domain_detach_device(Domain *domain, const char *xml, unsigned flags, GError **err);
bool domain_detach_alias(Domain *domain, const char *alias, unsigned flags, GError **err);
bool domain_update_device(Domain *domain, const char *xml, unsigned flags, GError **err);

/* --- images of running guests (block_job.c, block_settle.c) ------------------------------------
 */

/* Where a disk is copied to, and how. */
typedef struct {
    const char *xml;                 /* <disk>; NULL: */
    const char *dest;                /* a path */
    bool block, raw;                 /* of @dest: a device; raw whatever the disk's own format */
    uint64_t bandwidth, granularity; /* bytes a second, bytes; 0: as is usual */
    unsigned flags;                  /* virDomainBlockCopyFlags */
} DomainBlockCopy;
bool domain_block_copy(Domain *domain, const char *path, const DomainBlockCopy *how, GError **err);

/* Limits of the disk with target or source @name, one after the other. @flags:
 * virDomainModificationImpact. */
typedef void (*DomainParamTake)(void *opaque, const char *name, uint64_t value, const char *text);
bool domain_block_iotune(Domain *domain, const char *name, unsigned flags, DomainParamTake take,
                         void *opaque, GError **err);
bool domain_set_block_iotune(Domain *domain, const char *name, const DomainParam *params, guint n,
                             unsigned flags, GError **err);

/* @path: the disk's target or source. @size and @bandwidth (bytes a second, 0: no limit) as the
 * call has them; @flags: of the call. VIR_ERR_INVALID_ARG for a disk or an image that is not there,
 * VIR_ERR_BLOCK_COPY_ACTIVE while the disk has a job already. */
bool domain_block_resize(Domain *domain, const char *path, uint64_t size, GError **err);
/* @base: NULL for all images behind the disk's own; a path, or "TARGET[INDEX]". @relative: it is
 * named relative to what lies on it then, as it was; VIR_ERR_OPERATION_INVALID when it was not. */
bool domain_block_pull(Domain *domain, const char *path, const char *base, uint64_t bandwidth,
                       bool relative, GError **err);
bool domain_block_commit(Domain *domain, const char *path, const char *base, const char *top,
                         uint64_t bandwidth, unsigned flags, GError **err);
/* Clients hear of it once when the file of @dev ("vda", or "vda[INDEX]" of an image behind it) is
 * written beyond @bytes; 0: no more. */
bool domain_set_block_threshold(Domain *domain, const char *dev, uint64_t bytes, GError **err);
/* *ret_found: false without @err when the disk has no job. */
typedef struct {
    int type; /* virDomainBlockJobType */
    uint64_t bandwidth, cur, end;
} DomainBlockJob;
bool domain_block_job_info(Domain *domain, const char *path, DomainBlockJob *ret, bool *ret_found,
                           GError **err);
/* @flags: virDomainBlockJobAbortFlags. Without ASYNC it returns when the job is gone. */
bool domain_block_job_abort(Domain *domain, const char *path, unsigned flags, GError **err);
bool domain_block_job_speed(Domain *domain, const char *path, uint64_t bandwidth, GError **err);

/* --- saving (save.c, restore.c, progress.c) ----------------------------------------------------
 */

/* virDomainSaveFlags and virDomainManagedSave: @xml, which may be NULL, takes the place of the
 * definition. */
bool domain_save(Domain *domain, const char *path, const char *xml, unsigned flags, GError **err);
bool domain_managed_save(Domain *domain, const char *xml, unsigned flags, GError **err);
bool domain_has_managed_save(Domain *domain);
bool domain_managed_save_remove(Domain *domain, GError **err);
char *domain_managed_save_xml(Domain *domain, unsigned flags, GError **err);
bool domain_managed_save_define(Domain *domain, const char *xml, unsigned flags, GError **err);
/* virDomainRestoreFlags, virDomainSaveImageGetXMLDesc, virDomainSaveImageDefineXML. */
bool domain_manager_restore(DomainManager *manager, const char *path, const char *xml,
                            unsigned flags, GError **err);
char *domain_save_image_xml(DomainManager *manager, const char *path, unsigned flags, GError **err);
bool domain_save_image_define(DomainManager *manager, const char *path, const char *xml,
                              unsigned flags, GError **err);

typedef struct DomainJobProgress {
    int operation; /* virDomainJobOperation; 0: no such job */
    bool completed;
    uint64_t elapsed_ms;
    uint64_t total, processed, remaining;    /* bytes of memory */
    uint64_t bps;                            /* bytes a second in the latest round */
    uint64_t constant, normal, normal_bytes; /* pages of one value, others, and those' bytes */
    uint64_t page_size, iteration;           /* 0: the job goes through memory in no rounds */
    bool stood_still;                        /* the guest did, for @downtime_ms */
    uint64_t downtime_ms;
} DomainJobProgress;
/* Of a running guest. */
bool domain_job_progress(Domain *domain, DomainJobProgress *ret, GError **err);
/* Of the latest job that was done, of a domain that is not running, too; operation is 0 for none.
 * @keep: the next who asks gets it as well. */
void domain_job_finished(Domain *domain, bool keep, DomainJobProgress *ret);
/* Asks the job to end; does not wait for that. */
bool domain_job_abort(Domain *domain, GError **err);

/* virDomainSendKey: @keys are numbers of @codeset (VIR_KEYCODE_SET_), pressed together and let go
 * after @hold_ms milliseconds (0: a tenth of a second). */
bool domain_send_key(Domain *domain, unsigned codeset, unsigned hold_ms, const unsigned *keys,
                     unsigned n, GError **err);
/* A non-maskable interrupt for the running guest. */
bool domain_inject_nmi(Domain *domain, GError **err);

/* virDomainScreenshot: a descriptor of memory that holds a picture of screen @screen, read from its
 * beginning; the caller's. *ret_mime is constant. -1 with @err. */
int domain_screenshot(Domain *domain, unsigned screen, const char **ret_mime, GError **err);

/* Sends a line to the guest's QMP (@hmp: as human-monitor-command), with @fd unless that is -1, and
 * returns the whole answer as text. g_free() the result. */
char *domain_monitor_command(Domain *domain, const char *command, int fd, bool hmp, GError **err);

/* --- console -------------------------------------------------------------------------------- */

typedef struct DomainConsole DomainConsole;

/* Opens the pty of console, serial or channel @alias (NULL: the first console) for @client, or the
 * socket of a channel (@channel; NULL name: the first). @flags: virDomainConsoleFlags or
 * virDomainChannelFlags. VIR_ERR_OPERATION_FAILED when another client has it and FORCE is not
 * given; with FORCE the other's descriptor sees end of file. */
DomainConsole *domain_open_console(Domain *domain, const char *alias, unsigned flags,
                                   const void *client, GError **err);
DomainConsole *domain_open_channel(Domain *domain, const char *name, unsigned flags,
                                   const void *client, GError **err);

/* The descriptor to read and write, the caller's from now on: EOF or EIO when the guest has gone.
 * Once. */
int domain_console_take_fd(DomainConsole *console);

/* @revoke(@opaque) is called, from any thread, when another client takes the console over, the
 * guest has gone, or the client (domain_manager_client_gone()) has; at once if that was before. It
 * must not free the console. @free_opaque is called last. Once. */
void domain_console_on_revoke(DomainConsole *console, void (*revoke)(void *opaque), void *opaque,
                              GDestroyNotify free_opaque);

/* The client is done: the next one may open it. */
void domain_console_end(DomainConsole *console);

DomainConsole *domain_console_ref(DomainConsole *console);
void domain_console_unref(DomainConsole *console);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DomainConsole, domain_console_unref)

/* --- processors (vcpu.c) ---------------------------------------------------------------------- */

/* virDomainGetVcpusFlags; -1 with @err. */
int domain_vcpu_count(Domain *domain, unsigned flags, GError **err);
/* virDomainSetVcpusFlags and virDomainSetVcpu (vcpu_plug.c); @map names vCPUs, as "1-2,5". */
bool domain_set_vcpus(Domain *domain, unsigned count, unsigned flags, GError **err);
bool domain_set_vcpu(Domain *domain, const char *map, int state, unsigned flags, GError **err);

typedef struct {
    unsigned number;
    int state;         /* virVcpuState */
    uint64_t cpu_time; /* ns */
    int cpu;           /* the host CPU it last ran on; -1 unknown */
    uint64_t wait;     /* ns of waiting for anything, where the kernel counts that */
    uint64_t delay;    /* ns of waiting for a host CPU */
} DomainVcpuInfo;
/* Of a running guest: DomainVcpuInfo each. g_array_unref() it. */
GArray *domain_vcpu_infos(Domain *domain, GError **err);

/* What the hypervisor counts of a processor, in libvirt's names. */
typedef struct {
    unsigned vcpu;
    char *name; /* "halt_exits.sum" */
    bool is_flag;
    uint64_t value;
} DomainVcpuStat;
/* DomainVcpuStat * of all processors, each with those of one behind the other; empty when the guest
 * does not run or its host's KVM does not tell. g_ptr_array_unref() it. */
GPtrArray *domain_vcpu_stats(Domain *domain);

/* Where threads may run. @flags: virDomainModificationImpact. */
typedef enum { DOMAIN_PIN_VCPU, DOMAIN_PIN_EMULATOR, DOMAIN_PIN_IOTHREAD } DomainPinKind;

/* One entry for each vCPU or I/O thread (one for the emulator). */
typedef struct {
    unsigned id;
    char *cpus; /* cpuset; NULL: all of the host */
} DomainPinInfo;
/* GPtrArray of DomainPinInfo *, owned by the array; NULL with @err. */
GPtrArray *domain_pins(Domain *domain, DomainPinKind kind, unsigned flags, GError **err);

/* Binds vCPU or I/O thread @id (ignored for the emulator) to @cpus, a cpuset, in the definitions
 * that
 * @flags name, and the running thread. */
bool domain_pin(Domain *domain, DomainPinKind kind, unsigned id, const char *cpus, unsigned flags,
                GError **err);

/* --- I/O threads (iothread.c) ----------------------------------------------------------------- */

/* virDomainAddIOThread, virDomainDelIOThread. @flags: virDomainModificationImpact. */
bool domain_add_iothread(Domain *domain, unsigned id, unsigned flags, GError **err);
bool domain_del_iothread(Domain *domain, unsigned id, unsigned flags, GError **err);

/* XML_UNSET and XML_UNSET_INT (xml/xmltab.h) stay as they are; pools of -1 are the VMM's choice. */
typedef struct {
    uint64_t poll_max_ns, poll_grow, poll_shrink;
    int64_t pool_min, pool_max;
} DomainIothreadParams;
bool domain_set_iothread(Domain *domain, unsigned id, const DomainIothreadParams *params,
                         unsigned flags, GError **err);

typedef struct {
    unsigned id;
    uint64_t poll_max_ns;
    unsigned poll_grow, poll_shrink;
} DomainIothreadStats;
/* DomainIothreadStats each, of a running guest. g_array_unref() it. */
GArray *domain_iothread_stats(Domain *domain, GError **err);

/* --- counters of perf (perf.c) ---------------------------------------------------------------- */

enum { DOMAIN_PERF_EVENTS = 22 };
/* libvirt's name; NULL when there is no event of that number. */
const char *domain_perf_name(unsigned event);
/* virDomainGetPerfEvents, virDomainSetPerfEvents: 1 on, 0 off, -1 as it is. @flags:
 * virDomainModificationImpact. */
bool domain_perf_events(Domain *domain, unsigned flags, bool ret[DOMAIN_PERF_EVENTS], GError **err);
bool domain_set_perf_events(Domain *domain, const int wanted[DOMAIN_PERF_EVENTS], unsigned flags,
                            GError **err);
/* Calls @take with each counter of a running guest that is on. */
typedef void (*DomainPerfTake)(void *opaque, const char *name, uint64_t value);
void domain_perf_stats(Domain *domain, DomainPerfTake take, void *opaque);

/* --- tuning as it is (params.c) --------------------------------------------------------------- */

/* Whether guests can be tuned by the host's scheduler; false: not at all, and why in @err. */
bool domain_can_schedule(Domain *domain, GError **err);

/* Whose period and quota. */
typedef enum {
    DOMAIN_CPU_LIMIT_VCPU,
    DOMAIN_CPU_LIMIT_EMULATOR,
    DOMAIN_CPU_LIMIT_GLOBAL,
    DOMAIN_CPU_LIMIT_IOTHREAD,
    DOMAIN_CPU_LIMITS,
} DomainCpuLimit;

typedef struct {
    uint64_t shares;
    uint64_t period[DOMAIN_CPU_LIMITS]; /* us */
    int64_t quota[DOMAIN_CPU_LIMITS];   /* us; negative: none */
} DomainSchedule;

/* @flags: virDomainModificationImpact. What the persistent definition does not say is 0; what the
 * live one does not say is the kernel's default. */
bool domain_schedule(Domain *domain, unsigned flags, DomainSchedule *ret, GError **err);

/* virDomainSetSchedulerParametersFlags; what is XML_UNSET or XML_UNSET_INT (xml/xmltab.h) stays. */
bool domain_set_schedule(Domain *domain, const DomainSchedule *wanted, unsigned flags,
                         GError **err);

/* KiB; DOMAIN_MEMORY_UNLIMITED (xml/domain_tune.h) for no limit. When set, XML_UNSET stays as it
 * is.
 */
typedef struct {
    uint64_t hard, soft, swap_hard;
} DomainMemoryLimits;
/* virDomainGetMemoryParameters, virDomainSetMemoryParameters. @flags:
 * virDomainModificationImpact. */
bool domain_memory_limits(Domain *domain, unsigned flags, DomainMemoryLimits *ret, GError **err);
bool domain_set_memory_limits(Domain *domain, const DomainMemoryLimits *wanted, unsigned flags,
                              GError **err);

/* virDomainGetBlkioParameters: @devices has a text "PATH,VALUE,PATH,VALUE" for each CgroupIoLimit
 * (cgroup.h), "" for none. When set, @weight XML_UNSET and texts that are NULL stay as they are,
 * and so do devices that a text does not name; values of 0 take limits away. */
enum { DOMAIN_BLKIO_LIMITS = 5 };
typedef struct {
    uint64_t weight; /* 0: not set */
    const char *devices[DOMAIN_BLKIO_LIMITS];
} DomainBlkio;
/* g_free() the texts of *ret. */
bool domain_blkio(Domain *domain, unsigned flags, DomainBlkio *ret, GError **err);
bool domain_set_blkio(Domain *domain, const DomainBlkio *wanted, unsigned flags, GError **err);

/* <bandwidth> of one direction: KiB/s, and KiB for the burst; 0 for what is not there. */
typedef struct {
    bool given; /* false: when set, stays as it is */
    uint64_t average, peak, burst, floor;
} DomainLimit;
typedef struct {
    DomainLimit inbound, outbound;
} DomainLimits;

/* Of the interface with MAC address or tap @name. A direction without average and floor has no
 * limit. @flags: virDomainModificationImpact. */
bool domain_interface_limits(Domain *domain, const char *name, unsigned flags, DomainLimits *ret,
                             GError **err);
bool domain_set_interface_limits(Domain *domain, const char *name, const DomainLimits *limits,
                                 unsigned flags, GError **err);

/* virDomainNumatuneMemMode, and the host's nodes as a list; *ret_nodes "" when it is not bound.
 * g_free() that. @flags as above. */
bool domain_numa(Domain *domain, unsigned flags, int *ret_mode, char **ret_nodes, GError **err);

/* @mode -1 and @nodes NULL stay as they are. A running guest's mode cannot change, and its nodes
 * only where its group binds them. */
bool domain_set_numa(Domain *domain, int mode, const char *nodes, unsigned flags, GError **err);

/* @type: virDomainLifecycle; @action: virDomainLifecycleAction; @flags as above. */
bool domain_set_lifecycle_action(Domain *domain, unsigned type, unsigned action, unsigned flags,
                                 GError **err);

/* Nanoseconds that the guest's process has had; VIR_ERR_OPERATION_INVALID when it does not run.
 * @user and @system are coarser than @total. */
typedef struct {
    uint64_t total, user, system;
} DomainCpuTimes;
bool domain_cpu_times(Domain *domain, DomainCpuTimes *ret, GError **err);
/* Nanoseconds that KVM has waited for a guest that was idle before it gave the processor away: with
 * and without something to do coming up. False where the kernel does not tell. */
bool domain_halt_poll(Domain *domain, uint64_t *ret_success, uint64_t *ret_fail);

typedef struct {
    uint64_t capacity, allocation, physical; /* bytes */
} DomainBlockInfo;

/* Of the raw image of the disk with target or source @path. */
bool domain_block_info(Domain *domain, const char *path, DomainBlockInfo *ret, GError **err);

/* --- memory, counters (memory.c, stats.c) ----------------------------------------------------- */

/* virDomainSetMemoryFlags: the balloon's target and the definition. */
bool domain_set_memory(Domain *domain, uint64_t kib, unsigned flags, GError **err);
/* virDomainSetMemoryStatsPeriod. */
bool domain_set_memory_stats_period(Domain *domain, unsigned seconds, unsigned flags, GError **err);

typedef struct {
    int tag; /* virDomainMemoryStatTags */
    uint64_t value;
} DomainMemoryStat;
/* DomainMemoryStat each. g_array_unref() it. */
GArray *domain_memory_stats(Domain *domain, GError **err);

/* virDomainStartDirtyRateCalc; @flags: virDomainDirtyRateCalcFlags. */
bool domain_start_dirty_rate(Domain *domain, int seconds, unsigned flags, GError **err);
typedef struct {
    int status;    /* virDomainDirtyRateStatus */
    int64_t begun; /* seconds since 1970 */
    int seconds;
    int64_t mib_per_second; /* when it is measured */
} DomainDirtyRate;
/* Of a running guest, the latest measurement. */
bool domain_dirty_rate(Domain *domain, DomainDirtyRate *ret, GError **err);

typedef struct {
    char *target;                                          /* "vda" */
    char *path;                                            /* NULL: none */
    unsigned index;                                        /* of <source index=…>; 0: none */
    int64_t rd_req, rd_bytes, wr_req, wr_bytes, flush_req; /* -1 unknown, as all below */
    int64_t rd_ns, wr_ns, flush_ns;
    int64_t allocation, capacity, physical; /* bytes: on the host, for the guest, of the file */
    int64_t threshold;                      /* bytes; 0: none is set */
    int error; /* virDomainDiskErrorCode: what the guest was stopped for; NONE: nothing */
} DomainBlockStats;
void domain_block_stats_free(DomainBlockStats *stats);
/* DomainBlockStats * of each disk, owned by the array; with @chains each is followed by those of
 * the images it lies on, with the same target. */
GPtrArray *domain_block_stats(Domain *domain, bool chains, GError **err);

typedef struct {
    char *ifname, *mac, *network; /* ifname NULL: user networking; network NULL: none */
} DomainInterfaceInfo;
/* DomainInterfaceInfo * of each interface of a running guest, owned by the array. */
GPtrArray *domain_interfaces(Domain *domain, GError **err);

/* Lets the viewer at the other end of the socket @fd (the caller's still) use <graphics> number
 * @index, without its password if @skip_auth. */
bool domain_open_graphics(Domain *domain, unsigned index, int fd, bool skip_auth, GError **err);

/* --- migration to another host (migrate*.c) ----------------------------------------------------
 */

/* The steps of libvirt's protocol, version 3 (virDomainMigrateBegin3 and so on), as the client
 * takes them; what is not given is NULL or 0. @client is the same key for all steps on one side:
 * when it goes, a guest that has not gone yet stays, and one that has not come is destroyed. */
typedef struct {
    unsigned flags; /* virDomainMigrateFlags */
    const char *uri, *name, *xml, *persist_xml, *listen_address;
    uint64_t bandwidth; /* MiB/s */
    const char *cookie; /* of the step before, on the other side */
    size_t cookie_length;
} DomainMigrate;

#define DOMAIN_MIGRATE_SPEED_MAX UINT64_C(8796093022207) /* MiB/s; as much as no limit */

/* On the source: the definition for the destination, g_free() it and the cookie. */
char *domain_migrate_begin(Domain *domain, const DomainMigrate *migrate, const void *client,
                           char **ret_cookie, GError **err);
/* On the destination: a guest that waits for its state, and where; g_free() both texts. */
bool domain_manager_migrate_prepare(DomainManager *manager, const DomainMigrate *migrate,
                                    const void *client, char **ret_cookie, char **ret_uri,
                                    GError **err);
/* On the source: all of the guest goes; then it stands still here. */
bool domain_migrate_perform(Domain *domain, const DomainMigrate *migrate, const void *client,
                            GError **err);
/* On the destination: it is there, and runs; or (@cancelled) is destroyed, with
 * VIR_ERR_MIGRATE_FINISH_OK. A new reference. */
Domain *domain_manager_migrate_finish(DomainManager *manager, const DomainMigrate *migrate,
                                      const void *client, bool cancelled, char **ret_cookie,
                                      GError **err);
/* On the source: it ends here, or (@cancelled) goes on. */
bool domain_migrate_confirm(Domain *domain, const DomainMigrate *migrate, const void *client,
                            bool cancelled, GError **err);

/* virDomainMigrateSetMaxSpeed and so on. */
bool domain_migrate_set_speed(Domain *domain, uint64_t mib, GError **err);
uint64_t domain_migrate_speed(Domain *domain);
bool domain_migrate_set_downtime(Domain *domain, uint64_t ms, GError **err);
bool domain_migrate_downtime(Domain *domain, uint64_t *ret_ms, GError **err);

/* --- snapshots (snapshot*.c) ------------------------------------------------------------------ */

/* Names of snapshots, char * owned by the array, parents before children. @parent: those below it
 * only; NULL: all. @flags: virDomainSnapshotListFlags. VIR_ERR_NO_DOMAIN_SNAPSHOT. */
GPtrArray *domain_snapshot_list(Domain *domain, const char *parent, unsigned flags, GError **err);
bool domain_snapshot_exists(Domain *domain, const char *name, GError **err);
/* @flags: virDomainSnapshotXMLFlags. g_free() the text. */
char *domain_snapshot_xml(Domain *domain, const char *name, unsigned flags, GError **err);
/* The current snapshot's name; NULL with VIR_ERR_NO_DOMAIN_SNAPSHOT. g_free() it. */
char *domain_snapshot_current(Domain *domain, GError **err);
char *domain_snapshot_parent(Domain *domain, const char *name, GError **err);

/* virDomainSnapshotCreateXML; the name of the new one, g_free() it. */
char *domain_snapshot_create(Domain *domain, const char *xml, unsigned flags, GError **err);
/* virDomainRevertToSnapshot, virDomainSnapshotDelete. */
bool domain_snapshot_revert(Domain *domain, const char *name, unsigned flags, GError **err);
bool domain_snapshot_delete(Domain *domain, const char *name, unsigned flags, GError **err);

/* --- the guest's agent (agent*.c) ------------------------------------------------------------- */

/* These wait for a program of the guest's, at most as long as agent.h says. Errors of all:
 * VIR_ERR_ARGUMENT_UNSUPPORTED (no agent is configured), VIR_ERR_AGENT_UNRESPONSIVE (not connected,
 * silent), VIR_ERR_INTERNAL_ERROR (what the agent says when it refuses). */

/* That @timeout is seconds, or one of virDomainAgentResponseTimeoutValues. */
bool domain_agent_check_timeout(int timeout, GError **err);
/* virDomainAgentSetResponseTimeout: until the run's end, or the end of the next one. */
bool domain_agent_set_timeout(Domain *domain, int timeout, GError **err);
/* virDomainQemuAgentCommand: the whole answer as text; g_free() it. @timeout: seconds, or
 * virDomainQemuAgentCommandTimeoutValues. */
char *domain_agent_text(Domain *domain, const char *command, int timeout, GError **err);

/* How many file systems; -1 with @err. @mountpoints: NULL for all. */
int domain_fs_freeze(Domain *domain, char **mountpoints, unsigned n, GError **err);
int domain_fs_thaw(Domain *domain, GError **err);
bool domain_fs_trim(Domain *domain, uint64_t minimum, GError **err);

/* The guest's clock, in nanoseconds since 1970. @sync: set it from the guest's own RTC instead. */
bool domain_guest_time(Domain *domain, int64_t *ret_ns, GError **err);
bool domain_set_guest_time(Domain *domain, int64_t ns, bool sync, GError **err);

bool domain_set_user_password(Domain *domain, const char *user, const char *password,
                              bool encrypted, GError **err);
/* char *, owned by the array. */
GPtrArray *domain_ssh_keys(Domain *domain, const char *user, GError **err);
/* @flags: virDomainAuthorizedSSHKeysSetFlags. */
bool domain_set_ssh_keys(Domain *domain, const char *user, char **keys, unsigned n, unsigned flags,
                         GError **err);
/* virDomainPMSuspendForDuration; @target: virNodeSuspendTarget. */
bool domain_guest_suspend(Domain *domain, unsigned target, GError **err);

/* vCPUs as the guest's system sees them, as lists like "0-1,3"; g_free() them. */
typedef struct {
    char *vcpus, *online, *offlinable;
} DomainGuestVcpus;
void domain_guest_vcpus_clear(DomainGuestVcpus *vcpus);
bool domain_guest_vcpus(Domain *domain, DomainGuestVcpus *ret, GError **err);
/* @map: which ones; @online: 0 or 1. */
bool domain_set_guest_vcpus(Domain *domain, const char *map, int online, GError **err);
/* virDomainSetVcpusFlags and virDomainGetVcpusFlags with VIR_DOMAIN_VCPU_GUEST; -1 with @err. */
bool domain_set_guest_vcpu_count(Domain *domain, unsigned count, GError **err);
int domain_guest_vcpu_count(Domain *domain, bool maximum, GError **err);

/* virDomainGetHostname by the agent; g_free() it. */
char *domain_guest_hostname(Domain *domain, GError **err);

typedef struct {
    char *mountpoint, *name, *type;
    GPtrArray *disks; /* char *: targets */
} DomainGuestFs;
/* DomainGuestFs *, owned by the array. */
GPtrArray *domain_guest_filesystems(Domain *domain, GError **err);

enum { DOMAIN_GUEST_INTERFACES_MAX = 2048 };
typedef struct {
    int type; /* virIPAddrType */
    char *text;
    unsigned prefix;
} DomainGuestAddress;
typedef struct {
    char *name, *mac;  /* @mac: NULL for none */
    GArray *addresses; /* DomainGuestAddress */
} DomainGuestInterface;
/* DomainGuestInterface *, owned by the array. */
GPtrArray *domain_guest_interfaces(Domain *domain, GError **err);

/* virDomainGetGuestInfo. */
typedef struct {
    char *field;
    int type;        /* virTypedParameterType */
    uint64_t number; /* INT (as int64_t), UINT, ULLONG, BOOLEAN */
    char *text;      /* STRING */
} DomainGuestParam;
void domain_guest_param_clear(void *param);
/* DomainGuestParam each, freed with the array. @types: virDomainGuestInfoTypes; 0: all that the
 * agent knows. */
GArray *domain_guest_info(Domain *domain, unsigned types, GError **err);

/* --- metadata (metadata.c) -------------------------------------------------------------------- */

/* virDomainGetMetadata, virDomainSetMetadata; @type: virDomainMetadataType. */
char *domain_metadata(Domain *domain, int type, const char *uri, unsigned flags, GError **err);
bool domain_set_metadata(Domain *domain, int type, const char *text, const char *key,
                         const char *uri, unsigned flags, GError **err);

#endif
