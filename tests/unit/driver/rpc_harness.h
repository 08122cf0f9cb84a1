/* rpc_harness.h - a server in a thread of its own, and a client that speaks bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_RPC_HARNESS_H
#define KILN_TESTS_RPC_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/rpc/server.h"

typedef struct Harness {
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    RpcServer *server;
} Harness;

/* Limits of the daemon's defaults. */
extern const RpcLimits harness_limits;

Harness *harness_new(const RpcServerOps *ops, void *opaque, const RpcLimits *limits);
void harness_free(Harness *harness);
/* Runs @func(@data) in the server's thread and waits for it. */
void harness_run(Harness *harness, void (*func)(void *data), void *data);
/* A connected client: the descriptor of its end, with a time limit on reading and writing. */
int harness_connect(Harness *harness, bool read_only, RpcAuth auth);
guint harness_n_clients(Harness *harness);
/* Waits until the server has @n clients; false after five seconds. */
bool harness_wait_clients(Harness *harness, guint n);

/* Removes @path and all below it, and frees the string. */
void harness_remove_tree(char *path);

/* Sends a packet with that header. */
void raw_send(int fd, const RpcHeader *header, const void *payload, size_t len);
/* A call of the remote program. */
void raw_call(int fd, int32_t proc, uint32_t serial, const void *payload, size_t len);
/* A call of the remote program with @value in XDR. */
void raw_call_xdr(int fd, int32_t proc, uint32_t serial, xdrproc_t xdr, const void *value);
/* Reads one packet; NULL at the end of the connection. Fails the test when nothing comes. */
RpcMessage *raw_recv(int fd);
/* The next packet is a reply to @serial with @status: returns it. */
RpcMessage *raw_expect(int fd, uint32_t serial, RpcStatus status);
/* The next packet is an error reply to @serial: checks code and text. */
void raw_expect_error(int fd, uint32_t serial, int code, const char *text);
/* The server closes the connection. */
void raw_expect_eof(int fd);
/* Nothing comes for @ms milliseconds. */
void raw_expect_silence(int fd, int ms);
/* Sends a ping, which is to be answered. */
void raw_ping(int fd);
/* The connection works: a ping is answered. */
void raw_expect_alive(int fd);

#endif
