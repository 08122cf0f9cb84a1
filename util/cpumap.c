/* cpumap.c - reads libvirt's CPU model map.
 *
 * Format: the x86 part of cpu_map/index.xml and the files it includes, as libvirt 9 installs them.
 * GMarkup reads them, so that kiln-vmm need not link an XML library. Left out: other architectures,
 * model ancestors ('<model name=…/>' inside a model; none of the x86 files uses it any more).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/cpumap_private.h"

#include <string.h>

#include "util/error.h"

enum { CPUMAP_FILE_MAX = 1 << 20 }; /* the largest file of libvirt 9.0 has 30 KiB */

typedef struct {
    CpuMap *map;
    GPtrArray *includes; /* of index.xml only */
    bool in_x86;
    CpuMapFeature *feature; /* being read; NULL outside one */
    GPtrArray *aliases;
    CpuMapModel *model;
    GPtrArray *model_features;
    GArray *signatures;
} Reader;

static void
feature_free(gpointer data)
{
    CpuMapFeature *f = data;

    g_strfreev((char **)f->aliases);
    g_free((char *)f->name);
    g_free(f);
}

static void
model_free(gpointer data)
{
    CpuMapModel *m = data;

    g_free((char *)m->name);
    g_free((char *)m->vendor);
    g_free((void *)m->signatures);
    g_free((void *)m->features);
    g_free(m);
}

static const char *
attr_get(const char **names, const char **values, const char *want)
{
    for (; *names; names++, values++)
        if (strcmp(*names, want) == 0)
            return *values;
    return NULL;
}

/* Attributes here are hexadecimal or decimal words of 32 bits. */
static bool
attr_u32(const char **names, const char **values, const char *want, uint32_t *ret)
{
    const char *text = attr_get(names, values, want);
    char *end = NULL;
    guint64 n;

    if (!text)
        return false;
    n = g_ascii_strtoull(text, &end, 0);
    if (end == text || *end || n > G_MAXUINT32)
        return false;
    *ret = n;
    return true;
}

static void
feature_read_bit(CpuMapFeature *f, bool is_msr, const char **names, const char **values)
{
    static const char *const regs[] = { "eax", "ebx", "ecx", "edx" };
    uint32_t mask;

    f->bit.is_msr = is_msr;
    attr_u32(names, values, is_msr ? "index" : "eax_in", &f->bit.leaf);
    attr_u32(names, values, "ecx_in", &f->bit.subleaf);
    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++)
        if (attr_u32(names, values, regs[i], &mask) && mask) {
            f->bit.reg = i;
            f->bit.mask = mask;
        }
}

static bool
model_read_child(Reader *r, const char *element, const char **names, const char **values,
                 GError **err)
{
    const char *name = attr_get(names, values, "name");

    if (strcmp(element, "vendor") == 0) {
        g_free((char *)r->model->vendor);
        r->model->vendor = g_strdup(name);
    } else if (strcmp(element, "decode") == 0) {
        r->model->host_usable = g_strcmp0(attr_get(names, values, "host"), "on") == 0;
    } else if (strcmp(element, "signature") == 0) {
        uint32_t family = 0, model = 0, signature;

        attr_u32(names, values, "family", &family);
        attr_u32(names, values, "model", &model);
        signature = cpumap_signature(family, model);
        g_array_append_val(r->signatures, signature);
    } else if (strcmp(element, "feature") == 0) {
        const CpuMapFeature *f = name ? cpumap_find_feature(r->map, name) : NULL;

        if (!f)
            return kiln_error_set(
                err, VIR_ERR_CONFIG_UNSUPPORTED,
                "CPU model '%s' has the feature '%s', which the map does not define",
                r->model->name, name ? name : "");
        if (g_strcmp0(attr_get(names, values, "removed"), "yes") != 0)
            g_ptr_array_add(r->model_features, (gpointer)f);
    }
    return true;
}

static void
feature_begin(Reader *r, const char **names, const char **values)
{
    r->feature = g_new0(CpuMapFeature, 1);
    r->feature->name = g_strdup(attr_get(names, values, "name"));
    r->feature->migratable = g_strcmp0(attr_get(names, values, "migratable"), "no") != 0;
    r->aliases = g_ptr_array_new();
}

static void
feature_end(Reader *r)
{
    CpuMapFeature *f = r->feature;

    g_ptr_array_add(r->aliases, NULL);
    f->aliases = (const char *const *)g_ptr_array_free(g_steal_pointer(&r->aliases), FALSE);
    r->feature = NULL;
    if (!f->name) {
        feature_free(f);
        return;
    }
    g_ptr_array_add(r->map->features, f);
    g_hash_table_insert(r->map->feature_by_name, (char *)f->name, f);
    for (const char *const *a = f->aliases; *a; a++)
        g_hash_table_insert(r->map->feature_by_name, (char *)*a, f);
}

static void
model_begin(Reader *r, const char *name)
{
    r->model = g_new0(CpuMapModel, 1);
    r->model->name = g_strdup(name);
    r->model_features = g_ptr_array_new();
    r->signatures = g_array_new(TRUE, FALSE, sizeof(uint32_t));
}

static void
model_end(Reader *r)
{
    CpuMapModel *m = r->model;

    g_ptr_array_add(r->model_features, NULL);
    m->features =
        (const CpuMapFeature *const *)g_ptr_array_free(g_steal_pointer(&r->model_features), FALSE);
    m->signatures = (const uint32_t *)(void *)g_array_free(g_steal_pointer(&r->signatures), FALSE);
    r->model = NULL;
    g_ptr_array_add(r->map->models, m);
    g_hash_table_replace(r->map->model_by_name, (char *)m->name, m);
}

static void
reader_start(GMarkupParseContext *ctx, const char *element, const char **names, const char **values,
             gpointer opaque, GError **err)
{
    Reader *r = opaque;
    const char *name = attr_get(names, values, "name");

    (void)ctx;
    if (strcmp(element, "arch") == 0) {
        r->in_x86 = g_strcmp0(name, "x86") == 0;
    } else if (strcmp(element, "include") == 0) {
        const char *file = attr_get(names, values, "filename");

        if (r->includes && r->in_x86 && file)
            g_ptr_array_add(r->includes, g_strdup(file));
    } else if (r->feature) {
        if (strcmp(element, "alias") == 0 && name)
            g_ptr_array_add(r->aliases, g_strdup(name));
        else if (strcmp(element, "cpuid") == 0 || strcmp(element, "msr") == 0)
            feature_read_bit(r->feature, element[0] == 'm', names, values);
    } else if (r->model) {
        model_read_child(r, element, names, values, err);
    } else if (strcmp(element, "vendor") == 0) {
        const char *string = attr_get(names, values, "string");

        if (name && string)
            g_hash_table_insert(r->map->vendors, g_strdup(name), g_strdup(string));
    } else if (strcmp(element, "feature") == 0) {
        feature_begin(r, names, values);
    } else if (strcmp(element, "model") == 0 && name) {
        model_begin(r, name);
    }
}

static void
reader_end(GMarkupParseContext *ctx, const char *element, gpointer opaque, GError **err)
{
    Reader *r = opaque;

    (void)ctx;
    (void)err;
    if (strcmp(element, "arch") == 0)
        r->in_x86 = false;
    else if (strcmp(element, "feature") == 0 && r->feature)
        feature_end(r);
    else if (strcmp(element, "model") == 0 && r->model)
        model_end(r);
}

static void
reader_clear(Reader *r)
{
    if (r->feature)
        feature_free(g_steal_pointer(&r->feature));
    if (r->model)
        model_free(g_steal_pointer(&r->model));
    g_clear_pointer(&r->aliases, g_ptr_array_unref);
    g_clear_pointer(&r->model_features, g_ptr_array_unref);
    g_clear_pointer(&r->signatures, g_array_unref);
}

static bool
map_read_file(CpuMap *map, const char *dir, const char *name, GPtrArray *includes, GError **err)
{
    static const GMarkupParser parser = { .start_element = reader_start,
                                          .end_element = reader_end };
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) why = NULL;
    Reader reader = { .map = map, .includes = includes };
    g_autoptr(GMarkupParseContext) ctx = NULL;
    gsize len = 0;
    bool ok;

    if (!g_file_get_contents(path, &text, &len, &why))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "the CPU model map is incomplete: %s (package libvirt0 installs it)",
                              why->message);
    if (len > CPUMAP_FILE_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "CPU model map file '%s' has %" G_GSIZE_FORMAT
                              " bytes, the limit is %d",
                              path, len, CPUMAP_FILE_MAX);
    ctx = g_markup_parse_context_new(&parser, 0, &reader, NULL);
    ok = g_markup_parse_context_parse(ctx, text, len, &why) &&
         g_markup_parse_context_end_parse(ctx, &why);
    reader_clear(&reader);
    if (!ok)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "CPU model map file '%s': %s", path,
                              why->message);
    return true;
}

/* Leaves of @includes the files for vendors and features and that of @model; all of them when one
 * of these is not there under libvirt's usual name. */
static void
includes_narrow(GPtrArray *includes, const char *model)
{
    g_autofree char *own = model ? g_strdup_printf("x86_%s.xml", model) : NULL;
    const char *const wanted[] = { "x86_vendors.xml", "x86_features.xml", own, NULL };

    for (unsigned i = 0; wanted[i]; i++)
        if (!g_ptr_array_find_with_equal_func(includes, wanted[i], g_str_equal, NULL))
            return;
    for (guint i = includes->len; i-- > 0;)
        if (!g_strv_contains(wanted, includes->pdata[i]))
            g_ptr_array_remove_index(includes, i);
}

static CpuMap *
map_load(const char *dir, bool narrow, const char *model, GError **err)
{
    g_autoptr(CpuMap) map = g_new0(CpuMap, 1);
    g_autoptr(GPtrArray) includes = g_ptr_array_new_with_free_func(g_free);

    map->features = g_ptr_array_new();
    map->models = g_ptr_array_new();
    map->feature_by_name = g_hash_table_new(g_str_hash, g_str_equal);
    map->model_by_name = g_hash_table_new(g_str_hash, g_str_equal);
    map->vendors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (!map_read_file(map, dir, "index.xml", includes, err))
        return NULL;
    if (narrow)
        includes_narrow(includes, model);
    for (guint i = 0; i < includes->len; i++)
        if (!map_read_file(map, dir, includes->pdata[i], NULL, err))
            return NULL;
    g_ptr_array_add(map->features, NULL);
    g_ptr_array_add(map->models, NULL);
    return g_steal_pointer(&map);
}

CpuMap *
cpumap_load(const char *dir, GError **err)
{
    return map_load(dir, false, NULL, err);
}

CpuMap *
cpumap_load_model(const char *dir, const char *model, GError **err)
{
    return map_load(dir, true, model, err);
}

void
cpumap_free(CpuMap *map)
{
    if (!map)
        return;

    for (guint i = 0; i < map->features->len; i++)
        if (map->features->pdata[i])
            feature_free(map->features->pdata[i]);
    for (guint i = 0; i < map->models->len; i++)
        if (map->models->pdata[i])
            model_free(map->models->pdata[i]);
    g_ptr_array_unref(map->features);
    g_ptr_array_unref(map->models);
    g_hash_table_unref(map->feature_by_name);
    g_hash_table_unref(map->model_by_name);
    g_hash_table_unref(map->vendors);
    g_free(map);
}
