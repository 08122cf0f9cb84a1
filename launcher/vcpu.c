/* vcpu.c - the thread of a virtual processor: KVM_RUN and what comes out of it.
 *
 * Linux Documentation/virt/kvm/api.rst, sections 5, 6.13 (KVM_CAP_HYPERV_SYNIC2) and 8.6
 * (KVM_CAP_IMMEDIATE_EXIT). Port and memory accesses go to the machine's address maps, in this
 * thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/kvm_stats.h"
#include "launcher/vcpu_gate.h"
#include "launcher/vcpu_private.h"
#include "util/error.h"

enum { KICK = SIGUSR1, STACK = 256 * 1024 };

/* TLFS 6.0b, 11.9: addresses of the controller's pages; appendix B: a hypercall's result. */
#define HYPERV_MSR_SIEFP 0x40000082u
#define HYPERV_MSR_SIMP 0x40000083u
enum { HYPERV_PAGE_ON = 1, HYPERV_ACCESS_DENIED = 6 };

static __thread Vcpu *vcpu_self;

Vcpu *
vcpu_current(void)
{
    return vcpu_self;
}

static void
vcpu_on_kick(int signum)
{
    (void)signum; /* being interrupted is all that matters */
}

void
vcpu_init_signals(void)
{
    struct sigaction action = { .sa_handler = vcpu_on_kick };

    sigaction(KICK, &action, NULL);
}

void
vcpu_block_signal(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, KICK);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

Vcpu *
vcpu_new(Kvm *kvm, unsigned index, const Topology *topology, const CpuDefinition *cpu,
         AddressMap *mmio, AddressMap *pio, const VcpuOps *ops, GError **err)
{
    Vcpu *v = g_new0(Vcpu, 1);

    g_mutex_init(&v->lock);
    g_cond_init(&v->changed);
    v->kvm = kvm;
    v->index = index;
    v->apic_id = topology_apic_id(topology, index);
    v->topology = *topology;
    v->cpu = cpu;
    v->ops = *ops;
    v->run = MAP_FAILED;
    v->stats_fd = -1;
    v->stop = v->stopped = true;
    v->mmio = address_reader_new(mmio);
    v->pio = address_reader_new(pio);
    v->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)v->apic_id);
    if (v->fd < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_CREATE_VCPU %u (APIC id %u)",
                             index, v->apic_id);
        vcpu_free(v);
        return NULL;
    }
    v->stats_fd = kvm_stats_open(v->fd);
    v->run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot map the state of vCPU %u",
                             index);
    if (v->run == MAP_FAILED || !vcpu_set_identity(v, topology, err)) {
        vcpu_free(v);
        return NULL;
    }
    vcpu_gate_add(kvm->gate, v);
    return v;
}

void
vcpu_park(Vcpu *v)
{
    if (!v->started)
        return;
    g_mutex_lock(&v->lock);
    v->quit = true;
    g_cond_broadcast(&v->changed);
    g_mutex_unlock(&v->lock);
    vcpu_stop(v);
    pthread_join(v->thread, NULL);
    v->started = v->quit = false;
    v->stop = v->stopped = true;
    v->tid = 0;
}

void
vcpu_free(Vcpu *v)
{
    if (!v)
        return;
    vcpu_park(v);
    vcpu_gate_remove(v->kvm->gate, v);
    address_reader_free(v->mmio);
    address_reader_free(v->pio);
    if (v->run != MAP_FAILED)
        munmap(v->run, v->kvm->run_size);
    if (v->stats_fd >= 0)
        close(v->stats_fd);
    if (v->fd >= 0)
        close(v->fd);
    vcpu_power_on_free(v->power_on);
    g_mutex_clear(&v->lock);
    g_cond_clear(&v->changed);
    g_free(v);
}

static void
vcpu_io(Vcpu *v)
{
    struct kvm_run *run = v->run;
    unsigned size = run->io.size;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_IN) {
            address_read(v->pio, run->io.port, size, &value);
            memcpy(data, &value, size);
        } else {
            memcpy(&value, data, size);
            address_write(v->pio, run->io.port, size, value);
        }
    }
}

static void
vcpu_mmio(Vcpu *v)
{
    struct kvm_run *run = v->run;
    unsigned len = MIN(run->mmio.len, 8u);
    uint64_t value = 0;

    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, len);
        address_write(v->mmio, run->mmio.phys_addr, len, value);
    } else {
        address_read(v->mmio, run->mmio.phys_addr, len, &value);
        memcpy(run->mmio.data, &value, len);
    }
}

static void
vcpu_fail(Vcpu *v, const char *why)
{
    g_autofree char *state = vcpu_describe(v);
    g_autofree char *detail = g_strdup_printf("vCPU %u: %s; %s", v->index, why, state);

    vcpu_stop(v);
    v->ops.event(v->ops.opaque, v, VCPU_FAILED, detail);
}

static void
vcpu_internal_error(Vcpu *v)
{
    struct kvm_run *run = v->run;
    g_autoptr(GString) why = g_string_new(NULL);

    g_string_append_printf(why, "KVM internal error, suberror %u%s", run->internal.suberror,
                           run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
                               ? " (an instruction it cannot emulate)"
                               : "");
    for (unsigned i = 0; i < MIN(run->internal.ndata, G_N_ELEMENTS(run->internal.data)); i++)
        g_string_append_printf(why, " 0x%" PRIx64, (uint64_t)run->internal.data[i]);
    vcpu_fail(v, why->str);
}

static void
vcpu_system_event(Vcpu *v)
{
    VcpuEvent event;

    switch (v->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        event = VCPU_SYSTEM_SHUTDOWN;
        break;
    case KVM_SYSTEM_EVENT_RESET:
        event = VCPU_SYSTEM_RESET;
        break;
    default:
        event = VCPU_SYSTEM_CRASH;
        break;
    }
    vcpu_stop(v);
    v->ops.event(v->ops.opaque, v, event, NULL);
}

/* KVM keeps the registers; what it leaves to us is that a page of messages or events begins empty,
 * and the two hypercalls that would send some, for which no guest has the privilege. */
static void
vcpu_hyperv(Vcpu *v)
{
    struct kvm_hyperv_exit *e = &v->run->hyperv;
    uint64_t page;

    if (e->type == KVM_EXIT_HYPERV_HCALL) {
        e->u.hcall.result = HYPERV_ACCESS_DENIED;
        return;
    }
    if (e->type != KVM_EXIT_HYPERV_SYNIC) {
        vcpu_fail(v, "a Hyper-V exit of KVM that nobody asked for");
        return;
    }
    page = e->u.synic.msr == HYPERV_MSR_SIEFP  ? e->u.synic.evt_page
           : e->u.synic.msr == HYPERV_MSR_SIMP ? e->u.synic.msg_page
                                               : 0;
    if (page & HYPERV_PAGE_ON)
        v->ops.clear_page(v->ops.opaque, page & ~(uint64_t)(HYPERV_PAGE_SIZE - 1));
}

static void
vcpu_debug(Vcpu *v)
{
    g_mutex_lock(&v->lock);
    v->debug_stop = true;
    v->debug = v->run->debug.arch;
    g_mutex_unlock(&v->lock);
    vcpu_stop(v);
    v->ops.event(v->ops.opaque, v, VCPU_DEBUG, NULL);
}

bool
vcpu_take_debug_stop(Vcpu *v, struct kvm_debug_exit_arch *ret)
{
    bool there;

    g_mutex_lock(&v->lock);
    there = v->debug_stop;
    if (there)
        *ret = v->debug;
    v->debug_stop = false;
    g_mutex_unlock(&v->lock);
    return there;
}

static void
vcpu_exit(Vcpu *v)
{
    g_autofree char *why = NULL;

    switch (v->run->exit_reason) {
    case KVM_EXIT_IO:
        vcpu_io(v);
        return;
    case KVM_EXIT_MMIO:
        vcpu_mmio(v);
        return;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_HLT: /* halting is KVM's with its own local APIC */
        return;
    case KVM_EXIT_SHUTDOWN:
        vcpu_stop(v);
        v->ops.event(v->ops.opaque, v, VCPU_TRIPLE_FAULT, NULL);
        return;
    case KVM_EXIT_SYSTEM_EVENT:
        vcpu_system_event(v);
        return;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        vcpu_msr(v);
        return;
    case KVM_EXIT_HYPERV:
        vcpu_hyperv(v);
        return;
    case KVM_EXIT_DEBUG:
        vcpu_debug(v);
        return;
    case KVM_EXIT_INTERNAL_ERROR:
        vcpu_internal_error(v);
        return;
    case KVM_EXIT_FAIL_ENTRY:
        why = g_strdup_printf("the processor refuses to enter the guest, reason 0x%" PRIx64,
                              (uint64_t)v->run->fail_entry.hardware_entry_failure_reason);
        break;
    default:
        why = g_strdup_printf("KVM exit %u, which is not understood", v->run->exit_reason);
        break;
    }
    vcpu_fail(v, why);
}

/* Waits while the vCPU is to stay out of the guest. False: the thread shall end. */
static bool
vcpu_may_run(Vcpu *v)
{
    bool quit;

    g_mutex_lock(&v->lock);
    while (v->stop && !v->quit) {
        if (!v->stopped) {
            /* An access that the guest began is finished by the next KVM_RUN: let KVM do that, so
             * that the registers read while stopped are whole. */
            v->run->immediate_exit = 1;
            ioctl(v->fd, KVM_RUN, 0);
            v->stopped = true;
            g_cond_broadcast(&v->changed);
        }
        g_cond_wait(&v->changed, &v->lock);
    }
    v->stopped = false;
    if (!v->quit)
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    quit = v->quit;
    if (quit) {
        v->stopped = true;
        g_cond_broadcast(&v->changed);
    }
    g_mutex_unlock(&v->lock);
    return !quit;
}

static void
vcpu_run_once(Vcpu *v)
{
    g_autofree char *why = NULL;
    int error;

    vcpu_gate_enter(v->kvm->gate, v);
    error = ioctl(v->fd, KVM_RUN, 0) < 0 ? errno : 0;
    vcpu_gate_leave(v->kvm->gate, v);
    if (error == 0) {
        vcpu_exit(v);
        return;
    }
    if (error == EINTR || error == EAGAIN)
        return;
    why = g_strdup_printf("KVM_RUN: %s", g_strerror(error));
    vcpu_fail(v, why);
}

static void *
vcpu_thread(void *opaque)
{
    Vcpu *v = opaque;
    char name[16];
    sigset_t set;

    vcpu_self = v;
    g_snprintf(name, sizeof(name), "CPU %u/KVM", v->index);
    pthread_setname_np(pthread_self(), name);
    sigfillset(&set);
    sigdelset(&set, KICK);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    g_mutex_lock(&v->lock);
    v->tid = syscall(SYS_gettid);
    g_cond_broadcast(&v->changed);
    g_mutex_unlock(&v->lock);
    if (v->ops.confine && !v->ops.confine(v->ops.opaque)) {
        v->ops.event(v->ops.opaque, v, VCPU_FAILED, "a vCPU could not be confined");
        vcpu_stop(v);
    }
    while (vcpu_may_run(v)) {
        /* Reading the request without the lock is enough: a kick that comes after it sets
         * immediate_exit first, and KVM_RUN then returns at once. */
        while (!__atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST))
            vcpu_run_once(v);
    }
    return NULL;
}

bool
vcpu_start(Vcpu *v, GError **err)
{
    pthread_attr_t attr;
    int ret;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    ret = pthread_create(&v->thread, &attr, vcpu_thread, v);
    pthread_attr_destroy(&attr);
    if (ret != 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret, "no thread for vCPU %u",
                                    v->index);
    v->started = true;
    g_mutex_lock(&v->lock);
    while (v->tid == 0)
        g_cond_wait(&v->changed, &v->lock);
    g_mutex_unlock(&v->lock);
    return true;
}

void
vcpu_kick(Vcpu *v)
{
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(v->thread, KICK);
}

void
vcpu_stop(Vcpu *v)
{
    g_mutex_lock(&v->lock);
    v->stop = true;
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&v->lock);
    if (v->started && vcpu_self != v)
        pthread_kill(v->thread, KICK);
}

void
vcpu_wait_stopped(Vcpu *v)
{
    g_mutex_lock(&v->lock);
    while (v->started && !v->stopped)
        g_cond_wait(&v->changed, &v->lock);
    g_mutex_unlock(&v->lock);
}

void
vcpu_resume(Vcpu *v)
{
    g_mutex_lock(&v->lock);
    if (!v->held)
        v->stop = false;
    g_cond_broadcast(&v->changed);
    g_mutex_unlock(&v->lock);
}

void
vcpu_hold(Vcpu *v, bool hold)
{
    g_mutex_lock(&v->lock);
    v->held = hold;
    g_mutex_unlock(&v->lock);
}

unsigned
vcpu_index(const Vcpu *v)
{
    return v->index;
}

uint32_t
vcpu_apic_id(const Vcpu *v)
{
    return v->apic_id;
}

pid_t
vcpu_thread_id(const Vcpu *v)
{
    return v->tid;
}

int
vcpu_fd(const Vcpu *v)
{
    return v->fd;
}

int
vcpu_stats_fd(const Vcpu *v)
{
    return v->stats_fd;
}

void
vcpu_clock_paused(Vcpu *v)
{
    /* Refused with EINVAL as long as the guest has not switched its clock on. */
    if (v->kvm->kvmclock_ctrl)
        ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0);
}
