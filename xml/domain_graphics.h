/* domain_graphics.h - how a guest's screen and sound leave the host: <graphics>, <sound>, <audio>
 * (libvirt formatdomain "Graphical framebuffers", "Sound devices", "Audio backends", schema
 * of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_GRAPHICS_H
#define KILN_XML_DOMAIN_GRAPHICS_H

#include "xml/domain_device.h"

typedef enum {
    DOMAIN_GRAPHICS_ABSENT,
    DOMAIN_GRAPHICS_SDL,
    DOMAIN_GRAPHICS_VNC,
    DOMAIN_GRAPHICS_RDP,
    DOMAIN_GRAPHICS_DESKTOP,
    DOMAIN_GRAPHICS_SPICE,
    DOMAIN_GRAPHICS_EGL_HEADLESS,
    DOMAIN_GRAPHICS_DBUS,
} DomainGraphicsType;
extern const char *const domain_graphics_types[];

typedef enum {
    DOMAIN_LISTEN_ABSENT,
    DOMAIN_LISTEN_ADDRESS,
    DOMAIN_LISTEN_NETWORK,
    DOMAIN_LISTEN_SOCKET,
    DOMAIN_LISTEN_NONE,
} DomainListenType;

typedef struct {
    int type;      /* DomainListenType */
    char *address; /* ADDRESS; NETWORK: live, that of the network */
    char *network; /* NETWORK */
    char *socket;  /* SOCKET; NULL: chosen at start */
} DomainListen;

typedef enum {
    DOMAIN_SHARE_ABSENT,
    DOMAIN_SHARE_ALLOW_EXCLUSIVE,
    DOMAIN_SHARE_FORCE_SHARED,
    DOMAIN_SHARE_IGNORE,
} DomainSharePolicy;
extern const char *const domain_share_policies[];

typedef struct {
    char *name, *mode;
} DomainSpiceChannel;

typedef struct {
    int type;              /* DomainGraphicsType */
    char *socket, *listen; /* attributes: those of the first <listen> seen again */
    int64_t port;          /* VNC, SPICE, RDP; -1: to be chosen. Set after completion */
    int64_t tls_port;      /* SPICE */
    int autoport;          /* yes/no; set after completion for VNC, SPICE, RDP */
    int64_t websocket;     /* VNC; -1: to be chosen */
    char *keymap;
    int share_policy;  /* DomainSharePolicy; VNC */
    int power_control; /* yes/no; VNC */
    char *passwd, *passwd_valid_to;
    int connected;                                 /* 1 fail, 2 disconnect, 3 keep */
    char *default_mode;                            /* SPICE */
    char *display, *xauth;                         /* SDL, DESKTOP */
    int fullscreen, replace_user, multi_user, p2p; /* yes/no */
    char *dbus_address;
    GPtrArray *listens;  /* DomainListen; VNC, SPICE, RDP: at least one after completion */
    GPtrArray *channels; /* DomainSpiceChannel */
    char *image, *jpeg, *zlib, *streaming, *mouse; /* SPICE; words of compression and mode */
    int playback;                                  /* on/off; SPICE */
    int copypaste, filetransfer;                   /* yes/no; SPICE */
    int gl;                                        /* yes/no */
    char *rendernode;
    uint64_t audio_id;
} DomainGraphics;

typedef enum {
    DOMAIN_SOUND_ABSENT,
    DOMAIN_SOUND_SB16,
    DOMAIN_SOUND_ES1370,
    DOMAIN_SOUND_PCSPK,
    DOMAIN_SOUND_AC97,
    DOMAIN_SOUND_ICH6,
    DOMAIN_SOUND_ICH7,
    DOMAIN_SOUND_ICH9,
    DOMAIN_SOUND_USB,
} DomainSoundModel;
extern const char *const domain_sound_models[];

typedef struct {
    char *type;
} DomainCodec;

typedef struct {
    int model;         /* DomainSoundModel */
    GPtrArray *codecs; /* DomainCodec */
    uint64_t audio_id;
    DomainDeviceInfo info;
} DomainSound;

typedef enum {
    DOMAIN_AUDIO_ABSENT,
    DOMAIN_AUDIO_NONE,
    DOMAIN_AUDIO_ALSA,
    DOMAIN_AUDIO_COREAUDIO,
    DOMAIN_AUDIO_JACK,
    DOMAIN_AUDIO_OSS,
    DOMAIN_AUDIO_PULSEAUDIO,
    DOMAIN_AUDIO_SDL,
    DOMAIN_AUDIO_SPICE,
    DOMAIN_AUDIO_FILE,
    DOMAIN_AUDIO_DBUS,
} DomainAudioType;
extern const char *const domain_audio_types[];

typedef struct {
    uint64_t id;
    int type; /* DomainAudioType */
    uint64_t timer_period;
    char *server, *path, *driver; /* PULSEAUDIO, FILE, SDL */
    int try_mmap, exclusive;      /* yes/no; OSS */
    int64_t dsp_policy;           /* OSS */
    GPtrArray *kept;              /* XmlKept: <input>, <output> */
} DomainAudio;

extern const XmlType domain_listen_type;
extern const XmlType domain_graphics_type;
extern const XmlType domain_sound_type;
extern const XmlType domain_audio_type;

#endif
