/* check.c - the doctor's part for networks: what this host can do for them, with remedies.
 *
 * Nothing is created or changed; asking for rules may make the kernel load its modules for them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/network.h"

#include "network/netlink.h"
#include "network/subnet.h"

#include <errno.h>
#include <fcntl.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

typedef struct {
    NetworkCheckFunc line;
    void *opaque;
} Report;

/* Tells @good, or @bad and the @remedy for it. */
static void
say(const Report *r, bool ok, const char *what, const char *good, const char *bad,
    const char *remedy)
{
    r->line(r->opaque, what, ok ? good : bad, ok ? NULL : remedy);
}

/* Built in, loaded, or there to be loaded. */
static bool
has_module(const char *name)
{
    g_autofree char *loaded = g_strdup_printf("/sys/module/%s", name);
    g_autofree char *want = g_strdup_printf("/%s.ko", name);
    static const char *const lists[] = { "modules.dep", "modules.builtin" };
    struct utsname un;

    if (access(loaded, F_OK) == 0)
        return true;
    if (uname(&un) < 0)
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        g_autofree char *path = g_strdup_printf("/lib/modules/%s/%s", un.release, lists[i]);
        g_autofree char *text = NULL;

        if (g_file_get_contents(path, &text, NULL, NULL) && strstr(text, want))
            return true;
    }
    return false;
}

static const char full_kernel[] = "install the distribution's full kernel: linux-image-amd64";

static void
check_kernel(const Report *r)
{
    bool bridges = has_module("bridge");
    int fd;

    say(r, bridges, "bridges", "this kernel has support",
        "this kernel has no module 'bridge': networks cannot be started", full_kernel);
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno != EACCES && errno != EPERM)
        say(r, false, "taps", NULL, "there is no /dev/net/tun", "modprobe tun");
    else
        say(r, fd >= 0, "taps", "/dev/net/tun opens",
            "/dev/net/tun cannot be opened: no permission", "run the daemon as root");
    if (fd >= 0)
        close(fd);
}

/* Gives the kernel the rules of a NAT network to look at, without committing them. */
static void
check_rules(const Report *r)
{
    static const char batch[] = "table inet kiln_check {\n"
                                "  chain postrouting {\n"
                                "    type nat hook postrouting priority srcnat; policy accept;\n"
                                "    ip saddr 192.0.2.0/24 masquerade\n"
                                "  }\n"
                                "}\n";
    struct nft_ctx *ctx;
    bool ok;

    if (geteuid() != 0) {
        ok = has_module("nf_tables") && has_module("nft_masq");
        say(r, ok, "nftables with NAT", "this kernel has support",
            "no module 'nf_tables' or 'nft_masq' was found: forward mode 'nat' cannot be used",
            full_kernel);
        return;
    }
    ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    nft_ctx_set_dry_run(ctx, true);
    nft_ctx_buffer_output(ctx);
    nft_ctx_buffer_error(ctx);
    ok = nft_run_cmd_from_buffer(ctx, batch) == 0;
    nft_ctx_free(ctx);
    say(r, ok, "nftables with NAT", "the kernel takes such rules",
        "the kernel refuses such rules: only networks with forward mode 'open' or 'bridge' can be "
        "started",
        full_kernel);
}

static void
check_programs(const Report *r, const NetworkConfig *config)
{
    const char *dnsmasq = config->dnsmasq ? config->dnsmasq : "/usr/sbin/dnsmasq";
    bool ok = access(dnsmasq, X_OK) == 0;
    g_autofree char *missing =
        g_strdup_printf("'%s' is not there: guests get no addresses and names", dnsmasq);

    say(r, ok, "dnsmasq", dnsmasq, missing, "apt-get install dnsmasq-base");
    ok = config->leases_helper && access(config->leases_helper, X_OK) == 0;
    say(r, ok, "lease helper", config->leases_helper,
        "kiln-leases is not installed: leases are not kept",
        "install Kiln: meson install -C BUILD");
}

static void
check_subnet(const Report *r)
{
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    g_autoptr(GError) err = NULL;
    g_autoptr(Netlink) nl = netlink_open(&err);
    g_autoptr(HostView) view = nl ? host_view_read(nl, &err) : NULL;
    g_autofree char *found = NULL;
    unsigned n;

    if (!view || !subnet_choose(view, none, &n, &err)) {
        say(r, false, "subnet of 'default'", NULL, err->message,
            "define 'default' with an <ip> that is free here: virsh net-edit default");
        return;
    }
    found = n == 122
                ? g_strdup("192.168.122.0/24 is free")
                : g_strdup_printf("192.168.122.0/24 is in use on this host (by 'default' itself "
                                  "when that runs); a new one would get 192.168.%u.0/24",
                                  n);
    say(r, true, "subnet of 'default'", found, NULL, NULL);
}

/* In nftables a packet needs every base chain's consent: a drop elsewhere cannot be overruled. */
static void
check_firewalls(const Report *r)
{
    struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    g_auto(GStrv) lines = NULL;
    g_autofree char *table = NULL;
    g_autoptr(GString) found = g_string_new(NULL);

    nft_ctx_buffer_output(ctx);
    nft_ctx_buffer_error(ctx);
    if (nft_run_cmd_from_buffer(ctx, "list chains") != 0) {
        say(r, geteuid() != 0, "other firewalls", "not looked at: that needs root",
            "the rules cannot be listed: this kernel has no nftables", full_kernel);
        nft_ctx_free(ctx);
        return;
    }
    lines = g_strsplit(nft_ctx_get_output_buffer(ctx), "\n", -1);
    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, "table ")) {
            g_free(table);
            table = g_strndup(*line + 6, strcspn(*line + 6, "{"));
            g_strchomp(table);
        } else if ((strstr(*line, "hook forward") || strstr(*line, "hook input")) &&
                   strstr(*line, "policy drop") && table) {
            g_string_append_printf(found, "%stable '%s' drops by default in %s",
                                   found->len ? "; " : "", table,
                                   strstr(*line, "hook forward") ? "forward" : "input");
        }
    }
    nft_ctx_free(ctx);
    say(r, found->len == 0, "other firewalls", "none drops by default", found->str,
        "Kiln does not touch it: allow forwarding from and to virbr+ and DHCP (67), DNS (53) from "
        "virbr+ there");
}

void
network_check_host(const NetworkConfig *config, NetworkCheckFunc line, void *opaque)
{
    const Report r = { line, opaque };

    check_kernel(&r);
    check_rules(&r);
    check_programs(&r, config);
    check_subnet(&r);
    check_firewalls(&r);
}
