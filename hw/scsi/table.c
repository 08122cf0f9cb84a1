/* table.c - the commands of disks and CD drives, one row each (SPC-4, SBC-3, MMC-5).
 *
 * A command that is not here is refused with INVALID COMMAND OPERATION CODE: among them PERSISTENT
 * RESERVE, since one guest has nobody to share with, and FORMAT UNIT.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/private.h"

const ScsiCommand *
scsi_command_find(ScsiKind kind, uint8_t opcode)
{
    static const ScsiCommand commands[] = {
        { 0x00, FOR_BOTH, CMD_MEDIUM, scsi_good, NULL, NULL }, /* TEST UNIT READY */
        { 0x08, FOR_BOTH, CMD_MEDIUM, scsi_run_read, NULL, NULL },
        { 0x0a, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write, NULL, NULL },
        { 0x12, FOR_BOTH, CMD_ANY_TIME, scsi_run_inquiry, NULL, NULL },
        { 0x15, FOR_BOTH, 0, scsi_run_mode_select, scsi_mode_select_received, scsi_stepped_good },
        { 0x16, FOR_DISK, 0, scsi_good, NULL, NULL }, /* RESERVE: there is one initiator */
        { 0x17, FOR_DISK, 0, scsi_good, NULL, NULL }, /* RELEASE */
        { 0x1a, FOR_BOTH, 0, scsi_run_mode_sense, NULL, NULL },
        { 0x1b, FOR_BOTH, 0, scsi_run_start_stop, NULL, NULL },
        { 0x1d, FOR_DISK, 0, scsi_good, NULL, NULL }, /* SEND DIAGNOSTIC: the self-test passes */
        { 0x1e, FOR_BOTH, 0, scsi_run_prevent_allow, NULL, NULL },
        { 0x25, FOR_BOTH, CMD_MEDIUM, scsi_run_read_capacity10, NULL, NULL },
        { 0x28, FOR_BOTH, CMD_MEDIUM, scsi_run_read, NULL, NULL },
        { 0x2a, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write, NULL, NULL },
        { 0x2b, FOR_BOTH, CMD_MEDIUM, scsi_run_seek, NULL, NULL },
        { 0x2e, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write, NULL, NULL },
        { 0x2f, FOR_BOTH, CMD_MEDIUM, scsi_run_verify, NULL, NULL },
        { 0x35, FOR_BOTH, CMD_MEDIUM, scsi_run_flush, NULL, scsi_stepped_good },
        { 0x41, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write_same, scsi_write_same_received,
          scsi_write_same_stepped },
        { 0x42, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_unmap, scsi_unmap_received,
          scsi_unmap_stepped },
        { 0x43, FOR_CDROM, CMD_MEDIUM, scsi_run_read_toc, NULL, NULL },
        { 0x46, FOR_CDROM, CMD_ANY_TIME, scsi_run_get_configuration, NULL, NULL },
        { 0x4a, FOR_CDROM, CMD_ANY_TIME, scsi_run_get_event_status, NULL, NULL },
        { 0x51, FOR_CDROM, CMD_MEDIUM, scsi_run_read_disc_information, NULL, NULL },
        { 0x52, FOR_CDROM, CMD_MEDIUM, scsi_run_read_track_information, NULL, NULL },
        { 0x55, FOR_BOTH, 0, scsi_run_mode_select, scsi_mode_select_received, scsi_stepped_good },
        { 0x56, FOR_DISK, 0, scsi_good, NULL, NULL }, /* RESERVE (10) */
        { 0x57, FOR_DISK, 0, scsi_good, NULL, NULL }, /* RELEASE (10) */
        { 0x5a, FOR_BOTH, 0, scsi_run_mode_sense, NULL, NULL },
        { 0x88, FOR_DISK, CMD_MEDIUM, scsi_run_read, NULL, NULL },
        { 0x8a, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write, NULL, NULL },
        { 0x8e, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write, NULL, NULL },
        { 0x8f, FOR_DISK, CMD_MEDIUM, scsi_run_verify, NULL, NULL },
        { 0x91, FOR_DISK, CMD_MEDIUM, scsi_run_flush, NULL, scsi_stepped_good },
        { 0x93, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write_same, scsi_write_same_received,
          scsi_write_same_stepped },
        { 0x9e, FOR_DISK, CMD_MEDIUM, scsi_run_service_in16, NULL, NULL },
        { 0xa0, FOR_BOTH, CMD_ANY_TIME, scsi_run_report_luns, NULL, NULL },
        { 0xa7, FOR_CDROM, 0, scsi_good, NULL, NULL }, /* SET READ AHEAD */
        { 0xa8, FOR_BOTH, CMD_MEDIUM, scsi_run_read, NULL, NULL },
        { 0xaa, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write, NULL, NULL },
        { 0xac, FOR_CDROM, CMD_MEDIUM, scsi_run_get_performance, NULL, NULL },
        { 0xad, FOR_CDROM, CMD_MEDIUM, scsi_run_read_disc_structure, NULL, NULL },
        { 0xae, FOR_DISK, CMD_MEDIUM | CMD_WRITES, scsi_run_write, NULL, NULL },
        { 0xaf, FOR_DISK, CMD_MEDIUM, scsi_run_verify, NULL, NULL },
        { 0xbb, FOR_CDROM, 0, scsi_good, NULL, NULL }, /* SET CD SPEED */
        { 0xbd, FOR_CDROM, CMD_ANY_TIME, scsi_run_mechanism_status, NULL, NULL },
        { 0xbe, FOR_CDROM, CMD_MEDIUM, scsi_run_read_cd, NULL, NULL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (commands[i].opcode == opcode && (commands[i].kinds & 1u << kind))
            return &commands[i];
    }
    return NULL;
}
