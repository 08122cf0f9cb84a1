/* test_xml_engine.c - the table engine over a toy type that has every kind of row: parse, format,
 * copy, compare, ABI check, schema, strictness and the errors' words.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/error.h"
#include "xml/xmltab.h"

#include <libxml/relaxng.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    uint64_t id;
    char *label;
} Wheel;

typedef struct {
    int kind; /* 1 file, 2 net */
    char *path, *host;
    uint64_t port;
} Source;

typedef struct {
    uint64_t count, base, size;
    int64_t shift;
    int colour, locked, lit, present;
    char *name, *uuid, *mac, *ip, *cpus, *note, *alias, *ifname, *secret, *live;
    Wheel *spare;
    Source source;
    GPtrArray *wheels, *tags, *kept;
    int state;
} Toy;

static const char *const colours[] = { "", "red", "green", "blue", NULL };
static const char *const kinds[] = { "", "file", "net", NULL };
static const char *const user[] = { "ua-", NULL };
static const char *const made[] = { "vnet", NULL };

static const XmlRow wheel_rows[] = {
    { NULL, "id", XML_UINT, offsetof(Wheel, id), XML_REQUIRED | XML_ABI, .min = 1, .max = 4 },
    { "label", NULL, XML_STRING, offsetof(Wheel, label) },
};

static bool
wheel_check(const void *obj, GError **err)
{
    const Wheel *wheel = obj;

    return wheel->id != 3 || kiln_error_set(err, VIR_ERR_XML_ERROR, "three is unlucky");
}

static const XmlType wheel_type = {
    "wheel",
    sizeof(Wheel),
    XML_TYPE_ROWS(wheel_rows),
    .check = wheel_check,
};

static const XmlRow source_rows[] = {
    { NULL, "type", XML_ENUM, offsetof(Source, kind), XML_ABI, .names = kinds, .min = 1 },
    { "from", "path", XML_STRING, offsetof(Source, path), .when = XML_WHEN(1), .pattern = "/.*",
      .legal = "an absolute path" },
    { "from", "host", XML_STRING, offsetof(Source, host), .when = XML_WHEN(2) },
    { "from", "port", XML_UINT, offsetof(Source, port), XML_NOT_ZERO, .max = 65535,
      .when = XML_WHEN(2) },
};
static const XmlType source_type = {
    "source",
    sizeof(Source),
    XML_TYPE_ROWS(source_rows),
    .selector = XML_SELECTOR(Source, kind),
};

#define T(field) offsetof(Toy, field)
static const XmlRow toy_rows[] = {
    { NULL, NULL, XML_INLINE, T(source), XML_ABI, .type = &source_type },
    { NULL, "count", XML_UINT, T(count), XML_ABI, .max = 100 },
    { NULL, "base", XML_HEX, T(base), .width = 4, .max = 0xffff },
    { NULL, "colour", XML_ENUM, T(colour), .names = colours },
    { "name", NULL, XML_STRING, T(name), XML_REQUIRED, .pattern = "[^/\\n]+", .legal = "no '/'" },
    { "uuid", NULL, XML_UUID, T(uuid) },
    { "size", NULL, XML_SIZE, T(size), XML_ABI, .scale = 1024 },
    { "shift", "by", XML_INT, T(shift) },
    { "net/mac", "address", XML_MAC, T(mac) },
    { "net", "locked", XML_YESNO, T(locked) },
    { "net/mac", "lit", XML_ONOFF, T(lit) },
    { "net/target", "dev", XML_STRING, T(ifname), XML_LIVE_IF, .names = made },
    { "net/ip", NULL, XML_IP, T(ip) },
    { "cpus", "set", XML_CPUSET, T(cpus), .max = 15 },
    { "flag", NULL, XML_PRESENT, T(present) },
    { "alias", "name", XML_STRING, T(alias), XML_LIVE_UNLESS, .names = user },
    { "live", NULL, XML_STRING, T(live), XML_LIVE },
    { "secret", NULL, XML_STRING, T(secret), XML_SECRET },
    { "state", NULL, XML_ENUM, T(state), XML_STATUS_ONLY, .names = colours },
    { "spare", NULL, XML_STRUCT, T(spare), XML_SINGLE, .type = &wheel_type },
    { "wheels/wheel", NULL, XML_LIST, T(wheels), XML_ABI, .type = &wheel_type, .max = 3 },
    { "x:tags/x:tag", "value", XML_STRINGS, T(tags), .pattern = "[a-z]+", .legal = "letters" },
    { "note", NULL, XML_VERBATIM, T(note) },
    { "wheels/axle", NULL, XML_KEPT, T(kept) },
    { "engine", "key", XML_KEPT, T(kept) },
};
static const XmlNamespace spaces[] = { { "x", "urn:x" }, { NULL, NULL } };
static const XmlType toy_type = {
    "toy",
    sizeof(Toy),
    XML_TYPE_ROWS(toy_rows),
    .namespaces = spaces,
};

static Toy *
parse(const char *xml, unsigned flags, GError **err)
{
    return xml_type_parse_text(&toy_type, xml, strlen(xml), "toy_definition", flags, err);
}

static const char whole[] = "<toy type='net' count='7' base='0x00ff' colour='green'>\n"
                            "  <from host='h&amp;&quot;' port='80'/>\n"
                            "  <name>it&apos;s</name>\n"
                            "  <uuid>3f1e0a52-1c11-4d1b-9d4a-0a0a0a0a0a01</uuid>\n"
                            "  <size unit='KiB'>2048</size>\n"
                            "  <shift by='-5'/>\n"
                            "  <net locked='yes'>\n"
                            "    <mac address='52:54:00:ab:cd:ef' lit='off'/>\n"
                            "    <target dev='vnet4'/>\n"
                            "    <ip>fe80::1</ip>\n"
                            "  </net>\n"
                            "  <cpus set='0-2,5'/>\n"
                            "  <flag/>\n"
                            "  <alias name='auto0'/>\n"
                            "  <live>now</live>\n"
                            "  <spare id='4'>\n"
                            "    <label>s</label>\n"
                            "  </spare>\n"
                            "  <wheels>\n"
                            "    <wheel id='1'/>\n"
                            "    <wheel id='2'>\n"
                            "      <label>two</label>\n"
                            "    </wheel>\n"
                            "    <axle steel='yes'>\n"
                            "      <bolt>m&lt;8</bolt>\n"
                            "    </axle>\n"
                            "  </wheels>\n"
                            "  <x:tags>\n"
                            "    <x:tag value='a'/>\n"
                            "    <x:tag value='b'/>\n"
                            "  </x:tags>\n"
                            "  <note xmlns:n=\"urn:n\">\n"
                            "    <n:a n:b=\"1\"/>\n"
                            "  </note>\n"
                            "  <engine/>\n"
                            "</toy>\n";

static const char input[] =
    "<toy unknown='1' colour='green' count='7' base='255' type='net' "
    "xmlns:y='urn:x'><name>it's</name>"
    "<engine key='pw'/><from host='h&amp;\"' port='80' path='ignored here'/><from host='second'/>"
    "<uuid>3F1E0A521C114D1B9D4A0A0A0A0A0A01</uuid><size unit='MiB'>2</size><shift by='-5'/>"
    "<secret>s3</secret><state>red</state><unheard/>"
    "<net locked='yes'><ip>FE80:0::1</ip><target dev='vnet4'/><mac address='52:54:00:AB:cd:EF' "
    "lit='off'/></net>"
    "<cpus set='0-5,^3,^4'/><flag>text</flag><alias name='auto0'/><live>now</live>"
    "<spare id='4'><label>s</label></spare><wheels><wheel id='1'><label></label></wheel>"
    "<axle steel='yes'><bolt>m&lt;8</bolt></axle><wheel id='2'><label>two</label></wheel></wheels>"
    "<y:tags><y:tag value='a'/></y:tags><y:tags><y:tag value='b'/></y:tags>"
    "<note xmlns:n='urn:n'><n:a n:b='1'/></note></toy>";

static void
test_whole(void **state)
{
    g_autoptr(GError) err = NULL;
    Toy *toy = parse(input, 0, &err), *copy, *again;
    g_autofree char *text = NULL, *secure = NULL, *third = NULL;
    char *expected;

    (void)state;
    if (!toy)
        fail_msg("%s", err->message);
    assert_int_equal(toy->count, 7);
    assert_int_equal(toy->base, 255);
    assert_int_equal(toy->size, 2048);
    assert_true(toy->shift == -5);
    assert_int_equal(toy->locked, TRISTATE_ON);
    assert_int_equal(toy->lit, TRISTATE_OFF);
    assert_int_equal(toy->present, 1);
    assert_int_equal(toy->state, 0);
    assert_null(toy->source.path);
    assert_string_equal(toy->secret, "s3");
    assert_int_equal(toy->wheels->len, 2);
    assert_null(((Wheel *)toy->wheels->pdata[0])->label);
    assert_int_equal(toy->kept->len, 2);

    text = xml_type_format(&toy_type, toy, 0);
    expected = g_strdup_printf("<toy type='net' count='7' base='0x00ff' colour='green' "
                               "xmlns:x='urn:x'>%s",
                               strchr(whole, '>') + 1);
    assert_string_equal(text, expected);
    g_free(expected);
    secure = xml_type_format(&toy_type, toy, XML_SECURE);
    assert_non_null(strstr(secure, "<secret>s3</secret>"));
    assert_non_null(strstr(secure, "<engine key='pw'/>"));

    copy = xml_type_copy(&toy_type, toy);
    assert_true(xml_type_equal(&toy_type, toy, copy));
    again = parse(secure, 0, &err);
    assert_non_null(again);
    assert_true(xml_type_equal(&toy_type, toy, again));
    third = xml_type_format(&toy_type, again, XML_SECURE);
    assert_string_equal(third, secure);

    g_free(((Wheel *)copy->wheels->pdata[1])->label);
    ((Wheel *)copy->wheels->pdata[1])->label = g_strdup("other");
    assert_false(xml_type_equal(&toy_type, toy, copy));
    xml_type_assign(&toy_type, copy, toy);
    assert_true(xml_type_equal(&toy_type, toy, copy));
    xml_type_free(&toy_type, toy);
    xml_type_free(&toy_type, copy);
    xml_type_free(&toy_type, again);
    xml_type_free(&toy_type, NULL);
}

static void
test_flags(void **state)
{
    Toy *live = parse(input, 0, NULL), *inactive = parse(input, XML_INACTIVE, NULL);
    Toy *status = parse(input, XML_STATUS, NULL);
    g_autofree char *a = xml_type_format(&toy_type, live, XML_INACTIVE);
    g_autofree char *b = xml_type_format(&toy_type, inactive, 0);
    g_autofree char *s = xml_type_format(&toy_type, status, XML_STATUS);
    Toy *named =
        parse("<toy><name>n</name><alias name='ua-1'/><net><target dev='mine'/></net></toy>",
              XML_INACTIVE, NULL);

    (void)state;
    assert_null(inactive->alias);
    assert_null(inactive->live);
    assert_null(inactive->ifname);
    assert_string_equal(a, b);
    assert_null(strstr(a, "<live>"));
    assert_null(strstr(a, "vnet"));
    assert_non_null(strstr(s, "<state>red</state>"));
    assert_non_null(strstr(s, "<secret>"));
    assert_non_null(strstr(s, "<live>"));
    assert_string_equal(named->alias, "ua-1");
    assert_string_equal(named->ifname, "mine");
    assert_int_equal(named->source.kind, 1);
    xml_type_free(&toy_type, live);
    xml_type_free(&toy_type, inactive);
    xml_type_free(&toy_type, status);
    xml_type_free(&toy_type, named);
}

static void
test_errors(void **state)
{
    static const struct {
        const char *inside, *part;
    } cases[] = {
        { " colour='gren'",
          "'colour' in element 'toy' at line 1: 'gren' is not one of 'red', 'green', "
          "'blue'; did you mean 'green'?" },
        { " colour=''", "'colour'" },
        { " count='101'", "a whole number from 0 to 100" },
        { " count='-1'", "'-1' is not a whole number" },
        { " count='1x'", "'1x'" },
        { " count='99999999999999999999'", "whole number" },
        { " count='18446744073709551615'", "whole number" },
        { " base='0x10000'", "from 0 to 65535" },
        { " base='ff'", "'ff'" },
        { "><size unit='XB'>1</size", "'1 XB' is not at most 2^63 bytes" },
        { "><size>-1</size", "'-1'" },
        { "><shift by='x'/", "'x' is not a whole number" },
        { "><uuid>1234</uuid", "32 hexadecimal digits" },
        { "><net><mac address='53:54:00:00:00:01'/></net", "unicast" },
        { "><net locked='on'/", "one of 'yes', 'no'" },
        { "><net><ip>1.2.3</ip></net", "IPv4 or IPv6" },
        { "><cpus set='0-16'/", "up to 15" },
        { "><from path='rel'/", "'rel' is not an absolute path" },
        { "><spare/", "Missing required attribute 'id' in element 'spare' at line 1" },
        { "><spare id='1'/><spare id='1'/", "only one element 'spare'" },
        { "><spare id='3'/", "<spare> at line 1: three is unlucky" },
        { "><wheels><wheel id='9'/></wheels", "from 1 to 4" },
        { "><wheels><wheel id='1'/><wheel id='1'/><wheel id='1'/><wheel id='1'/></wheels",
          "at most 3 elements 'wheel'" },
        { "><x:tags xmlns:x='urn:x'><x:tag value='A'/></x:tags", "'A' is not letters" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strdup_printf("<toy%s><name>n</name></toy>", cases[i].inside);
        g_autoptr(GError) err = NULL;
        Toy *toy = parse(xml, 0, &err);

        assert_null(toy);
        if (!strstr(err->message, cases[i].part))
            fail_msg("'%s' lacks '%s'", err->message, cases[i].part);
        assert_int_equal(err->code, VIR_ERR_XML_ERROR);
    }
    {
        g_autoptr(GError) a = NULL, b = NULL, c = NULL;

        assert_null(parse("<toy/>", 0, &a));
        assert_string_equal(a->message,
                            "Missing required element 'name' in element 'toy' at line 1");
        assert_null(parse("<toy><name/></toy>", 0, &b));
        assert_null(parse("<top/>", 0, &c));
        assert_string_equal(c->message, "unexpected root element <top>, expecting <toy>");
    }
}

static void
test_strict(void **state)
{
    static const struct {
        const char *xml, *part;
    } cases[] = {
        { "<toy coulor='red'><name>n</name></toy>",
          "attribute 'coulor' is not allowed in element 'toy' at line 1; did you mean 'colour'?" },
        { "<toy>\n<nmae>n</nmae></toy>",
          "element 'nmae' is not allowed in element 'toy' at line 2; did "
          "you mean 'name'?" },
        { "<toy><name>n</name><net><mca/></net></toy>", "did you mean 'mac'?" },
        { "<toy><name>n</name><wheels><wheel id='1' idd='2'/></wheels></toy>",
          "did you mean 'id'?" },
        { "<toy><name>n</name><flag zzzzzzz=''/></toy>",
          "not allowed in element 'flag' at line 1" },
        { "<toy><name>n</name><q:flag xmlns:q='urn:q'/></toy>", "element 'flag'" },
    };
    Toy *toy =
        parse("<toy type='file' count='1'><name>n</name><from path='/p'/><size unit='k'>1</size>"
              "<wheels><axle any='thing'><at/></axle></wheels><note><x/></note></toy>",
              XML_STRICT, NULL);

    (void)state;
    assert_non_null(toy);
    xml_type_free(&toy_type, toy);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        assert_null(parse(cases[i].xml, XML_STRICT, &err));
        if (!strstr(err->message, cases[i].part))
            fail_msg("'%s' lacks '%s'", err->message, cases[i].part);
        assert_int_equal(err->code, VIR_ERR_XML_INVALID_SCHEMA);
        toy = parse(cases[i].xml, 0, NULL);
        xml_type_free(&toy_type, toy);
    }
}

static void
test_abi(void **state)
{
    Toy *a = parse(input, 0, NULL), *b = xml_type_copy(&toy_type, a);
    g_autoptr(GError) size = NULL, list = NULL, kind = NULL;

    (void)state;
    g_free(b->name);
    b->name = g_strdup("not seen by the guest");
    assert_true(xml_type_abi_check(&toy_type, a, b, NULL));
    b->size++;
    assert_false(xml_type_abi_check(&toy_type, a, b, &size));
    assert_int_equal(size->code, VIR_ERR_CONFIG_UNSUPPORTED);
    assert_string_equal(size->message,
                        "<toy>: <size> would change for the guest from '2048' to '2049'");
    b->size--;
    ((Wheel *)b->wheels->pdata[0])->id = 4;
    assert_false(xml_type_abi_check(&toy_type, a, b, &list));
    assert_non_null(strstr(list->message, "attribute 'id' of <wheel>"));
    ((Wheel *)b->wheels->pdata[0])->id = 1;
    b->source.kind = 1;
    assert_false(xml_type_abi_check(&toy_type, a, b, &kind));
    xml_type_free(&toy_type, a);
    xml_type_free(&toy_type, b);
}

static void
ignore(void *opaque, const char *format, ...)
{
    (void)opaque;
    (void)format;
}

static void
valid(xmlRelaxNG *grammar, const char *xml, bool expected)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), "x", NULL);
    xmlRelaxNGValidCtxt *context = xmlRelaxNGNewValidCtxt(grammar);
    bool ok = xml_type_validate(&toy_type, xmlDocGetRootElement(doc), &err);

    if (ok != expected)
        fail_msg("%s: %s", xml, err ? err->message : "accepted");
    if (!ok)
        assert_int_equal(err->code, VIR_ERR_XML_INVALID_SCHEMA);
    /* The grammar says the same. */
    xmlRelaxNGSetValidErrors(context, ignore, ignore, NULL);
    assert_int_equal(xmlRelaxNGValidateDoc(context, doc) == 0, expected);
    xmlRelaxNGFreeValidCtxt(context);
}

static void
test_schema(void **state)
{
    g_autofree char *text = xml_type_schema(&toy_type);
    xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewMemParserCtxt(text, (int)strlen(text));
    xmlRelaxNG *schema = xmlRelaxNGParse(parser);
    g_autofree char *with_space = g_strdup_printf("<toy xmlns:x='urn:x'%s", whole + strlen("<toy"));

    (void)state;
    valid(schema, with_space, true);
    valid(schema, "<toy><name>n</name></toy>", true);
    valid(schema, "<toy><name>n</name><from path='/x'/></toy>", true);
    valid(schema, "<toy type='net'><from host='h'/><name>n</name></toy>", true);
    valid(schema, "<toy type='net'><name>n</name><from path='/x'/></toy>", false);
    valid(schema, "<toy><name>n</name><from host='/x'/></toy>", false);
    valid(schema, "<toy/>", false);
    valid(schema, "<toy><name>a/b</name></toy>", false);
    valid(schema, "<toy count='x'><name>n</name></toy>", false);
    valid(schema, "<toy other='x'><name>n</name></toy>", false);
    valid(schema, "<toy><name>n</name><name>m</name></toy>", false);
    valid(schema, "<toy><name>n</name><wheels><wheel/></wheels></toy>", false);
    valid(schema, "<toy><name>n</name><note><any of='that'><x/></any></note></toy>", true);
    valid(schema, "<toy>text<name>n</name></toy>", false);
    valid(schema, "<toy type='file'><name>n</name><from host='h'/></toy>", false);
    xmlRelaxNGFree(schema);
    xmlRelaxNGFreeParserCtxt(parser);
    xmlRelaxNGCleanupTypes();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),  cmocka_unit_test(test_flags), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_strict), cmocka_unit_test(test_abi),   cmocka_unit_test(test_schema),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
