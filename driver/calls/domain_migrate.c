/* domain_migrate.c - the calls that migrate domains to another host.
 *
 * The protocol without typed parameters is the same with fewer of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

/* ---- arguments ---- */

/* One of the parameters that are offered, into @ret. */
static bool
take_param(const WireTypedParam *param, DomainMigrate *ret, GError **err)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {
        { VIR_MIGRATE_PARAM_URI, &ret->uri },
        { VIR_MIGRATE_PARAM_DEST_NAME, &ret->name },
        { VIR_MIGRATE_PARAM_DEST_XML, &ret->xml },
        { VIR_MIGRATE_PARAM_PERSIST_XML, &ret->persist_xml },
        { VIR_MIGRATE_PARAM_LISTEN_ADDRESS, &ret->listen_address },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (g_strcmp0(param->field, texts[i].name) != 0)
            continue;
        *texts[i].to = param->value.WireTypedValue_u.s;
        return param->value.type == VIR_TYPED_PARAM_STRING ||
               kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "invalid type of parameter '%s': a string is expected", param->field);
    }
    if (g_strcmp0(param->field, VIR_MIGRATE_PARAM_BANDWIDTH) == 0) {
        ret->bandwidth = param->value.WireTypedValue_u.ul;
        return param->value.type == VIR_TYPED_PARAM_ULLONG ||
               kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "invalid type of parameter '%s': an unsigned long long is expected",
                              param->field);
    }
    return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                          "migration parameter '%s' is not offered", param->field);
}

static bool
take_params(const WireTypedParam *params, guint n, unsigned flags, DomainMigrate *ret, GError **err)
{
    *ret = (DomainMigrate){ .flags = flags };
    for (guint i = 0; i < n; i++)
        if (!take_param(&params[i], ret, err))
            return false;
    return true;
}
#define TAKE_PARAMS(args, ret, err)                                                                \
    take_params((args)->params.params_val, (args)->params.params_len, (args)->flags, ret, err)

#define TAKE_COOKIE(args, ret)                                                                     \
    ((ret)->cookie = (args)->cookie.cookie_val, (ret)->cookie_length = (args)->cookie.cookie_len)

/* Takes @text. */
static void
give_cookie(char *text, u_int *ret_len, char **ret_val)
{
    *ret_val = text;
    *ret_len = text ? (u_int)strlen(text) : 0;
}
#define GIVE_COOKIE(text, ret)                                                                     \
    give_cookie(text, &(ret)->cookie.cookie_len, &(ret)->cookie.cookie_val)

/* ---- the source begins ---- */

static bool
begin(Call *call, const DomainMigrate *migrate, MigrateBeginRet *ret, GError **err)
{
    char *cookie = NULL;

    ret->xml = domain_migrate_begin(call->domain, migrate, call->connection, &cookie, err);
    GIVE_COOKIE(cookie, ret);
    return ret->xml != NULL;
}

bool
call_domain_migrate_begin3_params(Call *call, const MigrateBeginParamsArgs *args,
                                  MigrateBeginRet *ret, GError **err)
{
    DomainMigrate migrate;

    return TAKE_PARAMS(args, &migrate, err) && begin(call, &migrate, ret, err);
}

bool
call_domain_migrate_begin3(Call *call, const MigrateBeginArgs *args, MigrateBeginRet *ret,
                           GError **err)
{
    DomainMigrate migrate = { .flags = (unsigned)args->flags,
                              .xml = wire_opt_text(args->xml),
                              .name = wire_opt_text(args->dname),
                              .bandwidth = args->resource };

    return begin(call, &migrate, ret, err);
}

/* ---- the destination prepares ---- */

static bool
prepare(Call *call, const DomainMigrate *migrate, MigratePrepareRet *ret, GError **err)
{
    g_autofree char *uri = NULL;
    char *cookie = NULL;

    if (!domain_manager_migrate_prepare(call->services->domains, migrate, call->connection, &cookie,
                                        &uri, err))
        return false;
    GIVE_COOKIE(cookie, ret);
    /* a client that says where has no need to be told, unless the port was open */
    ret->uri = wire_opt_string(uri);
    return true;
}

bool
call_domain_migrate_prepare3_params(Call *call, const MigratePrepareParamsArgs *args,
                                    MigratePrepareRet *ret, GError **err)
{
    DomainMigrate migrate;

    if (!TAKE_PARAMS(args, &migrate, err))
        return false;
    TAKE_COOKIE(args, &migrate);
    return prepare(call, &migrate, ret, err);
}

bool
call_domain_migrate_prepare3(Call *call, const MigratePrepareArgs *args, MigratePrepareRet *ret,
                             GError **err)
{
    DomainMigrate migrate = { .flags = (unsigned)args->flags,
                              .uri = wire_opt_text(args->uri),
                              .name = wire_opt_text(args->dname),
                              .xml = args->xml,
                              .bandwidth = args->resource };

    TAKE_COOKIE(args, &migrate);
    return prepare(call, &migrate, ret, err);
}

/* ---- the source performs ---- */

/* The destination's answer to Prepare serves its Finish as well. */
static bool
perform(Call *call, const DomainMigrate *migrate, MigrateCookieRet *ret, GError **err)
{
    if (!domain_migrate_perform(call->domain, migrate, call->connection, err))
        return false;
    ret->cookie.cookie_val = g_memdup2(migrate->cookie, migrate->cookie_length);
    ret->cookie.cookie_len = (u_int)migrate->cookie_length;
    return true;
}

bool
call_domain_migrate_perform3_params(Call *call, const MigratePerformParamsArgs *args,
                                    MigrateCookieRet *ret, GError **err)
{
    DomainMigrate migrate;

    if (!TAKE_PARAMS(args, &migrate, err))
        return false;
    TAKE_COOKIE(args, &migrate);
    return perform(call, &migrate, ret, err);
}

bool
call_domain_migrate_perform3(Call *call, const MigratePerformArgs *args, MigrateCookieRet *ret,
                             GError **err)
{
    DomainMigrate migrate = { .flags = (unsigned)args->flags,
                              .uri = wire_opt_text(args->uri),
                              .name = wire_opt_text(args->dname),
                              .xml = wire_opt_text(args->xml),
                              .bandwidth = args->resource };

    TAKE_COOKIE(args, &migrate);
    return perform(call, &migrate, ret, err);
}

/* ---- the destination finishes ---- */

static bool
finish(Call *call, const DomainMigrate *migrate, bool cancelled, MigrateFinishRet *ret,
       GError **err)
{
    char *cookie = NULL;
    Domain *domain = domain_manager_migrate_finish(call->services->domains, migrate,
                                                   call->connection, cancelled, &cookie, err);

    GIVE_COOKIE(cookie, ret);
    return domain_reply_take(domain, &ret->dom);
}

bool
call_domain_migrate_finish3_params(Call *call, const MigrateFinishParamsArgs *args,
                                   MigrateFinishRet *ret, GError **err)
{
    DomainMigrate migrate;

    if (!TAKE_PARAMS(args, &migrate, err))
        return false;
    TAKE_COOKIE(args, &migrate);
    return finish(call, &migrate, args->cancelled, ret, err);
}

bool
call_domain_migrate_finish3(Call *call, const MigrateFinishArgs *args, MigrateFinishRet *ret,
                            GError **err)
{
    DomainMigrate migrate = { .flags = (unsigned)args->flags, .name = args->dname };

    TAKE_COOKIE(args, &migrate);
    return finish(call, &migrate, args->cancelled, ret, err);
}

/* ---- the source confirms ---- */

bool
call_domain_migrate_confirm3_params(Call *call, const MigrateConfirmParamsArgs *args, WireVoid *ret,
                                    GError **err)
{
    DomainMigrate migrate;

    (void)ret;
    return TAKE_PARAMS(args, &migrate, err) &&
           domain_migrate_confirm(call->domain, &migrate, call->connection, args->cancelled, err);
}

bool
call_domain_migrate_confirm3(Call *call, const MigrateConfirmArgs *args, WireVoid *ret,
                             GError **err)
{
    DomainMigrate migrate = { .flags = (unsigned)args->flags };

    (void)ret;
    return domain_migrate_confirm(call->domain, &migrate, call->connection, args->cancelled, err);
}

/* ---- limits ---- */

static bool
check_speed_flags(Call *call, unsigned flags, GError **err)
{
    if (!flags)
        return true;
    if (!domain_is_active(call->domain))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    return kiln_error_set(
        err, VIR_ERR_OPERATION_UNSUPPORTED,
        "post-copy migration, whose bandwidth VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY "
        "is about, is not supported");
}

bool
call_domain_migrate_set_max_speed(Call *call, const MigrateLimitArgs *args, WireVoid *ret,
                                  GError **err)
{
    (void)ret;
    return check_speed_flags(call, args->flags, err) &&
           domain_migrate_set_speed(call->domain, args->value, err);
}

bool
call_domain_migrate_get_max_speed(Call *call, const DomainFlagsArgs *args, HyperRet *ret,
                                  GError **err)
{
    ret->value = domain_migrate_speed(call->domain);
    return check_speed_flags(call, args->flags, err);
}

bool
call_domain_migrate_set_max_downtime(Call *call, const MigrateLimitArgs *args, WireVoid *ret,
                                     GError **err)
{
    (void)ret;
    return domain_migrate_set_downtime(call->domain, args->value, err);
}

bool
call_domain_migrate_get_max_downtime(Call *call, const DomainFlagsArgs *args, HyperRet *ret,
                                     GError **err)
{
    (void)args;
    return domain_migrate_downtime(call->domain, &ret->value, err);
}
