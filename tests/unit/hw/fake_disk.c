/* fake_disk.c - images in memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_disk.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/block.h"

static int
disk_open(void *opaque, const char *filename, int flags, GError **err)
{
    (void)filename;
    (void)flags;
    (void)err;
    return dup(*(int *)opaque);
}

static BlockNode *
disk_find(void *opaque, const char *name)
{
    (void)opaque;
    (void)name;
    return NULL;
}

int
fake_disk(FakeMachine *fake, const char *id, uint64_t size, bool read_only)
{
    int fd = memfd_create(id, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    BlockOpenOps ops = { &fd, disk_open, disk_find };
    g_autofree char *json =
        g_strdup_printf("{\"driver\":\"file\",\"filename\":\"%s\",\"node-name\":\"%s\","
                        "\"read-only\":%s,\"discard\":\"%s\"}",
                        id, id, read_only ? "true" : "false", read_only ? "ignore" : "unmap");
    g_autoptr(JsonNode) node = json_from_string(json, NULL);
    g_autoptr(GError) err = NULL;
    BlockNode *block;
    uint8_t sector[BLOCK_SECTOR];

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        g_error("no memory for a disk");
    for (uint64_t i = 0; i < size / BLOCK_SECTOR; i++) {
        memset(sector, (int)(i + 1) & 0xff, sizeof(sector));
        if (pwrite(fd, sector, sizeof(sector), (off_t)(i * BLOCK_SECTOR)) != sizeof(sector))
            g_error("cannot fill a disk");
    }
    block = block_node_open(json_node_get_object(node), &ops, &err);
    if (!block)
        g_error("%s", err->message);
    machine_object_add(fake->machine, OBJECT_BLOCK_NODE, id, block,
                       (GDestroyNotify)block_node_unref, NULL);
    return fd;
}
