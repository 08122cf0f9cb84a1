/* qmp_display.c - QMP commands about screens.
 *
 * QEMU 7.2 qapi/ui.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "hw/core/device.h"
#include "hw/display/display.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

#define COMMAND(name)                                                                              \
    JsonNode *name(G_GNUC_UNUSED QmpSession *session, G_GNUC_UNUSED JsonObject *args,              \
                   G_GNUC_UNUSED GError **err)

static Screen *
display_find(Vm *vm, JsonObject *args, GError **err)
{
    const char *id = json_object_get_string_member_with_default(args, "device", NULL);
    int64_t head = json_object_get_int_member_with_default(args, "head", 0);
    Screen *screen;

    if (!id && head != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "'head' must be specified together with 'device'");
        return NULL;
    }
    if (id && !machine_device_find(vm->machine, id)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Device '%s' not found", id);
        return NULL;
    }
    screen = head < 0 || head > 255 ? NULL
                                    : displays_find(vm->machine->displays, id, (unsigned)head);
    if (!screen && id)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Device '%s' has no screen %" G_GINT64_FORMAT, id,
                       head);
    else if (!screen)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "There is no console to take a screendump from");
    return screen;
}

static bool
display_write(int fd, GBytes *bytes, const char *name, GError **err)
{
    gsize left;
    const char *data = g_bytes_get_data(bytes, &left);

    while (left > 0) {
        ssize_t n = write(fd, data, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, n < 0 ? errno : EIO,
                                        "writing '%s'", name);
        data += n;
        left -= (gsize)n;
    }
    return true;
}

COMMAND(qmp_screendump)
{
    static const char *const formats[] = { "ppm", "png", NULL };
    Vm *vm = qmp_session_vm(session);
    const char *name = json_object_get_string_member(args, "filename");
    Screen *screen = display_find(vm, args, err);
    int format = PICTURE_PPM, fd;
    g_autoptr(GBytes) bytes = NULL;

    if (!screen || !keyval_enum("screendump", args, "format", formats, &format, err))
        return NULL;
    screen_refresh(screen);
    bytes = surface_to_file(screen_surface(screen), (PictureFormat)format, err);
    if (!bytes)
        return NULL;
    fd = fdset_open(vm->fdsets, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666, err);
    if (fd < 0) {
        g_prefix_error(err, "the guest's process reaches no files unless -sandbox is off; give "
                            "the file with add-fd and name it /dev/fdset/N: ");
        return NULL;
    }
    display_write(fd, bytes, name, err);
    close(fd);
    return NULL;
}
