/* domain_harness.h - a domain manager in a directory of its own, with a program that plays the VMM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TEST_DOMAIN_HARNESS_H
#define KILN_TEST_DOMAIN_HARNESS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "driver/domain/domain.h"
#include "util/error.h"

typedef struct {
    char *dir, *kernel, *hook;
    DomainManager *manager;
    GMutex lock;     /* guards what follows: events come from several threads */
    GString *events; /* "name event detail\n" of each lifecycle event, others by id */
    GString *warnings;
} Harness;

/* cmocka's set-up and tear-down; *state is the Harness. The tear-down fails the test when a
 * process, socket or status file is left. */
int harness_setup(void **state);
int harness_teardown(void **state);

/* Ends the manager, leaving guests running; makes a new one over the same directory. */
void harness_stop(Harness *harness);
void harness_begin(Harness *harness);

/* Writes @content to hooks/qemu. */
void harness_set_hook(Harness *harness, const char *content);

/* The XML of a guest; @behaviour goes to the VMM by way of <cmdline>. @extra stands among the
 * elements of <domain>, @devices among those of <devices>; both may be "". */
char *harness_xml(const Harness *harness, const char *name, const char *behaviour,
                  const char *extra, const char *devices);

/* Defines, or starts, a guest and fails the test when that fails. */
Domain *harness_define(Harness *harness, const char *name, const char *behaviour,
                       const char *extra);
Domain *harness_start(Harness *harness, const char *name, const char *behaviour, const char *extra);

/* Waits until the domain is in @state for @reason (-1: any), at most 10 s. */
void harness_wait_state(Domain *domain, int state, int reason);
/* Waits until @text stands in the events, at most 10 s. */
void harness_wait_event(Harness *harness, const char *text);
bool harness_has_event(Harness *harness, const char *text);
bool harness_has_warning(Harness *harness, const char *text);

/* The VMM's process. */
pid_t harness_pid(Harness *harness, Domain *domain);

/* Entries in a directory below the harness's, those beginning with @prefix ("" for all). */
unsigned harness_count(const Harness *harness, const char *dir, const char *suffix);

/* Sends a QMP command that the fake VMM knows. */
void harness_tell(Domain *domain, const char *command);

#endif
