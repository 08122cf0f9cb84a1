/* cpumap.h - libvirt's CPU model map: which features a named x86 model has, and where in CPUID or
 * the MSRs each feature's bit is.
 *
 * Read as data from the files that libvirt0 installs (/usr/share/libvirt/cpu_map). Immutable after
 * cpumap_load(); any thread may read it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_CPUMAP_H
#define KILN_UTIL_CPUMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CPUMAP_DEFAULT_DIR "/usr/share/libvirt/cpu_map"

typedef struct CpuMap CpuMap;

typedef enum { CPUMAP_EAX, CPUMAP_EBX, CPUMAP_ECX, CPUMAP_EDX } CpuMapRegister;

/* Where one feature's bit is. */
typedef struct {
    bool is_msr;
    uint32_t leaf, subleaf; /* CPUID input; leaf is the MSR's index when is_msr */
    CpuMapRegister reg;     /* MSR: CPUMAP_EAX low half, CPUMAP_EDX high half */
    uint32_t mask;
} CpuMapBit;

typedef struct {
    const char *name;
    const char *const *aliases; /* QEMU's and Linux's other spellings; NULL-terminated */
    bool migratable;
    CpuMapBit bit;
} CpuMapFeature;

typedef struct {
    const char *name;
    const char *vendor;         /* "Intel", "AMD", "Hygon" …; NULL: any */
    const uint32_t *signatures; /* family << 16 | model << 8; zero-terminated, may be empty */
    const CpuMapFeature *const *features; /* all of them, inherited included; NULL-terminated */
    bool host_usable;                     /* decode host='on': may be chosen for host-model */
} CpuMapModel;

/* One leaf as CPUID or KVM_GET_SUPPORTED_CPUID reports it. */
typedef struct {
    uint32_t leaf, subleaf;
    uint32_t reg[4]; /* indexed by CpuMapRegister */
} CpuMapLeaf;

/* Loads the x86 map below @dir. NULL with @err (VIR_ERR_CONFIG_UNSUPPORTED) naming the file that is
 * missing or broken. */
CpuMap *cpumap_load(const char *dir, GError **err);
/* The same with the features, the vendors and, of all models, at least @model (NULL: none), read
 * from as few files as may be: the whole map is some eighty. */
CpuMap *cpumap_load_model(const char *dir, const char *model, GError **err);
void cpumap_free(CpuMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CpuMap, cpumap_free)

/* By libvirt's names; also by QEMU's spelling of a feature ("sse4-1" or "sse4_1" for "sse4.1").
 * NULL when the map has none. */
const CpuMapModel *cpumap_find_model(const CpuMap *map, const char *name);
const CpuMapFeature *cpumap_find_feature(const CpuMap *map, const char *name);

/* Vendor string as CPUID 0 gives it ("GenuineIntel") for a vendor's name ("Intel"), or NULL. */
const char *cpumap_vendor_string(const CpuMap *map, const char *vendor);
/* The map's name for the vendor string of CPUID 0, or NULL. */
const char *cpumap_vendor_name(const CpuMap *map, const char *vendor_string);

/* All models and features, in the map's order; NULL-terminated, the map's own. */
const CpuMapModel *const *cpumap_models(const CpuMap *map);
const CpuMapFeature *const *cpumap_features(const CpuMap *map);

/* Whether @leaves have @feature. MSR features count as absent. */
bool cpumap_leaves_have(const CpuMapLeaf *leaves, size_t n, const CpuMapFeature *feature);

/* The named model nearest to @leaves: same vendor, the fewest features to add and remove, as
 * libvirt decodes a host CPU. @ret_extra gets the features that @leaves have beyond it,
 * @ret_missing those of the model that @leaves lack (NULL-terminated, g_free() the arrays, not the
 * features). NULL when no model of that vendor fits. */
const CpuMapModel *cpumap_nearest_model(const CpuMap *map, const CpuMapLeaf *leaves, size_t n,
                                        const CpuMapFeature ***ret_extra,
                                        const CpuMapFeature ***ret_missing);

/* What KVM offers a guest (KVM_GET_SUPPORTED_CPUID of @kvm_fd, or of /dev/kvm when -1), g_free()
 * the result. NULL with @err: VIR_ERR_NO_SUPPORT-like codes name the device and errno. */
CpuMapLeaf *cpumap_kvm_leaves(int kvm_fd, size_t *ret_n, GError **err);

#endif
