/* storage_pool.c - the calls that find, define, start, change and read one storage pool.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/storage/storage.h"

enum {
    CREATE_FLAGS = VIR_STORAGE_POOL_CREATE_WITH_BUILD |
                   VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE |
                   VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE,
};

/* Fills the result with @pool and lets go of it; false for NULL. */
static bool
reply_pool(StoragePool *pool, PoolRet *ret)
{
    if (!pool)
        return false;
    wire_pool_set(&ret->pool, storage_pool_name(pool), storage_pool_uuid(pool));
    storage_pool_unref(pool);
    return true;
}

bool
call_storage_pool_lookup_by_name(Call *call, const NameArgs *args, PoolRet *ret, GError **err)
{
    return reply_pool(storage_manager_lookup_name(call->services->storage, args->name, err), ret);
}

bool
call_storage_pool_lookup_by_uuid(Call *call, const UuidArgs *args, PoolRet *ret, GError **err)
{
    return reply_pool(
        storage_manager_lookup_uuid(call->services->storage, (const uint8_t *)args->uuid, err),
        ret);
}

bool
call_storage_pool_lookup_by_volume(Call *call, const VolumeArgs *args, PoolRet *ret, GError **err)
{
    return reply_pool(storage_manager_lookup_name(call->services->storage, args->vol.pool, err),
                      ret);
}

bool
call_storage_pool_lookup_by_target_path(Call *call, const NameArgs *args, PoolRet *ret,
                                        GError **err)
{
    return reply_pool(storage_manager_lookup_target(call->services->storage, args->name, err), ret);
}

bool
call_storage_pool_define_xml(Call *call, const XmlFlagsArgs *args, PoolRet *ret, GError **err)
{
    return call_check_flags(args->flags, VIR_STORAGE_POOL_DEFINE_VALIDATE,
                            "virStoragePoolDefineXML", err) &&
           reply_pool(storage_manager_define(call->services->storage, args->xml, args->flags, err),
                      ret);
}

bool
call_storage_pool_create_xml(Call *call, const XmlFlagsArgs *args, PoolRet *ret, GError **err)
{
    return call_check_flags(args->flags, CREATE_FLAGS, "virStoragePoolCreateXML", err) &&
           reply_pool(storage_manager_create(call->services->storage, args->xml, args->flags, err),
                      ret);
}

bool
call_storage_pool_create(Call *call, const PoolFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return storage_pool_start(call->pool, args->flags, err);
}

bool
call_storage_pool_build(Call *call, const PoolFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return storage_pool_build(call->pool, args->flags, err);
}

bool
call_storage_pool_destroy(Call *call, const PoolArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return storage_pool_stop(call->pool, err);
}

bool
call_storage_pool_delete(Call *call, const PoolFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return storage_pool_delete(call->pool, args->flags, err);
}

bool
call_storage_pool_undefine(Call *call, const PoolArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return storage_pool_undefine(call->pool, err);
}

bool
call_storage_pool_refresh(Call *call, const PoolFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return storage_pool_refresh(call->pool, err);
}

bool
call_storage_pool_set_autostart(Call *call, const PoolSetAutostartArgs *args, WireVoid *ret,
                                GError **err)
{
    (void)ret;
    return storage_pool_set_autostart(call->pool, args->autostart != 0, err);
}

bool
call_storage_pool_get_autostart(Call *call, const PoolArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = storage_pool_autostart(call->pool);
    return true;
}

bool
call_storage_pool_is_active(Call *call, const PoolArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = storage_pool_is_active(call->pool);
    return true;
}

bool
call_storage_pool_is_persistent(Call *call, const PoolArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = storage_pool_is_persistent(call->pool);
    return true;
}

bool
call_storage_pool_get_xml_desc(Call *call, const PoolFlagsArgs *args, StringRet *ret, GError **err)
{
    (void)err;
    ret->value = storage_pool_xml(call->pool, args->flags);
    return true;
}

bool
call_storage_pool_get_info(Call *call, const PoolArgs *args, PoolGetInfoRet *ret, GError **err)
{
    StoragePoolInfo info;

    (void)args;
    (void)err;
    storage_pool_info(call->pool, &info);
    ret->state = info.state;
    ret->capacity = info.capacity;
    ret->allocation = info.allocation;
    ret->available = info.available;
    return true;
}
