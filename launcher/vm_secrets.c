/* vm_secrets.c - -object secret: what opens encrypted images and VNC servers.
 *
 * Syntax of qemu-system-x86_64(1), "secret". What encrypts is loaded when the first image needs it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vm_secrets.h"

#include "launcher/keyval.h"
#include "util/error.h"

static int
secrets_open_file(void *opaque, const char *path, int flags, GError **err)
{
    return fdset_open(((Vm *)opaque)->fdsets, path, flags, 0, err);
}

static bool
secrets_need_crypto(void *opaque, GError **err)
{
    const Vm *vm = opaque;

    return !vm->need_crypto || vm->need_crypto(err);
}

static uint8_t *
secrets_get(void *opaque, const char *id, size_t *ret_len, GError **err)
{
    return block_secrets_get(((const Vm *)opaque)->secrets, id, ret_len, err);
}

void
vm_secrets_serve(BlockOpenOps *ops)
{
    ops->secret = secrets_get;
    ops->need_crypto = secrets_need_crypto;
}

bool
vm_secrets_add(Vm *vm, JsonObject *object, GError **err)
{
    const BlockOpenOps ops = {
        .opaque = vm,
        .open_file = secrets_open_file,
        .need_crypto = secrets_need_crypto,
    };
    g_autoptr(GHashTable) keys = keyval_table("-object secret", object, err);

    if (!keys)
        return false;
    if (!vm->secrets)
        vm->secrets = block_secrets_new();
    if (block_secrets_add(vm->secrets, keys, &ops, err))
        return true;
    g_prefix_error(err, "-object secret: ");
    return false;
}
