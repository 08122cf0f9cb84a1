/* dispatch.c - from a packet to its handler and back.
 *
 * Order and text of refusals are those of libvirt 9.0.0's daemon: program, status, procedure,
 * authentication, arguments, open connection, right, flags, object.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/dispatch.h"

#include <unistd.h>

#include "driver/calls/connection.h"
#include "driver/calls/table.h"
#include "driver/rpc/error.h"
#include "driver/rpc/stream_internal.h"
#include "util/flags.h"

struct CallDispatcher {
    const CallServices *services;
    RpcPool *pool;
    bool holding;  /* the main loop's thread only */
    GQueue held;   /* of CallJob; the main loop's thread only */
    GMutex lock;   /* threads */
    GCond idle;    /* threads is 0 */
    guint threads; /* calls that have a thread of their own */
};

/* One call at work. Belongs to the thread that runs it. */
typedef struct CallJob {
    Call call; /* what the handler sees; first, so that a Call is its job */
    CallDispatcher *dispatcher;
    const CallProc *proc;
    RpcMessage *msg;
    RpcStream *stream;
    GArray *reply_fds; /* of int, owned */
} CallJob;

static CallJob *
job_of(const Call *call)
{
    return (CallJob *)call;
}

static void
job_free(CallJob *job)
{
    for (guint i = 0; job->reply_fds && i < job->reply_fds->len; i++)
        close(g_array_index(job->reply_fds, int, i));
    g_clear_pointer(&job->reply_fds, g_array_unref);
    rpc_stream_unref(job->stream);
    rpc_message_free(job->msg);
    call_connection_leave(job->call.connection);
    call_connection_unref(job->call.connection);
    g_free(job);
}

static void
reply_error(RpcClient *client, const RpcHeader *header, int domain, const GError *err)
{
    RpcMessage *reply = rpc_error_message(header, false, domain, err);

    reply->ends_request = true;
    rpc_client_send(client, reply);
}

static void
job_fail(CallJob *job, int domain, const GError *err)
{
    if (job->stream)
        rpc_stream_cancel(job->stream);
    reply_error(job->call.connection->client, &job->msg->header, domain, err);
}

static void
job_reply(CallJob *job, void *ret)
{
    RpcHeader header = rpc_header_reply(&job->msg->header, RPC_REPLY, RPC_OK);
    RpcMessage *reply = rpc_message_new(&header);

    if (!rpc_message_encode(reply, job->proc->ret_xdr, ret)) {
        g_autoptr(GError) err = NULL;

        rpc_message_free(reply);
        kiln_error_set(&err, VIR_ERR_RPC, "Unable to encode message payload");
        job_fail(job, VIR_FROM_RPC, err);
        return;
    }
    for (guint i = 0; job->reply_fds && i < job->reply_fds->len; i++)
        rpc_message_add_fd(reply, g_array_index(job->reply_fds, int, i));
    if (job->reply_fds)
        g_array_set_size(job->reply_fds, 0);
    reply->ends_request = true;
    rpc_client_send(job->call.connection->client, reply);
    if (job->stream)
        rpc_stream_start(job->stream);
}

/* What the row says before the arguments are looked at. */
static bool
job_check_connection(CallJob *job, GError **err)
{
    const CallProc *proc = job->proc;
    CallConnection *connection = job->call.connection;

    if (proc->right == CALL_RIGHT_AUTH || proc->right == CALL_RIGHT_ANY)
        return true;
    if (!call_connection_is_open(connection))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "connection not open");
    if (proc->right == CALL_RIGHT_WRITE && call_connection_is_read_only(connection))
        return kiln_error_set(err, VIR_ERR_OPERATION_DENIED, "read only access prevents %s",
                              proc->api);
    return true;
}

static bool
job_check_secret(CallJob *job, const void *args, GError **err)
{
    const RpcHeader *header = &job->msg->header;
    const char *field = NULL;
    unsigned int bits;

    if (!call_connection_is_read_only(job->call.connection))
        return true;
    bits = call_proc_secret_bits(header->prog, header->proc, args, &field);
    if (!bits)
        return true;
    return kiln_error_set(err, VIR_ERR_OPERATION_DENIED,
                          "read only access prevents %s with %s 0x%x", job->proc->api, field, bits);
}

static bool
job_find_object(CallJob *job, const void *args, GError **err)
{
    const CallServices *services = job->call.services;

    if (job->proc->object == CALL_OBJECT_DOMAIN || job->proc->object == CALL_OBJECT_SNAPSHOT) {
        const WireDomain *wire =
            job->proc->object == CALL_OBJECT_SNAPSHOT ? &((const WireSnapshot *)args)->dom : args;

        if (!services->domains)
            return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "%s", job->proc->api);
        job->call.domain =
            services->domain_find(services->domains, (const uint8_t *)wire->uuid, wire->name, err);
        return job->call.domain != NULL;
    }
    if (job->proc->object == CALL_OBJECT_NETWORK) {
        const WireNetwork *wire = args;

        if (!services->networks)
            return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "%s", job->proc->api);
        job->call.network =
            services->network_find(services->networks, (const uint8_t *)wire->uuid, err);
        return job->call.network != NULL;
    }
    if (job->proc->object == CALL_OBJECT_SECRET) {
        const WireSecret *wire = args;

        if (!services->secrets)
            return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "%s", job->proc->api);
        job->call.secret =
            services->secret_find(services->secrets, (const uint8_t *)wire->uuid, err);
        return job->call.secret != NULL;
    }
    if (job->proc->object == CALL_OBJECT_POOL) {
        const WirePool *wire = args;

        if (!services->storage)
            return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "%s", job->proc->api);
        job->call.pool = services->pool_find(services->storage, (const uint8_t *)wire->uuid, err);
        return job->call.pool != NULL;
    }
    if (job->proc->object == CALL_OBJECT_VOLUME) {
        const WireVolume *wire = args;

        if (!services->storage)
            return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "%s", job->proc->api);
        job->call.volume = services->volume_find(services->storage, wire->pool, wire->name, err);
        return job->call.volume != NULL;
    }
    return true;
}

static void
job_drop_object(CallJob *job)
{
    if (job->call.domain)
        job->call.services->domain_unref(job->call.domain);
    if (job->call.network)
        job->call.services->network_unref(job->call.network);
    if (job->call.secret)
        job->call.services->secret_unref(job->call.secret);
    if (job->call.pool)
        job->call.services->pool_unref(job->call.pool);
    if (job->call.volume)
        job->call.services->volume_unref(job->call.volume);
}

static void
job_run_handler(CallJob *job, const void *args, void *ret)
{
    const RpcHeader *header = &job->msg->header;
    g_autoptr(GError) err = NULL;
    int domain = call_proc_error_domain(job->proc);

    if (!job_check_connection(job, &err) || !job_check_secret(job, args, &err)) {
        job_fail(job, VIR_FROM_NONE, err);
        return;
    }
    if (!job->proc->run) {
        kiln_error_set(&err, VIR_ERR_NO_SUPPORT, "%s", job->proc->api);
        job_fail(job, domain, err);
        return;
    }
    if (call_proc_check_flags(header->prog, header->proc, args, &err) &&
        job_find_object(job, args, &err) && job->proc->run(&job->call, args, ret, &err)) {
        job_reply(job, ret);
    } else {
        if (!err)
            kiln_error_set(&err, VIR_ERR_INTERNAL_ERROR, "%s failed without a reason",
                           job->proc->api);
        /* The validator has a domain of its own. */
        if (kiln_error_code(err) == VIR_ERR_XML_INVALID_SCHEMA)
            domain = VIR_FROM_XML;
        job_fail(job, domain, err);
    }
    job_drop_object(job);
}

/* Any thread. */
static void
job_run(void *data)
{
    CallJob *job = data;
    const CallProc *proc = job->proc;

    if (!proc->run) {
        job_run_handler(job, NULL, NULL);
    } else {
        g_autofree void *args = g_malloc0(proc->args_size);
        g_autofree void *ret = g_malloc0(proc->ret_size);

        if (rpc_message_decode(job->msg, proc->args_xdr, args, proc->args_size)) {
            job_run_handler(job, args, ret);
            xdr_free(proc->args_xdr, args);
            xdr_free(proc->ret_xdr, ret);
        } else {
            g_autoptr(GError) err = NULL;

            kiln_error_set(&err, VIR_ERR_RPC, "Unable to decode message payload");
            job_fail(job, VIR_FROM_RPC, err);
        }
    }
    job_free(job);
}

static void *
job_thread(void *data)
{
    CallJob *job = data;
    CallDispatcher *dispatcher = job->dispatcher;

    job_run(job);
    g_mutex_lock(&dispatcher->lock);
    if (--dispatcher->threads == 0)
        g_cond_broadcast(&dispatcher->idle);
    g_mutex_unlock(&dispatcher->lock);
    return NULL;
}

static void
job_start_thread(CallJob *job)
{
    CallDispatcher *dispatcher = job->dispatcher;
    GThread *thread;

    g_mutex_lock(&dispatcher->lock);
    dispatcher->threads++;
    thread = g_thread_try_new("call-wait", job_thread, job, NULL);
    if (!thread)
        dispatcher->threads--;
    g_mutex_unlock(&dispatcher->lock);
    if (thread)
        g_thread_unref(thread);
    else
        rpc_pool_push(dispatcher->pool, false, job_run, job);
}

/* Refusals that need no arguments; NULL with @err, or the row to run. */
static const CallProc *
dispatch_find(RpcClient *client, const RpcHeader *header, GError **err)
{
    const CallProc *proc;

    if ((header->prog != RPC_REMOTE_PROGRAM && header->prog != RPC_QEMU_PROGRAM) ||
        header->vers != RPC_PROGRAM_VERSION) {
        kiln_error_set(err, VIR_ERR_RPC, "Cannot find program %d version %d", (int)header->prog,
                       (int)header->vers);
        return NULL;
    }
    if (header->status != RPC_OK) {
        kiln_error_set(err, VIR_ERR_RPC, "Unexpected message status %u", header->status);
        return NULL;
    }
    proc = call_proc_find(header->prog, header->proc);
    if (!proc) {
        kiln_error_set(err, VIR_ERR_RPC, "unknown procedure: %d", header->proc);
        return NULL;
    }
    if (proc->right != CALL_RIGHT_AUTH && !rpc_client_is_authenticated(client)) {
        kiln_error_set(err, VIR_ERR_RPC, "authentication required");
        return NULL;
    }
    return proc;
}

static void
dispatch_start(CallDispatcher *dispatcher, CallJob *job)
{
    switch (job->proc->queue) {
    case CALL_QUEUE_INLINE:
        job_run(job);
        break;
    case CALL_QUEUE_THREAD:
        job_start_thread(job);
        break;
    default:
        rpc_pool_push(dispatcher->pool, job->proc->queue == CALL_QUEUE_FAST, job_run, job);
    }
}

static void
dispatch_call(RpcClient *client, RpcMessage *msg, void *opaque)
{
    CallDispatcher *dispatcher = opaque;
    g_autoptr(GError) err = NULL;
    const CallProc *proc = dispatch_find(client, &msg->header, &err);
    CallJob *job;

    if (!proc) {
        reply_error(client, &msg->header, VIR_FROM_RPC, err);
        rpc_message_free(msg);
        return;
    }
    job = g_new0(CallJob, 1);
    job->call.services = dispatcher->services;
    job->call.connection = call_connection_ref(rpc_client_data(client));
    job->dispatcher = dispatcher;
    job->proc = proc;
    job->msg = msg;
    call_connection_enter(job->call.connection);
    if (dispatcher->holding && proc->right != CALL_RIGHT_AUTH && proc->right != CALL_RIGHT_ANY)
        g_queue_push_tail(&dispatcher->held, job);
    else
        dispatch_start(dispatcher, job);
}

void
call_dispatcher_hold(CallDispatcher *dispatcher)
{
    dispatcher->holding = true;
}

void
call_dispatcher_release(CallDispatcher *dispatcher)
{
    CallJob *job;

    dispatcher->holding = false;
    while ((job = g_queue_pop_head(&dispatcher->held)))
        dispatch_start(dispatcher, job);
}

static void
dispatch_connected(RpcClient *client, void *opaque)
{
    CallDispatcher *dispatcher = opaque;

    rpc_client_set_data(client, call_connection_new(client, dispatcher->services));
}

static void
dispatch_disconnected(RpcClient *client, void *opaque)
{
    CallConnection *connection = rpc_client_data(client);

    (void)opaque;
    call_connection_end(connection);
    call_connection_unref(connection);
}

CallDispatcher *
call_dispatcher_new(const CallServices *services, RpcPool *pool)
{
    CallDispatcher *dispatcher = g_new0(CallDispatcher, 1);

    dispatcher->services = services;
    dispatcher->pool = pool;
    g_queue_init(&dispatcher->held);
    g_mutex_init(&dispatcher->lock);
    g_cond_init(&dispatcher->idle);
    return dispatcher;
}

void
call_dispatcher_free(CallDispatcher *dispatcher)
{
    if (!dispatcher)
        return;
    g_queue_clear_full(&dispatcher->held, (GDestroyNotify)job_free);
    g_mutex_lock(&dispatcher->lock);
    while (dispatcher->threads)
        g_cond_wait(&dispatcher->idle, &dispatcher->lock);
    g_mutex_unlock(&dispatcher->lock);
    g_cond_clear(&dispatcher->idle);
    g_mutex_clear(&dispatcher->lock);
    g_free(dispatcher);
}

bool
call_is_qemu(const Call *call)
{
    return call->connection->qemu;
}

uid_t
call_peer_uid(const Call *call)
{
    return rpc_client_identity(call->connection->client)->uid;
}

int
call_take_fd(Call *call, guint index)
{
    RpcMessage *msg = job_of(call)->msg;
    int fd;

    if (!msg->fds || index >= msg->fds->len)
        return -1;
    fd = g_array_index(msg->fds, int, index);
    g_array_index(msg->fds, int, index) = -1;
    return fd;
}

void
call_return_fd(Call *call, int fd)
{
    CallJob *job = job_of(call);

    if (!job->reply_fds)
        job->reply_fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_val(job->reply_fds, fd);
}

RpcStream *
call_open_stream(Call *call, const RpcStreamOps *ops, void *opaque)
{
    CallJob *job = job_of(call);

    if (job->stream || (job->proc->kind != CALL_KIND_STREAM && job->proc->kind != CALL_KIND_SPARSE))
        return NULL;
    job->stream = rpc_stream_new(call->connection->client, &job->msg->header,
                                 job->proc->kind == CALL_KIND_SPARSE, ops, opaque);
    rpc_stream_register(job->stream);
    return rpc_stream_ref(job->stream);
}

RpcStream *
call_open_stream_fd(Call *call, int fd, RpcStreamDirection direction, void (*closed)(void *opaque),
                    void *opaque)
{
    CallJob *job = job_of(call);

    if (job->stream || job->proc->kind != CALL_KIND_STREAM)
        return NULL;
    job->stream = rpc_stream_new_fd(call->connection->client, &job->msg->header, fd, direction,
                                    closed, opaque);
    rpc_stream_register(job->stream);
    return rpc_stream_ref(job->stream);
}

bool
call_check_flags(unsigned int flags, unsigned int allowed, const char *function, GError **err)
{
    return kiln_flags_check(flags, allowed, function, err);
}

const RpcServerOps call_server_ops = {
    .connected = dispatch_connected,
    .call = dispatch_call,
    .disconnected = dispatch_disconnected,
};
