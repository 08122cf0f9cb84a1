/* argv_cpu.c - processors and memory on the command line of kiln-vmm: -cpu, -smp, -m, -object
 * memory-backend-memfd, -numa, -object iothread and main-loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/argv.h"
#include "driver/domain/vcpu_plug.h"
#include "util/error.h"
#include "util/hyperv.h"

void
argv_resolve_host_model(DomainCpu *cpu, const NodeHostModel *host)
{
    cpu->mode = DOMAIN_CPU_CUSTOM;
    cpu->match = DOMAIN_CPU_EXACT;
    cpu->check = DOMAIN_CPU_CHECK_PARTIAL;
    cpu->fallback = DOMAIN_CPU_FALLBACK_FORBID;
    g_free(cpu->model);
    cpu->model = g_strdup(host->model);
    g_free(cpu->vendor);
    cpu->vendor = g_strdup(host->vendor);
    for (int policy = 0; policy < 2; policy++) {
        const char *const *names = policy == 0 ? host->require : host->disable;

        for (int i = 0; names && names[i]; i++) {
            DomainCpuFeature *feature;
            bool own = false; /* the definition's own word on a feature comes first */

            for (guint k = 0; k < cpu->features->len; k++)
                own |= strcmp(((DomainCpuFeature *)cpu->features->pdata[k])->name, names[i]) == 0;
            if (own)
                continue;
            feature = g_new0(DomainCpuFeature, 1);
            feature->name = g_strdup(names[i]);
            feature->policy = policy == 0 ? DOMAIN_FEATURE_REQUIRE : DOMAIN_FEATURE_DISABLE;
            g_ptr_array_add(cpu->features, feature);
        }
    }
}

/* The enlightenments that <hyperv> and the timer "hypervclock" ask for. */
static uint32_t
hyperv_set(const DomainDef *def)
{
    const DomainHyperv *hv = def->features ? def->features->hyperv : NULL;
    uint32_t set = 0;

    for (guint i = 0; i < def->clock.timers->len; i++) {
        const DomainTimer *timer = def->clock.timers->pdata[i];

        if (timer->name == DOMAIN_TIMER_HYPERVCLOCK && timer->present == TRISTATE_ON)
            set |= HYPERV_BIT(HYPERV_TIME);
    }
    if (hv) {
        const int states[HYPERV_FEATURES] = {
            [HYPERV_RELAXED] = hv->relaxed,
            [HYPERV_VAPIC] = hv->vapic,
            [HYPERV_VPINDEX] = hv->vpindex,
            [HYPERV_RUNTIME] = hv->runtime,
            [HYPERV_SYNIC] = hv->synic,
            [HYPERV_STIMER] = hv->stimer,
            [HYPERV_STIMER_DIRECT] = hv->stimer == TRISTATE_ON ? hv->stimer_direct : 0,
            [HYPERV_RESET] = hv->reset,
            [HYPERV_FREQUENCIES] = hv->frequencies,
            [HYPERV_REENLIGHTENMENT] = hv->reenlightenment,
            [HYPERV_TLBFLUSH] = hv->tlbflush,
            [HYPERV_IPI] = hv->ipi,
            [HYPERV_AVIC] = hv->avic,
            [HYPERV_EVMCS] = hv->evmcs,
        };

        for (int i = 0; i < HYPERV_FEATURES; i++)
            set |= states[i] == TRISTATE_ON ? HYPERV_BIT(i) : 0;
    }
    return set;
}

static bool
cpu_hyperv(const DomainDef *def, GString *text, GError **err)
{
    const DomainHyperv *hv = def->features ? def->features->hyperv : NULL;
    uint32_t set = hyperv_set(def);

    if (hv && hv->mode == DOMAIN_HYPERV_PASSTHROUGH) {
        g_string_append(text, ",hv-passthrough=on");
        return true;
    }
    if (!hyperv_check_needs(set, err))
        return false;
    for (int i = 0; i < HYPERV_FEATURES; i++)
        if (set & HYPERV_BIT(i))
            g_string_append_printf(text, ",hv-%s=on", hyperv_facts[i].name);
    if (hv && hv->spinlocks == TRISTATE_ON) {
        if (hv->retries == XML_UNSET)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "<spinlocks state='on'> of feature hyperv needs 'retries'");
        g_string_append_printf(text, ",hv-spinlocks=0x%" G_GINT64_MODIFIER "x", hv->retries);
    }
    if (hv && hv->vendor_id == TRISTATE_ON) {
        if (!hv->vendor)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "<vendor_id state='on'> of feature hyperv needs 'value'");
        g_string_append_printf(text, ",hv-vendor-id=%s", hv->vendor);
    }
    return true;
}

static void
cpu_sizes(const DomainCpu *cpu, GString *text)
{
    if (cpu && cpu->cache_mode == DOMAIN_CPU_CACHE_PASSTHROUGH)
        g_string_append(text, ",host-cache-info=on,l3-cache=off");
    if (cpu && cpu->maxphysaddr_mode == DOMAIN_CPU_PHYSADDR_PASSTHROUGH)
        g_string_append(text, ",host-phys-bits=on");
    if (cpu && cpu->maxphysaddr_mode == DOMAIN_CPU_PHYSADDR_EMULATE)
        g_string_append_printf(text, ",phys-bits=%" G_GUINT64_FORMAT, cpu->maxphysaddr_bits);
}

/* What is not said stays as the model has it. */
static void
cpu_switch(GString *text, const char *name, int state)
{
    if (state == TRISTATE_ON || state == TRISTATE_OFF)
        g_string_append_printf(text, ",%s=%s", name, state == TRISTATE_ON ? "on" : "off");
}

static void
cpu_paravirtual(const DomainFeatures *features, GString *text)
{
    const DomainKvmFeatures *kvm = features->kvm;

    if (kvm && kvm->hidden == TRISTATE_ON)
        g_string_append(text, ",kvm=off");
    if (kvm) {
        cpu_switch(text, "kvm-hint-dedicated", kvm->hint_dedicated);
        cpu_switch(text, "kvm-poll-control", kvm->poll_control);
        cpu_switch(text, "kvm-pv-ipi", kvm->pv_ipi);
    }
    cpu_switch(text, "kvm-pv-eoi", features->apic_eoi);
    cpu_switch(text, "kvm-pv-unhalt",
               features->pvspinlock && !features->pvspinlock_state ? TRISTATE_ON
                                                                   : features->pvspinlock_state);
    cpu_switch(text, "pmu",
               features->pmu && !features->pmu_state ? TRISTATE_ON : features->pmu_state);
}

static void
cpu_features(const DomainDef *def, GString *text)
{
    const DomainCpu *cpu = def->cpu;
    bool required = false;

    for (guint i = 0; cpu && i < cpu->features->len; i++) {
        const DomainCpuFeature *feature = cpu->features->pdata[i];
        bool off =
            feature->policy == DOMAIN_FEATURE_DISABLE || feature->policy == DOMAIN_FEATURE_FORBID;

        g_string_append_printf(text, ",%s=%s", feature->name, off ? "off" : "on");
        required |= feature->policy == DOMAIN_FEATURE_REQUIRE;
    }
    for (guint i = 0; i < def->clock.timers->len; i++) {
        const DomainTimer *timer = def->clock.timers->pdata[i];

        if (timer->name == DOMAIN_TIMER_KVMCLOCK && timer->present == TRISTATE_OFF)
            g_string_append(text, ",kvmclock=off");
        if (timer->name == DOMAIN_TIMER_TSC && timer->frequency != XML_UNSET)
            g_string_append_printf(text, ",tsc-frequency=%" G_GUINT64_FORMAT, timer->frequency);
    }
    if (def->features)
        cpu_paravirtual(def->features, text);
    /* a model or a feature that the host lacks is an error unless the definition says otherwise */
    if (required || (cpu && cpu->mode == DOMAIN_CPU_CUSTOM && cpu->check != DOMAIN_CPU_CHECK_NONE))
        g_string_append(text, ",enforce");
}

/* Processors that are there for good come first; each of the rest is a device of its own. */
static bool
argv_smp(Argv *argv, GError **err)
{
    const DomainTopology *topology = argv->def->cpu ? argv->def->cpu->topology : NULL;
    uint64_t most = argv->def->vcpus;
    g_autofree char *type = domain_vcpu_driver(argv->def);
    unsigned first = 1;
    DomainVcpu vcpu;

    for (; first < most; first++) {
        domain_def_vcpu(argv->def, first, &vcpu);
        if (vcpu.enabled != TRISTATE_ON || vcpu.hotpluggable == TRISTATE_ON)
            break;
    }

    argv_addf(argv, "-smp",
              "%u,maxcpus=%" G_GUINT64_FORMAT ",sockets=%" G_GUINT64_FORMAT
              ",dies=%" G_GUINT64_FORMAT ",cores=%" G_GUINT64_FORMAT ",threads=%" G_GUINT64_FORMAT,
              first, most, topology ? topology->sockets : most,
              topology && topology->dies != XML_UNSET ? topology->dies : UINT64_C(1),
              topology ? topology->cores : UINT64_C(1), topology ? topology->threads : UINT64_C(1));
    for (unsigned i = first; i < most; i++) {
        DomainVcpuPlace place;

        domain_def_vcpu(argv->def, i, &vcpu);
        if (vcpu.enabled != TRISTATE_ON)
            continue;
        if (vcpu.hotpluggable != TRISTATE_ON)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "vcpus that are not hotpluggable have to come before all others, "
                                  "and vcpu %u does not",
                                  i);
        domain_vcpu_place(argv->def, i, &place);
        argv_addf(argv, "-device", "%s,id=vcpu%u,socket-id=%u,die-id=%u,core-id=%u,thread-id=%u",
                  type, i, place.socket, place.die, place.core, place.thread);
    }
    return true;
}

/* ",thread-pool-min=…,thread-pool-max=…", or of these what is said. */
static char *
pool_sizes(uint64_t min, uint64_t max)
{
    GString *text = g_string_new(NULL);

    if (min != XML_UNSET)
        g_string_append_printf(text, ",thread-pool-min=%" G_GUINT64_FORMAT, min);
    if (max != XML_UNSET)
        g_string_append_printf(text, ",thread-pool-max=%" G_GUINT64_FORMAT, max);
    return g_string_free(text, FALSE);
}

bool
argv_cpu(Argv *argv, GError **err)
{
    DomainCpu *cpu = argv->def->cpu;
    g_autoptr(GString) text = g_string_new(NULL);

    if (cpu && cpu->mode == DOMAIN_CPU_HOST_MODEL) {
        const NodeHostModel *host = argv->config->host_model(argv->config->opaque, err);

        if (!host)
            return false;
        argv_resolve_host_model(cpu, host);
    }
    g_string_append(text,
                    cpu && cpu->mode == DOMAIN_CPU_CUSTOM && cpu->model ? cpu->model : "host");
    cpu_features(argv->def, text);
    cpu_sizes(cpu, text);
    if (!cpu_hyperv(argv->def, text, err))
        return false;
    argv_add(argv, "-cpu", text->str);
    if (!argv_smp(argv, err))
        return false;
    for (guint i = 0; i < argv->def->iothread_ids->len; i++) {
        const DomainIothread *thread = argv->def->iothread_ids->pdata[i];

        g_autofree char *sizes = pool_sizes(thread->pool_min, thread->pool_max);

        argv_addf(argv, "-object", "iothread,id=iothread%" G_GUINT64_FORMAT "%s", thread->id,
                  sizes);
    }
    if (argv->def->default_pool_min != XML_UNSET || argv->def->default_pool_max != XML_UNSET) {
        g_autofree char *sizes =
            pool_sizes(argv->def->default_pool_min, argv->def->default_pool_max);

        argv_addf(argv, "-object", "main-loop,id=main-loop%s", sizes);
    }
    return true;
}

/* ",name=0-1,name=4" from "0-1,4": QEMU repeats the key for each range. */
static void
append_ranges(GString *text, const char *name, const char *ranges)
{
    g_auto(GStrv) parts = g_strsplit(ranges ? ranges : "", ",", -1);

    for (int i = 0; parts[i]; i++)
        if (*parts[i])
            g_string_append_printf(text, ",%s=%s", name, parts[i]);
}

/* The pages for guest node @cell, or NULL for the host's ordinary ones. */
static const DomainHugepage *
pages_of(const DomainMemoryBacking *backing, uint64_t cell)
{
    const DomainHugepage *rest = NULL;

    for (guint i = 0; i < backing->pages->len; i++) {
        const DomainHugepage *page = backing->pages->pdata[i];

        if (page->nodeset && xml_cpuset_has(page->nodeset, cell))
            return page;
        if (!page->nodeset && !rest)
            rest = page;
    }
    return rest;
}

static void
append_policy(const DomainDef *def, uint64_t cell, GString *text)
{
    static const char *const policies[] = {
        [DOMAIN_NUMA_MODE_ABSENT] = "bind",    [DOMAIN_NUMA_STRICT] = "bind",
        [DOMAIN_NUMA_PREFERRED] = "preferred", [DOMAIN_NUMA_INTERLEAVE] = "interleave",
        [DOMAIN_NUMA_RESTRICTIVE] = NULL, /* the control group alone binds */
    };
    const DomainNumatune *tune = def->numatune;
    const char *nodes = tune ? tune->nodeset : NULL;
    int mode = tune ? tune->mode : DOMAIN_NUMA_MODE_ABSENT;

    for (guint i = 0; tune && i < tune->memnodes->len; i++) {
        const DomainMemnode *node = tune->memnodes->pdata[i];

        if (node->cell == cell) {
            nodes = node->nodeset;
            mode = node->mode;
        }
    }
    if (!nodes || !policies[mode])
        return;
    append_ranges(text, "host-nodes", nodes);
    g_string_append_printf(text, ",policy=%s", policies[mode]);
}

static void
argv_backend(Argv *argv, const char *id, uint64_t kib, uint64_t cell)
{
    const DomainMemoryBacking *backing = argv->def->memory_backing;
    const DomainHugepage *pages = backing ? pages_of(backing, cell) : NULL;
    bool huge = pages || (backing && backing->hugepages && backing->pages->len == 0);
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_printf(text, "memory-backend-memfd,id=%s,size=%" G_GUINT64_FORMAT ",share=on", id,
                    kib * 1024);
    if (huge)
        g_string_append(text, ",hugetlb=on");
    if (pages && pages->size != XML_UNSET)
        g_string_append_printf(text, ",hugetlbsize=%" G_GUINT64_FORMAT, pages->size * 1024);
    append_policy(argv->def, cell, text);
    /* huge pages that are missing must show at start, not as a killed guest later */
    if (huge || (backing && backing->allocation == 1))
        g_string_append(text, ",prealloc=on");
    argv_add(argv, "-object", text->str);
}

static void
argv_numa(Argv *argv)
{
    const DomainNuma *numa = argv->def->cpu->numa;

    for (guint i = 0; i < numa->cells->len; i++) {
        const DomainNumaCell *cell = numa->cells->pdata[i];
        g_autofree char *id = g_strdup_printf("ram-node%" G_GUINT64_FORMAT, cell->id);
        g_autoptr(GString) text = g_string_new(NULL);

        argv_backend(argv, id, cell->memory, cell->id);
        g_string_printf(text, "node,nodeid=%" G_GUINT64_FORMAT, cell->id);
        append_ranges(text, "cpus", cell->cpus);
        g_string_append_printf(text, ",memdev=%s", id);
        argv_add(argv, "-numa", text->str);
    }
    for (guint i = 0; i < numa->cells->len; i++) {
        const DomainNumaCell *cell = numa->cells->pdata[i];

        for (guint k = 0; k < cell->distances->len; k++) {
            const DomainNumaDistance *distance = cell->distances->pdata[k];

            argv_addf(argv, "-numa",
                      "dist,src=%" G_GUINT64_FORMAT ",dst=%" G_GUINT64_FORMAT
                      ",val=%" G_GUINT64_FORMAT,
                      cell->id, distance->id, distance->value);
        }
    }
}

bool
argv_memory(Argv *argv, GError **err)
{
    const DomainDef *def = argv->def;

    (void)err;
    argv_addf(argv, "-m", "size=%" G_GUINT64_FORMAT "k", def->memory);
    if (def->cpu && def->cpu->numa)
        argv_numa(argv);
    else
        argv_backend(argv, "ram0", def->memory, 0);
    if (def->memory_backing && def->memory_backing->locked)
        argv_add(argv, "-overcommit", "mem-lock=on");
    return true;
}
