/* image_run.c - images that kiln-img makes and merges for guests, with the secrets of encrypted
 * ones.
 *
 * Secrets go through pipes; images that are encrypted are named with all that they lie on, as
 * "json:{…}" (QEMU QMP reference, block-core.json: BlockdevOptions), the others by their paths.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/argv.h"
#include "driver/domain/resources.h"
#include "driver/storage/backend.h"

/* One call of kiln-img. */
typedef struct {
    DomainManager *manager;
    GPtrArray *words;
    GArray *secrets; /* int: pipes */
} ImageRun;

static ImageRun
run_new(DomainManager *manager, const char *command)
{
    ImageRun run = {
        manager,
        g_ptr_array_new_with_free_func(g_free),
        g_array_new(FALSE, FALSE, sizeof(int)),
    };

    g_ptr_array_add(run.words, domain_image_program(manager));
    g_ptr_array_add(run.words, g_strdup(command));
    g_ptr_array_add(run.words, g_strdup("-q"));
    return run;
}

static void
run_clear(ImageRun *run)
{
    for (guint i = 0; i < run->secrets->len; i++)
        close(g_array_index(run->secrets, int, i));
    g_array_unref(run->secrets);
    g_ptr_array_unref(run->words);
}

static void
run_add(ImageRun *run, const char *word, const char *value)
{
    g_ptr_array_add(run->words, g_strdup(word));
    if (value)
        g_ptr_array_add(run->words, g_strdup(value));
}

static bool
run_do(ImageRun *run, GError **err)
{
    g_ptr_array_add(run->words, NULL);
    return storage_run_given((const char *const *)run->words->pdata, run->secrets, err);
}

/* The id of the secret of @image's encryption, which is made known; "" without one. NULL with
 * @err. */
static char *
run_secret(ImageRun *run, const DomainDisk *image, GError **err)
{
    const DomainEncryption *encryption = domain_disk_encryption(image);
    g_autofree char *object = NULL, *id = NULL;
    int fd;

    if (!encryption)
        return g_strdup("");
    fd = domain_secret_pipe(run->manager, encryption->secrets->pdata[0], err);
    if (fd < 0)
        return NULL;
    id = g_strdup_printf("secret%u", run->secrets->len);
    object = g_strdup_printf("secret,id=%s,file=/dev/fd/%u", id,
                             (unsigned)STORAGE_FD_FIRST + run->secrets->len);
    g_array_append_val(run->secrets, fd);
    run_add(run, "--object", object);
    return g_steal_pointer(&id);
}

/* --- making ----------------------------------------------------------------------------------- */

bool
domain_image_create(DomainManager *manager, const DomainDisk *image, const DomainDisk *behind,
                    uint64_t size, GError **err)
{
    ImageRun run = run_new(manager, "create");
    const char *driver = argv_image_driver(image);
    g_autofree char *id = run_secret(&run, image, err), *options = NULL, *digits = NULL;
    bool ok = id != NULL;

    run_add(&run, "-f", driver);
    if (ok && *id) {
        options = strcmp(driver, "luks") == 0
                      ? g_strconcat("key-secret=", id, NULL)
                      : g_strconcat("encrypt.format=luks,encrypt.key-secret=", id, NULL);
        run_add(&run, "-o", options);
    }
    if (behind) {
        run_add(&run, "-F", argv_image_driver(behind));
        run_add(&run, "-b", domain_disk_path(behind));
    }
    if (size) {
        if (behind)
            run_add(&run, "-u", NULL);
        digits = g_strdup_printf("%" PRIu64, size);
    }
    run_add(&run, domain_disk_path(image), digits);
    ok = ok && run_do(&run, err);
    run_clear(&run);
    return ok;
}

/* --- merging ---------------------------------------------------------------------------------- */

/* The options that open @image; NULL with @err. */
static JsonObject *
image_options(ImageRun *run, const DomainDisk *image, GError **err)
{
    JsonObject *options, *file;
    g_autofree char *id = run_secret(run, image, err);

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
chain_options(ImageRun *run, const GPtrArray *layers, GError **err)
{
    JsonObject *whole = NULL;

    for (guint i = layers->len; i > 0; i--) {
        const ChainLayer *layer = layers->pdata[i - 1];
        JsonObject *options = image_options(run, layer->source, err);

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
    g_autoptr(JsonObject) options = NULL;
    bool ok = true;
    ImageRun run;

    if (!layers)
        return false;
    g_ptr_array_insert(layers, 0, argv_chain_layer_of(base));
    g_ptr_array_insert(layers, 0, argv_chain_layer_of(image));
    run = run_new(manager, "commit");
    run_add(&run, "-d", NULL);
    if (!is_encrypted(layers)) {
        run_add(&run, "-f", argv_image_driver(image));
        run_add(&run, domain_disk_path(image), NULL);
    } else if ((options = chain_options(&run, layers, err))) {
        g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), options);
        g_autofree char *text = json_to_string(node, FALSE);
        g_autofree char *name = g_strconcat("json:", text, NULL);

        run_add(&run, name, NULL);
    } else {
        ok = false;
    }
    ok = ok && run_do(&run, err);
    run_clear(&run);
    return ok;
}
