/* sandbox_private.h - the parts of the sandbox: sandbox.c, sandbox_root.c, sandbox_filter.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_SANDBOX_PRIVATE_H
#define KILN_LAUNCHER_SANDBOX_PRIVATE_H

#include <glib.h>
#include <linux/filter.h>
#include <stdbool.h>

/* ---- sandbox_root.c ---- */

/* What keeps files and network out of reach on this host. */
typedef struct {
    bool namespaces; /* own mount namespace; else Landlock, if the kernel has it */
    int network;     /* descriptor of an empty network namespace, -1: the host's */
    bool resolver;   /* user networking: /etc/resolv.conf stays readable */
} SandboxRoot;

/* Single-threaded. @network: wants none of the host's. False when no namespace can be had. */
bool sandbox_root_begin(SandboxRoot *root, bool network);
/* Leaves nothing in the root directory, for all threads. */
bool sandbox_root_empty(SandboxRoot *root, GError **err);
/* For each thread that exists: out of the host's network, and under Landlock where there is no
 * mount namespace. Returns 0 or -errno. */
int sandbox_root_thread(const SandboxRoot *root);

/* ---- sandbox_filter.c ---- */

typedef enum { SANDBOX_MAIN, SANDBOX_VCPU, SANDBOX_IO, SANDBOX_KINDS } SandboxKind;

/* A seccomp program; g_free() its code. */
typedef struct {
    struct sock_filter *code;
    unsigned short n;
} SandboxFilter;

/* The list of one kind of thread, with @extra (NULL-terminated names, may repeat and be unknown to
 * this architecture). @files: opening for reading is let through instead of answered with ENOENT.
 */
bool sandbox_filter_make(SandboxKind kind, GPtrArray *extra, bool files, SandboxFilter *ret,
                         GError **err);
/* Puts the calling thread, or all of them, under @filter. Returns 0 or -errno. */
int sandbox_filter_load(const SandboxFilter *filter, bool all_threads);

#endif
