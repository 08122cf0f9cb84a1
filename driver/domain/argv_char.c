/* argv_char.c - serial and parallel ports, consoles and channels on the command line of kiln-vmm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>

#include "driver/domain/argv.h"
#include "util/error.h"

/* Connected by the VMM itself, again and again, from before its sandbox is closed: with @timeout
 * seconds in between. */
static bool
chardev_reconnect(Argv *argv, const DomainCharSource *source, const char *id, const char *log)
{
    g_autoptr(GString) text = g_string_new("socket");
    uint64_t timeout = source->reconnect_timeout == XML_UNSET ? 1 : source->reconnect_timeout;

    g_string_append_printf(text, ",id=%s", id);
    if (source->type == DOMAIN_CHAR_UNIX) {
        argv_text(text, "path", source->path ? source->path : "");
    } else {
        argv_text(text, "host", source->host ? source->host : "");
        argv_text(text, "port", source->service);
        if (source->protocol == DOMAIN_CHAR_PROTOCOL_TELNET)
            g_string_append(text, ",telnet=on");
    }
    g_string_append_printf(text, ",reconnect=%" G_GUINT64_FORMAT "%s", MAX(timeout, 1), log);
    argv_add(argv, "-chardev", text->str);
    return true;
}

/* A back end that takes a socket: listening for bind, connected for connect. */
static bool
chardev_socket(Argv *argv, DomainChar *device, const char *id, const char *log, GError **err)
{
    bool connected = device->source.mode == DOMAIN_CHAR_CONNECT, telnet = false;
    int fd;

    if (device->source.type == DOMAIN_CHAR_TCP) {
        if (device->source.protocol > DOMAIN_CHAR_PROTOCOL_TELNET)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "character device '%s': only the protocols 'raw' and 'telnet' "
                                  "are offered over TCP",
                                  device->info.alias);
        telnet = device->source.protocol == DOMAIN_CHAR_PROTOCOL_TELNET;
    }
    if (device->source.reconnect == TRISTATE_ON)
        return chardev_reconnect(argv, &device->source, id, log);
    fd = argv->config->ops->socket(argv->config->opaque, device, connected, err);
    if (fd < 0)
        return false;
    argv_addf(argv, "-chardev", "socket,id=%s,fd=%d%s%s%s", id, fd,
              connected ? "" : ",server=on,wait=off", telnet ? ",telnet=on" : "", log);
    return true;
}

/* The option value for a file that is written. */
static char *
chardev_open(Argv *argv, const DomainChar *device, const char *kind, const char *path, int append,
             GError **err)
{
    g_autofree char *what = g_strdup_printf("%s of %s", kind, device->info.alias);
    int how = append == TRISTATE_ON ? O_APPEND : O_TRUNC;

    return argv_file(argv, path, O_WRONLY | O_CREAT | how, what, err);
}

static bool
chardev_file(Argv *argv, const DomainChar *device, const char *id, const char *log, GError **err)
{
    const DomainCharSource *source = &device->source;
    g_autofree char *name = chardev_open(argv, device, "file", source->path, source->append, err);

    if (!name)
        return false;
    argv_addf(argv, "-chardev", "file,id=%s,path=%s,append=%s%s", id, name,
              source->append == TRISTATE_ON ? "on" : "off", log);
    return true;
}

/* <log>: the options for it; NULL with @err. */
static char *
chardev_log(Argv *argv, const DomainChar *device, GError **err)
{
    const DomainCharSource *source = &device->source;
    g_autofree char *name = NULL;

    if (!source->log_file)
        return g_strdup("");
    name = chardev_open(argv, device, "log", source->log_file, source->log_append, err);
    return name ? g_strdup_printf(",logfile=%s,logappend=%s", name,
                                  source->log_append == TRISTATE_ON ? "on" : "off")
                : NULL;
}

/* Datagrams go to the <source> that connects, from the one that is bound. */
static void
chardev_udp(Argv *argv, const DomainCharSource *source, const char *id, const char *log)
{
    g_autoptr(GString) text = g_string_new("udp");

    g_string_append_printf(text, ",id=%s", id);
    for (guint i = 0; i < source->udp->len; i++) {
        const DomainCharUdp *end = source->udp->pdata[i];
        bool bound = end->mode == DOMAIN_CHAR_BIND;

        if (end->host)
            argv_text(text, bound ? "localaddr" : "host", end->host);
        if (end->service)
            argv_text(text, bound ? "localport" : "port", end->service);
    }
    g_string_append(text, log);
    argv_add(argv, "-chardev", text->str);
}

static void
chardev_pipe(Argv *argv, const DomainCharSource *source, const char *id, const char *log)
{
    g_autoptr(GString) text = g_string_new("pipe");

    g_string_append_printf(text, ",id=%s", id);
    argv_text(text, "path", source->path);
    g_string_append(text, log);
    argv_add(argv, "-chardev", text->str);
}

static bool
argv_chardev(Argv *argv, DomainChar *device, const char *id, GError **err)
{
    g_autofree char *log = chardev_log(argv, device, err);
    int fd;

    if (!log)
        return false;
    switch (device->source.type) {
    case DOMAIN_CHAR_PTY:
        if ((fd = argv->config->ops->pty(argv->config->opaque, device, err)) < 0)
            return false;
        argv_addf(argv, "-chardev", "pty,id=%s,fd=%d%s", id, fd, log);
        return true;
    case DOMAIN_CHAR_NULL:
        argv_addf(argv, "-chardev", "null,id=%s%s", id, log);
        return true;
    case DOMAIN_CHAR_FILE:
        return chardev_file(argv, device, id, log, err);
    case DOMAIN_CHAR_UNIX:
    case DOMAIN_CHAR_TCP:
        return chardev_socket(argv, device, id, log, err);
    case DOMAIN_CHAR_UDP:
        chardev_udp(argv, &device->source, id, log);
        return true;
    case DOMAIN_CHAR_PIPE:
        chardev_pipe(argv, &device->source, id, log);
        return true;
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

static bool
argv_parallel(Argv *argv, DomainChar *parallel, GError **err)
{
    g_autofree char *chardev = g_strdup_printf("char%s", parallel->info.alias);

    if (!argv_chardev(argv, parallel, chardev, err))
        return false;
    argv_addf(argv, "-device", "isa-parallel,chardev=%s,id=%s,index=%" G_GUINT64_FORMAT, chardev,
              parallel->info.alias, parallel->port == XML_UNSET ? UINT64_C(0) : parallel->port);
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
    for (guint i = 0; i < def->parallels->len; i++)
        if (!argv_parallel(argv, def->parallels->pdata[i], err))
            return false;
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
