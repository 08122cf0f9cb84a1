/*
 * tcg-lock.c - mends what QEMU 7.2's TCG does wrong when virtual machines run in the lab
 *
 * Preloaded into the lab's QEMU. CMPXCHG8B and CMPXCHG16B compute the flags that they leave alone
 * from what the operands were of some instruction before, whose kind the translator knows and the
 * helper does not: the flags get bits of an address, a kernel that saves them and takes them back
 * has its interrupts off or steps one by one, and its processor is seen to wait for ever. What the
 * translator knew stands beside the generated code, and is looked up before the helper begins.
 *
 * Two places change a processor's pending interrupts without QEMU's global lock, while other
 * threads change them with it:
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
extern bool cpu_restore_state(void *cpu, uintptr_t host_pc);
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

/* ---- replacing helpers ---- */

enum {
    JUMP = 14, /* bytes of jmp *0(%rip) with its target behind it */
    HEAD = 24, /* most bytes of a helper's first instructions */
};

/* A helper of TCG's and its first instructions, which work at any address. */
typedef struct {
    const char *name;
    uint8_t head[HEAD];
    size_t n; /* bytes of it, at least JUMP */
} Helper;

static void
put_jump(uint8_t *at, const void *target)
{
    static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };

    memcpy(at, jump, sizeof(jump));
    memcpy(at + sizeof(jump), &target, sizeof(target));
}

/* @prologue, the head of the helper at @old, and a jump behind the old one; NULL when there is no
 * memory to run it in. */
static uint8_t *
move_head(const Helper *helper, uint8_t *old, const uint8_t *prologue, size_t n)
{
    size_t page = sysconf(_SC_PAGESIZE);
    uint8_t *moved = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (moved == MAP_FAILED)
        return NULL;
    memcpy(moved, prologue, n);
    memcpy(moved + n, helper->head, helper->n);
    put_jump(moved + n + helper->n, old + helper->n);
    return mprotect(moved, page, PROT_READ | PROT_EXEC) == 0 ? moved : NULL;
}

static bool
jump_at(uint8_t *old, const void *target)
{
    uintptr_t page = sysconf(_SC_PAGESIZE), from = (uintptr_t)old & -page;
    size_t length = (uintptr_t)old + JUMP - from;

    if (mprotect((void *)from, length, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return false;
    put_jump(old, target);
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

typedef struct {
    const Helper *helper;
    uint8_t *found;
} Search;

/* The row of the table is the function, then its name. The program comes first, before its modules.
 */
static int
find_helper(struct dl_phdr_info *info, size_t size, void *data)
{
    Search *search = data;
    const Helper *helper = search->helper;
    size_t name_size = strlen(helper->name) + 1;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum && !search->found; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        const uintptr_t *words = (const uintptr_t *)(info->dlpi_addr + part->p_vaddr);

        if (part->p_type != PT_LOAD || !(part->p_flags & PF_W))
            continue;
        for (size_t k = 1; k < part->p_filesz / sizeof(*words) && !search->found; k++)
            if (lies_in(info, words[k], name_size, PF_R) &&
                memcmp((const void *)words[k], helper->name, name_size) == 0 &&
                lies_in(info, words[k - 1], helper->n, PF_X) &&
                memcmp((const void *)words[k - 1], helper->head, helper->n) == 0)
                search->found = (uint8_t *)words[k - 1];
    }
    return 1;
}

static uint8_t *
helper_address(const Helper *helper)
{
    Search search = { helper, NULL };

    dl_iterate_phdr(find_helper, &search);
    return search.found;
}

/* ---- VMRUN ---- */

/* push r14, r13, r12, rbp, rbx; mov rbx, rdi; sub rsp, 16 */
static const Helper helper_vmrun = { "vmrun",
                                     { 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0x55, 0x53, 0x48, 0x89,
                                       0xfb, 0x48, 0x83, 0xec, 0x10 },
                                     15 };

static Vmrun *vmrun; /* the old one */

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

static bool
mend_vmrun(void)
{
    uint8_t *old = helper_address(&helper_vmrun);

    vmrun = old ? (Vmrun *)(uintptr_t)move_head(&helper_vmrun, old, (const uint8_t *)"", 0) : NULL;
    return vmrun && jump_at(old, (void *)(uintptr_t)vmrun_locked);
}

/* ---- CMPXCHG8B, CMPXCHG16B ---- */

/* Their heads push registers, keep arguments in others and make room on the stack. */
static const Helper helpers_compare[] = {
    { "cmpxchg8b",
      { 0x41, 0x55, 0x49, 0x89, 0xf5, 0x41, 0x54, 0x55, 0x53, 0x48, 0x89, 0xfb, 0x48, 0x83, 0xec,
        0x08 },
      16 },
    { "cmpxchg8b_unlocked",
      { 0x41, 0x57, 0x49, 0xbf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x41, 0x56 },
      14 },
    { "cmpxchg16b",
      { 0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0x55, 0x53, 0x48, 0x89, 0xfb, 0x48, 0x83,
        0xec, 0x08 },
      17 },
    { "cmpxchg16b_unlocked",
      { 0x41, 0x57, 0x49, 0x89, 0xff, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0x55, 0x53, 0x48, 0x83,
        0xec, 0x28 },
      17 },
};

enum {
    ENV_EIP = 0x80, /* of CPUX86State */
    CALL_SIZE = 2,  /* of what a return address is behind: QEMU's GETPC_ADJ */
};

/* What kind of flags there are, from beside the generated code that called the helper. The program
 * counter is a part of what is looked up, but the code goes on counting from the one it has. */
static void
flags_look_up(uint8_t *env, uintptr_t caller)
{
    uint64_t eip;

    memcpy(&eip, env + ENV_EIP, sizeof(eip));
    cpu_restore_state(current_cpu, caller - CALL_SIZE);
    memcpy(env + ENV_EIP, &eip, sizeof(eip));
}

/* push rdi, rsi; sub rsp, 8; mov rsi, [rsp + 24]; mov rax, flags_look_up; call rax; add rsp, 8;
 * pop rsi, rdi */
static bool
mend_compare(const Helper *helper)
{
    uint8_t prologue[] = { 0x57, 0x56, 0x48, 0x83, 0xec, 0x08, 0x48, 0x8b, 0x74, 0x24,
                           0x18, 0x48, 0xb8, 0,    0,    0,    0,    0,    0,    0,
                           0,    0xff, 0xd0, 0x48, 0x83, 0xc4, 0x08, 0x5e, 0x5f };
    void (*function)(uint8_t * env, uintptr_t caller) = flags_look_up;
    uint8_t *old = helper_address(helper), *moved;

    memcpy(prologue + 13, &function, sizeof(function));
    moved = old ? move_head(helper, old, prologue, sizeof(prologue)) : NULL;
    return moved && jump_at(old, moved);
}

__attribute__((constructor)) static void
mend(void)
{
    if (!mend_vmrun())
        fprintf(stderr, "lab: this QEMU's VMRUN is another than that of 7.2, and is not mended\n");
    for (size_t i = 0; i < sizeof(helpers_compare) / sizeof(*helpers_compare); i++)
        if (!mend_compare(&helpers_compare[i]))
            fprintf(stderr, "lab: this QEMU's %s is another than that of 7.2, and is not mended\n",
                    helpers_compare[i].name);
}
