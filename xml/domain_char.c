/* domain_char.c - the tables of <serial>, <parallel>, <console> and <channel> (libvirt formatdomain
 * "Consoles, serial, parallel & channel devices", schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_char.h"

#include "util/error.h"

#include <inttypes.h>

const char *const domain_char_types[] = {
    "",    "null", "vc",       "pty",       "dev",  "file",         "pipe", "stdio", "udp",
    "tcp", "unix", "spicevmc", "spiceport", "nmdm", "qemu-vdagent", "dbus", NULL,
};
static const char *const modes[] = { "", "connect", "bind", NULL };
static const char *const protocols[] = { "", "raw", "telnet", "telnets", "tls", NULL };
const char *const domain_serial_targets[] = {
    "",
    "isa-serial",
    "usb-serial",
    "pci-serial",
    "spapr-vio-serial",
    "system-serial",
    "sclp-serial",
    "isa-debug",
    NULL,
};
const char *const domain_console_targets[] = {
    "", "serial", "xen", "uml", "virtio", "lxc", "openvz", "sclp", "sclplm", NULL,
};
const char *const domain_channel_targets[] = { "", "guestfwd", "virtio", "xen", NULL };
static const char *const states[] = { "", "disconnected", "connected", NULL };

static const XmlRow udp_rows[] = {
    { NULL, "mode", XML_ENUM, offsetof(DomainCharUdp, mode), .names = modes },
    { NULL, "host", XML_STRING, offsetof(DomainCharUdp, host) },
    { NULL, "service", XML_STRING, offsetof(DomainCharUdp, service) },
};
static const XmlType udp_type = XML_TYPE("char-udp", DomainCharUdp, udp_rows);

#define S(field) offsetof(DomainCharSource, field)
#define PTY XML_WHEN(DOMAIN_CHAR_PTY)
#define DEV XML_WHEN(DOMAIN_CHAR_DEV)
#define FILE_ XML_WHEN(DOMAIN_CHAR_FILE)
#define PIPE XML_WHEN(DOMAIN_CHAR_PIPE)
#define TCP XML_WHEN(DOMAIN_CHAR_TCP)
#define UNIX XML_WHEN(DOMAIN_CHAR_UNIX)
#define UDP XML_WHEN(DOMAIN_CHAR_UDP)
#define NMDM XML_WHEN(DOMAIN_CHAR_NMDM)
#define VDAGENT XML_WHEN(DOMAIN_CHAR_QEMU_VDAGENT)
static const XmlRow source_rows[] = {
    { NULL, "type", XML_ENUM, S(type), .names = domain_char_types, .min = DOMAIN_CHAR_PTY },
    { "source", "mode", XML_ENUM, S(mode), .names = modes, .when = TCP | UNIX },
    { "source", "host", XML_STRING, S(host), .when = TCP },
    { "source", "service", XML_STRING, S(service), .when = TCP },
    { "source", "path", XML_STRING, S(path), XML_LIVE, .when = PTY },
    { "source", "path", XML_STRING, S(path), .when = DEV | FILE_ | PIPE | UNIX },
    { "source", "append", XML_ONOFF, S(append), .when = FILE_ },
    { "source", "tls", XML_YESNO, S(tls), .when = TCP },
    { "source", "channel", XML_STRING, S(channel),
      .when = XML_WHEN(DOMAIN_CHAR_SPICEPORT) | XML_WHEN(DOMAIN_CHAR_DBUS) },
    { "source", "master", XML_STRING, S(master), .when = NMDM },
    { "source", "slave", XML_STRING, S(slave), .when = NMDM },
    { "source/reconnect", "enabled", XML_YESNO, S(reconnect), XML_REQUIRED, .when = TCP | UNIX },
    { "source/reconnect", "timeout", XML_UINT, S(reconnect_timeout), .max = UINT32_MAX,
      .when = TCP | UNIX },
    { "source/clipboard", NULL, XML_KEPT, S(kept), .when = VDAGENT },
    { "source/mouse", NULL, XML_KEPT, S(kept), .when = VDAGENT },
    { "source/seclabel", NULL, XML_KEPT, S(kept), .when = DEV | FILE_ | PIPE | UNIX | PTY },
    { "source", NULL, XML_LIST, S(udp), .type = &udp_type, .when = UDP },
    { "protocol", "type", XML_ENUM, S(protocol), .names = protocols, .when = TCP },
    { "log", "file", XML_STRING, S(log_file), XML_REQUIRED, .pattern = "/.+",
      .legal = "an absolute path" },
    { "log", "append", XML_ONOFF, S(log_append) },
};

static bool
source_check(const void *obj, GError **err)
{
    const DomainCharSource *s = obj;

    switch (s->type) {
    case DOMAIN_CHAR_DEV:
    case DOMAIN_CHAR_FILE:
    case DOMAIN_CHAR_PIPE:
        if (!s->path || !*s->path)
            return kiln_error_set(err, VIR_ERR_XML_ERROR, "type '%s' needs <source path='…'/>",
                                  domain_char_types[s->type]);
        break;
    case DOMAIN_CHAR_TCP:
        if (!s->service)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "type 'tcp' needs <source mode='…' host='…' service='…'/>");
        break;
    case DOMAIN_CHAR_UDP:
        if (s->udp->len > 2)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "type 'udp' takes at most two <source>, one "
                                  "to connect to and one to bind, not %u",
                                  s->udp->len);
        break;
    case DOMAIN_CHAR_NMDM:
        if (!s->master || !s->slave)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "type 'nmdm' needs <source master='…' slave='…'/>");
        break;
    case DOMAIN_CHAR_SPICEPORT:
        if (!s->channel)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "type 'spiceport' needs <source channel='…'/>");
        break;
    default:
        break;
    }
    return true;
}

const XmlType domain_char_source_type =
    XML_TYPE("char-source", DomainCharSource, source_rows,
             .selector = XML_SELECTOR(DomainCharSource, type), .check = source_check);

#define C(field) offsetof(DomainChar, field)
#define SOURCE                                                                                     \
    {                                                                                              \
        NULL, NULL, XML_INLINE, C(source), .type = &domain_char_source_type                        \
    }
#define INFO                                                                                       \
    {                                                                                              \
        NULL, NULL, XML_INLINE, C(info), XML_ABI, .type = &domain_device_info_type                 \
    }
/* libvirt prints the path of a live pty a second time on consoles, where it stood before 0.5. */
#define TTY                                                                                        \
    {                                                                                              \
        NULL, "tty", XML_STRING, C(source.path), XML_LIVE, .when = PTY                             \
    }

static const XmlRow serial_rows[] = {
    SOURCE,
    { "target", "type", XML_ENUM, C(target), XML_ABI, .names = domain_serial_targets },
    { "target", "port", XML_UINT, C(port), XML_ABI, .max = UINT16_MAX },
    { "target/model", "name", XML_STRING, C(model), XML_ABI,
      .pattern =
          "isa-serial|usb-serial|pci-serial|spapr-vty|pl011|16550a|sclpconsole|sclplmconsole|"
          "isa-debugcon",
      .legal = "a serial port's model such as 'isa-serial'" },
    INFO,
};
const XmlType domain_serial_type = XML_TYPE("serial", DomainChar, serial_rows);

static const XmlRow parallel_rows[] = {
    SOURCE,
    { "target", "port", XML_UINT, C(port), XML_ABI, .max = UINT16_MAX },
    INFO,
};
const XmlType domain_parallel_type = XML_TYPE("parallel", DomainChar, parallel_rows);

static const XmlRow console_rows[] = {
    SOURCE,
    TTY,
    { "target", "type", XML_ENUM, C(target), XML_ABI, .names = domain_console_targets },
    { "target", "port", XML_UINT, C(port), XML_ABI, .max = UINT16_MAX },
    INFO,
};
const XmlType domain_console_type = XML_TYPE("console", DomainChar, console_rows,
                                             .selector = XML_SELECTOR(DomainChar, source.type));

#define GUESTFWD XML_WHEN(DOMAIN_CHANNEL_GUESTFWD)
static const XmlRow channel_rows[] = {
    SOURCE,
    { "target", "type", XML_ENUM, C(target), XML_REQUIRED | XML_ABI,
      .names = domain_channel_targets },
    { "target", "address", XML_IP, C(fwd_address), XML_ABI, .when = GUESTFWD },
    { "target", "port", XML_UINT, C(port), XML_ABI, .min = 1, .max = 65535, .when = GUESTFWD },
    { "target", "name", XML_STRING, C(name), XML_ABI, .when = ~GUESTFWD },
    { "target", "state", XML_ENUM, C(state), XML_LIVE, .names = states, .when = ~GUESTFWD },
    INFO,
};

static bool
channel_check(const void *obj, GError **err)
{
    const DomainChar *channel = obj;

    if (!channel->target)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "missing <target type='virtio|guestfwd|xen'> of a channel");
    if (channel->target == DOMAIN_CHANNEL_GUESTFWD &&
        (!channel->fwd_address || channel->port == XML_UNSET))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "a guestfwd channel needs 'address' and 'port' in <target>");
    return true;
}

const XmlType domain_channel_type =
    XML_TYPE("channel", DomainChar, channel_rows, .selector = XML_SELECTOR(DomainChar, target),
             .check = channel_check);
