/* test_xml_snapshot.c - <domainsnapshot>: what is read, kept, left out and refused, and how its
 * disks follow those of the guest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "util/error.h"
#include "xml/snapshot.h"

static const DomainDefaults defaults = { .emulator = "/usr/bin/kiln-vmm" };

#define GUEST                                                                                      \
    "<domain type='kvm'><name>g</name><uuid>11111111-2222-3333-4444-555555555555</uuid>"           \
    "<memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os><devices>"         \
    "<disk type='file'><driver type='qcow2'/><source file='/i/a.img'/><target dev='vda'/></disk>"  \
    "<disk type='file'><driver type='qcow2'/><source file='/i/b'/><target dev='vdb'/></disk>"      \
    "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"                       \
    "</devices></domain>"
#define SEALED                                                                                     \
    "<encryption format='luks'><secret type='passphrase' "                                         \
    "uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></encryption>"
#define EXISTING(more)                                                                             \
    "<domainsnapshot><name>s1</name><state>shutoff</state><creationTime>5</creationTime>" more     \
        GUEST "</domainsnapshot>"

static SnapshotDef *
existing(const char *xml)
{
    g_autoptr(GError) err = NULL;
    SnapshotDef *def = snapshot_def_parse(xml, SNAPSHOT_PARSE_REDEFINE, &defaults, &err);

    if (!def)
        fail_msg("%s", err->message);
    return def;
}

static void
refuse(const char *xml, unsigned flags, int code, const char *words)
{
    g_autoptr(GError) err = NULL;

    assert_null(snapshot_def_parse(xml, flags, &defaults, &err));
    assert_int_equal(kiln_error_code(err), code);
    assert_non_null(strstr(err->message, words));
}

static const SnapshotDisk *
entry(const SnapshotDef *def, guint i)
{
    return def->disks->pdata[i];
}

/* A known snapshot can be described again without its guest; the daemon's own file cannot lack it.
 */
static void
test_old_ones_may_lack_their_guest(void **state)
{
    static const char bare[] = "<domainsnapshot><name>n</name><state>shutoff</state>"
                               "<creationTime>5</creationTime></domainsnapshot>";
    g_autoptr(SnapshotDef) def = NULL;

    (void)state;
    def = snapshot_def_parse(bare, SNAPSHOT_PARSE_REDEFINE, &defaults, NULL);
    assert_non_null(def);
    assert_null(def->domain);
    refuse(bare, SNAPSHOT_PARSE_STATUS, VIR_ERR_XML_ERROR, "missing domain");
}

static void
test_new_ones_forget_what_only_old_ones_have(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(SnapshotDef) def = NULL;

    (void)state;
    def = snapshot_def_parse(EXISTING("<parent><name>p</name></parent>"), 0, &defaults, &err);
    assert_non_null(def);
    assert_null(def->parent);
    assert_null(def->domain);
    assert_int_equal(def->state, SNAPSHOT_STATE_ABSENT);
    assert_true(def->creation_time > 5);
    snapshot_def_free(g_steal_pointer(&def));
    def = snapshot_def_parse("<domainsnapshot/>", 0, &defaults, &err);
    assert_non_null(def);
    assert_int_equal(g_ascii_strtoull(def->name, NULL, 10), def->creation_time);
}

static void
test_text_stays(void **state)
{
    g_autoptr(SnapshotDef) def = existing(EXISTING("<memory snapshot='no'/>"));
    g_autofree char *text = snapshot_def_format(def, DOMAIN_FORMAT_INACTIVE);
    g_autoptr(SnapshotDef) again = existing(text);
    g_autofree char *twice = snapshot_def_format(again, DOMAIN_FORMAT_INACTIVE);

    (void)state;
    assert_string_equal(text, twice);
    assert_null(strstr(text, "<active>"));
    def->active = 1;
    g_free(text);
    text = snapshot_def_format(def, DOMAIN_FORMAT_STATUS);
    assert_non_null(strstr(text, "<active>1</active>"));
}

static void
test_bad_ones_are_refused(void **state)
{
    (void)state;
    refuse("<domain/>", 0, VIR_ERR_XML_ERROR, "unexpected root element");
    refuse("<domainsnapshot><name>a/b</name></domainsnapshot>", 0, VIR_ERR_XML_DETAIL, "a/b");
    refuse("<domainsnapshot><name>..</name></domainsnapshot>", 0, VIR_ERR_XML_DETAIL, "..");
    refuse("<domainsnapshot><memory snapshot='external'/></domainsnapshot>", 0, VIR_ERR_XML_ERROR,
           "filename");
    refuse("<domainsnapshot><memory snapshot='external' file='x'/></domainsnapshot>", 0,
           VIR_ERR_XML_ERROR, "absolute");
    refuse("<domainsnapshot><name>a</name></domainsnapshot>", SNAPSHOT_PARSE_REDEFINE,
           VIR_ERR_XML_ERROR, "creationTime");
    refuse("<domainsnapshot><name>a</name><nonsense/></domainsnapshot>", SNAPSHOT_PARSE_VALIDATE,
           VIR_ERR_XML_INVALID_SCHEMA, "nonsense");
}

static void
test_disks_follow_the_guest(void **state)
{
    g_autoptr(SnapshotDef) def =
        existing(EXISTING("<disks><disk name='/i/b' snapshot='no'/></disks>"));

    (void)state;
    assert_true(snapshot_def_align(def, SNAPSHOT_EXTERNAL, false, NULL));
    assert_int_equal(def->disks->len, 3);
    assert_string_equal(entry(def, 0)->name, "vda");
    assert_int_equal(entry(def, 0)->location, SNAPSHOT_EXTERNAL);
    assert_string_equal(entry(def, 0)->file, "/i/a.s1");
    assert_string_equal(entry(def, 1)->name, "vdb");
    assert_int_equal(entry(def, 1)->location, SNAPSHOT_NO);
    assert_int_equal(entry(def, 2)->location, SNAPSHOT_NO);
    assert_true(snapshot_def_is_external(def));
}

static void
refuse_disks(const char *xml, int fallback, const char *words)
{
    g_autoptr(SnapshotDef) def = existing(xml);
    g_autoptr(GError) err = NULL;

    assert_false(snapshot_def_align(def, fallback, false, &err));
    assert_non_null(strstr(err->message, words));
}

static void
test_wrong_disks_are_refused(void **state)
{
    (void)state;
    refuse_disks(EXISTING("<disks><disk name='vdz'/></disks>"), SNAPSHOT_INTERNAL,
                 "no disk named 'vdz'");
    refuse_disks(EXISTING("<disks><disk name='vda'/><disk name='/i/a.img'/></disks>"),
                 SNAPSHOT_INTERNAL, "twice");
    refuse_disks(EXISTING("<disks><disk name='vda' snapshot='internal'/></disks>"),
                 SNAPSHOT_EXTERNAL, "must use snapshot mode 'external'");
    refuse_disks(EXISTING("<disks><disk name='vda' snapshot='manual'/></disks>"), SNAPSHOT_INTERNAL,
                 "manual");
    refuse_disks(EXISTING("<disks><disk name='vda' snapshot='internal'><source file='/x'/></disk>"
                          "</disks>"),
                 SNAPSHOT_INTERNAL, "requires use of external");
    refuse_disks("<domainsnapshot><name>s1</name><state>shutoff</state>"
                 "<creationTime>1</creationTime><domain type='kvm'><name>a</name><memory>1</memory>"
                 "<os><type>hvm</type></os><devices><disk type='file'><source file='a.img'/>"
                 "<target dev='vda'/></disk></devices></domain></domainsnapshot>",
                 SNAPSHOT_EXTERNAL, "no absolute path");
    refuse_disks(EXISTING("<disks><disk name='vda' snapshot='internal'><source>" SEALED "</source>"
                          "</disk></disks>"),
                 SNAPSHOT_INTERNAL, "<encryption> for disk 'vda' requires use of external");
}

static void
test_new_images_may_be_encrypted(void **state)
{
    g_autoptr(SnapshotDef) def = existing(
        EXISTING("<disks><disk name='vda' snapshot='external' type='file'><driver type='qcow2'/>"
                 "<source file='/i/new'>" SEALED "</source></disk></disks>"));
    g_autofree char *text = NULL;

    (void)state;
    assert_true(snapshot_def_align(def, SNAPSHOT_INTERNAL, true, NULL));
    assert_int_equal(entry(def, 0)->encryption->format, DOMAIN_ENCRYPTION_LUKS);
    assert_int_equal(entry(def, 0)->encryption->secrets->len, 1);
    assert_null(entry(def, 1)->encryption);
    text = snapshot_def_format(def, DOMAIN_FORMAT_INACTIVE);
    assert_non_null(strstr(text, "<encryption format='luks'>"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_ones_may_lack_their_guest),
        cmocka_unit_test(test_new_ones_forget_what_only_old_ones_have),
        cmocka_unit_test(test_text_stays),
        cmocka_unit_test(test_bad_ones_are_refused),
        cmocka_unit_test(test_disks_follow_the_guest),
        cmocka_unit_test(test_wrong_disks_are_refused),
        cmocka_unit_test(test_new_images_may_be_encrypted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
