/* vsock.c - a guest's end of virtio sockets, for the lab: answers one connection, then makes one.
 *
 * usage: vsock PORT-TO-LISTEN-AT PORT-OF-THE-HOST
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int
make_socket(struct sockaddr_vm *address, unsigned cid, unsigned port)
{
    *address = (struct sockaddr_vm){ .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
    return socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int
fail(const char *what)
{
    perror(what);
    return 1;
}

/* Sends everything back, each byte one higher, until the other end stops. */
static int
answer(unsigned port)
{
    struct sockaddr_vm address;
    unsigned char buf[8192];
    ssize_t n, total = 0;
    int s = make_socket(&address, VMADDR_CID_ANY, port), c;

    if (s < 0 || bind(s, (void *)&address, sizeof(address)) < 0 || listen(s, 1) < 0)
        return fail("listen");
    puts("LISTENING");
    fflush(stdout);
    c = accept(s, NULL, NULL);
    if (c < 0)
        return fail("accept");
    while ((n = read(c, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            buf[i]++;
        for (ssize_t at = 0, done; at < n; at += done) {
            done = write(c, buf + at, (size_t)(n - at));
            if (done <= 0)
                return fail("write");
        }
        total += n;
    }
    close(c);
    close(s);
    printf("ANSWERED %zd\n", total);
    return n < 0 ? fail("read") : 0;
}

static int
greet(unsigned port)
{
    static const char text[] = "hello from the guest\n";
    struct sockaddr_vm address;
    int s = make_socket(&address, VMADDR_CID_HOST, port);

    if (s < 0 || connect(s, (void *)&address, sizeof(address)) < 0)
        return fail("connect");
    if (write(s, text, strlen(text)) != (ssize_t)strlen(text))
        return fail("write");
    close(s);
    puts("GREETED");
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    return answer((unsigned)atoi(argv[1])) || greet((unsigned)atoi(argv[2]));
}
