/* caps_net.c - <capability type='net'> of a node device.
 *
 * libvirt formatnode of 9.0; features by the SIOCETHTOOL requests of linux/ethtool.h. Left out:
 * features that need more than one request (rdma, txudptnl, switchdev).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/node/node_private.h"
#include "driver/nodedev/private.h"

/* In libvirt's order. A request that answers with a word; @bit of it, or 0 for any. */
static const struct {
    const char *name;
    uint32_t request, bit;
} features[] = {
    { "rx", ETHTOOL_GRXCSUM, 0 },
    { "tx", ETHTOOL_GTXCSUM, 0 },
    { "sg", ETHTOOL_GSG, 0 },
    { "tso", ETHTOOL_GTSO, 0 },
    { "gso", ETHTOOL_GGSO, 0 },
    { "gro", ETHTOOL_GGRO, 0 },
    { "lro", ETHTOOL_GFLAGS, ETH_FLAG_LRO },
    { "rxvlan", ETHTOOL_GFLAGS, ETH_FLAG_RXVLAN },
    { "txvlan", ETHTOOL_GFLAGS, ETH_FLAG_TXVLAN },
    { "ntuple", ETHTOOL_GFLAGS, ETH_FLAG_NTUPLE },
    { "rxhash", ETHTOOL_GFLAGS, ETH_FLAG_RXHASH },
};

static void
format_features(GString *xml, const char *ifname)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        struct ethtool_value value = { .cmd = features[i].request };
        struct ifreq req = { .ifr_data = (char *)&value };

        g_strlcpy(req.ifr_name, ifname, sizeof(req.ifr_name));
        if (ioctl(fd, SIOCETHTOOL, &req) == 0 &&
            (features[i].bit ? value.data & features[i].bit : value.data))
            xml_line(xml, 2, "<feature name='%s'/>", features[i].name);
    }
    close(fd);
}

void
device_format_net(GString *xml, const char *root, const DeviceFacts *facts)
{
    static const char *const states[] = { "unknown", "notpresent", "down", "lowerlayerdown",
                                          "testing", "dormant",    "up",   NULL };
    const char *ifname = device_property(facts, "INTERFACE");
    g_autofree char *address = device_attr(root, facts, "address");
    g_autofree char *state = device_attr(root, facts, "operstate");
    /* The kernel gives -1 where nobody knows. */
    guint64 speed =
        g_strcmp0(state, "up") == 0 ? device_attr_number(root, facts, "speed", 10, 0) : 0;

    ifname = ifname ? ifname : facts->sysname;
    xml_line(xml, 2, "<interface>%s</interface>", ifname);
    if (address)
        xml_line(xml, 2, "<address>%s</address>", address);
    if (speed > 0 && speed <= G_MAXINT)
        xml_line(xml, 2, "<link speed='%u' state='%s'/>", (unsigned)speed, state);
    else if (state && g_strv_contains(states, state))
        xml_line(xml, 2, "<link state='%s'/>", state);
    else
        xml_line(xml, 2, "<link/>");
    format_features(xml, ifname);
    xml_line(xml, 2, "<capability type='%s'/>",
             g_strcmp0(facts->devtype, "wlan") == 0 ? "80211" : "80203");
}
