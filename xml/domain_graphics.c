/* domain_graphics.c - the tables of <graphics>, <sound> and <audio> (libvirt formatdomain, schema
 * of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_graphics.h"

#include "util/error.h"

#include <inttypes.h>

const char *const domain_graphics_types[] = {
    "", "sdl", "vnc", "rdp", "desktop", "spice", "egl-headless", "dbus", NULL,
};
static const char *const listen_types[] = { "", "address", "network", "socket", "none", NULL };
const char *const domain_share_policies[] = {
    "", "allow-exclusive", "force-shared", "ignore", NULL,
};
static const char *const connected_actions[] = { "", "fail", "disconnect", "keep", NULL };
const char *const domain_sound_models[] = {
    "", "sb16", "es1370", "pcspk", "ac97", "ich6", "ich7", "ich9", "usb", NULL,
};
const char *const domain_audio_types[] = {
    "",           "none", "alsa",  "coreaudio", "jack", "oss",
    "pulseaudio", "sdl",  "spice", "file",      "dbus", NULL,
};

/* --- graphics --------------------------------------------------------------------------------- */

#define PATH .pattern = "/.+", .legal = "an absolute path"
#define L(field) offsetof(DomainListen, field)
static const XmlRow listen_rows[] = {
    { NULL, "type", XML_ENUM, L(type), XML_REQUIRED, .names = listen_types },
    { NULL, "address", XML_STRING, L(address), .when = XML_WHEN(DOMAIN_LISTEN_ADDRESS) },
    { NULL, "network", XML_STRING, L(network), XML_REQUIRED,
      .when = XML_WHEN(DOMAIN_LISTEN_NETWORK) },
    { NULL, "address", XML_STRING, L(address), XML_LIVE, .when = XML_WHEN(DOMAIN_LISTEN_NETWORK) },
    { NULL, "socket", XML_STRING, L(socket), PATH, .when = XML_WHEN(DOMAIN_LISTEN_SOCKET) },
};
const XmlType domain_listen_type = XML_TYPE("graphics-listen", DomainListen, listen_rows,
                                            .selector = XML_SELECTOR(DomainListen, type));

static const XmlRow channel_rows[] = {
    { NULL, "name", XML_STRING, offsetof(DomainSpiceChannel, name), XML_REQUIRED,
      .pattern = "main|display|inputs|cursor|playback|record|smartcard|usbredir",
      .legal = "a SPICE channel such as 'main'" },
    { NULL, "mode", XML_STRING, offsetof(DomainSpiceChannel, mode), XML_REQUIRED,
      .pattern = "any|secure|insecure", .legal = "'any', 'secure' or 'insecure'" },
};
static const XmlType channel_type = XML_TYPE("spice-channel", DomainSpiceChannel, channel_rows);

#define G(field) offsetof(DomainGraphics, field)
#define SDL XML_WHEN(DOMAIN_GRAPHICS_SDL)
#define VNC XML_WHEN(DOMAIN_GRAPHICS_VNC)
#define RDP XML_WHEN(DOMAIN_GRAPHICS_RDP)
#define DESKTOP XML_WHEN(DOMAIN_GRAPHICS_DESKTOP)
#define SPICE XML_WHEN(DOMAIN_GRAPHICS_SPICE)
#define EGL XML_WHEN(DOMAIN_GRAPHICS_EGL_HEADLESS)
#define DBUS XML_WHEN(DOMAIN_GRAPHICS_DBUS)
#define LISTENS (VNC | RDP | SPICE)
/* -1 stands for "to be chosen". */
#define PORT .min = (uint64_t)-1, .max = 65535
static const XmlRow graphics_rows[] = {
    { NULL, "type", XML_ENUM, G(type), XML_REQUIRED, .names = domain_graphics_types },
    { NULL, "display", XML_STRING, G(display), .when = SDL | DESKTOP },
    { NULL, "xauth", XML_STRING, G(xauth), .when = SDL },
    { NULL, "fullscreen", XML_YESNO, G(fullscreen), .when = SDL | DESKTOP },
    { NULL, "socket", XML_STRING, G(socket), PATH, .when = VNC },
    { NULL, "port", XML_INT, G(port), PORT, .when = LISTENS },
    { NULL, "tlsPort", XML_INT, G(tls_port), PORT, .when = SPICE },
    { NULL, "autoport", XML_YESNO, G(autoport), .when = LISTENS },
    { NULL, "websocket", XML_INT, G(websocket), PORT, .when = VNC },
    { NULL, "replaceUser", XML_YESNO, G(replace_user), .when = RDP },
    { NULL, "multiUser", XML_YESNO, G(multi_user), .when = RDP },
    { NULL, "listen", XML_STRING, G(listen), .when = LISTENS },
    { NULL, "keymap", XML_STRING, G(keymap), .pattern = "[a-zA-Z0-9_-]+",
      .legal = "the name of a keymap such as 'en-us'", .when = VNC | SPICE },
    { NULL, "defaultMode", XML_STRING, G(default_mode), .pattern = "any|secure|insecure",
      .legal = "'any', 'secure' or 'insecure'", .when = SPICE },
    { NULL, "sharePolicy", XML_ENUM, G(share_policy), .names = domain_share_policies, .when = VNC },
    { NULL, "powerControl", XML_YESNO, G(power_control), .when = VNC },
    { NULL, "passwd", XML_STRING, G(passwd), XML_SECRET, .when = VNC | SPICE },
    { NULL, "passwdValidTo", XML_STRING, G(passwd_valid_to), XML_SECRET,
      .pattern = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}",
      .legal = "a time like 2026-12-24T18:00:00", .when = VNC | SPICE },
    { NULL, "connected", XML_ENUM, G(connected), .names = connected_actions, .when = VNC | SPICE },
    { NULL, "p2p", XML_YESNO, G(p2p), .when = DBUS },
    { NULL, "address", XML_STRING, G(dbus_address), .when = DBUS },
    { "listen", NULL, XML_LIST, G(listens), .max = 16, .type = &domain_listen_type,
      .when = LISTENS },
    { "channel", NULL, XML_LIST, G(channels), .max = 16, .type = &channel_type, .when = SPICE },
    { "image", "compression", XML_STRING, G(image), XML_REQUIRED,
      .pattern = "auto_glz|auto_lz|quic|glz|lz|off", .legal = "an image compression such as 'off'",
      .when = SPICE },
    { "jpeg", "compression", XML_STRING, G(jpeg), XML_REQUIRED, .pattern = "auto|never|always",
      .legal = "'auto', 'never' or 'always'", .when = SPICE },
    { "zlib", "compression", XML_STRING, G(zlib), XML_REQUIRED, .pattern = "auto|never|always",
      .legal = "'auto', 'never' or 'always'", .when = SPICE },
    { "playback", "compression", XML_ONOFF, G(playback), XML_REQUIRED, .when = SPICE },
    { "streaming", "mode", XML_STRING, G(streaming), XML_REQUIRED, .pattern = "filter|all|off",
      .legal = "'filter', 'all' or 'off'", .when = SPICE },
    { "mouse", "mode", XML_STRING, G(mouse), XML_REQUIRED, .pattern = "server|client",
      .legal = "'server' or 'client'", .when = SPICE },
    { "clipboard", "copypaste", XML_YESNO, G(copypaste), XML_REQUIRED, .when = SPICE },
    { "filetransfer", "enable", XML_YESNO, G(filetransfer), XML_REQUIRED, .when = SPICE },
    { "gl", "enable", XML_YESNO, G(gl), .when = SDL | SPICE | DBUS },
    { "gl", "rendernode", XML_STRING, G(rendernode), PATH, .when = SPICE | EGL | DBUS },
    { "audio", "id", XML_UINT, G(audio_id), XML_REQUIRED, .min = 1, .max = UINT32_MAX,
      .when = VNC | DBUS },
};

static bool
graphics_check(const void *obj, GError **err)
{
    const DomainGraphics *g = obj;
    unsigned sockets = 0;

    for (guint i = 0; i < g->listens->len; i++)
        sockets += ((const DomainListen *)g->listens->pdata[i])->type == DOMAIN_LISTEN_SOCKET;
    if (sockets && g->listens->len > 1)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "a <listen type='socket'> stands alone, not beside %u others",
                              g->listens->len - 1);
    if (g->listen && g->listens->len) {
        const DomainListen *first = g->listens->pdata[0];

        if (first->type == DOMAIN_LISTEN_ADDRESS && first->address &&
            g_strcmp0(first->address, g->listen) != 0)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "graphics 'listen' attribute '%s' must match 'address' attribute "
                                  "of first listen element (found '%s')",
                                  g->listen, first->address);
    }
    return true;
}

const XmlType domain_graphics_type =
    XML_TYPE("graphics", DomainGraphics, graphics_rows,
             .selector = XML_SELECTOR(DomainGraphics, type), .check = graphics_check);

/* --- sound, audio ----------------------------------------------------------------------------- */

static const XmlRow codec_rows[] = {
    { NULL, "type", XML_STRING, offsetof(DomainCodec, type), XML_REQUIRED,
      .pattern = "duplex|micro|output", .legal = "'duplex', 'micro' or 'output'" },
};
static const XmlType codec_type = XML_TYPE("sound-codec", DomainCodec, codec_rows);

static const XmlRow sound_rows[] = {
    { NULL, "model", XML_ENUM, offsetof(DomainSound, model), XML_REQUIRED | XML_ABI,
      .names = domain_sound_models },
    { "codec", NULL, XML_LIST, offsetof(DomainSound, codecs), XML_ABI, .max = 8,
      .type = &codec_type },
    { "audio", "id", XML_UINT, offsetof(DomainSound, audio_id), XML_REQUIRED, .min = 1,
      .max = UINT32_MAX },
    { NULL, NULL, XML_INLINE, offsetof(DomainSound, info), XML_ABI,
      .type = &domain_device_info_type },
};
const XmlType domain_sound_type = XML_TYPE("sound", DomainSound, sound_rows);

#define A(field) offsetof(DomainAudio, field)
#define OSS XML_WHEN(DOMAIN_AUDIO_OSS)
static const XmlRow audio_rows[] = {
    { NULL, "id", XML_UINT, A(id), XML_REQUIRED, .min = 1, .max = UINT8_MAX },
    { NULL, "type", XML_ENUM, A(type), XML_REQUIRED, .names = domain_audio_types },
    { NULL, "timerPeriod", XML_UINT, A(timer_period), XML_NOT_ZERO, .max = UINT32_MAX },
    { NULL, "tryMMap", XML_YESNO, A(try_mmap), .when = OSS },
    { NULL, "exclusive", XML_YESNO, A(exclusive), .when = OSS },
    { NULL, "dspPolicy", XML_INT, A(dsp_policy), .when = OSS },
    { NULL, "serverName", XML_STRING, A(server), .when = XML_WHEN(DOMAIN_AUDIO_PULSEAUDIO) },
    { NULL, "driver", XML_STRING, A(driver), .pattern = "esd|alsa|arts|pulseaudio",
      .legal = "'esd', 'alsa', 'arts' or 'pulseaudio'", .when = XML_WHEN(DOMAIN_AUDIO_SDL) },
    { NULL, "path", XML_STRING, A(path), PATH, .when = XML_WHEN(DOMAIN_AUDIO_FILE) },
    { "input", NULL, XML_KEPT, A(kept) },
    { "output", NULL, XML_KEPT, A(kept) },
};
const XmlType domain_audio_type =
    XML_TYPE("audio", DomainAudio, audio_rows, .selector = XML_SELECTOR(DomainAudio, type));
