/* props.c - properties of a device: text into its state struct, by the class's tables.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/props.h"

#include "util/error.h"

#include <string.h>

static const char *
prop_range_text(const DeviceProp *prop, char *buf, size_t size)
{
    if (prop->max > 0)
        g_snprintf(buf, size, " (%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ")", prop->min,
                   prop->max);
    else
        buf[0] = '\0';
    return buf;
}

static bool
prop_bad(Device *dev, const DeviceProp *prop, const char *text, GError **err)
{
    g_autofree char *names = NULL;
    char range[64];

    if (prop->kind == PROP_ENUM)
        names = g_strjoinv(", ", (char **)prop->names);
    return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                        "property '%s' cannot be '%s': expected %s%s%s", prop->name, text,
                        names ? "one of " : props_kind_name(prop->kind), names ? names : "",
                        prop_range_text(prop, range, sizeof(range)));
}

static bool
prop_parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = { "on", "true", "yes", "y", NULL };
    static const char *const no[] = { "off", "false", "no", "n", NULL };

    if (g_strv_contains(yes, text))
        *ret = true;
    else if (g_strv_contains(no, text))
        *ret = false;
    else
        return false;
    return true;
}

static bool
prop_parse_number(const DeviceProp *prop, const char *text, uint64_t limit, uint64_t *ret)
{
    uint64_t value, max = prop->max ? prop->max : limit;
    char *end;
    int base = g_ascii_strncasecmp(text, "0x", 2) == 0 ? 16 : 10;
    unsigned shift = 0;

    if (!g_ascii_isdigit(text[0]))
        return false;
    errno = 0;
    value = g_ascii_strtoull(text, &end, base);
    if (errno)
        return false;
    if (prop->kind == PROP_SIZE && *end) {
        static const char suffixes[] = "KMGT";
        const char *at = strchr(suffixes, g_ascii_toupper(*end));

        if (!at)
            return false;
        shift = 10 * (unsigned)(at - suffixes + 1);
        end++;
    }
    if (*end || value > (UINT64_MAX >> shift))
        return false;
    value <<= shift;
    if (value < prop->min || value > max)
        return false;
    *ret = value;
    return true;
}

static bool
prop_parse_int32(const DeviceProp *prop, const char *text, int32_t *ret)
{
    char *end;
    int64_t value;

    errno = 0;
    value = g_ascii_strtoll(text, &end, 10);
    if (errno || end == text || *end || value < INT32_MIN || value > INT32_MAX)
        return false;
    if (prop->max && (value < (int64_t)prop->min || value > (int64_t)prop->max))
        return false;
    *ret = (int32_t)value;
    return true;
}

static bool
prop_parse_mac(const char *text, uint8_t *ret)
{
    uint8_t mac[6];

    for (int i = 0; i < 6; i++) {
        if (!g_ascii_isxdigit(text[0]) || !g_ascii_isxdigit(text[1]) ||
            text[2] != (i < 5 ? ':' : '\0'))
            return false;
        mac[i] = (uint8_t)(g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]));
        text += 3;
    }
    memcpy(ret, mac, sizeof(mac));
    return true;
}

/* "SLOT" or "SLOT.FUNCTION", hexadecimal with or without 0x, as QEMU writes it. */
static bool
prop_parse_pci_address(const char *text, int32_t *ret)
{
    uint64_t slot, function = 0;
    char *end;

    if (!g_ascii_isxdigit(text[0]))
        return false;
    slot = g_ascii_strtoull(text, &end, 16);
    if (*end == '.') {
        const char *second = end + 1;

        if (!g_ascii_isxdigit(second[0]))
            return false;
        function = g_ascii_strtoull(second, &end, 16);
    }
    if (*end || slot > 31 || function > 7)
        return false;
    *ret = (int32_t)(slot << 3 | function);
    return true;
}

static ObjectKind
prop_object_kind(PropKind kind)
{
    switch (kind) {
    case PROP_BLOCK_NODE:
        return OBJECT_BLOCK_NODE;
    case PROP_NETDEV:
        return OBJECT_NETDEV;
    case PROP_CHARDEV:
        return OBJECT_CHARDEV;
    case PROP_IOTHREAD:
        return OBJECT_IOTHREAD;
    case PROP_RNG:
        return OBJECT_RNG;
    default:
        return OBJECT_KINDS;
    }
}

static bool
prop_set_object(Device *dev, const DeviceProp *prop, const char *text, GError **err)
{
    PropObject *slot = (PropObject *)((uint8_t *)dev + prop->offset);
    void *object = machine_object_claim(dev->machine, prop_object_kind(prop->kind), text, dev, err);

    if (!object) {
        g_prefix_error(err, "device '%s': property '%s': ", dev->path, prop->name);
        return false;
    }
    slot->id = g_strdup(text);
    slot->object = object;
    return true;
}

static int
prop_enum_index(const DeviceProp *prop, const char *text)
{
    for (int i = 0; prop->names[i]; i++) {
        if (strcmp(prop->names[i], text) == 0)
            return i;
    }
    return -1;
}

static bool
prop_set(Device *dev, const DeviceProp *prop, const char *text, GError **err)
{
    uint8_t *at = (uint8_t *)dev + prop->offset;
    uint64_t number = 0;
    bool ok = true, on = false;

    switch (prop->kind) {
    case PROP_BOOL:
        ok = prop_parse_bool(text, (bool *)at);
        break;
    case PROP_ONOFFAUTO:
        if (strcmp(text, "auto") == 0)
            *(int *)at = ONOFFAUTO_AUTO;
        else if ((ok = prop_parse_bool(text, &on)))
            *(int *)at = on ? ONOFFAUTO_ON : ONOFFAUTO_OFF;
        break;
    case PROP_UINT8:
        if ((ok = prop_parse_number(prop, text, UINT8_MAX, &number)))
            *at = (uint8_t)number;
        break;
    case PROP_UINT16:
        if ((ok = prop_parse_number(prop, text, UINT16_MAX, &number)))
            *(uint16_t *)at = (uint16_t)number;
        break;
    case PROP_UINT32:
        if ((ok = prop_parse_number(prop, text, UINT32_MAX, &number)))
            *(uint32_t *)at = (uint32_t)number;
        break;
    case PROP_UINT64:
    case PROP_SIZE:
        if ((ok = prop_parse_number(prop, text, UINT64_MAX, &number)))
            *(uint64_t *)at = number;
        break;
    case PROP_INT32:
        ok = prop_parse_int32(prop, text, (int32_t *)at);
        break;
    case PROP_STRING:
        *(char **)at = g_strdup(text);
        break;
    case PROP_ENUM:
        ok = prop_enum_index(prop, text) >= 0;
        if (ok)
            *(int *)at = prop_enum_index(prop, text);
        break;
    case PROP_MAC:
        ok = prop_parse_mac(text, at);
        break;
    case PROP_PCI_ADDRESS:
        ok = prop_parse_pci_address(text, (int32_t *)at);
        break;
    case PROP_BLOCK_NODE:
    case PROP_NETDEV:
    case PROP_CHARDEV:
    case PROP_IOTHREAD:
    case PROP_RNG:
        return prop_set_object(dev, prop, text, err);
    }
    return ok || prop_bad(dev, prop, text, err);
}

unsigned
props_distance(const char *a, const char *b)
{
    size_t n = strlen(b);
    g_autofree unsigned *row = g_new(unsigned, n + 1);

    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; a[i]; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < n; j++) {
            unsigned above = row[j + 1];
            unsigned best = diagonal + (a[i] != b[j]);

            best = MIN(best, above + 1);
            row[j + 1] = MIN(best, row[j] + 1);
            diagonal = above;
        }
    }
    return row[n];
}

static bool
prop_unknown(Device *dev, const char *name, GError **err)
{
    const char *nearest = NULL;
    unsigned best = 4;

    for (const DeviceClass *class = dev->class; class; class = class->base) {
        for (size_t i = 0; i < class->n_props; i++) {
            unsigned d = props_distance(name, class->props[i].name);

            if (d < best && 2 * d < strlen(name)) {
                best = d;
                nearest = class->props[i].name;
            }
        }
    }
    return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                        "there is no property '%s'%s%s%s; see -device %s,help", name,
                        nearest ? ", did you mean '" : "", nearest ? nearest : "",
                        nearest ? "'" : "", dev->class->name);
}

static const DeviceProp *
prop_find(const DeviceClass *class, const char *name)
{
    for (; class; class = class->base) {
        for (size_t i = 0; i < class->n_props; i++) {
            if (strcmp(class->props[i].name, name) == 0)
                return &class->props[i];
        }
    }
    return NULL;
}

bool
device_class_has_prop(const DeviceClass *class, const char *name)
{
    return prop_find(class, name) != NULL;
}

static bool
props_all_known(Device *dev, GHashTable *props, GError **err)
{
    static const char *const common[] = { "driver", "id", "bus", NULL };
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, props);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (!g_strv_contains(common, key) && !prop_find(dev->class, key))
            return prop_unknown(dev, key, err);
    }
    return true;
}

bool
props_apply(Device *dev, GHashTable *props, GError **err)
{
    if (!props_all_known(dev, props, err))
        return false;
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        for (size_t i = 0; i < class->n_props; i++) {
            const DeviceProp *prop = &class->props[i];
            const char *text = g_hash_table_lookup(props, prop->name);

            if (!text && prop->required)
                return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                    "property '%s' (%s) is required", prop->name,
                                    props_kind_name(prop->kind));
            if (text && prop->set_offset)
                *(bool *)((uint8_t *)dev + prop->set_offset) = true;
            if (!text && prop->kind == PROP_PCI_ADDRESS && !prop->fallback)
                *(int32_t *)((uint8_t *)dev + prop->offset) = -1;
            if (!text)
                text = prop->fallback;
            if (text && !prop_set(dev, prop, text, err))
                return false;
        }
    }
    return true;
}

void
props_clear(Device *dev)
{
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        for (size_t i = 0; i < class->n_props; i++) {
            const DeviceProp *prop = &class->props[i];
            uint8_t *at = (uint8_t *)dev + prop->offset;

            if (prop->kind == PROP_STRING) {
                g_clear_pointer((char **)at, g_free);
            } else if (prop_object_kind(prop->kind) != OBJECT_KINDS) {
                PropObject *slot = (PropObject *)at;

                if (slot->object)
                    machine_object_release(dev->machine, prop_object_kind(prop->kind), slot->id,
                                           dev);
                g_clear_pointer(&slot->id, g_free);
                slot->object = NULL;
            }
        }
    }
}

void *
props_object(Device *dev, PropKind kind)
{
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        for (size_t i = 0; i < class->n_props; i++) {
            if (class->props[i].kind == kind)
                return ((const PropObject *)((uint8_t *)dev + class->props[i].offset))->object;
        }
    }
    return NULL;
}

const char *
props_kind_name(PropKind kind)
{
    static const char *const names[] = {
        [PROP_BOOL] = "on or off",
        [PROP_ONOFFAUTO] = "on, off or auto",
        [PROP_UINT8] = "a number",
        [PROP_UINT16] = "a number",
        [PROP_UINT32] = "a number",
        [PROP_UINT64] = "a number",
        [PROP_INT32] = "a number",
        [PROP_SIZE] = "a size in bytes or with K, M, G or T",
        [PROP_STRING] = "text",
        [PROP_ENUM] = "one of a list",
        [PROP_MAC] = "a MAC address",
        [PROP_PCI_ADDRESS] = "a PCI slot or slot.function",
        [PROP_BLOCK_NODE] = "a block node's name",
        [PROP_NETDEV] = "a netdev's id",
        [PROP_CHARDEV] = "a chardev's id",
        [PROP_IOTHREAD] = "an iothread's id",
        [PROP_RNG] = "an rng object's id",
    };

    return names[kind];
}
