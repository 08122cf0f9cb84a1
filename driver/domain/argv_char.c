/* argv_char.c - serial ports, consoles and channels on the command line of kiln-vmm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>

#include "driver/domain/argv.h"
#include "util/error.h"

/* A back end that takes a socket: listening for bind, connected for connect. */
static bool
chardev_socket(Argv *argv, DomainChar *device, const char *id, GError **err)
{
    bool connected = device->source.mode == DOMAIN_CHAR_CONNECT;
    int fd;

    if (device->source.type == DOMAIN_CHAR_TCP &&
        device->source.protocol > DOMAIN_CHAR_PROTOCOL_RAW)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "character device '%s': only the protocol 'raw' is offered over TCP",
                              device->info.alias);
    fd = argv->config->ops->socket(argv->config->opaque, device, connected, err);
    if (fd < 0)
        return false;
    argv_addf(argv, "-chardev", "socket,id=%s,fd=%d%s", id, fd,
              connected ? "" : ",server=on,wait=off");
    return true;
}

static bool
chardev_file(Argv *argv, const DomainChar *device, const char *id, GError **err)
{
    bool append = device->source.append == TRISTATE_ON;
    g_autofree char *what = g_strdup_printf("file of %s", device->info.alias);
    g_autofree char *name = NULL;

    name = argv_file(argv, device->source.path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC),
                     what, err);
    if (!name)
        return false;
    argv_addf(argv, "-chardev", "file,id=%s,path=%s,append=%s", id, name, append ? "on" : "off");
    return true;
}

static bool
argv_chardev(Argv *argv, DomainChar *device, const char *id, GError **err)
{
    int fd;

    if (device->source.log_file)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "character device '%s': <log> is not offered yet",
                              device->info.alias);
    switch (device->source.type) {
    case DOMAIN_CHAR_PTY:
        if ((fd = argv->config->ops->pty(argv->config->opaque, device, err)) < 0)
            return false;
        argv_addf(argv, "-chardev", "pty,id=%s,fd=%d", id, fd);
        return true;
    case DOMAIN_CHAR_NULL:
        argv_addf(argv, "-chardev", "null,id=%s", id);
        return true;
    case DOMAIN_CHAR_FILE:
        return chardev_file(argv, device, id, err);
    case DOMAIN_CHAR_UNIX:
    case DOMAIN_CHAR_TCP:
        return chardev_socket(argv, device, id, err);
    default:
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "character device '%s' of type '%s' is not offered yet",
                              device->info.alias, domain_char_types[device->source.type]);
    }
}

/* The place of a device on the virtio-serial bus. */
static void
append_port(const DomainDeviceInfo *info, GString *out)
{
    const DomainAddress *address = info->address;

    if (!address || address->type != DOMAIN_ADDRESS_VIRTIO_SERIAL)
        return;
    g_string_append_printf(out, ",bus=virtio-serial%u.%u",
                           address->controller == XML_UNSET ? 0 : (unsigned)address->controller,
                           address->bus == XML_UNSET ? 0 : (unsigned)address->bus);
    if (address->port != XML_UNSET)
        g_string_append_printf(out, ",nr=%u", (unsigned)address->port);
}

static bool
argv_serial(Argv *argv, DomainChar *serial, GError **err)
{
    g_autofree char *chardev = g_strdup_printf("char%s", serial->info.alias);

    if (serial->target > DOMAIN_SERIAL_ISA)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<serial> with target '%s' is not offered; use 'isa-serial'",
                              domain_serial_targets[serial->target]);
    if (!argv_chardev(argv, serial, chardev, err))
        return false;
    argv_addf(argv, "-device", "isa-serial,chardev=%s,id=%s,index=%" G_GUINT64_FORMAT, chardev,
              serial->info.alias, serial->port == XML_UNSET ? UINT64_C(0) : serial->port);
    return true;
}

bool
argv_console(Argv *argv, DomainChar *console, GError **err)
{
    g_autofree char *chardev = g_strdup_printf("char%s", console->info.alias);
    g_autoptr(GString) text = g_string_new(NULL);

    if (console->target != DOMAIN_CONSOLE_VIRTIO)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<console> with target '%s' is not offered; use 'serial' or 'virtio'",
                              domain_console_targets[console->target]);
    if (!argv_chardev(argv, console, chardev, err))
        return false;
    g_string_append(text, "virtconsole");
    append_port(&console->info, text);
    g_string_append_printf(text, ",chardev=%s,id=%s", chardev, console->info.alias);
    argv_add(argv, "-device", text->str);
    return true;
}

bool
argv_channel(Argv *argv, DomainChar *channel, GError **err)
{
    g_autofree char *chardev = g_strdup_printf("char%s", channel->info.alias);
    g_autoptr(GString) text = g_string_new("virtserialport");

    if (channel->target != DOMAIN_CHANNEL_VIRTIO)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<channel> with target '%s' is not offered; use 'virtio'",
                              domain_channel_targets[channel->target]);
    if (!argv_chardev(argv, channel, chardev, err))
        return false;
    append_port(&channel->info, text);
    g_string_append_printf(text, ",chardev=%s,id=%s", chardev, channel->info.alias);
    if (channel->name) {
        g_autofree char *name = argv_escape(channel->name);

        g_string_append_printf(text, ",name=%s", name);
    }
    argv_add(argv, "-device", text->str);
    return true;
}

bool
argv_chars(Argv *argv, GError **err)
{
    DomainDef *def = argv->def;

    for (guint i = 0; i < def->serials->len; i++)
        if (!argv_serial(argv, def->serials->pdata[i], err))
            return false;
    if (def->parallels->len > 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<parallel> ports are not offered yet");
    domain_def_mirror_console(def);
    for (guint i = 0; i < def->consoles->len; i++)
        if (!domain_def_console_is_serial(def, i) &&
            !argv_console(argv, def->consoles->pdata[i], err))
            return false;
    for (guint i = 0; i < def->channels->len; i++)
        if (!argv_channel(argv, def->channels->pdata[i], err))
            return false;
    return true;
}
