/* argv.h - from a live definition to the command line of kiln-vmm.
 *
 * The contract is the table of docs/architecture.md: QEMU's options, descriptors by number.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_ARGV_H
#define KILN_DRIVER_DOMAIN_ARGV_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "driver/node/node.h"
#include "xml/domain.h"

/* Where the builder gets what has to be open before the VMM runs. Each opens it on this host, tells
 * the descriptor's number in the child, and writes what it chose (tty path, tap name) into the
 * definition; -1 or false with @err. The golden tests give numbers without opening anything. */
typedef struct {
    /* @flags as for open(2); @what for the error ("kernel", "disk vda"). */
    int (*file)(void *opaque, const char *path, int flags, const char *what, GError **err);
    /* What the image @path of @format lies on, by its own header, read in a sandbox: its name and
     * format as they stand there, NULL for none. NULL here: images lie on nothing that the
     * definition does not say. */
    bool (*backing)(void *opaque, const char *path, const char *format, char **ret_name,
                    char **ret_format, GError **err);
    /* A connected socket to the NBD server @host. NULL: disks on other hosts are not offered. */
    int (*host)(void *opaque, const DomainDiskHost *host, GError **err);
    /* A pipe with the value of @secret in it. NULL: encrypted images are not offered. */
    int (*secret)(void *opaque, const DomainDiskSecret *secret, GError **err);
    int (*pty)(void *opaque, DomainChar *device, GError **err);
    /* UNIX and TCP back ends: a listening socket, or (@connected) one that is connected. */
    int (*socket)(void *opaque, DomainChar *device, bool connected, GError **err);
    int (*monitor)(void *opaque, GError **err);
    /* <sysinfo> of the host's firmware, for <smbios mode='host'>; g_free() it. NULL: not known. */
    char *(*sysinfo)(void *opaque, GError **err);
    /* The kernel's socket device with the guest's address, which is chosen and written into @vsock
     * where the definition leaves it open. */
    int (*vsock)(void *opaque, DomainVsock *vsock, GError **err);
    /* Makes the variable store @path a copy of @template unless it is there already. */
    bool (*nvram)(void *opaque, const char *path, const char *template, GError **err);
    /* Listens for viewers and writes ports and addresses that were open into @graphics;
     * *ret_websocket is -1 without a second socket. NULL: screens are not offered. */
    bool (*graphics)(void *opaque, DomainGraphics *graphics, int *ret_fd, int *ret_websocket,
                     GError **err);
    /* @taps and @vhosts have room for NETWORK_PORT_MAX_QUEUES; *ret_n_vhosts is 0 without vhost. */
    bool (*taps)(void *opaque, DomainInterface *net, int *taps, unsigned *ret_n_taps, int *vhosts,
                 unsigned *ret_n_vhosts, GError **err);
} ArgvOps;

typedef struct {
    const char *vmm; /* absolute path */
    const char *kvm_device;
    const char *sandbox_user;   /* "UID:GID"; NULL: none */
    const char *nvram_dir;      /* for variable stores whose place the definition leaves open */
    const char *tls_dir;        /* credentials for NBD servers; NULL: TLS is not offered */
    const char *vnc_tls_dir;    /* credentials for VNC viewers, who have to use TLS; NULL: none */
    bool vnc_tls_verify;        /* viewers show a certificate */
    bool vnc_password;          /* a password is set although the definition has none */
    const GPtrArray *firmwares; /* HostFirmware, best first */
    const NodeHostModel *(*host_model)(void *opaque, GError **err);
    bool incoming; /* loaded from a saved guest, not booted */
    bool crypto;   /* encrypted disks may be plugged in later: there are secrets */
    const ArgvOps *ops;
    void *opaque; /* of @ops and @host_model */
} ArgvConfig;

/* A command line being built. */
typedef struct {
    const ArgvConfig *config;
    DomainDef *def;  /* live; aliases and paths get filled in */
    GPtrArray *args; /* char * */
    unsigned next_set;
    unsigned next_node; /* number of the next image's nodes: after the disks, those they lie on */
} Argv;

/* The arguments, argv[0] first, ending with NULL; g_ptr_array_unref() them. NULL with @err:
 * something could not be opened, or VIR_ERR_CONFIG_UNSUPPORTED by name. */
GPtrArray *argv_build(const ArgvConfig *config, DomainDef *def, GError **err);

/* Turns host-model into the model and features that it stands for, as clients read them in a live
 * definition. */
void argv_resolve_host_model(DomainCpu *cpu, const NodeHostModel *host);

/* --- for the files argv_*.c ------------------------------------------------------------------- */

void argv_add(Argv *argv, const char *option, const char *value);
G_GNUC_PRINTF(3, 4) void argv_addf(Argv *argv, const char *option, const char *format, ...);
/* Adds @option with the JSON of @object, which is taken over. */
void argv_add_json(Argv *argv, const char *option, JsonObject *object);

/* @text as a value in a comma-separated list: commas doubled. g_free() it. */
char *argv_escape(const char *text);

/* Adds -add-fd for descriptor @fd of ArgvOps (-1: failed, NULL); the name to use for it,
 * "/dev/fdset/N". g_free() it. */
char *argv_fd(Argv *argv, int fd, const char *what);
/* The same for a file, which is opened. */
char *argv_file(Argv *argv, const char *path, int flags, const char *what, GError **err);

/* ",bus=pci.1,addr=0x0" for a PCI device's address; "" without one. */
void argv_pci_address(const Argv *argv, const DomainDeviceInfo *info, GString *out);

/* ",bus=usb.0,port=1" for a USB device's address; "" without one. */
void argv_usb_address(const Argv *argv, const DomainDeviceInfo *info, GString *out);
/* ",NAME=VALUE" unless @value is XML_UNSET; ",NAME=on|off" unless it is absent. */
void argv_uint(GString *out, const char *name, uint64_t value);
void argv_switch(GString *out, const char *name, int tristate);
void argv_text(GString *out, const char *name, const char *value);
/* <driver> of a virtio device: what not all of Kiln's have is refused before (xml/). */
void argv_virtio(GString *out, const DomainVirtioOptions *options);

/* What firmware tries first counts 1: <boot order=…>, or what <boot dev=…> of <os> comes to.
 * XML_UNSET: not at all. */
uint64_t argv_disk_boot_order(const DomainDef *def, const DomainDisk *disk);
uint64_t argv_net_boot_order(const DomainDef *def, const DomainInterface *net);

/* Adds what -machine needs for it to @machine. */
bool argv_firmware(Argv *argv, GString *machine, GError **err);
bool argv_boot(Argv *argv, GError **err);
bool argv_displays(Argv *argv, GError **err);
bool argv_cpu(Argv *argv, GError **err);
bool argv_memory(Argv *argv, GError **err);
bool argv_controllers(Argv *argv, GError **err);
bool argv_disks(Argv *argv, GError **err);
/* The nodes of @disk's image and of those it lies on; *ret: the uppermost's name. @number is the
 * image's own, which becomes its source_index. */
bool argv_disk_image(Argv *argv, DomainDisk *disk, unsigned number, char **ret, GError **err);

/* The block driver of @source's image, which is "luks" for encrypted raw bytes; static. */
const char *argv_image_driver(const DomainDisk *source);
/* Writes the driver into @format (of -blockdev), and that the secret with the id @secret opens the
 * image if it is encrypted. */
void argv_image_opens(JsonObject *format, const DomainDisk *source, const char *secret);

/* One image of a chain behind a disk's own. (chain.c) */
typedef struct {
    DomainDisk *source; /* owned; of type, format and source only (domain_backing_type) */
    char *path;         /* or, of an export of another host, its address as a text */
    char *format;
    bool block;     /* a device */
    unsigned index; /* of its nodes, 0: has none yet */
} ChainLayer;
/* What is behind an encrypted image's node name in the id of its secret. */
#define ARGV_SECRET_SUFFIX "-encryption-secret0"
/* @disk's own image; for a list as argv_chain_parse() makes. */
ChainLayer *argv_chain_layer_of(const DomainDisk *disk);
void argv_chain_layer_free(void *layer); /* a ChainLayer */
/* What <backingStore> of @disk says, of ChainLayer; the caller's. NULL with @err. */
GPtrArray *argv_chain_parse(const DomainDisk *disk, GError **err);

/* The images that @disk's image lies on, nearest first: those its <backingStore> names, and, where
 * that does not end the chain, those the images name. Their names have to be files of this host and
 * their formats written down. NULL with @err; g_ptr_array_unref() it. */
GPtrArray *argv_chain(Argv *argv, const DomainDisk *disk, GError **err);
/* Whether an image of @format may lie on another. */
bool argv_chain_has_backing(const char *format);
/* The chain as <backingStore>, for a live definition; @first: the number of the first node. */
char *argv_chain_xml(const GPtrArray *chain, unsigned first);
/* The <backingStore> of an image that lies on @disk's. It is as complete as that of @disk: what
 * that leaves to the images, it does too. NULL with @err. */
char *argv_chain_under(const DomainDisk *disk, GError **err);
/* Takes the image @path out of what <backingStore> of @disk says; false when it is not there. */
bool argv_chain_remove(DomainDisk *disk, const char *path);
bool argv_interfaces(Argv *argv, GError **err);
bool argv_chars(Argv *argv, GError **err);
bool argv_others(Argv *argv, GError **err);

/* One device alone, for a running guest, with its back ends before it. The functions for lists use
 * them too. */
bool argv_disk(Argv *argv, DomainDisk *disk, GError **err);
bool argv_interface(Argv *argv, DomainInterface *net, GError **err);
bool argv_controller(Argv *argv, const DomainController *c, GError **err);
bool argv_hub(Argv *argv, const DomainHub *hub, GError **err);
bool argv_input(Argv *argv, const DomainInput *input, GError **err);
bool argv_rng(Argv *argv, const DomainRng *rng, GError **err);
bool argv_vsock(Argv *argv, DomainVsock *vsock, GError **err);
bool argv_watchdog(Argv *argv, const DomainWatchdog *watchdog, GError **err);
bool argv_console(Argv *argv, DomainChar *console, GError **err);
bool argv_channel(Argv *argv, DomainChar *channel, GError **err);

/* The VMM's word for what a reset of the guest does. */
const char *domain_reboot_action(const DomainDef *def);

#endif
