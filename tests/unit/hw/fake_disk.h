/* fake_disk.h - images in memory, for the tests of disk models.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_HW_FAKE_DISK_H
#define KILN_TESTS_HW_FAKE_DISK_H

#include "tests/unit/hw/fake_machine.h"

/* A block node @id of @size bytes, each sector filled with its number's lowest byte plus one.
 * Returns a descriptor of its content, which the caller closes. Ends the test on failure. */
int fake_disk(FakeMachine *fake, const char *id, uint64_t size, bool read_only);

#endif
