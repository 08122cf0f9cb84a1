/* vm_tls.c - -object tls-creds-x509,endpoint=client: by what NBD servers are trusted.
 *
 * Syntax of qemu-system-x86_64(1), "tls-creds-x509". The files are read when an image is opened:
 * before the sandbox, or without one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vm_tls.h"

#include "block/nbd/tls.h"
#include "util/error.h"

bool
vm_tls_add_client(Vm *vm, const char *id, const char *dir, bool verify, GError **err)
{
    if (!verify)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-object tls-creds-x509,id=%s: verify-peer=off is not offered to "
                              "clients",
                              id);
    if (!vm->tls_clients)
        vm->tls_clients = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_replace(vm->tls_clients, g_strdup(id), g_strdup(dir));
    return true;
}

static NbdTls *
tls_get(void *opaque, const char *id, const char *hostname, GError **err)
{
    const Vm *vm = opaque;
    const char *dir = vm->tls_clients ? g_hash_table_lookup(vm->tls_clients, id) : NULL;

    if (dir)
        return nbd_tls_new_x509(dir, false, true, hostname, err);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "tls-creds '%s': there is no -object tls-creds-x509 of that id with "
                   "endpoint=client",
                   id);
    return NULL;
}

void
vm_tls_serve(BlockOpenOps *ops)
{
    ops->tls = tls_get;
}
