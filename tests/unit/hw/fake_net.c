/* fake_net.c - a back end of a network card made by hand.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hw/core/iov.h"

static int
fake_net_set_header_len(NetBackend *b, unsigned len)
{
    ((FakeNet *)b)->header_len = len;
    return 0;
}

static int
fake_net_set_offload(NetBackend *b, unsigned offload)
{
    ((FakeNet *)b)->offload = offload;
    return 0;
}

static int
fake_net_use_queues(NetBackend *b, unsigned n)
{
    ((FakeNet *)b)->used = n;
    return 0;
}

static int
fake_net_start(NetBackend *b, unsigned queue, IoLoop *loop)
{
    ((FakeNet *)b)->loop[queue] = loop;
    ((FakeNet *)b)->want[queue] = true;
    return 0;
}

static void
fake_net_stop(NetBackend *b, unsigned queue)
{
    ((FakeNet *)b)->loop[queue] = NULL;
}

static void
fake_net_want(NetBackend *b, unsigned queue, bool want)
{
    ((FakeNet *)b)->want[queue] = want;
}

static ssize_t
fake_net_receive(NetBackend *b, unsigned queue, const struct iovec *iov, int n_iov)
{
    FakeNet *f = (FakeNet *)b;
    GBytes *packet = NULL;
    size_t len, done;

    (void)queue;
    g_mutex_lock(&f->lock);
    f->receives++;
    if (f->count > 0) {
        packet = f->in[f->first];
        f->first = (f->first + 1) % FAKE_NET_PACKETS;
        f->count--;
    }
    g_mutex_unlock(&f->lock);
    if (!packet)
        return -EAGAIN;
    done = iov_write(iov, (unsigned)n_iov, 0, g_bytes_get_data(packet, &len),
                     g_bytes_get_size(packet));
    g_bytes_unref(packet);
    return (ssize_t)done;
}

static ssize_t
fake_net_send(NetBackend *b, unsigned queue, const struct iovec *iov, int n_iov)
{
    FakeNet *f = (FakeNet *)b;
    GByteArray *packet;
    bool full;

    (void)queue;
    packet = g_byte_array_new();
    for (int i = 0; i < n_iov; i++)
        g_byte_array_append(packet, iov[i].iov_base, (guint)iov[i].iov_len);
    g_mutex_lock(&f->lock);
    full = f->full;
    if (full)
        g_byte_array_unref(packet);
    else
        g_ptr_array_add(f->sent, g_byte_array_free_to_bytes(packet));
    g_mutex_unlock(&f->lock);
    return full ? -EAGAIN : 1;
}

static void
fake_net_close(NetBackend *b)
{
    FakeNet *f = (FakeNet *)b;

    while (f->count-- > 0) {
        g_bytes_unref(f->in[f->first]);
        f->first = (f->first + 1) % FAKE_NET_PACKETS;
    }
    g_ptr_array_unref(f->sent);
    g_mutex_clear(&f->lock);
}

static const NetBackendClass fake_net_class = {
    .type = "fake",
    .close = fake_net_close,
    .set_header_len = fake_net_set_header_len,
    .set_offload = fake_net_set_offload,
    .use_queues = fake_net_use_queues,
    .start = fake_net_start,
    .stop = fake_net_stop,
    .want_packets = fake_net_want,
    .receive = fake_net_receive,
    .send = fake_net_send,
};

FakeNet *
fake_net_new(FakeMachine *fake, const char *id, unsigned queues, unsigned caps)
{
    FakeNet *f = g_new0(FakeNet, 1);

    f->base = (NetBackend){
        .class = &fake_net_class, .id = g_strdup(id), .queues = queues, .caps = caps, .link = true
    };
    f->sent = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    assert_true(machine_object_add(fake->machine, OBJECT_NETDEV, id, f,
                                   (GDestroyNotify)net_backend_free, NULL));
    return f;
}

static void
fake_net_readable(void *opaque)
{
    FakeNet *f = opaque;

    if (f->loop[0] && f->want[0])
        net_backend_readable(&f->base, 0);
}

void
fake_net_arrive(FakeNet *net, const void *packet, size_t len)
{
    g_mutex_lock(&net->lock);
    assert_true(net->count < FAKE_NET_PACKETS);
    net->in[(net->first + net->count++) % FAKE_NET_PACKETS] = g_bytes_new(packet, len);
    g_mutex_unlock(&net->lock);
    if (net->loop[0])
        io_loop_run_sync(net->loop[0], fake_net_readable, net);
}

static void
fake_net_nothing(void *opaque)
{
    (void)opaque;
}

void
fake_net_settle(FakeNet *net)
{
    for (unsigned i = 0; i < 4; i++)
        io_loop_run_sync(net->loop[0], fake_net_nothing, NULL);
}
