/* fault.c - makes one call of a tool fail: linked into a copy of kiln-img with hooks.c.
 *
 * KILN_FAULT=CALLS:N:WHAT - of the calls of the kinds in CALLS (letters r read, w write, s sync,
 * z the others that change sizes or holes) on regular files, the Nth and, for "space", those after
 * it come out as WHAT: "io" (EIO), "space" (ENOSPC), "short" (a part, up to a sector's end), "kill"
 * (the process ends before it, as by SIGKILL), or "count": how many there were is written to the
 * descriptor KILN_FAULT_FD at the end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/crash/hooks.h"

enum { SECTOR = 512 };

static const char letters[] = {
    [HOOK_READ] = 'r',     [HOOK_WRITE] = 'w',    [HOOK_ZERO] = 'z', [HOOK_PUNCH] = 'z',
    [HOOK_ALLOCATE] = 'z', [HOOK_TRUNCATE] = 'z', [HOOK_SYNC] = 's',
};
static char calls[8], what[8];
static int at, seen, count_fd;

static int
fault_begin(HookCall *call)
{
    struct stat st;
    uint64_t rest;
    int n;

    if (!strchr(calls, letters[call->kind]) || fstat(call->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    n = __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED);
    if (strcmp(what, "space") == 0)
        return n >= at ? -ENOSPC : 0;
    if (n != at)
        return 0;
    if (strcmp(what, "io") == 0)
        return -EIO;
    if (strcmp(what, "kill") == 0)
        _exit(9);
    rest = SECTOR - call->offset % SECTOR;
    if (strcmp(what, "short") == 0 && call->length > rest)
        call->length = rest;
    return 0;
}

static void
fault_end(const HookCall *call, int64_t result)
{
    (void)call, (void)result;
}

static const Hooks fault_hooks = { .begin = fault_begin, .end = fault_end };

static __attribute__((constructor)) void
fault_set(void)
{
    const char *fd = getenv("KILN_FAULT_FD");

    if (!getenv("KILN_FAULT") ||
        sscanf(getenv("KILN_FAULT"), "%7[rwsz]:%d:%7s", calls, &at, what) != 3)
        return;
    count_fd = fd ? atoi(fd) : -1;
    hooks_set(&fault_hooks);
}

static __attribute__((destructor)) void
fault_tell(void)
{
    g_autofree char *text = g_strdup_printf("%d\n", seen);

    if (strcmp(what, "count") == 0 && write(count_fd, text, strlen(text)) < 0)
        perror("the count of calls");
}
