/* The clients of the benchmark: many WebSocket connections in one thread, read as they come.
 *
 * usage: receiver PORT EACH <CLIENTS
 *
 * CLIENTS, little-endian: u32 number of clients; u32 opcode of greetings; u32 length and bytes of
 * the mark that the answer to a greeting holds; then per client u32 length and bytes of its path,
 * u32 length and bytes of its greeting (none: the handshake is enough). "ready" is printed once
 * all are connected and answered. Then one line more on the standard input:
 *
 *     FROM_NS UNTIL_NS END_NS EXPECTED FIRST_ID
 *
 * in wall time. Items ({...}) are counted for all clients, by their opening brace: that runs at
 * memory speed. Every EACH-th client is read in full: its trade ids must follow each other from
 * FIRST_ID on, and the latency of trades scheduled from FROM_NS until UNTIL_NS is measured from
 * the time that they carry. It ends when EXPECTED items have come, after UNTIL_NS, or at END_NS;
 * the report is one line of JSON. It says how busy this process was between FROM_NS and UNTIL_NS:
 * near 1, it was the bottleneck.
 */
#include "common.h"
#include "trades.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

enum { SYMBOLS = 1000, BUFFER = 1 << 18, EVENTS = 256, HANDSHAKES = 64, TEXT = 1024 };
enum { BUCKET_NS = 10000, BUCKETS = 1000000, TIMEOUT_S = 60, CONTROL = 125 };

typedef struct {
    int fd, is_ready, ended;
    uint8_t head[10]; /* of the frame that is coming in */
    unsigned head_n, fresh, skipped; /* fresh: no byte of the payload yet */
    uint8_t opcode;
    uint64_t left; /* of its payload */
    char control[CONTROL];
    unsigned control_n;
    char *text; /* of an item that is not whole yet; NULL: not read in full */
    size_t text_n;
    int64_t *last_id; /* by symbol */
} Client;

typedef struct {
    uint64_t items, bytes, frames; /* of all clients, since the line on the standard input */
} Counts;

static Client *clients;
static unsigned n_clients, n_ready, n_closed;
static char *mark;
static uint32_t mark_n, greeting_opcode;
static Counts total, at_from, at_until;
static uint64_t full_items, missing, repeated, measured;
static int64_t from_ns, until_ns, end_ns, largest_ns;
static uint64_t expected;
static uint32_t *buckets;
static int live;

static void read_exactly(void *to, size_t n) {
    if (n && fread(to, n, 1, stdin) != 1) die("CLIENTS ends early");
}

static uint32_t read_u32(void) {
    uint32_t value;
    read_exactly(&value, sizeof value);
    return value;
}

static char *read_bytes(uint32_t *n) {
    *n = read_u32();
    char *found = allocate(*n + 1);
    read_exactly(found, *n);
    return found;
}

/* ---- the text of trades ---- */

static void count_latency(int64_t latency_ns) {
    if (latency_ns < 0) latency_ns = 0;
    int64_t bucket = latency_ns / BUCKET_NS;
    buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    if (latency_ns > largest_ns) largest_ns = latency_ns;
    measured++;
}

static void check_id(Client *c, int64_t symbol, int64_t id) {
    int64_t last = c->last_id[symbol];
    if (id > last + 1) missing += (uint64_t)(id - last - 1);
    if (id <= last) repeated++;
    else c->last_id[symbol] = id;
    full_items++;
}

/* One item, braces included; symbols end in three digits. */
static void take_item(Client *c, const char *p, const char *end, int64_t received_ns) {
    const char *name = after(p, end, "\"S\":\"");
    const char *quote = memchr(name, '"', (size_t)(end - name));
    if (!quote || quote - name < 3) die("a trade without a symbol");
    const char *time = after(quote, end, "\"t\":\"");
    check_id(c, digits(quote - 3, 3), strtoll(after(time + 20, end, "\"i\":"), NULL, 10));
    int64_t event_ns = parse_time(time, NULL);
    if (event_ns >= from_ns && event_ns < until_ns) count_latency(received_ns - event_ns);
}

static void keep(Client *c, const char *p, size_t n) {
    if (c->text_n + n > TEXT) die("an item that is longer than expected");
    memcpy(c->text + c->text_n, p, n);
    c->text_n += n;
}

/* Payload of a client that is read in full; an item may come in pieces, over frames too. */
static void read_items(Client *c, const char *p, const char *end, int64_t received_ns) {
    const char *open, *close;
    if (c->text_n) {
        close = memchr(p, '}', (size_t)(end - p));
        keep(c, p, (size_t)((close ? close + 1 : end) - p));
        if (!close) return;
        take_item(c, c->text, c->text + c->text_n, received_ns);
        c->text_n = 0;
        p = close + 1;
    }
    while ((open = memchr(p, '{', (size_t)(end - p)))) {
        close = memchr(open, '}', (size_t)(end - open));
        if (!close) {
            keep(c, open, (size_t)(end - open));
            return;
        }
        take_item(c, open, close + 1, received_ns);
        p = close + 1;
    }
}

/* ---- WebSocket ---- */

static void send_frame(int fd, uint8_t opcode, const char *text, size_t n) {
    /* Masked, as RFC 6455 demands of clients, with a key of zeros: the text stays as it is. */
    static uint8_t frame[1 << 16];
    size_t head = n < 126 ? 2 : 4;
    if (n + 8 > sizeof frame) die("a greeting that is too long");
    frame[0] = (uint8_t)(0x80 | opcode);
    frame[1] = (uint8_t)(0x80 | (n < 126 ? n : 126));
    if (head == 4) frame[2] = (uint8_t)(n >> 8), frame[3] = (uint8_t)n;
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, text, n);
    if (send(fd, frame, head + 4 + n, MSG_NOSIGNAL) < 0) die("send");
}

static void close_client(Client *c) {
    if (c->ended) return;
    c->ended = 1;
    n_closed++;
    close(c->fd);
}

static void take_control(Client *c, const char *p, size_t n) {
    if (c->control_n + n > CONTROL) die("a control frame that is too long");
    memcpy(c->control + c->control_n, p, n);
    c->control_n += (unsigned)n;
    if (c->left) return;
    if (c->opcode == 9) send_frame(c->fd, 10, c->control, c->control_n);
    if (c->opcode == 8) close_client(c);
}

/* Is this the start of a message of the server's own (heartbeats and such), and no trade? */
static int is_notice(const char *p, size_t n) {
    return n > 8 && !memcmp(p, "[{\"T\":\"", 7) && p[7] != 't';
}

static void take_payload(Client *c, const char *p, size_t n, int64_t received_ns) {
    if (!live) {
        if (!c->is_ready && memmem(p, n, mark, mark_n)) c->is_ready = 1, n_ready++;
        if (memmem(p, n, "\"T\":\"error\"", 11)) die("the server answered with an error");
        return;
    }
    if (c->fresh) c->skipped = (unsigned)is_notice(p, n);
    c->fresh = 0;
    if (c->skipped) return;
    total.items += count_braces(p, n);
    total.bytes += n;
    if (c->text) read_items(c, p, p + n, received_ns);
}

/* The length of a frame's head, as far as it is known from its first `n` bytes. */
static unsigned head_length(const uint8_t *head, unsigned n) {
    if (n < 2) return 2;
    unsigned code = head[1] & 127;
    return code < 126 ? 2 : code == 126 ? 4 : 10;
}

static void begin_frame(Client *c) {
    c->opcode = c->head[0] & 15;
    c->left = c->head[1] & 127;
    if (c->head_n > 2) c->left = 0;
    for (unsigned i = 2; i < c->head_n; i++) c->left = c->left << 8 | c->head[i];
    c->head_n = c->control_n = 0;
    c->fresh = 1;
    if (live && c->opcode < 8) total.frames++;
    if (!c->left && c->opcode >= 8) take_control(c, NULL, 0);
}

/* A frame's head may be split anywhere, its payload is never copied. */
static void take_bytes(Client *c, const char *p, size_t n, int64_t received_ns) {
    while (n) {
        if (!c->left) {
            c->head[c->head_n++] = (uint8_t)*p++, n--;
            if (c->head_n == head_length(c->head, c->head_n)) begin_frame(c);
            continue;
        }
        size_t part = c->left < n ? (size_t)c->left : n;
        c->left -= part;
        if (c->opcode >= 8) take_control(c, p, part);
        else take_payload(c, p, part, received_ns);
        p += part, n -= part;
    }
}

/* One read a turn, so that one client's backlog does not starve the others. */
static void read_client(Client *c) {
    static char buffer[BUFFER];
    if (c->ended) return;
    ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) close_client(c);
    else take_bytes(c, buffer, (size_t)n, now_ns());
}

/* ---- connecting ---- */

static void request(Client *c, int port, const char *path) {
    static char text[1 << 14];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    /* Ends by reset: tens of thousands of connections must not stay behind in TIME_WAIT. */
    struct linger reset = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     path, port);
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) < 0) die("send");
}

/* Take the answer's head from the socket, and nothing of the frames behind it. */
static void take_answer(Client *c) {
    char text[4096], *end = NULL;
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    for (ssize_t n, before = 0; !end; before = n) {
        n = recv(c->fd, text, sizeof text - 1, MSG_PEEK);
        if (n <= 0) die("handshake");
        text[n] = 0;
        end = strstr(text, "\r\n\r\n");
        if (!end && n == before) usleep(100); /* the rest is on its way */
    }
    if (recv(c->fd, text, (size_t)(end + 4 - text), 0) != end + 4 - text) die("handshake");
    if (!strstr(text, " 101 ")) die("the server did not switch to WebSocket");
}

static void greet(Client *c, const char *greeting, uint32_t n) {
    if (n) send_frame(c->fd, (uint8_t)greeting_opcode, greeting, n);
    else c->is_ready = 1, n_ready++;
}

/* Some at a time, so that the server always has one to work on. */
static void connect_all(int port, int epoll) {
    char *greeting[HANDSHAKES];
    uint32_t lengths[HANDSHAKES], ignored;
    for (unsigned at = 0; at < n_clients; at += HANDSHAKES) {
        unsigned some = n_clients - at < HANDSHAKES ? n_clients - at : HANDSHAKES;
        for (unsigned i = 0; i < some; i++) {
            char *path = read_bytes(&ignored);
            greeting[i] = read_bytes(&lengths[i]);
            request(&clients[at + i], port, path);
            free(path);
        }
        for (unsigned i = 0; i < some; i++) {
            Client *c = &clients[at + i];
            take_answer(c);
            greet(c, greeting[i], lengths[i]);
            free(greeting[i]);
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
            if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll");
        }
    }
}

/* ---- the run ---- */

static void serve(int epoll, int timeout_ms) {
    struct epoll_event ready[EVENTS];
    int n = epoll_wait(epoll, ready, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) read_client(ready[i].data.ptr);
}

static void wait_ready(int epoll) {
    int64_t limit_ns = now_ns() + TIMEOUT_S * SECOND_NS;
    while (n_ready < n_clients) {
        serve(epoll, 100);
        if (n_closed) die("the server closed a connection");
        if (now_ns() > limit_ns) die("not every client was answered in time");
    }
}

static void read_in_full(unsigned each, int64_t first_id) {
    for (unsigned i = 0; i < n_clients; i += each) {
        clients[i].text = allocate(TEXT);
        clients[i].last_id = allocate(SYMBOLS * sizeof(int64_t));
        for (int s = 0; s < SYMBOLS; s++) clients[i].last_id[s] = first_id - 1;
    }
}

static double run(int epoll) {
    double busy_s = 0;
    int phase = 0; /* before, in, and after the measuring window */
    for (int64_t now; (now = now_ns()) < end_ns; serve(epoll, phase < 2 ? 5 : 20)) {
        if (phase == 0 && now >= from_ns) phase = 1, at_from = total, busy_s = -cpu_s();
        if (phase == 1 && now >= until_ns) phase = 2, at_until = total, busy_s += cpu_s();
        if (phase == 2 && (total.items >= expected || n_closed == n_clients)) break;
    }
    return busy_s;
}

static double percentile_ms(double q) {
    double rank = q * (double)measured;
    uint64_t seen = 0;
    for (int64_t i = 0; i < BUCKETS; i++)
        if ((seen += buckets[i]) && (double)seen >= rank) return (double)(i + 1) * BUCKET_NS / 1e6;
    return 0;
}

static void report(double busy_s) {
    double seconds = (double)(until_ns - from_ns) / (double)SECOND_NS;
    printf("{\"clients\":%u,\"closed\":%u,\"items\":%llu,\"expected\":%llu,\"full_items\":%llu,"
           "\"missing\":%llu,\"repeated\":%llu,",
           n_clients, n_closed, (unsigned long long)total.items, (unsigned long long)expected,
           (unsigned long long)full_items, (unsigned long long)missing,
           (unsigned long long)repeated);
    printf("\"window_items\":%llu,\"window_bytes\":%llu,\"window_frames\":%llu,\"measured\":%llu,",
           (unsigned long long)(at_until.items - at_from.items),
           (unsigned long long)(at_until.bytes - at_from.bytes),
           (unsigned long long)(at_until.frames - at_from.frames), (unsigned long long)measured);
    printf("\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"p999_ms\":%.2f,\"max_ms\":%.2f,\"busy\":%.4f}\n",
           percentile_ms(0.5), percentile_ms(0.99), percentile_ms(0.999), (double)largest_ns / 1e6,
           busy_s / seconds);
}

int main(int argc, char **argv) {
    char line[256];
    long long first_id;
    if (argc != 3) {
        fprintf(stderr, "usage: receiver PORT EACH <CLIENTS\n");
        return 2;
    }
    n_clients = read_u32();
    greeting_opcode = read_u32();
    mark = read_bytes(&mark_n);
    clients = allocate(n_clients * sizeof *clients);
    buckets = allocate(BUCKETS * sizeof *buckets);
    int epoll = epoll_create1(0);
    connect_all(atoi(argv[1]), epoll);
    wait_ready(epoll);
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0; /* nobody wants to know any more */
    if (sscanf(line, "%ld %ld %ld %lu %lld", &from_ns, &until_ns, &end_ns, &expected,
               &first_id) != 5)
        die("FROM_NS UNTIL_NS END_NS EXPECTED FIRST_ID");
    read_in_full((unsigned)atoi(argv[2]), first_id);
    live = 1;
    report(run(epoll));
    return 0;
}
