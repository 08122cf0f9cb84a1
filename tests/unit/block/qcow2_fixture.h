/* qcow2_fixture.h - qcow2 images for tests, made and judged by qemu-img and qemu-io as well.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_QCOW2_FIXTURE_H
#define KILN_TESTS_QCOW2_FIXTURE_H

#include "block/driver.h"

/* A directory of its own; all names of images below are in it. */
typedef struct {
    char *dir;
} Qcow2Fixture;

Qcow2Fixture *qcow2_fixture_new(void);
void qcow2_fixture_free(Qcow2Fixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2Fixture, qcow2_fixture_free)
char *qcow2_fixture_path(Qcow2Fixture *f, const char *name);

/* Runs a shell command in the directory; its exit status, and its output when @ret is not NULL. */
int qcow2_fixture_try(Qcow2Fixture *f, char **ret, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The same, and the test fails, printing the output, when the status is not 0. */
void qcow2_fixture_run(Qcow2Fixture *f, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Kiln's view. The test fails when it cannot be done. @options: "size=1M,cluster_size=4k". */
void qcow2_fixture_create(Qcow2Fixture *f, const char *name, const char *options);
bool qcow2_fixture_try_create(Qcow2Fixture *f, const char *name, const char *options, GError **err);
BlockNode *qcow2_fixture_open(Qcow2Fixture *f, const char *name, bool writable, bool check);
void qcow2_fixture_close(BlockNode *node); /* flushes first */
GHashTable *qcow2_fixture_options(const char *text);
/* Checks, mending with @fix; the findings are counted. */
BlockCheck qcow2_fixture_check(Qcow2Fixture *f, const char *name, unsigned fix);

/* Neither qemu-img nor Kiln finds anything wrong. */
void qcow2_fixture_assert_clean(Qcow2Fixture *f, const char *name);
/* Writes @bytes over the image's at @offset. */
void qcow2_fixture_poke(Qcow2Fixture *f, const char *name, uint64_t offset, uint64_t value,
                        unsigned bytes);
uint64_t qcow2_fixture_peek(Qcow2Fixture *f, const char *name, uint64_t offset, unsigned bytes);

/* Not a function: what @ok sets @err to is looked at after it. */
#define must(ok, err)                                                                              \
    do {                                                                                           \
        if (!(ok))                                                                                 \
            fail_msg("%s", (err)->message);                                                        \
    } while (0)

#endif
