/* node_fixture.c - a host that is not there. See node_fixture.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/driver/node_fixture.h"

#include <ftw.h>
#include <string.h>
#include <unistd.h>

#include "util/hyperv.h"

static const char small_map[] =
    "<cpus>"
    "<vendor name='Intel' string='GenuineIntel'/><vendor name='AMD' string='AuthenticAMD'/>"
    "<feature name='fpu'><cpuid eax_in='0x01' edx='0x00000001'/></feature>"
    "<feature name='sse2'><cpuid eax_in='0x01' edx='0x04000000'/></feature>"
    "<feature name='sse4.1'><cpuid eax_in='0x01' ecx='0x00080000'/></feature>"
    "<feature name='x2apic'><cpuid eax_in='0x01' ecx='0x00200000'/></feature>"
    "<feature name='aes'><cpuid eax_in='0x01' ecx='0x02000000'/></feature>"
    "<feature name='hypervisor'><cpuid eax_in='0x01' ecx='0x80000000'/></feature>"
    "<feature name='lm'><cpuid eax_in='0x80000001' edx='0x20000000'/></feature>"
    "<feature name='svm'><cpuid eax_in='0x80000001' ecx='0x00000004'/></feature>"
    "<feature name='invtsc' migratable='no'><cpuid eax_in='0x80000007' edx='0x00000100'/></feature>"
    "<feature name='rdctl-no'><msr index='0x10a' edx='0x00000000' eax='0x00000001'/></feature>"
    "<model name='old64'><decode host='on' guest='on'/><feature name='fpu'/><feature name='sse2'/>"
    "<feature name='lm'/></model>"
    "<model name='Zebra'><decode host='on' guest='on'/><signature family='25' model='17'/>"
    "<vendor name='AMD'/><feature name='fpu'/><feature name='sse2'/><feature name='lm'/>"
    "<feature name='aes'/><feature name='svm'/></model>"
    "<model name='Lake'><decode host='on' guest='on'/><vendor name='Intel'/><feature name='fpu'/>"
    "<feature name='lm'/><feature name='rdctl-no'/></model>"
    "</cpus>";

/* An AMD processor of family 25, model 17. */
static CpuFacts *
fake_facts(const CpuMap *map, const char *const *features, uint64_t msr)
{
    CpuFacts *facts = g_new0(CpuFacts, 1);
    CpuMsrValue value = { .index = 0x10a, .value = msr };
    CpuMapLeaf leaves[] = {
        { .leaf = 0, .reg = { 1, 0x68747541, 0x444d4163, 0x69746e65 } },
        { .leaf = 1, .reg = { 0x00a10f11 } },
        { .leaf = 0x80000001 },
        { .leaf = 0x80000007 },
    };

    for (; *features; features++) {
        const CpuMapBit *bit = &cpumap_find_feature(map, *features)->bit;

        for (size_t i = 0; i < G_N_ELEMENTS(leaves); i++)
            if (leaves[i].leaf == bit->leaf)
                leaves[i].reg[bit->reg] |= bit->mask;
    }
    facts->n_leaves = G_N_ELEMENTS(leaves);
    facts->leaves = g_memdup2(leaves, sizeof(leaves));
    facts->msrs = g_array_new(FALSE, FALSE, sizeof(value));
    if (msr)
        g_array_append_val(facts->msrs, value);
    facts->max_vcpus = NODE_MAX_VCPUS;
    return facts;
}

static CpuFacts *
fake_read_host(const CpuMap *map)
{
    return fake_facts(
        map, (const char *const[]){ "fpu", "sse2", "sse4.1", "aes", "lm", "svm", "invtsc", NULL },
        0);
}

/* KVM gives no svm here, and two of Hyper-V's enlightenments. */
static CpuFacts *
fake_read_kvm(const CpuMap *map, GError **err)
{
    CpuFacts *facts = fake_facts(map,
                                 (const char *const[]){ "fpu", "sse2", "sse4.1", "aes", "lm",
                                                        "invtsc", "x2apic", "hypervisor", NULL },
                                 1);

    (void)err;
    facts->tsc_khz = 2596146;
    facts->tsc_scaling = true;
    facts->hyperv = HYPERV_BIT(HYPERV_RELAXED) | HYPERV_BIT(HYPERV_VAPIC);
    return facts;
}

void
fake_host_write(FakeHost *host, const char *path, const char *format, ...)
{
    g_autofree char *file = g_strconcat(host->root, path, NULL);
    g_autofree char *dir = g_path_get_dirname(file);
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    if (g_mkdir_with_parents(dir, 0700) < 0 || !g_file_set_contents(file, text, -1, NULL))
        g_error("cannot write %s", file);
}

static void
fake_host_cpu(FakeHost *host, unsigned id)
{
    g_autofree char *dir = g_strdup_printf("/sys/devices/system/cpu/cpu%u/topology", id);
    const char *names[] = { "physical_package_id", "die_id", "core_id" };
    unsigned values[] = { id / 4, 0, id % 4 / 2 };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);

        fake_host_write(host, path, "%u\n", values[i]);
    }
    g_free(g_steal_pointer(&dir));
    dir = g_strdup_printf("/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", id);
    fake_host_write(host, dir, "%u-%u\n", id & ~1u, id | 1u);
}

/* A first-level cache of two threads, and a last-level one of four. */
static void
fake_host_caches(FakeHost *host, unsigned id)
{
    const struct {
        const char *file, *near, *far;
    } all[] = { { "level", "1", "3" }, { "type", "Data", "Unified" }, { "size", "32K", "32768K" } };
    g_autofree char *dir = g_strdup_printf("/sys/devices/system/cpu/cpu%u/cache", id);

    for (unsigned index = 0; index < 2; index++) {
        g_autofree char *number = g_strdup_printf("%s/index%u/id", dir, index);
        g_autofree char *shared = g_strdup_printf("%s/index%u/shared_cpu_list", dir, index);

        for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
            g_autofree char *path = g_strdup_printf("%s/index%u/%s", dir, index, all[i].file);

            fake_host_write(host, path, "%s\n", index ? all[i].far : all[i].near);
        }
        fake_host_write(host, number, "%u\n", index ? id / 4 : id / 2);
        fake_host_write(host, shared, "%u-%u\n", index ? id & ~3u : id & ~1u,
                        index ? id | 3u : id | 1u);
    }
}

FakeHost *
fake_host_new(bool offline)
{
    FakeHost *host = g_new0(FakeHost, 1);

    host->root = g_dir_make_tmp("kiln-node-XXXXXX", NULL);
    host->map_dir = g_build_filename(host->root, "cpu_map", NULL);
    fake_host_write(host, "/cpu_map/index.xml",
                    "<cpus><arch name='x86'><include filename='all.xml'/></arch></cpus>");
    fake_host_write(host, "/cpu_map/all.xml", "%s", small_map);
    fake_host_write(host, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    fake_host_write(host, "/proc/meminfo",
                    "MemTotal:        8388608 kB\nMemAvailable:    4194304 kB\n"
                    "HugePages_Total:      64\nHugepagesize:       2048 kB\n");
    fake_host_write(host, "/proc/cpuinfo",
                    "processor\t: 0\nmicrocode\t: 0x10\ncpu MHz\t\t: 2596.138\n"
                    "address sizes\t: 48 bits physical, 48 bits virtual\n");
    fake_host_write(host, "/sys/devices/system/cpu/online", offline ? "0-6\n" : "0-7\n");
    fake_host_write(host, "/sys/devices/system/cpu/present", "0-7\n");
    fake_host_write(host, "/sys/devices/system/node/online", "0-1\n");
    for (unsigned id = 0; id < 8; id++) {
        fake_host_cpu(host, id);
        fake_host_caches(host, id);
    }
    for (unsigned node = 0; node < 2; node++) {
        g_autofree char *dir = g_strdup_printf("/sys/devices/system/node/node%u", node);
        g_autofree char *cpus = g_build_filename(dir, "cpulist", NULL);
        g_autofree char *info = g_build_filename(dir, "meminfo", NULL);
        g_autofree char *far = g_build_filename(dir, "distance", NULL);
        g_autofree char *huge =
            g_build_filename(dir, "hugepages/hugepages-2048kB/nr_hugepages", NULL);

        fake_host_write(host, cpus, node ? "4-7\n" : "0-3\n");
        fake_host_write(host, info, "Node %u MemTotal:        4194304 kB\nNode %u MemFree: 1 kB\n",
                        node, node);
        fake_host_write(host, far, node ? "20 10\n" : "10 20\n");
        fake_host_write(host, huge, "32\n");
    }
    host->source = (NodeSource){ .root = host->root,
                                 .cpu_map_dir = host->map_dir,
                                 .read_host = fake_read_host,
                                 .read_kvm = fake_read_kvm };
    host->paths.vmm = g_strdup("/usr/bin/kiln-vmm");
    host->paths.images_dir = g_build_filename(host->root, "images", NULL);
    host->paths.lib_dir = g_build_filename(host->root, "lib", NULL);
    host->paths.log_dir = g_build_filename(host->root, "log", NULL);
    host->paths.run_dir = g_build_filename(host->root, "run", NULL);
    host->paths.socket_dir = g_strdup("/run/libvirt");
    return host;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void
fake_host_free(FakeHost *host)
{
    nftw(host->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    g_free(host->paths.vmm);
    g_free(host->paths.images_dir);
    g_free(host->paths.lib_dir);
    g_free(host->paths.log_dir);
    g_free(host->paths.run_dir);
    g_free(host->paths.socket_dir);
    g_free(host->map_dir);
    g_free(host->root);
    g_free(host);
}
