/* params.c - how a guest is tuned and how large its disks are, as its definition and the host say.
 *
 * libvirt formatdomain, <cputune> and <numatune>; virDomainGetBlockInfo. Sizes are those of raw
 * images, which say nothing of themselves; others would have to be opened.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "driver/domain/qmp_answer.h"
#include "driver/domain/resources.h"
#include "util/error.h"

/* The kernel's period when none is set (Documentation/scheduler/sched-bwc.rst). */
#define DEFAULT_PERIOD_US 100000

bool
domain_can_schedule(Domain *domain, GError **err)
{
    const DomainManager *manager = domain->manager;

    if (!manager->privileged)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "CPU tuning is not available in session mode");
    if (!cgroup_host_has(manager->cgroups, CGROUP_CPU))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "cgroup CPU controller is not mounted, or not this daemon's to use");
    return true;
}

bool
domain_schedule(Domain *domain, unsigned flags, DomainSchedule *ret, GError **err)
{
    DomainSchedule schedule = { 0 };
    const DomainDef *def;

    if (!domain_can_schedule(domain, err))
        return false;
    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    if (def && def == domain->live) {
        schedule.shares = cgroup_host_default_shares(domain->manager->cgroups);
        for (int i = 0; i < DOMAIN_CPU_LIMITS; i++) {
            schedule.period[i] = DEFAULT_PERIOD_US;
            schedule.quota[i] = -1;
        }
    }
    if (def && def->cputune) {
        const DomainCputune *tune = def->cputune;
        const struct {
            uint64_t period;
            int64_t quota;
        } given[DOMAIN_CPU_LIMITS] = {
            [DOMAIN_CPU_LIMIT_VCPU] = { tune->period, tune->quota },
            [DOMAIN_CPU_LIMIT_EMULATOR] = { tune->emulator_period, tune->emulator_quota },
            [DOMAIN_CPU_LIMIT_GLOBAL] = { tune->global_period, tune->global_quota },
            [DOMAIN_CPU_LIMIT_IOTHREAD] = { tune->iothread_period, tune->iothread_quota },
        };

        if (tune->shares != XML_UNSET)
            schedule.shares = tune->shares;
        for (int i = 0; i < DOMAIN_CPU_LIMITS; i++) {
            if (given[i].period != XML_UNSET)
                schedule.period[i] = given[i].period;
            if (given[i].quota != XML_UNSET_INT)
                schedule.quota[i] = given[i].quota;
        }
    }
    g_mutex_unlock(&domain->lock);
    if (def)
        *ret = schedule;
    return def != NULL;
}

bool
domain_numa(Domain *domain, unsigned flags, int *ret_mode, char **ret_nodes, GError **err)
{
    const DomainDef *def;

    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    if (def) {
        const DomainNumatune *tune = def->numatune;

        /* The enum of the definition begins with "not given"; without it memory is bound strictly.
         */
        *ret_mode = tune && tune->mode ? tune->mode - 1 : VIR_DOMAIN_NUMATUNE_MEM_STRICT;
        *ret_nodes = g_strdup(tune && tune->nodeset ? tune->nodeset : "");
    }
    g_mutex_unlock(&domain->lock);
    return def != NULL;
}

/* A copy of the disk with target or source @path, of the running guest if there is one. */
static DomainDisk *
find_image(Domain *domain, const char *path, GError **err)
{
    const DomainDef *def;
    const DomainDisk *found;
    DomainDisk *copy = NULL;

    g_mutex_lock(&domain->lock);
    def = domain->live ? domain->live : domain->config;
    found = def ? domain_def_disk_named(def, path) : NULL;
    if (!found)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "invalid path %s not assigned to domain", path);
    else if (!domain_disk_has_source(found))
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "disk '%s' does not currently have a source assigned", path);
    else
        copy = xml_type_copy(&domain_disk_type, found);
    g_mutex_unlock(&domain->lock);
    return copy;
}

GBytes *
domain_block_peek(Domain *domain, const char *path, uint64_t offset, size_t size, GError **err)
{
    DomainDisk *disk = find_image(domain, path, err);
    const char *source = disk ? domain_disk_path(disk) : NULL;
    g_autofree uint8_t *bytes = g_malloc(size);
    int fd = -1;
    ssize_t got = -1;

    if (disk && (!source || strcmp(disk->format, "raw") != 0))
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "peeking is only supported for local disks with 'raw' format, and '%s' has "
                       "'%s'",
                       path, disk->format);
    else if (disk && ((fd = open(source, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0 ||
                      (got = pread(fd, bytes, size, (off_t)offset)) < 0))
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot read '%s'", source);
    else if (disk && (size_t)got < size)
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "'%s' starting from %" PRIu64 " has only %zd bytes available", path, offset,
                       got);
    if (fd >= 0)
        close(fd);
    if (disk)
        xml_type_free(&domain_disk_type, disk);
    return (size_t)got == size ? g_bytes_new_take(g_steal_pointer(&bytes), size) : NULL;
}

bool
domain_host_block_info(const char *source, DomainBlockInfo *ret, GError **err)
{
    uint64_t size = 0;
    struct stat st;
    int fd;

    if (stat(source, &st) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot look at '%s'",
                                    source);
    if (!S_ISBLK(st.st_mode)) {
        ret->capacity = ret->physical = (uint64_t)st.st_size;
        ret->allocation = (uint64_t)st.st_blocks * 512;
        return true;
    }
    fd = open(source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0) {
        int failure = errno;

        if (fd >= 0)
            close(fd);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, failure,
                                    "cannot learn the size of '%s'", source);
    }
    close(fd);
    ret->capacity = ret->allocation = ret->physical = size;
    return true;
}

/* Of an image on another host: what the guest's VMM knows of it. */
static bool
remote_block_info(Domain *domain, const DomainDisk *disk, DomainBlockInfo *ret, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *list = run ? qmp_execute_list(run->qmp, "query-block", NULL, &owner, err) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *drive = qmp_element(list, i);

        if (g_strcmp0(qmp_text(drive, "qdev"), disk->info.alias) != 0)
            continue;
        ret->capacity = (uint64_t)qmp_number(qmp_object(qmp_object(drive, "inserted"), "image"),
                                             "virtual-size");
        ret->physical = ret->capacity;
        return true;
    }
    return list ? kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the VMM has no disk '%s'",
                                 disk->target)
                : false;
}

static bool
disk_block_info(Domain *domain, const DomainDisk *disk, DomainBlockInfo *ret, GError **err)
{
    const char *path = domain_disk_path(disk), *format = argv_image_driver(disk);
    DomainImage image;

    if (!path)
        return remote_block_info(domain, disk, ret, err);
    if (!domain_host_block_info(path, ret, err))
        return false;
    if (strcmp(format, "raw") == 0)
        return true;
    if (!domain_image_probe(domain->manager, path, format, &image, err))
        return false;
    ret->capacity = image.virtual_size;
    g_free(image.format);
    g_free(image.backing);
    g_free(image.backing_format);
    return true;
}

/* Of a running guest, as libvirt has it: programs learn from the allocation that a volume must
 * grow, for which it is how far the image was written (@end); that of a qcow2 file is what it takes
 * on the host. What it takes is the physical size, too, unless that says nothing new: then it is
 * the file's own. */
static void
set_written(const DomainDisk *disk, uint64_t end, DomainBlockInfo *ret)
{
    const char *path = domain_disk_path(disk);
    struct stat st;
    bool is_file = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
    uint64_t taken = is_file ? (uint64_t)st.st_blocks * 512 : 0;

    ret->allocation = is_file && strcmp(argv_image_driver(disk), "qcow2") == 0 ? taken : end;
    if (!ret->allocation)
        ret->allocation = taken;
    if (taken && ret->allocation != taken)
        ret->physical = taken;
}

static void
add_written(Domain *domain, const DomainDisk *disk, DomainBlockInfo *ret)
{
    g_autoptr(GPtrArray) list =
        domain_is_active(domain) ? domain_block_stats(domain, false, NULL) : NULL;

    for (guint i = 0; list && i < list->len; i++) {
        const DomainBlockStats *stats = list->pdata[i];

        /* the disk's own image is the first of its chain */
        if (strcmp(stats->target, disk->target) == 0) {
            set_written(disk, (uint64_t)MAX(stats->allocation, 0), ret);
            return;
        }
    }
}

bool
domain_block_info(Domain *domain, const char *path, DomainBlockInfo *ret, GError **err)
{
    DomainDisk *disk = find_image(domain, path, err);
    bool ok = disk && disk_block_info(domain, disk, ret, err);

    if (ok)
        add_written(domain, disk, ret);
    xml_type_free(&domain_disk_type, disk);
    return ok;
}
