/* domain_guest.c - the calls that ask what a guest says of itself: name, addresses, processors,
 * information.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/connection.h"
#include "driver/calls/domain_reply.h"
#include "driver/calls/guest.h"
#include "driver/calls/handlers.h"
#include "network/network.h"
#include "util/error.h"

/* The first name that a network's DHCP has for one of the guest's interfaces. */
static char *
hostname_of_leases(Call *call, GError **err)
{
    g_autoptr(GPtrArray) ifaces = domain_interfaces(call->domain, err);

    for (guint i = 0; ifaces && i < ifaces->len; i++) {
        const DomainInterfaceInfo *info = ifaces->pdata[i];
        g_autoptr(Network) network = NULL;
        g_autoptr(GPtrArray) leases = NULL;

        if (!info->network || !info->mac || !call->services->networks)
            continue;
        network = network_manager_lookup_name(call->services->networks, info->network, NULL);
        leases = network ? network_leases(network, info->mac, NULL) : NULL;
        for (guint k = 0; leases && k < leases->len; k++)
            if (((const NetworkLease *)leases->pdata[k])->hostname)
                return g_strdup(((const NetworkLease *)leases->pdata[k])->hostname);
    }
    if (ifaces) {
        g_autofree char *name = domain_dup_name(call->domain);

        kiln_error_set(err, VIR_ERR_NO_HOSTNAME, "no hostname found for domain %s", name);
    }
    return NULL;
}

bool
call_domain_get_hostname(Call *call, const DomainFlagsArgs *args, StringRet *ret, GError **err)
{
    /* The agent knows, if nothing is said; readers of a read-only connection may not talk to it. */
    bool leases = args->flags == VIR_DOMAIN_GET_HOSTNAME_LEASE ||
                  (args->flags == 0 && call_connection_is_read_only(call->connection));

    ret->value = leases ? hostname_of_leases(call, err) : domain_guest_hostname(call->domain, err);
    return ret->value != NULL;
}

bool
call_guest_addresses(Call *call, DomainInterfaceAddressesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = domain_guest_interfaces(call->domain, err);

    if (!list)
        return false;
    ret->ifaces.ifaces_len = MIN(list->len, WIRE_INTERFACES_MAX);
    ret->ifaces.ifaces_val = g_new0(WireInterface, ret->ifaces.ifaces_len);
    for (guint i = 0; i < ret->ifaces.ifaces_len; i++) {
        const DomainGuestInterface *from = list->pdata[i];
        WireInterface *to = &ret->ifaces.ifaces_val[i];

        to->name = g_strdup(from->name);
        to->hwaddr = wire_opt_string(from->mac);
        to->addrs.addrs_len = MIN(from->addresses->len, WIRE_IP_ADDRS_MAX);
        to->addrs.addrs_val = g_new0(WireIpAddr, to->addrs.addrs_len);
        for (guint a = 0; a < to->addrs.addrs_len; a++) {
            const DomainGuestAddress *address =
                &g_array_index(from->addresses, DomainGuestAddress, a);

            to->addrs.addrs_val[a] =
                (WireIpAddr){ address->type, g_strdup(address->text), address->prefix };
        }
    }
    return true;
}

bool
call_domain_get_guest_vcpus(Call *call, const DomainFlagsArgs *args, DomainGetGuestVcpusRet *ret,
                            GError **err)
{
    DomainGuestVcpus vcpus = { 0 };
    WireParams *params;

    (void)args;
    if (!domain_guest_vcpus(call->domain, &vcpus, err))
        return false;
    params = wire_params_new();
    wire_params_add_string(params, "vcpus", vcpus.vcpus);
    wire_params_add_string(params, "online", vcpus.online);
    wire_params_add_string(params, "offlinable", vcpus.offlinable);
    domain_guest_vcpus_clear(&vcpus);
    wire_params_steal(params, &ret->params.params_len, &ret->params.params_val);
    return true;
}

bool
call_domain_set_guest_vcpus(Call *call, const DomainSetVcpuArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_set_guest_vcpus(call->domain, args->map, args->state, err);
}

static void
add_param(WireParams *params, const DomainGuestParam *from)
{
    switch (from->type) {
    case VIR_TYPED_PARAM_STRING:
        wire_params_add_string(params, from->field, from->text);
        break;
    case VIR_TYPED_PARAM_ULLONG:
        wire_params_add_ullong(params, from->field, from->number);
        break;
    case VIR_TYPED_PARAM_UINT:
        wire_params_add_uint(params, from->field, (unsigned)from->number);
        break;
    case VIR_TYPED_PARAM_BOOLEAN:
        wire_params_add_boolean(params, from->field, from->number);
        break;
    default:
        wire_params_add_int(params, from->field, (int)from->number);
    }
}

bool
call_domain_get_guest_info(Call *call, const DomainGetGuestInfoArgs *args,
                           DomainGetGuestInfoRet *ret, GError **err)
{
    g_autoptr(GArray) list = NULL;
    WireParams *params;

    if (!(list = domain_guest_info(call->domain, args->types, err)))
        return false;
    if (list->len > WIRE_GUEST_INFO_MAX)
        return kiln_error_set(err, VIR_ERR_RPC,
                              "the guest tells %u things, more than the %d of one answer; ask for "
                              "fewer types",
                              list->len, WIRE_GUEST_INFO_MAX);
    params = wire_params_new();
    for (guint i = 0; i < list->len; i++)
        add_param(params, &g_array_index(list, DomainGuestParam, i));
    wire_params_steal(params, &ret->params.params_len, &ret->params.params_val);
    return true;
}
