/* hooks.h - the system calls by which the block room reads and changes files, under a test's eyes.
 *
 * A program that links hooks.c has its own pread(2), pwrite(2), fallocate(2) … in the place of the
 * C library's: each asks the hooks, if there are any, before it does what it is for. io_uring is
 * refused, so that queues use the calls as well.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_CRASH_HOOKS_H
#define KILN_TESTS_CRASH_HOOKS_H

#include <stdint.h>
#include <sys/uio.h>

typedef enum {
    HOOK_READ,
    HOOK_WRITE,
    HOOK_ZERO,     /* fallocate ZERO_RANGE */
    HOOK_PUNCH,    /* fallocate PUNCH_HOLE */
    HOOK_ALLOCATE, /* fallocate alone */
    HOOK_TRUNCATE, /* to @length */
    HOOK_SYNC,
} HookKind;

typedef struct {
    HookKind kind;
    int fd;
    uint64_t offset, length;
    const struct iovec *iov; /* HOOK_WRITE: @length bytes */
    int n_iov;
    int durable;   /* HOOK_WRITE: with RWF_DSYNC */
    int keep_size; /* HOOK_ZERO, HOOK_ALLOCATE */
    void *token;   /* begin()'s, for end() */
} HookCall;

typedef struct {
    /* 0, or -errno that the call fails with instead of being made. May make @call->length less, for
     * a read or write that does less than was asked. */
    int (*begin)(HookCall *call);
    void (*end)(const HookCall *call, int64_t result); /* the call was made */
} Hooks;

/* NULL for none. No call may be under way. */
void hooks_set(const Hooks *hooks);

#endif
