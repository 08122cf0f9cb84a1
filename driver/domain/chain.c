/* chain.c - the images that a disk's image lies on.
 *
 * libvirt's "domain XML format", <backingStore>: what is given there is taken as it is; an empty
 * element ends the chain; without one the images are asked. The asking is done by kiln-img in its
 * sandbox: this process reads no byte of an image. Names found in images are opened only when they
 * are paths of this host and come with their format, for raw bytes that a guest wrote must not be
 * taken for another format.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/domain/argv.h"
#include "driver/domain/private.h"
#include "driver/domain/resources.h"
#include "util/error.h"

enum { CHAIN_MAX = 200, BACKING_NAME_MAX = 4096 };

static void
layer_free(gpointer data)
{
    ChainLayer *layer = data;

    g_free(layer->path);
    g_free(layer->format);
    g_free(layer);
}

bool
argv_chain_has_backing(const char *format)
{
    static const char *const formats[] = { "qcow2", "qcow", "qed", "vmdk", NULL };

    return format && g_strv_contains(formats, format);
}

/* ---- <backingStore> ---- */

typedef struct {
    GPtrArray *layers;
    const char *target;
    bool ended;
} StoreParser;

static const char *
attribute(const char **names, const char **values, const char *name)
{
    for (size_t i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return values[i];
    return NULL;
}

static void
store_start(GMarkupParseContext *context, const char *element, const char **names,
            const char **values, gpointer opaque, GError **err)
{
    StoreParser *p = opaque;
    ChainLayer *layer = p->layers->len ? p->layers->pdata[p->layers->len - 1] : NULL;
    const char *type = attribute(names, values, "type");
    const char *index = attribute(names, values, "index");

    (void)context;
    if (strcmp(element, "backingStore") == 0) {
        if (!type) {
            p->ended = true;
            return;
        }
        layer = g_new0(ChainLayer, 1);
        layer->block = strcmp(type, "block") == 0;
        layer->index = index ? (unsigned)g_ascii_strtoull(index, NULL, 10) : 0;
        g_ptr_array_add(p->layers, layer);
        if (!layer->block && strcmp(type, "file") != 0)
            kiln_error_set(
                err, VIR_ERR_CONFIG_UNSUPPORTED,
                "<backingStore type='%s'> of disk '%s' is not offered; it can be file or "
                "block",
                type, p->target);
    } else if (layer && strcmp(element, "format") == 0 && type) {
        g_free(layer->format);
        layer->format = g_strdup(type);
    } else if (layer && strcmp(element, "source") == 0) {
        const char *path = attribute(names, values, layer->block ? "dev" : "file");

        g_free(layer->path);
        layer->path = g_strdup(path);
    } else {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "<%s> in <backingStore> of disk '%s' is not offered", element, p->target);
    }
}

static bool
store_parse(const DomainDisk *disk, GPtrArray *layers, bool *ret_ended, GError **err)
{
    static const GMarkupParser parser = { .start_element = store_start };
    StoreParser p = { .layers = layers, .target = disk->target };
    GMarkupParseContext *context;
    bool ok;

    if (!disk->backing_store)
        return true;
    context = g_markup_parse_context_new(&parser, 0, &p, NULL);
    ok = g_markup_parse_context_parse(context, disk->backing_store, -1, err) &&
         g_markup_parse_context_end_parse(context, err);
    g_markup_parse_context_free(context);
    *ret_ended = p.ended;
    for (guint i = 0; ok && i < layers->len; i++) {
        const ChainLayer *layer = layers->pdata[i];

        if (!layer->path || !layer->format)
            ok = kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "<backingStore> of disk '%s' wants <format type=> and <source>",
                                disk->target);
    }
    return ok;
}

GPtrArray *
argv_chain_parse(const DomainDisk *disk, GError **err)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(layer_free);
    bool ended;

    return store_parse(disk, layers, &ended, err) ? g_steal_pointer(&layers) : NULL;
}

/* ---- what images name ---- */

/* The layer that @name, found in the image @path, stands for. */
static ChainLayer *
layer_of_name(const char *path, const char *name, const char *format, GError **err)
{
    g_autofree char *full = NULL, *dir = g_path_get_dirname(path);
    size_t protocol = strcspn(name, ":/");
    ChainLayer *layer;
    struct stat st;

    if (strlen(name) > BACKING_NAME_MAX || name[protocol] == ':') {
        kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "image '%s' lies on '%.200s', which is no path of a file; say what it lies on "
            "in <backingStore>",
            path, name);
        return NULL;
    }
    full = name[0] == '/' ? g_strdup(name) : g_build_filename(dir, name, NULL);
    if (!format || !*format) {
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "format of backing image '%s' of image '%s' was not specified in the image "
                       "metadata; write it there (qemu-img rebase -u -F) or in <backingStore>",
                       full, path);
        return NULL;
    }
    if (stat(full, &st) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "cannot reach the backing image '%s' of image '%s'", full, path);
        return NULL;
    }
    layer = g_new0(ChainLayer, 1);
    layer->path = g_steal_pointer(&full);
    layer->format = g_strdup(format);
    layer->block = S_ISBLK(st.st_mode);
    return layer;
}

static bool
chain_has(const GPtrArray *layers, const char *path)
{
    for (guint i = 0; i < layers->len; i++)
        if (strcmp(((const ChainLayer *)layers->pdata[i])->path, path) == 0)
            return true;
    return false;
}

GPtrArray *
argv_chain(Argv *argv, const DomainDisk *disk, GError **err)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(layer_free);
    const ArgvOps *ops = argv->config->ops;
    const char *own = disk->type == DOMAIN_DISK_BLOCK ? disk->dev : disk->file;
    const char *path = own, *format = disk->format;
    bool ended = false;

    if (!argv_chain_has_backing(disk->format))
        return g_steal_pointer(&layers);
    if (!store_parse(disk, layers, &ended, err))
        return NULL;
    while (!ended) {
        g_autofree char *name = NULL, *name_format = NULL;
        ChainLayer *next;

        if (layers->len > 0) {
            const ChainLayer *last = layers->pdata[layers->len - 1];

            path = last->path;
            format = last->format;
        }
        if (!ops->backing || !argv_chain_has_backing(format))
            break;
        if (!ops->backing(argv->config->opaque, path, format, &name, &name_format, err))
            return NULL;
        if (!name)
            break;
        next = layer_of_name(path, name, name_format, err);
        if (!next)
            return NULL;
        if (strcmp(next->path, own) == 0 || chain_has(layers, next->path) ||
            layers->len == CHAIN_MAX) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "the images behind '%s' go in a circle, or are more than %d, at '%s'",
                           own, CHAIN_MAX, next->path);
            layer_free(next);
            return NULL;
        }
        g_ptr_array_add(layers, next);
    }
    return g_steal_pointer(&layers);
}

char *
argv_chain_xml(const GPtrArray *chain, unsigned first)
{
    GString *xml = g_string_new("<backingStore/>");

    for (guint i = chain->len; i > 0; i--) {
        const ChainLayer *layer = chain->pdata[i - 1];
        g_autofree char *inner = g_strdup(xml->str);
        g_autofree char *text = g_markup_printf_escaped(
            "<backingStore type='%s' index='%u'><format type='%s'/><source %s='%s'/>",
            layer->block ? "block" : "file", first ? first + i - 1 : layer->index, layer->format,
            layer->block ? "dev" : "file", layer->path);

        g_string_printf(xml, "%s%s</backingStore>", text, inner);
    }
    return g_string_free(xml, FALSE);
}

/* ---- asking an image ---- */

static char *
reader_program(const DomainManager *manager)
{
    const char *given = g_getenv("KILN_IMG");
    g_autofree char *dir = g_path_get_dirname(manager->vmm);

    return given && *given ? g_strdup(given) : g_build_filename(dir, "kiln-img", NULL);
}

/* Takes @fd. */
static char *
reader_run(const char *program, int fd, const char *format, GError **err)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autoptr(GSubprocess) child = NULL;
    g_autofree char *out = NULL, *said = NULL;

    g_subprocess_launcher_take_stdin_fd(launcher, fd);
    child = g_subprocess_launcher_spawn(launcher, err, program, "probe", "-f", format, NULL);
    if (!child || !g_subprocess_communicate_utf8(child, NULL, NULL, &out, &said, err))
        return NULL;
    if (g_subprocess_get_successful(child))
        return g_steal_pointer(&out);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "%s", said ? g_strchomp(said) : "kiln-img failed");
    return NULL;
}

bool
domain_image_probe(const DomainManager *manager, const char *path, const char *format,
                   DomainImage *ret, GError **err)
{
    g_autofree char *program = reader_program(manager), *out = NULL;
    g_autoptr(JsonNode) json = NULL;
    JsonObject *object;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open image '%s'",
                                    path);
    out = reader_run(program, fd, format, err);
    if (!out) {
        g_prefix_error(err, "image '%s': ", path);
        return false;
    }
    json = json_from_string(out, NULL);
    if (!json || !JSON_NODE_HOLDS_OBJECT(json))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "image '%s': '%s' answered nothing",
                              path, program);
    object = json_node_get_object(json);
    ret->virtual_size =
        (uint64_t)json_object_get_int_member_with_default(object, "virtual-size", 0);
    ret->backing =
        g_strdup(json_object_get_string_member_with_default(object, "backing-filename", NULL));
    ret->backing_format = g_strdup(
        json_object_get_string_member_with_default(object, "backing-filename-format", NULL));
    return true;
}

bool
domain_chain_backing(void *opaque, const char *path, const char *format, char **ret_name,
                     char **ret_format, GError **err)
{
    const DomainResources *resources = opaque;
    DomainImage image;

    if (!domain_image_probe(resources->run->domain->manager, path, format, &image, err))
        return false;
    *ret_name = image.backing;
    *ret_format = image.backing_format;
    return true;
}
