/* lazy.c - libraries that only some guests need, loaded when one does.
 *
 * With what they need themselves they are eleven files to map and relocate, and one of them tests
 * itself whenever it is loaded: more than all other work of kiln-vmm before a minimal guest runs,
 * and a quarter of its private memory. This file has a function for each of theirs that is called
 * here; each jumps to where its pointer leads. The linker therefore finds the libraries not needed.
 * A function that is called somewhere and not named here brings its library back, which the test
 * launcher_bare sees. Linked into the program only: tests use the libraries themselves.
 *
 * ld(1) --as-needed, dlopen(3), System V ABI for x86-64.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/lazy.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/error.h"

#define LAZY_FUNCTIONS(F)                                                                          \
    F(SLIRP, slirp_add_hostfwd)                                                                    \
    F(SLIRP, slirp_cleanup)                                                                        \
    F(SLIRP, slirp_handle_timer)                                                                   \
    F(SLIRP, slirp_input)                                                                          \
    F(SLIRP, slirp_new)                                                                            \
    F(SLIRP, slirp_pollfds_fill)                                                                   \
    F(SLIRP, slirp_pollfds_poll)                                                                   \
    F(GNUTLS, gnutls_certificate_allocate_credentials)                                             \
    F(GNUTLS, gnutls_certificate_free_credentials)                                                 \
    F(GNUTLS, gnutls_certificate_server_set_request)                                               \
    F(GNUTLS, gnutls_certificate_set_x509_crl_file)                                                \
    F(GNUTLS, gnutls_certificate_set_x509_key_file)                                                \
    F(GNUTLS, gnutls_certificate_set_x509_trust_file)                                              \
    F(GNUTLS, gnutls_certificate_verify_peers2)                                                    \
    F(GNUTLS, gnutls_cipher_decrypt2)                                                              \
    F(GNUTLS, gnutls_cipher_deinit)                                                                \
    F(GNUTLS, gnutls_cipher_encrypt2)                                                              \
    F(GNUTLS, gnutls_cipher_init)                                                                  \
    F(GNUTLS, gnutls_cipher_set_iv)                                                                \
    F(GNUTLS, gnutls_credentials_set)                                                              \
    F(GNUTLS, gnutls_deinit)                                                                       \
    F(GNUTLS, gnutls_error_is_fatal)                                                               \
    F(GNUTLS, gnutls_handshake)                                                                    \
    F(GNUTLS, gnutls_hash_fast)                                                                    \
    F(GNUTLS, gnutls_hash_get_len)                                                                 \
    F(GNUTLS, gnutls_hex_decode2)                                                                  \
    F(GNUTLS, gnutls_init)                                                                         \
    F(GNUTLS, gnutls_memcmp)                                                                       \
    F(GNUTLS, gnutls_pbkdf2)                                                                       \
    F(GNUTLS, gnutls_psk_allocate_client_credentials)                                              \
    F(GNUTLS, gnutls_psk_allocate_server_credentials)                                              \
    F(GNUTLS, gnutls_psk_free_client_credentials)                                                  \
    F(GNUTLS, gnutls_psk_free_server_credentials)                                                  \
    F(GNUTLS, gnutls_psk_set_client_credentials)                                                   \
    F(GNUTLS, gnutls_psk_set_server_credentials_function)                                          \
    F(GNUTLS, gnutls_record_get_direction)                                                         \
    F(GNUTLS, gnutls_record_recv)                                                                  \
    F(GNUTLS, gnutls_record_send)                                                                  \
    F(GNUTLS, gnutls_rnd)                                                                          \
    F(GNUTLS, gnutls_server_name_set)                                                              \
    F(GNUTLS, gnutls_session_get_ptr)                                                              \
    F(GNUTLS, gnutls_session_set_ptr)                                                              \
    F(GNUTLS, gnutls_session_set_verify_cert)                                                      \
    F(GNUTLS, gnutls_set_default_priority)                                                         \
    F(GNUTLS, gnutls_set_default_priority_append)                                                  \
    F(GNUTLS, gnutls_strerror)                                                                     \
    F(GNUTLS, gnutls_transport_set_int2)                                                           \
    F(NETTLE, nettle_aes128_decrypt)                                                               \
    F(NETTLE, nettle_aes128_encrypt)                                                               \
    F(NETTLE, nettle_aes128_set_decrypt_key)                                                       \
    F(NETTLE, nettle_aes128_set_encrypt_key)                                                       \
    F(NETTLE, nettle_aes192_decrypt)                                                               \
    F(NETTLE, nettle_aes192_encrypt)                                                               \
    F(NETTLE, nettle_aes192_set_decrypt_key)                                                       \
    F(NETTLE, nettle_aes192_set_encrypt_key)                                                       \
    F(NETTLE, nettle_aes256_decrypt)                                                               \
    F(NETTLE, nettle_aes256_encrypt)                                                               \
    F(NETTLE, nettle_aes256_set_decrypt_key)                                                       \
    F(NETTLE, nettle_aes256_set_encrypt_key)                                                       \
    F(NETTLE, nettle_cbc_decrypt)                                                                  \
    F(NETTLE, nettle_cbc_encrypt)                                                                  \
    F(NETTLE, nettle_des_encrypt)                                                                  \
    F(NETTLE, nettle_des_set_key)                                                                  \
    F(NETTLE, nettle_serpent128_set_key)                                                           \
    F(NETTLE, nettle_serpent192_set_key)                                                           \
    F(NETTLE, nettle_serpent256_set_key)                                                           \
    F(NETTLE, nettle_serpent_decrypt)                                                              \
    F(NETTLE, nettle_serpent_encrypt)                                                              \
    F(NETTLE, nettle_twofish128_set_key)                                                           \
    F(NETTLE, nettle_twofish192_set_key)                                                           \
    F(NETTLE, nettle_twofish256_set_key)                                                           \
    F(NETTLE, nettle_twofish_decrypt)                                                              \
    F(NETTLE, nettle_twofish_encrypt)                                                              \
    F(NETTLE, nettle_xts_decrypt_message)                                                          \
    F(NETTLE, nettle_xts_encrypt_message)                                                          \
    F(PNG, png_create_info_struct)                                                                 \
    F(PNG, png_create_write_struct)                                                                \
    F(PNG, png_destroy_write_struct)                                                               \
    F(PNG, png_get_io_ptr)                                                                         \
    F(PNG, png_set_IHDR)                                                                           \
    F(PNG, png_set_compression_level)                                                              \
    F(PNG, png_set_longjmp_fn)                                                                     \
    F(PNG, png_set_write_fn)                                                                       \
    F(PNG, png_write_end)                                                                          \
    F(PNG, png_write_info)                                                                         \
    F(PNG, png_write_row)                                                                          \
    F(DEFLATE, libdeflate_alloc_compressor)                                                        \
    F(DEFLATE, libdeflate_deflate_compress)                                                        \
    F(DEFLATE, libdeflate_free_compressor)                                                         \
    F(DEFLATE, libdeflate_zlib_compress)                                                           \
    F(ZSTD, ZSTD_compress)                                                                         \
    F(ZSTD, ZSTD_DCtx_setParameter)                                                                \
    F(ZSTD, ZSTD_createDStream)                                                                    \
    F(ZSTD, ZSTD_decompressStream)                                                                 \
    F(ZSTD, ZSTD_freeDStream)                                                                      \
    F(ZSTD, ZSTD_isError)

/* soname, as the headers were built against */
static const char *const lazy_files[LAZY_LIBRARIES] = {
    [LAZY_SLIRP] = "libslirp.so.0",   [LAZY_GNUTLS] = "libgnutls.so.30",
    [LAZY_NETTLE] = "libnettle.so.8", [LAZY_PNG] = "libpng16.so.16",
    [LAZY_ZSTD] = "libzstd.so.1",     [LAZY_DEFLATE] = "libdeflate.so.0",
};

static void G_GNUC_NORETURN
lazy_missing(void)
{
    fputs("kiln-vmm: a function was called whose library is not loaded\n", stderr);
    abort();
}

/* A tail jump leaves registers and stack as they are, whatever the function's arguments. */
#define LAZY_STUB(library, name)                                                                   \
    extern void *lazy_to_##name;                                                                   \
    __attribute__((visibility("hidden"))) void *lazy_to_##name = (void *)lazy_missing;             \
    __asm__(".pushsection .text\n"                                                                 \
            ".globl " #name "\n"                                                                   \
            ".type " #name ", @function\n" #name ":\n"                                             \
            "endbr64\n"                                                                            \
            "jmp *lazy_to_" #name "(%rip)\n"                                                       \
            ".size " #name ", . - " #name "\n"                                                     \
            ".popsection\n");
LAZY_FUNCTIONS(LAZY_STUB)

static const struct {
    LazyLibrary library;
    const char *name;
    void **pointer;
} lazy_functions[] = {
#define LAZY_ROW(library, name) { LAZY_##library, #name, &lazy_to_##name },
    LAZY_FUNCTIONS(LAZY_ROW)
};

bool
lazy_load(LazyLibrary library, GError **err)
{
    void *handle = dlopen(lazy_files[library], RTLD_NOW | RTLD_LOCAL);

    for (size_t i = 0; handle && i < G_N_ELEMENTS(lazy_functions); i++) {
        void *function;

        if (lazy_functions[i].library != library)
            continue;
        function = dlsym(handle, lazy_functions[i].name);
        if (!function)
            handle = NULL;
        else
            *lazy_functions[i].pointer = function;
    }
    return handle || kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                    "a library is missing that this guest needs: %s", dlerror());
}
