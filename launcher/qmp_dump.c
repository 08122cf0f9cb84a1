/* qmp_dump.c - QMP commands that write the guest into a core file (QEMU 7.2 qapi/dump.json).
 *
 * Leaves out, refused by name: paging, parts of memory, the kdump formats, writing beside a running
 * monitor (detach).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "launcher/dump.h"
#include "launcher/migration.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

static bool
dump_check(JsonObject *args, GError **err)
{
    const char *format = json_object_get_string_member_with_default(args, "format", "elf");
    const char *not_offered =
        json_object_get_boolean_member(args, "paging")                       ? "paging=true"
        : json_object_get_boolean_member_with_default(args, "detach", FALSE) ? "detach=true"
        : json_object_has_member(args, "begin") || json_object_has_member(args, "length")
            ? "begin and length"
            : NULL;

    if (not_offered)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "dump-guest-memory: %s is not offered: all memory is written, by "
                              "physical addresses, before the command is answered",
                              not_offered);
    return strcmp(format, "elf") == 0 ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "dump-guest-memory: format %s is not offered; there is elf", format);
}

static void
dump_tell(Vm *vm, uint64_t bytes)
{
    JsonObject *data = json_object_new(), *result = json_object_new();

    json_object_set_int_member(result, "total", (gint64)bytes);
    json_object_set_string_member(result, "status", "completed");
    json_object_set_int_member(result, "completed", (gint64)bytes);
    json_object_set_object_member(data, "result", result);
    vm_emit(vm, "DUMP_COMPLETED", data);
}

QMP_HANDLER(qmp_dump_guest_memory)
{
    Vm *vm = qmp_session_vm(session);
    bool was_running = vm->state == VM_RUNNING;
    uint64_t bytes = 0;
    int fd;

    if (vm->state == VM_INMIGRATE) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "Dump not allowed during incoming migration");
        return NULL;
    }
    fd = dump_check(args, err)
             ? migration_open(vm, json_object_get_string_member(args, "protocol"), true, err)
             : -1;
    if (fd < 0)
        return NULL;
    if (was_running)
        vm_pause(vm, VM_PAUSED);
    if (dump_write(vm, fd, &bytes, err))
        dump_tell(vm, bytes);
    close(fd);
    if (was_running)
        vm_resume(vm, NULL);
    return NULL;
}

QMP_HANDLER(qmp_query_dump_guest_memory_capability)
{
    JsonObject *capability = json_object_new();
    JsonArray *formats = json_array_new();

    (void)session;
    (void)args;
    (void)err;
    json_array_add_string_element(formats, "elf");
    json_object_set_array_member(capability, "formats", formats);
    return qmp_node_object(capability);
}
