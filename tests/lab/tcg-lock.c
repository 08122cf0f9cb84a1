/*
 * tcg-lock.c - keeps QEMU's TCG alive when a guest of the lab writes CR8 with an interrupt pending
 *
 * QEMU 7.2 then changes the processor's pending interrupts without its global lock, and
 * tcg_handle_interrupt() ends the process for it. OVMF does that in every interrupt. Preloaded into
 * the lab's QEMU, whose TCG is a shared object of its own, this takes the lock first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef void HandleInterrupt(void *cpu, int mask);

/* QEMU's own, found in its program when this library is loaded. */
extern bool qemu_mutex_iothread_locked(void);
extern void qemu_mutex_lock_iothread_impl(const char *file, int line);
extern void qemu_mutex_unlock_iothread(void);

/* Stands in for the function of the same name in QEMU's TCG; called on any thread. */
void tcg_handle_interrupt(void *cpu, int mask);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static HandleInterrupt *handle_interrupt;

/* A module is in no search order, so it has to be looked up by the name it was loaded by. */
static int
find_in_module(struct dl_phdr_info *info, size_t size, void *data)
{
    void *module;

    (void)size;
    (void)data;
    if (!strstr(info->dlpi_name, "/accel-tcg-x86_64.so"))
        return 0;
    module = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    if (module)
        handle_interrupt = (HandleInterrupt *)dlsym(module, "tcg_handle_interrupt");
    return 1;
}

static void
find_original(void)
{
    dl_iterate_phdr(find_in_module, NULL);
    if (!handle_interrupt)
        abort();
}

void
tcg_handle_interrupt(void *cpu, int mask)
{
    bool locked = qemu_mutex_iothread_locked();

    pthread_once(&once, find_original);
    if (!locked)
        qemu_mutex_lock_iothread_impl(__FILE__, __LINE__);
    handle_interrupt(cpu, mask);
    if (!locked)
        qemu_mutex_unlock_iothread();
}
