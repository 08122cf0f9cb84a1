/* domain_char.h - <serial>, <parallel>, <console>, <channel> (libvirt formatdomain "Consoles,
 * serial, parallel & channel devices", schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_CHAR_H
#define KILN_XML_DOMAIN_CHAR_H

#include "xml/domain_device.h"

typedef enum {
    DOMAIN_CHAR_NONE,
    DOMAIN_CHAR_NULL,
    DOMAIN_CHAR_VC,
    DOMAIN_CHAR_PTY,
    DOMAIN_CHAR_DEV,
    DOMAIN_CHAR_FILE,
    DOMAIN_CHAR_PIPE,
    DOMAIN_CHAR_STDIO,
    DOMAIN_CHAR_UDP,
    DOMAIN_CHAR_TCP,
    DOMAIN_CHAR_UNIX,
    DOMAIN_CHAR_SPICEVMC,
    DOMAIN_CHAR_SPICEPORT,
    DOMAIN_CHAR_NMDM,
    DOMAIN_CHAR_QEMU_VDAGENT,
    DOMAIN_CHAR_DBUS,
} DomainCharType;
extern const char *const domain_char_types[];

typedef enum {
    DOMAIN_CHAR_MODE_ABSENT,
    DOMAIN_CHAR_CONNECT,
    DOMAIN_CHAR_BIND,
} DomainCharMode;

typedef enum {
    DOMAIN_CHAR_PROTOCOL_ABSENT,
    DOMAIN_CHAR_PROTOCOL_RAW,
    DOMAIN_CHAR_PROTOCOL_TELNET,
    DOMAIN_CHAR_PROTOCOL_TELNETS,
    DOMAIN_CHAR_PROTOCOL_TLS,
} DomainCharProtocol;

typedef struct {
    int mode; /* DomainCharMode */
    char *host, *service;
} DomainCharUdp;

/* The back end: what the characters go to on the host. */
typedef struct {
    int type;                   /* DomainCharType; always set */
    int mode;                   /* DomainCharMode; TCP, UNIX. Set after parsing */
    char *path;                 /* PTY (live), DEV, FILE, PIPE, UNIX */
    int append;                 /* on/off; FILE */
    char *host, *service;       /* TCP */
    int tls;                    /* yes/no; TCP */
    GPtrArray *udp;             /* DomainCharUdp; UDP: up to one of each mode */
    char *channel;              /* SPICEPORT, DBUS */
    char *master, *slave;       /* NMDM */
    int reconnect;              /* yes/no; TCP, UNIX */
    uint64_t reconnect_timeout; /* seconds */
    GPtrArray *kept;            /* XmlKept: seclabel, clipboard, mouse */
    int protocol;               /* DomainCharProtocol; TCP */
    char *log_file;
    int log_append; /* on/off */
} DomainCharSource;

typedef enum {
    DOMAIN_SERIAL_TARGET_ABSENT,
    DOMAIN_SERIAL_ISA,
    DOMAIN_SERIAL_USB,
    DOMAIN_SERIAL_PCI,
    DOMAIN_SERIAL_SPAPR_VIO,
    DOMAIN_SERIAL_SYSTEM,
    DOMAIN_SERIAL_SCLP,
    DOMAIN_SERIAL_ISA_DEBUG,
} DomainSerialTarget;
extern const char *const domain_serial_targets[];

typedef enum {
    DOMAIN_CONSOLE_TARGET_ABSENT,
    DOMAIN_CONSOLE_SERIAL,
    DOMAIN_CONSOLE_XEN,
    DOMAIN_CONSOLE_UML,
    DOMAIN_CONSOLE_VIRTIO,
    DOMAIN_CONSOLE_LXC,
    DOMAIN_CONSOLE_OPENVZ,
    DOMAIN_CONSOLE_SCLP,
    DOMAIN_CONSOLE_SCLPLM,
} DomainConsoleTarget;
extern const char *const domain_console_targets[];

typedef enum {
    DOMAIN_CHANNEL_TARGET_ABSENT,
    DOMAIN_CHANNEL_GUESTFWD,
    DOMAIN_CHANNEL_VIRTIO,
    DOMAIN_CHANNEL_XEN,
} DomainChannelTarget;
extern const char *const domain_channel_targets[];

/* One struct for the four elements; which enum @target is depends on the list it stands in. */
typedef struct {
    DomainCharSource source;
    int target;        /* Domain{Serial,Console,Channel}Target; set after completion
                        * but for parallel, which has none */
    uint64_t port;     /* serial, parallel, console: number; set after completion.
                        * channel guestfwd: TCP port */
    char *model;       /* serial <target><model name=>: "isa-serial" … */
    char *name;        /* channel: "org.qemu.guest_agent.0" */
    int state;         /* channel, live: 1 disconnected, 2 connected */
    char *fwd_address; /* channel guestfwd */
    DomainDeviceInfo info;
} DomainChar;

extern const XmlType domain_char_source_type;
extern const XmlType domain_serial_type;
extern const XmlType domain_parallel_type;
extern const XmlType domain_console_type;
extern const XmlType domain_channel_type;

#endif
