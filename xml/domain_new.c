/* domain_new.c - what is decided, and refused, only when a client defines or creates a guest: a
 * definition that is already stored goes on as it was.
 *
 * libvirt 9.0 behaves so for its QEMU driver (formatdomain: "CPU model and topology", "Memory
 * Allocation").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"

#include "util/error.h"

static bool
names_cpu(const DomainCpu *cpu)
{
    return cpu && (cpu->model || (cpu->mode && cpu->mode != DOMAIN_CPU_CUSTOM));
}

bool
domain_def_names_cpu(const DomainDef *def)
{
    return names_cpu(def->cpu);
}

/* A client reads back which processor the guest has, even if it asked for none. */
bool
domain_def_give_cpu(DomainDef *def, GError **err)
{
    DomainCpu *cpu = def->cpu;

    if (names_cpu(cpu))
        return true;
    if (cpu && cpu->features->len)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Non-empty feature list specified without CPU model");
    if (!cpu)
        cpu = def->cpu = xml_type_new(&domain_cpu_type);
    cpu->mode = DOMAIN_CPU_CUSTOM;
    cpu->match = DOMAIN_CPU_EXACT;
    cpu->check = DOMAIN_CPU_CHECK_NONE;
    cpu->fallback = DOMAIN_CPU_FALLBACK_FORBID;
    cpu->model = g_strdup(DOMAIN_DEFAULT_CPU);
    return true;
}

static bool
check_memory(const DomainDef *def, GError **err)
{
    return def->max_memory == XML_UNSET || (def->cpu && def->cpu->numa) ||
           kiln_error_set(
               err, VIR_ERR_CONFIG_UNSUPPORTED,
               "At least one numa node has to be configured when enabling memory hotplug");
}

static bool
check_devices(const DomainDef *def, GError **err)
{
    bool spice = false, needed = false;

    for (guint i = 0; i < def->controllers->len; i++)
        if (((const DomainController *)def->controllers->pdata[i])->type == DOMAIN_CONTROLLER_IDE &&
            !domain_def_is_pc(def))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "IDE controllers are unsupported for machine type '%s'; "
                                  "use bus='sata'",
                                  def->os.machine);
    for (guint i = 0; i < def->graphics->len; i++)
        spice |= ((const DomainGraphics *)def->graphics->pdata[i])->type == DOMAIN_GRAPHICS_SPICE;
    for (guint i = 0; i < def->channels->len; i++)
        needed |=
            ((const DomainChar *)def->channels->pdata[i])->source.type == DOMAIN_CHAR_SPICEVMC;
    for (guint i = 0; i < def->redirdevs->len; i++)
        needed |=
            ((const DomainRedirdev *)def->redirdevs->pdata[i])->source.type == DOMAIN_CHAR_SPICEVMC;
    return !needed || spice ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "chardev 'spicevmc' not supported without spice graphics");
}

bool
domain_def_as_new(DomainDef *def, bool keep_cpu, GError **err)
{
    return check_memory(def, err) && check_devices(def, err) &&
           (keep_cpu || domain_def_give_cpu(def, err));
}
