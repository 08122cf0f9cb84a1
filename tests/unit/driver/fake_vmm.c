/* fake_vmm.c - a program that the domain tests start in place of kiln-vmm: it takes the same
 * command line and speaks just enough QMP to be a guest that never computes.
 *
 * What it does is chosen by words in -append:
 *   fail      says so on standard error and ends before its monitor speaks
 *   mute      never greets
 *   garbage   sends something that is no JSON after the greeting
 *   deaf      does not power off at system_powerdown
 *   die       is killed by a signal at cont
 *   stubborn  ignores SIGTERM
 *   nocont    refuses cont
 *   foreign   names a thread of another process as its processor's
 *   ghost     names a processor that is gone once more, with a thread that has ended
 * Commands that only tests send: x-poweroff, x-reboot, x-reset-event, x-panic, x-watchdog,
 * x-exit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_VCPUS = 32 };

typedef struct {
    const char *append, *uuid;
    int listener, client, pty;
    unsigned vcpus;
    const char *state, *migration;
    bool no_shutdown, reboot_is_shutdown;
    char line[65536];
    size_t used;
    unsigned plugged; /* processors beyond @vcpus, a bit each */
    unsigned ghosts;  /* those that are gone and were not asked for since, a bit each */
} Fake;

static bool
behaves(const Fake *fake, const char *word)
{
    return fake->append && strstr(fake->append, word);
}

static void
say(const Fake *fake, const char *text)
{
    if (fake->client >= 0 && send(fake->client, text, strlen(text), MSG_NOSIGNAL) < 0)
        return;
}

static void
event(const Fake *fake, const char *name, const char *data)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":\"%s\"%s%s}\r\n", name,
             *data ? ",\"data\":" : "", data);
    say(fake, text);
}

static void
parse(Fake *fake, int argc, char **argv)
{
    const char *at;

    fake->listener = fake->client = fake->pty = -1;
    fake->state = "prelaunch";
    fake->migration = "none";
    fake->vcpus = 1;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "-append") == 0)
            fake->append = value;
        else if (strcmp(argv[i], "-uuid") == 0)
            fake->uuid = value;
        else if (strcmp(argv[i], "-smp") == 0)
            fake->vcpus = atoi(value);
        else if (strcmp(argv[i], "-device") == 0 && (at = strstr(value, "-cpu,id=vcpu")))
            fake->plugged |= 1u << (atoi(at + 12) % MAX_VCPUS);
        else if (strcmp(argv[i], "-no-shutdown") == 0)
            fake->no_shutdown = true;
        else if (strcmp(argv[i], "-action") == 0)
            fake->reboot_is_shutdown = strstr(value, "reboot=shutdown") != NULL;
        else if (strcmp(argv[i], "-chardev") == 0 && (at = strstr(value, ",fd=")))
            *(strstr(value, "id=charmonitor") ? &fake->listener : &fake->pty) = atoi(at + 4);
    }
}

static void
end_guest(Fake *fake, const char *reason)
{
    char data[128];

    snprintf(data, sizeof(data), "{\"guest\":true,\"reason\":\"%s\"}", reason);
    event(fake, "SHUTDOWN", data);
    if (!fake->no_shutdown)
        exit(0);
    fake->state = "shutdown";
    event(fake, "STOP", "");
}

static void
reply(const Fake *fake, const char *id, const char *result)
{
    char *text = NULL;

    if (asprintf(&text, "{\"return\":%s,\"id\":\"%s\"}\r\n", result, id) < 0)
        exit(3);
    say(fake, text);
    free(text);
}

static void
refuse(const Fake *fake, const char *id, const char *why)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"error\":{\"class\":\"GenericError\",\"desc\":\"%s\"},\"id\":\"%s\"}\r\n", why, id);
    say(fake, text);
}

static void
query_cpus(Fake *fake, const char *id)
{
    char text[65536] = "[";

    for (unsigned i = 0; i < MAX_VCPUS; i++) {
        size_t used = strlen(text);
        bool ghost = fake->ghosts >> i & 1;

        if (i >= fake->vcpus && !(fake->plugged >> i & 1) && !ghost)
            continue;
        snprintf(text + used, sizeof(text) - used, "%s{\"cpu-index\":%u,\"thread-id\":%d}",
                 i ? "," : "", i, ghost || behaves(fake, "foreign") ? 1 : (int)getpid());
    }
    fake->ghosts = 0;
    strcat(text, "]");
    reply(fake, id, text);
}

/* The processor that "id":"vcpuN" names. A stuck guest keeps it for a while. */
static void
plug_vcpu(Fake *fake, const char *id, const char *line, bool add)
{
    const char *name = strstr(line, "\"id\":\"vcpu");
    char data[64];
    unsigned index = name ? (unsigned)atoi(name + 10) : MAX_VCPUS;

    if (index >= MAX_VCPUS || (fake->plugged >> index & 1) == add) {
        refuse(fake, id, "no such processor");
        return;
    }
    reply(fake, id, "{}");
    if (!add && behaves(fake, "stuck"))
        return;
    fake->plugged ^= 1u << index;
    snprintf(data, sizeof(data), "{\"device\":\"vcpu%u\",\"path\":\"\"}", index);
    if (!add && behaves(fake, "ghost"))
        fake->ghosts |= 1u << index;
    if (!add)
        event(fake, "DEVICE_DELETED", data);
}

static void
run_or_not(Fake *fake, const char *id)
{
    if (behaves(fake, "nocont")) {
        refuse(fake, id, "the guest does not want to");
        return;
    }
    fake->state = "running";
    event(fake, "RESUME", "");
    reply(fake, id, "{}");
    if (behaves(fake, "die"))
        raise(SIGKILL);
}

static void
execute(Fake *fake, const char *name, const char *id, const char *line)
{
    char text[256];

    if (strcmp(name, "query-uuid") == 0) {
        snprintf(text, sizeof(text), "{\"UUID\":\"%s\"}", fake->uuid);
        reply(fake, id, text);
    } else if (strcmp(name, "query-status") == 0) {
        snprintf(text, sizeof(text), "{\"status\":\"%s\",\"running\":%s}", fake->state,
                 strcmp(fake->state, "running") == 0 ? "true" : "false");
        reply(fake, id, text);
    } else if (strcmp(name, "query-cpus-fast") == 0) {
        query_cpus(fake, id);
    } else if (strcmp(name, "device_add") == 0 || strcmp(name, "device_del") == 0) {
        plug_vcpu(fake, id, line, name[7] == 'a');
    } else if (strcmp(name, "x-unstick") == 0) {
        reply(fake, id, "{}");
        fake->plugged = 0;
        event(fake, "DEVICE_DELETED", "{\"device\":\"vcpu2\",\"path\":\"\"}");
    } else if (strcmp(name, "query-iothreads") == 0) {
        reply(fake, id, "[]");
    } else if (strcmp(name, "cont") == 0) {
        run_or_not(fake, id);
    } else if (strcmp(name, "stop") == 0) {
        fake->state = "paused";
        event(fake, "STOP", "");
        reply(fake, id, "{}");
    } else if (strcmp(name, "system_powerdown") == 0) {
        reply(fake, id, "{}");
        if (!behaves(fake, "deaf"))
            end_guest(fake, "guest-shutdown");
    } else if (strcmp(name, "x-poweroff") == 0) {
        reply(fake, id, "{}");
        end_guest(fake, "guest-shutdown");
    } else if (strcmp(name, "system_reset") == 0 || strcmp(name, "x-reboot") == 0) {
        reply(fake, id, "{}");
        if (name[0] == 'x' && fake->reboot_is_shutdown) {
            end_guest(fake, "guest-reset");
            return;
        }
        if (strcmp(fake->state, "running") != 0)
            fake->state = "prelaunch";
        event(fake, "RESET", "{\"guest\":false,\"reason\":\"host-qmp-system-reset\"}");
    } else if (strcmp(name, "x-panic") == 0) {
        reply(fake, id, "{}");
        fake->state = "guest-panicked";
        event(fake, "GUEST_PANICKED", "{\"action\":\"pause\"}");
    } else if (strcmp(name, "x-watchdog") == 0) {
        reply(fake, id, "{}");
        fake->state = "watchdog";
        event(fake, "WATCHDOG", "{\"action\":\"pause\"}");
        event(fake, "STOP", "");
    } else if (strcmp(name, "x-io-error") == 0) {
        reply(fake, id, "{}");
        fake->state = "io-error";
        event(fake, "BLOCK_IO_ERROR",
              "{\"qom-path\":\"/machine/peripheral/virtio-disk0\",\"operation\":\"write\","
              "\"action\":\"stop\",\"nospace\":true}");
        event(fake, "STOP", "");
    } else if (strcmp(name, "balloon") == 0) {
        const char *value = strstr(line, "\"value\":");

        reply(fake, id, "{}");
        snprintf(text, sizeof(text), "{\"actual\":%lld}", value ? atoll(value + 8) : 0);
        event(fake, "BALLOON_CHANGE", text);
    } else if (strcmp(name, "quit") == 0) {
        reply(fake, id, "{}");
        exit(0);
    } else if (strcmp(name, "getfd") == 0 || strcmp(name, "dump-guest-memory") == 0) {
        reply(fake, id, "{}");
    } else if (strcmp(name, "migrate") == 0) {
        fake->migration = behaves(fake, "unsaved")   ? "failed"
                          : behaves(fake, "endless") ? "active"
                                                     : "completed";
        reply(fake, id, "{}");
    } else if (strcmp(name, "migrate-incoming") == 0) {
        fake->migration = behaves(fake, "unloaded") ? "failed" : "completed";
        reply(fake, id, "{}");
    } else if (strcmp(name, "migrate-set-parameters") == 0) {
        reply(fake, id, "{}");
    } else if (strcmp(name, "query-migrate-parameters") == 0) {
        reply(fake, id, "{\"max-bandwidth\":1,\"downtime-limit\":321}");
    } else if (strcmp(name, "migrate_cancel") == 0) {
        fake->migration = "cancelled";
        reply(fake, id, "{}");
    } else if (strcmp(name, "query-migrate") == 0) {
        snprintf(text, sizeof(text),
                 "{\"status\":\"%s\",\"ram\":{\"total\":1000,\"transferred\":400,"
                 "\"remaining\":600}%s}",
                 fake->migration,
                 strcmp(fake->migration, "failed") ? "" : ",\"error-desc\":\"the disk is full\"");
        reply(fake, id, text);
    } else if (strcmp(name, "x-exit") == 0) {
        exit(1);
    } else if (strcmp(name, "qmp_capabilities") == 0) {
        reply(fake, id, "{}");
    } else {
        refuse(fake, id, "The command has not been found");
    }
}

/* The value of the last string member @key: the command's own comes behind its arguments'. */
static bool
member(const char *line, const char *key, char *ret, size_t size)
{
    char quoted[64];
    const char *at = NULL, *end;

    snprintf(quoted, sizeof(quoted), "\"%s\":\"", key);
    for (const char *next = line; (next = strstr(next, quoted)); next++)
        at = next;
    if (!at || !(end = strchr(at += strlen(quoted), '"')) || (size_t)(end - at) >= size)
        return false;
    memcpy(ret, at, end - at);
    ret[end - at] = '\0';
    return true;
}

static void
read_commands(Fake *fake)
{
    ssize_t n = recv(fake->client, fake->line + fake->used, sizeof(fake->line) - fake->used - 1, 0);
    char *end;

    if (n <= 0) {
        close(fake->client);
        fake->client = -1;
        fake->used = 0;
        return;
    }
    fake->used += n;
    fake->line[fake->used] = '\0';
    while ((end = strchr(fake->line, '\n'))) {
        char name[64], id[64];

        *end = '\0';
        if (member(fake->line, "execute", name, sizeof(name)) &&
            member(fake->line, "id", id, sizeof(id)))
            execute(fake, name, id, fake->line);
        fake->used -= end + 1 - fake->line;
        memmove(fake->line, end + 1, fake->used + 1);
    }
}

static void
accept_client(Fake *fake)
{
    fake->client = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
    if (behaves(fake, "mute"))
        return;
    say(fake, "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":0,\"minor\":2,\"major\":7},"
              "\"package\":\"fake\"},\"capabilities\":[]}}\r\n");
    if (behaves(fake, "garbage"))
        say(fake, "this is not JSON\r\n");
}

/* The guest's console: tells what was typed. */
static void
echo_pty(const Fake *fake)
{
    char text[256];
    ssize_t n = read(fake->pty, text, sizeof(text));

    if (n > 0 && (write(fake->pty, "you said ", 9) < 0 || write(fake->pty, text, n) < 0))
        exit(4);
    if (n <= 0)
        usleep(10000); /* nobody has the other side open */
}

int
main(int argc, char **argv)
{
    static Fake fake;

    parse(&fake, argc, argv);
    if (behaves(&fake, "fail")) {
        fprintf(stderr, "kiln-vmm: this guest was told to fail\n");
        return 1;
    }
    if (behaves(&fake, "stubborn"))
        signal(SIGTERM, SIG_IGN);
    for (;;) {
        struct pollfd fds[] = {
            { fake.client < 0 ? fake.listener : fake.client, POLLIN, 0 },
            { fake.pty, POLLIN, 0 },
        };

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 2;
        if (fds[0].revents)
            (fake.client < 0 ? accept_client : read_commands)(&fake);
        if (fds[1].revents & POLLIN)
            echo_pty(&fake);
        else if (fds[1].revents)
            usleep(10000);
    }
}
