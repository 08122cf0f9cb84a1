/* registry.h - registries of host objects by name and UUID: what networks, storage pools and
 * secrets have in common. Their definitions, and what they do with them, are their rooms'.
 *
 * A room's manager starts with a Registry and its object with a RegistryObject. Files:
 *   CONFIG/NAME.xml            persistent definition
 *   CONFIG/autostart/NAME.xml  link to it
 *   RUN/NAME.xml               definition of what is active
 *   RUN/autostarted            there, once what is marked has been started
 *
 * Locks, in the order in which they are taken:
 *   change   held while anything of the registry changes; may be held long.
 *   lock     short; guards the tables, and all fields of objects that are not marked constant.
 *            Whoever holds `change` may read the tables without it, and takes it to write.
 * Functions take `lock` themselves; those that say so want `change` held.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_REGISTRY_H
#define KILN_UTIL_REGISTRY_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Registry Registry;
typedef struct RegistryObject RegistryObject;

/* A kind of object. Definitions are pointers that only the room understands. */
typedef struct {
    const char *what;  /* in messages: "storage pool" */
    const char *brief; /* the same where libvirt is brief: "pool" */
    const char *edit;  /* the command that changes a definition, for the head of its file */
    int missing;       /* virErrorNumber when there is none */
    bool unnamed;      /* its UUID is its name, also in messages */

    /* @flags are the room's; here always 0. */
    void *(*parse)(const char *text, unsigned flags, GError **err);
    char *(*format)(const void *def);
    GDestroyNotify free;
    size_t def_name, def_uuid; /* where a definition has these two strings */

    /* The last reference is gone: frees what is the room's, and the structure. */
    void (*object_free)(RegistryObject *object);
    void (*registry_free)(Registry *registry);
} RegistryClass;

struct Registry {
    gatomicrefcount refs; /* one of each object, too */
    const RegistryClass *class;
    char *config_dir, *run_dir; /* constant; no run_dir where nothing is active */
    void (*warn)(void *opaque, const char *message);
    void *opaque;

    GMutex change, lock;
    GCond turned;        /* an object has started or stopped; with `lock` */
    GHashTable *by_name; /* name → RegistryObject, a reference */
    GHashTable *by_uuid; /* uuid → the same, no reference */
};

struct RegistryObject {
    gatomicrefcount refs;
    Registry *registry; /* a reference */
    char *name;         /* constant, as is the next */
    uint8_t uuid[16];
    bool autostart;
    bool turning;    /* it is being started or stopped */
    bool registered; /* false: dropped, while somebody waited for `change` */
};

/* @warn may be NULL; with it and @opaque something is told that belongs in the log. */
void registry_init(Registry *registry, const RegistryClass *class, const char *config_dir,
                   const char *run_dir, void (*warn)(void *opaque, const char *message),
                   void *opaque);
/* The room lets go: objects are dropped, what others hold stays readable. */
void registry_close(Registry *registry);
void registry_warn(const Registry *registry, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* --- objects ---------------------------------------------------------------------------------- */

/* Sets up @object, which is all zeros, with the name and UUID of @def, as an object that nobody
 * else sees yet. registry_enter() puts it into the tables, which take the reference. With
 * `change`. */
void registry_object_init(Registry *registry, RegistryObject *object, const void *def);
void registry_enter(RegistryObject *object);
/* Takes it out of the tables; it may be gone afterwards. With `change`, or with a lock of the
 * object's own that keeps others from doing the same. */
void registry_drop(RegistryObject *object);

/* For any pointer to an object's structure; unref takes NULL. */
void *registry_ref(void *object);
void registry_unref(void *object);

/* False with the class's error when the object was dropped. */
bool registry_check(const RegistryObject *object, GError **err);

/* Reads one of the object's flags, or replaces a definition at @place (a pointer to a pointer)
 * by @def, which it takes. */
bool registry_flag(const RegistryObject *object, const bool *flag);
void registry_replace(const RegistryObject *object, void *place, void *def);

/* Before and after a start or a stop, with what keeps others from doing the same. */
void registry_set_turning(RegistryObject *object, bool turning);
/* Takes `lock`, once no turn is under way: a client that is told how it was before, after the event
 * that says how it is, would believe it for good. What takes longer than ten seconds (a hook that
 * asks, a server that is silent) is read as it stands. */
void registry_lock_settled(RegistryObject *object);

/* --- finding ---------------------------------------------------------------------------------- */

/* Borrowed, or NULL. With `change` or `lock`. */
void *registry_peek(const Registry *registry, const char *name);

/* References, or NULL with the class's error. */
void *registry_lookup_name(Registry *registry, const char *name, GError **err);
void *registry_lookup_uuid(Registry *registry, const uint8_t uuid[16], GError **err);

/* @match is called with `lock`. */
typedef bool (*RegistryMatch)(const void *object, const void *what);
/* A reference to one that matches, or NULL. */
void *registry_find(Registry *registry, RegistryMatch match, const void *what);
/* All that match (references, owned by the array), sorted by name; NULL: all. */
GPtrArray *registry_list(Registry *registry, RegistryMatch match, const void *what);

/* Whether flags of a list call with a group of two opposites let through what @is the first. */
bool registry_allows(unsigned flags, unsigned yes, unsigned no, bool is);

/* The object that @def is a definition of, borrowed, in @ret; none is no error, one that has only
 * the name or only the UUID is. With `change`. */
bool registry_find_same(Registry *registry, const void *def, void *ret, GError **err);

/* --- files; with `change` --------------------------------------------------------------------- */

/* Keeps a definition, as the persistent one or as that of what is active. */
bool registry_store(const Registry *registry, const void *def, GError **err);
bool registry_store_active(const Registry *registry, const void *def, GError **err);
/* Takes away what is kept; only the first can fail. */
bool registry_remove(const RegistryObject *object, GError **err);
void registry_remove_active(const RegistryObject *object);
/* Readable definitions in @dir (config_dir or run_dir), owned by the array; others are told and
 * passed over. */
GPtrArray *registry_load(const Registry *registry, const char *dir, GError **err);

/* Marks it, or not, on disk and in memory. */
bool registry_set_autostart(RegistryObject *object, bool autostart, GError **err);

/* Calls @start for each that is marked, once in the life of the host (or of the run directory), so
 * that a restart of the daemon does not bring back what was stopped by hand. */
void registry_autostart(Registry *registry, bool (*start)(RegistryObject *object, GError **err));

/* Whether nothing has ever been marked and there is no 'default': the first start makes one. */
bool registry_wants_default(const Registry *registry);

#endif
