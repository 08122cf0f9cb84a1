/* ringbuf.c - a character device whose output is kept in memory, the newest bytes of it, until QMP
 * ringbuf-read takes it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/private.h"

#include <string.h>

#include "util/error.h"

enum { RING_DEFAULT = 64 << 10, RING_MAX = 64 << 20 };

typedef struct {
    uint8_t *data;
    size_t size, first, len;
} Ring;

static bool
ringbuf_open(Chardev *chardev, GError **err)
{
    Ring *ring = chardev_state(chardev);
    int64_t size;

    if (!chardev_option_number(chardev, "size", RING_DEFAULT, 1, RING_MAX, &size, err))
        return false;
    if (size & (size - 1))
        return chardev_error(
            chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
            "option 'size' cannot be '%" G_GINT64_FORMAT "': expected a power of two", size);
    ring->size = (size_t)size;
    ring->data = g_malloc(ring->size);
    chardev_set_open(chardev, true);
    return true;
}

static void
ringbuf_close(Chardev *chardev)
{
    g_clear_pointer(&((Ring *)chardev_state(chardev))->data, g_free);
}

/* The oldest bytes make room. */
static void
ringbuf_output(Chardev *chardev, const uint8_t *data, size_t len)
{
    Ring *ring = chardev_state(chardev);

    for (size_t i = 0; i < len; i++) {
        ring->data[(ring->first + ring->len) % ring->size] = data[i];
        if (ring->len < ring->size)
            ring->len++;
        else
            ring->first = (ring->first + 1) % ring->size;
    }
}

bool
chardev_ringbuf_write(Chardev *chardev, const uint8_t *data, size_t len)
{
    if (chardev->backend != &chardev_ringbuf)
        return false;
    chardev_flush(chardev);
    ringbuf_output(chardev, data, len);
    return true;
}

bool
chardev_ringbuf_read(Chardev *chardev, size_t max, GByteArray *ret)
{
    Ring *ring = chardev_state(chardev);
    size_t n, first;

    if (chardev->backend != &chardev_ringbuf)
        return false;
    chardev_flush(chardev);
    n = MIN(max, ring->len);
    first = MIN(n, ring->size - ring->first);
    g_byte_array_append(ret, ring->data + ring->first, (guint)first);
    g_byte_array_append(ret, ring->data, (guint)(n - first));
    ring->first = (ring->first + n) % ring->size;
    ring->len -= n;
    return true;
}

static const char *const ringbuf_options[] = { "size", NULL };

const ChardevBackend chardev_ringbuf = {
    .name = "ringbuf",
    .help = "output kept in memory for QMP ringbuf-read: size=, a power of two",
    .options = ringbuf_options,
    .state_size = sizeof(Ring),
    .open = ringbuf_open,
    .close = ringbuf_close,
    .output = ringbuf_output,
};
