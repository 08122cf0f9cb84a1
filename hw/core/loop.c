/* loop.c - the I/O loop of devices that name none.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/loop.h"

#define LOOP_ID "#io"

IoLoop *
machine_io_loop(Machine *machine, GError **err)
{
    IoLoop *loop = machine_object_find(machine, OBJECT_IOTHREAD, LOOP_ID);

    if (loop)
        return loop;
    loop = io_loop_new("io", err);
    if (loop && !machine_object_add(machine, OBJECT_IOTHREAD, LOOP_ID, loop,
                                    (GDestroyNotify)io_loop_free, err)) {
        io_loop_free(loop);
        return NULL;
    }
    return loop;
}
