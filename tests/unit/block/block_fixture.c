/* block_fixture.c - image files and nodes for the tests of the block room.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/block/block_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

BlockFixture *
block_fixture_new(uint64_t size)
{
    BlockFixture *f = g_new0(BlockFixture, 1);
    const char *root = g_getenv("KILN_BUILD_ROOT");
    uint8_t sector[BLOCK_SECTOR];
    int fd;

    f->dir = g_strdup_printf("%s/block-test-XXXXXX", root ? root : "/var/tmp");
    f->dir = g_mkdtemp(f->dir);
    if (!f->dir)
        g_error("no directory for the image: %s", g_strerror(errno));
    f->path = g_build_filename(f->dir, "image", NULL);
    fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (uint64_t at = 0; at < size; at += BLOCK_SECTOR) {
        uint64_t number = at / BLOCK_SECTOR;
        size_t len = MIN(size - at, BLOCK_SECTOR);

        memset(sector, 0xa5, sizeof(sector));
        memcpy(sector, &number, sizeof(number));
        if (pwrite(fd, sector, len, at) != (ssize_t)len)
            g_error("cannot write the image: %s", g_strerror(errno));
    }
    close(fd);
    return f;
}

void
block_fixture_free(BlockFixture *f)
{
    if (!f)
        return;
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
    g_free(f);
}

static int
fixture_open_file(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = open(filename, flags);

    (void)opaque;
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", filename);
    return fd;
}

BlockNode *
block_fixture_open(BlockFixture *f, const char *protocol, const char *format, GError **err)
{
    static const BlockOpenOps ops = { .open_file = fixture_open_file };
    g_autofree char *text =
        g_strdup_printf("{\"driver\": \"raw\", \"node-name\": \"disk\"%s,"
                        " \"file\": {\"driver\": \"file\", \"filename\": \"%s\"%s}}",
                        format, f->path, protocol);
    g_autoptr(JsonNode) json = json_from_string(text, err);

    return json ? block_node_open(json_node_get_object(json), &ops, err) : NULL;
}
