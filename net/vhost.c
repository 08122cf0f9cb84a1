/* vhost.c - the ioctls of vhost-net and vhost-vsock (linux/vhost.h).
 *
 * Leaves out: dirty logging, IOTLB.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/vhost.h"

#include <errno.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>

static int
vhost_call(int fd, unsigned long request, void *arg)
{
    return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int
vhost_net_own(int fd)
{
    int r = vhost_call(fd, VHOST_SET_OWNER, NULL);

    return r == -EBUSY ? 0 : r;
}

int
vhost_net_features(int fd, uint64_t *ret_features)
{
    return vhost_call(fd, VHOST_GET_FEATURES, ret_features);
}

static int
vhost_set_memory(int fd, const VhostRegion *regions, size_t n)
{
    g_autofree struct vhost_memory *table =
        g_malloc0(sizeof(*table) + n * sizeof(table->regions[0]));

    table->nregions = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        table->regions[i].guest_phys_addr = regions[i].gpa;
        table->regions[i].memory_size = regions[i].size;
        table->regions[i].userspace_addr = (uintptr_t)regions[i].host;
    }
    return vhost_call(fd, VHOST_SET_MEM_TABLE, table);
}

static int
vhost_set_ring(int fd, unsigned index, const VhostRing *ring)
{
    struct vhost_vring_state num = { .index = index, .num = ring->size };
    struct vhost_vring_state base = { .index = index, .num = ring->last_avail };
    struct vhost_vring_addr addr = {
        .index = index,
        .desc_user_addr = (uintptr_t)ring->desc,
        .avail_user_addr = (uintptr_t)ring->avail,
        .used_user_addr = (uintptr_t)ring->used,
    };
    struct vhost_vring_file kick = { .index = index, .fd = ring->kick_fd };
    struct vhost_vring_file call = { .index = index, .fd = ring->call_fd };
    int r = vhost_call(fd, VHOST_SET_VRING_NUM, &num);

    if (r == 0)
        r = vhost_call(fd, VHOST_SET_VRING_BASE, &base);
    if (r == 0)
        r = vhost_call(fd, VHOST_SET_VRING_ADDR, &addr);
    if (r == 0)
        r = vhost_call(fd, VHOST_SET_VRING_KICK, &kick);
    if (r == 0)
        r = vhost_call(fd, VHOST_SET_VRING_CALL, &call);
    return r;
}

int
vhost_net_connect(int fd, int packet_fd)
{
    for (unsigned i = VHOST_NET_RX; i <= VHOST_NET_TX; i++) {
        struct vhost_vring_file file = { .index = i, .fd = packet_fd };
        int r = vhost_call(fd, VHOST_NET_SET_BACKEND, &file);

        if (r < 0)
            return r;
    }
    return 0;
}

int
vhost_net_set_call(int fd, unsigned ring, int call_fd)
{
    struct vhost_vring_file call = { .index = ring, .fd = call_fd };

    return vhost_call(fd, VHOST_SET_VRING_CALL, &call);
}

static int
vhost_set_rings(int fd, uint64_t features, const VhostRegion *regions, size_t n_regions,
                const VhostRing rings[2])
{
    int r = vhost_call(fd, VHOST_SET_FEATURES, &features);

    if (r == 0)
        r = vhost_set_memory(fd, regions, n_regions);
    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = vhost_set_ring(fd, i, &rings[i]);
    return r;
}

/* @r: what went wrong before. */
static int
vhost_get_rings(int fd, int r, uint16_t ret_last_avail[2])
{
    for (unsigned i = 0; i < 2; i++) {
        struct vhost_vring_state base = { .index = i };
        int e = vhost_call(fd, VHOST_GET_VRING_BASE, &base);

        if (e == 0)
            ret_last_avail[i] = (uint16_t)base.num;
        else if (r == 0)
            r = e;
        vhost_net_set_call(fd, i, -1);
    }
    return r;
}

int
vhost_net_start(int fd, uint64_t features, const VhostRegion *regions, size_t n_regions,
                const VhostRing rings[2], int packet_fd)
{
    int r = vhost_set_rings(fd, features, regions, n_regions, rings);

    if (r == 0 && packet_fd >= 0)
        r = vhost_net_connect(fd, packet_fd);
    if (r < 0)
        vhost_net_connect(fd, -1);
    return r;
}

int
vhost_net_stop(int fd, uint16_t ret_last_avail[2])
{
    return vhost_get_rings(fd, vhost_net_connect(fd, -1), ret_last_avail);
}

int
vhost_vsock_set_cid(int fd, uint64_t cid)
{
    return vhost_call(fd, VHOST_VSOCK_SET_GUEST_CID, &cid);
}

static int
vhost_vsock_run(int fd, int running)
{
    return vhost_call(fd, VHOST_VSOCK_SET_RUNNING, &running);
}

int
vhost_vsock_start(int fd, uint64_t features, const VhostRegion *regions, size_t n_regions,
                  const VhostRing rings[2])
{
    int r = vhost_set_rings(fd, features, regions, n_regions, rings);

    return r == 0 ? vhost_vsock_run(fd, 1) : r;
}

int
vhost_vsock_stop(int fd, uint16_t ret_last_avail[2])
{
    return vhost_get_rings(fd, vhost_vsock_run(fd, 0), ret_last_avail);
}
