/* connector.h - a process of its own that connects to one address again and again, for a guest that
 * may not any more: its sandbox has neither the host's files nor its network.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CHAR_CONNECTOR_H
#define KILN_HW_CHAR_CONNECTOR_H

#include <stdbool.h>
#include <sys/socket.h>

/* Starts one, which ends when the returned descriptor is closed; -errno. Before the sandbox is
 * entered. */
int connector_start(const struct sockaddr_storage *address, socklen_t len);

/* Asks for a connection; false when the process is gone. The descriptor becomes readable when there
 * is an answer. */
bool connector_ask(int fd);

/* The answer: a connected socket, which is the caller's; -EAGAIN while there is none; or the error
 * of connecting. */
int connector_take(int fd);

#endif
