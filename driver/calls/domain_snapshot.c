/* domain_snapshot.c - the calls about snapshots of domains.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"
#include "util/error.h"

/* Takes @name. */
static bool
reply(Call *call, char *name, WireSnapshot *ret)
{
    if (!name)
        return false;
    ret->name = name;
    domain_reply_set(call->domain, &ret->dom);
    return true;
}

bool
call_domain_snapshot_create_xml(Call *call, const SnapshotCreateXmlArgs *args, SnapshotRet *ret,
                                GError **err)
{
    return reply(call, domain_snapshot_create(call->domain, args->xml, args->flags, err),
                 &ret->snap);
}

bool
call_domain_snapshot_get_xml_desc(Call *call, const SnapshotArgs *args, StringRet *ret,
                                  GError **err)
{
    ret->value = domain_snapshot_xml(call->domain, args->snap.name, args->flags, err);
    return ret->value != NULL;
}

/* --- lists ------------------------------------------------------------------------------------ */

static bool
reply_count(GPtrArray *names, IntRet *ret)
{
    if (!names)
        return false;
    ret->value = (int)names->len;
    g_ptr_array_unref(names);
    return true;
}

static bool
reply_names(GPtrArray *names, int max, NamesRet *ret)
{
    if (!names)
        return false;
    wire_names_steal(names, (guint)CLAMP(max, 0, WIRE_OBJECTS_MAX), &ret->names.names_len,
                     &ret->names.names_val);
    return true;
}

static bool
reply_all(Call *call, GPtrArray *taken, bool need, SnapshotListRet *ret, GError **err)
{
    g_autoptr(GPtrArray) names = taken;

    if (!names)
        return false;
    if (names->len > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "%u snapshots are more than the %d of one answer",
                              names->len, WIRE_OBJECTS_MAX);
    ret->count = (int)names->len;
    if (!need)
        return true;
    ret->snapshots.snapshots_val = g_new0(WireSnapshot, names->len);
    ret->snapshots.snapshots_len = names->len;
    for (guint i = 0; i < names->len; i++)
        reply(call, g_strdup(names->pdata[i]), &ret->snapshots.snapshots_val[i]);
    return true;
}

bool
call_domain_snapshot_num(Call *call, const DomainFlagsArgs *args, IntRet *ret, GError **err)
{
    return reply_count(domain_snapshot_list(call->domain, NULL, args->flags, err), ret);
}

bool
call_domain_snapshot_num_children(Call *call, const SnapshotArgs *args, IntRet *ret, GError **err)
{
    return reply_count(domain_snapshot_list(call->domain, args->snap.name, args->flags, err), ret);
}

bool
call_domain_snapshot_list_names(Call *call, const SnapshotListNamesArgs *args, NamesRet *ret,
                                GError **err)
{
    return reply_names(domain_snapshot_list(call->domain, NULL, args->flags, err), args->max, ret);
}

bool
call_domain_snapshot_list_children_names(Call *call, const SnapshotListChildrenNamesArgs *args,
                                         NamesRet *ret, GError **err)
{
    return reply_names(domain_snapshot_list(call->domain, args->snap.name, args->flags, err),
                       args->max, ret);
}

bool
call_domain_list_all_snapshots(Call *call, const SnapshotListAllArgs *args, SnapshotListRet *ret,
                               GError **err)
{
    return reply_all(call, domain_snapshot_list(call->domain, NULL, args->flags, err),
                     args->need_results, ret, err);
}

bool
call_domain_snapshot_list_all_children(Call *call, const SnapshotListAllChildrenArgs *args,
                                       SnapshotListRet *ret, GError **err)
{
    return reply_all(call, domain_snapshot_list(call->domain, args->snap.name, args->flags, err),
                     args->need_results, ret, err);
}

/* --- one -------------------------------------------------------------------------------------- */

bool
call_domain_snapshot_lookup_by_name(Call *call, const SnapshotLookupArgs *args, SnapshotRet *ret,
                                    GError **err)
{
    return domain_snapshot_exists(call->domain, args->name, err) &&
           reply(call, g_strdup(args->name), &ret->snap);
}

bool
call_domain_has_current_snapshot(Call *call, const DomainFlagsArgs *args, IntRet *ret, GError **err)
{
    g_autofree char *name = domain_snapshot_current(call->domain, NULL);

    (void)args;
    (void)err;
    ret->value = name != NULL;
    return true;
}

bool
call_domain_snapshot_current(Call *call, const DomainFlagsArgs *args, SnapshotRet *ret,
                             GError **err)
{
    (void)args;
    return reply(call, domain_snapshot_current(call->domain, err), &ret->snap);
}

bool
call_domain_snapshot_get_parent(Call *call, const SnapshotArgs *args, SnapshotRet *ret,
                                GError **err)
{
    return reply(call, domain_snapshot_parent(call->domain, args->snap.name, err), &ret->snap);
}

bool
call_domain_snapshot_is_current(Call *call, const SnapshotArgs *args, IntRet *ret, GError **err)
{
    g_autofree char *name = domain_snapshot_current(call->domain, NULL);

    ret->value = g_strcmp0(name, args->snap.name) == 0;
    return domain_snapshot_exists(call->domain, args->snap.name, err);
}

/* No snapshot is known that has none. */
bool
call_domain_snapshot_has_metadata(Call *call, const SnapshotArgs *args, IntRet *ret, GError **err)
{
    ret->value = 1;
    return domain_snapshot_exists(call->domain, args->snap.name, err);
}

bool
call_domain_revert_to_snapshot(Call *call, const SnapshotArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_snapshot_revert(call->domain, args->snap.name, args->flags, err);
}

bool
call_domain_snapshot_delete(Call *call, const SnapshotArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_snapshot_delete(call->domain, args->snap.name, args->flags, err);
}
