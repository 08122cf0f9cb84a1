/* macvtap.c - a guest's NIC straight on a device of the host.
 *
 * Linux drivers/net/macvlan.c and tap.c, include/uapi/linux/if_link.h. Leaves out virtual functions
 * of SR-IOV devices.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/macvtap.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static uint32_t
kernel_mode(NetworkDirectMode mode)
{
    switch (mode) {
    case NETWORK_DIRECT_BRIDGE:
        return MACVLAN_MODE_BRIDGE;
    case NETWORK_DIRECT_PRIVATE:
        return MACVLAN_MODE_PRIVATE;
    case NETWORK_DIRECT_PASSTHROUGH:
        return MACVLAN_MODE_PASSTHRU;
    case NETWORK_DIRECT_VEPA:
        break;
    }
    return MACVLAN_MODE_VEPA;
}

static bool
open_queue(const char *name, const NetlinkLink *link, unsigned short flags, int *ret_fd,
           GError **err)
{
    struct ifreq ifr = { .ifr_flags = (short)flags };
    char path[32];
    int fd;

    snprintf(path, sizeof(path), "/dev/tap%u", link->index);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "cannot open %s of macvtap interface '%s'", path, name);
    g_strlcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot set up macvtap '%s'", name);
        close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

static bool
open_queues(const char *name, const NetlinkLink *link, unsigned queues, bool vnet_hdr, int *ret_fds,
            GError **err)
{
    unsigned short flags = IFF_TAP | IFF_NO_PI;

    if (vnet_hdr)
        flags |= IFF_VNET_HDR;
    if (queues > 1)
        flags |= IFF_MULTI_QUEUE;
    for (unsigned i = 0; i < queues; i++)
        if (!open_queue(name, link, flags, &ret_fds[i], err)) {
            while (i-- > 0)
                close(ret_fds[i]);
            return false;
        }
    return true;
}

bool
macvtap_open(Netlink *nl, const char *name, const char *dev, NetworkDirectMode mode,
             const uint8_t mac[6], unsigned queues, bool vnet_hdr, int *ret_fds, GError **err)
{
    NetlinkLink below = { 0 }, link = { 0 };
    GError *inner = NULL;

    if (!netlink_link_find(nl, dev, &below, &inner)) {
        if (inner)
            g_propagate_error(err, inner);
        else
            kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                           "there is no network device '%s' on this host: see 'ip link'", dev);
        return false;
    }
    if (!(below.flags & IFF_UP))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "network device '%s' is down: bring it up with 'ip link set %s up'",
                              dev, dev);
    if (!netlink_macvtap_add(nl, name, &below, mac, kernel_mode(mode), err))
        return false;
    /* Over a device that is passed through, the kernel makes it with the device's address; to
     * change it changes the device's as well, which gets its own back when the interface goes. */
    if ((mode == NETWORK_DIRECT_PASSTHROUGH && !netlink_link_set_mac(nl, name, mac, err)) ||
        !netlink_link_find(nl, name, &link, err) ||
        !open_queues(name, &link, queues, vnet_hdr, ret_fds, err)) {
        netlink_link_delete(nl, name, NULL);
        return false;
    }
    return true;
}

bool
macvtap_find(Netlink *nl, const char *name, const uint8_t mac[6], NetlinkLink *ret)
{
    NetlinkLink link = { 0 };

    if (!netlink_link_find(nl, name, &link, NULL) || strcmp(link.kind, "macvtap") != 0 ||
        memcmp(link.mac, mac, sizeof(link.mac)) != 0)
        return false;
    if (ret)
        *ret = link;
    return true;
}
