/* qmp_handlers.h - the handlers behind qmp_commands.def, and what they share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_QMP_HANDLERS_H
#define KILN_LAUNCHER_QMP_HANDLERS_H

#include "launcher/qmp.h"

/* Nodes that take their content. */
JsonNode *qmp_node_object(JsonObject *object);
JsonNode *qmp_node_array(JsonArray *array);

#define QMP_HANDLER(name) JsonNode *name(QmpSession *session, JsonObject *args, GError **err)

/* qmp_query.c */
QMP_HANDLER(qmp_query_version);
QMP_HANDLER(qmp_query_status);
QMP_HANDLER(qmp_query_name);
QMP_HANDLER(qmp_query_uuid);
QMP_HANDLER(qmp_query_kvm);
QMP_HANDLER(qmp_query_target);
QMP_HANDLER(qmp_query_machines);
QMP_HANDLER(qmp_query_current_machine);
QMP_HANDLER(qmp_query_memory_size_summary);
QMP_HANDLER(qmp_query_iothreads);
QMP_HANDLER(qmp_qom_list);
QMP_HANDLER(qmp_query_chardev);

/* dirty_rate.c */
QMP_HANDLER(qmp_calc_dirty_rate);
QMP_HANDLER(qmp_query_dirty_rate);

/* qmp_cpus.c */
QMP_HANDLER(qmp_query_cpus_fast);
QMP_HANDLER(qmp_query_hotpluggable_cpus);

/* qmp_stats.c */
QMP_HANDLER(qmp_query_stats);
QMP_HANDLER(qmp_query_stats_schemas);

/* qmp_block.c */
QMP_HANDLER(qmp_query_block);
QMP_HANDLER(qmp_query_blockstats);
QMP_HANDLER(qmp_query_named_block_nodes);
QMP_HANDLER(qmp_block_set_write_threshold);
QMP_HANDLER(qmp_blockdev_add);
QMP_HANDLER(qmp_blockdev_del);
QMP_HANDLER(qmp_blockdev_open_tray);
QMP_HANDLER(qmp_blockdev_close_tray);
QMP_HANDLER(qmp_blockdev_remove_medium);
QMP_HANDLER(qmp_blockdev_insert_medium);
QMP_HANDLER(qmp_blockdev_change_medium);
QMP_HANDLER(qmp_eject);

/* qmp_block_jobs.c */
QMP_HANDLER(qmp_block_stream);
QMP_HANDLER(qmp_block_commit);
QMP_HANDLER(qmp_drive_mirror);
QMP_HANDLER(qmp_blockdev_mirror);
QMP_HANDLER(qmp_drive_backup);
QMP_HANDLER(qmp_blockdev_backup);
QMP_HANDLER(qmp_query_block_jobs);
QMP_HANDLER(qmp_query_jobs);
QMP_HANDLER(qmp_block_job_set_speed);
QMP_HANDLER(qmp_block_job_cancel);
QMP_HANDLER(qmp_job_pause);
QMP_HANDLER(qmp_job_resume);
QMP_HANDLER(qmp_job_complete);
QMP_HANDLER(qmp_job_dismiss);
QMP_HANDLER(qmp_job_finalize);
QMP_HANDLER(qmp_job_cancel);

/* qmp_block_graph.c */
QMP_HANDLER(qmp_blockdev_snapshot);
QMP_HANDLER(qmp_blockdev_snapshot_sync);
QMP_HANDLER(qmp_blockdev_snapshot_internal_sync);
QMP_HANDLER(qmp_blockdev_snapshot_delete_internal_sync);
QMP_HANDLER(qmp_block_resize);
QMP_HANDLER(qmp_block_set_io_throttle);
QMP_HANDLER(qmp_block_dirty_bitmap_add);
QMP_HANDLER(qmp_block_dirty_bitmap_remove);
QMP_HANDLER(qmp_block_dirty_bitmap_clear);
QMP_HANDLER(qmp_block_dirty_bitmap_enable);
QMP_HANDLER(qmp_block_dirty_bitmap_disable);
QMP_HANDLER(qmp_block_dirty_bitmap_merge);
QMP_HANDLER(qmp_transaction);

/* qmp_device.c */
QMP_HANDLER(qmp_query_balloon);
QMP_HANDLER(qmp_balloon);
QMP_HANDLER(qmp_qom_get);
QMP_HANDLER(qmp_qom_set);
QMP_HANDLER(qmp_set_link);

/* qmp_hotplug.c */
QMP_HANDLER(qmp_device_add);
QMP_HANDLER(qmp_device_del);
QMP_HANDLER(qmp_netdev_add);
QMP_HANDLER(qmp_netdev_del);
QMP_HANDLER(qmp_chardev_remove);
QMP_HANDLER(qmp_object_add);
QMP_HANDLER(qmp_object_del);

/* qmp_control.c */
QMP_HANDLER(qmp_memsave);
QMP_HANDLER(qmp_pmemsave);
QMP_HANDLER(qmp_dump_guest_memory);
QMP_HANDLER(qmp_query_dump_guest_memory_capability);
QMP_HANDLER(qmp_stop);
QMP_HANDLER(qmp_cont);
QMP_HANDLER(qmp_system_reset);
QMP_HANDLER(qmp_system_powerdown);
QMP_HANDLER(qmp_system_wakeup);
QMP_HANDLER(qmp_inject_nmi);
QMP_HANDLER(qmp_quit);
QMP_HANDLER(qmp_set_action);
QMP_HANDLER(qmp_watchdog_set_action);
QMP_HANDLER(qmp_getfd);
QMP_HANDLER(qmp_closefd);
QMP_HANDLER(qmp_add_fd);
QMP_HANDLER(qmp_remove_fd);
QMP_HANDLER(qmp_query_fdsets);

/* qmp_chardev.c */
QMP_HANDLER(qmp_chardev_send_break);
QMP_HANDLER(qmp_ringbuf_write);
QMP_HANDLER(qmp_ringbuf_read);
QMP_HANDLER(qmp_human_monitor_command);

/* qmp_chardev_add.c */
QMP_HANDLER(qmp_chardev_add);

/* qmp_display.c */
QMP_HANDLER(qmp_screendump);
QMP_HANDLER(qmp_query_vnc);
QMP_HANDLER(qmp_query_vnc_servers);
QMP_HANDLER(qmp_set_password);
QMP_HANDLER(qmp_change_vnc_password);
QMP_HANDLER(qmp_expire_password);
QMP_HANDLER(qmp_add_client);

/* qmp_input.c */
QMP_HANDLER(qmp_send_key);
QMP_HANDLER(qmp_input_send_event);
QMP_HANDLER(qmp_query_mice);

/* qmp_migration.c */
QMP_HANDLER(qmp_migrate);
QMP_HANDLER(qmp_migrate_cancel);
QMP_HANDLER(qmp_migrate_incoming);
QMP_HANDLER(qmp_query_migrate);
QMP_HANDLER(qmp_migrate_set_parameters);
QMP_HANDLER(qmp_query_migrate_parameters);
QMP_HANDLER(qmp_migrate_set_capabilities);
QMP_HANDLER(qmp_query_migrate_capabilities);

/* {"micro", "minor", "major"} of the QEMU whose QMP this is, and our own name. */
JsonObject *qmp_version_object(void);

#endif
