/* domain_defaults.c - the devices and values that libvirt 9.0 adds to an x86 guest when it is
 * defined: PS/2 inputs, USB and SATA controllers, a video card for <graphics>, an audio back end,
 * <listen>.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"

#include "util/error.h"

#include <string.h>

/* --- graphics --------------------------------------------------------------------------------- */

static void
complete_listens(DomainGraphics *g)
{
    DomainListen *first;

    if (!g->listens->len) {
        first = xml_type_new(&domain_listen_type);
        first->type = g->socket ? DOMAIN_LISTEN_SOCKET : DOMAIN_LISTEN_ADDRESS;
        first->socket = g_strdup(g->socket);
        first->address = g->socket ? NULL : g_strdup(g->listen);
        g_ptr_array_add(g->listens, first);
    }
    first = g->listens->pdata[0];
    if (first->type == DOMAIN_LISTEN_ADDRESS && !first->address)
        first->address = g_strdup(g->listen);
    g_free(g->listen);
    g->listen =
        g_strdup(first->type == DOMAIN_LISTEN_ADDRESS || first->type == DOMAIN_LISTEN_NETWORK
                     ? first->address
                     : NULL);
    g_free(g->socket);
    g->socket = g_strdup(first->type == DOMAIN_LISTEN_SOCKET ? first->socket : NULL);
}

static bool
is_open(int64_t port)
{
    return port == XML_UNSET_INT || port <= 0;
}

static void
complete_graphics(DomainGraphics *g)
{
    bool spice = g->type == DOMAIN_GRAPHICS_SPICE;
    const DomainListen *first;

    if (g->type != DOMAIN_GRAPHICS_VNC && !spice && g->type != DOMAIN_GRAPHICS_RDP)
        return;
    complete_listens(g);
    first = g->listens->pdata[0];
    if (first->type == DOMAIN_LISTEN_SOCKET || first->type == DOMAIN_LISTEN_NONE) {
        g->port = g->tls_port = XML_UNSET_INT;
        g->autoport = TRISTATE_ABSENT;
        return;
    }
    if (!g->autoport)
        g->autoport =
            is_open(g->port) && (!spice || is_open(g->tls_port)) ? TRISTATE_ON : TRISTATE_OFF;
    if (g->type == DOMAIN_GRAPHICS_VNC && is_open(g->port)) {
        g->autoport = TRISTATE_ON;
        g->port = -1;
    } else if (is_open(g->port)) {
        g->port = XML_UNSET_INT;
    }
    if (is_open(g->tls_port))
        g->tls_port = XML_UNSET_INT;
}

void
domain_def_forget_ports(DomainDef *def)
{
    for (guint i = 0; i < def->graphics->len; i++) {
        DomainGraphics *g = def->graphics->pdata[i];

        if (g->autoport != TRISTATE_ON)
            continue;
        g->port = g->type == DOMAIN_GRAPHICS_VNC ? -1 : XML_UNSET_INT;
        g->tls_port = XML_UNSET_INT;
    }
}

static void
add_audio(DomainDef *def)
{
    DomainAudio *audio;

    if (def->audios->len)
        return;
    audio = xml_type_new(&domain_audio_type);
    audio->id = 1;
    audio->type = DOMAIN_AUDIO_NONE;
    for (guint i = 0; i < def->graphics->len; i++)
        if (((const DomainGraphics *)def->graphics->pdata[i])->type == DOMAIN_GRAPHICS_SPICE)
            audio->type = DOMAIN_AUDIO_SPICE;
    g_ptr_array_add(def->audios, audio);
}

static void
complete_video(DomainVideo *video)
{
    static const uint64_t vram[] = {
        [DOMAIN_VIDEO_VGA] = 16384,   [DOMAIN_VIDEO_CIRRUS] = 16384, [DOMAIN_VIDEO_VMVGA] = 16384,
        [DOMAIN_VIDEO_XEN] = 4096,    [DOMAIN_VIDEO_VBOX] = 8192,    [DOMAIN_VIDEO_QXL] = 65536,
        [DOMAIN_VIDEO_BOCHS] = 16384, [DOMAIN_VIDEO_RAMFB] = 0,
    };

    if (!video->model)
        video->model = DOMAIN_VIDEO_CIRRUS;
    if (video->model == DOMAIN_VIDEO_NONE)
        return;
    if (video->vram == XML_UNSET && vram[video->model])
        video->vram = vram[video->model];
    if (video->model == DOMAIN_VIDEO_QXL) {
        if (video->ram == XML_UNSET)
            video->ram = 65536;
        if (video->vgamem == XML_UNSET)
            video->vgamem = 16384;
    }
    if (video->heads == XML_UNSET)
        video->heads = 1;
}

/* One card is the primary one and stands first. */
static void
choose_primary(GPtrArray *videos)
{
    guint primary = 0;

    if (!videos->len || ((const DomainVideo *)videos->pdata[0])->model == DOMAIN_VIDEO_NONE)
        return;
    for (guint i = videos->len; i > 0; i--)
        if (((const DomainVideo *)videos->pdata[i - 1])->primary == TRISTATE_ON)
            primary = i - 1;
    if (primary > 0)
        g_ptr_array_insert(videos, 0, g_ptr_array_steal_index(videos, primary));
    for (guint i = 0; i < videos->len; i++)
        ((DomainVideo *)videos->pdata[i])->primary = i == 0 ? TRISTATE_ON : TRISTATE_ABSENT;
}

static void
complete_videos(DomainDef *def)
{
    if (!def->videos->len && def->graphics->len) {
        DomainVideo *video = xml_type_new(&domain_video_type);

        g_ptr_array_add(def->videos, video);
    }
    for (guint i = 0; i < def->videos->len; i++)
        complete_video(def->videos->pdata[i]);
    choose_primary(def->videos);
}

/* --- input ------------------------------------------------------------------------------------ */

static void
add_ps2(DomainDef *def, DomainInputType type)
{
    DomainInput *input;

    for (guint i = 0; i < def->inputs->len; i++) {
        const DomainInput *other = def->inputs->pdata[i];

        if (other->type == (int)type && other->bus == DOMAIN_INPUT_BUS_PS2)
            return;
    }
    input = xml_type_new(&domain_input_type);
    input->type = (int)type;
    input->bus = DOMAIN_INPUT_BUS_PS2;
    g_ptr_array_add(def->inputs, input);
}

static void
complete_inputs(DomainDef *def)
{
    for (guint i = 0; i < def->inputs->len; i++) {
        DomainInput *input = def->inputs->pdata[i];

        if (!input->bus && input->type != DOMAIN_INPUT_EVDEV)
            input->bus = input->type == DOMAIN_INPUT_PASSTHROUGH ? DOMAIN_INPUT_BUS_VIRTIO
                         : input->type == DOMAIN_INPUT_TABLET    ? DOMAIN_INPUT_BUS_USB
                                                                 : DOMAIN_INPUT_BUS_PS2;
    }
    add_ps2(def, DOMAIN_INPUT_MOUSE);
    add_ps2(def, DOMAIN_INPUT_KEYBOARD);
}

/* --- others ----------------------------------------------------------------------------------- */

static void
complete_others(DomainDef *def)
{
    for (guint i = 0; i < def->watchdogs->len; i++) {
        DomainWatchdog *watchdog = def->watchdogs->pdata[i];

        if (!watchdog->action)
            watchdog->action = DOMAIN_WATCHDOG_RESET;
    }
    for (guint i = 0; i < def->panics->len; i++) {
        DomainPanic *panic = def->panics->pdata[i];

        if (!panic->model)
            panic->model = DOMAIN_PANIC_ISA;
    }
    for (guint i = 0; i < def->tpms->len; i++) {
        DomainTpm *tpm = def->tpms->pdata[i];

        if (!tpm->model)
            tpm->model = DOMAIN_TPM_TIS;
        if (!tpm->version && tpm->backend == DOMAIN_TPM_EMULATOR)
            tpm->version = DOMAIN_TPM_2_0;
    }
    if (def->vsock) {
        if (!def->vsock->model)
            def->vsock->model = DOMAIN_VIRTIO;
        if (!def->vsock->auto_cid)
            def->vsock->auto_cid = def->vsock->cid == XML_UNSET ? TRISTATE_ON : TRISTATE_OFF;
    }
    for (guint i = 0; i < def->channels->len; i++) {
        DomainChar *channel = def->channels->pdata[i];

        if (channel->source.type == DOMAIN_CHAR_SPICEVMC && !channel->name &&
            channel->target == DOMAIN_CHANNEL_VIRTIO)
            channel->name = g_strdup("com.redhat.spice.0");
    }
}

void
domain_complete_displays(DomainDef *def)
{
    for (guint i = 0; i < def->graphics->len; i++)
        complete_graphics(def->graphics->pdata[i]);
    complete_videos(def);
    add_audio(def);
    complete_inputs(def);
    complete_others(def);
}

/* --- the board's controllers ------------------------------------------------------------------ */

bool
domain_add_board_controllers(DomainDef *def, GError **err)
{
    bool pc = domain_def_is_pc(def);
    int root = pc ? DOMAIN_PCI_ROOT : DOMAIN_PCIE_ROOT;
    DomainController *c = domain_def_controller(def, DOMAIN_CONTROLLER_PCI, 0);

    for (guint i = 0; i < def->controllers->len; i++) {
        DomainController *usual = def->controllers->pdata[i];

        if (usual->type == DOMAIN_CONTROLLER_USB && !usual->usb_model)
            usual->usb_model = pc ? DOMAIN_USB_PIIX3_UHCI : DOMAIN_USB_QEMU_XHCI;
        if (usual->type == DOMAIN_CONTROLLER_SCSI && !usual->scsi_model)
            usual->scsi_model = DOMAIN_SCSI_VIRTIO;
    }
    if (!domain_def_controller(def, DOMAIN_CONTROLLER_USB, 0))
        domain_add_controller(def, DOMAIN_CONTROLLER_USB, 0)->usb_model =
            pc ? DOMAIN_USB_PIIX3_UHCI : DOMAIN_USB_QEMU_XHCI;
    if (!pc && !domain_def_controller(def, DOMAIN_CONTROLLER_SATA, 0))
        domain_add_controller(def, DOMAIN_CONTROLLER_SATA, 0);
    if (!c) {
        c = domain_add_controller(def, DOMAIN_CONTROLLER_PCI, 0);
        c->pci_model = root;
    }
    if (c->pci_model != root)
        return kiln_error_set(
            err, VIR_ERR_XML_ERROR,
            "The PCI controller with index='0' must be model='%s' for this machine "
            "type, but model='%s' was found instead",
            domain_pci_models[root], domain_pci_models[c->pci_model]);
    return true;
}
