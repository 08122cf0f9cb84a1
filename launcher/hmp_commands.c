/* hmp_commands.c - the commands of the human monitor (names and arguments: QEMU 7.2, "QEMU
 * Monitor").
 *
 * Leaves out what its table does not name; such a command is refused by name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "launcher/hmp.h"
#include "launcher/keyval.h"
#include "util/error.h"

struct HmpCommand {
    const char *name, *alias, *arguments, *help;
    unsigned min, max; /* words behind the name; max 0 with @arguments: any number */
    void (*run)(HmpCall *call);
    const char *qmp;     /* instead of @run: this one */
    const char *members; /* of @qmp, one for each word: "NAME" or, for a number, "NAME#", … */
};

JsonNode *
hmp_qmp(HmpCall *call, const char *command, JsonObject *args)
{
    g_autoptr(JsonObject) owned = args ? args : json_object_new();
    g_autoptr(GError) err = NULL;
    JsonNode *value = qmp_call(&qmp_commands, call->session, command, owned, &err);

    if (err) {
        g_string_append_printf(call->out, "Error: %s\n", err->message);
        return NULL;
    }
    return value ? value : json_node_init_object(json_node_alloc(), json_object_new());
}

void
hmp_do(HmpCall *call, const char *command, JsonObject *args)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, command, args);

    (void)value;
}

static JsonObject *
object_of(const char *name, const char *value)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, name, value);
    return object;
}

bool
hmp_number(HmpCall *call, const char *text, gint64 min, gint64 max, gint64 *ret)
{
    if (g_ascii_string_to_signed(text, 10, min, max, ret, NULL))
        return true;
    g_string_append_printf(call->out,
                           "Error: '%s' is not a number from %" G_GINT64_FORMAT
                           " to %" G_GINT64_FORMAT "\n",
                           text, min, max);
    return false;
}

static void
run_quit(HmpCall *call)
{
    vm_quit(qmp_session_vm(call->session), "host-qmp-quit", false, 0);
}

static void
run_balloon(HmpCall *call)
{
    JsonObject *args;
    gint64 mib;

    if (!hmp_number(call, call->words[1], 0, 1 << 24, &mib))
        return;
    args = json_object_new();
    json_object_set_int_member(args, "value", mib << 20);
    hmp_do(call, "balloon", args);
}

/* FILE [-f FORMAT] [DEVICE [HEAD]] */
static void
run_screendump(HmpCall *call)
{
    JsonObject *args = object_of("filename", call->words[1]);
    unsigned i = 2;
    gint64 head;

    if (call->n_words > i + 1 && strcmp(call->words[i], "-f") == 0) {
        json_object_set_string_member(args, "format", call->words[i + 1]);
        i += 2;
    }
    if (call->n_words > i)
        json_object_set_string_member(args, "device", call->words[i++]);
    if (call->n_words > i) {
        if (!hmp_number(call, call->words[i], 0, 64, &head)) {
            json_object_unref(args);
            return;
        }
        json_object_set_int_member(args, "head", head);
    }
    hmp_do(call, "screendump", args);
}

static void
run_keyvals(HmpCall *call, const char *command, const char *first)
{
    g_autoptr(GError) err = NULL;
    JsonObject *args = keyval_parse(command, call->rest, first, &err);

    if (args)
        hmp_do(call, command, args);
    else
        g_string_append_printf(call->out, "Error: %s\n", err->message);
}

static void
run_device_add(HmpCall *call)
{
    run_keyvals(call, "device_add", "driver");
}

static void
run_netdev_add(HmpCall *call)
{
    run_keyvals(call, "netdev_add", "type");
}

/* The words behind the command as members of its QMP command; NULL after an error. */
static JsonObject *
members_of(HmpCall *call, const char *members)
{
    g_auto(GStrv) names = g_strsplit(members ? members : "", ",", -1);
    g_autoptr(JsonObject) args = json_object_new();

    for (unsigned i = 0; names[i] && i + 1 < call->n_words; i++) {
        const char *word = call->words[i + 1];
        char *mark = strchr(names[i], '#'), *end;
        gint64 value = g_ascii_strtoll(word, &end, 0);

        if (!mark) {
            json_object_set_string_member(args, names[i], word);
            continue;
        }
        *mark = '\0';
        if (end == word || *end) {
            g_string_append_printf(call->out, "Error: '%s' is not a number\n", word);
            return NULL;
        }
        json_object_set_int_member(args, names[i], value);
    }
    return g_steal_pointer(&args);
}

static void
run_object_add(HmpCall *call)
{
    run_keyvals(call, "object-add", "qom-type");
}

static void
run_ringbuf_read(HmpCall *call)
{
    JsonObject *args = members_of(call, "device,size#");
    g_autoptr(JsonNode) value = args ? hmp_qmp(call, "ringbuf-read", args) : NULL;

    if (value)
        g_string_append_printf(call->out, "%s\n", json_node_get_string(value));
}

/* [-d] FILE */
static void
run_dump(HmpCall *call)
{
    bool detach = strcmp(call->words[1], "-d") == 0;
    g_autofree char *protocol = NULL;
    JsonObject *args;

    if (call->n_words != (detach ? 3 : 2) || (!detach && call->words[1][0] == '-')) {
        g_string_append(call->out, "Error: usage: dump-guest-memory [-d] FILE: ELF with all memory "
                                   "by physical addresses is what is written\n");
        return;
    }
    protocol = g_strconcat("file:", call->words[detach ? 2 : 1], NULL);
    args = object_of("protocol", protocol);
    json_object_set_boolean_member(args, "paging", FALSE);
    json_object_set_boolean_member(args, "detach", detach);
    hmp_do(call, "dump-guest-memory", args);
}

static void
run_eject(HmpCall *call)
{
    bool force = strcmp(call->words[1], "-f") == 0;
    JsonObject *args;

    if (force && call->n_words < 3) {
        g_string_append(call->out, "Error: eject: which drive?\n");
        return;
    }
    args = object_of("id", call->words[force ? 2 : 1]);
    json_object_set_boolean_member(args, "force", force);
    hmp_do(call, "eject", args);
}

/* DRIVE FILE [FORMAT], or vnc password PASSWORD. */
static void
run_change(HmpCall *call)
{
    JsonObject *args;

    if (strcmp(call->words[1], "vnc") == 0) {
        if (call->n_words < 4 ||
            (strcmp(call->words[2], "password") != 0 && strcmp(call->words[2], "passwd") != 0))
            g_string_append(call->out, "Error: of vnc only the password can be changed: change vnc "
                                       "password PASSWORD\n");
        else
            hmp_do(call, "change-vnc-password", object_of("password", call->words[3]));
        return;
    }
    args = object_of("id", call->words[1]);
    json_object_set_string_member(args, "filename", call->words[2]);
    if (call->n_words > 3)
        json_object_set_string_member(args, "format", call->words[3]);
    hmp_do(call, "blockdev-change-medium", args);
}

static void
run_set_link(HmpCall *call)
{
    bool on = strcmp(call->words[2], "on") == 0;
    JsonObject *args;

    if (!on && strcmp(call->words[2], "off") != 0) {
        g_string_append_printf(call->out, "Error: a link is on or off, not '%s'\n", call->words[2]);
        return;
    }
    args = object_of("name", call->words[1]);
    json_object_set_boolean_member(args, "up", on);
    hmp_do(call, "set_link", args);
}

static void
run_gdbserver(HmpCall *call)
{
    const char *device = call->n_words > 1 ? call->words[1] : "tcp::1234";
    g_autoptr(GError) err = NULL;

    if (!qmp_session_start_gdb(call->session, device, &err))
        g_string_append_printf(call->out, "Error: %s\n", err->message);
    else if (strcmp(device, "none") == 0)
        g_string_append(call->out, "Disabled gdbserver\n");
    else
        g_string_append_printf(call->out, "Waiting for gdb connection on device '%s'\n", device);
}

static void
help_line(GString *out, const HmpCommand *c)
{
    g_string_append_printf(out, "%s%s%s%s%s -- %s\n", c->name, c->alias ? "|" : "",
                           c->alias ? c->alias : "", c->arguments ? " " : "",
                           c->arguments ? c->arguments : "", c->help);
}

static void
run_help(HmpCall *call)
{
    for (const HmpCommand *c = call->commands; c->name; c++) {
        if (call->n_words < 2 || strcmp(call->words[1], c->name) == 0 ||
            g_strcmp0(call->words[1], c->alias) == 0)
            help_line(call->out, c);
    }
    if (call->n_words > 1 && strcmp(call->words[1], "info") == 0)
        hmp_info_help(call->out);
}

static void
run_qmp(HmpCall *call, const HmpCommand *c)
{
    JsonObject *args = members_of(call, c->members);

    if (args)
        hmp_do(call, c->qmp, args);
}

static void
run_command(HmpCall *call, const HmpCommand *c)
{
    unsigned given = call->n_words - 1;

    if (given < c->min || (given > c->max && (c->max > 0 || !c->arguments))) {
        g_string_append(call->out, "Error: usage: ");
        help_line(call->out, c);
    } else if (c->qmp) {
        run_qmp(call, c);
    } else {
        c->run(call);
    }
}

static const HmpCommand hmp_commands[] = {
    { "help", "?", "[COMMAND]", "what there is", 0, 1, run_help },
    { "info", NULL, "TOPIC", "tell about the guest; 'help info' names the topics", 0, 2, hmp_info },
    { "quit", "q", NULL, "end the guest at once", 0, 0, run_quit },
    { "stop", "s", NULL, "pause the guest", .qmp = "stop" },
    { "cont", "c", NULL, "let it go on", .qmp = "cont" },
    { "system_reset", NULL, NULL, "reset it", .qmp = "system_reset" },
    { "system_powerdown", NULL, NULL, "press its power button", .qmp = "system_powerdown" },
    { "system_wakeup", NULL, NULL, "wake it when it sleeps", .qmp = "system_wakeup" },
    { "nmi", NULL, NULL, "raise a non-maskable interrupt", .qmp = "inject-nmi" },
    { "sendkey", NULL, "KEY[-KEY…] [MILLISECONDS]", "press keys together", 1, 2, hmp_sendkey },
    { "mouse_move", NULL, "DX DY [DZ]", "move the pointer, turn its wheel", 2, 3, hmp_mouse_move },
    { "mouse_button", NULL, "BITS", "hold buttons: 1 left, 2 right, 4 middle", 1, 1,
      hmp_mouse_button },
    { "x", NULL, "[/FORMAT] ADDRESS", "memory at a linear address of the first processor", 1, 2,
      hmp_memory },
    { "xp", NULL, "[/FORMAT] ADDRESS", "memory at a physical address", 1, 2, hmp_memory },
    { "print", "p", "[/FORMAT] VALUE", "a number, $pc or $sp", 1, 2, hmp_memory },
    { "memsave", NULL, "ADDRESS SIZE FILE", "write memory at a linear address to a file", 3, 3,
      .qmp = "memsave", .members = "val#,size#,filename" },
    { "pmemsave", NULL, "ADDRESS SIZE FILE", "the same at a physical address", 3, 3,
      .qmp = "pmemsave", .members = "val#,size#,filename" },
    { "dump-guest-memory", NULL, "[-d] FILE", "write all memory to a core file", 1, 2, run_dump },
    { "screendump", NULL, "FILE [-f ppm|png] [DEVICE [HEAD]]", "save the screen", 1, 5,
      run_screendump },
    { "device_add", NULL, "DRIVER[,PROPERTY=VALUE…]", "plug a device in", 1, 0, run_device_add },
    { "device_del", NULL, "ID", "ask the guest to let go of a device", 1, 1, .qmp = "device_del",
      .members = "id" },
    { "netdev_add", NULL, "TYPE,id=ID[,…]", "add a network back end", 1, 0, run_netdev_add },
    { "netdev_del", NULL, "ID", "remove one", 1, 1, .qmp = "netdev_del", .members = "id" },
    { "object_add", NULL, "TYPE,id=ID[,…]", "add an object", 1, 0, run_object_add },
    { "object_del", NULL, "ID", "remove one", 1, 1, .qmp = "object-del", .members = "id" },
    { "chardev-remove", NULL, "ID", "remove a character back end", 1, 1, .qmp = "chardev-remove",
      .members = "id" },
    { "chardev-send-break", NULL, "ID", "send a break over one", 1, 1, .qmp = "chardev-send-break",
      .members = "id" },
    { "ringbuf_write", NULL, "ID TEXT", "into a ring buffer", 2, 2, .qmp = "ringbuf-write",
      .members = "device,data" },
    { "ringbuf_read", NULL, "ID BYTES", "out of one", 2, 2, run_ringbuf_read },
    { "set_link", NULL, "ID on|off", "a network card's link", 2, 2, run_set_link },
    { "eject", NULL, "[-f] DRIVE", "take a medium out", 1, 2, run_eject },
    { "change", NULL, "DRIVE FILE [FORMAT] | vnc password PASSWORD",
      "change a medium, or the password", 2, 3, run_change },
    { "block_job_cancel", NULL, "ID", "end a block job", 1, 1, .qmp = "block-job-cancel",
      .members = "device" },
    { "block_job_complete", NULL, "ID", "let a mirror that is ready take over", 1, 1,
      .qmp = "block-job-complete", .members = "device" },
    { "block_job_pause", NULL, "ID", "pause a block job", 1, 1, .qmp = "block-job-pause",
      .members = "device" },
    { "block_job_resume", NULL, "ID", "let it go on", 1, 1, .qmp = "block-job-resume",
      .members = "device" },
    { "block_job_set_speed", NULL, "ID BYTES", "limit its bytes per second", 2, 2,
      .qmp = "block-job-set-speed", .members = "device,speed#" },
    { "set_password", NULL, "vnc PASSWORD [CONNECTED]", "a screen's password", 2, 3,
      .qmp = "set_password", .members = "protocol,password,connected" },
    { "expire_password", NULL, "vnc TIME", "when it ends: now, never, +SECONDS, SECONDS", 2, 2,
      .qmp = "expire_password", .members = "protocol,time" },
    { "gdbserver", NULL, "[DEVICE]", "wait for a debugger (tcp::1234), or with 'none' no longer", 0,
      1, run_gdbserver },
    { "balloon", NULL, "MIB", "let the guest have so much memory", 1, 1, run_balloon },
    { "watchdog_action", NULL, "ACTION", "what follows a watchdog's alarm", 1, 1,
      .qmp = "watchdog-set-action", .members = "action" },
    { NULL },
};

void
hmp_run(QmpSession *session, const char *line, GString *out)
{
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) words = NULL;
    g_autofree char *spaced = NULL;
    size_t name;
    HmpCall call = { .session = session, .out = out, .commands = hmp_commands };
    int n;

    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#')
        return;
    /* "x/4xw 0x1000", as in GDB */
    name = strcspn(line, " \t/");
    if (line[name] == '/')
        line = spaced = g_strdup_printf("%.*s %s", (int)name, line, line + name);
    if (!g_shell_parse_argv(line, &n, &words, &err)) {
        g_string_append_printf(out, "Error: %s\n", err->message);
        return;
    }
    call.words = words;
    call.n_words = (unsigned)n;
    call.rest = line + strcspn(line, " \t");
    call.rest += strspn(call.rest, " \t");
    for (const HmpCommand *c = hmp_commands; c->name; c++) {
        if (strcmp(c->name, words[0]) == 0 || g_strcmp0(c->alias, words[0]) == 0) {
            run_command(&call, c);
            return;
        }
    }
    g_string_append_printf(out,
                           "unknown command: '%s': it is none of QEMU's or not offered here; see "
                           "'help', and QMP for the rest\n",
                           words[0]);
}
