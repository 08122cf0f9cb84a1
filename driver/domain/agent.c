/* agent.c - the connection to a guest's agent: one caller at a time, and nothing believed.
 *
 * QEMU Guest Agent Protocol Reference (qga/qapi-schema.json of QEMU 7.2): each conversation begins
 * with guest-sync-delimited. The agent is a program of the guest: what it sends is bounded, what it
 * does not send is waited for only so long, and the daemon's other work never waits for it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/domain/agent_parse.h"
#include "driver/domain/qmp_answer.h"
#include "driver/domain/qmp_parse.h"
#include "util/error.h"
#include "util/file.h"

enum { AGENT_READ_SIZE = 16384 };

struct DomainAgent {
    int wake; /* eventfd: something changed while the holder waits */

    GMutex lock; /* after domain->lock */
    GCond changed;
    bool held;  /* somebody talks to the agent */
    char *path; /* of the channel that the guest has open; NULL: it has none open */
    int fd;     /* -1: not connected. Closed by the holder, or by anybody while nobody holds it */
    bool stale; /* the guest has closed its end since @fd was made */
    bool guest_ends; /* see domain_agent_guest_ends() */
    uint64_t last_sync;

    AgentParser parser; /* the holder's */
};

DomainAgent *
domain_agent_new(void)
{
    DomainAgent *agent = g_new0(DomainAgent, 1);

    agent->wake = file_move_high(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    agent->fd = -1;
    g_mutex_init(&agent->lock);
    g_cond_init(&agent->changed);
    agent_parser_init(&agent->parser);
    return agent;
}

static void
drop_connection(DomainAgent *agent)
{
    if (agent->fd >= 0)
        close(agent->fd);
    agent->fd = -1;
    agent->stale = false;
}

void
domain_agent_free(DomainAgent *agent)
{
    if (!agent)
        return;
    drop_connection(agent);
    if (agent->wake >= 0)
        close(agent->wake);
    g_free(agent->path);
    g_mutex_clear(&agent->lock);
    g_cond_clear(&agent->changed);
    agent_parser_clear(&agent->parser);
    g_free(agent);
}

/* Does not wait: a socket whose queue is full is tried again by the next caller. */
static int
connect_now(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path))
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd >= 0 ? file_move_high(fd) : -1;
}

/* With the lock held, and nobody else at it: the connection is what the guest's end says. */
static void
settle(DomainAgent *agent)
{
    if (agent->stale)
        drop_connection(agent);
    if (agent->fd < 0 && agent->path)
        agent->fd = connect_now(agent->path);
}

/* With the lock held. */
static void
wake_holder(DomainAgent *agent)
{
    eventfd_write(agent->wake, 1);
}

void
domain_agent_port(DomainAgent *agent, const char *path)
{
    g_mutex_lock(&agent->lock);
    g_free(agent->path);
    agent->path = g_strdup(path);
    if (!path && agent->fd >= 0)
        agent->stale = true;
    if (agent->held)
        wake_holder(agent);
    else
        settle(agent);
    g_mutex_unlock(&agent->lock);
}

void
domain_agent_guest_ends(DomainAgent *agent)
{
    g_mutex_lock(&agent->lock);
    agent->guest_ends = true;
    if (agent->held)
        wake_holder(agent);
    g_mutex_unlock(&agent->lock);
}

/* --- waiting ------------------------------------------------------------------------------------
 */

/* What one wait is for. */
typedef struct {
    DomainAgent *agent;
    gint64 deadline;    /* monotonic */
    uint64_t sync;      /* the number that the answer has to bring; 0: any answer will do */
    bool ending;        /* the guest's end is an answer, too */
    bool ended;         /* and was the answer */
    JsonObject *answer; /* owned */
} AgentWait;

static bool
wait_answer(void *opaque, JsonObject *object)
{
    AgentWait *wait = opaque;

    if (wait->sync > 0 && (uint64_t)qmp_number(object, "return") != wait->sync)
        return false; /* of an earlier conversation */
    if (!json_object_has_member(object, "return") && !json_object_has_member(object, "error"))
        return false;
    wait->answer = json_object_ref(object);
    return true;
}

static bool
gone_error(GError **err)
{
    return kiln_error_set(err, VIR_ERR_AGENT_UNRESPONSIVE,
                          "Guest agent disappeared while executing command");
}

/* Waits until the socket has @events. 0: it has; -1: the guest's end is gone; 1: the deadline has
 * passed; 2: the guest ends. */
static int
wait_socket(AgentWait *wait, short events)
{
    DomainAgent *agent = wait->agent;

    for (;;) {
        struct pollfd fds[] = { { agent->fd, events, 0 }, { agent->wake, POLLIN, 0 } };
        gint64 left = wait->deadline - g_get_monotonic_time();
        eventfd_t n;
        bool ends, stale;

        g_mutex_lock(&agent->lock);
        ends = agent->guest_ends;
        stale = agent->stale;
        g_mutex_unlock(&agent->lock);
        if (ends && wait->ending)
            return 2;
        if (stale)
            return -1;
        if (left <= 0)
            return 1;
        if (poll(fds, 2, (int)(left / 1000) + 1) < 0 && errno != EINTR)
            return -1;
        if (fds[1].revents)
            eventfd_read(agent->wake, &n);
        else if (fds[0].revents)
            return 0;
    }
}

/* False with @err; @what is "synchronization" or "command", for the message. */
static bool
wait_failed(AgentWait *wait, int how, const char *what, int seconds, GError **err)
{
    if (wait->ending && how != 1) {
        wait->ended = true; /* a guest that goes takes its agent along */
        return true;
    }
    if (how == 1)
        return kiln_error_set(err, VIR_ERR_AGENT_UNRESPONSIVE,
                              "guest agent didn't respond to %s within '%d' seconds", what,
                              seconds);
    return gone_error(err);
}

static bool
send_all(AgentWait *wait, const char *text, size_t len, const char *what, int seconds, GError **err)
{
    while (len > 0) {
        ssize_t n = send(wait->agent->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        int how;

        if (n >= 0) {
            text += n;
            len -= n;
        } else if (errno == EAGAIN) {
            if ((how = wait_socket(wait, POLLOUT)) != 0)
                return wait_failed(wait, how, what, seconds, err) && wait->ended;
        } else if (errno != EINTR) {
            return gone_error(err);
        }
    }
    return true;
}

static bool
receive(AgentWait *wait, const char *what, int seconds, GError **err)
{
    char part[AGENT_READ_SIZE];

    while (!wait->answer && !wait->ended) {
        int how = wait_socket(wait, POLLIN);
        ssize_t n;

        if (how != 0)
            return wait_failed(wait, how, what, seconds, err);
        n = recv(wait->agent->fd, part, sizeof(part), MSG_DONTWAIT);
        if (n > 0)
            agent_parser_feed(&wait->agent->parser, part, n, wait_answer, wait);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return wait_failed(wait, -1, what, seconds, err);
    }
    return true;
}

static gint64
deadline_in(int seconds)
{
    return g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
}

/* A waiting time of the API in seconds; @fallback stands for the default. */
static int
seconds_of(int timeout)
{
    if (timeout == VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT)
        return AGENT_SYNC_SECONDS;
    if (timeout < 0)
        return AGENT_PATIENCE_SECONDS;
    return MIN(timeout, AGENT_PATIENCE_SECONDS);
}

/* Begins a conversation: everything the agent said before is dropped. */
static bool
synchronize(DomainAgentUse *use, GError **err)
{
    DomainAgent *agent = use->agent;
    int seconds = MIN(seconds_of(use->timeout), AGENT_SYNC_SECONDS);
    AgentWait wait = { .agent = agent, .deadline = deadline_in(seconds) };
    g_autofree char *text = NULL;
    bool ok;

    /* numbers of another daemon, or of another life of this one, must not be met again */
    agent->last_sync = MAX(agent->last_sync + 1, (uint64_t)g_get_real_time() / 1000);
    wait.sync = agent->last_sync;
    /* the delimiter also ends a command that an earlier caller could not send to its end */
    text = g_strdup_printf(
        "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%" PRIu64 "}}\n",
        wait.sync);
    agent_parser_skip(&agent->parser);
    ok = send_all(&wait, text, strlen(text), "synchronization", seconds, err) &&
         receive(&wait, "synchronization", seconds, err);
    g_clear_pointer(&wait.answer, json_object_unref);
    return ok;
}

/* --- holding ---------------------------------------------------------------------------------- */

bool
domain_has_agent_channel(const DomainDef *def)
{
    for (guint i = 0; i < def->channels->len; i++) {
        const DomainChar *channel = def->channels->pdata[i];

        if (channel->name && strcmp(channel->name, AGENT_CHANNEL) == 0)
            return true;
    }
    return false;
}

/* As libvirt's words are, for each way in which there is no agent. */
static DomainRun *
run_with_agent(Domain *domain, GError **err)
{
    DomainRun *run = NULL;

    g_mutex_lock(&domain->lock);
    if (!domain->live || domain->state != VIR_DOMAIN_RUNNING)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    else if (!domain_has_agent_channel(domain->live))
        kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
    else
        run = domain_run_ref(domain->run);
    g_mutex_unlock(&domain->lock);
    return run;
}

bool
domain_agent_is_there(Domain *domain)
{
    g_autoptr(DomainRun) run = run_with_agent(domain, NULL);
    bool there = false;

    if (run) {
        g_mutex_lock(&run->agent->lock);
        there = run->agent->path != NULL;
        g_mutex_unlock(&run->agent->lock);
    }
    return there;
}

static bool
agent_hold(DomainAgent *agent, GError **err)
{
    gint64 deadline = deadline_in(DOMAIN_JOB_SECONDS);
    eventfd_t n;
    bool ok = true;

    g_mutex_lock(&agent->lock);
    while (ok && agent->held)
        ok = g_cond_wait_until(&agent->changed, &agent->lock, deadline) || !agent->held;
    if (!ok) {
        kiln_error_set(err, VIR_ERR_OPERATION_TIMEOUT,
                       "cannot acquire state change lock (another command waits for the guest "
                       "agent)");
    } else if (!agent->path) {
        ok = kiln_error_set(err, VIR_ERR_AGENT_UNRESPONSIVE, "QEMU guest agent is not connected");
    } else {
        settle(agent);
        ok = agent->fd >= 0 || kiln_error_set(err, VIR_ERR_AGENT_UNRESPONSIVE,
                                              "QEMU guest agent is not available due to an error");
        agent->held = ok;
        agent->guest_ends = false;
        eventfd_read(agent->wake, &n);
    }
    g_mutex_unlock(&agent->lock);
    return ok;
}

static void
agent_let_go(DomainAgent *agent)
{
    g_mutex_lock(&agent->lock);
    agent->held = false;
    settle(agent);
    g_cond_signal(&agent->changed);
    g_mutex_unlock(&agent->lock);
}

bool
domain_agent_begin(Domain *domain, DomainAgentUse *ret, GError **err)
{
    DomainAgentUse use = { .run = run_with_agent(domain, err) };

    if (!use.run)
        return false;
    use.agent = use.run->agent;
    if (!agent_hold(use.agent, err)) {
        domain_run_unref(use.run);
        return false;
    }
    g_mutex_lock(&domain->lock);
    use.timeout = domain->agent_timeout;
    g_mutex_unlock(&domain->lock);
    *ret = use;
    if (!synchronize(&use, err)) {
        domain_agent_end(ret);
        return false;
    }
    return true;
}

void
domain_agent_end(DomainAgentUse *use)
{
    if (!use->run)
        return;
    agent_let_go(use->agent);
    g_clear_pointer(&use->run, domain_run_unref);
}

bool
domain_agent_check_timeout(int timeout, GError **err)
{
    return timeout >= VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "guest agent timeout '%d' is less than the minimum '%d'", timeout,
                          VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK);
}

bool
domain_agent_set_timeout(Domain *domain, int timeout, GError **err)
{
    if (!domain_agent_check_timeout(timeout, err) ||
        !domain_job_begin(domain, "agent timeout", err))
        return false;
    g_mutex_lock(&domain->lock);
    domain->agent_timeout = timeout;
    g_mutex_unlock(&domain->lock);
    domain_status_refresh(domain);
    domain_job_end(domain);
    return true;
}

/* --- commands --------------------------------------------------------------------------------- */

/* One command and its answer; NULL without @err when the guest's end took the answer's place. */
static JsonObject *
converse(DomainAgentUse *use, JsonObject *command, bool ending, GError **err)
{
    int seconds = ending ? AGENT_SHUTDOWN_SECONDS : seconds_of(use->timeout);
    AgentWait wait = { .agent = use->agent, .deadline = deadline_in(seconds), .ending = ending };
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL, *line = NULL;

    json_node_set_object(node, command);
    text = json_to_string(node, FALSE);
    line = g_strconcat(text, "\n", NULL);
    if (!send_all(&wait, line, strlen(line), "command", seconds, err) ||
        !receive(&wait, "command", seconds, err))
        return NULL;
    return wait.answer;
}

static JsonObject *
command_new(const char *command, JsonObject *args)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "execute", command);
    if (args)
        json_object_set_object_member(object, "arguments", args);
    return object;
}

/* True when @answer is no refusal. */
static bool
check_answer(JsonObject *answer, const char *command, bool *ret_unknown, GError **err)
{
    JsonNode *node = json_object_get_member(answer, "error");
    JsonObject *error = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    const char *class = qmp_text(error, "class"), *why = qmp_text(error, "desc");

    if (!node)
        return true;
    if (ret_unknown)
        *ret_unknown =
            strcmp(class, "CommandNotFound") == 0 || strcmp(class, "CommandDisabled") == 0;
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "unable to execute QEMU agent command '%s': %s", command,
                          *why ? why : "unknown QEMU command error");
}

JsonNode *
domain_agent_execute(DomainAgentUse *use, const char *command, JsonObject *args, bool *ret_unknown,
                     GError **err)
{
    g_autoptr(JsonObject) request = command_new(command, args);
    g_autoptr(JsonObject) answer = converse(use, request, false, err);

    if (!answer || !check_answer(answer, command, ret_unknown, err))
        return NULL;
    return json_object_dup_member(answer, "return");
}

bool
domain_agent_command(DomainAgentUse *use, const char *command, JsonObject *args, GError **err)
{
    g_autoptr(JsonNode) answer = domain_agent_execute(use, command, args, NULL, err);

    return answer != NULL;
}

bool
domain_agent_command_ending(DomainAgentUse *use, const char *command, JsonObject *args,
                            GError **err)
{
    g_autoptr(JsonObject) request = command_new(command, args);
    g_autoptr(GError) why = NULL;
    g_autoptr(JsonObject) answer = converse(use, request, true, &why);

    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    return !answer || check_answer(answer, command, NULL, err);
}

char *
domain_agent_execute_text(DomainAgentUse *use, const char *text, GError **err)
{
    g_autoptr(JsonObject) request = qmp_parse_object(text, strlen(text), err);
    g_autoptr(JsonObject) answer = NULL;
    g_autoptr(JsonNode) node = NULL;

    if (!request || !(answer = converse(use, request, false, err)) ||
        !check_answer(answer, qmp_text(request, "execute"), NULL, err))
        return NULL;
    node = json_node_new(JSON_NODE_OBJECT);
    json_node_set_object(node, answer);
    return json_to_string(node, FALSE);
}

JsonArray *
domain_agent_execute_list(DomainAgentUse *use, const char *command, JsonNode **ret_owner,
                          bool *ret_unknown, GError **err)
{
    *ret_owner = domain_agent_execute(use, command, NULL, ret_unknown, err);
    if (!*ret_owner)
        return NULL;
    if (JSON_NODE_HOLDS_ARRAY(*ret_owner))
        return json_node_get_array(*ret_owner);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "%s of the guest agent did not answer with a list",
                   command);
    return NULL;
}
