/* qmp_migration.c - QMP commands that save a guest and load it again.
 *
 * QEMU 7.2 qapi/migration.json: migrate, migrate_cancel, migrate-incoming, query-migrate.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/migration.h"
#include "launcher/qmp_handlers.h"

QMP_HANDLER(qmp_migrate)
{
    Vm *vm = qmp_session_vm(session);
    int fd = migration_open(vm, json_object_get_string_member(args, "uri"), true, err);

    if (fd >= 0)
        migration_send(vm, fd, err);
    return NULL;
}

QMP_HANDLER(qmp_migrate_cancel)
{
    (void)args;
    migration_cancel(qmp_session_vm(session), err);
    return NULL;
}

QMP_HANDLER(qmp_migrate_incoming)
{
    Vm *vm = qmp_session_vm(session);
    int fd = migration_open(vm, json_object_get_string_member(args, "uri"), false, err);

    if (fd >= 0)
        migration_receive(vm, fd, !vm->options->paused, false, err);
    return NULL;
}

QMP_HANDLER(qmp_query_migrate)
{
    (void)args;
    (void)err;
    return qmp_node_object(migration_query(qmp_session_vm(session)));
}
