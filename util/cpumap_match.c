/* cpumap_match.c - looks things up in the CPU model map and finds the model nearest to a CPU.
 *
 * CPUID: Intel SDM volume 2A and AMD APM volume 3 (leaf 1: signature). The ranking follows what
 * libvirt documents for host-model: a model with the CPU's own signature first, then the one with
 * the fewest features to name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/cpumap_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/error.h"

enum { KVM_LEAVES_MAX = 1024 }; /* KVM itself stops at 256 */

const CpuMapModel *
cpumap_find_model(const CpuMap *map, const char *name)
{
    return g_hash_table_lookup(map->model_by_name, name);
}

const CpuMapFeature *
cpumap_find_feature(const CpuMap *map, const char *name)
{
    return g_hash_table_lookup(map->feature_by_name, name);
}

const char *
cpumap_vendor_string(const CpuMap *map, const char *vendor)
{
    return g_hash_table_lookup(map->vendors, vendor);
}

const char *
cpumap_vendor_name(const CpuMap *map, const char *vendor_string)
{
    GHashTableIter it;
    gpointer name, string;

    g_hash_table_iter_init(&it, map->vendors);
    while (g_hash_table_iter_next(&it, &name, &string))
        if (strcmp(string, vendor_string) == 0)
            return name;
    return NULL;
}

const CpuMapModel *const *
cpumap_models(const CpuMap *map)
{
    return (const CpuMapModel *const *)map->models->pdata;
}

const CpuMapFeature *const *
cpumap_features(const CpuMap *map)
{
    return (const CpuMapFeature *const *)map->features->pdata;
}

static const CpuMapLeaf *
leaf_find(const CpuMapLeaf *leaves, size_t n, uint32_t leaf, uint32_t subleaf)
{
    for (size_t i = 0; i < n; i++)
        if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
            return &leaves[i];
    return NULL;
}

bool
cpumap_leaves_have(const CpuMapLeaf *leaves, size_t n, const CpuMapFeature *feature)
{
    const CpuMapBit *bit = &feature->bit;
    const CpuMapLeaf *l;

    if (bit->is_msr || !bit->mask)
        return false;
    l = leaf_find(leaves, n, bit->leaf, bit->subleaf);
    return l && (l->reg[bit->reg] & bit->mask) == bit->mask;
}

/* Family and model of CPUID 1 EAX with the extended fields added (SDM, CPUID, "Input EAX = 01H").
 */
static uint32_t
leaves_signature(const CpuMapLeaf *leaves, size_t n)
{
    const CpuMapLeaf *l = leaf_find(leaves, n, 1, 0);
    uint32_t family, model;

    if (!l)
        return 0;
    family = l->reg[CPUMAP_EAX] >> 8 & 0xf;
    model = l->reg[CPUMAP_EAX] >> 4 & 0xf;
    if (family == 6 || family == 15)
        model |= l->reg[CPUMAP_EAX] >> 12 & 0xf0;
    if (family == 15)
        family += l->reg[CPUMAP_EAX] >> 20 & 0xff;
    return cpumap_signature(family, model);
}

static bool
model_has_signature(const CpuMapModel *model, uint32_t signature)
{
    for (const uint32_t *s = model->signatures; *s; s++)
        if (*s == signature)
            return true;
    return false;
}

static bool
model_has_feature(const CpuMapModel *model, const CpuMapFeature *feature)
{
    for (const CpuMapFeature *const *f = model->features; *f; f++)
        if (*f == feature)
            return true;
    return false;
}

/* The features @leaves have and @model has not, or the other way round. MSR features are no part
 * of it: @leaves say nothing about them. */
static GPtrArray *
model_difference(const CpuMap *map, const CpuMapModel *model, const CpuMapLeaf *leaves, size_t n,
                 bool extra)
{
    GPtrArray *out = g_ptr_array_new();

    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++) {
        if ((*f)->bit.is_msr || !(*f)->bit.mask)
            continue;
        if (cpumap_leaves_have(leaves, n, *f) == extra && model_has_feature(model, *f) != extra)
            g_ptr_array_add(out, (gpointer)*f);
    }
    return out;
}

const CpuMapModel *
cpumap_nearest_model(const CpuMap *map, const CpuMapLeaf *leaves, size_t n,
                     const CpuMapFeature ***ret_extra, const CpuMapFeature ***ret_missing)
{
    const CpuMapLeaf *zero = leaf_find(leaves, n, 0, 0);
    uint32_t signature = leaves_signature(leaves, n);
    g_autoptr(GPtrArray) extra = NULL;
    g_autoptr(GPtrArray) missing = NULL;
    const CpuMapModel *best = NULL;
    const char *vendor = NULL;
    bool best_signed = false;

    if (zero) {
        char text[13] = { 0 };

        memcpy(text, &zero->reg[CPUMAP_EBX], 4);
        memcpy(text + 4, &zero->reg[CPUMAP_EDX], 4);
        memcpy(text + 8, &zero->reg[CPUMAP_ECX], 4);
        vendor = cpumap_vendor_name(map, text);
    }
    for (const CpuMapModel *const *m = cpumap_models(map); *m; m++) {
        bool is_signed = model_has_signature(*m, signature);
        g_autoptr(GPtrArray) more = NULL;
        g_autoptr(GPtrArray) less = NULL;

        if (!(*m)->host_usable || ((*m)->vendor && g_strcmp0((*m)->vendor, vendor) != 0))
            continue;
        more = model_difference(map, *m, leaves, n, true);
        less = model_difference(map, *m, leaves, n, false);
        if (best &&
            (is_signed < best_signed ||
             (is_signed == best_signed && more->len + less->len >= extra->len + missing->len)))
            continue;
        best = *m;
        best_signed = is_signed;
        g_clear_pointer(&extra, g_ptr_array_unref);
        g_clear_pointer(&missing, g_ptr_array_unref);
        extra = g_steal_pointer(&more);
        missing = g_steal_pointer(&less);
    }
    if (!best)
        return NULL;
    g_ptr_array_add(extra, NULL);
    g_ptr_array_add(missing, NULL);
    *ret_extra = (const CpuMapFeature **)g_ptr_array_free(g_steal_pointer(&extra), FALSE);
    *ret_missing = (const CpuMapFeature **)g_ptr_array_free(g_steal_pointer(&missing), FALSE);
    return best;
}

/* KVM answers E2BIG until the array is large enough (KVM API, KVM_GET_SUPPORTED_CPUID). */
static struct kvm_cpuid2 *
kvm_supported_cpuid(int fd)
{
    for (unsigned n = 128; n <= KVM_LEAVES_MAX; n *= 2) {
        g_autofree struct kvm_cpuid2 *c =
            g_malloc0(sizeof(*c) + n * sizeof(struct kvm_cpuid_entry2));

        c->nent = n;
        if (ioctl(fd, KVM_GET_SUPPORTED_CPUID, c) == 0)
            return g_steal_pointer(&c);
        if (errno != E2BIG)
            break;
    }
    return NULL;
}

CpuMapLeaf *
cpumap_kvm_leaves(int kvm_fd, size_t *ret_n, GError **err)
{
    g_autofree struct kvm_cpuid2 *c = NULL;
    g_autofree CpuMapLeaf *leaves = NULL;
    int fd = kvm_fd >= 0 ? kvm_fd : open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int saved;

    if (fd < 0) {
        kiln_error_set_errno(err, VIR_ERR_CONFIG_UNSUPPORTED, errno, "cannot open /dev/kvm");
        return NULL;
    }
    c = kvm_supported_cpuid(fd);
    saved = errno;
    if (fd != kvm_fd)
        close(fd);
    if (!c) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, saved,
                             "/dev/kvm does not tell which CPUID it supports");
        return NULL;
    }
    leaves = g_new0(CpuMapLeaf, c->nent);
    for (unsigned i = 0; i < c->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &c->entries[i];

        leaves[i] = (CpuMapLeaf){
            .leaf = e->function,
            .subleaf = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX ? e->index : 0,
            .reg = { e->eax, e->ebx, e->ecx, e->edx },
        };
    }
    *ret_n = c->nent;
    return g_steal_pointer(&leaves);
}
