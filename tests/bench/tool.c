/* tool.c - the load of the benchmarks, the same on both sides: random reads and writes, a TCP
 * stream. Linked statically, so that it runs in the guest's initramfs.
 *
 * usage:
 *   tool randread|randwrite DEVICE SECONDS THREADS   prints requests per second
 *   tool send HOST PORT SECONDS       sends, then prints bytes per second
 *   tool serve PORT SECONDS COUNT     sends to COUNT peers, one after the other, for so long
 *   tool receive HOST PORT            prints bytes per second until the peer ends
 *   tool sink PORT COUNT              reads from COUNT peers; prints bytes per second of each
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>

#define BLOCK 4096
#define CHUNK (256 * 1024)
#define THREADS_MAX 64

typedef struct {
    int fd;
    bool write;
    uint64_t blocks, state, done;
    double end;
} Worker;

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
    fprintf(stderr, "tool: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* xorshift64: cheap, and the same sequence every time. */
static uint64_t
next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void *
move_blocks(void *opaque)
{
    Worker *w = opaque;
    void *buffer;

    if (posix_memalign(&buffer, BLOCK, BLOCK))
        die("memory");
    memset(buffer, 0x5a, BLOCK);
    while (now() < w->end)
        for (int i = 0; i < 16; i++, w->done++) {
            off_t at = (off_t)(next(&w->state) % w->blocks * BLOCK);

            if ((w->write ? pwrite(w->fd, buffer, BLOCK, at) : pread(w->fd, buffer, BLOCK, at)) !=
                BLOCK)
                die(w->write ? "write" : "read");
        }
    free(buffer);
    return NULL;
}

static void
randio(bool write, const char *path, double seconds, int threads)
{
    int fd = open(path, (write ? O_WRONLY : O_RDONLY) | O_DIRECT);
    pthread_t ids[THREADS_MAX];
    Worker workers[THREADS_MAX];
    uint64_t bytes = 0, done = 0;
    double begin = now();

    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
        die(path);
    for (int i = 0; i < threads; i++) {
        workers[i] = (Worker){ .fd = fd,
                               .write = write,
                               .blocks = bytes / BLOCK,
                               .end = begin + seconds,
                               .state = 0x9e3779b97f4a7c15u * (unsigned)(i + 1) };
        if (pthread_create(&ids[i], NULL, move_blocks, &workers[i]))
            die("thread");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        done += workers[i].done;
    }
    printf("%.1f\n", (double)done / (now() - begin));
}

static int
dial(const char *host, const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, host, &to.sin_addr);
    for (int tries = 0; connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0; tries++) {
        if (tries > 100)
            die(host);
        close(fd);
        usleep(100000);
        fd = socket(AF_INET, SOCK_STREAM, 0);
    }
    return fd;
}

static int
listen_at(const char *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0)
        die("listen");
    return fd;
}

static int
answer(int fd)
{
    int peer = accept(fd, NULL, NULL);

    if (peer < 0)
        die("accept");
    return peer;
}

static void
pump(int fd, double seconds)
{
    char *chunk = calloc(1, CHUNK);
    double begin = now();
    uint64_t bytes = 0;

    while (now() < begin + seconds) {
        ssize_t n = write(fd, chunk, CHUNK);

        if (n < 0)
            die("send");
        bytes += (uint64_t)n;
    }
    close(fd);
    free(chunk);
    printf("%.0f\n", (double)bytes / (now() - begin));
}

static void
drain(int fd)
{
    char *chunk = malloc(CHUNK);
    double begin = 0;
    uint64_t bytes = 0;
    ssize_t n;

    while ((n = read(fd, chunk, CHUNK)) > 0) {
        if (begin == 0)
            begin = now();
        bytes += (uint64_t)n;
    }
    printf("%.0f\n", begin > 0 ? (double)bytes / (now() - begin) : 0.0);
    fflush(stdout);
    close(fd);
    free(chunk);
}

static void
serve(const char *port, double seconds, int count)
{
    int fd = listen_at(port);

    while (count-- > 0)
        pump(answer(fd), seconds);
}

static void
sink(const char *port, int count)
{
    int fd = listen_at(port);

    while (count-- > 0)
        drain(answer(fd));
}

int
main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    bool write = !strcmp(what, "randwrite");

    if ((write || !strcmp(what, "randread")) && argc == 5 && atoi(argv[4]) <= THREADS_MAX)
        randio(write, argv[2], atof(argv[3]), atoi(argv[4]));
    else if (!strcmp(what, "send") && argc == 5)
        pump(dial(argv[2], argv[3]), atof(argv[4]));
    else if (!strcmp(what, "serve") && argc == 5)
        serve(argv[2], atof(argv[3]), atoi(argv[4]));
    else if (!strcmp(what, "receive") && argc == 4)
        drain(dial(argv[2], argv[3]));
    else if (!strcmp(what, "sink") && argc == 4)
        sink(argv[2], atoi(argv[3]));
    else
        return 2;
    return 0;
}
