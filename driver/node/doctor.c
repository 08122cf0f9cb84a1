/* doctor.c - `virtkilnd --check`: what this host can and cannot do for Kiln. See node.h.
 *
 * Looks only; nothing is created, loaded, started or changed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/doctor.h"

#include "driver/node/node.h"
#include "util/cpumap.h"

void
doctor_say(Doctor *doctor, DoctorLevel level, const char *what, const char *remedy,
           const char *format, ...)
{
    static const char *const words[] = { "ok", "warn", "FAIL" };
    va_list args;

    fprintf(doctor->out, "%-4s  %-18s  ", words[level], what);
    va_start(args, format);
    vfprintf(doctor->out, format, args);
    va_end(args);
    fputc('\n', doctor->out);
    if (remedy)
        fprintf(doctor->out, "%26s%s\n", "", remedy);
    doctor->warnings += level == DOCTOR_WARN;
    doctor->failures += level == DOCTOR_FAIL;
}

int
doctor_run(Doctor *doctor)
{
    doctor_check_kvm(doctor);
    doctor_check_host(doctor);
    doctor_check_network(doctor);
    if (doctor->failures)
        fprintf(
            doctor->out, "\n%u finding%s keep%s guests from running as they should, %u warning%s\n",
            doctor->failures, doctor->failures == 1 ? "" : "s", doctor->failures == 1 ? "s" : "",
            doctor->warnings, doctor->warnings == 1 ? "" : "s");
    else
        fprintf(doctor->out, "\nthis host can run guests, %u warning%s\n", doctor->warnings,
                doctor->warnings == 1 ? "" : "s");
    return (int)doctor->failures;
}

int
node_doctor(const DaemonPaths *paths, FILE *out)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(DaemonConfig) config = daemon_config_load(paths->config_file, false, &err);
    Doctor doctor = {
        .out = out,
        .paths = paths,
        .root = "",
        .cpu_map_dir = CPUMAP_DEFAULT_DIR,
        .check_network = network_check_host,
    };

    if (!config) {
        config = daemon_config_new();
        doctor_say(&doctor, DOCTOR_FAIL, "settings", "correct that line, or move the file away",
                   "%s", err->message);
    }
    doctor.config = config;
    return doctor_run(&doctor);
}
