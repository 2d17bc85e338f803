/* Many WebSocket clients in one thread: the open-loop end of the load test.
 *
 * usage: fanout HOST PORT PATH WARM_UP_S SECONDS <SUBSCRIPTIONS
 *
 * SUBSCRIPTIONS has one line per client: its symbols, separated by commas. Every client subscribes
 * to their trades as JSON. "started" is printed once each client has had a trade. After the
 * warm-up, latencies are measured for SECONDS: from a trade's own time to its reading from the
 * socket, in buckets of 10 us. Trade ids are checked from the first trade to the last. The report
 * is one line of JSON. Python would need half a core for this; the core belongs to the system
 * that is measured. Linux only (epoll).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "rfc3339.h"

enum { MAX_SYMBOLS = 64, MAX_NAME = 64, MINUTES = 64, BUFFER = 1 << 20, EVENTS = 256 };
enum { BUCKET_NS = 10000, BUCKETS = 2000000, START_TIMEOUT_S = 30 };

typedef struct {
    char name[MAX_NAME];
    size_t length;
    int64_t last_id, first_ns, last_ns;
    uint32_t minutes[MINUTES]; /* trades by minute since `origin_minute` */
} Symbol;

typedef struct {
    int fd;
    unsigned symbols;
    Symbol symbol[MAX_SYMBOLS];
    uint8_t *buffer;
    size_t filled;
    uint64_t trades;
} Client;

static Client *clients;
static unsigned n_clients, n_started, n_closed;
static int64_t origin_minute;
static uint32_t *buckets;
static uint64_t deliveries, missing, repeated, unknown, measured, messages, bytes;
static int64_t largest_ns;
static int measuring;

static void die(const char *what) {
    fprintf(stderr, "fanout: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static int64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static Symbol *find_symbol(Client *c, const char *name, size_t length) {
    static unsigned hint; /* a message holds a symbol's trades one after the other */
    for (unsigned i = 0; i < c->symbols; i++) {
        unsigned k = (hint + i) % c->symbols;
        if (c->symbol[k].length == length && !memcmp(c->symbol[k].name, name, length)) {
            hint = k;
            return &c->symbol[k];
        }
    }
    return NULL;
}

static void count_latency(int64_t latency_ns) {
    if (latency_ns < 0) latency_ns = 0;
    int64_t bucket = latency_ns / BUCKET_NS;
    buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    if (latency_ns > largest_ns) largest_ns = latency_ns;
    measured++;
}

static void take_trade(Client *c, Symbol *s, int64_t id, int64_t event_ns, int64_t received_ns) {
    deliveries++;
    if (c->trades++ == 0) n_started++;
    if (s->first_ns == 0) {
        s->first_ns = event_ns;
    } else if (id > s->last_id + 1) {
        missing += (uint64_t)(id - s->last_id - 1);
    } else if (id <= s->last_id) {
        repeated++;
    }
    if (id > s->last_id) s->last_id = id;
    s->last_ns = event_ns;
    int64_t minute = event_ns / 60000000000 - origin_minute;
    if (minute >= 0 && minute < MINUTES) s->minutes[minute]++;
    if (measuring) count_latency(received_ns - event_ns);
}

static const char *after(const char *from, const char *end, const char *mark) {
    const char *found = memmem(from, (size_t)(end - from), mark, strlen(mark));
    return found ? found + strlen(mark) : NULL;
}

static void take_message(Client *c, const char *p, const char *end, int64_t received_ns) {
    messages++;
    while ((p = after(p, end, "{\"T\":\""))) {
        if (p[0] != 't' || p[1] != '"') {
            if (!strncmp(p, "error", 5)) die("the server answered with an error");
            continue;
        }
        const char *name = after(p, end, "\"S\":\""), *time, *id;
        const char *quote = name ? memchr(name, '"', (size_t)(end - name)) : NULL;
        if (!quote || !(time = after(quote, end, "\"t\":\"")) || !(id = after(time, end, "\"i\":")))
            die("a trade without S, t or i");
        Symbol *s = find_symbol(c, name, (size_t)(quote - name));
        if (s) take_trade(c, s, strtoll(id, NULL, 10), parse_time(time, NULL), received_ns);
        else unknown++;
        p = id;
    }
}

static void send_frame(int fd, uint8_t opcode, const char *text, size_t n) {
    uint8_t head[8] = {(uint8_t)(0x80 | opcode), 0};
    size_t length = 2;
    if (n < 126) {
        head[1] = (uint8_t)(0x80 | n);
    } else {
        head[1] = 0x80 | 126, head[2] = (uint8_t)(n >> 8), head[3] = (uint8_t)n, length = 4;
    }
    uint8_t zero_mask[4] = {0}; /* masked, as RFC 6455 demands of clients, with a key of zeros */
    if (n > 65535 || send(fd, head, length, MSG_NOSIGNAL) < 0 ||
        send(fd, zero_mask, 4, MSG_NOSIGNAL) < 0 || (n && send(fd, text, n, MSG_NOSIGNAL) < 0))
        die("send");
}

/* The payload's offset in the frame at *f, and its length; 0 while the frame is not complete. */
static size_t frame_at(const uint8_t *f, size_t n, size_t *length) {
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

static void take_frames(Client *c, int64_t received_ns) {
    size_t at = 0, length, head;
    while ((head = frame_at(c->buffer + at, c->filled - at, &length))) {
        const char *payload = (const char *)c->buffer + at + head;
        uint8_t opcode = c->buffer[at] & 15;
        if (opcode == 1) take_message(c, payload, payload + length, received_ns);
        else if (opcode == 9) send_frame(c->fd, 10, payload, length);
        at += head + length;
    }
    memmove(c->buffer, c->buffer + at, c->filled - at);
    c->filled -= at;
    if (c->filled == BUFFER) die("a message larger than the buffer");
}

/* One read a turn, so that a client's backlog shows as latency and does not starve the others. */
static void read_client(Client *c) {
    ssize_t n = recv(c->fd, c->buffer + c->filled, BUFFER - c->filled, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        n_closed++;
        close(c->fd);
        return;
    }
    bytes += (uint64_t)n;
    c->filled += (size_t)n;
    take_frames(c, now_ns(CLOCK_REALTIME));
}

static void open_client(Client *c, const char *host, int port, const char *path) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char text[1024], *end;
    size_t n = 0;
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) die("HOST must be an IPv4 address");
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    snprintf(text, sizeof text,
             "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             path, host, port);
    if (send(c->fd, text, strlen(text), MSG_NOSIGNAL) < 0) die("send");
    do { /* a byte at a time: what follows belongs to the first frame */
        if (n == sizeof text - 1 || recv(c->fd, text + n, 1, 0) != 1) die("handshake");
        text[++n] = 0;
    } while (!(end = strstr(text, "\r\n\r\n")));
    if (!strstr(text, " 101 ")) die("the server did not switch to WebSocket");
}

static void subscribe(Client *c) {
    static char text[MAX_SYMBOLS * (MAX_NAME + 3) + 64];
    char *p = text + sprintf(text, "{\"action\":\"subscribe\",\"trades\":[");
    for (unsigned i = 0; i < c->symbols; i++)
        p += sprintf(p, "%s\"%s\"", i ? "," : "", c->symbol[i].name);
    p += sprintf(p, "]}");
    send_frame(c->fd, 1, text, (size_t)(p - text));
}

static void read_subscriptions(void) {
    static char line[MAX_SYMBOLS * MAX_NAME];
    while (fgets(line, sizeof line, stdin)) {
        clients = realloc(clients, (n_clients + 1) * sizeof *clients);
        Client *c = memset(&clients[n_clients++], 0, sizeof *clients);
        for (char *name = strtok(line, ",\n"); name; name = strtok(NULL, ",\n")) {
            if (c->symbols == MAX_SYMBOLS || strlen(name) >= MAX_NAME) die("too many symbols");
            c->symbol[c->symbols].length = strlen(name);
            strcpy(c->symbol[c->symbols++].name, name);
        }
        c->buffer = malloc(BUFFER);
    }
}

/* Serve the sockets until `until_ns` of the monotonic clock, or (0) until all have started. */
static void run(int epoll, int64_t until_ns) {
    struct epoll_event ready[EVENTS];
    int64_t limit = until_ns ? until_ns : now_ns(CLOCK_MONOTONIC) + START_TIMEOUT_S * 1000000000LL;
    while (until_ns || n_started < n_clients) {
        if (now_ns(CLOCK_MONOTONIC) >= limit) {
            if (!until_ns) die("not every client has had a trade in time");
            return;
        }
        int n = epoll_wait(epoll, ready, EVENTS, 100);
        for (int i = 0; i < n; i++) read_client(ready[i].data.ptr);
    }
}

static double percentile_ms(double q) {
    uint64_t rank = (uint64_t)(q * (double)measured), seen = 0;
    if ((double)rank < q * (double)measured) rank++;
    for (int64_t i = 0; i < BUCKETS; i++)
        if ((seen += buckets[i]) >= rank) return (double)(i + 1) * BUCKET_NS / 1e6;
    return 0;
}

static void report_symbol(const Symbol *s) {
    printf("{\"symbol\":\"%s\",\"first_ns\":%lld,\"last_ns\":%lld,\"minutes\":{", s->name,
           (long long)s->first_ns, (long long)s->last_ns);
    for (int m = 0, comma = 0; m < MINUTES; m++)
        if (s->minutes[m])
            printf("%s\"%lld\":%u", comma++ ? "," : "", (long long)(origin_minute + m) * 60,
                   s->minutes[m]);
    printf("}}");
}

static void report(double seconds) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"clients\":%u,\"closed\":%u,\"seconds\":%.3f,\"deliveries\":%llu,\"measured\":%llu,"
           "\"missing\":%llu,\"repeated\":%llu,\"unknown\":%llu,\"messages\":%llu,\"bytes\":%llu,"
           "\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"p999_ms\":%.2f,\"max_ms\":%.2f,\"cpu_s\":%.2f,"
           "\"symbols\":[",
           n_clients, n_closed, seconds, (unsigned long long)deliveries,
           (unsigned long long)measured, (unsigned long long)missing, (unsigned long long)repeated,
           (unsigned long long)unknown, (unsigned long long)messages, (unsigned long long)bytes,
           percentile_ms(0.5), percentile_ms(0.99), percentile_ms(0.999), (double)largest_ns / 1e6,
           cpu);
    for (unsigned c = 0, comma = 0; c < n_clients; c++)
        for (unsigned i = 0; i < clients[c].symbols; i++) {
            if (comma++) printf(",");
            report_symbol(&clients[c].symbol[i]);
        }
    printf("]}\n");
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: fanout HOST PORT PATH WARM_UP_S SECONDS <SUBSCRIPTIONS\n");
        return 2;
    }
    double warm_up_s = atof(argv[4]), seconds = atof(argv[5]);
    buckets = calloc(BUCKETS, sizeof *buckets);
    origin_minute = now_ns(CLOCK_REALTIME) / 60000000000;
    read_subscriptions();
    int epoll = epoll_create1(0);
    for (unsigned i = 0; i < n_clients; i++) {
        open_client(&clients[i], argv[1], atoi(argv[2]), argv[3]);
        subscribe(&clients[i]);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event)) die("epoll");
    }
    run(epoll, 0);
    puts("started");
    fflush(stdout);
    int64_t start_ns = now_ns(CLOCK_MONOTONIC) + (int64_t)(warm_up_s * 1e9);
    run(epoll, start_ns);
    measuring = 1;
    run(epoll, start_ns + (int64_t)(seconds * 1e9));
    report(seconds);
    return 0;
}
