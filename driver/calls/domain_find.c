/* domain_find.c - the calls that find and list domains.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/domain/native.h"

void
domain_reply_set(Domain *domain, WireDomain *wire)
{
    g_autofree char *name = domain_dup_name(domain);

    wire_domain_set(wire, name, domain_uuid(domain), domain_id(domain));
}

bool
domain_reply_take(Domain *domain, WireDomain *wire)
{
    if (!domain)
        return false;
    domain_reply_set(domain, wire);
    domain_unref(domain);
    return true;
}

bool
call_domain_lookup_by_id(Call *call, const DomainLookupByIdArgs *args, DomainRet *ret, GError **err)
{
    return domain_reply_take(domain_manager_lookup_id(call->services->domains, args->id, err),
                             &ret->dom);
}

bool
call_domain_lookup_by_name(Call *call, const NameArgs *args, DomainRet *ret, GError **err)
{
    return domain_reply_take(domain_manager_lookup_name(call->services->domains, args->name, err),
                             &ret->dom);
}

bool
call_domain_lookup_by_uuid(Call *call, const UuidArgs *args, DomainRet *ret, GError **err)
{
    return domain_reply_take(
        domain_manager_lookup_uuid(call->services->domains, (const uint8_t *)args->uuid, NULL, err),
        &ret->dom);
}

static GPtrArray *
list(Call *call, unsigned flags)
{
    return domain_manager_list(call->services->domains, flags);
}

bool
call_connect_list_all_domains(Call *call, const ListArgs *args, DomainListRet *ret, GError **err)
{
    const unsigned known =
        VIR_CONNECT_LIST_DOMAINS_ACTIVE | VIR_CONNECT_LIST_DOMAINS_INACTIVE |
        VIR_CONNECT_LIST_DOMAINS_PERSISTENT | VIR_CONNECT_LIST_DOMAINS_TRANSIENT |
        VIR_CONNECT_LIST_DOMAINS_RUNNING | VIR_CONNECT_LIST_DOMAINS_PAUSED |
        VIR_CONNECT_LIST_DOMAINS_SHUTOFF | VIR_CONNECT_LIST_DOMAINS_OTHER |
        VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE | VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE |
        VIR_CONNECT_LIST_DOMAINS_AUTOSTART | VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART |
        VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT | VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT |
        VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT | VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT;
    g_autoptr(GPtrArray) all = NULL;

    if (!call_check_flags(args->flags, known, "virConnectListAllDomains", err))
        return false;
    all = list(call, args->flags);
    if (args->need_results && all->len > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC,
                              "%u domains are more than the limit of %d in a reply", all->len,
                              WIRE_OBJECTS_MAX);
    ret->count = all->len;
    if (!args->need_results)
        return true;
    ret->domains.domains_val = g_new0(WireDomain, all->len);
    ret->domains.domains_len = all->len;
    for (guint i = 0; i < all->len; i++)
        domain_reply_set(all->pdata[i], &ret->domains.domains_val[i]);
    return true;
}

bool
call_connect_num_of_domains(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = domain_manager_count_active(call->services->domains);
    return true;
}

bool
call_connect_num_of_defined_domains(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    g_autoptr(GPtrArray) all = list(call, VIR_CONNECT_LIST_DOMAINS_INACTIVE);

    (void)args;
    (void)err;
    ret->value = all->len;
    return true;
}

/* How many of @n the client has room for; false when its number makes no sense. */
static bool
check_max(int max, GError **err)
{
    return (max >= 0 && max <= WIRE_OBJECTS_MAX) ||
           kiln_error_set(err, VIR_ERR_RPC, "a list of %d is out of range, 0 to %d", max,
                          WIRE_OBJECTS_MAX);
}

bool
call_connect_list_domains(Call *call, const MaxArgs *args, DomainIdsRet *ret, GError **err)
{
    g_autoptr(GPtrArray) all = list(call, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    if (!check_max(args->max, err))
        return false;
    ret->ids.ids_val = g_new0(int, all->len + 1);
    for (guint i = 0; i < all->len && ret->ids.ids_len < (u_int)args->max; i++) {
        int id = domain_id(all->pdata[i]);

        if (id >= 0)
            ret->ids.ids_val[ret->ids.ids_len++] = id;
    }
    return true;
}

bool
call_connect_list_defined_domains(Call *call, const MaxArgs *args, NamesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) all = list(call, VIR_CONNECT_LIST_DOMAINS_INACTIVE);
    GPtrArray *names = NULL;

    if (!check_max(args->max, err))
        return false;
    names = g_ptr_array_new();
    for (guint i = 0; i < all->len; i++)
        g_ptr_array_add(names, domain_dup_name(all->pdata[i]));
    wire_names_steal(names, args->max, &ret->names.names_len, &ret->names.names_val);
    return true;
}

bool
call_connect_domain_xml_to_native(Call *call, const ConnectDomainXmlToNativeArgs *args,
                                  StringRet *ret, GError **err)
{
    if (!call_check_flags(args->flags, 0, "virConnectDomainXMLToNative", err))
        return false;
    ret->value = domain_manager_to_native(call->services->domains, args->format, args->xml, err);
    return ret->value != NULL;
}
