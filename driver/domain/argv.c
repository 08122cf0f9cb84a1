/* argv.c - the command line of kiln-vmm: identity, board, boot, control; the rest is in argv_*.c.
 *
 * docs/architecture.md, "The border between virtkilnd and kiln-vmm".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/argv.h"

#include <fcntl.h>
#include <string.h>

#include "util/error.h"

void
argv_add(Argv *argv, const char *option, const char *value)
{
    g_ptr_array_add(argv->args, g_strdup(option));
    if (value)
        g_ptr_array_add(argv->args, g_strdup(value));
}

void
argv_addf(Argv *argv, const char *option, const char *format, ...)
{
    va_list args;

    g_ptr_array_add(argv->args, g_strdup(option));
    va_start(args, format);
    g_ptr_array_add(argv->args, g_strdup_vprintf(format, args));
    va_end(args);
}

void
argv_add_json(Argv *argv, const char *option, JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, object);
    g_ptr_array_add(argv->args, g_strdup(option));
    g_ptr_array_add(argv->args, json_to_string(node, FALSE));
}

char *
argv_escape(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    return g_strjoinv(",,", parts);
}

char *
argv_fd(Argv *argv, int fd, const char *what)
{
    g_autofree char *escaped = argv_escape(what);

    if (fd < 0)
        return NULL;
    argv->next_set++;
    argv_addf(argv, "-add-fd", "set=%u,fd=%d,opaque=%s", argv->next_set, fd, escaped);
    return g_strdup_printf("/dev/fdset/%u", argv->next_set);
}

char *
argv_file(Argv *argv, const char *path, int flags, const char *what, GError **err)
{
    return argv_fd(argv, argv->config->ops->file(argv->config->opaque, path, flags, what, err),
                   path);
}

void
argv_uint(GString *out, const char *name, uint64_t value)
{
    if (value != XML_UNSET)
        g_string_append_printf(out, ",%s=%" G_GUINT64_FORMAT, name, value);
}

void
argv_switch(GString *out, const char *name, int tristate)
{
    if (tristate != TRISTATE_ABSENT)
        g_string_append_printf(out, ",%s=%s", name, tristate == TRISTATE_ON ? "on" : "off");
}

void
argv_text(GString *out, const char *name, const char *value)
{
    g_autofree char *safe = value ? argv_escape(value) : NULL;

    if (safe)
        g_string_append_printf(out, ",%s=%s", name, safe);
}

void
argv_virtio(GString *out, const DomainVirtioOptions *options)
{
    if (options->packed == TRISTATE_ON)
        argv_switch(out, "packed", TRISTATE_ON);
    if (options->page_per_vq == TRISTATE_ON)
        argv_switch(out, "page-per-vq", TRISTATE_ON);
}

void
argv_usb_address(const Argv *argv, const DomainDeviceInfo *info, GString *out)
{
    const DomainAddress *address = info->address;
    const DomainController *bus;

    if (!address || address->type != DOMAIN_ADDRESS_USB)
        return;
    bus = domain_def_controller(argv->def, DOMAIN_CONTROLLER_USB,
                                address->bus == XML_UNSET ? 0 : address->bus);
    g_string_append_printf(out, ",bus=%s.0", bus && bus->info.alias ? bus->info.alias : "usb");
    argv_text(out, "port", address->usb_port);
}

void
argv_pci_address(const Argv *argv, const DomainDeviceInfo *info, GString *out)
{
    const DomainAddress *address = info->address;
    const DomainController *bus;

    if (!address || address->type != DOMAIN_ADDRESS_PCI)
        return;
    bus = domain_def_controller(argv->def, DOMAIN_CONTROLLER_PCI,
                                address->bus == XML_UNSET ? 0 : address->bus);
    g_string_append_printf(out, ",bus=%s", bus && bus->info.alias ? bus->info.alias : "pcie.0");
    if (address->multifunction == TRISTATE_ON)
        g_string_append(out, ",multifunction=on");
    g_string_append_printf(out, ",addr=0x%x",
                           address->slot == XML_UNSET ? 0 : (unsigned)address->slot);
    if (address->function != XML_UNSET && address->function > 0)
        g_string_append_printf(out, ".0x%x", (unsigned)address->function);
}

static void
argv_identity(Argv *argv)
{
    g_autofree char *name = argv_escape(argv->def->name);

    argv_addf(argv, "-name", "guest=%s,debug-threads=on", name);
    argv_add(argv, "-uuid", argv->def->uuid);
    argv_add(argv, "-S", NULL);
    argv_add(argv, "-no-user-config", NULL);
    argv_add(argv, "-nodefaults", NULL);
}

static bool
argv_machine(Argv *argv, GError **err)
{
    bool numa = argv->def->cpu && argv->def->cpu->numa;
    g_autofree char *kvm = argv_file(argv, argv->config->kvm_device, O_RDWR, "KVM device", err);
    g_autoptr(GString) machine = g_string_new(argv->def->os.machine);

    if (!kvm || !argv_firmware(argv, machine, err))
        return false;
    if (!numa)
        g_string_append(machine, ",memory-backend=ram0");
    for (guint i = 0; i < argv->def->clock.timers->len; i++) {
        const DomainTimer *timer = argv->def->clock.timers->pdata[i];

        if (timer->name == DOMAIN_TIMER_HPET)
            g_string_append_printf(machine, ",hpet=%s",
                                   timer->present == TRISTATE_OFF ? "off" : "on");
    }
    if (argv->def->features && argv->def->features->msrs_unknown == 1) /* ignore */
        g_string_append(machine, ",unknown-msrs=ignore");
    /* SeaBIOS and what it boots speak on the serial line where the machine has no screen. */
    if (argv->def->os.bios_useserial == TRISTATE_ON)
        g_string_append(machine, ",graphics=off");
    argv_add(argv, "-machine", machine->str);
    argv_addf(argv, "-accel", "kvm,device=%s", kvm);
    return true;
}

static bool
argv_monitor(Argv *argv, GError **err)
{
    int fd = argv->config->ops->monitor(argv->config->opaque, err);

    if (fd < 0)
        return false;
    argv_addf(argv, "-chardev", "socket,id=charmonitor,fd=%d,server=on,wait=off", fd);
    argv_add(argv, "-mon", "chardev=charmonitor,id=monitor,mode=control");
    return true;
}

/* The date the guest's clock starts with, where that is not the host's. */
static char *
clock_date(const DomainClock *clock, GError **err)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autoptr(GTimeZone) zone = NULL;
    g_autoptr(GDateTime) then = NULL;
    int64_t seconds = 0;

    if (clock->offset == DOMAIN_CLOCK_TIMEZONE) {
        zone = g_time_zone_new_identifier(clock->timezone ? clock->timezone : "UTC");
        if (!zone) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "the host does not know the timezone '%s' of <clock>", clock->timezone);
            return NULL;
        }
        then = g_date_time_to_timezone(now, zone);
    } else if (clock->offset == DOMAIN_CLOCK_ABSOLUTE) {
        then = g_date_time_new_from_unix_utc(clock->start == XML_UNSET ? 0 : (gint64)clock->start);
    } else {
        if (clock->basis == 2)
            then = g_date_time_to_local(now);
        else
            then = g_date_time_ref(now);
        seconds = clock->adjustment ? g_ascii_strtoll(clock->adjustment, NULL, 10) : 0;
    }
    if (then && seconds != 0) {
        g_autoptr(GDateTime) base = g_steal_pointer(&then);

        then = g_date_time_add_seconds(base, seconds);
    }
    if (!then) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "<clock> starts at a time that has no date");
        return NULL;
    }
    return g_date_time_format(then, "%Y-%m-%dT%H:%M:%S");
}

static bool
argv_clock(Argv *argv, GError **err)
{
    const DomainClock *clock = &argv->def->clock;
    g_autofree char *date = NULL;

    switch (clock->offset) {
    case DOMAIN_CLOCK_ABSENT:
    case DOMAIN_CLOCK_UTC:
        argv_add(argv, "-rtc", "base=utc");
        return true;
    case DOMAIN_CLOCK_LOCALTIME:
        argv_add(argv, "-rtc", "base=localtime");
        return true;
    default:
        if (!(date = clock_date(clock, err)))
            return false;
        argv_addf(argv, "-rtc", "base=%s", date);
        return true;
    }
}

const char *
domain_reboot_action(const DomainDef *def)
{
    return def->on_reboot == DOMAIN_ACTION_RESTART || def->on_reboot == DOMAIN_ACTION_ABSENT
               ? "reset"
               : "shutdown";
}

/* The daemon decides what follows a power-off, so the VMM always stays for it; a reset is done
 * inside the VMM unless the definition wants the guest to end or stop with it. */
static void
argv_actions(Argv *argv)
{
    argv_add(argv, "-no-shutdown", NULL);
    argv_addf(argv, "-action", "reboot=%s,panic=pause", domain_reboot_action(argv->def));
}

static void
argv_isolation(Argv *argv)
{
    const char *crypto = argv->config->crypto ? ",crypto=on" : "";

    if (argv->config->sandbox_user)
        argv_addf(argv, "-sandbox", "on,user=%s%s", argv->config->sandbox_user, crypto);
    else
        argv_addf(argv, "-sandbox", "on%s", crypto);
    argv_add(argv, "-msg", "timestamp=on");
}

GPtrArray *
argv_build(const ArgvConfig *config, DomainDef *def, GError **err)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
    Argv argv = { .config = config, .def = def, .args = args };

    g_ptr_array_add(args, g_strdup(config->vmm));
    argv_identity(&argv);
    if (!argv_machine(&argv, err) || !argv_cpu(&argv, err) || !argv_memory(&argv, err) ||
        !argv_monitor(&argv, err) || !argv_clock(&argv, err))
        return NULL;
    argv_actions(&argv);
    if (config->incoming)
        argv_add(&argv, "-incoming", "defer");
    if (!argv_boot(&argv, err) || !argv_controllers(&argv, err) || !argv_disks(&argv, err) ||
        !argv_interfaces(&argv, err) || !argv_chars(&argv, err) || !argv_displays(&argv, err) ||
        !argv_others(&argv, err))
        return NULL;
    argv_isolation(&argv);
    g_ptr_array_add(args, NULL);
    return g_steal_pointer(&args);
}
