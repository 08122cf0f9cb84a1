/* state.c - saved state of a whole machine: each device by its path, each table of its class's
 * chain.
 *
 *   machine := "KILNDEV1", u32 number of devices, device…
 *   device  := u16 length, path; u32 length, table… (the class's own first, then its bases')
 *
 * Leaves out: guest RAM and vCPU registers, which are the launcher's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/core/device.h"
#include "util/error.h"

#include <string.h>

#define STATE_MAGIC "KILNDEV1"

enum { STATE_MAGIC_LEN = 8 };

static void
state_append(GByteArray *out, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    bytes_store(bytes, value, size);
    g_byte_array_append(out, bytes, size);
}

static bool
device_has_state(const Device *dev)
{
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        if (class->saved)
            return true;
    }
    return false;
}

static void
device_save(Device *dev, GByteArray *out)
{
    size_t path_len = strlen(dev->path);
    guint at;

    state_append(out, path_len, 2);
    g_byte_array_append(out, (const guint8 *)dev->path, (guint)path_len);
    at = out->len;
    state_append(out, 0, 4);
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        if (class->saved)
            saved_table_save(class->saved, dev, out);
    }
    bytes_store(out->data + at, out->len - at - 4, 4);
}

bool
machine_save(Machine *machine, GByteArray *out, GError **err)
{
    uint32_t n = 0;
    guint at;

    if (machine->running)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the state of a running machine cannot be saved: pause it first");
    g_byte_array_append(out, (const guint8 *)STATE_MAGIC, STATE_MAGIC_LEN);
    at = out->len;
    state_append(out, 0, 4);
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (!device_has_state(dev))
            continue;
        device_save(dev, out);
        n++;
    }
    bytes_store(out->data + at, n, 4);
    return true;
}

static bool
state_truncated(GError **err)
{
    return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "saved state of the machine ends too early");
}

/* Loads from the bases up: what a class checks after its load may lean on its base's state. */
static bool
device_load_chain(Device *dev, const DeviceClass *class, const uint8_t *data, size_t len,
                  const size_t *starts, GError **err)
{
    size_t pos = starts[0];

    if (class->base && !device_load_chain(dev, class->base, data, len, starts + 1, err))
        return false;
    return !class->saved || saved_table_load(class->saved, dev, data, len, &pos, err);
}

/* Finds where the table behind @pos ends, without reading its values. */
static bool
state_skip_table(const uint8_t *data, size_t len, size_t *pos)
{
    size_t at = *pos;
    unsigned n;

    if (len - at < 4)
        return false;
    n = bytes_load16(data + at + 2);
    at += 4;
    for (unsigned i = 0; i < n; i++) {
        size_t name, length;

        if (len - at < 1 || len - at - 1 < (name = data[at]) || len - at - 1 - name < 4)
            return false;
        length = bytes_load32(data + at + 1 + name);
        at += 1 + name + 4;
        if (len - at < length)
            return false;
        at += length;
    }
    *pos = at;
    return true;
}

static bool
device_load(Device *dev, const uint8_t *data, size_t len, GError **err)
{
    size_t starts[8], pos = 0, n = 0;

    for (const DeviceClass *class = dev->class; class && n < G_N_ELEMENTS(starts);
         class = class->base) {
        starts[n++] = pos;
        if (class->saved && !state_skip_table(data, len, &pos))
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "saved state of %s ends too early",
                                  class->saved->name);
    }
    if (pos != len)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "saved state has more than %s expects",
                              dev->class->name);
    return device_load_chain(dev, dev->class, data, len, starts, err);
}

static Device *
machine_find_path(Machine *machine, const uint8_t *path, size_t len)
{
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (strlen(dev->path) == len && memcmp(dev->path, path, len) == 0)
            return dev;
    }
    return NULL;
}

bool
machine_load(Machine *machine, const uint8_t *data, size_t len, GError **err)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    size_t pos = STATE_MAGIC_LEN + 4;
    uint32_t n;

    if (len < pos)
        return state_truncated(err);
    if (memcmp(data, STATE_MAGIC, STATE_MAGIC_LEN) != 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "this is not a machine's saved state");
    n = bytes_load32(data + STATE_MAGIC_LEN);
    for (uint32_t i = 0; i < n; i++) {
        size_t path_len, length;
        const uint8_t *path;
        Device *dev;

        if (len - pos < 2)
            return state_truncated(err);
        path_len = bytes_load16(data + pos);
        pos += 2;
        if (len - pos < path_len || len - pos - path_len < 4)
            return state_truncated(err);
        path = data + pos;
        length = bytes_load32(data + pos + path_len);
        pos += path_len + 4;
        if (len - pos < length)
            return state_truncated(err);
        dev = machine_find_path(machine, path, path_len);
        if (!dev || !device_has_state(dev) || !g_hash_table_add(seen, dev)) {
            g_autofree char *shown = g_utf8_make_valid((const char *)path, (gssize)path_len);

            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "saved state names a device '%s' that this machine does not have",
                                  shown);
        }
        if (!device_load(dev, data + pos, length, err)) {
            g_prefix_error(err, "device '%s': ", dev->path);
            return false;
        }
        pos += length;
    }
    if (pos != len)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "saved state of the machine has %zu bytes too many", len - pos);
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (device_has_state(dev) && !g_hash_table_contains(seen, dev))
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "saved state lacks the device '%s'", dev->path);
    }
    return true;
}
