/* registry.c - the list of device classes, from hw/devices.def.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/device.h"

#include <string.h>

#define DEVICE(symbol) extern const DeviceClass symbol;
#include "hw/devices.def"
#undef DEVICE

#define DEVICE(symbol) &symbol,
static const DeviceClass *const device_classes[] = {
#include "hw/devices.def"
};
#undef DEVICE

const DeviceClass *const *
device_class_list(size_t *ret_n)
{
    *ret_n = G_N_ELEMENTS(device_classes);
    return device_classes;
}

const DeviceVariant *
device_variant_find(const DeviceClass *class, const char *name)
{
    for (const DeviceVariant *variant = class->variants; variant && variant->name; variant++) {
        if (strcmp(variant->name, name) == 0)
            return variant;
    }
    return NULL;
}

const DeviceClass *
device_class_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(device_classes); i++) {
        const DeviceClass *class = device_classes[i];

        if (strcmp(class->name, name) == 0 ||
            (class->aliases && g_strv_contains(class->aliases, name)) ||
            device_variant_find(class, name))
            return class;
    }
    return NULL;
}
