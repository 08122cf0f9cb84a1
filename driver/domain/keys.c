/* keys.c - pressing keys of a guest's keyboard (virDomainSendKey).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/domain/private.h"
#include "util/error.h"
#include "util/keys.h"

/* What libvirt calls a set, and what the key table does. */
static const struct {
    const char *name;
    KeySet set;
} key_sets[] = {
    [VIR_KEYCODE_SET_LINUX] = { "linux", KEYSET_LINUX },
    [VIR_KEYCODE_SET_XT] = { "xt", KEYSET_AT1 },
    [VIR_KEYCODE_SET_ATSET1] = { "atset1", KEYSET_AT1 },
    [VIR_KEYCODE_SET_ATSET2] = { "atset2", KEYSET_AT2 },
    [VIR_KEYCODE_SET_ATSET3] = { "atset3", KEYSET_AT3 },
    [VIR_KEYCODE_SET_OSX] = { "os_x", KEYSET_MACOS },
    [VIR_KEYCODE_SET_XT_KBD] = { "xt_kbd", KEYSET_XT_KBD },
    [VIR_KEYCODE_SET_USB] = { "usb", KEYSET_USB },
    [VIR_KEYCODE_SET_WIN32] = { "win32", KEYSET_WIN32 },
    [VIR_KEYCODE_SET_QNUM] = { "qnum", KEYSET_QNUM },
};

bool
domain_send_key(Domain *domain, unsigned codeset, unsigned hold_ms, const unsigned *keys,
                unsigned n, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    g_autoptr(JsonArray) list = json_array_new();
    JsonObject *arguments;

    if (codeset >= G_N_ELEMENTS(key_sets))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unsupported codeset %u", codeset);
    for (unsigned i = 0; i < n; i++) {
        KeyCode key = key_code_from(key_sets[codeset].set, keys[i]);
        JsonObject *value;

        if (key == KEYCODE_unmapped)
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                  "there is no key %u in codeset %s", keys[i],
                                  key_sets[codeset].name);
        value = json_object_new();
        json_object_set_string_member(value, "type", "qcode");
        json_object_set_string_member(value, "data", key_code_name(key));
        json_array_add_object_element(list, value);
    }
    run = domain_run_get(domain, err);
    if (!run)
        return false;
    arguments = json_object_new();
    json_object_set_array_member(arguments, "keys", g_steal_pointer(&list));
    if (hold_ms)
        json_object_set_int_member(arguments, "hold-time", hold_ms);
    return qmp_command(run->qmp, "send-key", arguments, DOMAIN_QMP_SECONDS, err);
}

bool
domain_inject_nmi(Domain *domain, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);

    return run && qmp_command(run->qmp, "inject-nmi", NULL, DOMAIN_QMP_SECONDS, err);
}
