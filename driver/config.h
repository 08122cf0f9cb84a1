/* config.h - virtkilnd.conf: the daemon's settings.
 *
 * The syntax is that of libvirtd.conf (libvirt 9.0.0): `key = value`, where a value is a number,
 * a string in single or double quotes, or a list of strings in brackets; # begins a comment.
 * Keys that libvirtd.conf has too mean the same.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CONFIG_H
#define KILN_DRIVER_CONFIG_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "driver/rpc/client.h"

typedef struct DaemonConfig {
    char **sockets;           /* names: "virtkilnd", "virtqemud", "libvirt" */
    char *unix_sock_group;    /* NULL: "libvirt" if there is such a group */
    guint unix_sock_rw_perms; /* mode bits */
    guint unix_sock_ro_perms;
    char *auth_unix_rw; /* "none" or "polkit" */
    char *auth_unix_ro;
    guint max_clients;
    guint max_anonymous_clients;
    guint max_queued_clients;
    guint max_workers;
    guint prio_workers;
    guint max_client_requests;
    int keepalive_interval;
    guint keepalive_count;
    guint log_level;         /* 1 debug, 2 info, 3 warnings, 4 errors */
    char *vmm_user;          /* what kiln-vmm runs as in system mode */
    char *save_image_format; /* "raw" or "zstd" */

    /* as in qemu.conf */
    char *vnc_listen;            /* address of screens whose definition names none */
    char *vnc_password;          /* of screens whose definition has none; NULL: none */
    guint vnc_tls;               /* 1: viewers have to use TLS */
    char *vnc_tls_x509_cert_dir; /* NULL: libvirt-vnc or qemu in /etc/pki */
    guint vnc_tls_x509_verify;   /* 1: viewers have to show a certificate */
} DaemonConfig;

/* The settings without any file. */
DaemonConfig *daemon_config_new(void);

/* Reads @path over the defaults. A file that is not there is no error unless @required. Fails with
 * VIR_ERR_CONF_SYNTAX naming file and line, key, value and limit. */
DaemonConfig *daemon_config_load(const char *path, bool required, GError **err);

/* As daemon_config_load() from text; @name stands for the file in messages. */
DaemonConfig *daemon_config_parse(const char *text, const char *name, GError **err);

/* The part that the RPC server looks at. */
RpcLimits daemon_config_limits(const DaemonConfig *config);
RpcAuth daemon_config_auth(const DaemonConfig *config, bool read_only);

void daemon_config_free(DaemonConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DaemonConfig, daemon_config_free)

#endif
