/* vm_memory.c - guest memory as its processors see it: what lies over RAM is found in the layout,
 * linear addresses are KVM's to translate (api.rst, KVM_TRANSLATE).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vm_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hw/core/layout.h"

enum { PAGE = 4096 };

/* What is at one address; as much as the range that holds it has from there. */
typedef struct {
    uint64_t gpa, size;
    const uint8_t *host;
} SeenAt;

static void
memory_look(uint64_t gpa, uint64_t size, const uint8_t *host, bool read_only, void *opaque)
{
    SeenAt *at = opaque;

    (void)read_only;
    if (!host || at->gpa < gpa || at->gpa - gpa >= size)
        return;
    at->host = host + (at->gpa - gpa);
    at->size = size - (at->gpa - gpa);
}

int
vm_memory_read(Vm *vm, uint64_t gpa, void *buf, size_t len)
{
    for (size_t done = 0, n; done < len; done += n) {
        SeenAt at = { .gpa = gpa + done };

        memory_layout_visit(vm->machine->layout, memory_look, &at);
        if (!at.host)
            return -EFAULT;
        n = MIN(len - done, at.size);
        memcpy((uint8_t *)buf + done, at.host, n);
    }
    return 0;
}

int
vm_memory_write(Vm *vm, uint64_t gpa, const void *buf, size_t len)
{
    for (size_t done = 0, n; done < len; done += n) {
        SeenAt at = { .gpa = gpa + done };
        void *ram;

        memory_layout_visit(vm->machine->layout, memory_look, &at);
        n = at.host ? MIN(len - done, at.size) : 0;
        ram = n ? guest_memory_pointer(vm->machine->memory, at.gpa, n) : NULL;
        if (!ram || ram != at.host)
            return -EFAULT;
        memcpy(ram, (const uint8_t *)buf + done, n);
    }
    return 0;
}

int
vm_memory_translate(Vcpu *vcpu, uint64_t linear, uint64_t *ret_gpa)
{
    struct kvm_translation t = { .linear_address = linear };

    if (ioctl(vcpu_fd(vcpu), KVM_TRANSLATE, &t) < 0 || !t.valid)
        return -EFAULT;
    *ret_gpa = t.physical_address;
    return 0;
}

int
vm_memory_access(Vm *vm, Vcpu *vcpu, uint64_t linear, void *buf, size_t len, bool write)
{
    for (size_t done = 0, n; done < len; done += n) {
        uint64_t address = linear + done, gpa;
        uint8_t *part = (uint8_t *)buf + done;
        int ret = vm_memory_translate(vcpu, address, &gpa);

        n = MIN(len - done, PAGE - address % PAGE);
        if (ret == 0)
            ret = write ? vm_memory_write(vm, gpa, part, n) : vm_memory_read(vm, gpa, part, n);
        if (ret < 0)
            return ret;
    }
    return 0;
}
