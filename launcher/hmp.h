/* hmp.h - the human monitor: lines of QEMU's, carried out as the QMP commands they stand for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_HMP_H
#define KILN_LAUNCHER_HMP_H

#include "hw/char/chardev.h"
#include "launcher/qmp.h"

/* One line being carried out: its words, the first being the command; its text behind that; what
 * it says. */
typedef struct HmpCommand HmpCommand;
typedef struct {
    QmpSession *session;
    const HmpCommand *commands; /* all there are */
    char **words;
    unsigned n_words;
    const char *rest;
    GString *out;
} HmpCall;

/* hmp_commands.c: carries @line out and appends what it says to @out, lines ended by "\n". Main
 * thread. */
void hmp_run(QmpSession *session, const char *line, GString *out);
/* Runs a QMP command, whose arguments (NULL for none) are taken; its value, or NULL after the error
 * was put into the call's output. */
JsonNode *hmp_qmp(HmpCall *call, const char *command, JsonObject *args);

/* The same, where the value says nothing. */
void hmp_do(HmpCall *call, const char *command, JsonObject *args);
/* A word that is a number; false after the error was put into the call's output. */
bool hmp_number(HmpCall *call, const char *text, gint64 min, gint64 max, gint64 *ret);

/* hmp_info.c: "info TOPIC". */
void hmp_info(HmpCall *call);
void hmp_info_help(GString *out);

/* hmp_devices.c: "info usb", "info roms". */
void hmp_usb(HmpCall *call);
void hmp_roms(HmpCall *call);

/* hmp_input.c */
void hmp_sendkey(HmpCall *call);
void hmp_mouse_move(HmpCall *call);
void hmp_mouse_button(HmpCall *call);

/* hmp_memory.c: "x" and "xp", "print"; "info mtree". */
void hmp_memory(HmpCall *call);
void hmp_memory_tree(HmpCall *call);

/* hmp.c: a monitor at @chardev, which stays the caller's. */
typedef struct Hmp Hmp;
Hmp *hmp_new(QmpSession *session, Chardev *chardev, GError **err);
void hmp_free(Hmp *hmp);

#endif
