/* fuzz_vnc.c - what a VNC client sends once it is past authentication, and what a WebSocket client
 * sends before.
 *
 * The first byte chooses; the rest is the client's bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/display/display.h"
#include "hw/vnc/private.h"

enum { RAM = 1 << 20, INPUT_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ScreenOps screen_ops = { .refresh = NULL };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const VncConfig config = { .id = "default", .share = VNC_SHARE_IGNORE, .power_control = true };
    FakeMachine *fake;
    VncServer *server;
    VncClient *client;
    Screen *screen;

    if (size < 2 || size > INPUT_MAX)
        return 0;
    fake = fake_machine_new_q35(RAM);
    screen = screen_new(fake_device(fake, "isa-debug-exit", NULL), 0, &screen_ops, NULL);
    server = vnc_server_new(fake->machine, &config, NULL);
    client = vnc_server_fake_client(server, -1);
    client->web.on = data[0] & 1;
    if (!client->web.on)
        vnc_client_feed(client, (const uint8_t *)"\1", 1);
    vnc_client_feed(client, data + 1, size - 1);
    screen_refresh(screen);
    vnc_server_free(server);
    screen_free(screen);
    fake_machine_free(fake);
    return 0;
}
