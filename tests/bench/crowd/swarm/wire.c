#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 65535 };

void die(const char *what) {
    fprintf(stderr, "swarm: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

int64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int begin_connect(int port, int source, int receive_bytes) {
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(int));
    if (source) { /* the port is chosen by connect: 28,000 for each pair of addresses */
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t)source);
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
        if (bind(fd, (struct sockaddr *)&from, sizeof from)) die("bind");
    }
    to.sin_port = htons((uint16_t)port);
    if (!connect(fd, (struct sockaddr *)&to, sizeof to) || errno == EINPROGRESS) return fd;
    close(fd);
    return -1;
}

static void send_all(int fd, const void *bytes, size_t n) {
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EPIPE && errno != ECONNRESET) die("send");
    if (sent >= 0 && (size_t)sent < n) die("send: the socket's buffer is full");
}

void send_upgrade(int fd, int port) {
    char text[512];
    int n = snprintf(text, sizeof text,
                     "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     port);
    send_all(fd, text, (size_t)n);
}

long upgrade_answer(const uint8_t *text, size_t n) {
    const uint8_t *end = memmem(text, n, "\r\n\r\n", 4);
    if (!end) return 0;
    return n > 12 && !memcmp(text + 8, " 101 ", 5) ? end + 4 - text : -1;
}

void send_frame(int fd, uint8_t opcode, const char *payload, size_t n) {
    static uint8_t frame[LONGEST + 8];
    size_t head = 2;
    if (n > LONGEST) die("send: a message above 65,535 bytes");
    frame[0] = (uint8_t)(0x80 | opcode);
    frame[1] = (uint8_t)(0x80 | (n < 126 ? n : 126));
    if (n >= 126) frame[2] = (uint8_t)(n >> 8), frame[3] = (uint8_t)n, head = 4;
    memset(frame + head, 0, 4); /* masked, as RFC 6455 demands of clients, with a key of zeros */
    memcpy(frame + head + 4, payload, n);
    send_all(fd, frame, head + 4 + n);
}

size_t frame_at(const uint8_t *f, size_t n, size_t *length) {
    if (n < 2) return 0;
    size_t head = 2;
    *length = f[1] & 127;
    if (*length >= 126) {
        size_t more = *length == 126 ? 2 : 8;
        if (n < 2 + more) return 0;
        *length = 0;
        for (size_t i = 0; i < more; i++) *length = *length << 8 | f[2 + i];
        head += more;
    }
    return n >= head + *length ? head : 0;
}
