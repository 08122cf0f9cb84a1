/* pidfile.h - the lock that lets one daemon use a set of directories at a time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_PIDFILE_H
#define KILN_DRIVER_PIDFILE_H

#include <glib.h>

/* Writes this process's id to @path and locks the file for as long as the returned descriptor is
 * open (and no other one of this process on the file is closed). -1 with VIR_ERR_OPERATION_FAILED
 * naming the process that holds it, or VIR_ERR_SYSTEM_ERROR. */
int pidfile_acquire(const char *path, GError **err);

/* Removes the file and lets the lock go. @fd may be -1. */
void pidfile_release(const char *path, int fd);

#endif
