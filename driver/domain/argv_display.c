/* argv_display.c - screens and input devices on the command line of kiln-vmm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/argv.h"
#include "util/error.h"
#include "xml/domain_model.h"

static bool
not_offered(const char *what, const char *value, GError **err)
{
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "<%s> of %s is not offered", what,
                          value);
}

bool
argv_input(Argv *argv, const DomainInput *input, GError **err)
{
    const char *model = domain_input_model(input);
    g_autoptr(GString) text = NULL;

    if (model && !*model)
        return true; /* the board's keyboard controller */
    if (!domain_model_is_built(model))
        return not_offered("input", model ? model : domain_input_types[input->type], err);
    text = g_string_new(model);
    g_string_append_printf(text, ",id=%s", input->info.alias);
    argv_usb_address(argv, &input->info, text);
    if (input->bus == DOMAIN_INPUT_BUS_VIRTIO)
        argv_virtio(text, &input->virtio);
    argv_pci_address(argv, &input->info, text);
    argv_add(argv, "-device", text->str);
    return true;
}

static bool
argv_video(Argv *argv, const DomainVideo *video, bool primary, GError **err)
{
    const char *model = domain_video_model(video, primary);
    g_autoptr(GString) text = NULL;

    if (model && !*model)
        return true;
    if (!domain_model_is_built(model))
        return not_offered("video", domain_video_models[video->model], err);
    text = g_string_new(model);
    g_string_append_printf(text, ",id=%s", video->info.alias);
    if (video->model == DOMAIN_VIDEO_VGA && video->vram != XML_UNSET)
        argv_uint(text, "vgamem_mb", video->vram / 1024);
    if (video->model == DOMAIN_VIDEO_BOCHS && video->vram != XML_UNSET)
        g_string_append_printf(text, ",vgamem=%" G_GUINT64_FORMAT "k", video->vram);
    if (video->model == DOMAIN_VIDEO_VIRTIO) {
        argv_uint(text, "max_outputs", video->heads);
        argv_virtio(text, &video->virtio);
    }
    argv_uint(text, "xres", video->width);
    argv_uint(text, "yres", video->height);
    argv_pci_address(argv, &video->info, text);
    argv_add(argv, "-device", text->str);
    return true;
}

static void
argv_vnc_tls(Argv *argv, GString *text)
{
    g_autofree char *dir = argv_escape(argv->config->vnc_tls_dir);

    argv_addf(argv, "-object",
              "tls-creds-x509,id=vnc-tls-creds0,dir=%s,endpoint=server,"
              "verify-peer=%s",
              dir, argv->config->vnc_tls_verify ? "on" : "off");
    g_string_append(text, ",tls-creds=vnc-tls-creds0");
}

static bool
argv_vnc(Argv *argv, DomainGraphics *graphics, GError **err)
{
    g_autoptr(GString) text = NULL;
    int fd = -1, websocket = -1;

    if (graphics->type != DOMAIN_GRAPHICS_VNC || !argv->config->ops->graphics)
        return not_offered("graphics", domain_graphics_types[graphics->type], err);
    if (!argv->config->ops->graphics(argv->config->opaque, graphics, &fd, &websocket, err))
        return false;
    text = g_string_new(NULL);
    if (fd < 0) /* <listen type='none'/>: viewers come through the daemon only */
        g_string_assign(text, "none");
    else
        g_string_printf(text, "fd=%d", fd);
    if (argv->config->vnc_tls_dir)
        argv_vnc_tls(argv, text);
    if (websocket >= 0)
        g_string_append_printf(text, ",websocket-fd=%d", websocket);
    if (graphics->share_policy)
        argv_text(text, "share", domain_share_policies[graphics->share_policy]);
    if (graphics->passwd || argv->config->vnc_password)
        g_string_append(text, ",password=on");
    if (graphics->power_control == TRISTATE_ON)
        g_string_append(text, ",power-control=on");
    argv_add(argv, "-vnc", text->str);
    return true;
}

bool
argv_displays(Argv *argv, GError **err)
{
    const DomainDef *def = argv->def;

    for (guint i = 0; i < def->inputs->len; i++)
        if (!argv_input(argv, def->inputs->pdata[i], err))
            return false;
    for (guint i = 0; i < def->graphics->len; i++)
        if (!argv_vnc(argv, def->graphics->pdata[i], err))
            return false;
    for (guint i = 0; i < def->videos->len; i++)
        if (!argv_video(argv, def->videos->pdata[i], i == 0, err))
            return false;
    return true;
}
