/* storage_list.c - the calls that list storage pools and volumes, and find what could be pools.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/storage/storage.h"

enum {
    LIST_FLAGS =
        VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE | VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE |
        VIR_CONNECT_LIST_STORAGE_POOLS_PERSISTENT | VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT |
        VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART | VIR_CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART |
        VIR_CONNECT_LIST_STORAGE_POOLS_DIR | VIR_CONNECT_LIST_STORAGE_POOLS_FS |
        VIR_CONNECT_LIST_STORAGE_POOLS_NETFS | VIR_CONNECT_LIST_STORAGE_POOLS_LOGICAL |
        VIR_CONNECT_LIST_STORAGE_POOLS_DISK | VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI |
        VIR_CONNECT_LIST_STORAGE_POOLS_SCSI | VIR_CONNECT_LIST_STORAGE_POOLS_MPATH |
        VIR_CONNECT_LIST_STORAGE_POOLS_RBD | VIR_CONNECT_LIST_STORAGE_POOLS_SHEEPDOG |
        VIR_CONNECT_LIST_STORAGE_POOLS_GLUSTER | VIR_CONNECT_LIST_STORAGE_POOLS_ZFS |
        VIR_CONNECT_LIST_STORAGE_POOLS_VSTORAGE | VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT,
};

bool
call_connect_list_all_storage_pools(Call *call, const ListArgs *args, PoolListRet *ret,
                                    GError **err)
{
    g_autoptr(GPtrArray) list = NULL;

    if (!call_check_flags(args->flags, LIST_FLAGS, "virConnectListAllStoragePools", err))
        return false;
    list = storage_manager_list(call->services->storage, args->flags);
    if (list->len > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "Too many storage pools '%u' for limit '%d'",
                              list->len, WIRE_OBJECTS_MAX);
    ret->count = list->len;
    if (!args->need_results)
        return true;
    ret->pools.pools_val = g_new0(WirePool, list->len);
    ret->pools.pools_len = list->len;
    for (guint i = 0; i < list->len; i++) {
        const StoragePool *pool = list->pdata[i];

        wire_pool_set(&ret->pools.pools_val[i], storage_pool_name(pool), storage_pool_uuid(pool));
    }
    return true;
}

static bool
check_max(int max, GError **err)
{
    return (max >= 0 && max <= WIRE_OBJECTS_MAX) ||
           kiln_error_set(err, VIR_ERR_RPC, "too many names asked for: %d, limit is %d", max,
                          WIRE_OBJECTS_MAX);
}

static bool
list_names(Call *call, unsigned flags, int max, NamesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = NULL;
    GPtrArray *names;

    if (!check_max(max, err))
        return false;
    list = storage_manager_list(call->services->storage, flags);
    names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < list->len; i++)
        g_ptr_array_add(names, g_strdup(storage_pool_name(list->pdata[i])));
    wire_names_steal(names, (guint)max, &ret->names.names_len, &ret->names.names_val);
    return true;
}

static int
count(Call *call, unsigned flags)
{
    g_autoptr(GPtrArray) list = storage_manager_list(call->services->storage, flags);

    return (int)list->len;
}

bool
call_connect_list_storage_pools(Call *call, const MaxArgs *args, NamesRet *ret, GError **err)
{
    return list_names(call, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE, args->max, ret, err);
}

bool
call_connect_list_defined_storage_pools(Call *call, const MaxArgs *args, NamesRet *ret,
                                        GError **err)
{
    return list_names(call, VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE, args->max, ret, err);
}

bool
call_connect_num_of_storage_pools(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = count(call, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
    return true;
}

bool
call_connect_num_of_defined_storage_pools(Call *call, const WireVoid *args, IntRet *ret,
                                          GError **err)
{
    (void)args;
    (void)err;
    ret->value = count(call, VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE);
    return true;
}

bool
call_storage_pool_num_of_volumes(Call *call, const PoolArgs *args, IntRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = storage_pool_volumes(call->pool, err);

    (void)args;
    ret->value = list ? (int)list->len : -1;
    return list != NULL;
}

bool
call_storage_pool_list_volumes(Call *call, const PoolMaxArgs *args, NamesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = NULL;
    GPtrArray *names;

    if (!check_max(args->max, err) || !(list = storage_pool_volumes(call->pool, err)))
        return false;
    names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < list->len; i++)
        g_ptr_array_add(names, g_strdup(storage_vol_name(list->pdata[i])));
    wire_names_steal(names, (guint)args->max, &ret->names.names_len, &ret->names.names_val);
    return true;
}

bool
call_storage_pool_list_all_volumes(Call *call, const PoolListAllVolumesArgs *args,
                                   VolumeListRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = NULL;

    list = storage_pool_volumes(call->pool, err);
    if (!list)
        return false;
    if (list->len > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "Too many volumes '%u' for limit '%d'", list->len,
                              WIRE_OBJECTS_MAX);
    ret->count = list->len;
    if (!args->need_results)
        return true;
    ret->vols.vols_val = g_new0(WireVolume, list->len);
    ret->vols.vols_len = list->len;
    for (guint i = 0; i < list->len; i++) {
        const StorageVol *vol = list->pdata[i];

        wire_volume_set(&ret->vols.vols_val[i], storage_pool_name(call->pool),
                        storage_vol_name(vol), storage_vol_key(vol));
    }
    return true;
}

bool
call_connect_find_storage_pool_sources(Call *call, const PoolSourcesArgs *args, StringRet *ret,
                                       GError **err)
{
    if (!call_check_flags(args->flags, 0, "virConnectFindStoragePoolSources", err))
        return false;
    ret->value = storage_manager_find_sources(call->services->storage, args->type,
                                              wire_opt_text(args->spec), err);
    return ret->value != NULL;
}

bool
call_connect_get_storage_pool_capabilities(Call *call, const FlagsArgs *args, StringRet *ret,
                                           GError **err)
{
    (void)call;
    if (!call_check_flags(args->flags, 0, "virConnectGetStoragePoolCapabilities", err))
        return false;
    ret->value = storage_capabilities();
    return true;
}
