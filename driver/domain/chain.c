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
#include "util/file.h"

enum { CHAIN_MAX = 200, BACKING_NAME_MAX = 4096 };

void
argv_chain_layer_free(void *data)
{
    ChainLayer *layer = data;

    xml_type_free(&domain_backing_type, layer->source);
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

/* What messages and comparisons of images use: a path, or the address of an export. */
static char *
source_name(const DomainDisk *source)
{
    const DomainDiskHost *host = source->hosts->len ? source->hosts->pdata[0] : NULL;

    if (source->type != DOMAIN_DISK_NETWORK)
        return g_strdup(domain_disk_path(source));
    if (!host)
        return g_strdup_printf("%s:%s", source->protocol,
                               source->export_name ? source->export_name : "");
    return g_strdup_printf("%s://%s%s%s/%s", source->protocol,
                           host->socket ? host->socket : host->name, host->port ? ":" : "",
                           host->port ? host->port : "",
                           source->export_name ? source->export_name : "");
}

/* Takes @source over. */
static ChainLayer *
layer_new(DomainDisk *source)
{
    ChainLayer *layer = g_new0(ChainLayer, 1);

    layer->source = source;
    layer->path = source_name(source);
    layer->format = g_strdup(source->format);
    layer->block = source->type == DOMAIN_DISK_BLOCK;
    layer->index = source->source_index == XML_UNSET ? 0 : (unsigned)source->source_index;
    return layer;
}

ChainLayer *
argv_chain_layer_of(const DomainDisk *disk)
{
    DomainDisk *source = xml_type_new(&domain_backing_type);

    domain_disk_take_source(source, disk);
    source->source_index = disk->source_index;
    return layer_new(source);
}

static bool
store_check(const DomainDisk *source, const char *target, GError **err)
{
    if (source->type != DOMAIN_DISK_FILE && source->type != DOMAIN_DISK_BLOCK &&
        !(source->type == DOMAIN_DISK_NETWORK && g_strcmp0(source->protocol, "nbd") == 0))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<backingStore type='%s'> of disk '%s' is not offered; it can be "
                              "file, block, or network with protocol 'nbd'",
                              domain_disk_types[source->type], target);
    for (guint i = 0; i < source->kept->len; i++) {
        const XmlKept *kept = source->kept->pdata[i];

        if (!g_str_has_suffix(kept->path, "seclabel"))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "<%s> in <backingStore> of disk '%s' is not offered", kept->path,
                                  target);
    }
    return (source->format && domain_disk_has_source(source)) ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "<backingStore> of disk '%s' wants <format type=> and <source>", target);
}

/* *ret_ended: the chain ends with an empty element. */
static bool
store_parse(const DomainDisk *disk, GPtrArray *layers, bool *ret_ended, GError **err)
{
    const char *xml = disk->backing_store;

    while (xml) {
        DomainDisk *source = xml_type_parse_text(&domain_backing_type, xml, strlen(xml),
                                                 "disk_backing_store", 0, err);

        if (!source)
            return false;
        if (source->type == DOMAIN_DISK_NONE) {
            xml_type_free(&domain_backing_type, source);
            *ret_ended = true;
            return true;
        }
        if (layers->len > 0 &&
            !argv_chain_has_backing(((const ChainLayer *)layers->pdata[layers->len - 1])->format)) {
            const ChainLayer *last = layers->pdata[layers->len - 1];

            kiln_error_set(
                err, VIR_ERR_CONFIG_UNSUPPORTED,
                "image '%s' behind disk '%s' has format '%s', which lies on nothing; its "
                "<backingStore> is to be empty",
                last->path, disk->target, last->format);
            xml_type_free(&domain_backing_type, source);
            return false;
        }
        if (!store_check(source, disk->target, err)) {
            xml_type_free(&domain_backing_type, source);
            return false;
        }
        g_ptr_array_add(layers, layer_new(source));
        xml = source->backing_store;
    }
    return true;
}

GPtrArray *
argv_chain_parse(const DomainDisk *disk, GError **err)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(argv_chain_layer_free);
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
    DomainDisk *source;
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
    source = xml_type_new(&domain_backing_type);
    source->type = S_ISBLK(st.st_mode) ? DOMAIN_DISK_BLOCK : DOMAIN_DISK_FILE;
    *(source->type == DOMAIN_DISK_BLOCK ? &source->dev : &source->file) = g_steal_pointer(&full);
    source->format = g_strdup(format);
    return layer_new(source);
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
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(argv_chain_layer_free);
    const ArgvOps *ops = argv->config->ops;
    g_autofree char *own = source_name(disk);
    const char *path = own, *format = disk->format;
    bool ended = false, network = disk->type == DOMAIN_DISK_NETWORK;

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
            network = last->source->type == DOMAIN_DISK_NETWORK;
        }
        if (!ops->backing || !argv_chain_has_backing(format))
            break;
        if (network) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "what the image '%s' of disk '%s' lies on is not looked up on other "
                           "hosts; say it in <backingStore> (an empty one: on nothing)",
                           path, disk->target);
            return NULL;
        }
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
            argv_chain_layer_free(next);
            return NULL;
        }
        g_ptr_array_add(layers, next);
    }
    return g_steal_pointer(&layers);
}

/* @end: what is behind the last. */
static char *
chain_format(const GPtrArray *chain, unsigned first, const char *end)
{
    char *xml = g_strdup(end);

    for (guint i = chain->len; i > 0; i--) {
        const ChainLayer *layer = chain->pdata[i - 1];
        DomainDisk *source = xml_type_copy(&domain_backing_type, layer->source);

        g_free(source->backing_store);
        source->backing_store = g_steal_pointer(&xml);
        source->source_index = first ? first + i - 1 : layer->index ? layer->index : XML_UNSET;
        xml = xml_type_format(&domain_backing_type, source, XML_SECURE);
        xml_type_free(&domain_backing_type, source);
    }
    return xml;
}

char *
argv_chain_xml(const GPtrArray *chain, unsigned first)
{
    return chain_format(chain, first, "<backingStore/>");
}

char *
argv_chain_under(const DomainDisk *disk, GError **err)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(argv_chain_layer_free);
    bool ended = false;

    if (!store_parse(disk, layers, &ended, err))
        return NULL;
    g_ptr_array_insert(layers, 0, argv_chain_layer_of(disk));
    return chain_format(layers, 0, ended ? "<backingStore/>" : NULL);
}

bool
argv_chain_remove(DomainDisk *disk, const char *path)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(argv_chain_layer_free);
    bool ended = false;

    if (!store_parse(disk, layers, &ended, NULL))
        return false;
    for (guint i = 0; i < layers->len; i++)
        if (g_strcmp0(((const ChainLayer *)layers->pdata[i])->path, path) == 0) {
            g_ptr_array_remove_index(layers, i);
            g_free(disk->backing_store);
            disk->backing_store = chain_format(layers, 0, ended ? "<backingStore/>" : NULL);
            return true;
        }
    return false;
}

/* ---- asking an image ---- */

char *
domain_image_program(const DomainManager *manager)
{
    const char *given = g_getenv("KILN_IMG");
    g_autofree char *dir = g_path_get_dirname(manager->vmm);

    return given && *given ? g_strdup(given) : g_build_filename(dir, "kiln-img", NULL);
}

/* What kiln-img writes to standard error of the image @path, whose name it is not told. */
static char *
reader_words(const char *said, const char *path)
{
    g_autofree char *quoted = g_strdup_printf("'%s'", path);
    GString *out = g_string_new(said);

    g_strchomp(out->str);
    g_string_set_size(out, strlen(out->str));
    if (g_str_has_prefix(out->str, "kiln-img: "))
        g_string_erase(out, 0, strlen("kiln-img: "));
    if (g_string_replace(out, "'/dev/fdset/0'", quoted, 0) == 0) {
        g_autofree char *prefix = g_strdup_printf("image %s: ", quoted);

        g_string_prepend(out, prefix);
    }
    return g_string_free(out, FALSE);
}

/* Takes @fd. */
static char *
reader_run(const char *program, int fd, const char *path, const char *format, GError **err)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autoptr(GSubprocess) child = NULL;
    g_autofree char *out = NULL, *said = NULL, *words = NULL;

    g_subprocess_launcher_take_stdin_fd(launcher, fd);
    child = g_subprocess_launcher_spawn(launcher, err, program, "probe", format ? "-f" : NULL,
                                        format, NULL);
    if (!child || !g_subprocess_communicate_utf8(child, NULL, NULL, &out, &said, err))
        return NULL;
    if (g_subprocess_get_successful(child))
        return g_steal_pointer(&out);
    words = reader_words(said && *said ? said : "kiln-img failed", path);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "%s", words);
    return NULL;
}

bool
domain_image_probe(const DomainManager *manager, const char *path, const char *format,
                   DomainImage *ret, GError **err)
{
    g_autofree char *program = domain_image_program(manager), *out = NULL;
    g_autoptr(JsonNode) json = NULL;
    JsonObject *object;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        int r = errno;

        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "cannot open image '%s'", path);
        file_explain_denied(err, r, path);
        return false;
    }
    out = reader_run(program, fd, path, format, err);
    if (!out)
        return false;
    json = json_from_string(out, NULL);
    if (!json || !JSON_NODE_HOLDS_OBJECT(json))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "image '%s': '%s' answered nothing",
                              path, program);
    object = json_node_get_object(json);
    ret->virtual_size =
        (uint64_t)json_object_get_int_member_with_default(object, "virtual-size", 0);
    ret->format = g_strdup(json_object_get_string_member_with_default(object, "format", "raw"));
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
    g_free(image.format);
    *ret_name = image.backing;
    *ret_format = image.backing_format;
    return true;
}
