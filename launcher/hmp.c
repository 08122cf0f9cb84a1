/* hmp.c - a human monitor on a character device: a prompt, a line that can be edited, its answer.
 *
 * The prompt is QEMU's, which programs that talk to such monitors wait for. Leaves out: completion,
 * moving inside the line.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/hmp.h"

#include <string.h>

enum { LINE_MAX_LEN = 4096, HISTORY = 32, OUTPUT_MAX = 1 << 20 };

#define PROMPT "(qemu) "

struct Hmp {
    QmpSession *session;
    Chardev *chardev;
    GByteArray *out; /* what the character device did not take yet */
    GString *line;
    GPtrArray *history; /* char *, oldest first */
    guint back;         /* how far the line is in the history; 0: it is new */
    unsigned escape;    /* bytes of a cursor key seen */
    bool after_cr, greeted;
};

static void
hmp_push(Hmp *hmp)
{
    size_t taken = chardev_write(hmp->chardev, hmp->out->data, hmp->out->len);

    g_byte_array_remove_range(hmp->out, 0, (guint)taken);
}

/* As a terminal wants it: lines end with a carriage return too. */
static void
hmp_say(Hmp *hmp, const char *text)
{
    for (; *text && hmp->out->len < OUTPUT_MAX; text++) {
        if (*text == '\n')
            g_byte_array_append(hmp->out, (const guint8 *)"\r", 1);
        g_byte_array_append(hmp->out, (const guint8 *)text, 1);
    }
    hmp_push(hmp);
}

static void
hmp_greet(Hmp *hmp)
{
    if (!hmp->greeted)
        hmp_say(hmp, "Kiln " KILN_VERSION " monitor - type 'help' for more information\n");
    hmp->greeted = true;
    hmp_say(hmp, PROMPT);
    hmp_say(hmp, hmp->line->str);
}

static void
hmp_enter(Hmp *hmp)
{
    g_autoptr(GString) answer = g_string_new(NULL);
    const char *last =
        hmp->history->len ? g_ptr_array_index(hmp->history, hmp->history->len - 1) : "";

    hmp_say(hmp, "\n");
    if (hmp->line->len > 0 && strcmp(hmp->line->str, last) != 0)
        g_ptr_array_add(hmp->history, g_strdup(hmp->line->str));
    if (hmp->history->len > HISTORY)
        g_ptr_array_remove_index(hmp->history, 0);
    hmp->back = 0;
    hmp_run(hmp->session, hmp->line->str, answer);
    g_string_truncate(hmp->line, 0);
    hmp_say(hmp, answer->str);
    hmp_say(hmp, PROMPT);
}

static void
hmp_rub_out(Hmp *hmp, size_t n)
{
    for (; n > 0 && hmp->line->len > 0; n--) {
        g_string_truncate(hmp->line, hmp->line->len - 1);
        hmp_say(hmp, "\b \b");
    }
}

/* Shows the line before (@step 1) or after the one shown. */
static void
hmp_recall(Hmp *hmp, int step)
{
    gint64 back = (gint64)hmp->back + step;

    if (back < 0 || back > hmp->history->len)
        return;
    hmp->back = (guint)back;
    hmp_rub_out(hmp, hmp->line->len);
    if (back > 0)
        g_string_assign(hmp->line, g_ptr_array_index(hmp->history, hmp->history->len - hmp->back));
    hmp_say(hmp, hmp->line->str);
}

/* ESC [ A and B are the cursor keys up and down; others are dropped. */
static bool
hmp_escape(Hmp *hmp, uint8_t byte)
{
    if (hmp->escape == 0 && byte != 0x1b)
        return false;
    if (hmp->escape < 2) {
        hmp->escape = hmp->escape == 0 || byte == '[' || byte == 'O' ? hmp->escape + 1 : 0;
        return true;
    }
    if (byte == 'A' || byte == 'B')
        hmp_recall(hmp, byte == 'A' ? 1 : -1);
    if (byte >= 0x40)
        hmp->escape = 0;
    return true;
}

static void
hmp_byte(Hmp *hmp, uint8_t byte)
{
    char text[2] = { (char)byte, '\0' };
    bool after_cr = hmp->after_cr;

    hmp->after_cr = byte == '\r';
    if (hmp_escape(hmp, byte))
        return;
    switch (byte) {
    case '\n':
        if (after_cr)
            break;
        G_GNUC_FALLTHROUGH;
    case '\r':
        hmp_enter(hmp);
        break;
    case '\b':
    case 0x7f:
        hmp_rub_out(hmp, 1);
        break;
    case 0x03: /* ^C */
    case 0x15: /* ^U */
        hmp_rub_out(hmp, hmp->line->len);
        break;
    default:
        if (byte >= ' ' && hmp->line->len < LINE_MAX_LEN) {
            g_string_append_c(hmp->line, (char)byte);
            hmp_say(hmp, text);
        }
    }
}

static size_t
hmp_can_read(void *opaque)
{
    return ((Hmp *)opaque)->out->len > 0 ? 0 : LINE_MAX_LEN;
}

static void
hmp_read(void *opaque, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hmp_byte(opaque, data[i]);
}

static void
hmp_event(void *opaque, ChardevEvent event)
{
    Hmp *hmp = opaque;

    g_string_truncate(hmp->line, 0);
    g_byte_array_set_size(hmp->out, 0);
    hmp->escape = 0;
    hmp->greeted = false;
    /* among several it waits until it is asked for */
    if (event == CHARDEV_OPENED && !chardev_is_mux(hmp->chardev))
        hmp_greet(hmp);
}

static void
hmp_focus(void *opaque)
{
    hmp_say(opaque, "\n");
    hmp_greet(opaque);
}

static void
hmp_writable(void *opaque)
{
    Hmp *hmp = opaque;

    hmp_push(hmp);
    if (hmp->out->len == 0)
        chardev_accept_input(hmp->chardev);
}

static const ChardevFrontend hmp_frontend = {
    .can_read = hmp_can_read,
    .read = hmp_read,
    .event = hmp_event,
    .writable = hmp_writable,
    .focus = hmp_focus,
};

Hmp *
hmp_new(QmpSession *session, Chardev *chardev, GError **err)
{
    Hmp *hmp = g_new0(Hmp, 1);

    hmp->session = session;
    hmp->chardev = chardev;
    hmp->out = g_byte_array_new();
    hmp->line = g_string_new(NULL);
    hmp->history = g_ptr_array_new_with_free_func(g_free);
    if (!chardev_attach(chardev, &hmp_frontend, hmp, err)) {
        hmp->chardev = NULL;
        hmp_free(hmp);
        return NULL;
    }
    chardev_set_frontend_open(chardev, true);
    return hmp;
}

void
hmp_free(Hmp *hmp)
{
    if (!hmp)
        return;
    if (hmp->chardev)
        chardev_detach(hmp->chardev, hmp);
    g_byte_array_unref(hmp->out);
    g_string_free(hmp->line, TRUE);
    g_ptr_array_unref(hmp->history);
    g_free(hmp);
}
