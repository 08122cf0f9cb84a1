/* fuzz_nbd.c - libFuzzer targets: bytes of a stranger at either side of NBD, a client's before our
 * server (FUZZ_SERVER), or a server's before our client.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/nbd/client.h"
#include "block/nbd/nbd.h"
#include "block/nbd/server.h"

enum { IMAGE_BYTES = 1 << 20, INPUT_MAX = 100000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A socket on whose other end @data was written, and nothing more follows. */
static int
socket_with(const uint8_t *data, size_t size, int *ret_peer)
{
    int ends[2], room = 4 << 20;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    if (size > 0 && send(ends[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        abort();
    shutdown(ends[1], SHUT_WR);
    *ret_peer = ends[1];
    return ends[0];
}

/* Takes away what is sent, so that the sender does not wait. */
static void *
drain(void *opaque)
{
    int fd = GPOINTER_TO_INT(opaque);
    uint8_t buf[65536];

    while (read(fd, buf, sizeof(buf)) > 0)
        ;
    close(fd);
    return NULL;
}

#ifdef FUZZ_SERVER

static int
open_memory(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    (void)opaque;
    (void)filename;
    (void)flags;
    (void)err;
    if (fd < 0 || ftruncate(fd, IMAGE_BYTES) < 0)
        abort();
    return fd;
}

static void
try_stranger(const uint8_t *data, size_t size)
{
    const BlockOpenOps ops = { .open_file = open_memory };
    g_autoptr(JsonObject) object = json_object_new();
    g_autoptr(NbdServer) server = nbd_server_new();
    NbdExport *export_ = g_new0(NbdExport, 1);
    GThread *drainer;
    int fd, peer;

    json_object_set_string_member(object, "driver", "file");
    json_object_set_string_member(object, "filename", "image");
    json_object_set_string_member(object, "discard", "unmap");
    export_->name = g_strdup("");
    export_->description = g_strdup("text");
    export_->allocation_depth = true;
    export_->node = block_node_open(object, &ops, NULL);
    if (!export_->node)
        abort();
    nbd_server_add_export(server, export_);
    fd = socket_with(data, size, &peer);
    drainer = g_thread_new("drain", drain, GINT_TO_POINTER(peer));
    (void)nbd_server_serve(server, fd, NULL);
    g_thread_join(drainer);
}

#else

static void
try_stranger(const uint8_t *data, size_t size)
{
    int peer, fd = socket_with(data, size, &peer);
    GThread *drainer = g_thread_new("drain", drain, GINT_TO_POINTER(peer));
    NbdStream *stream = nbd_stream_new(fd);
    static uint8_t buf[65536];
    NbdClient *client = NULL;
    bool structured;
    NbdInfo info;

    if (nbd_negotiate_hello(stream, NULL, true, &structured, NULL)) {
        if (size % 2) {
            GPtrArray *list = nbd_negotiate_list(stream, structured, NULL);

            if (list)
                g_ptr_array_unref(list);
        } else if (nbd_negotiate_go(stream, "", structured, &info, NULL)) {
            client = nbd_client_new(stream, &info, NULL);
        }
    }
    if (client) {
        uint64_t length = sizeof(buf);
        uint32_t flags;

        (void)nbd_client_status(client, 0, &length, &flags);
        (void)nbd_client_read(client, 0, buf, sizeof(buf));
        (void)nbd_client_write(client, 0, buf, 512, true);
        (void)nbd_client_flush(client);
        nbd_client_free(client);
    } else {
        nbd_stream_free(stream);
    }
    g_thread_join(drainer);
}

#endif

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= INPUT_MAX)
        try_stranger(data, size);
    return 0;
}
