/* doctor.h - `virtkilnd --check`: the list of what is looked at, and how findings are told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_DOCTOR_H
#define KILN_DRIVER_NODE_DOCTOR_H

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

#include "driver/config.h"
#include "driver/paths.h"
#include "network/network.h"

typedef enum {
    DOCTOR_OK,   /* works, or is only told */
    DOCTOR_WARN, /* something is slower, smaller or missing; the main job works */
    DOCTOR_FAIL, /* the main job does not work */
} DoctorLevel;

typedef struct {
    FILE *out;
    const DaemonPaths *paths;
    const DaemonConfig *config;
    const char *root; /* before /proc, /sys, /dev, /etc …; "" on a real host */
    const char *cpu_map_dir;
    void (*check_network)(const NetworkConfig *config, NetworkCheckFunc line, void *opaque);
    unsigned warnings, failures;
} Doctor;

/* Writes one finding: what was looked at, what was found, and below it what helps (NULL: nothing is
 * to be done). */
void doctor_say(Doctor *doctor, DoctorLevel level, const char *what, const char *remedy,
                const char *format, ...) G_GNUC_PRINTF(5, 6);

/* The three parts. */
void doctor_check_kvm(Doctor *doctor);
void doctor_check_host(Doctor *doctor);
void doctor_check_network(Doctor *doctor);

/* Everything, with the line that sums it up. Returns the number of failures. */
int doctor_run(Doctor *doctor);

#endif
