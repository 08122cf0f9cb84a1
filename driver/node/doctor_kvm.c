/* doctor_kvm.c - the doctor's part for KVM, the processor and kiln-vmm.
 *
 * KVM: Documentation/virt/kvm/api.rst. What /dev/kvm can be on a host without hardware
 * virtualization: a software one, which emulates a guest's kernel mode instruction by instruction.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver/node/cpu.h"
#include "driver/node/doctor.h"
#include "driver/node/sysfs.h"

/* What kiln-vmm cannot do without. */
static const struct {
    int cap;
    const char *name;
} kvm_needed[] = {
    { KVM_CAP_IRQCHIP, "in-kernel interrupt controllers" },
    { KVM_CAP_USER_MEMORY, "user memory" },
    { KVM_CAP_PIT2, "in-kernel PIT" },
    { KVM_CAP_EXT_CPUID, "CPUID" },
    { KVM_CAP_MP_STATE, "processor states" },
    { KVM_CAP_IRQ_ROUTING, "interrupt routing" },
    { KVM_CAP_SIGNAL_MSI, "MSI" },
    { KVM_CAP_IRQFD, "irqfd" },
    { KVM_CAP_IOEVENTFD, "ioeventfd" },
    { KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
    { KVM_CAP_READONLY_MEM, "read-only memory" },
};

typedef enum { KVM_INTEL, KVM_AMD, KVM_SOFTWARE, KVM_UNKNOWN } KvmKind;

static KvmKind
kvm_kind(const char *root)
{
    /* the software one first: its host may have the hardware modules as well */
    if (sysfs_exists(root, "/sys/module/kvm_pvm"))
        return KVM_SOFTWARE;
    if (sysfs_exists(root, "/sys/module/kvm_intel"))
        return KVM_INTEL;
    if (sysfs_exists(root, "/sys/module/kvm_amd"))
        return KVM_AMD;
    return KVM_UNKNOWN;
}

static bool
param_is_on(const char *root, const char *path)
{
    g_autofree char *text = sysfs_read(root, "%s", path);

    return text && (*text == 'Y' || *text == 'y' || *text == '1');
}

static void
check_kind(Doctor *doctor, KvmKind kind)
{
    if (kind == KVM_SOFTWARE) {
        doctor_say(doctor, DOCTOR_FAIL, "kind of KVM",
                   "use the lab: tests/lab/run in Kiln's sources boots a machine with a real KVM",
                   "software: this host's KVM cannot run a stock kernel, only small test programs");
    } else if (kind == KVM_UNKNOWN) {
        doctor_say(
            doctor, DOCTOR_WARN, "kind of KVM", NULL,
            "neither kvm_intel nor kvm_amd is loaded; whether a stock kernel runs is unknown");
    } else {
        const char *module = kind == KVM_INTEL ? "kvm_intel" : "kvm_amd";
        const char *paging = kind == KVM_INTEL ? "ept" : "npt";
        g_autofree char *param = g_strdup_printf("/sys/module/%s/parameters/%s", module, paging);
        g_autofree char *nested = g_strdup_printf("/sys/module/%s/parameters/nested", module);
        g_autofree char *remedy =
            g_strdup_printf("switch it on: 'options %s %s=1' in /etc/modprobe.d/kvm.conf, then "
                            "load the module again",
                            module, paging);
        bool paged = param_is_on(doctor->root, param);

        doctor_say(doctor, DOCTOR_OK, "kind of KVM", NULL, "hardware (%s)", module);
        doctor_say(doctor, paged ? DOCTOR_OK : DOCTOR_WARN, "nested paging", paged ? NULL : remedy,
                   paged ? "%s is on" : "%s is off: guests run, but slowly",
                   kind == KVM_INTEL ? "EPT" : "NPT");
        doctor_say(doctor, DOCTOR_OK, "guests in guests", NULL, "%s",
                   param_is_on(doctor->root, nested) ? "on" : "off");
    }
}

static void
check_extensions(Doctor *doctor, int fd)
{
    g_autoptr(GString) missing = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(kvm_needed); i++)
        if (ioctl(fd, KVM_CHECK_EXTENSION, kvm_needed[i].cap) <= 0)
            g_string_append_printf(missing, "%s%s", missing->len ? ", " : "", kvm_needed[i].name);
    if (missing->len)
        doctor_say(doctor, DOCTOR_FAIL, "KVM's abilities",
                   "a newer kernel is needed (Linux 4.11 or later)", "missing: %s", missing->str);
    else
        doctor_say(doctor, DOCTOR_OK, "KVM's abilities", NULL,
                   "all that kiln-vmm needs; up to %d vCPUs",
                   MIN(ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS), NODE_MAX_VCPUS));
}

static void
check_device(Doctor *doctor)
{
    g_autofree char *path = g_strconcat(doctor->root, "/dev/kvm", NULL);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT) {
        doctor_say(doctor, DOCTOR_FAIL, "KVM",
                   "switch virtualization (VT-x, AMD-V) on in the firmware and load kvm_intel or "
                   "kvm_amd; in a cloud machine, choose a type with nested virtualization",
                   "there is no /dev/kvm");
        return;
    }
    if (fd < 0) {
        doctor_say(doctor, DOCTOR_FAIL, "KVM",
                   errno == EACCES ? "add this user to the group kvm: usermod -aG kvm USER" : NULL,
                   "/dev/kvm cannot be opened: %s", g_strerror(errno));
        return;
    }
    doctor_say(doctor, DOCTOR_OK, "KVM", NULL, "/dev/kvm opens for reading and writing");
    check_kind(doctor, kvm_kind(doctor->root));
    check_extensions(doctor, fd);
    close(fd);
}

static void
check_models(Doctor *doctor)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(CpuMap) map = cpumap_load(doctor->cpu_map_dir, &err);
    g_autoptr(CpuFacts) kvm = NULL;
    NodeHostModel *model;
    unsigned all = 0, usable = 0;

    if (!map) {
        doctor_say(doctor, DOCTOR_WARN, "CPU models", "apt install libvirt0",
                   "only <cpu mode='host-passthrough'/> can be used: %s", err->message);
        return;
    }
    kvm = *doctor->root ? NULL : cpu_facts_read_kvm(map, NULL);
    for (const CpuMapModel *const *m = cpumap_models(map); *m; m++, all++)
        usable += kvm && cpu_facts_have_model(kvm, *m);
    model = kvm ? cpu_facts_host_model(kvm, map) : NULL;
    if (model)
        doctor_say(doctor, DOCTOR_OK, "CPU models", NULL, "%u of %u can be used; host-model is %s",
                   usable, all, model->model);
    else
        doctor_say(doctor, DOCTOR_OK, "CPU models", NULL, "the map has %u", all);
    cpu_host_model_free(model);
}

static void
check_vmm(Doctor *doctor)
{
    const char *argv[] = { doctor->paths->vmm, "--version", NULL };
    g_autofree char *out = NULL;
    g_autoptr(GError) err = NULL;
    int status = 0;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out, NULL,
                      &status, &err) ||
        !g_spawn_check_wait_status(status, &err)) {
        doctor_say(doctor, DOCTOR_FAIL, "kiln-vmm", "install Kiln: meson install -C BUILD",
                   "'%s' does not run: %s", doctor->paths->vmm, err->message);
        return;
    }
    out[strcspn(out, "\n")] = '\0';
    doctor_say(doctor, DOCTOR_OK, "kiln-vmm", NULL, "%s: %s", doctor->paths->vmm, out);
}

void
doctor_check_kvm(Doctor *doctor)
{
    check_device(doctor);
    check_models(doctor);
    check_vmm(doctor);
}
