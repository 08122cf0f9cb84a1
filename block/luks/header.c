/* header.c - the header of a LUKS volume: read with every number bounded, and written.
 *
 * Source: LUKS On-Disk Format Specification 1.2.3, section 6 and figure 1. All numbers are big
 * endian:
 *    0  6  "LUKS" ba be            132 32  salt of the key's digest
 *    6  2  version, 1              164  4  iterations of it
 *    8 32  name of the cipher      168 40  UUID
 *   40 32  its mode                208 48  key slot 0
 *   72 32  hash                    256 48  key slot 1 … 7
 *  104  4  payload, in sectors
 *  108  4  bytes of the key        a slot: state, iterations (4 each), salt (32),
 *  112 20  digest of the key               place in sectors, stripes (4 each)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "block/luks/luks.h"
#include "block/numbers.h"
#include "util/error.h"

enum {
    AT_VERSION = 6,
    AT_CIPHER = 8,
    AT_MODE = 40,
    AT_HASH = 72,
    AT_PAYLOAD = 104,
    AT_KEY_BYTES = 108,
    AT_DIGEST = 112,
    AT_DIGEST_SALT = 132,
    AT_DIGEST_ITERATIONS = 164,
    AT_UUID = 168,
    AT_SLOTS = 208,
    SLOT_BYTES = 48,
    SLOT_ACTIVE = 0x00ac71f3,
    SLOT_INACTIVE = 0x0000dead,
    ALIGN = 4096, /* of key material that is made here */
};

static const uint8_t magic[] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };

bool
luks_header_is(const uint8_t *bytes, size_t length)
{
    return length >= AT_CIPHER && memcmp(bytes, magic, sizeof(magic)) == 0 &&
           be16(bytes + AT_VERSION) == 1;
}

size_t
luks_header_material(const LuksHeader *header)
{
    return (size_t)header->key_bytes * LUKS_STRIPES;
}

static uint64_t
material_sectors(const LuksHeader *header)
{
    return (luks_header_material(header) + LUKS_SECTOR - 1) / LUKS_SECTOR;
}

static bool
damaged(GError **err, const char *name, const char *what, uint64_t value)
{
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "LUKS volume '%s' is damaged: %s %" G_GUINT64_FORMAT
                          " is out of its bounds",
                          name, what, value);
}

static bool
text_get(const uint8_t *bytes, size_t room, const char *what, const char *name, char *ret,
         GError **err)
{
    memcpy(ret, bytes, room);
    ret[room] = '\0';
    /* texts of names, and messages are made of them */
    for (const char *p = ret; *p; p++)
        if (!g_ascii_isgraph(*p))
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                  "LUKS volume '%s' is damaged: its %s is no text", name, what);
    return memchr(ret, '\0', room) ||
           kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "LUKS volume '%s' is damaged: its %s has no end", name, what);
}

static bool
slot_parse(const uint8_t *bytes, const char *name, LuksSlot *ret, GError **err)
{
    uint32_t state = be32(bytes);

    ret->active = state == SLOT_ACTIVE;
    ret->iterations = be32(bytes + 4);
    memcpy(ret->salt, bytes + 8, LUKS_SALT);
    ret->offset = be32(bytes + 40);
    ret->stripes = be32(bytes + 44);
    if (state != SLOT_ACTIVE && state != SLOT_INACTIVE)
        return damaged(err, name, "the state of a key slot,", state);
    if (ret->stripes != LUKS_STRIPES)
        return damaged(err, name, "a number of stripes (4000 is the only one in use),",
                       ret->stripes);
    if (ret->active && (ret->iterations == 0 || ret->iterations > LUKS_ITERATIONS_MAX))
        return damaged(err, name, "the number of iterations of a key slot,", ret->iterations);
    return true;
}

/* Key material lies between header and payload, each slot's apart from the others'. */
static bool
slots_check(const LuksHeader *h, const char *name, GError **err)
{
    uint64_t bytes = material_sectors(h);

    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        uint64_t at = h->slots[i].offset;

        if (at * LUKS_SECTOR < LUKS_HEADER_BYTES || at + bytes > h->payload)
            return damaged(err, name, "the place of a key slot,", at);
        for (unsigned j = 0; j < i; j++)
            if (at < h->slots[j].offset + bytes && h->slots[j].offset < at + bytes)
                return damaged(err, name, "the place of a key slot inside of another,", at);
    }
    return true;
}

bool
luks_header_parse(const uint8_t bytes[LUKS_HEADER_BYTES], uint64_t room, const char *name,
                  LuksHeader *ret, GError **err)
{
    LuksHeader h = { 0 };

    if (memcmp(bytes, magic, sizeof(magic)) != 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "'%s' is no LUKS volume: no signature",
                              name);
    if (be16(bytes + AT_VERSION) != 1)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "LUKS volume '%s' has version %u of the format; only 1 is offered",
                              name, be16(bytes + AT_VERSION));
    if (!text_get(bytes + AT_CIPHER, LUKS_NAME, "cipher", name, h.cipher, err) ||
        !text_get(bytes + AT_MODE, LUKS_NAME, "cipher's mode", name, h.mode, err) ||
        !text_get(bytes + AT_HASH, LUKS_NAME, "hash", name, h.hash, err) ||
        !text_get(bytes + AT_UUID, LUKS_UUID, "UUID", name, h.uuid, err))
        return false;
    h.payload = be32(bytes + AT_PAYLOAD);
    h.key_bytes = be32(bytes + AT_KEY_BYTES);
    memcpy(h.digest, bytes + AT_DIGEST, LUKS_DIGEST);
    memcpy(h.digest_salt, bytes + AT_DIGEST_SALT, LUKS_SALT);
    h.digest_iterations = be32(bytes + AT_DIGEST_ITERATIONS);
    if (h.key_bytes == 0 || h.key_bytes > LUKS_KEY_MAX)
        return damaged(err, name, "the number of bytes of the key,", h.key_bytes);
    if (h.digest_iterations == 0 || h.digest_iterations > LUKS_ITERATIONS_MAX)
        return damaged(err, name, "the number of iterations of the key's digest,",
                       h.digest_iterations);
    if (h.payload == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "LUKS volume '%s' is a header whose payload lies elsewhere, which is "
                              "not offered",
                              name);
    if ((uint64_t)h.payload * LUKS_SECTOR > room)
        return damaged(err, name, "the place of the payload,", h.payload);
    for (unsigned i = 0; i < LUKS_SLOTS; i++)
        if (!slot_parse(bytes + AT_SLOTS + i * SLOT_BYTES, name, &h.slots[i], err))
            return false;
    if (!slots_check(&h, name, err))
        return false;
    *ret = h;
    return true;
}

void
luks_header_format(const LuksHeader *header, uint8_t ret[LUKS_HEADER_BYTES])
{
    memset(ret, 0, LUKS_HEADER_BYTES);
    memcpy(ret, magic, sizeof(magic));
    put_be16(ret + AT_VERSION, 1);
    memcpy(ret + AT_CIPHER, header->cipher, LUKS_NAME);
    memcpy(ret + AT_MODE, header->mode, LUKS_NAME);
    memcpy(ret + AT_HASH, header->hash, LUKS_NAME);
    put_be32(ret + AT_PAYLOAD, header->payload);
    put_be32(ret + AT_KEY_BYTES, header->key_bytes);
    memcpy(ret + AT_DIGEST, header->digest, LUKS_DIGEST);
    memcpy(ret + AT_DIGEST_SALT, header->digest_salt, LUKS_SALT);
    put_be32(ret + AT_DIGEST_ITERATIONS, header->digest_iterations);
    memcpy(ret + AT_UUID, header->uuid, LUKS_UUID);
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        const LuksSlot *slot = &header->slots[i];
        uint8_t *at = ret + AT_SLOTS + i * SLOT_BYTES;

        put_be32(at, slot->active ? SLOT_ACTIVE : SLOT_INACTIVE);
        put_be32(at + 4, slot->iterations);
        memcpy(at + 8, slot->salt, LUKS_SALT);
        put_be32(at + 40, slot->offset);
        put_be32(at + 44, slot->stripes);
    }
}

void
luks_header_layout(LuksHeader *header, uint32_t key_bytes)
{
    uint32_t unit = ALIGN / LUKS_SECTOR, slot;

    header->key_bytes = key_bytes;
    slot = (uint32_t)((material_sectors(header) + unit - 1) / unit * unit);
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        header->slots[i].offset = unit + i * slot;
        header->slots[i].stripes = LUKS_STRIPES;
    }
    header->payload = unit + LUKS_SLOTS * slot;
}
