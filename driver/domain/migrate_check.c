/* migrate_check.c - which guests may go to another host, and with which flags.
 *
 * The rules for disks are libvirt's: the other host has to see the same files, and nothing that
 * this one keeps in its page cache may be missing there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/magic.h>
#include <sys/vfs.h>

#include "driver/domain/migrate.h"
#include "driver/domain/snapshot.h"
#include "util/error.h"

/* Those that Linux's header does not name. */
enum {
    MAGIC_GFS2 = 0x01161970,
    MAGIC_GPFS = 0x47504653,
    MAGIC_LUSTRE = 0x0bd00bd0,
    MAGIC_ACFS = 0x61636673,
};
#define MAGIC_CIFS UINT32_C(0xff534d42)
#define MAGIC_SMB2 UINT32_C(0xfe534d42)

static const struct {
    unsigned flag;
    const char *name;
} others[] = {
    { VIR_MIGRATE_PEER2PEER, "peer to peer: let the client manage it" },
    { VIR_MIGRATE_TUNNELLED, "tunnelled" },
    { VIR_MIGRATE_OFFLINE, "offline: define the domain there by its XML" },
    { VIR_MIGRATE_NON_SHARED_DISK, "with copies of disks: put the disks on shared storage" },
    { VIR_MIGRATE_NON_SHARED_INC, "with copies of disks: put the disks on shared storage" },
    { VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES, "with copies of disks" },
    { VIR_MIGRATE_COMPRESSED, "compressed" },
    { VIR_MIGRATE_AUTO_CONVERGE, "with auto-convergence: suspend the guest instead" },
    { VIR_MIGRATE_RDMA_PIN_ALL, "by RDMA" },
    { VIR_MIGRATE_POSTCOPY, "post-copy" },
    { VIR_MIGRATE_POSTCOPY_RESUME, "post-copy" },
    { VIR_MIGRATE_TLS, "by TLS" },
    { VIR_MIGRATE_PARALLEL, "by parallel connections" },
    { VIR_MIGRATE_ZEROCOPY, "with zero-copy" },
};

bool
migrate_check_flags(unsigned flags, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
        if (flags & others[i].flag)
            return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED, "migration is not offered %s",
                                  others[i].name);
    return true;
}

bool
migrate_check_guest(DomainRun *run, const DomainDef *def, GError **err)
{
    Domain *domain = run->domain;
    unsigned snapshots = domain_snapshots_count(domain);
    bool bound;
    int state;

    g_mutex_lock(&domain->lock);
    state = domain->state;
    bound = run->client != NULL;
    g_mutex_unlock(&domain->lock);
    if (state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_PAUSED)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              state == VIR_DOMAIN_PMSUSPENDED
                                  ? "domain is pmsuspended: wake it first"
                                  : "the guest has powered off or crashed: there is nothing to "
                                    "migrate");
    if (bound)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is marked for auto destroy");
    if (snapshots > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "cannot migrate domain with %u snapshots", snapshots);
    if (def->os.nvram || domain_nvram_path(domain->manager, def))
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "a guest with a store of UEFI variables cannot be migrated yet: the "
                              "store stays here");
    return domain_block_job_check(run, NULL, err);
}

/* 1 when other hosts see the file system of @path too, 2 when they also see at once what is written
 * there, -errno. */
static int
shared_by_hosts(const char *path)
{
    struct statfs st;

    if (statfs(path, &st) < 0)
        return -errno;
    switch ((uint32_t)st.f_type) {
    case MAGIC_GFS2:
    case OCFS2_SUPER_MAGIC:
    case CEPH_SUPER_MAGIC:
    case MAGIC_GPFS:
    case MAGIC_LUSTRE:
    case MAGIC_ACFS:
        return 2;
    case NFS_SUPER_MAGIC:
    case AFS_SUPER_MAGIC:
    case AFS_FS_MAGIC:
    case SMB_SUPER_MAGIC:
    case MAGIC_CIFS:
    case MAGIC_SMB2:
    case FUSE_SUPER_MAGIC: /* GlusterFS among others */
        return 1;
    default:
        return 0;
    }
}

static bool
check_disk(const DomainDisk *disk, GError **err)
{
    const char *path = domain_disk_path(disk);
    int shared = 0;

    if (!path || disk->readonly)
        return true;
    if (disk->type == DOMAIN_DISK_FILE) {
        shared = shared_by_hosts(path);
        if (shared < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, shared,
                                        "cannot tell where disk '%s' ('%s') is", disk->target,
                                        path);
        if (shared == 0)
            return kiln_error_set(err, VIR_ERR_MIGRATE_UNSAFE,
                                  "Migration without shared storage is unsafe");
    }
    return shared == 2 || disk->shareable || disk->cache == DOMAIN_CACHE_NONE ||
           disk->cache == DOMAIN_CACHE_DIRECTSYNC ||
           kiln_error_set(
               err, VIR_ERR_MIGRATE_UNSAFE,
               "Migration may lead to data corruption if disks use cache other than none "
               "or directsync");
}

bool
migrate_check_safe(const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++)
        if (!check_disk(def->disks->pdata[i], err))
            return false;
    return true;
}
