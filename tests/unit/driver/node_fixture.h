/* node_fixture.h - a host that is not there: a tree of /proc and /sys files, a small CPU model map
 * and processors made up of features.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_UNIT_DRIVER_NODE_FIXTURE_H
#define KILN_TESTS_UNIT_DRIVER_NODE_FIXTURE_H

#include <glib.h>
#include <stdio.h>

#include "driver/node/node_private.h"

typedef struct {
    char *root, *map_dir;
    NodeSource source;
    DaemonPaths paths; /* owned strings below @root; vmm is /usr/bin/kiln-vmm */
} FakeHost;

/* Two NUMA nodes of two cores with two threads each, 2 MiB hugepages, one CPU switched off when
 * @offline. */
FakeHost *fake_host_new(bool offline);
void fake_host_free(FakeHost *host);

/* Writes a file of the tree, making its directories. */
void fake_host_write(FakeHost *host, const char *path, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
