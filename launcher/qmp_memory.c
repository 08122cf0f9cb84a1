/* qmp_memory.c - QMP commands that copy the guest's memory into a file (QEMU 7.2 qapi/machine.json:
 * memsave, pmemsave).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "launcher/fdset.h"
#include "launcher/qmp_handlers.h"
#include "launcher/vm_memory.h"
#include "util/error.h"
#include "util/file.h"

enum { MEMORY_PIECE = 64 * 1024 };

/* @vcpu: whose linear addresses; NULL for physical ones. */
static bool
memory_copy(Vm *vm, Vcpu *vcpu, uint64_t from, uint64_t size, int fd, GError **err)
{
    g_autofree uint8_t *piece = g_malloc(MEMORY_PIECE);

    while (size > 0) {
        size_t n = MIN(size, MEMORY_PIECE);
        int ret = vcpu ? vm_memory_access(vm, vcpu, from, piece, n, false)
                       : vm_memory_read(vm, from, piece, n);

        if (ret < 0)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Invalid addr 0x%016" PRIx64 "/size %zu specified: not all of it "
                                  "is memory",
                                  from, n);
        ret = file_write_all(fd, piece, n);
        if (ret < 0)
            return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, ret,
                                        "the memory cannot be written");
        from += n;
        size -= n;
    }
    return true;
}

static void
memory_save(QmpSession *session, JsonObject *args, Vcpu *vcpu, GError **err)
{
    Vm *vm = qmp_session_vm(session);
    const char *name = json_object_get_string_member(args, "filename");
    int64_t size = json_object_get_int_member(args, "size");
    int fd;

    if (size < 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "size %" PRId64 " is below 0", size);
        return;
    }
    fd = fdset_open(vm->fdsets, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600, err);
    if (fd < 0)
        return;
    vm_hold_vcpus(vm);
    memory_copy(vm, vcpu, (uint64_t)json_object_get_int_member(args, "val"), (uint64_t)size, fd,
                err);
    vm_release_vcpus(vm);
    close(fd);
}

QMP_HANDLER(qmp_memsave)
{
    const GPtrArray *vcpus = qmp_session_vm(session)->vcpus;
    int64_t index = json_object_get_int_member_with_default(args, "cpu-index", 0);

    if (index < 0 || index >= (int64_t)vcpus->len)
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "Parameter 'cpu-index' expects a CPU number below %u, not %" PRId64,
                       vcpus->len, index);
    else
        memory_save(session, args, g_ptr_array_index(vcpus, index), err);
    return NULL;
}

QMP_HANDLER(qmp_pmemsave)
{
    memory_save(session, args, NULL, err);
    return NULL;
}
