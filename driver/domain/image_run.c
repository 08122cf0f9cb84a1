/* image_run.c - images that kiln-img makes and merges for guests, with the secrets of encrypted
 * ones.
 *
 * Secrets go through pipes; images that are encrypted are named with all that they lie on, as
 * "json:{…}" (QEMU QMP reference, block-core.json: BlockdevOptions), the others by their paths.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/argv.h"
#include "driver/domain/resources.h"
#include "driver/storage/img_call.h"

/* The id of the secret of @image's encryption, which is made known to @call; "" without one. NULL
 * with @err. */
static char *
add_secret(DomainManager *manager, ImgCall *call, const DomainDisk *image, GError **err)
{
    const DomainEncryption *encryption = domain_disk_encryption(image);
    int fd;

    if (!encryption)
        return g_strdup("");
    fd = domain_secret_pipe(manager, encryption->secrets->pdata[0], err);
    return fd < 0 ? NULL : img_call_add_secret(call, fd);
}

/* --- making ----------------------------------------------------------------------------------- */

bool
domain_image_create(DomainManager *manager, const DomainDisk *image, const DomainDisk *behind,
                    uint64_t size, GError **err)
{
    g_autofree char *program = domain_image_program(manager), *id = NULL;
    const char *driver = argv_image_driver(image);
    bool luks = strcmp(driver, "luks") == 0;
    g_auto(ImgCall) call = { 0 };

    img_call_init(&call, program, "create");
    id = add_secret(manager, &call, image, err);
    if (!id)
        return false;
    img_call_add(&call, "-f");
    img_call_add(&call, driver);
    if (*id && !luks)
        img_call_add_option(&call, "encrypt.format", "luks");
    if (*id)
        img_call_add_option(&call, luks ? "key-secret" : "encrypt.key-secret", id);
    if (behind) {
        img_call_add(&call, "-F");
        img_call_add(&call, argv_image_driver(behind));
        img_call_add(&call, "-b");
        img_call_add(&call, domain_disk_path(behind));
    }
    if (size && behind)
        img_call_add(&call, "-u");
    img_call_add(&call, domain_disk_path(image));
    if (size)
        img_call_add_size(&call, size);
    return img_call_run(&call, err);
}

/* --- merging ---------------------------------------------------------------------------------- */

/* The options that open @image; NULL with @err. */
static JsonObject *
image_options(DomainManager *manager, ImgCall *call, const DomainDisk *image, GError **err)
{
    JsonObject *options, *file;
    g_autofree char *id = add_secret(manager, call, image, err);

    if (!id)
        return NULL;
    options = json_object_new();
    file = json_object_new();
    argv_image_opens(options, image, id);
    json_object_set_string_member(file, "driver",
                                  image->type == DOMAIN_DISK_BLOCK ? "host_device" : "file");
    json_object_set_string_member(file, "filename", domain_disk_path(image));
    json_object_set_object_member(options, "file", file);
    return options;
}

/* @layers: the chain from an image down, of ChainLayer. */
static JsonObject *
chain_options(DomainManager *manager, ImgCall *call, const GPtrArray *layers, GError **err)
{
    JsonObject *whole = NULL;

    for (guint i = layers->len; i > 0; i--) {
        const ChainLayer *layer = layers->pdata[i - 1];
        JsonObject *options = image_options(manager, call, layer->source, err);

        if (!options) {
            g_clear_pointer(&whole, json_object_unref);
            return NULL;
        }
        if (whole)
            json_object_set_object_member(options, "backing", whole);
        whole = options;
    }
    return whole;
}

static bool
is_encrypted(const GPtrArray *layers)
{
    for (guint i = 0; i < layers->len; i++)
        if (domain_disk_encryption(((const ChainLayer *)layers->pdata[i])->source))
            return true;
    return false;
}

bool
domain_image_commit(DomainManager *manager, const DomainDisk *image, const DomainDisk *base,
                    GError **err)
{
    g_autoptr(GPtrArray) layers = argv_chain_parse(base, err);
    g_autofree char *program = domain_image_program(manager);
    g_autoptr(JsonObject) options = NULL;
    g_auto(ImgCall) call = { 0 };

    if (!layers)
        return false;
    g_ptr_array_insert(layers, 0, argv_chain_layer_of(base));
    g_ptr_array_insert(layers, 0, argv_chain_layer_of(image));
    img_call_init(&call, program, "commit");
    img_call_add(&call, "-d");
    if (!is_encrypted(layers)) {
        img_call_add(&call, "-f");
        img_call_add(&call, argv_image_driver(image));
        img_call_add(&call, domain_disk_path(image));
    } else if ((options = chain_options(manager, &call, layers, err))) {
        g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), options);
        g_autofree char *text = json_to_string(node, FALSE);
        g_autofree char *name = g_strconcat("json:", text, NULL);

        img_call_add(&call, name);
    } else {
        return false;
    }
    return img_call_run(&call, err);
}
