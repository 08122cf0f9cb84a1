/* secret.h - secrets: named values that disks, pools and TLS keys are opened with.
 *
 * Follows libvirt's secret objects (formatsecret, virSecret* API of libvirt 9.0): definitions
 * without their values in CONFIG/UUID.xml, values in base64 in CONFIG/UUID.base64, both readable by
 * the daemon's user only; an ephemeral secret has no files and goes with the daemon.
 *
 * Threads: every function may be called from any thread. One short lock guards the table and the
 * values; changes of files are made one at a time. Callbacks of SecretOps come without the short
 * lock. Values are wiped from memory before it is freed.
 *
 * Errors are GErrors in KILN_ERROR with libvirt's codes. ret_ parameters are untouched on failure.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_SECRET_SECRET_H
#define KILN_DRIVER_SECRET_SECRET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct SecretManager SecretManager;
typedef struct Secret Secret;

/* Longest value, as the protocol has it. */
enum { SECRET_VALUE_MAX = 65536 };

/* What an event is about; strings are borrowed for its length. */
typedef struct {
    const uint8_t *uuid;
    int usage_type;       /* virSecretUsageType */
    const char *usage_id; /* "" when there is none */
} SecretName;

typedef struct {
    /* @event: virSecretEventLifecycleType. */
    void (*lifecycle)(void *opaque, const SecretName *name, int event);
    void (*value_changed)(void *opaque, const SecretName *name);
    /* Something for the log: a file that could not be read. */
    void (*warn)(void *opaque, const char *message);
} SecretOps;

/* @config_dir: /etc/kiln/secrets, copied. @ops and @opaque must outlive the manager. Touches
 * nothing on the host. */
SecretManager *secret_manager_new(const char *config_dir, const SecretOps *ops, void *opaque);

/* Reads what is defined; a single bad file is told through warn() and passed over. Once, before
 * anything else. */
bool secret_manager_load(SecretManager *manager, GError **err);
void secret_manager_free(SecretManager *manager);

/* --- for other rooms -------------------------------------------------------------------------- */

/* The value of the secret with @uuid (text), or (@uuid NULL) of the one used for @usage_id of
 * @usage_type (virSecretUsageType), private or not, for the daemon's own use: opening a LUKS disk,
 * a pool, a TLS key. NULL with VIR_ERR_NO_SECRET (66) when there is no such secret or it has no
 * value, VIR_ERR_XML_ERROR for a malformed UUID. g_bytes_unref() the result. */
GBytes *secret_manager_get_value(SecretManager *manager, const char *uuid, int usage_type,
                                 const char *usage_id, GError **err);

/* Bytes that are wiped when the last reference goes. */
GBytes *secret_value_new(const void *data, size_t length);

/* A pipe from which @value can be read once, to its end, by a program that is given it: values
 * stand on no command line and in no file. -1 with @err. */
int secret_value_pipe(GBytes *value, GError **err);

/* --- finding ---------------------------------------------------------------------------------- */

/* A new reference, or NULL with VIR_ERR_NO_SECRET (66). */
Secret *secret_manager_lookup_uuid(SecretManager *manager, const uint8_t uuid[16], GError **err);
Secret *secret_manager_lookup_usage(SecretManager *manager, int usage_type, const char *usage_id,
                                    GError **err);

/* Secrets (Secret *, owned by the array) that match @flags, which are
 * virConnectListAllSecretsFlags; sorted by UUID. */
GPtrArray *secret_manager_list(SecretManager *manager, unsigned flags);

Secret *secret_ref(Secret *secret);
void secret_unref(Secret *secret);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Secret, secret_unref)

/* --- one of them ------------------------------------------------------------------------------ */

/* Constant for its life: a definition may not change what a secret is for. */
const uint8_t *secret_uuid(const Secret *secret);
int secret_usage_type(const Secret *secret);
/* "" when there is none. */
const char *secret_usage_id(const Secret *secret);

/* g_free() the text. */
char *secret_xml(Secret *secret);

/* For a client: VIR_ERR_INVALID_SECRET (65) for a private one, VIR_ERR_NO_SECRET (66) for one that
 * has no value. */
GBytes *secret_get_value(Secret *secret, GError **err);
bool secret_set_value(Secret *secret, const void *data, size_t length, GError **err);

/* virSecretDefineXML; @flags: VIR_SECRET_DEFINE_VALIDATE. New reference. */
Secret *secret_manager_define(SecretManager *manager, const char *xml, unsigned flags,
                              GError **err);
bool secret_undefine(Secret *secret, GError **err);

#endif
