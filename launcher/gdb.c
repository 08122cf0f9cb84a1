/* gdb.c - the debugger's connection: what comes from the debugger and goes to it.
 *
 * "Debugging with GDB", appendix E. One debugger at a time, at a character device. Its coming stops
 * the guest; when it goes without a word, its breakpoints go too and the guest stays as it is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <string.h>

#include "launcher/gdb_private.h"
#include "util/error.h"

enum { OUTPUT_PAUSE = 256 * 1024, INPUT_STEP = 4096 };
#define OWN_CHARDEV "gdb"

static void
gdb_push(Gdb *gdb)
{
    size_t taken;

    if (gdb->out->len == 0)
        return;
    taken = chardev_write(gdb->chardev, gdb->out->data, gdb->out->len);
    g_byte_array_remove_range(gdb->out, 0, (guint)taken);
}

static void
gdb_put(Gdb *gdb, const char *text)
{
    g_byte_array_append(gdb->out, (const guint8 *)text, (guint)strlen(text));
    gdb_push(gdb);
}

void
gdb_send_bytes(Gdb *gdb, const char *data, size_t len)
{
    g_byte_array_set_size(gdb->last, 0);
    gdb_packet_append(gdb->last, data, len);
    g_byte_array_append(gdb->out, gdb->last->data, gdb->last->len);
    gdb_push(gdb);
}

void
gdb_send(Gdb *gdb, const char *text)
{
    gdb_send_bytes(gdb, text, strlen(text));
}

void
gdb_printf(Gdb *gdb, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    gdb_send(gdb, text);
}

Vcpu *
gdb_vcpu(const Gdb *gdb, unsigned thread)
{
    for (guint i = 0; i < gdb->vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(gdb->vm->vcpus, i);

        if (thread == 0 || vcpu_index(vcpu) + 1 == thread)
            return vcpu;
    }
    return NULL;
}

/* The debugger has gone, or is sent away. */
static void
gdb_let_go(Gdb *gdb)
{
    bool running = gdb->vm->state == VM_RUNNING;

    gdb->waiting = false;
    if (running && gdb->breaks->len > 0)
        vm_hold_vcpus(gdb->vm);
    if (gdb->breaks->len > 0) {
        gdb_look(gdb);
        gdb_break_remove_all(gdb);
        for (guint i = 0; i < gdb->vm->vcpus->len; i++)
            gdb_break_arm(gdb, g_ptr_array_index(gdb->vm->vcpus, i), false);
        if (running)
            vm_release_vcpus(gdb->vm);
    }
    g_array_set_size(gdb->hits, 0);
}

static void
gdb_packet(Gdb *gdb)
{
    /* While the guest runs nothing can be asked of its processors. */
    if (gdb->vm->state == VM_RUNNING)
        vm_pause(gdb->vm, VM_PAUSED);
    /* A processor that was selected can have been taken away. */
    if (!gdb_vcpu(gdb, gdb->thread))
        gdb->thread = vcpu_index(gdb_vcpu(gdb, 0)) + 1;
    gdb->busy = true;
    gdb_command(gdb, (char *)gdb->in.data->data, gdb->in.data->len);
    gdb->busy = false;
}

static void
gdb_interrupt(Gdb *gdb)
{
    if (gdb->vm->state == VM_RUNNING)
        vm_pause(gdb->vm, VM_PAUSED);
    else if (gdb->waiting)
        gdb_tell_stop(gdb, gdb_stop_signal(gdb));
}

static size_t
gdb_can_read(void *opaque)
{
    return ((Gdb *)opaque)->out->len > OUTPUT_PAUSE ? 0 : INPUT_STEP;
}

static void
gdb_read(void *opaque, const uint8_t *data, size_t len)
{
    Gdb *gdb = opaque;

    for (size_t i = 0; i < len; i++)
        switch (gdb_parser_feed(&gdb->in, data[i])) {
        case GDB_INPUT_PACKET:
            if (!gdb->no_ack)
                gdb_put(gdb, "+");
            gdb_packet(gdb);
            break;
        case GDB_INPUT_DAMAGED:
            if (!gdb->no_ack)
                gdb_put(gdb, "-");
            break;
        case GDB_INPUT_INTERRUPT:
            gdb_interrupt(gdb);
            break;
        case GDB_INPUT_REPEAT:
            g_byte_array_append(gdb->out, gdb->last->data, gdb->last->len);
            gdb_push(gdb);
            break;
        case GDB_INPUT_NOTHING:
            break;
        }
}

static void
gdb_event(void *opaque, ChardevEvent event)
{
    Gdb *gdb = opaque;

    gdb_let_go(gdb);
    gdb_parser_clear(&gdb->in);
    gdb_parser_init(&gdb->in);
    g_byte_array_set_size(gdb->out, 0);
    g_byte_array_set_size(gdb->last, 0);
    gdb->no_ack = gdb->knows_breaks = gdb->physical = false;
    gdb->thread = gdb->stop_thread = vcpu_index(gdb_vcpu(gdb, 0)) + 1;
    gdb->run_thread = 0;
    if (event == CHARDEV_OPENED && gdb->vm->state == VM_RUNNING)
        vm_pause(gdb->vm, VM_PAUSED);
}

static void
gdb_writable(void *opaque)
{
    Gdb *gdb = opaque;

    gdb_push(gdb);
    if (gdb->out->len <= OUTPUT_PAUSE)
        chardev_accept_input(gdb->chardev);
}

bool
gdb_changes_memory(const Gdb *gdb)
{
    for (guint i = 0; gdb && i < gdb->breaks->len; i++)
        if (g_array_index(gdb->breaks, GdbBreak, i).kind == GDB_BREAK_SOFTWARE)
            return true;
    return false;
}

void
gdb_arm_vcpu(Gdb *gdb, Vcpu *vcpu)
{
    if (gdb->breaks->len > 0)
        gdb_break_arm(gdb, vcpu, false);
}

void
gdb_guest_ends(Gdb *gdb, int status)
{
    if (!gdb->waiting)
        return;
    gdb->waiting = false;
    gdb_printf(gdb, "W%02x", (unsigned)status & 0xff);
}

static const ChardevFrontend gdb_frontend = {
    .can_read = gdb_can_read,
    .read = gdb_read,
    .event = gdb_event,
    .writable = gdb_writable,
};

void
gdb_free(Gdb *gdb)
{
    if (!gdb)
        return;
    if (gdb->chardev) {
        gdb_let_go(gdb);
        chardev_detach(gdb->chardev, gdb);
    }
    if (gdb->own_chardev)
        machine_object_remove(gdb->vm->machine, OBJECT_CHARDEV, gdb->own_chardev, NULL);
    g_free(gdb->own_chardev);
    gdb_parser_clear(&gdb->in);
    g_byte_array_unref(gdb->out);
    g_byte_array_unref(gdb->last);
    g_array_unref(gdb->breaks);
    g_array_unref(gdb->hits);
    g_array_unref(gdb->stepping);
    g_free(gdb);
}

Gdb *
gdb_new(Vm *vm, QmpSession *session)
{
    Gdb *gdb = g_new0(Gdb, 1);

    gdb->vm = vm;
    gdb->session = session;
    gdb_parser_init(&gdb->in);
    gdb->out = g_byte_array_new();
    gdb->last = g_byte_array_new();
    gdb->breaks = g_array_new(FALSE, FALSE, sizeof(GdbBreak));
    gdb->hits = g_array_new(FALSE, FALSE, sizeof(GdbHit));
    gdb->stepping = g_array_new(FALSE, FALSE, sizeof(unsigned));
    return gdb;
}

/* A debugger is waited for, not gone to, and nothing else waits for it. */
static bool
gdb_make_chardev(Gdb *gdb, const char *device, GError **err)
{
    g_autofree char *words = g_str_has_prefix(device, "tcp:")
                                 ? g_strconcat(device, ",server=on,wait=off", NULL)
                                 : g_strdup(device);

    if (gdb->vm->confine)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "gdbserver %s: the sandbox of this guest lets it open nothing; name "
                              "a character device that is there (chardev:ID), start the guest "
                              "with -gdb, or with -sandbox off",
                              device);
    if (!vm_add_chardev_words(gdb->vm, "-gdb", words, OWN_CHARDEV, err))
        return false;
    gdb->own_chardev = g_strdup(OWN_CHARDEV);
    return true;
}

static bool
gdb_open(Gdb *gdb, const char *device, GError **err)
{
    static const char given[] = "chardev:";
    bool make = !g_str_has_prefix(device, given);
    const char *id = make ? OWN_CHARDEV : device + strlen(given);
    Chardev *chardev;

    if (make && !gdb_make_chardev(gdb, device, err))
        return false;
    chardev = machine_object_find(gdb->vm->machine, OBJECT_CHARDEV, id);
    if (!chardev)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-gdb: no -chardev with id=%s", id);
    if (!chardev_attach(chardev, &gdb_frontend, gdb, err))
        return false;
    gdb->chardev = chardev;
    chardev_set_frontend_open(chardev, true);
    return true;
}

bool
gdb_start(Vm *vm, QmpSession *session, const char *device, GError **err)
{
    Gdb *gdb;

    if (vm->gdb && vm->gdb->busy)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "gdbserver: the debugger cannot send itself away; use detach");
    g_clear_pointer(&vm->gdb, gdb_free);
    if (strcmp(device, "none") == 0)
        return true;
    if (kvm_extension(vm->kvm, KVM_CAP_SET_GUEST_DEBUG) == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-gdb: this host's KVM has no KVM_CAP_SET_GUEST_DEBUG");
    gdb = gdb_new(vm, session);
    if (!gdb_open(gdb, device, err)) {
        gdb_free(gdb);
        return false;
    }
    vm->gdb = gdb;
    return true;
}
