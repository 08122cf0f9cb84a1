/* domain_harness.c - a domain manager in a directory of its own, with a program that plays the VMM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_harness.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HARNESS_WAIT_MS = 10000, HARNESS_STEP_MS = 5 };

static void
on_event(void *opaque, const DomainEvent *event)
{
    Harness *harness = opaque;

    g_mutex_lock(&harness->lock);
    if (event->id == VIR_DOMAIN_EVENT_ID_LIFECYCLE)
        g_string_append_printf(harness->events, "%s %d %d\n", event->name, event->event,
                               event->detail);
    else
        g_string_append_printf(harness->events, "%s id%d %" G_GUINT64_FORMAT "\n", event->name,
                               event->id, event->value);
    g_mutex_unlock(&harness->lock);
}

static void
on_warn(void *opaque, const char *message)
{
    Harness *harness = opaque;

    g_mutex_lock(&harness->lock);
    g_string_append_printf(harness->warnings, "%s\n", message);
    g_mutex_unlock(&harness->lock);
}

static const DomainOps ops = { .event = on_event, .warn = on_warn };

static char *
below(const Harness *harness, const char *name)
{
    return g_build_filename(harness->dir, name, NULL);
}

void
harness_begin(Harness *harness)
{
    g_autofree char *etc = below(harness, "etc");
    g_autofree char *run = below(harness, "run");
    g_autofree char *lib = below(harness, "lib");
    g_autofree char *log = below(harness, "log");
    DomainConfig config = {
        .config_dir = etc,
        .run_dir = run,
        .lib_dir = lib,
        .log_dir = log,
        .hook_program = harness->hook,
        .vmm = getenv("KILN_FAKE_VMM"),
        .kvm_device = "/dev/null",
        .privileged = false,
    };
    g_autoptr(GError) err = NULL;

    assert_non_null(config.vmm);
    harness->manager = domain_manager_new(&config, NULL, &ops, harness);
    if (!domain_manager_load(harness->manager, &err))
        fail_msg("%s", err->message);
}

int
harness_setup(void **state)
{
    Harness *harness = g_new0(Harness, 1);

    harness->dir = g_dir_make_tmp("kiln-domain-XXXXXX", NULL);
    harness->kernel = below(harness, "kernel");
    harness->hook = below(harness, "hook");
    harness->events = g_string_new(NULL);
    harness->warnings = g_string_new(NULL);
    g_mutex_init(&harness->lock);
    assert_true(g_file_set_contents(harness->kernel, "kernel", -1, NULL));
    *state = harness;
    harness_begin(harness);
    return 0;
}

void
harness_stop(Harness *harness)
{
    g_clear_pointer(&harness->manager, domain_manager_free);
}

static void
remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && !g_file_test(path, G_FILE_TEST_IS_SYMLINK) && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        remove_tree(child);
    }
    g_remove(path);
}

int
harness_teardown(void **state)
{
    Harness *harness = *state;
    g_autoptr(GPtrArray) active =
        domain_manager_list(harness->manager, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    unsigned left;

    for (guint i = 0; i < active->len; i++)
        domain_destroy(active->pdata[i], 0, NULL);
    g_ptr_array_set_size(active, 0);
    left = harness_count(harness, "run", ".status") + harness_count(harness, "run", ".monitor") +
           harness_count(harness, "lib/channel", "");
    domain_manager_free(harness->manager);
    remove_tree(harness->dir);
    g_string_free(harness->events, TRUE);
    g_string_free(harness->warnings, TRUE);
    g_mutex_clear(&harness->lock);
    g_free(harness->dir);
    g_free(harness->kernel);
    g_free(harness->hook);
    g_free(harness);
    return left == 0 ? 0 : -1;
}

void
harness_set_hook(Harness *harness, const char *content)
{
    assert_true(g_file_set_contents(harness->hook, content, -1, NULL));
    assert_int_equal(chmod(harness->hook, 0755), 0);
}

char *
harness_xml(const Harness *harness, const char *name, const char *behaviour, const char *extra,
            const char *devices)
{
    return g_strdup_printf(
        "<domain type='kvm'><name>%s</name><memory unit='MiB'>64</memory>"
        "<vcpu>2</vcpu>"
        "<os><type arch='x86_64' machine='q35'>hvm</type><kernel>%s</kernel>"
        "<cmdline>%s</cmdline></os>%s"
        "<devices><serial type='pty'/><console type='pty'/>%s</devices></domain>",
        name, harness->kernel, behaviour, extra, devices);
}

Domain *
harness_define(Harness *harness, const char *name, const char *behaviour, const char *extra)
{
    g_autofree char *xml = harness_xml(harness, name, behaviour, extra, "");
    g_autoptr(GError) err = NULL;
    Domain *domain = domain_manager_define(harness->manager, xml, 0, &err);

    if (!domain)
        fail_msg("%s", err->message);
    return domain;
}

Domain *
harness_start(Harness *harness, const char *name, const char *behaviour, const char *extra)
{
    Domain *domain = harness_define(harness, name, behaviour, extra);
    g_autoptr(GError) err = NULL;

    if (!domain_start(domain, 0, NULL, &err))
        fail_msg("%s", err->message);
    return domain;
}

void
harness_wait_state(Domain *domain, int state, int reason)
{
    int now = 0, why = 0;

    for (int ms = 0; ms < HARNESS_WAIT_MS; ms += HARNESS_STEP_MS) {
        now = domain_state(domain, &why);
        if (now == state && (reason < 0 || why == reason))
            return;
        g_usleep(HARNESS_STEP_MS * 1000);
    }
    fail_msg("state is %d (%d), not %d (%d)", now, why, state, reason);
}

static bool
has(Harness *harness, const GString *text, const char *part)
{
    bool found;

    g_mutex_lock(&harness->lock);
    found = strstr(text->str, part) != NULL;
    g_mutex_unlock(&harness->lock);
    return found;
}

bool
harness_has_event(Harness *harness, const char *text)
{
    return has(harness, harness->events, text);
}

bool
harness_has_warning(Harness *harness, const char *text)
{
    return has(harness, harness->warnings, text);
}

void
harness_wait_event(Harness *harness, const char *text)
{
    for (int ms = 0; ms < HARNESS_WAIT_MS; ms += HARNESS_STEP_MS) {
        if (harness_has_event(harness, text))
            return;
        g_usleep(HARNESS_STEP_MS * 1000);
    }
    fail_msg("no event '%s' in:\n%s", text, harness->events->str);
}

pid_t
harness_pid(Harness *harness, Domain *domain)
{
    g_autofree char *name = domain_dup_name(domain);
    g_autofree char *path = g_strdup_printf("%s/run/%s.status", harness->dir, name);
    g_autofree char *text = NULL;
    const char *at;

    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    at = strstr(text, "pid='");
    assert_non_null(at);
    return atoi(at + 5);
}

unsigned
harness_count(const Harness *harness, const char *dir, const char *suffix)
{
    g_autofree char *path = below(harness, dir);
    g_autoptr(GDir) list = g_dir_open(path, 0, NULL);
    const char *name;
    unsigned n = 0;

    while (list && (name = g_dir_read_name(list)))
        n += g_str_has_suffix(name, suffix);
    return n;
}

void
harness_tell(Domain *domain, const char *command)
{
    g_autofree char *line = g_strdup_printf("{\"execute\":\"%s\"}", command);
    g_autoptr(GError) err = NULL;
    g_autofree char *reply = domain_monitor_command(domain, line, -1, false, &err);

    if (!reply)
        fail_msg("%s", err->message);
}
