/* options.h - the command line of kiln-vmm, QEMU's syntax, read into one struct.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_OPTIONS_H
#define KILN_LAUNCHER_OPTIONS_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

/* What the options said, unjudged beyond their own syntax. Members are NULL, false or empty when
 * the option was not given; a repeated single option overrides the members it names again. */
typedef struct {
    JsonObject *name, *machine, *accel, *smp, *memory, *msg, *rtc, *boot, *action, *sandbox;
    JsonObject *overcommit;
    char *bios;
    char *uuid, *cpu, *kernel, *initrd, *append, *pidfile, *display, *vga, *log_file;
    char *debugcon;
    char *incoming, *gdb;
    char *hda, *hdb, *hdc, *hdd, *cdrom;
    GPtrArray *objects, *numa, *drives, *blockdevs, *devices, *netdevs, *nics, *nets, *chardevs;
    GPtrArray *fw_cfgs, *smbios;                      /* of JsonObject */
    GPtrArray *add_fds, *globals, *mons;              /* of JsonObject */
    GPtrArray *vncs;                                  /* of JsonObject */
    GPtrArray *serials, *parallels, *monitors, *qmps, *pretty_qmps; /* of char * */
    bool paused, no_shutdown, no_reboot, daemonize, nodefaults, nographic, no_user_config;
    GPtrArray *usbdevices; /* of char * */
    bool help, version, enable_kvm, usb, snapshot, gdb_short;
} Options;

/* Reads argv[1] and on. NULL with @err (VIR_ERR_CONFIG_UNSUPPORTED) naming the option, the value
 * and the nearest legal word. */
Options *options_parse(int argc, char **argv, GError **err);
void options_free(Options *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Options, options_free)

/* The text of -help. The caller frees. */
char *options_help(void);

#endif
