/* The floor: a WebSocket server that does nothing but call send(), for ready bytes, on a schedule.
 *
 * usage: floor SUBSCRIPTIONS
 *
 * SUBSCRIPTIONS has one line per client: numbers of symbols, separated by commas; client 17 asks
 * for the path /17. "ready PORT" is printed once it listens. A line on the standard input names
 * the script to play (see script.py for its format); the program ends when that input does.
 *
 * What no server can do without is all that it does: one system call per client and message.
 * The handshake answers the one key that the benchmark's clients send. Sockets block, so a client
 * that is behind stops the world; none is, or the run is not valid.
 */
#include "common.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { MAX_CLIENTS = 20000, MAX_EACH = 64, SYMBOLS = 1000, EVENTS = 256, FRAGMENTS = 1 << 24 };

typedef struct {
    int fd; /* 0: not connected */
    unsigned n;
    uint16_t symbols[MAX_EACH];
} Client;

typedef struct {
    const char *at;
    size_t n;
} Fragment;

static Client clients[MAX_CLIENTS];
static unsigned n_clients;
static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void read_subscriptions(const char *path) {
    static char line[1 << 12];
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    while (n_clients < MAX_CLIENTS && fgets(line, sizeof line, file)) {
        Client *c = &clients[n_clients++];
        for (char *word = strtok(line, ",\n"); word; word = strtok(NULL, ",\n"))
            if (c->n < MAX_EACH) c->symbols[c->n++] = (uint16_t)atoi(word);
    }
    fclose(file);
}

static int listen_anywhere(void) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) || listen(fd, 4096)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&at, &n)) die("listen");
    printf("ready %d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

/* The request comes in one piece: the client writes it at once. */
static void shake_hands(int fd) {
    char text[4096];
    unsigned number;
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    if (n <= 0) {
        close(fd);
        return;
    }
    text[n] = 0;
    if (sscanf(text, "GET /%u ", &number) != 1 || number >= n_clients) die("request");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) < 0) die("send");
    clients[number].fd = fd;
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll");
}

/* Until there is something on the standard input. */
static void accept_clients(int listener) {
    struct epoll_event ready[EVENTS];
    int epoll = epoll_create1(0), asked = 0;
    watch(epoll, listener);
    watch(epoll, STDIN_FILENO);
    while (!asked) {
        int n = epoll_wait(epoll, ready, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == STDIN_FILENO) asked = 1;
            else if (fd == listener) watch(epoll, accept(listener, NULL, NULL));
            else shake_hands(fd), epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        }
    }
    close(epoll);
}

/* A server's frames are not masked: the head is all that is added. */
static size_t frame_head(uint8_t *head, size_t n) {
    head[0] = 0x81;
    if (n < 126) return head[1] = (uint8_t)n, 2;
    if (n < 65536) return head[1] = 126, head[2] = (uint8_t)(n >> 8), head[3] = (uint8_t)n, 4;
    head[1] = 127;
    for (int i = 0; i < 8; i++) head[2 + i] = (uint8_t)(n >> (56 - 8 * i));
    return 10;
}

static void send_to_all(const char *message, size_t n) {
    static char frame[1 << 16];
    size_t head = frame_head((uint8_t *)frame, n);
    memcpy(frame + head, message, n);
    for (unsigned i = 0; i < n_clients; i++)
        if (clients[i].fd && send(clients[i].fd, frame, head + n, MSG_NOSIGNAL) < 0)
            clients[i].fd = 0;
}

/* Sends all of it; a blocking socket takes less than was asked only when it is interrupted. */
static void send_parts(Client *c, struct iovec *parts, size_t n, size_t bytes) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = n};
    ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    if (sent >= 0 && (size_t)sent != bytes) die("a short write");
    if (sent < 0) c->fd = 0;
}

static void send_batch(Client *c, const Fragment *fragments) {
    static char open[] = "[", comma[] = ",", close[] = "]";
    struct iovec parts[2 * MAX_EACH + 2];
    uint8_t head[10];
    size_t n = 1, bytes = 1;
    for (unsigned i = 0; i < c->n; i++) {
        const Fragment *fragment = &fragments[c->symbols[i]];
        if (!fragment->n) continue;
        parts[n++] = (struct iovec){n == 1 ? open : comma, 1};
        parts[n++] = (struct iovec){(void *)(uintptr_t)fragment->at, fragment->n};
        bytes += 1 + fragment->n;
    }
    if (n == 1) return;
    parts[n++] = (struct iovec){close, 1};
    parts[0] = (struct iovec){head, frame_head(head, bytes)};
    send_parts(c, parts, n, bytes + parts[0].iov_len);
}

/* The window's messages come by symbol: each symbol's, joined by commas, is a fragment. */
static void send_routed(uint32_t n, const char *index, const char *bytes) {
    static char joined[FRAGMENTS];
    static Fragment fragments[SYMBOLS];
    char *to = joined;
    memset(fragments, 0, sizeof fragments);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t entry[2];
        memcpy(entry, index + 4 * i, 4);
        Fragment *fragment = &fragments[entry[0]];
        if (fragment->n) *to++ = ',', fragment->n++;
        else fragment->at = to;
        if (to + entry[1] >= joined + FRAGMENTS) die("a window that is too large");
        memcpy(to, bytes, entry[1]);
        to += entry[1], bytes += entry[1], fragment->n += entry[1];
    }
    for (unsigned i = 0; i < n_clients; i++)
        if (clients[i].fd) send_batch(&clients[i], fragments);
}

static void play(const char *at) {
    uint32_t head[2], sizes[2]; /* routed, windows; messages, bytes */
    int64_t due_ns;
    memcpy(head, at, 8);
    at += 8;
    for (uint32_t w = 0; w < head[1]; w++) {
        memcpy(&due_ns, at, 8);
        memcpy(sizes, at + 8, 8);
        const char *bytes = at + 16 + 4 * sizes[0];
        sleep_until(due_ns);
        if (head[0]) send_routed(sizes[0], at + 16, bytes);
        else send_to_all(bytes, sizes[1]);
        at = bytes + sizes[1];
    }
}

static const char *map(const char *path) {
    struct stat found;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &found)) die(path);
    void *at = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) die(path);
    return at;
}

int main(int argc, char **argv) {
    static char line[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: floor SUBSCRIPTIONS\n");
        return 2;
    }
    read_subscriptions(argv[1]);
    accept_clients(listen_anywhere());
    if (!fgets(line, sizeof line, stdin)) return 0;
    line[strcspn(line, "\n")] = 0;
    play(map(line));
    while (fgets(line, sizeof line, stdin)) {}
    return 0;
}
