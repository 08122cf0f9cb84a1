/* domain_save.c - the calls that save domains and restore them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

bool
call_domain_core_dump(Call *call, const DomainCoreDumpArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_core_dump(call->domain, args->to, VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, args->flags,
                            err);
}

bool
call_domain_core_dump_with_format(Call *call, const DomainCoreDumpWithFormatArgs *args,
                                  WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_core_dump(call->domain, args->to, args->format, args->flags, err);
}

static bool
check_peek(unsigned size, GError **err)
{
    return size <= WIRE_PEEK_MAX ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG, "size %u is more than %d bytes", size,
                          WIRE_PEEK_MAX);
}

/* Takes @bytes, which may be NULL. */
static bool
answer_peek(GBytes *bytes, DomainPeekRet *ret)
{
    gsize size;

    if (!bytes)
        return false;
    ret->buffer.buffer_val = g_bytes_unref_to_data(bytes, &size);
    ret->buffer.buffer_len = (u_int)size;
    return true;
}

bool
call_domain_block_peek(Call *call, const DomainBlockPeekArgs *args, DomainPeekRet *ret,
                       GError **err)
{
    return check_peek(args->size, err) &&
           answer_peek(domain_block_peek(call->domain, args->path, args->offset, args->size, err),
                       ret);
}

bool
call_domain_memory_peek(Call *call, const DomainMemoryPeekArgs *args, DomainPeekRet *ret,
                        GError **err)
{
    return check_peek(args->size, err) &&
           answer_peek(domain_memory_peek(call->domain, args->offset, args->size, args->flags, err),
                       ret);
}

bool
call_domain_save(Call *call, const DomainSaveArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_save(call->domain, args->to, NULL, 0, err);
}

bool
call_domain_save_flags(Call *call, const DomainSaveFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_save(call->domain, args->to, wire_opt_text(args->dxml), args->flags, err);
}

bool
call_domain_managed_save(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_managed_save(call->domain, NULL, args->flags, err);
}

/* The text of parameter @name, NULL when it is not there. */
static bool
param_text(const WireTypedParam *params, guint n, const char *name, const char **ret, GError **err)
{
    const WireTypedParam *param = wire_params_find(params, n, name);

    if (!param)
        return true;
    if (param->value.type != VIR_TYPED_PARAM_STRING)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "invalid type of parameter '%s': string",
                              name);
    *ret = param->value.WireTypedValue_u.s;
    return true;
}

static bool
save_params(const WireTypedParam *params, guint n, const char **ret_file, const char **ret_xml,
            GError **err)
{
    for (guint i = 0; i < n; i++) {
        if (g_strcmp0(params[i].field, VIR_DOMAIN_SAVE_PARAM_FILE) != 0 &&
            g_strcmp0(params[i].field, VIR_DOMAIN_SAVE_PARAM_DXML) != 0)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "parameter '%s' not supported",
                                  params[i].field);
    }
    return param_text(params, n, VIR_DOMAIN_SAVE_PARAM_FILE, ret_file, err) &&
           param_text(params, n, VIR_DOMAIN_SAVE_PARAM_DXML, ret_xml, err);
}

/* Without a file it is a managed save. */
bool
call_domain_save_params(Call *call, const DomainSaveParamsArgs *args, WireVoid *ret, GError **err)
{
    const char *file = NULL, *xml = NULL;

    (void)ret;
    if (!save_params(args->params.params_val, args->params.params_len, &file, &xml, err))
        return false;
    return file ? domain_save(call->domain, file, xml, args->flags, err)
                : domain_managed_save(call->domain, xml, args->flags, err);
}

bool
call_domain_restore(Call *call, const DomainRestoreArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_manager_restore(call->services->domains, args->from, NULL, 0, err);
}

bool
call_domain_restore_flags(Call *call, const DomainRestoreFlagsArgs *args, WireVoid *ret,
                          GError **err)
{
    (void)ret;
    return domain_manager_restore(call->services->domains, args->from, wire_opt_text(args->dxml),
                                  args->flags, err);
}

bool
call_domain_restore_params(Call *call, const DomainRestoreParamsArgs *args, WireVoid *ret,
                           GError **err)
{
    const char *file = NULL, *xml = NULL;

    (void)ret;
    if (!save_params(args->params.params_val, args->params.params_len, &file, &xml, err))
        return false;
    if (!file)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "missing path to restore from");
    return domain_manager_restore(call->services->domains, file, xml, args->flags, err);
}

bool
call_domain_has_managed_save_image(Call *call, const DomainFlagsArgs *args, IntRet *ret,
                                   GError **err)
{
    (void)args;
    (void)err;
    ret->value = domain_has_managed_save(call->domain);
    return true;
}

bool
call_domain_managed_save_remove(Call *call, const DomainFlagsArgs *args, WireVoid *ret,
                                GError **err)
{
    (void)args;
    (void)ret;
    return domain_managed_save_remove(call->domain, err);
}

bool
call_domain_managed_save_get_xml_desc(Call *call, const DomainFlagsArgs *args, StringRet *ret,
                                      GError **err)
{
    ret->value = domain_managed_save_xml(call->domain, args->flags, err);
    return ret->value != NULL;
}

bool
call_domain_managed_save_define_xml(Call *call, const DomainManagedSaveDefineXmlArgs *args,
                                    WireVoid *ret, GError **err)
{
    const char *xml = wire_opt_text(args->dxml);

    (void)ret;
    if (!xml)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "no definition for the managed save");
    return domain_managed_save_define(call->domain, xml, args->flags, err);
}

bool
call_domain_save_image_get_xml_desc(Call *call, const DomainSaveImageGetXmlDescArgs *args,
                                    StringRet *ret, GError **err)
{
    ret->value = domain_save_image_xml(call->services->domains, args->file, args->flags, err);
    return ret->value != NULL;
}

bool
call_domain_save_image_define_xml(Call *call, const DomainSaveImageDefineXmlArgs *args,
                                  WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_save_image_define(call->services->domains, args->file, args->dxml, args->flags,
                                    err);
}
