/* domain_vcpu.c - the calls about a guest's processors and where its threads run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"
#include "xml/xmltab.h"

/* Maps of host CPUs, as libvirt's API has them: bit n of byte n / 8. */

static bool
map_sizes_ok(int maps, int map_len, GError **err)
{
    return (maps >= 0 && map_len >= 0 && maps <= WIRE_VCPUINFO_MAX &&
            (gint64)maps * map_len <= WIRE_CPUMAPS_MAX) ||
           kiln_error_set(err, VIR_ERR_RPC, "%d maps of %d bytes are out of range, %d bytes in all",
                          maps, map_len, WIRE_CPUMAPS_MAX);
}

static void
map_fill(const char *cpus, char *map, int map_len)
{
    long host = sysconf(_SC_NPROCESSORS_CONF);
    g_autofree char *all = g_strdup_printf("0-%ld", MAX(host, 1) - 1);
    g_autoptr(GArray) numbers = xml_cpuset_numbers(cpus ? cpus : all);

    for (guint i = 0; i < numbers->len; i++) {
        unsigned cpu = g_array_index(numbers, unsigned, i);

        if (cpu / 8 < (unsigned)map_len)
            map[cpu / 8] |= 1 << (cpu % 8);
    }
}

/* CPUs that the host does not have are left out: clients send maps of whole bytes. */
static char *
map_text(const char *map, u_int len)
{
    g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(unsigned));
    long host = sysconf(_SC_NPROCESSORS_CONF);

    for (unsigned cpu = 0; cpu < len * 8 && cpu < (unsigned)MAX(host, 1); cpu++)
        if (map[cpu / 8] & (1 << (cpu % 8)))
            g_array_append_val(numbers, cpu);
    return numbers->len > 0 ? xml_cpuset_format(numbers) : g_strdup("");
}

bool
call_domain_get_max_vcpus(Call *call, const DomainArgs *args, IntRet *ret, GError **err)
{
    unsigned flags =
        VIR_DOMAIN_VCPU_MAXIMUM |
        (domain_is_active(call->domain) ? VIR_DOMAIN_VCPU_LIVE : VIR_DOMAIN_VCPU_CONFIG);

    (void)args;
    ret->value = domain_vcpu_count(call->domain, flags, err);
    return ret->value >= 0;
}

bool
call_domain_get_vcpus_flags(Call *call, const DomainFlagsArgs *args, IntRet *ret, GError **err)
{
    ret->value = domain_vcpu_count(call->domain, args->flags, err);
    return ret->value >= 0;
}

bool
call_domain_set_vcpus(Call *call, const DomainSetVcpusArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_set_vcpus(call->domain, args->count, VIR_DOMAIN_VCPU_LIVE, err);
}

bool
call_domain_set_vcpus_flags(Call *call, const DomainSetVcpusFlagsArgs *args, WireVoid *ret,
                            GError **err)
{
    (void)ret;
    return domain_set_vcpus(call->domain, args->count, args->flags, err);
}

bool
call_domain_set_vcpu(Call *call, const DomainSetVcpuArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_set_vcpu(call->domain, args->map, args->state, args->flags, err);
}

bool
call_domain_get_vcpus(Call *call, const DomainGetVcpusArgs *args, DomainGetVcpusRet *ret,
                      GError **err)
{
    g_autoptr(GArray) infos = NULL;
    g_autoptr(GPtrArray) pins = NULL;
    u_int n;

    if (!map_sizes_ok(args->max, args->map_len, err) ||
        !(infos = domain_vcpu_infos(call->domain, err)) ||
        !(pins = domain_pins(call->domain, DOMAIN_PIN_VCPU, VIR_DOMAIN_AFFECT_LIVE, err)))
        return false;
    n = MIN((u_int)args->max, infos->len);
    ret->info.info_val = g_new0(WireVcpuInfo, n + 1);
    ret->info.info_len = n;
    ret->maps.maps_len = n * args->map_len;
    ret->maps.maps_val = g_malloc0(ret->maps.maps_len + 1);
    for (u_int i = 0; i < n; i++) {
        const DomainVcpuInfo *info = &g_array_index(infos, DomainVcpuInfo, i);
        const DomainPinInfo *pin = info->number < pins->len ? pins->pdata[info->number] : NULL;

        ret->info.info_val[i].number = info->number;
        ret->info.info_val[i].state = info->state;
        ret->info.info_val[i].cpu_time = info->cpu_time;
        ret->info.info_val[i].cpu = info->cpu;
        map_fill(pin ? pin->cpus : NULL, ret->maps.maps_val + i * args->map_len, args->map_len);
    }
    return true;
}

static bool
pin(Call *call, DomainPinKind kind, unsigned id, const char *map, u_int len, unsigned flags,
    GError **err)
{
    g_autofree char *cpus = map_text(map, len);

    return domain_pin(call->domain, kind, id, cpus, flags, err);
}

bool
call_domain_pin_vcpu(Call *call, const DomainPinVcpuArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return pin(call, DOMAIN_PIN_VCPU, args->vcpu, args->map.map_val, args->map.map_len,
               VIR_DOMAIN_AFFECT_LIVE, err);
}

bool
call_domain_pin_vcpu_flags(Call *call, const DomainPinVcpuFlagsArgs *args, WireVoid *ret,
                           GError **err)
{
    (void)ret;
    return pin(call, DOMAIN_PIN_VCPU, args->vcpu, args->map.map_val, args->map.map_len, args->flags,
               err);
}

bool
call_domain_pin_emulator(Call *call, const DomainPinEmulatorArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return pin(call, DOMAIN_PIN_EMULATOR, 0, args->map.map_val, args->map.map_len, args->flags,
               err);
}

bool
call_domain_pin_iothread(Call *call, const DomainPinIothreadArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return pin(call, DOMAIN_PIN_IOTHREAD, args->id, args->map.map_val, args->map.map_len,
               args->flags, err);
}

static void
pins_reply(const GPtrArray *pins, u_int n, int map_len, DomainPinInfoRet *ret)
{
    ret->maps.maps_len = n * map_len;
    ret->maps.maps_val = g_malloc0(ret->maps.maps_len + 1);
    for (u_int i = 0; i < n; i++)
        map_fill(((const DomainPinInfo *)pins->pdata[i])->cpus, ret->maps.maps_val + i * map_len,
                 map_len);
    ret->count = n;
}

bool
call_domain_get_vcpu_pin_info(Call *call, const DomainGetVcpuPinInfoArgs *args,
                              DomainPinInfoRet *ret, GError **err)
{
    g_autoptr(GPtrArray) pins = NULL;

    if (!map_sizes_ok(args->maps, args->map_len, err) ||
        !(pins = domain_pins(call->domain, DOMAIN_PIN_VCPU, args->flags, err)))
        return false;
    pins_reply(pins, MIN((u_int)args->maps, pins->len), args->map_len, ret);
    return true;
}

bool
call_domain_get_emulator_pin_info(Call *call, const DomainGetEmulatorPinInfoArgs *args,
                                  DomainPinInfoRet *ret, GError **err)
{
    g_autoptr(GPtrArray) pins = NULL;

    if (!map_sizes_ok(1, args->map_len, err) ||
        !(pins = domain_pins(call->domain, DOMAIN_PIN_EMULATOR, args->flags, err)))
        return false;
    pins_reply(pins, 1, args->map_len, ret);
    return true;
}

bool
call_domain_get_iothread_info(Call *call, const DomainFlagsArgs *args,
                              DomainGetIothreadInfoRet *ret, GError **err)
{
    g_autoptr(GPtrArray) pins = domain_pins(call->domain, DOMAIN_PIN_IOTHREAD, args->flags, err);
    long host = sysconf(_SC_NPROCESSORS_CONF);
    u_int map_len = (MAX(host, 1) + 7) / 8;

    if (!pins)
        return false;
    ret->count = ret->info.info_len = pins->len;
    ret->info.info_val = g_new0(WireIothreadInfo, pins->len + 1);
    for (guint i = 0; i < pins->len; i++) {
        const DomainPinInfo *info = pins->pdata[i];
        WireIothreadInfo *entry = &ret->info.info_val[i];

        entry->id = info->id;
        entry->map.map_len = map_len;
        entry->map.map_val = g_malloc0(map_len);
        map_fill(info->cpus, entry->map.map_val, map_len);
    }
    return true;
}
