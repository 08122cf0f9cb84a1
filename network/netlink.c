/* netlink.c - links, addresses and routes by rtnetlink.
 *
 * Attributes as in linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h. The kernel checks all that
 * is sent; what it sends is walked with libnl's bounded accessors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/netlink.h"

#include "util/error.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <unistd.h>

/* Not in libnl's public list, which has "nl_msg" only by name. */
typedef struct nl_msg NlMsg;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NlMsg, nlmsg_free)

struct Netlink {
    struct nl_sock *sock;
};

Netlink *
netlink_open(GError **err)
{
    struct nl_sock *sock = nl_socket_alloc();
    Netlink *nl;
    int rc;

    if (!sock) {
        kiln_error_set(err, VIR_ERR_NO_MEMORY, "cannot make a netlink socket");
        return NULL;
    }
    rc = nl_connect(sock, NETLINK_ROUTE);
    if (rc < 0) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot open a netlink socket: %s",
                       nl_geterror(rc));
        nl_socket_free(sock);
        return NULL;
    }
    nl_socket_disable_seq_check(sock);
    nl = g_new0(Netlink, 1);
    nl->sock = sock;
    return nl;
}

void
netlink_close(Netlink *nl)
{
    if (!nl)
        return;
    nl_socket_free(nl->sock);
    g_free(nl);
}

/* The kernel's answers come as libnl's own numbers, which lose some errno values; so the answer is
 * read here. Callbacks are set per request, so that a dump and an acknowledgement share one way. */
typedef struct {
    int error; /* positive errno, 0: done */
    bool done;
    void (*each)(struct nlmsghdr *hdr, void *opaque);
    void *opaque;
} Answer;

static int
answer_error(struct sockaddr_nl *who, struct nlmsgerr *e, void *arg)
{
    Answer *answer = arg;

    (void)who;
    answer->error = -e->error;
    answer->done = true;
    return NL_STOP;
}

static int
answer_done(struct nl_msg *msg, void *arg)
{
    Answer *answer = arg;

    (void)msg;
    answer->done = true;
    return NL_STOP;
}

static int
answer_each(struct nl_msg *msg, void *arg)
{
    Answer *answer = arg;

    if (answer->each)
        answer->each(nlmsg_hdr(msg), answer->opaque);
    return NL_OK;
}

/* Sends @msg and reads the whole answer. Returns 0 or -errno. */
static int
transact(Netlink *nl, struct nl_msg *msg, void (*each)(struct nlmsghdr *hdr, void *opaque),
         void *opaque)
{
    Answer answer = { .each = each, .opaque = opaque };
    struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
    int rc;

    if (!cb)
        return -ENOMEM;
    nl_cb_err(cb, NL_CB_CUSTOM, answer_error, &answer);
    nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, answer_done, &answer);
    nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, answer_done, &answer);
    nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, answer_each, &answer);
    rc = nl_send_auto(nl->sock, msg);
    while (rc >= 0 && !answer.done)
        rc = nl_recvmsgs(nl->sock, cb);
    nl_cb_put(cb);
    if (answer.error)
        return -answer.error;
    return answer.done ? 0 : -EIO;
}

int
netlink_transact(Netlink *nl, struct nl_msg *msg)
{
    return transact(nl, msg, NULL, NULL);
}

/* --- links ------------------------------------------------------------------------------ */

static struct nl_msg *
link_message(int type, int flags, unsigned index)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index };
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (!msg || nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) < 0)
        g_error("out of memory for a netlink message");
    return msg;
}

static void
link_parse(struct nlmsghdr *hdr, void *opaque)
{
    NetlinkLink *link = opaque;
    struct nlattr *attr[IFLA_MAX + 1] = { NULL };
    struct nlattr *info[IFLA_INFO_MAX + 1] = { NULL };
    struct ifinfomsg *ifi;

    if (hdr->nlmsg_type != RTM_NEWLINK || nlmsg_parse(hdr, sizeof(*ifi), attr, IFLA_MAX, NULL) < 0)
        return;
    ifi = nlmsg_data(hdr);
    link->index = (unsigned)ifi->ifi_index;
    link->flags = ifi->ifi_flags;
    if (attr[IFLA_IFNAME])
        g_strlcpy(link->name, nla_get_string(attr[IFLA_IFNAME]), sizeof(link->name));
    if (attr[IFLA_MASTER])
        link->master = nla_get_u32(attr[IFLA_MASTER]);
    if (attr[IFLA_LINK])
        link->below = nla_get_u32(attr[IFLA_LINK]);
    if (attr[IFLA_MTU])
        link->mtu = nla_get_u32(attr[IFLA_MTU]);
    if (attr[IFLA_ADDRESS] && nla_len(attr[IFLA_ADDRESS]) == sizeof(link->mac))
        memcpy(link->mac, nla_data(attr[IFLA_ADDRESS]), sizeof(link->mac));
    if (attr[IFLA_LINKINFO] &&
        nla_parse_nested(info, IFLA_INFO_MAX, attr[IFLA_LINKINFO], NULL) == 0 &&
        info[IFLA_INFO_KIND])
        g_strlcpy(link->kind, nla_get_string(info[IFLA_INFO_KIND]), sizeof(link->kind));
    if (attr[IFLA_STATS64]) {
        struct rtnl_link_stats64 st = { 0 };

        nla_memcpy(&st, attr[IFLA_STATS64], sizeof(st));
        link->rx_bytes = st.rx_bytes;
        link->rx_packets = st.rx_packets;
        link->rx_errors = st.rx_errors;
        link->rx_dropped = st.rx_dropped;
        link->tx_bytes = st.tx_bytes;
        link->tx_packets = st.tx_packets;
        link->tx_errors = st.tx_errors;
        link->tx_dropped = st.tx_dropped;
    }
}

bool
netlink_link_find(Netlink *nl, const char *name, NetlinkLink *ret, GError **err)
{
    g_autoptr(NlMsg) msg = link_message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, 0);
    NetlinkLink link = { 0 };
    int rc;

    if (strlen(name) >= IFNAMSIZ)
        return false;
    nla_put_string(msg, IFLA_IFNAME, name);
    rc = transact(nl, msg, link_parse, &link);
    if (rc == -ENODEV)
        return false;
    if (rc < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc,
                                    "cannot look at network interface '%s'", name);
    *ret = link;
    return true;
}

bool
netlink_link_exists(const char *name)
{
    g_autoptr(Netlink) nl = netlink_open(NULL);
    NetlinkLink link;

    return nl && netlink_link_find(nl, name, &link, NULL);
}

bool
netlink_link_index(Netlink *nl, const char *name, unsigned *ret_index, GError **err)
{
    NetlinkLink link = { 0 };
    GError *inner = NULL;

    if (netlink_link_find(nl, name, &link, &inner)) {
        *ret_index = link.index;
        return true;
    }
    if (inner) {
        g_propagate_error(err, inner);
        return false;
    }
    return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "there is no network interface '%s'", name);
}

bool
netlink_bridge_add(Netlink *nl, const char *name, const uint8_t mac[6], bool stp, uint64_t delay,
                   uint64_t mtu, GError **err)
{
    g_autoptr(NlMsg) msg =
        link_message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0);
    struct nlattr *info, *data;
    int rc;

    nla_put_string(msg, IFLA_IFNAME, name);
    nla_put(msg, IFLA_ADDRESS, 6, mac);
    if (mtu)
        nla_put_u32(msg, IFLA_MTU, (uint32_t)mtu);
    info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, "bridge");
    data = nla_nest_start(msg, IFLA_INFO_DATA);
    /* In hundredths of a second. */
    nla_put_u32(msg, IFLA_BR_FORWARD_DELAY, (uint32_t)(delay * 100));
    nla_put_u32(msg, IFLA_BR_STP_STATE, stp);
    nla_nest_end(msg, data);
    nla_nest_end(msg, info);
    rc = transact(nl, msg, NULL, NULL);
    if (rc == -EOPNOTSUPP)
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                              "cannot create bridge '%s': this kernel has no bridge support "
                              "(load the 'bridge' module)",
                              name);
    if (rc < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc, "cannot create bridge '%s'",
                                    name);
    return true;
}

bool
netlink_macvtap_add(Netlink *nl, const char *name, const NetlinkLink *below, const uint8_t mac[6],
                    uint32_t mode, GError **err)
{
    g_autoptr(NlMsg) msg =
        link_message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0);
    struct ifinfomsg *ifi = nlmsg_data(nlmsg_hdr(msg));
    struct nlattr *info, *data;
    int rc;

    ifi->ifi_flags = ifi->ifi_change = IFF_ALLMULTI;
    nla_put_string(msg, IFLA_IFNAME, name);
    nla_put_u32(msg, IFLA_LINK, below->index);
    nla_put(msg, IFLA_ADDRESS, 6, mac);
    info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, "macvtap");
    data = nla_nest_start(msg, IFLA_INFO_DATA);
    nla_put_u32(msg, IFLA_MACVLAN_MODE, mode);
    nla_nest_end(msg, data);
    nla_nest_end(msg, info);
    rc = transact(nl, msg, NULL, NULL);
    if (rc == -EEXIST)
        return kiln_error_set(err, VIR_ERR_RESOURCE_BUSY,
                              "interface '%s' exists already: a guest needs a <target dev=''/> of "
                              "its own",
                              name);
    if (rc == -EOPNOTSUPP)
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                              "cannot create macvtap interface '%s': this kernel has no support "
                              "for it (load the 'macvtap' module)",
                              name);
    if (rc == -EBUSY || rc == -EINVAL)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc,
                                    "cannot create macvtap interface '%s': device '%s' is taken by "
                                    "a bridge, or by another guest that has it passed through",
                                    name, below->name);
    if (rc < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc,
                                    "cannot create macvtap interface '%s' on '%s'", name,
                                    below->name);
    return true;
}

bool
netlink_link_delete(Netlink *nl, const char *name, GError **err)
{
    g_autoptr(NlMsg) msg = link_message(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 0);
    int rc;

    nla_put_string(msg, IFLA_IFNAME, name);
    rc = transact(nl, msg, NULL, NULL);
    if (rc < 0 && rc != -ENODEV)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc,
                                    "cannot delete network interface '%s'", name);
    return true;
}

/* Sends a change of one link that @msg describes. */
static bool
link_change(Netlink *nl, const char *name, struct nl_msg *msg, const char *what, GError **err)
{
    int rc = transact(nl, msg, NULL, NULL);

    if (rc < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc,
                                    "cannot %s network interface '%s'", what, name);
    return true;
}

bool
netlink_link_set_up(Netlink *nl, const char *name, bool up, GError **err)
{
    g_autoptr(NlMsg) msg = NULL;
    struct ifinfomsg *ifi;
    unsigned index;

    if (!netlink_link_index(nl, name, &index, err))
        return false;
    msg = link_message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, index);
    ifi = nlmsg_data(nlmsg_hdr(msg));
    ifi->ifi_change = IFF_UP;
    ifi->ifi_flags = up ? IFF_UP : 0;
    return link_change(nl, name, msg, up ? "bring up" : "take down", err);
}

bool
netlink_link_set_mac(Netlink *nl, const char *name, const uint8_t mac[6], GError **err)
{
    g_autoptr(NlMsg) msg = NULL;
    unsigned index;

    if (!netlink_link_index(nl, name, &index, err))
        return false;
    msg = link_message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, index);
    nla_put(msg, IFLA_ADDRESS, 6, mac);
    return link_change(nl, name, msg, "set the MAC address of", err);
}

bool
netlink_link_set_mtu(Netlink *nl, const char *name, uint64_t mtu, GError **err)
{
    g_autoptr(NlMsg) msg = NULL;
    unsigned index;

    if (!netlink_link_index(nl, name, &index, err))
        return false;
    msg = link_message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, index);
    nla_put_u32(msg, IFLA_MTU, (uint32_t)mtu);
    return link_change(nl, name, msg, "set the MTU of", err);
}

bool
netlink_link_set_master(Netlink *nl, const char *name, const char *bridge, GError **err)
{
    g_autoptr(NlMsg) msg = NULL;
    unsigned index, master = 0;

    if (!netlink_link_index(nl, name, &index, err) ||
        (bridge && !netlink_link_index(nl, bridge, &master, err)))
        return false;
    msg = link_message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, index);
    nla_put_u32(msg, IFLA_MASTER, master);
    return link_change(nl, name, msg, bridge ? "attach to its bridge" : "detach from its bridge",
                       err);
}

bool
netlink_port_set_isolated(Netlink *nl, const char *name, bool isolated, GError **err)
{
    g_autoptr(NlMsg) msg = NULL;
    struct ifinfomsg *ifi;
    struct nlattr *info;
    unsigned index;

    if (!netlink_link_index(nl, name, &index, err))
        return false;
    msg = link_message(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, index);
    ifi = nlmsg_data(nlmsg_hdr(msg));
    ifi->ifi_family = AF_BRIDGE;
    info = nla_nest_start(msg, IFLA_PROTINFO);
    nla_put_u8(msg, IFLA_BRPORT_ISOLATED, isolated);
    nla_nest_end(msg, info);
    return link_change(nl, name, msg, "isolate", err);
}

/* --- addresses and routes --------------------------------------------------------------- */

bool
netlink_address_add(Netlink *nl, const char *name, const IpAddr *ip, unsigned prefix, GError **err)
{
    g_autoptr(NlMsg) msg = NULL;
    g_autofree char *text = ip_format(ip);
    struct ifaddrmsg ifa = { .ifa_family = (uint8_t)ip->family, .ifa_prefixlen = (uint8_t)prefix };
    unsigned index = 0;
    int rc;

    if (!netlink_link_index(nl, name, &index, err))
        return false;
    ifa.ifa_index = index;
    /* The bridge is the only holder, and waiting for duplicate detection on a bridge without a
     * carrier would keep dnsmasq from binding. */
    if (ip->family == AF_INET6)
        ifa.ifa_flags = IFA_F_NODAD;
    msg = nlmsg_alloc_simple(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    nlmsg_append(msg, &ifa, sizeof(ifa), NLMSG_ALIGNTO);
    nla_put(msg, IFA_LOCAL, (int)ip_bits(ip) / 8, ip->bytes);
    nla_put(msg, IFA_ADDRESS, (int)ip_bits(ip) / 8, ip->bytes);
    if (ip->family == AF_INET && prefix < 31) {
        IpAddr broadcast = ip_last(ip, prefix);

        nla_put(msg, IFA_BROADCAST, 4, broadcast.bytes);
    }
    rc = transact(nl, msg, NULL, NULL);
    if (rc < 0 && rc != -EEXIST)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc,
                                    "cannot give address %s/%u to '%s'", text, prefix, name);
    return true;
}

bool
netlink_route_add(Netlink *nl, const char *name, const IpAddr *net, unsigned prefix,
                  const IpAddr *gateway, uint64_t metric, GError **err)
{
    g_autoptr(NlMsg) msg = NULL;
    g_autofree char *text = ip_format(net);
    g_autofree char *via = ip_format(gateway);
    struct rtmsg rtm = {
        .rtm_family = (uint8_t)net->family,
        .rtm_dst_len = (uint8_t)prefix,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = RT_SCOPE_UNIVERSE,
        .rtm_type = RTN_UNICAST,
    };
    unsigned index;
    int rc;

    if (!netlink_link_index(nl, name, &index, err))
        return false;
    msg = nlmsg_alloc_simple(RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO);
    nla_put(msg, RTA_DST, (int)ip_bits(net) / 8, net->bytes);
    nla_put(msg, RTA_GATEWAY, (int)ip_bits(gateway) / 8, gateway->bytes);
    nla_put_u32(msg, RTA_OIF, index);
    if (metric)
        nla_put_u32(msg, RTA_PRIORITY, (uint32_t)metric);
    rc = transact(nl, msg, NULL, NULL);
    if (rc < 0 && rc != -EEXIST)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc,
                                    "cannot add a route to %s/%u via %s on '%s'", text, prefix, via,
                                    name);
    return true;
}

static IpAddr
attr_ip(int family, struct nlattr *attr)
{
    IpAddr ip = { .family = family };

    if (attr)
        nla_memcpy(ip.bytes, attr, family == AF_INET6 ? 16 : 4);
    return ip;
}

static void
address_parse(struct nlmsghdr *hdr, void *opaque)
{
    GPtrArray *list = opaque;
    struct nlattr *attr[IFA_MAX + 1] = { NULL };
    struct ifaddrmsg *ifa;
    NetlinkAddress *out;

    if (hdr->nlmsg_type != RTM_NEWADDR || nlmsg_parse(hdr, sizeof(*ifa), attr, IFA_MAX, NULL) < 0)
        return;
    ifa = nlmsg_data(hdr);
    if ((ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6) ||
        (!attr[IFA_LOCAL] && !attr[IFA_ADDRESS]))
        return;
    out = g_new0(NetlinkAddress, 1);
    out->ip = attr_ip(ifa->ifa_family, attr[IFA_LOCAL] ? attr[IFA_LOCAL] : attr[IFA_ADDRESS]);
    out->prefix = ifa->ifa_prefixlen;
    if (!if_indextoname(ifa->ifa_index, out->ifname))
        out->ifname[0] = '\0';
    g_ptr_array_add(list, out);
}

static void
route_parse(struct nlmsghdr *hdr, void *opaque)
{
    GPtrArray *list = opaque;
    struct nlattr *attr[RTA_MAX + 1] = { NULL };
    struct rtmsg *rtm;
    NetlinkRoute *out;

    if (hdr->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(hdr, sizeof(*rtm), attr, RTA_MAX, NULL) < 0)
        return;
    rtm = nlmsg_data(hdr);
    if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
        rtm->rtm_table != RT_TABLE_MAIN || rtm->rtm_type != RTN_UNICAST)
        return;
    out = g_new0(NetlinkRoute, 1);
    out->net = attr_ip(rtm->rtm_family, attr[RTA_DST]);
    out->prefix = rtm->rtm_dst_len;
    out->from_ra = rtm->rtm_protocol == RTPROT_RA;
    if (!attr[RTA_OIF] || !if_indextoname(nla_get_u32(attr[RTA_OIF]), out->ifname))
        out->ifname[0] = '\0';
    g_ptr_array_add(list, out);
}

static GPtrArray *
dump(Netlink *nl, int type, size_t body, void (*each)(struct nlmsghdr *hdr, void *opaque),
     const char *what, GError **err)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(NlMsg) msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_DUMP);
    char zeros[32] = { 0 };
    int rc;

    nlmsg_append(msg, zeros, body, NLMSG_ALIGNTO);
    rc = transact(nl, msg, each, list);
    if (rc < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc, "cannot list the host's %s", what);
        return NULL;
    }
    return g_steal_pointer(&list);
}

GPtrArray *
netlink_addresses(Netlink *nl, GError **err)
{
    return dump(nl, RTM_GETADDR, sizeof(struct ifaddrmsg), address_parse, "addresses", err);
}

GPtrArray *
netlink_routes(Netlink *nl, GError **err)
{
    return dump(nl, RTM_GETROUTE, sizeof(struct rtmsg), route_parse, "routes", err);
}
