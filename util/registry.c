/* registry.c - registries of host objects by name and UUID.
 *
 * Wording of errors follows libvirt's lists of objects.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/registry.h"

#include <string.h>
#include <unistd.h>

#include "util/deffiles.h"
#include "util/error.h"
#include "util/file.h"
#include "util/uuid.h"

enum { SETTLE_SECONDS = 10 };

static const char *
name_of(const RegistryClass *class, const void *def)
{
    return G_STRUCT_MEMBER(const char *, def, class->def_name);
}

static const char *
uuid_of(const RegistryClass *class, const void *def)
{
    return G_STRUCT_MEMBER(const char *, def, class->def_uuid);
}

void
registry_init(Registry *r, const RegistryClass *class, const char *config_dir, const char *run_dir,
              void (*warn)(void *opaque, const char *message), void *opaque)
{
    g_atomic_ref_count_init(&r->refs);
    r->class = class;
    r->config_dir = g_strdup(config_dir);
    r->run_dir = g_strdup(run_dir);
    r->warn = warn;
    r->opaque = opaque;
    g_mutex_init(&r->change);
    g_mutex_init(&r->lock);
    g_cond_init(&r->turned);
    r->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, registry_unref);
    r->by_uuid = g_hash_table_new(kiln_uuid_hash, kiln_uuid_equal);
}

static void
let_go(Registry *r)
{
    if (!g_atomic_ref_count_dec(&r->refs))
        return;
    g_hash_table_unref(r->by_uuid);
    g_hash_table_unref(r->by_name);
    g_mutex_clear(&r->change);
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->turned);
    g_free(r->config_dir);
    g_free(r->run_dir);
    r->class->registry_free(r);
}

void
registry_close(Registry *r)
{
    /* Objects refer to the registry: without this its last reference would never go. */
    g_mutex_lock(&r->change);
    g_hash_table_remove_all(r->by_uuid);
    g_hash_table_remove_all(r->by_name);
    g_mutex_unlock(&r->change);
    let_go(r);
}

void
registry_warn(const Registry *r, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    if (!r->warn)
        return;
    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    r->warn(r->opaque, message);
}

/* --- objects ---------------------------------------------------------------------------------- */

void
registry_object_init(Registry *r, RegistryObject *object, const void *def)
{
    g_atomic_ref_count_init(&object->refs);
    g_atomic_ref_count_inc(&r->refs);
    object->registry = r;
    object->name = g_strdup(name_of(r->class, def));
    kiln_uuid_parse(uuid_of(r->class, def), object->uuid);
}

void
registry_enter(RegistryObject *object)
{
    Registry *r = object->registry;

    g_mutex_lock(&r->lock);
    object->registered = true;
    g_hash_table_insert(r->by_uuid, object->uuid, object);
    g_hash_table_insert(r->by_name, object->name, object);
    g_mutex_unlock(&r->lock);
}

void
registry_drop(RegistryObject *object)
{
    Registry *r = object->registry;

    /* The table's reference may be the last one. */
    registry_ref(object);
    g_mutex_lock(&r->lock);
    object->registered = false;
    g_hash_table_remove(r->by_uuid, object->uuid);
    g_hash_table_remove(r->by_name, object->name);
    g_mutex_unlock(&r->lock);
    registry_unref(object);
}

void *
registry_ref(void *object)
{
    g_atomic_ref_count_inc(&((RegistryObject *)object)->refs);
    return object;
}

void
registry_unref(void *opaque)
{
    RegistryObject *object = opaque;
    Registry *r;

    if (!object || !g_atomic_ref_count_dec(&object->refs))
        return;
    r = object->registry;
    g_free(object->name);
    r->class->object_free(object);
    let_go(r);
}

static void
set_missing(const RegistryClass *class, bool uuid, const char *text, GError **err)
{
    kiln_error_set(err, class->missing, "no %s with matching %s '%s'", class->what,
                   uuid ? "uuid" : "name", text);
}

bool
registry_check(const RegistryObject *object, GError **err)
{
    if (!object->registered)
        set_missing(object->registry->class, object->registry->class->unnamed, object->name, err);
    return object->registered;
}

bool
registry_flag(const RegistryObject *object, const bool *flag)
{
    bool is;

    g_mutex_lock(&object->registry->lock);
    is = *flag;
    g_mutex_unlock(&object->registry->lock);
    return is;
}

void
registry_replace(const RegistryObject *object, void *place, void *def)
{
    void **to = place, *old;

    g_mutex_lock(&object->registry->lock);
    old = *to;
    *to = def;
    g_mutex_unlock(&object->registry->lock);
    object->registry->class->free(old);
}

void
registry_set_turning(RegistryObject *object, bool turning)
{
    g_mutex_lock(&object->registry->lock);
    object->turning = turning;
    g_cond_broadcast(&object->registry->turned);
    g_mutex_unlock(&object->registry->lock);
}

void
registry_lock_settled(RegistryObject *object)
{
    Registry *r = object->registry;
    gint64 end = g_get_monotonic_time() + SETTLE_SECONDS * G_TIME_SPAN_SECOND;

    g_mutex_lock(&r->lock);
    while (object->turning && g_cond_wait_until(&r->turned, &r->lock, end))
        ;
}

/* --- finding ---------------------------------------------------------------------------------- */

void *
registry_peek(const Registry *r, const char *name)
{
    return g_hash_table_lookup(r->by_name, name);
}

static void *
lookup(Registry *r, GHashTable *table, const void *key)
{
    void *object;

    g_mutex_lock(&r->lock);
    object = g_hash_table_lookup(table, key);
    if (object)
        registry_ref(object);
    g_mutex_unlock(&r->lock);
    return object;
}

void *
registry_lookup_name(Registry *r, const char *name, GError **err)
{
    void *object = lookup(r, r->by_name, name);

    if (!object)
        set_missing(r->class, false, name, err);
    return object;
}

void *
registry_lookup_uuid(Registry *r, const uint8_t uuid[16], GError **err)
{
    void *object = lookup(r, r->by_uuid, uuid);

    if (!object) {
        g_autofree char *text = kiln_uuid_format(uuid);

        set_missing(r->class, true, text, err);
    }
    return object;
}

void *
registry_find(Registry *r, RegistryMatch match, const void *what)
{
    g_autoptr(GPtrArray) all = registry_list(r, match, what);

    return all->len ? registry_ref(all->pdata[0]) : NULL;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    const RegistryObject *x = *(RegistryObject *const *)a, *y = *(RegistryObject *const *)b;

    return strcmp(x->name, y->name);
}

GPtrArray *
registry_list(Registry *r, RegistryMatch match, const void *what)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(registry_unref);
    GHashTableIter iter;
    gpointer object;

    g_mutex_lock(&r->lock);
    g_hash_table_iter_init(&iter, r->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &object))
        if (!match || match(object, what))
            g_ptr_array_add(list, registry_ref(object));
    g_mutex_unlock(&r->lock);
    g_ptr_array_sort(list, compare_names);
    return list;
}

bool
registry_allows(unsigned flags, unsigned yes, unsigned no, bool is)
{
    return !(flags & (yes | no)) || (flags & (is ? yes : no));
}

bool
registry_find_same(Registry *r, const void *def, void *ret, GError **err)
{
    const char *name = name_of(r->class, def), *text = uuid_of(r->class, def);
    RegistryObject *by_name = registry_peek(r, name), *by_uuid, **same = ret;
    uint8_t uuid[16];

    kiln_uuid_parse(text, uuid);
    by_uuid = g_hash_table_lookup(r->by_uuid, uuid);
    if (by_uuid && strcmp(by_uuid->name, name) != 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "%s '%s' is already defined with uuid %s", r->class->brief,
                              by_uuid->name, text);
    if (by_name && by_name != by_uuid) {
        g_autofree char *other = kiln_uuid_format(by_name->uuid);

        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "%s '%s' already exists with uuid %s",
                              r->class->brief, name, other);
    }
    *same = by_name;
    return true;
}

/* --- files ------------------------------------------------------------------------------------ */

static bool
store(const Registry *r, const char *dir, const void *def, GError **err)
{
    g_autofree char *xml = r->class->format(def);
    g_autofree char *text =
        g_strdup_printf("<!--\n"
                        "Kiln writes this file; changes to it may be lost. Use instead:\n"
                        "  %s\n"
                        "-->\n"
                        "%s",
                        r->class->edit, xml);

    return def_file_write(dir, name_of(r->class, def), text, err);
}

bool
registry_store(const Registry *r, const void *def, GError **err)
{
    return store(r, r->config_dir, def, err);
}

bool
registry_store_active(const Registry *r, const void *def, GError **err)
{
    return store(r, r->run_dir, def, err);
}

bool
registry_remove(const RegistryObject *object, GError **err)
{
    return def_file_remove_linked(object->registry->config_dir, object->name, err);
}

void
registry_remove_active(const RegistryObject *object)
{
    def_file_remove(object->registry->run_dir, object->name, NULL);
}

/* The definition in @file of @dir, or NULL with @err. */
static void *
read_def(const RegistryClass *class, const char *dir, const char *file, GError **err)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    g_autofree char *text = file_read_limited(path, DEF_FILE_MAX, NULL, err);
    void *def = text ? class->parse(text, 0, err) : NULL;

    if (def && !def_file_check_name(file, name_of(class, def), err))
        g_clear_pointer(&def, class->free);
    return def;
}

/* Takes @def into @defs, unless it has the UUID of one that is there. */
static void
take_def(const Registry *r, GPtrArray *defs, void *def)
{
    const RegistryClass *class = r->class;

    for (guint i = 0; i < defs->len; i++) {
        if (strcmp(uuid_of(class, defs->pdata[i]), uuid_of(class, def)) != 0)
            continue;
        registry_warn(r, "%s '%s' is passed over: %s '%s' has the same uuid %s", class->what,
                      name_of(class, def), class->what, name_of(class, defs->pdata[i]),
                      uuid_of(class, def));
        class->free(def);
        return;
    }
    g_ptr_array_add(defs, def);
}

GPtrArray *
registry_load(const Registry *r, const char *dir, GError **err)
{
    g_autoptr(GPtrArray) files = def_file_list(dir, err);
    GPtrArray *defs;

    if (!files)
        return NULL;
    defs = g_ptr_array_new_with_free_func(r->class->free);
    for (guint i = 0; i < files->len; i++) {
        const char *file = files->pdata[i];
        g_autoptr(GError) bad = NULL;
        void *def = read_def(r->class, dir, file, &bad);

        if (def)
            take_def(r, defs, def);
        else
            registry_warn(r, "%s definition '%s/%s' is passed over: %s", r->class->what, dir, file,
                          bad->message);
    }
    return defs;
}

bool
registry_set_autostart(RegistryObject *object, bool autostart, GError **err)
{
    Registry *r = object->registry;

    if (!def_file_set_autostart(r->config_dir, object->name, autostart, err))
        return false;
    g_mutex_lock(&r->lock);
    object->autostart = autostart;
    g_mutex_unlock(&r->lock);
    return true;
}

void
registry_autostart(Registry *r, bool (*start)(RegistryObject *object, GError **err))
{
    g_autofree char *flag = g_strdup_printf("%s/autostarted", r->run_dir);
    g_autoptr(GPtrArray) all = NULL;

    if (access(flag, F_OK) == 0)
        return;
    all = registry_list(r, NULL, NULL);
    for (guint i = 0; i < all->len; i++) {
        RegistryObject *object = all->pdata[i];
        g_autoptr(GError) err = NULL;

        if (object->autostart && !start(object, &err))
            registry_warn(r, "%s '%s' does not start: %s", r->class->what, object->name,
                          err->message);
    }
    file_write_atomic(flag, "", 0, 0644, NULL);
}

bool
registry_wants_default(const Registry *r)
{
    g_autofree char *links = g_strdup_printf("%s/autostart", r->config_dir);

    return access(links, F_OK) < 0 && !registry_peek(r, "default");
}
