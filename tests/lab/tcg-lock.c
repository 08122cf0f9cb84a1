/*
 * tcg-lock.c - mends what QEMU 7.2's TCG does wrong when virtual machines run in the lab
 *
 * Preloaded into the lab's QEMU. Two places change a processor's pending interrupts without QEMU's
 * global lock, while other threads change them with it:
 *
 * - A write of CR8 with an interrupt pending; tcg_handle_interrupt() ends the process for it. OVMF
 *   does that in every interrupt. QEMU's TCG is a shared object of its own, so a function of the
 * same name can stand in for it, which takes the lock first.
 * - VMRUN with a virtual interrupt pending, by a read, a change and a write: an interrupt that
 * comes in between is lost, and the lab's processor waits for it for ever. VMRUN also leaves the
 * number of an injected interrupt where the next exit from the execution loop takes it for an
 * exception that is still to be delivered: the guest then gets the interrupt twice, the second time
 * with interrupts disabled. The helper is a function that no linker sees, so it is found by its row
 * in TCG's table of helpers, and its first instructions are replaced. A build of QEMU in which
 * these are others is left as it is, and that is said.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void HandleInterrupt(void *cpu, int mask);
typedef void Vmrun(void *env, int aflag, int next_eip_addend);

/* QEMU's own, found in its program when this library is loaded. */
extern bool qemu_mutex_iothread_locked(void);
extern void qemu_mutex_lock_iothread_impl(const char *file, int line);
extern void qemu_mutex_unlock_iothread(void);
extern void cpu_loop_exit_noexc(void *cpu) __attribute__((noreturn));
extern __thread void *current_cpu;

/* Stands in for the function of the same name in QEMU's TCG; called on any thread. */
void tcg_handle_interrupt(void *cpu, int mask);

/* ---- CR8 ---- */

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

/* ---- VMRUN ---- */

/* push r14, r13, r12, rbp, rbx; mov rbx, rdi; sub rsp, 16: they work at any address. */
static const uint8_t vmrun_head[] = { 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0x55, 0x53,
                                      0x48, 0x89, 0xfb, 0x48, 0x83, 0xec, 0x10 };

enum { JUMP = 14 }; /* bytes of jmp *0(%rip) with its target behind it */

static Vmrun *vmrun; /* the head, moved, and a jump behind the old one */

/* The generated code goes back to the execution loop behind VMRUN, as this does, but without what
 * an injected interrupt has left; the loop releases the lock. */
static void
vmrun_locked(void *env, int aflag, int next_eip_addend)
{
    if (!qemu_mutex_iothread_locked())
        qemu_mutex_lock_iothread_impl(__FILE__, __LINE__);
    vmrun(env, aflag, next_eip_addend);
    cpu_loop_exit_noexc(current_cpu);
}

static void
put_jump(uint8_t *at, const void *target)
{
    static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };

    memcpy(at, jump, sizeof(jump));
    memcpy(at + sizeof(jump), &target, sizeof(target));
}

static bool
replace_vmrun(uint8_t *old)
{
    uintptr_t page = sysconf(_SC_PAGESIZE), from = (uintptr_t)old & -page;
    size_t length = (uintptr_t)old + sizeof(vmrun_head) - from;
    uint8_t *moved;

    moved = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (moved == MAP_FAILED)
        return false;
    memcpy(moved, vmrun_head, sizeof(vmrun_head));
    put_jump(moved + sizeof(vmrun_head), old + sizeof(vmrun_head));
    if (mprotect(moved, page, PROT_READ | PROT_EXEC) != 0 ||
        mprotect((void *)from, length, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return false;
    vmrun = (Vmrun *)(uintptr_t)moved;
    put_jump(old, (void *)(uintptr_t)vmrun_locked);
    return mprotect((void *)from, length, PROT_READ | PROT_EXEC) == 0;
}

/* Whether @n bytes at @at lie in a segment of the program with the wanted flags. */
static bool
lies_in(const struct dl_phdr_info *info, uintptr_t at, size_t n, ElfW(Word) flags)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;

        if (part->p_type == PT_LOAD && (part->p_flags & flags) == flags && at >= begin &&
            at - begin < part->p_filesz && part->p_filesz - (at - begin) >= n)
            return true;
    }
    return false;
}

/* The row of the table is the function, then its name. The program comes first, before its modules.
 */
static int
find_vmrun(struct dl_phdr_info *info, size_t size, void *data)
{
    static const char name[] = "vmrun";
    uint8_t **ret = data;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum && !*ret; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        const uintptr_t *words = (const uintptr_t *)(info->dlpi_addr + part->p_vaddr);

        if (part->p_type != PT_LOAD || !(part->p_flags & PF_W))
            continue;
        for (size_t k = 1; k < part->p_filesz / sizeof(*words) && !*ret; k++)
            if (lies_in(info, words[k], sizeof(name), PF_R) &&
                memcmp((const void *)words[k], name, sizeof(name)) == 0 &&
                lies_in(info, words[k - 1], sizeof(vmrun_head), PF_X) &&
                memcmp((const void *)words[k - 1], vmrun_head, sizeof(vmrun_head)) == 0)
                *ret = (uint8_t *)words[k - 1];
    }
    return 1;
}

__attribute__((constructor)) static void
mend_vmrun(void)
{
    uint8_t *old = NULL;

    _Static_assert(sizeof(vmrun_head) >= JUMP, "the jump fits into the head");
    dl_iterate_phdr(find_vmrun, &old);
    if (!old || !replace_vmrun(old))
        fprintf(stderr, "lab: this QEMU's VMRUN is another than that of 7.2, and is not mended\n");
}
