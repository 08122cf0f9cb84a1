/* private.h - what the files of the VNC server share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VNC_PRIVATE_H
#define KILN_HW_VNC_PRIVATE_H

#include <gnutls/gnutls.h>
#include <zlib.h>

#include "hw/display/display.h"
#include "hw/input/input.h"
#include "hw/vnc/vnc.h"

enum {
    VNC_TILE_WIDTH = 32, /* pixels; damage is kept by tiles */
    VNC_TILE_HEIGHT = 16,
    VNC_OUT_FULL = 1 << 20, /* bytes not yet sent, beyond which no picture is added */
    VNC_IN_MAX = 1 << 16,   /* of a message that is kept as a whole */
    VNC_CUT_TEXT_MAX = 1 << 20,
    VNC_ANSWERS_MAX = 256, /* to messages of one client that it has not yet read */
    VNC_CHALLENGE = 16,
};

/* Message types and encodings, rfbproto.rst */
enum {
    RFB_ENCODING_RAW = 0,
    RFB_ENCODING_HEXTILE = 5,
    RFB_ENCODING_ZLIB = 6,
    RFB_ENCODING_TIGHT = 7,
    RFB_ENCODING_DESKTOP_SIZE = -223,
    RFB_ENCODING_RICH_CURSOR = -239,
    RFB_ENCODING_POINTER_MOTION = -257,
    RFB_ENCODING_EXTENDED_KEY = -258,
    RFB_ENCODING_LED_STATE = -261,
    RFB_ENCODING_DESKTOP_NAME = -307,
    RFB_ENCODING_EXTENDED_SIZE = -308,
    RFB_ENCODING_XVP = -309,
    RFB_ENCODING_ALPHA_CURSOR = -314,
    RFB_ENCODING_COMPRESS_0 = -256, /* to -247 */
};

/* What a client has said it understands. */
enum {
    VNC_CAN_RESIZE = 1 << 0,
    VNC_CAN_EXTENDED_SIZE = 1 << 1,
    VNC_CAN_CURSOR = 1 << 2,
    VNC_CAN_ALPHA_CURSOR = 1 << 3,
    VNC_CAN_POINTER_MOTION = 1 << 4,
    VNC_CAN_EXTENDED_KEY = 1 << 5,
    VNC_CAN_LED = 1 << 6,
    VNC_CAN_XVP = 1 << 7,
    VNC_CAN_NAME = 1 << 8,
};

typedef struct {
    uint8_t bytes; /* of a pixel: 1, 2, 4 */
    uint8_t depth;
    bool big_endian, native; /* native: as the surface has it */
    bool compact;            /* Tight's three-byte pixels */
    uint16_t max[3];         /* red, green, blue */
    uint8_t shift[3];
    uint32_t part[3][256]; /* of a colour's eight bits */
} PixelFormat;

typedef struct {
    bool on, ready; /* ready: the HTTP head is over */
    uint8_t mask[4];
    uint64_t left; /* of the frame's payload */
    unsigned at;   /* in the mask */
    uint8_t opcode;
    GByteArray *raw;     /* received, not yet taken apart */
    GByteArray *control; /* payload of a control frame */
} WebSocket;

typedef enum { VNC_TLS_NONE, VNC_TLS_HANDSHAKE, VNC_TLS_ON } VncTlsState;

/* Takes a message that is whole: @data has client->expect bytes. Returns how many more bytes it
 * wants for the same message to be called again with all, or 0 when it is done with it. */
typedef size_t (*VncHandler)(VncClient *client, const uint8_t *data);

struct VncClient {
    VncServer *server;
    int fd;
    GSource *source;
    gpointer tag;
    bool closing;    /* an error: nothing more is read or written */
    bool close_sent; /* closes when all is sent */
    bool more;       /* the transport holds bytes already received */
    bool fake;

    VncTlsState tls_state;
    gnutls_session_t tls;
    void (*after_tls)(VncClient *client);
    WebSocket web;

    GByteArray *in, *out; /* RFB bytes */
    size_t out_at;        /* of @out, sent */
    GByteArray *wire;     /* of a WebSocket: frames */
    size_t wire_at;
    unsigned answers; /* put since all was sent last */
    size_t expect;
    VncHandler handle;
    uint32_t skip; /* bytes of a cut text to come */

    /* handshake */
    int minor; /* of the protocol: 3, 7, 8 */
    bool skip_auth, authenticated, active;
    bool exclusive;
    uint8_t challenge[VNC_CHALLENGE], response[VNC_CHALLENGE];
    int64_t judged_at; /* when the response is looked at: monotonic, us; 0: there is none */
    char *host, *service, *family;
    char *x509_name;

    /* picture */
    PixelFormat format;
    unsigned can;
    int encoding;
    int level;              /* of zlib */
    uint32_t width, height; /* as the client knows them */
    bool wants;             /* asked for an update */
    bool send_size, send_cursor, send_led, send_motion, send_keys, send_name;
    uint8_t size_reason, size_status;
    bool told_absolute;
    uint8_t *dirty; /* bit per tile */
    z_stream zlib[4];
    bool zlib_made[4];
    int zlib_level[4];

    /* input */
    uint8_t buttons;
    int last_x, last_y;
    bool has_last;
    uint8_t keys[KEYCODES / 8 + 1]; /* down by this client */
};

struct VncServer {
    Machine *machine;
    char *id, *name, *device;
    unsigned head;
    bool auth_password, power_control;
    char *password; /* NULL: none set */
    int64_t expires;
    unsigned wrong;   /* passwords in a row */
    int64_t next_try; /* monotonic time, us: the next response is not looked at before */
    VncTls *tls;
    VncShare share;
    unsigned connections;
    GPtrArray *listeners; /* VncListener */
    GPtrArray *clients;   /* VncClient */
    unsigned watch;       /* of input */

    Screen *screen; /* NULL while there is none */
    ScreenViewer *viewer;
    Surface *shadow;        /* what clients have been shown; NULL while nobody looks */
    uint32_t columns, rows; /* of tiles */
    uint8_t *touched;       /* tiles that may differ from the shadow */
    int absolute;
};

/* ---- client.c ---- */

VncClient *vnc_client_new(VncServer *server, int fd, bool websocket, bool skip_auth);
void vnc_client_free(VncClient *client);
/* The connection ends after the present event. */
void vnc_client_close(VncClient *client);
/* Appends to what is sent. */
void vnc_put(VncClient *client, const void *data, size_t len);
void vnc_put8(VncClient *client, uint8_t value);
void vnc_put16(VncClient *client, uint16_t value);
void vnc_put32(VncClient *client, uint32_t value);
/* Sends what the peer takes now. */
void vnc_client_flush(VncClient *client);
void vnc_client_expect(VncClient *client, size_t bytes, VncHandler handler);
/* Before an answer that is no picture; false, and the connection ends, when a client makes us
 * answer on and on and reads nothing. */
bool vnc_client_may_answer(VncClient *client);
/* Bytes that the peer has not taken yet. */
size_t vnc_client_pending(const VncClient *client);

static inline uint16_t
vnc_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
vnc_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- tls.c ---- */

bool vnc_tls_begin(VncClient *client);
/* Goes on with the handshake, and calls after_tls at its end. */
void vnc_tls_step(VncClient *client);
ssize_t vnc_tls_recv(VncClient *client, void *buf, size_t len);
ssize_t vnc_tls_send(VncClient *client, const void *buf, size_t len);
bool vnc_tls_wants_write(VncClient *client);
bool vnc_tls_verifies(const VncTls *tls);

/* ---- websocket.c: bytes of the wire to bytes of RFB, and back ---- */

bool vnc_web_take(VncClient *client, const uint8_t *data, size_t len);
/* Head of a frame of @len bytes; returns its length. */
size_t vnc_web_head(uint8_t head[10], uint8_t opcode, size_t len);
/* Queues a whole control frame. */
void vnc_web_put_control(VncClient *client, uint8_t opcode, const void *data, size_t len);

/* ---- auth.c ---- */

void vnc_auth_begin(VncClient *client);
/* Ends with an answer that refuses. */
void vnc_auth_refuse(VncClient *client, const char *why);
/* The time of a response that had to wait has come. */
void vnc_auth_judge(VncClient *client);

/* ---- messages.c ---- */

/* Authenticated: client and server introduce themselves. */
void vnc_session_begin(VncClient *client);
void vnc_release_input(VncClient *client);
size_t vnc_message(VncClient *client, const uint8_t *data);

/* ---- pixel.c ---- */

extern const PixelFormat vnc_native_format;
bool vnc_format_parse(const uint8_t wire[16], PixelFormat *ret);
void vnc_format_put(VncClient *client, const PixelFormat *format);
void vnc_put_pixel(VncClient *client, uint32_t rgb);
/* Room for @n pixels of @bytes each at the end of what is sent. */
uint8_t *vnc_put_room(VncClient *client, size_t len);
void vnc_convert(const PixelFormat *format, uint8_t *out, const uint32_t *rgb, size_t n);
unsigned vnc_tight_bytes(const PixelFormat *format);
void vnc_convert_tight(const PixelFormat *format, uint8_t *out, const uint32_t *rgb, size_t n);

/* ---- encode.c, tight.c: the content of a rectangle of the shadow ---- */

/* Appends rectangles with their heads; returns how many. */
unsigned vnc_encode(VncClient *client, const ScreenRect *rect);
unsigned vnc_encode_tight(VncClient *client, const ScreenRect *rect);
/* Deflates @data by stream @n onto what is sent, with a sync flush. Returns its length. */
size_t vnc_deflate(VncClient *client, unsigned n, const uint8_t *data, size_t len);
void vnc_encode_free(VncClient *client);

/* ---- update.c ---- */

/* Sends what the client wants and there is. */
void vnc_update(VncClient *client);
void vnc_dirty_all(VncClient *client);
void vnc_rect_head(VncClient *client, uint32_t x, uint32_t y, uint32_t w, uint32_t h, int encoding);
/* The shadow has another size. */
void vnc_client_resized(VncClient *client);
extern const ScreenViewerOps vnc_screen_ops;

/* ---- server.c ---- */

/* Applies the sharing policy to a client that has said what it wants; false: refuse it. */
bool vnc_server_admit(VncServer *server, VncClient *client);
void vnc_server_client_gone(VncServer *server, VncClient *client);
/* The first client looks, or the last has left. */
void vnc_server_watch(VncServer *server);
void vnc_server_event(VncServer *server, VncClient *client, const char *event);
Surface *vnc_server_surface(VncServer *server);

#endif
