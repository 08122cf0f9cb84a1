/* private.h - the structs of driver/domain and what its files offer each other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_PRIVATE_H
#define KILN_DRIVER_DOMAIN_PRIVATE_H

#include <sys/types.h>

#include "driver/domain/cgroup.h"
#include "driver/domain/domain.h"
#include "driver/domain/process.h"
#include "driver/domain/qmp.h"
#include "xml/domain.h"

enum {
    DOMAIN_JOB_SECONDS = 30,   /* waiting for another job of the domain */
    DOMAIN_QMP_SECONDS = 20,   /* an answer that needs nothing of the guest */
    DOMAIN_START_SECONDS = 30, /* spawn to greeting */
    DOMAIN_SAVE_SECONDS = 60,  /* standing still with all I/O under way finished */
    DOMAIN_QUIT_SECONDS = 10,  /* `quit` to exit, before the process is killed */
};

/* Beside virDomainCreateFlags: events and reasons tell of a snapshot. */
#define DOMAIN_START_FROM_SNAPSHOT (1u << 31)
/* The guest is waited for at the listening socket that stands for a save file; it stays paused. */
#define DOMAIN_START_INCOMING (1u << 30)

/* A tap that the guest holds. */
typedef struct {
    NetworkPortRequest request; /* its strings are below or the domain's */
    char *source, *portgroup, *ifname, *domain_name;
    uint8_t id[16];
} DomainPort;

typedef struct {
    unsigned id; /* of <iothread> */
    pid_t tid;
} DomainRunThread;

/* Counters of a guest's process (perf.h). */
typedef struct DomainPerf DomainPerf;

/* The connection to a guest's agent (agent.h). */
typedef struct DomainAgent DomainAgent;

/* One run of a guest: the process and everything on the host that goes with it. Members up to the
 * mark are written while the run is made (in a job, unseen by others) and constant afterwards. */
typedef struct {
    gint refs;
    Domain *domain; /* a reference */
    int id;
    DomainProcess process;
    char *monitor_path, *log_path;
    Qmp *qmp;
    GArray *iothreads;  /* DomainRunThread; changed and looked at in a job only */
    GPtrArray *ports;   /* DomainPort * */
    GPtrArray *sockets; /* char *: unix sockets to unlink */
    GArray *masters;    /* int: our copies of the ptys' masters, see domain_console_drain() */
    Cgroup *cgroup;     /* NULL: none */
    bool watched;       /* the loop looks for the process's end, and has a reference */
    DomainPerf *perf;   /* always there */
    DomainAgent *agent; /* always there, connected or not */
    bool reset_nvram;   /* the variable store is made anew */
    /* Guarded by domain->lock: */
    GArray *vcpu_tids;  /* pid_t, by vCPU index; 0: not there. Changed in a job only */
    const void *client; /* destroyed with it; NULL: lives on */
    bool incoming;      /* comes from another host, and is not there yet */
    bool killed;        /* destroy has sent a signal */
    bool started;       /* published; before, a failing start cleans up by itself */
    bool shutdown_seen; /* the guest powered off, or reset itself where that ends it */
    bool shutdown_by_reset;
    bool panicked;
    bool reset_after_shutdown; /* virDomainReboot by power button: reset, do not stop */
    bool own_stop, own_resume; /* a STOP or RESUME event is the echo of a job */
    GPtrArray *gone;           /* char *: aliases of devices that left and are still defined */
    GPtrArray *kept;           /* char *: of those that the guest would not let go */
    GPtrArray *block_events;   /* char *: of block jobs, not yet told; see block_settle.c */
    GCond unplugged;           /* signalled when either grows */
    int stop_reason;           /* virDomainShutoffReason for when the process is gone */
    int stop_detail;           /* virDomainEventStoppedDetailType */
    uint64_t balloon_kib;      /* memory the guest has now */
    unsigned fill_orders;      /* what may have set a write threshold of an image; see stats.c */
    unsigned fill_none;        /* those orders after which none had one */
    unsigned rate_orders;      /* what may have begun to measure the dirty rate; see dirty_rate.c */
    unsigned
        rate_unstarted; /* one more than the orders after which nothing had begun; 0: unknown */
} DomainRun;

/* How far a job has come that moves the guest's memory. */
typedef struct {
    bool cancel;           /* somebody wants it to end */
    bool cancel_on_error;  /* as soon as the guest stands still for an I/O error */
    gint64 begun;          /* monotonic */
    DomainJobProgress now; /* elapsed_ms is not kept; operation 0: none */
} DomainProgress;

/* A thread waiting for a domain's job; on its stack. */
typedef struct DomainJobWaiter DomainJobWaiter;

/* Locks, in the order in which they may be taken:
 *   the job of a domain (domain_job_begin; long), manager->define_lock (definition files and what
 *   changes the set of names), manager->lock (tables), domain->lock (one domain at a time), locks
 * of Qmp. Nothing waits for a process, a file or the network with manager->lock or domain->lock
 * held. */
struct Domain {
    gint refs;
    DomainManager *manager;
    uint8_t uuid[16];

    GMutex lock;
    char *name;        /* changed with manager->lock held as well */
    DomainDef *config; /* persistent definition; NULL: transient */
    DomainDef *live;   /* definition of the run; NULL: inactive */
    DomainRun *run;    /* NULL: inactive. Set before live: being started */
    int id;            /* -1: inactive */
    int state, reason; /* virDomainState */
    bool autostart;
    bool managed_save;    /* there is one */
    bool reverting;       /* to a snapshot: it is stopped, and then goes on */
    GPtrArray *snapshots; /* SnapshotDef * (snapshot.h), oldest first; changed in a job */
    bool updated;
    bool removed;         /* no more in the registry */
    GHashTable *consoles; /* char *path -> DomainConsole * (not owned) */

    int agent_timeout; /* virDomainAgentResponseTimeoutValues, or seconds, until the run ends */

    GQueue job_waiters; /* DomainJobWaiter *, oldest first */
    const char *job;    /* name of the running job; NULL: none */
    gint64 job_since;   /* monotonic */
    DomainProgress progress;
    DomainJobProgress finished; /* the latest that was done */
    int migration;          /* to another host: MIGRATION_ (migrate.h); the job is held meanwhile */
    const void *migrator;   /* client that manages it */
    bool migrate_running;   /* the guest ran when it began */
    uint64_t migrate_speed; /* MiB/s; 0: no limit */
};

struct DomainManager {
    char *vnc_listen, *vnc_password, *vnc_tls_dir; /* the latter two NULL for none */
    bool vnc_tls_verify;
    char *config_dir, *autostart_dir, *run_dir, *lib_dir, *log_dir, *pki_dir, *hook_program, *vmm;
    char *kvm_device;
    int save_format; /* SaveFormat (save_file.h) */
    bool privileged;
    bool drops; /* kiln-vmm is told to become vmm_uid:vmm_gid */
    uid_t vmm_uid;
    gid_t vmm_gid;
    DomainDefaults defaults; /* emulator is @vmm */
    CgroupHost *cgroups;
    NetworkManager *networks;
    const DomainOps *ops;
    void *opaque;

    IoLoop *loop; /* QMP sockets and process exits */
    GMutex workers_lock;
    GThreadPool *workers; /* what follows from events of guests; NULL at the end */
    GThread *autostart_thread;
    gint ending; /* atomic: domain_manager_free() has begun */

    GMutex define_lock; /* before lock */
    GMutex lock;
    GHashTable *by_uuid; /* uint8_t[16] -> Domain * (a reference) */
    GHashTable *by_name; /* char * -> Domain * */
    GHashTable *by_id;   /* int -> Domain * */
    int last_id;
};

/* --- job.c ---------------------------------------------------------------------------------- */

/* Waits for the domain's turn; @name is shown to those who wait and must be static.
 * VIR_ERR_OPERATION_TIMEOUT after DOMAIN_JOB_SECONDS, naming the job in the way; VIR_ERR_NO_DOMAIN
 * when the domain left the registry meanwhile. */
bool domain_job_begin(Domain *domain, const char *name, GError **err);
/* As above without end, for what has to be done. */
void domain_job_begin_wait(Domain *domain, const char *name);
void domain_job_end(Domain *domain);

/* The domain's run when it is active, with a new reference; else VIR_ERR_OPERATION_INVALID "domain
 * is not running". */
DomainRun *domain_run_get(Domain *domain, GError **err);
DomainRun *domain_run_ref(DomainRun *run);
void domain_run_unref(DomainRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DomainRun, domain_run_unref)
/* Half-built; @id is 0. */
DomainRun *domain_run_new(Domain *domain);

/* --- block_settle.c -----------------------------------------------------------------------------
 */

/* <mirror job=> of a disk whose own image is being merged into one it lies on */
#define DOMAIN_MIRROR_COMMIT "active-commit"
/* In a job of the domain: the live definition follows the images that the VMM has, and those that
 * nothing lies on any more are closed there; of the disks @spent (targets; NULL: none) their files
 * are deleted. */
bool domain_block_settle(DomainRun *run, const char *const *spent, GError **err);
/* Whether the job @id wants that. */
bool domain_block_job_deletes(const char *id);
/* The job of the disk @target (NULL: any): what query-block-jobs says; NULL when there is none
 * (without @err) or it cannot be asked. json_object_unref() it. */
JsonObject *domain_block_job_look(DomainRun *run, const char *target, GError **err);
/* That there is none: VIR_ERR_BLOCK_COPY_ACTIVE or VIR_ERR_OPERATION_UNSUPPORTED for a disk,
 * VIR_ERR_OPERATION_INVALID for the domain (@target NULL). */
bool domain_block_job_check(DomainRun *run, const char *target, GError **err);
/* The VMM's BLOCK_WRITE_THRESHOLD, in the I/O thread. */
void domain_block_threshold_event(DomainRun *run, JsonObject *data);
/* An event of a block job, in the I/O thread: what is to follow is done in a worker. */
void domain_block_event(DomainRun *run, const char *name, const char *id, bool failed);

/* --- registry.c ----------------------------------------------------------------------------- */

void domain_registry_init(DomainManager *manager);
void domain_registry_clear(DomainManager *manager);

/* A new domain with no definition and no place in the registry. */
Domain *domain_new(DomainManager *manager, const uint8_t uuid[16], const char *name);

/* The domain that @def belongs to (a new reference), made and entered if it is new; not found by
 * others until it has a definition. Clashes of name and UUID are refused as libvirt does. @ret_new
 * tells which. */
Domain *domain_registry_claim(DomainManager *manager, const DomainDef *def, bool *ret_new,
                              GError **err);
/* As above, and begins job @job in it. */
Domain *domain_registry_claim_job(DomainManager *manager, const DomainDef *def, const char *job,
                                  bool *ret_new, GError **err);
/* Takes @domain out; those who hold a reference still can read it. */
void domain_registry_remove(Domain *domain);
/* A new id, not yet findable; domain_registry_take_id() makes it so, when the domain is active. */
int domain_registry_new_id(Domain *domain);
void domain_registry_take_id(Domain *domain, int id);
void domain_registry_drop_id(Domain *domain, int id);
/* With define_lock held. */
bool domain_registry_rename(Domain *domain, const char *name, GError **err);

/* --- events.c ------------------------------------------------------------------------------- */

void domain_event_lifecycle(Domain *domain, int event, int detail);
/* That there is no domain @old any more, but one of the name that @domain has now. */
void domain_event_renamed(Domain *domain, const char *old);
/* As domain_event_lifecycle() with the id the domain had. */
void domain_event_lifecycle_id(Domain *domain, int id, int event, int detail);
void domain_event_send(Domain *domain, int event_id, int event, int detail, uint64_t value,
                       const char *text);
void domain_event_io_error(Domain *domain, const char *source, const char *alias, int action,
                           const char *reason);
void domain_event_graphics(Domain *domain, const DomainEventGraphics *graphics);
void domain_event_monitor(Domain *domain, const char *name, JsonObject *data);
void domain_event_tunable(Domain *domain, const DomainParam *params, unsigned n);
void domain_event_job(Domain *domain, const DomainJobProgress *job);
/* DISK_CHANGE of a run: the image @old was not there, and @reason says what became of its disk. */
void domain_event_disk_missing(DomainRun *run, const char *alias, const char *old, int reason);
/* BLOCK_THRESHOLD: @path may be NULL. */
void domain_event_threshold(Domain *domain, const char *dev, const char *path, uint64_t bytes,
                            uint64_t excess);
G_GNUC_PRINTF(2, 3) void domain_manager_warn(DomainManager *manager, const char *format, ...);

/* Runs @run_event(run) in a worker. */
void domain_run_post(DomainRun *run, void (*handler)(DomainRun *run));

/* --- config.c: definition files --------------------------------------------------------------- */

/* Writes a definition to @config_dir; with define_lock held. */
bool domain_config_save(DomainManager *manager, const DomainDef *def, GError **err);
bool domain_config_remove(DomainManager *manager, const char *name, GError **err);
bool domain_config_link(DomainManager *manager, const char *name, bool autostart, GError **err);
bool domain_config_load_all(DomainManager *manager, GError **err);

/* --- nvram.c ---------------------------------------------------------------------------------- */

/* Where the store of @def is or will be; NULL for a guest without one. g_free() it. */
char *domain_nvram_path(const DomainManager *manager, const DomainDef *def);
/* What virDomainUndefineFlags() says about the variable store of a definition that goes: removed,
 * kept, or, where @flags say neither and there is one, VIR_ERR_OPERATION_INVALID. */
bool domain_nvram_undefine(const DomainManager *manager, const DomainDef *def, unsigned flags,
                           GError **err);

/* --- live.c: the definition of a run -----------------------------------------------------------
 */

/* A copy of @def for a run: id, aliases, orders of processors. */
DomainDef *domain_live_new(const DomainDef *def, int id);
/* In which order the processors came, which <vcpus> tells of a running guest: from 1 on, without a
 * gap, and nothing of those that are off (libvirt formatdomain, "CPU Allocation"). */
void domain_live_number_vcpus(DomainDef *live);
/* Sets the state of the channel with alias @alias, and connects to the guest's agent if it is the
 * agent's; true when it is and the state changed. With the state lock held. */
bool domain_live_channel_state(DomainRun *run, DomainDef *live, const char *alias, bool open);

/* --- start.c, resources.c, stop.c ---------------------------------------------------------------
 */

/* In a job, inactive: starts a run of @def (taken over), loaded from the open file @saved unless
 * that is -1. @flags: virDomainCreateFlags, and DOMAIN_START_FROM_SNAPSHOT. */
bool domain_run_start(Domain *domain, DomainDef *def, unsigned flags, const void *client, int saved,
                      GError **err);

/* That the image of @disk is there and no other running guest of the host has it in a way that
 * clashes: VIR_ERR_RESOURCE_BUSY naming that one. */
bool domain_disk_check(Domain *domain, const DomainDisk *disk, GError **err);

/* startup.c: the image of @disk is not there, and its guest can do without it; @boot: it does not
 * go on from elsewhere. */
bool domain_disk_may_miss(const DomainDisk *disk, bool boot);
/* Takes such images out of the definition of a run that begins, and tells clients. */
void domain_disks_drop_missing(DomainRun *run, DomainDef *live, bool boot);

/* volumes.c */
/* Makes of a disk that is a volume the file or device that the volume is; others stay as they are.
 * VIR_ERR_NO_STORAGE_POOL, VIR_ERR_NO_STORAGE_VOL, VIR_ERR_OPERATION_INVALID (pool not active). */
bool domain_disk_resolve(DomainManager *manager, DomainDisk *disk, GError **err);
bool domain_disks_resolve(DomainManager *manager, DomainDef *def, GError **err);

/* In a job: the run's process is dead or to be killed; gives everything back and makes the domain
 * inactive. Does nothing when @run is no longer the domain's. */
void domain_run_stop(DomainRun *run, int reason, int event_detail);

/* In a job: as domain_run_stop() for a guest whose VMM is asked to end. */
void domain_run_quit(DomainRun *run, int reason, int event_detail);

/* Ends the process and gives back what the run holds on the host; safe on half-made ones. @reason
 * is for the guest's log. */
void domain_run_release(DomainRun *run, const DomainDef *def, const char *reason);

/* Watches for the process's end, told once to those who look after that; until the second. It
 * waits for a callback of the loop that runs: no lock may be held. */
void domain_run_watch(DomainRun *run);
void domain_run_unwatch(DomainRun *run);
extern const QmpOps domain_monitor_ops;

/* Something may measure the guest's dirty rate from now on (dirty_rate.c). */
void domain_dirty_rate_ordered(DomainRun *run);

/* The monitor's run state as virDomainState and reason. VIR_DOMAIN_NOSTATE when it does not answer.
 */
int domain_monitor_state(DomainRun *run, int *ret_reason, GError **err);
/* Fills vcpu_tids; the state lock must not be held. */
bool domain_monitor_vcpus(DomainRun *run, GError **err);
/* Fills vcpu_tids and iothreads; in a job, or while the run is made. */
bool domain_monitor_threads(DomainRun *run, GError **err);
/* "iothread7" to 7, 0 for anything else. */
unsigned domain_monitor_iothread_number(const char *id);
/* Acts on what happened while no daemon listened. */
void domain_monitor_catch_up(DomainRun *run);
/* Makes the balloon ask the guest for statistics every @seconds (0: never). */
bool domain_monitor_balloon_period(DomainRun *run, const char *alias, uint64_t seconds,
                                   GError **err);

/* Changes the state with the state lock held. */
void domain_state_set(Domain *domain, int state, int reason);

/* --- detach.c --------------------------------------------------------------------------------- */

/* The VMM tells that device @alias is gone, or that the guest refused to let go of it. Any thread.
 */
void domain_device_gone(DomainRun *run, const char *alias);
void domain_device_kept(DomainRun *run, const char *alias);
/* In a job: brings the live definition in step with the devices that the VMM has, which may have
 * changed while no daemon listened. */
void domain_devices_catch_up(DomainRun *run);

/* --- status.c, reconnect.c -------------------------------------------------------------------- */

/* Writes the status file of @run. @starting: the run is not complete; a daemon that finds it kills
 * it. */
bool domain_status_save(DomainRun *run, const DomainDef *def, bool starting, GError **err);
/* As above for the running state, telling failures through warn(). */
void domain_status_refresh(Domain *domain);
void domain_status_remove(DomainManager *manager, const char *name);
char *domain_status_path(DomainManager *manager, const char *name);
char *domain_monitor_path(Domain *domain);
void domain_reconnect_all(DomainManager *manager);
void domain_autostart_all(DomainManager *manager);

/* --- params.c --------------------------------------------------------------------------------- */

/* What the host has of the file or block device @source, whatever its format. */
bool domain_host_block_info(const char *source, DomainBlockInfo *ret, GError **err);

/* --- progress.c ------------------------------------------------------------------------------ */

/* In a job: it moves the guest's memory from now on, for @operation (virDomainJobOperation). */
void domain_job_report(Domain *domain, int operation);
/* Follows the VMM's migration to its end, and ends it when asked to. VIR_ERR_OPERATION_ABORTED
 * then. */
bool domain_job_follow(DomainRun *run, GError **err);
/* What domain_job_report() began is over, where it was not the VMM's migration alone. @bytes: of
 * memory it has written; 0: it failed. */
void domain_job_done(Domain *domain, uint64_t bytes);
/* Clients hear of the job that has just been done. */
void domain_job_tell(Domain *domain);

/* --- screenshot.c ------------------------------------------------------------------------------
 */

/* Has a QMP command that writes to its "filename" write to @fd. Takes @arguments. */
bool domain_qmp_write(DomainRun *run, const char *command, JsonObject *arguments, int fd,
                      GError **err);

/* --- save.c, restore.c, dump.c ---------------------------------------------------------------- */

/* In a job: the guest stands still until it is let go of, or (false) it cannot; @reason:
 * virDomainPausedReason. */
bool domain_guest_hold(DomainRun *run, int reason, GError **err);
/* It goes on, if it still can; @reason: virDomainRunningReason. */
void domain_guest_let_go(DomainRun *run, int reason);
/* In a job: writes the guest's memory and registers to @path, an ELF core file. */
bool domain_dump_write(DomainRun *run, const char *path, GError **err);
/* In a job: the same, to a file in the daemon's own directory; the log tells which, and @why: what
 * the guest did. */
void domain_dump_auto(DomainRun *run, const char *why);
/* In a job, the guest standing still: writes it to @path, a save file. @running: whether it is to
 * run when it is loaded. @live: the guest runs on until nearly all of it is written, and then
 * stands still (VIR_DOMAIN_PAUSED_SNAPSHOT), also when what follows fails. */
bool domain_save_memory(DomainRun *run, const char *path, bool running, bool live, GError **err);
/* Finds the managed saves of all domains. */
void domain_managed_save_find(DomainManager *manager);
char *domain_managed_save_path(const DomainManager *manager, const char *name);
void domain_managed_save_set(Domain *domain, bool there);
/* In a job: removes it. */
bool domain_managed_save_drop(Domain *domain, GError **err);
/* In a job, inactive: starts the domain from it. */
bool domain_start_managed(Domain *domain, unsigned flags, const void *client, GError **err);
/* Lets the VMM of @run, which waits for it, load the guest from the open file @fd. */
bool domain_run_load(DomainRun *run, int fd, GError **err);

/* --- hooks.c ---------------------------------------------------------------------------------- */

/* Runs the hooks NAME @operation @sub_operation - with the definition on their standard input. True
 * when there are none. VIR_ERR_HOOK_SCRIPT_FAILED with the script's standard error. */
bool domain_hook_run(DomainManager *manager, const char *operation, const char *sub_operation,
                     const DomainDef *def, GError **err);
/* As above with "begin"; what the scripts write takes the place of @def, which is taken. The guest
 * must not be able to tell the one from the other. The caller frees what it gets. */
DomainDef *domain_hook_filter(DomainManager *manager, const char *operation, DomainDef *def,
                              GError **err);

/* --- console.c -------------------------------------------------------------------------------- */

/* Ends the consoles that @client holds. */
void domain_console_hang_up(Domain *domain, const void *client);
/* The guest is gone. Those who read its consoles see that in their descriptors, after what was
 * written last. */
void domain_console_forget(Domain *domain);
/* After the VMM has ended: gives those who hold a pty of @run a moment to read what the guest said
 * last, then lets go of it. The kernel throws away what is unread when the last master closes. */
void domain_console_drain(DomainRun *run);

/* --- impact.c: which definitions a call is about ---------------------------------------------- */

/* With the state lock held: turns virDomainModificationImpact CURRENT into LIVE or CONFIG, and
 * refuses LIVE of an inactive and CONFIG of a transient domain (VIR_ERR_OPERATION_INVALID). */
bool domain_impact(Domain *domain, unsigned *flags, GError **err);
/* With the state lock held, for reading: the one definition that @flags mean. */
DomainDef *domain_impact_def(Domain *domain, unsigned flags, GError **err);

/* In a job: applies @change to copies of the definitions that @flags name, saves the persistent
 * one, then puts them in place. */
typedef bool (*DomainChange)(DomainDef *def, void *opaque, GError **err);
bool domain_impact_apply(Domain *domain, unsigned flags, DomainChange change, void *opaque,
                         GError **err);

/* --- migrate_out.c ---------------------------------------------------------------------------- */

/* max-bandwidth (bytes/s, 0: none) and downtime-limit (ms) of the run's VMM; negative: as it is. */
bool domain_migrate_limits(DomainRun *run, int64_t bandwidth, int64_t downtime_ms, GError **err);
/* Its memory is being sent: the job is not to be waited for. */
bool domain_migrate_is_under_way(Domain *domain);
/* The client has gone that may have been migrating this run's domain. Does not wait. */
void domain_migrate_client_gone(DomainRun *run, const void *client);

/* define.c. In a job, with define_lock held: @def (taken over) becomes the persistent definition.
 */
bool domain_definition_replace(Domain *domain, DomainDef *def, GError **err);
/* domain_def_as_new() for what a client wants @domain to be now. A guest that had the host's
 * processor without having asked keeps it. Any thread. */
bool domain_definition_new(Domain *domain, DomainDef *def, GError **err);

/* start.c: lets the vCPUs run; @reason: virDomainRunningReason. */
bool domain_run_continue(DomainRun *run, int reason, GError **err);

/* start.c: refuses what is not done at a guest's end. */
bool domain_check_actions(const DomainDef *def, GError **err);

#endif
