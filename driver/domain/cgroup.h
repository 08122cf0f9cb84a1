/* cgroup.h - control groups of guests: one per guest, with groups of threads inside.
 *
 * Linux cgroup v2 (Documentation/admin-guide/cgroup-v2.rst) where it is mounted at the root, else
 * the v1 controllers cpu, cpuacct, cpuset, memory and blkio.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_CGROUP_H
#define KILN_DRIVER_DOMAIN_CGROUP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum {
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_CPUSET,
    CGROUP_MEMORY,
    CGROUP_BLKIO, /* v2: "io" */
    CGROUP_CONTROLLERS,
} CgroupController;

/* What this host offers; immutable, any thread. */
typedef struct CgroupHost CgroupHost;
/* One guest's group; one thread at a time. */
typedef struct Cgroup Cgroup;

/* Looks below @root ("/sys/fs/cgroup"). Without @privileged, or where nothing is mounted or
 * writable, the host offers nothing and guests run in the daemon's own group. */
CgroupHost *cgroup_host_new(const char *root, bool privileged);
void cgroup_host_free(CgroupHost *host);
bool cgroup_host_has(const CgroupHost *host, CgroupController controller);
/* What a group's shares are unless they are set. */
uint64_t cgroup_host_default_shares(const CgroupHost *host);

/* Makes the group kiln/NAME in every hierarchy; an old one of that name is used again. NULL without
 * @err when the host offers nothing. */
Cgroup *cgroup_create(const CgroupHost *host, const char *name, GError **err);
/* The group of a guest that runs already; the same results, but makes nothing. */
Cgroup *cgroup_find(const CgroupHost *host, const char *name);
/* Removes what is left of guests of a former daemon: groups without processes. */
void cgroup_host_sweep(const CgroupHost *host);

/* How a new process gets into the group. v2: born in the directory @dir, by CLONE_INTO_CGROUP (to
 * move it there later would wait for an RCU grace period, longer than all else of its start). v1:
 * by writing itself into @files. Of @group NULL: neither. */
typedef struct {
    int dir; /* -1: none */
    int files[CGROUP_CONTROLLERS];
    unsigned n_files;
} CgroupJoin;

/* The caller closes @ret_join. */
bool cgroup_open_join(const Cgroup *group, CgroupJoin *ret_join, GError **err);
void cgroup_close_join(CgroupJoin *join);

/* Each: VIR_ERR_CONFIG_UNSUPPORTED when @group is NULL or lacks the controller, naming what was
 * asked; VIR_ERR_SYSTEM_ERROR when the kernel refuses the value. @sub (NULL: the whole guest) is a
 * group of threads within ("vcpu0", "emulator", "iothread1"), made when missing. */
bool cgroup_set_shares(Cgroup *group, uint64_t shares, GError **err);
bool cgroup_set_quota(Cgroup *group, const char *sub, uint64_t period, int64_t quota, GError **err);
bool cgroup_set_mems(Cgroup *group, const char *nodes, GError **err);
bool cgroup_add_thread(Cgroup *group, const char *sub, pid_t tid, GError **err);

/* --- cgroup_limits.c; errors as above ----------------------------------------------------------
 */

/* KiB; XML_UNSET for none. */
typedef struct {
    uint64_t hard, soft, swap_hard; /* @swap_hard: of memory and swap together */
} CgroupMemory;
/* From @before, what the group has, to @now; what is the same in both is not touched. */
bool cgroup_set_memory(Cgroup *group, const CgroupMemory *before, const CgroupMemory *now,
                       GError **err);

typedef enum {
    CGROUP_IO_WEIGHT,
    CGROUP_IO_READ_IOPS,
    CGROUP_IO_WRITE_IOPS,
    CGROUP_IO_READ_BYTES,
    CGROUP_IO_WRITE_BYTES,
    CGROUP_IO_LIMITS,
} CgroupIoLimit;
bool cgroup_set_io_weight(Cgroup *group, uint64_t weight, GError **err);
bool cgroup_get_io_weight(Cgroup *group, uint64_t *ret, GError **err);
/* Of the block device at @path. @value 0 takes a limit away. */
bool cgroup_set_io_limit(Cgroup *group, const char *path, CgroupIoLimit limit, uint64_t value,
                         GError **err);

/* Removes the group and those within; waits shortly for the last process to leave. */
void cgroup_remove(Cgroup *group);
void cgroup_free(Cgroup *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cgroup, cgroup_free)

#endif
