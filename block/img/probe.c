/* probe.c - kiln-img probe: what an image on standard input is, and names as its backing file.
 *
 * For callers that must not read a guest's bytes themselves, nor open what the image names: the
 * sandbox is entered before the first byte is read, and nothing is opened by name. Kiln's own, not
 * qemu-img's. Prints one JSON object: format, virtual-size, and, where the image has them,
 * backing-filename and backing-filename-format, as the image's header says them, cluster-size and
 * format-specific (as info prints it).
 *
 * Without -f the format is guessed by the first bytes. Then a CD's file system is called "iso", as
 * libvirt's volumes have it (ECMA-119, 8.1), and of an image that cannot be opened no more is said
 * than its format.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/img/img.h"
#include "util/error.h"

static int
probe_open_file(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = dup(STDIN_FILENO);

    (void)opaque;
    (void)filename;
    (void)flags;
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "standard input");
    return fd;
}

static JsonObject *
probe_options(const char *format)
{
    JsonObject *file = json_object_new(), *image = json_object_new();
    struct stat st;

    json_object_set_string_member(
        file, "driver",
        fstat(STDIN_FILENO, &st) == 0 && S_ISBLK(st.st_mode) ? "host_device" : "file");
    /* a descriptor: its names are not followed */
    json_object_set_string_member(file, "filename", "/dev/fdset/0");
    json_object_set_boolean_member(image, "read-only", TRUE);
    json_object_set_string_member(image, "driver", format);
    json_object_set_object_member(image, "file", file);
    return image;
}

static void
print_text(JsonObject *object, const char *key, const char *text)
{
    if (text)
        json_object_set_string_member(object, key, text);
}

/* The format by the first bytes; it is not known before somebody read them. */
static const char *
guess_format(void)
{
    enum { HEAD = 64 * 1024, CD_ID = 32769 };
    g_autofree uint8_t *head = g_malloc0(HEAD);
    ssize_t n = pread(STDIN_FILENO, head, HEAD, 0);
    const char *format = block_image_probe(head, n > 0 ? (size_t)n : 0, "");

    if (strcmp(format, "raw") == 0 && n > CD_ID + 5 && memcmp(head + CD_ID, "CD001", 5) == 0)
        return "iso";
    return format;
}

static int
probe_print(JsonObject *object, BlockNode *node)
{
    JsonObject *specific;

    json_object_set_int_member(object, "virtual-size", (gint64)block_node_size(node));
    print_text(object, "backing-filename", block_node_backing_filename(node));
    print_text(object, "backing-filename-format", block_node_backing_format(node));
    if (block_node_cluster_size(node) > 0)
        json_object_set_int_member(object, "cluster-size", block_node_cluster_size(node));
    specific = block_image_specific(node);
    if (specific)
        json_object_set_object_member(object, "format-specific", specific);
    img_json_print_object(object);
    return IMG_OK;
}

static int
probe_run(ImgArgs *args)
{
    const BlockImageOptions how = { .ops = { .open_file = probe_open_file },
                                    .read_only = true,
                                    .no_io = true, /* encrypted ones too */
                                    .force_share = true };
    g_autoptr(JsonObject) options = NULL;
    g_autoptr(BlockNode) node = NULL;
    g_autoptr(GError) err = NULL;
    const char *format = args->format;
    JsonObject *object;

    if (args->n_files != 0)
        return img_fail("probe wants the image on standard input");
    if (!img_sandbox_enter(&err))
        return img_fail_error(err);
    if (!format)
        format = guess_format();
    options = probe_options(strcmp(format, "iso") == 0 ? "raw" : format);
    node = block_image_open_options(options, &how, &err);
    if (!node && args->format)
        return img_fail_error(err);
    object = json_object_new();
    print_text(object, "format", format);
    if (node)
        return probe_print(object, node);
    img_json_print_object(object);
    return IMG_OK;
}

static const ImgOption probe_options_table[] = {
    { 'f', NULL, "fmt", IMG_TEXT, IMG_AT(format) },
    { 0 },
};

const ImgCommand img_probe = {
    .name = "probe",
    .operands = "< image",
    .summary = "what an image on standard input lies on",
    .options = probe_options_table,
    .run = probe_run,
};
