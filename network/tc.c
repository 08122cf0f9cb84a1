/* tc.c - limits on what an interface carries, by the kernel's traffic control.
 *
 * tc-htb(8), tc-police(8), tc-matchall(8); messages of linux/rtnetlink.h, linux/pkt_sched.h and
 * linux/pkt_cls.h. Sent: an htb queue with one class for everything. Received: a policer on the
 * ingress hook. Leaves out guaranteed rates (floor).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/tc.h"

#include "util/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

enum {
    TC_TICK_SHIFT = 6,       /* the kernel's packet scheduler counts in units of 64 ns */
    TC_RATE_TABLE = 1024,    /* bytes; must be there, and is not read with a link layer given */
    TC_PACKET = 1600,        /* bytes of a packet with its headers */
    TC_BURST_PART = 250,     /* a burst that was not given: what the rate passes in 1/250 s */
    TC_SEGMENTS = 128 << 10, /* a guest hands over up to 64 KiB at once, headers beside them */
    TC_QUANTUM_MIN = TC_PACKET,
    TC_QUANTUM_MAX = 60000,
};

#define TC_ROOT TC_H_MAKE(1u << 16, 0)
#define TC_CLASS TC_H_MAKE(1u << 16, 1)
#define TC_LEAF TC_H_MAKE(2u << 16, 0)
#define TC_INGRESS_HANDLE TC_H_MAKE(0xffffu << 16, 0)

typedef struct nl_msg NlMsg;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NlMsg, nlmsg_free)

static NlMsg *
tc_message(int type, unsigned index, uint32_t handle, uint32_t parent, const char *kind)
{
    struct tcmsg tc = {
        .tcm_family = AF_UNSPEC,
        .tcm_ifindex = (int)index,
        .tcm_handle = handle,
        .tcm_parent = parent,
    };
    bool is_new = type != RTM_DELQDISC;
    NlMsg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_ACK |
                                              (is_new ? NLM_F_CREATE | NLM_F_EXCL : 0));

    if (type == RTM_NEWTFILTER)
        tc.tcm_info = TC_H_MAKE(1u << 16, htons(ETH_P_ALL));
    if (!msg || nlmsg_append(msg, &tc, sizeof(tc), NLMSG_ALIGNTO) < 0)
        g_error("out of memory for a netlink message");
    if (kind)
        nla_put_string(msg, TCA_KIND, kind);
    return msg;
}

static bool
tc_send(Netlink *nl, const char *name, NlMsg *msg, const char *what, GError **err)
{
    int rc = netlink_transact(nl, msg);

    if (rc == -EOPNOTSUPP || rc == -ENOENT)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "cannot limit the bandwidth of '%s': this kernel has no '%s' (load "
                              "its module, or remove <bandwidth>)",
                              name, what);
    if (rc < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, rc,
                                    "cannot limit the bandwidth of '%s' with '%s'", name, what);
    return true;
}

/* Bytes per second; the kernel's field has 32 bits. */
static bool
rate_of(const char *name, uint64_t kib, uint32_t *ret, GError **err)
{
    if (kib > UINT32_MAX / 1024)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "bandwidth %" G_GUINT64_FORMAT " KiB/s of '%s' is above the %u that "
                              "can be limited; remove it",
                              kib, name, UINT32_MAX / 1024);
    *ret = (uint32_t)kib * 1024;
    return true;
}

/* How long @bytes take at @rate, in the scheduler's units. */
static uint32_t
time_of(uint64_t bytes, uint32_t rate)
{
    return (uint32_t)MIN((bytes * UINT64_C(1000000000) / rate) >> TC_TICK_SHIFT,
                         (uint64_t)UINT32_MAX);
}

static uint64_t
burst_of(uint64_t kib, uint32_t rate)
{
    return kib ? MIN(kib, (uint64_t)UINT32_MAX) * 1024 : rate / TC_BURST_PART + TC_PACKET;
}

static struct tc_ratespec
ratespec(uint32_t rate)
{
    return (struct tc_ratespec){ .rate = rate, .linklayer = TC_LINKLAYER_ETHERNET, .cell_log = 3 };
}

static bool
add_class(Netlink *nl, const char *name, unsigned index, const NetworkLimit *limit, GError **err)
{
    g_autoptr(NlMsg) queue = tc_message(RTM_NEWQDISC, index, TC_ROOT, TC_H_ROOT, "htb");
    g_autoptr(NlMsg) class = tc_message(RTM_NEWTCLASS, index, TC_CLASS, TC_ROOT, "htb");
    g_autoptr(NlMsg) leaf = tc_message(RTM_NEWQDISC, index, TC_LEAF, TC_CLASS, "fq_codel");
    struct tc_htb_glob all = { .version = 3, .rate2quantum = 10, .defcls = 1 };
    struct tc_htb_opt opt = { 0 };
    struct nlattr *nest;
    uint32_t rate = 0, ceil = 0;

    if (!rate_of(name, limit->average, &rate, err) ||
        !rate_of(name, MAX(limit->peak, limit->average), &ceil, err))
        return false;
    opt.rate = ratespec(rate);
    opt.ceil = ratespec(ceil);
    opt.buffer = time_of(burst_of(limit->burst, rate), rate);
    opt.cbuffer = time_of(burst_of(0, ceil), ceil);
    opt.quantum = CLAMP(rate / 10, (uint32_t)TC_QUANTUM_MIN, (uint32_t)TC_QUANTUM_MAX);
    nest = nla_nest_start(queue, TCA_OPTIONS);
    nla_put(queue, TCA_HTB_INIT, sizeof(all), &all);
    nla_nest_end(queue, nest);
    nest = nla_nest_start(class, TCA_OPTIONS);
    nla_put(class, TCA_HTB_PARMS, sizeof(opt), &opt);
    nla_nest_end(class, nest);
    if (!tc_send(nl, name, queue, "sch_htb", err) || !tc_send(nl, name, class, "sch_htb", err))
        return false;
    /* keeps the queue short; a kernel without it keeps the class's own, which limits as well */
    netlink_transact(nl, leaf);
    return true;
}

static bool
add_policer(Netlink *nl, const char *name, unsigned index, const NetworkLimit *limit, GError **err)
{
    g_autoptr(NlMsg) hook =
        tc_message(RTM_NEWQDISC, index, TC_INGRESS_HANDLE, TC_H_INGRESS, "ingress");
    g_autoptr(NlMsg) filter = tc_message(RTM_NEWTFILTER, index, 0, TC_INGRESS_HANDLE, "matchall");
    struct tc_police police = { .action = TC_ACT_SHOT, .mtu = TC_SEGMENTS };
    const uint8_t table[TC_RATE_TABLE] = { 0 };
    struct nlattr *options, *actions, *first, *inner;
    uint32_t rate = 0;

    if (!rate_of(name, limit->average, &rate, err))
        return false;
    police.rate = ratespec(rate);
    /* without a burst: a second's worth, as libvirt */
    police.burst = time_of(
        MAX(limit->burst ? burst_of(limit->burst, rate) : (uint64_t)rate, (uint64_t)TC_PACKET),
        rate);
    options = nla_nest_start(filter, TCA_OPTIONS);
    actions = nla_nest_start(filter, TCA_MATCHALL_ACT);
    first = nla_nest_start(filter, 1);
    nla_put_string(filter, TCA_ACT_KIND, "police");
    inner = nla_nest_start(filter, TCA_ACT_OPTIONS);
    nla_put(filter, TCA_POLICE_TBF, sizeof(police), &police);
    nla_put(filter, TCA_POLICE_RATE, sizeof(table), table);
    nla_nest_end(filter, inner);
    nla_nest_end(filter, first);
    nla_nest_end(filter, actions);
    nla_nest_end(filter, options);
    return tc_send(nl, name, hook, "sch_ingress", err) &&
           tc_send(nl, name, filter, "act_police' or 'cls_matchall", err);
}

typedef bool AddLimit(Netlink *nl, const char *name, unsigned index, const NetworkLimit *limit,
                      GError **err);

/* Puts what @add makes in the place of the queue @handle below @parent, if there is one. */
static bool
replace_limit(Netlink *nl, const char *name, const NetworkLimit *limit, uint32_t handle,
              uint32_t parent, AddLimit *add, GError **err)
{
    g_autoptr(NlMsg) clear = NULL;
    unsigned index;

    if (limit->average == 0)
        return true;
    if (!netlink_link_index(nl, name, &index, err))
        return false;
    clear = tc_message(RTM_DELQDISC, index, handle, parent, NULL);
    netlink_transact(nl, clear);
    return add(nl, name, index, limit, err);
}

bool
tc_unlimit(Netlink *nl, const char *name, GError **err)
{
    g_autoptr(NlMsg) sent = NULL;
    g_autoptr(NlMsg) received = NULL;
    unsigned index;

    if (!netlink_link_index(nl, name, &index, err))
        return false;
    sent = tc_message(RTM_DELQDISC, index, 0, TC_H_ROOT, NULL);
    received = tc_message(RTM_DELQDISC, index, TC_INGRESS_HANDLE, TC_H_INGRESS, NULL);
    /* the kernel refuses where there is none */
    netlink_transact(nl, sent);
    netlink_transact(nl, received);
    return true;
}

bool
tc_limit_sent(Netlink *nl, const char *name, const NetworkLimit *limit, GError **err)
{
    return replace_limit(nl, name, limit, 0, TC_H_ROOT, add_class, err);
}

bool
tc_limit_received(Netlink *nl, const char *name, const NetworkLimit *limit, GError **err)
{
    return replace_limit(nl, name, limit, TC_INGRESS_HANDLE, TC_H_INGRESS, add_policer, err);
}
