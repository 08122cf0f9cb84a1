/* secrets.c - the secrets that --object and -object describe: from the command line, from files,
 * and encrypted with another one.
 *
 * Source: QEMU's documentation, "Providing secret data to QEMU".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

enum { SECRET_MAX = 1 << 20, KEY_BYTES = 32, IV_BYTES = 16 };

typedef struct {
    size_t length;
    uint8_t bytes[];
} Secret;

struct BlockSecrets {
    GHashTable *by_id; /* of Secret */
};

static void
secret_free(void *opaque)
{
    Secret *secret = opaque;

    explicit_bzero(secret, sizeof(*secret) + secret->length);
    g_free(secret);
}

BlockSecrets *
block_secrets_new(void)
{
    BlockSecrets *secrets = g_new0(BlockSecrets, 1);

    secrets->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, secret_free);
    return secrets;
}

void
block_secrets_free(BlockSecrets *secrets)
{
    if (!secrets)
        return;
    g_hash_table_unref(secrets->by_id);
    g_free(secrets);
}

bool
block_secrets_has(const BlockSecrets *secrets, const char *id)
{
    return g_hash_table_contains(secrets->by_id, id);
}

bool
block_secrets_remove(BlockSecrets *secrets, const char *id)
{
    return secrets && g_hash_table_remove(secrets->by_id, id);
}

uint8_t *
block_secrets_get(const BlockSecrets *secrets, const char *id, size_t *ret_len, GError **err)
{
    const Secret *secret = secrets ? g_hash_table_lookup(secrets->by_id, id) : NULL;
    uint8_t *copy;

    if (!secret) {
        kiln_error_set(err, VIR_ERR_NO_SECRET,
                       "No secret with id '%s'; give an object secret,id=%s", id, id);
        return NULL;
    }
    copy = g_malloc0(secret->length + 1);
    memcpy(copy, secret->bytes, secret->length);
    *ret_len = secret->length;
    return copy;
}

static bool
file_read(const char *id, const char *file, const BlockOpenOps *ops, char **ret, gsize *ret_len,
          GError **err)
{
    int fd = ops->open_file ? ops->open_file(ops->opaque, file, O_RDONLY | O_CLOEXEC, err)
                            : open(file, O_RDONLY | O_CLOEXEC);
    g_autofree char *bytes = NULL;
    size_t length = 0;
    ssize_t n = 0;

    if (fd < 0)
        return ops->open_file ? false
                              : kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                                     "secret '%s': cannot open '%s'", id, file);
    bytes = g_malloc(SECRET_MAX + 1);
    while (length <= SECRET_MAX && ((n = read(fd, bytes + length, SECRET_MAX + 1 - length)) > 0 ||
                                    (n < 0 && errno == EINTR)))
        length += n > 0 ? (size_t)n : 0;
    if (n < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "secret '%s': reading '%s'", id,
                             file);
    close(fd);
    if (n < 0)
        return false;
    if (length > SECRET_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "secret '%s': file '%s' is larger than %d bytes", id, file,
                              SECRET_MAX);
    bytes[length] = '\0';
    *ret = g_steal_pointer(&bytes);
    *ret_len = length;
    return true;
}

/* @text in place. White space is skipped, as a file's last line end. */
static bool
base64_decode(const char *id, const char *what, char *text, gsize *ret_len, GError **err)
{
    char *to = text;

    for (const char *p = text; *p; p++)
        if (!g_ascii_isspace(*p))
            *to++ = *p;
    *to = '\0';
    /* GLib skips what is not base64 */
    if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") !=
            strlen(text) ||
        strlen(text) % 4 != 0 || text[0] == '\0')
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "secret '%s': its %s is not base64", id,
                              what);
    g_base64_decode_inplace(text, ret_len);
    return true;
}

/* Takes the padding off @length bytes that were decrypted. */
static bool
unpad(const uint8_t *bytes, gsize *length)
{
    uint8_t pad = bytes[*length - 1];

    if (pad == 0 || pad > IV_BYTES)
        return false;
    for (unsigned i = 1; i <= pad; i++)
        if (bytes[*length - i] != pad)
            return false;
    *length -= pad;
    return true;
}

static bool
secret_decrypt(const BlockSecrets *secrets, GHashTable *keys, const char *id, char *bytes,
               gsize *length, GError **err)
{
    const char *keyid = g_hash_table_lookup(keys, "keyid");
    g_autofree char *iv = g_strdup(g_hash_table_lookup(keys, "iv"));
    const Secret *master = g_hash_table_lookup(secrets->by_id, keyid);
    gnutls_cipher_hd_t handle;
    gnutls_datum_t key, vector;
    gsize iv_len = 0;
    int r;

    if (!master || master->length != KEY_BYTES)
        return kiln_error_set(
            err, VIR_ERR_INVALID_ARG,
            "secret '%s': its keyid '%s' is no secret of %d bytes given before it", id, keyid,
            KEY_BYTES);
    if (!iv)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "secret '%s': with keyid it needs an iv",
                              id);
    if (!base64_decode(id, "iv", iv, &iv_len, err))
        return false;
    if (iv_len != IV_BYTES || *length == 0 || *length % IV_BYTES != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "secret '%s': its iv has %zu bytes, not %d, or its %zu bytes are not "
                              "a multiple of that",
                              id, iv_len, IV_BYTES, *length);
    key = (gnutls_datum_t){ (void *)master->bytes, KEY_BYTES };
    vector = (gnutls_datum_t){ (void *)iv, IV_BYTES };
    r = gnutls_cipher_init(&handle, GNUTLS_CIPHER_AES_256_CBC, &key, &vector);
    if (r >= 0) {
        r = gnutls_cipher_decrypt2(handle, bytes, *length, bytes, *length);
        gnutls_cipher_deinit(handle);
    }
    if (r < 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "secret '%s': %s", id,
                              gnutls_strerror(r));
    return unpad((uint8_t *)bytes, length) ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "secret '%s': it is not what the key of '%s' decrypts", id, keyid);
}

static bool
keys_check(GHashTable *keys, GError **err)
{
    static const char *const known[] = { "qom-type", "id",    "data", "file",
                                         "format",   "keyid", "iv",   NULL };
    const char *id = g_hash_table_lookup(keys, "id");
    const char *format = g_hash_table_lookup(keys, "format");
    GHashTableIter it;
    gpointer key;

    g_hash_table_iter_init(&it, keys);
    while (g_hash_table_iter_next(&it, &key, NULL))
        if (!g_strv_contains(known, key))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "object secret: '%s' is not known; there are id, data, file, "
                                  "format, keyid and iv",
                                  (char *)key);
    if (!id || !*id)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Parameter 'id' is missing in an object secret");
    if (!g_hash_table_contains(keys, "data") == !g_hash_table_contains(keys, "file"))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "secret '%s' needs 'data' or 'file', and not both", id);
    if (g_hash_table_contains(keys, "iv") && !g_hash_table_contains(keys, "keyid"))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "secret '%s': an iv needs a keyid", id);
    return !format || strcmp(format, "raw") == 0 || strcmp(format, "base64") == 0 ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "secret '%s': format '%s' is neither raw nor base64", id, format);
}

bool
block_secrets_add(BlockSecrets *secrets, GHashTable *keys, const BlockOpenOps *ops, GError **err)
{
    const char *id = g_hash_table_lookup(keys, "id"), *data = g_hash_table_lookup(keys, "data");
    bool encrypted = g_hash_table_contains(keys, "keyid");
    bool base64 = g_strcmp0(g_hash_table_lookup(keys, "format"), "base64") == 0;
    char *bytes = NULL;
    gsize length = 0, room;
    bool fine;

    if (!keys_check(keys, err))
        return false;
    if (g_hash_table_contains(secrets->by_id, id))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is a secret '%s' already",
                              id);
    if (data) {
        bytes = g_strdup(data);
        length = strlen(data);
    } else if (!file_read(id, g_hash_table_lookup(keys, "file"), ops, &bytes, &length, err)) {
        return false;
    }
    room = length;
    fine = !base64 || base64_decode(id, "content", bytes, &length, err);
    if (fine && encrypted)
        fine = (!ops->need_crypto || ops->need_crypto(ops->opaque, err)) &&
               secret_decrypt(secrets, keys, id, bytes, &length, err);
    if (fine) {
        Secret *secret = g_malloc(sizeof(Secret) + length);

        secret->length = length;
        memcpy(secret->bytes, bytes, length);
        g_hash_table_replace(secrets->by_id, g_strdup(id), secret);
    }
    explicit_bzero(bytes, room);
    g_free(bytes);
    return fine;
}
