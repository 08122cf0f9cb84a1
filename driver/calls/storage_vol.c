/* storage_vol.c - the calls that find, make, change and read one storage volume.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/storage/storage.h"

/* Fills the result with @vol and lets go of it; false for NULL. */
static bool
reply_volume(StorageVol *vol, VolumeRet *ret)
{
    if (!vol)
        return false;
    wire_volume_set(&ret->vol, storage_pool_name(storage_vol_pool(vol)), storage_vol_name(vol),
                    storage_vol_key(vol));
    storage_vol_unref(vol);
    return true;
}

bool
call_storage_vol_lookup_by_name(Call *call, const PoolNameArgs *args, VolumeRet *ret, GError **err)
{
    return reply_volume(storage_pool_lookup_volume(call->pool, args->name, err), ret);
}

bool
call_storage_vol_lookup_by_key(Call *call, const NameArgs *args, VolumeRet *ret, GError **err)
{
    return reply_volume(storage_manager_lookup_key(call->services->storage, args->name, err), ret);
}

bool
call_storage_vol_lookup_by_path(Call *call, const NameArgs *args, VolumeRet *ret, GError **err)
{
    return reply_volume(storage_manager_lookup_path(call->services->storage, args->name, err), ret);
}

bool
call_storage_vol_create_xml(Call *call, const VolumeCreateXmlArgs *args, VolumeRet *ret,
                            GError **err)
{
    return reply_volume(storage_pool_create_volume(call->pool, args->xml, NULL, args->flags, err),
                        ret);
}

bool
call_storage_vol_create_xml_from(Call *call, const VolumeCreateXmlFromArgs *args, VolumeRet *ret,
                                 GError **err)
{
    g_autoptr(StorageVol) source = NULL;

    source = storage_manager_find_volume(call->services->storage, args->source.pool,
                                         args->source.name, err);
    return source &&
           reply_volume(storage_pool_create_volume(call->pool, args->xml, source, args->flags, err),
                        ret);
}

bool
call_storage_vol_delete(Call *call, const VolumeFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return call_check_flags(args->flags, VIR_STORAGE_VOL_DELETE_ZEROED, "virStorageVolDelete",
                            err) &&
           storage_vol_delete(call->volume, args->flags, err);
}

bool
call_storage_vol_resize(Call *call, const VolumeResizeArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return storage_vol_resize(call->volume, args->capacity, args->flags, err);
}

bool
call_storage_vol_wipe(Call *call, const VolumeFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return storage_vol_wipe(call->volume, VIR_STORAGE_VOL_WIPE_ALG_ZERO, err);
}

bool
call_storage_vol_wipe_pattern(Call *call, const VolumeWipePatternArgs *args, WireVoid *ret,
                              GError **err)
{
    (void)ret;
    return storage_vol_wipe(call->volume, args->algorithm, err);
}

static bool
get_info(Call *call, bool physical, VolumeGetInfoRet *ret, GError **err)
{
    StorageVolInfo info;

    if (!storage_vol_info(call->volume, &info, err))
        return false;
    ret->type = info.type;
    ret->capacity = info.capacity;
    ret->allocation = physical ? info.physical : info.allocation;
    return true;
}

bool
call_storage_vol_get_info(Call *call, const VolumeArgs *args, VolumeGetInfoRet *ret, GError **err)
{
    (void)args;
    return get_info(call, false, ret, err);
}

bool
call_storage_vol_get_info_flags(Call *call, const VolumeFlagsArgs *args, VolumeGetInfoRet *ret,
                                GError **err)
{
    return get_info(call, args->flags & VIR_STORAGE_VOL_GET_PHYSICAL, ret, err);
}

bool
call_storage_vol_get_xml_desc(Call *call, const VolumeFlagsArgs *args, StringRet *ret, GError **err)
{
    (void)args;
    ret->value = storage_vol_xml(call->volume, err);
    return ret->value != NULL;
}

bool
call_storage_vol_get_path(Call *call, const VolumeArgs *args, StringRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = g_strdup(storage_vol_path(call->volume));
    return true;
}
