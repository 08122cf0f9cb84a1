/* qmp.c - the QMP server: greeting, sessions, events.
 *
 * QEMU docs/interop/qmp-spec.rst. One session per character device at a time; a listening socket
 * gives one after another. A client that does not read cannot hold the guest up: its input waits
 * once OUTPUT_PAUSE bytes are queued for it, and events beyond OUTPUT_MAX are dropped. Left out:
 * the oob capability.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/qmp.h"

#include <string.h>
#include <unistd.h>

#include "hw/char/chardev.h"
#include "launcher/chardev_words.h"
#include "launcher/gdb.h"
#include "launcher/hmp.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "launcher/qmp_stream.h"
#include "util/error.h"

enum { OUTPUT_PAUSE = 256 * 1024, OUTPUT_MAX = 1 << 20, INPUT_STEP = 4096, FDS_MAX = 16 };

typedef enum { SESSION_HUMAN, SESSION_QMP, SESSION_PRETTY } SessionKind;

struct QmpSession {
    Qmp *qmp;
    Chardev *chardev;
    QmpStream in;
    GByteArray *out;                /* what the character device did not take yet */
    GArray *fds;                    /* of int, received and not yet asked for */
    bool open, negotiated, waiting; /* waiting: input stopped until output has gone */
    bool quit_after;
    bool pretty; /* messages over many lines */
    Hmp *hmp;    /* a human is at the other end; else NULL */
};

struct Qmp {
    Vm *vm;
    GPtrArray *sessions; /* of QmpSession */
    QmpSession *for_gdb; /* one of them; NULL until it is needed */
    GAsyncQueue *events; /* of JsonNode *, from other threads */
    GMainContext *context;
};

Vm *
qmp_session_vm(QmpSession *s)
{
    return s->qmp->vm;
}

int
qmp_session_take_fd(QmpSession *s)
{
    int fd = -1;

    if (s->fds->len > 0) {
        fd = g_array_index(s->fds, int, s->fds->len - 1);
        g_array_set_size(s->fds, s->fds->len - 1);
    }
    return fd;
}

void
qmp_session_quit_after(QmpSession *s)
{
    s->quit_after = true;
}

/* A session without another end. */
static QmpSession *
qmp_silent_session(Qmp *qmp)
{
    QmpSession *s = g_new0(QmpSession, 1);

    s->qmp = qmp;
    qmp_stream_init(&s->in);
    s->out = g_byte_array_new();
    s->fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_ptr_array_add(qmp->sessions, s);
    return s;
}

static bool
qmp_start_gdb(Qmp *qmp, const char *device, GError **err)
{
    if (!qmp->for_gdb)
        qmp->for_gdb = qmp_silent_session(qmp);
    return gdb_start(qmp->vm, qmp->for_gdb, device, err);
}

bool
qmp_session_start_gdb(QmpSession *s, const char *device, GError **err)
{
    return qmp_start_gdb(s->qmp, device, err);
}

static void
session_drop_fds(QmpSession *s)
{
    for (int fd; (fd = qmp_session_take_fd(s)) >= 0;)
        close(fd);
}

static void
session_push(QmpSession *s)
{
    size_t taken;

    if (s->out->len == 0)
        return;
    taken = chardev_write(s->chardev, s->out->data, s->out->len);
    g_byte_array_remove_range(s->out, 0, taken);
}

static void
session_send_node(QmpSession *s, JsonNode *node, bool may_drop)
{
    g_autofree char *text = NULL;

    if (!s->open || (may_drop && s->out->len > OUTPUT_MAX))
        return;
    text = json_to_string(node, s->pretty);
    g_byte_array_append(s->out, (const uint8_t *)text, strlen(text));
    g_byte_array_append(s->out, (const uint8_t *)"\r\n", 2);
    session_push(s);
}

/* Takes @message. */
static void
session_send(QmpSession *s, JsonObject *message)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, message);
    session_send_node(s, node, false);
}

static void
session_greet(QmpSession *s)
{
    JsonObject *greeting = json_object_new(), *qmp = json_object_new();

    json_object_set_object_member(qmp, "version", qmp_version_object());
    json_object_set_array_member(qmp, "capabilities", json_array_new());
    json_object_set_object_member(greeting, "QMP", qmp);
    session_send(s, greeting);
}

static size_t
session_can_read(void *opaque)
{
    QmpSession *s = opaque;

    s->waiting = s->out->len > OUTPUT_PAUSE;
    return s->waiting ? 0 : INPUT_STEP;
}

/* Errors name files as the user does. */
static JsonObject *
session_answer(QmpSession *s, JsonObject *message)
{
    JsonObject *reply = qmp_dispatch(&qmp_commands, s, &s->negotiated, message);

    if (json_object_has_member(reply, "error")) {
        JsonObject *error = json_object_get_object_member(reply, "error");
        g_autofree char *desc = fdset_name_files(s->qmp->vm->fdsets,
                                                 json_object_get_string_member(error, "desc"));

        json_object_set_string_member(error, "desc", desc);
    }
    return reply;
}

static void
session_read(void *opaque, const uint8_t *data, size_t len)
{
    QmpSession *s = opaque;

    for (;;) {
        g_autoptr(JsonObject) message = NULL;
        g_autoptr(GError) err = NULL;

        if (!qmp_stream_next(&s->in, &data, &len, &message, &err))
            return;
        if (message)
            session_send(s, session_answer(s, message));
        else
            session_send(s, qmp_error("GenericError", err->message, NULL));
        if (s->quit_after) {
            s->quit_after = false;
            vm_quit(s->qmp->vm, "host-qmp-quit", false, 0);
        }
    }
}

static void
session_reset(QmpSession *s)
{
    qmp_stream_clear(&s->in);
    qmp_stream_init(&s->in);
    g_byte_array_set_size(s->out, 0);
    session_drop_fds(s);
    s->negotiated = s->waiting = false;
}

static void
session_event(void *opaque, ChardevEvent event)
{
    QmpSession *s = opaque;

    session_reset(s);
    s->open = event == CHARDEV_OPENED;
    if (s->open)
        session_greet(s);
}

static void
session_writable(void *opaque)
{
    QmpSession *s = opaque;

    session_push(s);
    if (s->waiting && s->out->len <= OUTPUT_PAUSE)
        chardev_accept_input(s->chardev);
}

static void
session_fds(void *opaque, const int *fds, unsigned n)
{
    QmpSession *s = opaque;

    for (unsigned i = 0; i < n; i++) {
        if (s->fds->len < FDS_MAX)
            g_array_append_val(s->fds, fds[i]);
        else
            close(fds[i]);
    }
}

static const ChardevFrontend session_frontend = {
    .can_read = session_can_read,
    .read = session_read,
    .event = session_event,
    .writable = session_writable,
    .fds = session_fds,
};

static void
session_free(void *opaque)
{
    QmpSession *s = opaque;

    hmp_free(s->hmp);
    if (s->chardev)
        chardev_detach(s->chardev, s);
    session_drop_fds(s);
    qmp_stream_clear(&s->in);
    g_byte_array_unref(s->out);
    g_array_unref(s->fds);
    g_free(s);
}

static bool
qmp_add_session(Qmp *qmp, const char *id, SessionKind kind, GError **err)
{
    Chardev *chardev = machine_object_find(qmp->vm->machine, OBJECT_CHARDEV, id);
    QmpSession *s;

    if (!chardev)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-mon: no -chardev with id=%s", id);
    s = qmp_silent_session(qmp);
    s->pretty = kind == SESSION_PRETTY;
    if (kind == SESSION_HUMAN) {
        s->hmp = hmp_new(s, chardev, err);
        return s->hmp != NULL;
    }
    if (!chardev_attach(chardev, &session_frontend, s, err))
        return false;
    s->chardev = chardev;
    chardev_set_frontend_open(chardev, true);
    return true;
}

static void
qmp_send_events(Qmp *qmp)
{
    for (JsonNode *event; (event = g_async_queue_try_pop(qmp->events)); json_node_unref(event))
        for (guint i = 0; i < qmp->sessions->len; i++) {
            QmpSession *s = g_ptr_array_index(qmp->sessions, i);

            if (s->negotiated)
                session_send_node(s, event, true);
        }
}

static gboolean
qmp_on_events(void *opaque)
{
    qmp_send_events(opaque);
    return G_SOURCE_REMOVE;
}

static JsonNode *
qmp_event(const char *name, JsonObject *data)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *event = json_object_new(), *timestamp = json_object_new();
    int64_t now = g_get_real_time();

    json_object_set_int_member(timestamp, "seconds", now / G_USEC_PER_SEC);
    json_object_set_int_member(timestamp, "microseconds", now % G_USEC_PER_SEC);
    json_object_set_object_member(event, "timestamp", timestamp);
    json_object_set_string_member(event, "event", name);
    if (data)
        json_object_set_object_member(event, "data", data);
    json_node_take_object(node, event);
    return node;
}

static void
qmp_emit(void *opaque, const char *name, JsonObject *data)
{
    Qmp *qmp = opaque;

    g_async_queue_push(qmp->events, qmp_event(name, data));
    /* In order with the answers when the main thread emits; else as soon as it can. */
    if (g_main_context_is_owner(qmp->context))
        qmp_send_events(qmp);
    else
        g_main_context_invoke(qmp->context, qmp_on_events, qmp);
}

void
qmp_flush(Qmp *qmp)
{
    qmp_send_events(qmp);
    for (guint i = 0; i < qmp->sessions->len; i++)
        session_push(g_ptr_array_index(qmp->sessions, i));
}

void
qmp_free(Qmp *qmp)
{
    if (!qmp)
        return;
    qmp->vm->emit = NULL;
    g_clear_pointer(&qmp->vm->gdb, gdb_free);
    g_ptr_array_unref(qmp->sessions);
    g_async_queue_unref(qmp->events);
    g_free(qmp);
}

/* -monitor: the words of a character device, or one that is there. */
static bool
qmp_add_monitor(Qmp *qmp, const char *words, unsigned index, GError **err)
{
    g_autofree char *id = g_strdup_printf("monitor%u", index);

    if (!strcmp(words, "none"))
        return true;
    if (g_str_has_prefix(words, "chardev:"))
        return qmp_add_session(qmp, words + strlen("chardev:"), SESSION_HUMAN, err);
    return vm_add_chardev_words(qmp->vm, "-monitor", words, id, err) &&
           qmp_add_session(qmp, id, SESSION_HUMAN, err);
}

static bool
qmp_add_mon(Qmp *qmp, JsonObject *mon, GError **err)
{
    static const char *const modes[] = { "readline", "control", NULL };
    const char *id = keyval_text(mon, "chardev");
    int mode = SESSION_HUMAN;
    bool pretty = false;

    if (!keyval_enum("-mon", mon, "mode", modes, &mode, err) ||
        !keyval_bool("-mon", mon, "pretty", &pretty, err))
        return false;
    if (!id)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-mon: wants chardev=ID");
    if (pretty && mode == SESSION_HUMAN)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-mon: pretty=on is for mode=control only");
    return qmp_add_session(qmp, id, pretty ? SESSION_PRETTY : (SessionKind)mode, err);
}

/* Each of -qmp or of -qmp-pretty. */
static bool
qmp_add_words(Qmp *qmp, const char *option, const GPtrArray *list, SessionKind kind,
              unsigned *number, GError **err)
{
    for (guint i = 0; i < list->len; i++) {
        g_autofree char *id = g_strdup_printf("compat_monitor%u", (*number)++);

        if (!vm_add_chardev_words(qmp->vm, option, g_ptr_array_index(list, i), id, err) ||
            !qmp_add_session(qmp, id, kind, err))
            return false;
    }
    return true;
}

Qmp *
qmp_new(Vm *vm, GError **err)
{
    g_autoptr(Qmp) qmp = g_new0(Qmp, 1);
    const Options *o = vm->options;
    unsigned number = 0;

    qmp->vm = vm;
    qmp->sessions = g_ptr_array_new_with_free_func(session_free);
    qmp->events = g_async_queue_new_full((GDestroyNotify)json_node_unref);
    qmp->context = g_main_context_default();
    for (guint i = 0; i < o->mons->len; i++)
        if (!qmp_add_mon(qmp, g_ptr_array_index(o->mons, i), err))
            return NULL;
    if (!qmp_add_words(qmp, "-qmp", o->qmps, SESSION_QMP, &number, err) ||
        !qmp_add_words(qmp, "-qmp-pretty", o->pretty_qmps, SESSION_PRETTY, &number, err))
        return NULL;
    for (guint i = 0; i < o->monitors->len; i++)
        if (!qmp_add_monitor(qmp, g_ptr_array_index(o->monitors, i), i, err))
            return NULL;
    for (guint i = 0; i < MAX(o->serials->len, 1); i++) {
        g_autofree char *id = g_strdup_printf("serial%u", i);

        if (chardev_words_shared(o, i) && !qmp_add_session(qmp, id, SESSION_HUMAN, err))
            return NULL;
    }
    if ((o->gdb || o->gdb_short) && !qmp_start_gdb(qmp, o->gdb ? o->gdb : "tcp::1234", err))
        return NULL;
    vm->emit_opaque = qmp;
    vm->emit = qmp_emit;
    return g_steal_pointer(&qmp);
}
