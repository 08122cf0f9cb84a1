/* option_table.h - the rows that options.c walks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_OPTION_TABLE_H
#define KILN_LAUNCHER_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    OPTION_FLAG,    /* no argument; bool */
    OPTION_TEXT,    /* char *, the last one counts */
    OPTION_TEXTS,   /* GPtrArray of char * */
    OPTION_KEYVAL,  /* JsonObject, occurrences are merged */
    OPTION_KEYVALS, /* GPtrArray of JsonObject, one per occurrence */
} OptionKind;

typedef struct {
    const char *name;
    OptionKind kind;
    size_t offset;
    const char *implied;         /* key of a first word without '=' */
    const char *const *keys;     /* NULL: whoever reads the object knows them */
    const char *argument, *help; /* a row without help is an alias */
    const char *prefix;          /* OPTION_KEYVALS of one file name: what comes before it */
    bool once;                   /* OPTION_TEXT that cannot be given again */
} Option;

/* Legal in QEMU, with a meaning that Kiln has not built: named, so that nobody looks for a typo. */
typedef struct {
    const char *name, *why;
} OptionRefused;

extern const Option option_table[];
extern const size_t option_count;
extern const OptionRefused option_refused[];
extern const size_t option_refused_count;

#endif
