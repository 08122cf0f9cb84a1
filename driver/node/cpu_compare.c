/* cpu_compare.c - what a described CPU asks for against what a host has, and what several hosts
 * have in common.
 *
 * virConnectCompareCPU and virConnectBaselineCPU, and their hypervisor counterparts, of libvirt
 * 9.0: the policies of features, the messages, and which model is chosen to describe a result.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/node/node_private.h"
#include "util/error.h"
#include "xml/domain_cpu.h"
#include "xml/xmltab.h"

typedef struct {
    const CpuMapModel *model;
    char *vendor; /* NULL: any */
    int match;
    /* By policy, sets of const CpuMapFeature *; the model's are required. */
    GHashTable *sets[DOMAIN_FEATURE_FORBID + 1];
} Wish;

static void
wish_free(Wish *wish)
{
    if (!wish)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(wish->sets); i++)
        if (wish->sets[i])
            g_hash_table_unref(wish->sets[i]);
    g_free(wish->vendor);
    g_free(wish);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Wish, wish_free)

static GHashTable *
features_new(void)
{
    return g_hash_table_new(NULL, NULL);
}

/* How many of @set are (@in) or are not in @other. */
static guint
count(GHashTable *set, GHashTable *other, bool in)
{
    GHashTableIter iter;
    gpointer feature;
    guint n = 0;

    g_hash_table_iter_init(&iter, set);
    while (g_hash_table_iter_next(&iter, &feature, NULL))
        n += g_hash_table_contains(other, feature) == in;
    return n;
}

/* Names of those of @set that are (@in) or are not in @other, in the map's order. */
static char *
names(const CpuMap *map, GHashTable *set, GHashTable *other, bool in)
{
    GString *text = g_string_new(NULL);

    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++)
        if (g_hash_table_contains(set, *f) && g_hash_table_contains(other, *f) == in)
            g_string_append_printf(text, "%s%s", text->len ? ", " : "", (*f)->name);
    return g_string_free(text, FALSE);
}

static void
remove_all(GHashTable *set, GHashTable *others)
{
    GHashTableIter iter;
    gpointer feature;

    g_hash_table_iter_init(&iter, others);
    while (g_hash_table_iter_next(&iter, &feature, NULL))
        g_hash_table_remove(set, feature);
}

static GHashTable *
features_of_facts(const CpuMap *map, const CpuFacts *facts)
{
    GHashTable *set = features_new();

    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++)
        if (cpu_facts_have(facts, *f))
            g_hash_table_add(set, (gpointer)*f);
    return set;
}

static GHashTable *
features_of_model(const CpuMapModel *model)
{
    GHashTable *set = features_new();

    for (const CpuMapFeature *const *f = model->features; *f; f++)
        g_hash_table_add(set, (gpointer)*f);
    return set;
}

/* --- what is asked for ------------------------------------------------------------------------ */

/* Whether <cpu>, whose <arch> is @arch (NULL: there is none), describes what @host_only allows:
 * hosts' descriptions say their architecture, and not what only guests have. */
static bool
check_kind(const xmlNode *root, const char *arch, bool host_only, GError **err)
{
    bool host = host_only || arch;

    if (arch && !host_only && xmlHasProp(root, BAD_CAST "match"))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "<arch> cannot be used in a <cpu> that has 'match': one describes a "
                              "host, the other a guest");
    if (host && xmlHasProp(root, BAD_CAST "mode"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Attribute mode is only allowed for guest CPU");
    if (host && !arch)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "Missing CPU architecture");
    if (arch && strcmp(arch, "x86_64") != 0 && strcmp(arch, "i686") != 0)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "architecture '%s' of a CPU: x86_64 and i686 are what can be compared here", arch);
    return true;
}

/* The policies of features are guests' own: what a host has is required. */
static void
forget_policies(DomainCpu *cpu)
{
    for (guint i = 0; i < cpu->features->len; i++)
        ((DomainCpuFeature *)cpu->features->pdata[i])->policy = DOMAIN_FEATURE_REQUIRE;
}

static DomainCpu *
parse_cpu(const char *xml, bool host_only, bool validate, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), "CPU definition", err);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    const xmlNode *arch_node = root ? xml_child(root, "arch") : NULL;
    xmlChar *arch = arch_node ? xmlNodeGetContent(arch_node) : NULL;
    DomainCpu *cpu = NULL;
    const char *lack = NULL;

    if (root && strcmp((const char *)root->name, "cpu") != 0)
        kiln_error_set(err, VIR_ERR_XML_ERROR, "XML does not contain expected 'cpu' element");
    else if (root && check_kind(root, (const char *)arch, host_only, err))
        cpu = xml_type_parse(&domain_cpu_type, root, validate && !arch ? XML_STRICT : 0, err);
    if (cpu && !cpu->model)
        lack = arch                 ? "Missing CPU model name"
               : cpu->features->len ? "Non-empty feature list specified without CPU model"
                                    : NULL;
    if (lack) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "%s", lack);
        xml_type_free(&domain_cpu_type, cpu);
        cpu = NULL;
    }
    if (cpu && arch)
        forget_policies(cpu);
    xmlFree(arch);
    return cpu;
}

/* The wish that @cpu is, which is freed; one without a model asks for nothing. */
static Wish *
wish_new(const CpuMap *map, DomainCpu *cpu, GError **err)
{
    g_autoptr(Wish) wish = g_new0(Wish, 1);
    bool ok = true;

    if (cpu->model && !(wish->model = cpumap_find_model(map, cpu->model)))
        ok = kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "Unknown CPU model %s", cpu->model);
    for (int i = 0; ok && i <= DOMAIN_FEATURE_FORBID; i++)
        wish->sets[i] = i == DOMAIN_FEATURE_REQUIRE && wish->model ? features_of_model(wish->model)
                                                                   : features_new();
    for (guint i = 0; ok && i < cpu->features->len; i++) {
        const DomainCpuFeature *asked = cpu->features->pdata[i];
        const CpuMapFeature *feature = cpumap_find_feature(map, asked->name);

        if (feature)
            g_hash_table_add(wish->sets[asked->policy ? asked->policy : DOMAIN_FEATURE_REQUIRE],
                             (gpointer)feature);
        else
            ok = kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "Unknown CPU feature %s", asked->name);
    }
    if (ok) {
        wish->vendor = g_strdup(cpu->vendor);
        wish->match = cpu->match;
        remove_all(wish->sets[DOMAIN_FEATURE_REQUIRE], wish->sets[DOMAIN_FEATURE_DISABLE]);
    }
    xml_type_free(&domain_cpu_type, cpu);
    return ok ? g_steal_pointer(&wish) : NULL;
}

/* --- compare ---------------------------------------------------------------------------------- */

/* What libvirt's clients see of @facts: all of a host, and of what KVM offers that which the
 * domain capabilities' host-model names. */
static GHashTable *
reported(const CpuMap *map, const CpuFacts *facts, GHashTable *have, bool of_kvm)
{
    NodeHostModel *like = of_kvm ? cpu_facts_host_model(facts, map) : NULL;
    const CpuMapModel *model = like ? cpumap_find_model(map, like->model) : NULL;
    GHashTable *set;

    if (!like)
        return g_hash_table_ref(have);
    set = model ? features_of_model(model) : features_new();
    for (const char *const *name = like->require; *name; name++)
        g_hash_table_add(set, (gpointer)cpumap_find_feature(map, *name));
    cpu_host_model_free(like);
    return set;
}

/* Sets @ret_why for what is incompatible. @shown: what more than @wish there may be to count. */
static int
compare(const CpuMap *map, GHashTable *have, GHashTable *shown, const char *vendor,
        const Wish *wish, char **ret_why)
{
    GHashTable *const *sets = wish->sets;
    g_autoptr(GHashTable) rest = NULL;

    if (wish->vendor && g_strcmp0(wish->vendor, vendor) != 0) {
        *ret_why =
            g_strdup_printf("host CPU vendor does not match required CPU vendor %s", wish->vendor);
        return VIR_CPU_COMPARE_INCOMPATIBLE;
    }
    if (count(sets[DOMAIN_FEATURE_FORBID], have, true)) {
        g_autofree char *list = names(map, sets[DOMAIN_FEATURE_FORBID], have, true);

        *ret_why = g_strdup_printf("Host CPU provides forbidden features: %s", list);
        return VIR_CPU_COMPARE_INCOMPATIBLE;
    }
    if (count(sets[DOMAIN_FEATURE_REQUIRE], have, false)) {
        g_autofree char *list = names(map, sets[DOMAIN_FEATURE_REQUIRE], have, false);

        *ret_why = g_strdup_printf("Host CPU does not provide required features: %s", list);
        return VIR_CPU_COMPARE_INCOMPATIBLE;
    }
    rest = features_new();
    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++) {
        bool asked = false;

        for (int i = DOMAIN_FEATURE_FORCE; i <= DOMAIN_FEATURE_DISABLE; i++)
            asked |= g_hash_table_contains(sets[i], *f);
        if (!asked && g_hash_table_contains(have, *f) && g_hash_table_contains(shown, *f))
            g_hash_table_add(rest, (gpointer)*f);
    }
    if (g_hash_table_size(rest) == 0)
        return VIR_CPU_COMPARE_IDENTICAL;
    if (wish->match == DOMAIN_CPU_STRICT) {
        g_autofree char *list = names(map, rest, have, true);

        *ret_why =
            g_strdup_printf("Host CPU does not strictly match guest CPU: Extra features: %s", list);
        return VIR_CPU_COMPARE_INCOMPATIBLE;
    }
    return VIR_CPU_COMPARE_SUPERSET;
}

/* What @request is about: the host itself, or what KVM offers of it; in @ret_own when the caller
 * frees it. */
static const CpuFacts *
find_facts(Node *node, const NodeRequest *request, const CpuMap *map, CpuFacts **ret_own,
           GError **err)
{
    if (!request)
        return *ret_own = node_source(node)->read_host(map);
    return node_check_request(node, request, err) ? node_get_kvm(node, err) : NULL;
}

int
node_compare_cpu(Node *node, const NodeRequest *request, const char *xml, unsigned flags,
                 GError **err)
{
    const CpuMap *map = node_get_map(node, err);
    g_autoptr(CpuFacts) own = NULL;
    const CpuFacts *facts = map ? find_facts(node, request, map, &own, err) : NULL;
    g_autoptr(Wish) wish = NULL;
    g_autoptr(GHashTable) have = NULL;
    g_autoptr(GHashTable) shown = NULL;
    g_autofree char *why = NULL;
    DomainCpu *cpu;
    int result;

    if (!facts)
        return VIR_CPU_COMPARE_ERROR;
    cpu = parse_cpu(xml, false, flags & VIR_CONNECT_COMPARE_CPU_VALIDATE_XML, err);
    wish = cpu ? wish_new(map, cpu, err) : NULL;
    if (!wish)
        return VIR_CPU_COMPARE_ERROR;
    have = features_of_facts(map, facts);
    shown = reported(map, facts, have, request != NULL);
    result = compare(map, have, shown, cpu_facts_vendor(facts, map), wish, &why);
    if (result == VIR_CPU_COMPARE_INCOMPATIBLE &&
        (flags & VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE)) {
        kiln_error_set(err, VIR_ERR_CPU_INCOMPATIBLE, "%s", why);
        return VIR_CPU_COMPARE_ERROR;
    }
    return result;
}

/* --- baseline --------------------------------------------------------------------------------- */

/* What several hosts have in common. */
typedef struct {
    GHashTable *common;
    const char *vendor;       /* of all that have one */
    const CpuMapModel *model; /* of all, or NULL */
    bool vendor_given;        /* each said so */
} Baseline;

static bool
baseline_vendor(Baseline *base, const Wish *wish, GError **err)
{
    const char *vendor = wish->vendor ? wish->vendor : wish->model->vendor;

    base->vendor_given &= wish->vendor != NULL;
    if (!vendor)
        return true;
    if (base->vendor && strcmp(base->vendor, vendor) != 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "CPU vendors do not match");
    base->vendor = vendor;
    return true;
}

static bool
baseline_add(Baseline *base, const Wish *wish, GError **err)
{
    GHashTable *features = wish->sets[DOMAIN_FEATURE_REQUIRE];
    GHashTableIter iter;
    gpointer feature;

    if (!baseline_vendor(base, wish, err))
        return false;
    if (!base->common) {
        base->common = g_hash_table_ref(features);
        base->model = wish->model;
        return true;
    }
    if (base->model != wish->model)
        base->model = NULL;
    g_hash_table_iter_init(&iter, base->common);
    while (g_hash_table_iter_next(&iter, &feature, NULL))
        if (!g_hash_table_contains(features, feature))
            g_hash_table_iter_remove(&iter);
    return true;
}

/* The one that all hosts have, or else that which needs the fewest features named beside it. */
static const CpuMapModel *
choose_model(const CpuMap *map, const Baseline *base)
{
    const CpuMapModel *best = NULL;
    guint best_cost = 0;

    if (base->model)
        return base->model;
    for (const CpuMapModel *const *m = cpumap_models(map); *m; m++) {
        g_autoptr(GHashTable) features = features_of_model(*m);
        guint cost = count(features, base->common, false) + count(base->common, features, false);

        if (((*m)->vendor && base->vendor && strcmp((*m)->vendor, base->vendor) != 0) ||
            !(*m)->host_usable)
            continue;
        if (!best || cost < best_cost) {
            best = *m;
            best_cost = cost;
        }
    }
    return best;
}

static int
compare_names(const void *a, const void *b)
{
    const CpuMapFeature *const *one = a, *const *other = b;

    return strcmp((*one)->name, (*other)->name);
}

/* Those of @set that are not in @other, in the map's order. */
static void
add_missing(GPtrArray *list, const CpuMap *map, GHashTable *set, GHashTable *other)
{
    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++)
        if (g_hash_table_contains(set, *f) && !g_hash_table_contains(other, *f))
            g_ptr_array_add(list, (gpointer)*f);
}

/* @model must be given as it is where all hosts have it (@forbid: always, as libvirt says for a
 * hypervisor). @expand: features of the model as well, and all by their names, as libvirt sorts. */
static char *
baseline_format(const CpuMap *map, const Baseline *base, const CpuMapModel *model, bool forbid,
                bool expand)
{
    g_autoptr(GHashTable) features = features_of_model(model);
    g_autoptr(GHashTable) none = features_new();
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    GString *xml = g_string_new("<cpu mode='custom' match='exact'>\n");

    xml_line(xml, 1, "<model fallback='%s'>%s</model>",
             forbid || model == base->model ? "forbid" : "allow", model->name);
    if (base->vendor_given && base->vendor)
        xml_line(xml, 1, "<vendor>%s</vendor>", base->vendor);
    add_missing(list, map, base->common, expand ? none : features);
    add_missing(list, map, features, base->common);
    if (expand && list->len)
        qsort(list->pdata, list->len, sizeof(gpointer), compare_names);
    for (guint i = 0; i < list->len; i++) {
        const CpuMapFeature *feature = list->pdata[i];

        xml_line(xml, 1, "<feature policy='%s' name='%s'/>",
                 g_hash_table_contains(base->common, feature) ? "require" : "disable",
                 feature->name);
    }
    g_string_append(xml, "</cpu>\n");
    return g_string_free(xml, FALSE);
}

/* Bits that say what a guest's system has switched on: no definition can ask for them. */
static bool
is_switched_by_guest(const CpuMapFeature *feature)
{
    return strcmp(feature->name, "osxsave") == 0 || strcmp(feature->name, "ospke") == 0;
}

/* Takes away what is not for guests, or (@migratable) for those that migrate, and (@facts) what KVM
 * does not offer. */
static void
baseline_narrow(Baseline *base, const CpuFacts *facts, bool migratable)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, base->common);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const CpuMapFeature *feature = key;

        if (is_switched_by_guest(feature) || (migratable && !feature->migratable) ||
            (facts && !cpu_facts_have(facts, feature)))
            g_hash_table_iter_remove(&iter);
    }
}

char *
node_baseline_cpu(Node *node, const NodeRequest *request, const char *const *xml, size_t n,
                  unsigned flags, GError **err)
{
    const CpuMap *map = node_get_map(node, err);
    g_autoptr(CpuFacts) own = NULL;
    const CpuFacts *facts = map && request ? find_facts(node, request, map, &own, err) : NULL;
    g_autoptr(GPtrArray) wishes = g_ptr_array_new_with_free_func((GDestroyNotify)wish_free);
    Baseline base = { .vendor_given = true };
    const CpuMapModel *model = NULL;
    char *text = NULL;
    bool ok = map && (facts || !request);

    if (ok && n == 0)
        ok = kiln_error_set(err, VIR_ERR_INVALID_ARG, "no CPUs given");
    for (size_t i = 0; ok && i < n; i++) {
        DomainCpu *cpu = parse_cpu(xml[i], !request, false, err);
        Wish *wish = cpu ? wish_new(map, cpu, err) : NULL;

        ok = wish != NULL;
        if (wish)
            g_ptr_array_add(wishes, wish);
        if (ok && !wish->model)
            ok = kiln_error_set(err, VIR_ERR_INVALID_ARG, "no CPU model specified at index %zu", i);
        ok = ok && baseline_add(&base, wish, err);
    }
    if (ok)
        baseline_narrow(&base, facts, flags & VIR_CONNECT_BASELINE_CPU_MIGRATABLE);
    if (ok && (g_hash_table_size(base.common) == 0 || !(model = choose_model(map, &base))))
        ok = kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "CPUs are incompatible");
    if (ok)
        text = baseline_format(map, &base, model, request != NULL,
                               flags & VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES);
    if (base.common)
        g_hash_table_unref(base.common);
    return text;
}
