/* cgroup_private.h - what the files about control groups offer each other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_CGROUP_PRIVATE_H
#define KILN_DRIVER_DOMAIN_CGROUP_PRIVATE_H

#include "driver/domain/cgroup.h"

struct CgroupHost {
    bool v2;
    char *parent[CGROUP_CONTROLLERS]; /* directory of Kiln's guests; NULL: controller missing */
};

struct Cgroup {
    bool v2;
    char *dir[CGROUP_CONTROLLERS]; /* v2: all the same; NULL: controller missing */
};

/* Writes @text to a file that is there; VIR_ERR_SYSTEM_ERROR. */
bool cgroup_put(const char *dir, const char *file, const char *text, GError **err);
/* Its content without the space around it; NULL when it cannot be read. g_free() it. */
char *cgroup_get(const char *dir, const char *file);
/* VIR_ERR_CONFIG_UNSUPPORTED, saying that @what needs it. */
bool cgroup_need(Cgroup *group, CgroupController controller, const char *what, GError **err);

#endif
