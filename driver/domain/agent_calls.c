/* agent_calls.c - what clients ask of a guest through its agent.
 *
 * Commands of the QEMU Guest Agent Protocol Reference (QEMU 7.2), used as libvirt 9.0's QEMU driver
 * does. Left out: suspending to disk and memory at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "driver/domain/agent.h"
#include "driver/domain/agent_info.h"
#include "driver/domain/qmp_answer.h"
#include "util/error.h"

/* @command in a conversation of its own: the "return" member. */
static JsonNode *
ask(Domain *domain, const char *command, JsonObject *args, GError **err)
{
    g_auto(DomainAgentUse) use = { 0 };

    if (!domain_agent_begin(domain, &use, err)) {
        g_clear_pointer(&args, json_object_unref);
        return NULL;
    }
    return domain_agent_execute(&use, command, args, NULL, err);
}

static bool
tell(Domain *domain, const char *command, JsonObject *args, GError **err)
{
    g_autoptr(JsonNode) answer = ask(domain, command, args, err);

    return answer != NULL;
}

/* As tell() for what the guest's end may answer. */
static bool
tell_ending(Domain *domain, const char *command, JsonObject *args, GError **err)
{
    g_auto(DomainAgentUse) use = { 0 };

    if (!domain_agent_begin(domain, &use, err)) {
        g_clear_pointer(&args, json_object_unref);
        return false;
    }
    return domain_agent_command_ending(&use, command, args, err);
}

/* A number that a command answers with; -1 with @err. */
static int64_t
ask_number(Domain *domain, const char *command, JsonObject *args, GError **err)
{
    g_autoptr(JsonNode) answer = ask(domain, command, args, err);

    if (answer && JSON_NODE_HOLDS_VALUE(answer) && json_node_get_int(answer) >= 0)
        return json_node_get_int(answer);
    if (answer)
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "malformed answer of the guest agent to %s",
                       command);
    return -1;
}

static int
ask_count(Domain *domain, const char *command, JsonObject *args, GError **err)
{
    int64_t n = ask_number(domain, command, args, err);

    return (int)MIN(n, INT_MAX);
}

static JsonArray *
strings_new(char **texts, unsigned n)
{
    JsonArray *list = json_array_new();

    for (unsigned i = 0; i < n; i++)
        json_array_add_string_element(list, texts[i]);
    return list;
}

static JsonObject *
args_text(const char *name, const char *value)
{
    JsonObject *args = json_object_new();

    json_object_set_string_member(args, name, value);
    return args;
}

bool
domain_agent_shutdown(Domain *domain, const char *mode, GError **err)
{
    return tell_ending(domain, "guest-shutdown", args_text("mode", mode), err);
}

char *
domain_agent_text(Domain *domain, const char *command, int timeout, GError **err)
{
    g_auto(DomainAgentUse) use = { 0 };

    if (!domain_agent_check_timeout(timeout, err) || !domain_agent_begin(domain, &use, err))
        return NULL;
    use.timeout = timeout;
    return domain_agent_execute_text(&use, command, err);
}

/* --- file systems ----------------------------------------------------------------------------- */

int
domain_fs_freeze(Domain *domain, char **mountpoints, unsigned n, GError **err)
{
    JsonObject *args = NULL;

    if (n > 0) {
        args = json_object_new();
        json_object_set_array_member(args, "mountpoints", strings_new(mountpoints, n));
    }
    return ask_count(domain, n > 0 ? "guest-fsfreeze-freeze-list" : "guest-fsfreeze-freeze", args,
                     err);
}

int
domain_fs_thaw(Domain *domain, GError **err)
{
    return ask_count(domain, "guest-fsfreeze-thaw", NULL, err);
}

bool
domain_fs_trim(Domain *domain, uint64_t minimum, GError **err)
{
    JsonObject *args = json_object_new();

    json_object_set_int_member(args, "minimum", (gint64)MIN(minimum, (uint64_t)INT64_MAX));
    return tell(domain, "guest-fstrim", args, err);
}

static DomainDef *
live_copy(Domain *domain)
{
    DomainDef *def;

    g_mutex_lock(&domain->lock);
    def = domain->live ? domain_def_copy(domain->live) : NULL;
    g_mutex_unlock(&domain->lock);
    return def;
}

GPtrArray *
domain_guest_filesystems(Domain *domain, GError **err)
{
    g_autoptr(JsonNode) answer = ask(domain, "guest-get-fsinfo", NULL, err);
    g_autoptr(DomainDef) def = live_copy(domain);

    return answer ? agent_filesystems(answer, def) : NULL;
}

/* --- clock, accounts -------------------------------------------------------------------------- */

bool
domain_guest_time(Domain *domain, int64_t *ret_ns, GError **err)
{
    int64_t ns = ask_number(domain, "guest-get-time", NULL, err);

    if (ns >= 0)
        *ret_ns = ns;
    return ns >= 0;
}

bool
domain_set_guest_time(Domain *domain, int64_t ns, bool sync, GError **err)
{
    JsonObject *args = NULL;

    if (!sync) {
        args = json_object_new();
        json_object_set_int_member(args, "time", ns);
    }
    return tell(domain, "guest-set-time", args, err);
}

bool
domain_set_user_password(Domain *domain, const char *user, const char *password, bool encrypted,
                         GError **err)
{
    g_autofree char *text = g_base64_encode((const guchar *)password, strlen(password));
    JsonObject *args = args_text("username", user);

    json_object_set_string_member(args, "password", text);
    json_object_set_boolean_member(args, "crypted", encrypted);
    return tell(domain, "guest-set-user-password", args, err);
}

GPtrArray *
domain_ssh_keys(Domain *domain, const char *user, GError **err)
{
    g_autoptr(JsonNode) answer =
        ask(domain, "guest-ssh-get-authorized-keys", args_text("username", user), err);
    JsonArray *list = NULL;
    GPtrArray *keys;

    if (!answer)
        return NULL;
    if (JSON_NODE_HOLDS_OBJECT(answer))
        list = agent_list(json_object_get_member(json_node_get_object(answer), "keys"));
    if (!list) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                       "guest-ssh-get-authorized-keys did not answer with keys");
        return NULL;
    }
    keys = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonNode *key = json_array_get_element(list, i);

        if (JSON_NODE_HOLDS_VALUE(key) && json_node_get_string(key))
            g_ptr_array_add(keys, g_strdup(json_node_get_string(key)));
    }
    return keys;
}

bool
domain_set_ssh_keys(Domain *domain, const char *user, char **keys, unsigned n, unsigned flags,
                    GError **err)
{
    bool remove = flags & VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE;
    JsonObject *args = args_text("username", user);

    json_object_set_array_member(args, "keys", strings_new(keys, n));
    if (!remove)
        json_object_set_boolean_member(args, "reset",
                                       !(flags & VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND));
    return tell(domain,
                remove ? "guest-ssh-remove-authorized-keys" : "guest-ssh-add-authorized-keys", args,
                err);
}

/* --- sleep ------------------------------------------------------------------------------------ */

bool
domain_guest_suspend(Domain *domain, unsigned target, GError **err)
{
    bool memory = target == VIR_NODE_SUSPEND_TARGET_MEM, disabled;

    if (target == VIR_NODE_SUSPEND_TARGET_HYBRID)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "suspending to disk and memory at once is not supported");
    if (!memory && target != VIR_NODE_SUSPEND_TARGET_DISK)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Unknown suspend target: %u", target);
    g_mutex_lock(&domain->lock);
    /* Unless it is said, guests are offered S4 but not S3. */
    disabled = domain->live && (memory ? domain->live->pm_mem != TRISTATE_ON
                                       : domain->live->pm_disk == TRISTATE_OFF);
    g_mutex_unlock(&domain->lock);
    if (disabled)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "%s state is disabled for this domain", memory ? "S3" : "S4");
    return tell_ending(domain, memory ? "guest-suspend-ram" : "guest-suspend-disk", NULL, err);
}

/* --- processors ------------------------------------------------------------------------------- */

typedef struct {
    int64_t id;
    bool online, offlinable;
} GuestCpu;

static GArray *
guest_cpus(DomainAgentUse *use, GError **err)
{
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *list = domain_agent_execute_list(use, "guest-get-vcpus", &owner, NULL, err);
    GArray *cpus;

    if (!list)
        return NULL;
    cpus = g_array_new(FALSE, FALSE, sizeof(GuestCpu));
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonObject *from = qmp_element(list, i);
        JsonNode *online = from ? json_object_get_member(from, "online") : NULL;
        JsonNode *can = from ? json_object_get_member(from, "can-offline") : NULL;
        GuestCpu cpu = { .id = qmp_number(from, "logical-id") };

        if (cpu.id < 0 || cpu.id > UINT16_MAX)
            continue;
        cpu.online = online && JSON_NODE_HOLDS_VALUE(online) && json_node_get_boolean(online);
        cpu.offlinable = can && JSON_NODE_HOLDS_VALUE(can) && json_node_get_boolean(can);
        g_array_append_val(cpus, cpu);
    }
    return cpus;
}

/* Tells the guest what @cpus are to be from now on. It may do some of it only: it is told the rest
 * again. */
static bool
guest_cpus_set(DomainAgentUse *use, GArray *cpus, GError **err)
{
    guint done = 0;

    while (done < cpus->len) {
        g_autoptr(JsonNode) answer = NULL;
        JsonObject *args = json_object_new();
        JsonArray *list = json_array_new();
        int64_t n;

        for (guint i = done; i < cpus->len; i++) {
            const GuestCpu *cpu = &g_array_index(cpus, GuestCpu, i);
            JsonObject *entry = json_object_new();

            json_object_set_int_member(entry, "logical-id", cpu->id);
            json_object_set_boolean_member(entry, "online", cpu->online);
            json_array_add_object_element(list, entry);
        }
        json_object_set_array_member(args, "vcpus", list);
        if (!(answer = domain_agent_execute(use, "guest-set-vcpus", args, NULL, err)))
            return false;
        n = JSON_NODE_HOLDS_VALUE(answer) ? json_node_get_int(answer) : 0;
        if (n <= 0 || n > cpus->len - done)
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                  "failed to set state of cpu %" PRId64 " via guest agent",
                                  g_array_index(cpus, GuestCpu, done).id);
        done += n;
    }
    return true;
}

static char *
cpu_list(GArray *cpus, bool (*choose)(const GuestCpu *cpu))
{
    g_autoptr(GString) text = g_string_new(NULL);
    char *list;

    for (guint i = 0; i < cpus->len; i++) {
        const GuestCpu *cpu = &g_array_index(cpus, GuestCpu, i);

        if (choose(cpu))
            g_string_append_printf(text, "%s%" PRId64, text->len ? "," : "", cpu->id);
    }
    list = text->len ? xml_cpuset_canonical(text->str, UINT16_MAX, NULL) : NULL;
    return list ? list : g_strdup("");
}

static bool
cpu_any(const GuestCpu *cpu)
{
    (void)cpu;
    return true;
}

static bool
cpu_online(const GuestCpu *cpu)
{
    return cpu->online;
}

static bool
cpu_offlinable(const GuestCpu *cpu)
{
    return cpu->offlinable;
}

void
domain_guest_vcpus_clear(DomainGuestVcpus *vcpus)
{
    g_free(vcpus->vcpus);
    g_free(vcpus->online);
    g_free(vcpus->offlinable);
    *vcpus = (DomainGuestVcpus){ 0 };
}

bool
domain_guest_vcpus(Domain *domain, DomainGuestVcpus *ret, GError **err)
{
    g_auto(DomainAgentUse) use = { 0 };
    g_autoptr(GArray) cpus = NULL;

    if (!domain_agent_begin(domain, &use, err) || !(cpus = guest_cpus(&use, err)))
        return false;
    *ret = (DomainGuestVcpus){ cpu_list(cpus, cpu_any), cpu_list(cpus, cpu_online),
                               cpu_list(cpus, cpu_offlinable) };
    return true;
}

static GuestCpu *
cpu_find(GArray *cpus, int64_t id)
{
    for (guint i = 0; i < cpus->len; i++)
        if (g_array_index(cpus, GuestCpu, i).id == id)
            return &g_array_index(cpus, GuestCpu, i);
    return NULL;
}

bool
domain_set_guest_vcpus(Domain *domain, const char *map, int online, GError **err)
{
    g_auto(DomainAgentUse) use = { 0 };
    g_autofree char *canonical = NULL;
    g_autoptr(GArray) numbers = NULL, cpus = NULL;
    g_autoptr(GArray) wanted = g_array_new(FALSE, FALSE, sizeof(GuestCpu));

    if (online != 0 && online != 1)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unsupported state value");
    if (!(canonical = xml_cpuset_canonical(map, UINT16_MAX, err)))
        return false;
    numbers = xml_cpuset_numbers(canonical);
    if (!domain_agent_begin(domain, &use, err) || !(cpus = guest_cpus(&use, err)))
        return false;
    for (guint i = 0; i < numbers->len; i++) {
        unsigned id = g_array_index(numbers, unsigned, i);
        GuestCpu *cpu = cpu_find(cpus, id);

        if (!cpu)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "vcpu '%u' not found", id);
        if (!online && !cpu->offlinable)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "vcpu '%u' can't be offlined", id);
        cpu->online = online;
        g_array_append_val(wanted, *cpu);
    }
    return guest_cpus_set(&use, wanted, err);
}

static unsigned
count_online(GArray *cpus)
{
    unsigned n = 0;

    for (guint i = 0; i < cpus->len; i++)
        n += g_array_index(cpus, GuestCpu, i).online;
    return n;
}

bool
domain_set_guest_vcpu_count(Domain *domain, unsigned count, GError **err)
{
    g_auto(DomainAgentUse) use = { 0 };
    g_autoptr(GArray) cpus = NULL;
    g_autoptr(GArray) wanted = g_array_new(FALSE, FALSE, sizeof(GuestCpu));
    unsigned n;

    if (!domain_agent_begin(domain, &use, err) || !(cpus = guest_cpus(&use, err)))
        return false;
    n = count_online(cpus);
    for (guint i = 0; n < count && i < cpus->len; i++) {
        GuestCpu *cpu = &g_array_index(cpus, GuestCpu, i);

        if (!cpu->online) {
            cpu->online = true;
            g_array_append_val(wanted, *cpu);
            n++;
        }
    }
    for (guint i = cpus->len; n > count && i > 0; i--) {
        GuestCpu *cpu = &g_array_index(cpus, GuestCpu, i - 1);

        if (cpu->online && cpu->offlinable) {
            cpu->online = false;
            g_array_append_val(wanted, *cpu);
            n--;
        }
    }
    if (n < count)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "requested vcpu count is greater than the count of enabled vcpus in "
                              "the domain: %u > %u",
                              count, n);
    if (n > count)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "Cannot offline enough CPUs: %u of the guest's have to stay", n);
    return guest_cpus_set(&use, wanted, err);
}

int
domain_guest_vcpu_count(Domain *domain, bool maximum, GError **err)
{
    g_auto(DomainAgentUse) use = { 0 };
    g_autoptr(GArray) cpus = NULL;

    if (!domain_agent_begin(domain, &use, err) || !(cpus = guest_cpus(&use, err)))
        return -1;
    return (int)(maximum ? cpus->len : count_online(cpus));
}

/* --- what the guest says of itself ------------------------------------------------------------ */

char *
domain_guest_hostname(Domain *domain, GError **err)
{
    g_autoptr(JsonNode) answer = ask(domain, "guest-get-host-name", NULL, err);
    const char *name;

    if (!answer)
        return NULL;
    name =
        JSON_NODE_HOLDS_OBJECT(answer) ? qmp_text(json_node_get_object(answer), "host-name") : "";
    if (!*name) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                       "the guest agent did not answer with a host name");
        return NULL;
    }
    return g_strdup(name);
}

GPtrArray *
domain_guest_interfaces(Domain *domain, GError **err)
{
    g_autoptr(JsonNode) answer = ask(domain, "guest-network-get-interfaces", NULL, err);

    return answer ? agent_interfaces(answer) : NULL;
}

GArray *
domain_guest_info(Domain *domain, unsigned types, GError **err)
{
    g_auto(DomainAgentUse) use = { 0 };
    g_autoptr(DomainDef) def = NULL;
    g_autoptr(GArray) params = NULL;
    unsigned known = 0;

    for (size_t i = 0; i < agent_infos_n; i++)
        known |= agent_infos[i].type;
    if (types & ~known) {
        kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                       "unsupported guest information types '0x%x'", types & ~known);
        return NULL;
    }
    if (!domain_agent_begin(domain, &use, err))
        return NULL;
    def = live_copy(domain);
    params = g_array_new(FALSE, FALSE, sizeof(DomainGuestParam));
    g_array_set_clear_func(params, domain_guest_param_clear);
    for (size_t i = 0; i < agent_infos_n; i++) {
        g_autoptr(GError) why = NULL;
        g_autoptr(JsonNode) answer = NULL;
        bool unknown = false;

        if (types && !(types & agent_infos[i].type))
            continue;
        answer = domain_agent_execute(&use, agent_infos[i].command, NULL, &unknown, &why);
        if (answer) {
            agent_infos[i].add(answer, def, params);
        } else if (types || !unknown) {
            g_propagate_error(err, g_steal_pointer(&why));
            return NULL;
        }
    }
    return g_steal_pointer(&params);
}
