/* block_fixture.h - image files and nodes for the tests of the block room.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_BLOCK_FIXTURE_H
#define KILN_TESTS_BLOCK_FIXTURE_H

#include "block/block.h"

typedef struct {
    char *dir, *path;
} BlockFixture;

/* A file "image" of @size bytes in which each sector's first 8 bytes are its number. The directory
 * lies where O_DIRECT works: beside the build, not in a tmpfs. */
BlockFixture *block_fixture_new(uint64_t size);
void block_fixture_free(BlockFixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockFixture, block_fixture_free)

/* Opens raw over file on the fixture's image; @protocol and @format are further JSON members
 * (", \"read-only\": true") or "". */
BlockNode *block_fixture_open(BlockFixture *f, const char *protocol, const char *format,
                              GError **err);

#endif
