#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "names.h"
#include "../../../../loadtest/rfc3339.h"
#include "wire.h"

enum { IDLE, CONNECTING, UPGRADING, GREETING, PROVING, SUBSCRIBING, LIVE, ENDED };
enum { BUFFER = 1 << 20, TEXT = 1, CLOSE = 8, PING = 9, PONG = 10, STALLED_BYTES = 4096 };

Options options;
Counts counts;
Client *clients;
unsigned n_clients;
Tally latency[GROUPS];

static uint8_t buffer[BUFFER]; /* of whoever reads; only parts of frames are kept by a client */
static unsigned *waiting;      /* a ring of clients that are to connect, at most each once */
static unsigned first_waiting, n_waiting;
static int epoll_fd;

void client_add(char *text) {
    clients = realloc(clients, (n_clients + 1) * sizeof *clients);
    Client *c = memset(&clients[n_clients++], 0, sizeof *clients);
    size_t most = 1;
    for (const char *p = text; *p; p++) most += *p == ',';
    c->fd = -1;
    c->group = (uint8_t)strtoul(text, &text, 10) % GROUPS;
    c->symbols = calloc(most, sizeof *c->symbols);
    c->last = calloc(most * 2, sizeof *c->last);
    c->marked = c->last + most;
    for (char *number = strtok(text, ", "); number; number = strtok(NULL, ", ")) {
        c->symbols[c->n] = (uint16_t)atoi(number);
        if (c->symbols[c->n] >= names_count()) die("a client without symbols, or unknown ones");
        c->last[c->n] = c->marked[c->n] = options.first_id - 1;
        c->n++;
    }
}

/* Connecting */

static void watch(Client *c, int action, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, action, c->fd, &event)) die("epoll");
}

static void enqueue(Client *c, int64_t due_ns) {
    c->phase = IDLE;
    c->due_ns = due_ns;
    waiting[(first_waiting + n_waiting++) % n_clients] = (unsigned)(c - clients);
}

void clients_open(int epoll) {
    epoll_fd = epoll;
    waiting = calloc(n_clients, sizeof *waiting);
    counts.opened_ns = wall_ns();
    for (unsigned i = 0; i < n_clients; i++) enqueue(&clients[i], 0);
}

static int port_of(const Client *c) { return options.ports[(c - clients) % options.n_ports]; }

static void begin(Client *c) {
    int source = options.first_source;
    if (source) source += (int)((c - clients) % options.sources);
    c->fd = begin_connect(port_of(c), source, c->group ? options.receive_bytes : 0);
    if (c->fd < 0) {
        counts.refused++;
        enqueue(c, wall_ns() + options.retry_ms * 1000000LL);
        return;
    }
    counts.opening++;
    c->phase = CONNECTING;
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

int clients_connect(void) {
    while (n_waiting && counts.opening < options.in_flight) {
        Client *c = &clients[waiting[first_waiting]];
        int64_t wait_ns = c->due_ns ? c->due_ns - wall_ns() : 0;
        if (wait_ns > 0) return (int)(wait_ns / 1000000) + 1;
        first_waiting = (first_waiting + 1) % n_clients;
        n_waiting--;
        begin(c);
    }
    return -1;
}

static void connected(Client *c) {
    c->phase = UPGRADING;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    send_upgrade(c->fd, port_of(c));
}

/* The end of a connection */

static void forget(Client *c) {
    close(c->fd);
    c->fd = -1;
    free(c->partial);
    c->partial = NULL;
    c->filled = 0;
    counts.subscribed -= c->phase == LIVE;
    counts.opening -= c->phase > IDLE && c->phase < LIVE;
    counts.current -= c->current;
    c->current = false;
}

/* What came after the newest cursor comes again: that is no repetition. */
static void roll_back(Client *c) {
    counts.no_cursor += !c->cursor;
    for (unsigned i = 0; i < c->n; i++) {
        counts.redelivered += (uint64_t)(c->last[i] - c->marked[i]);
        c->last[i] = c->marked[i];
    }
}

static void lose(Client *c, int code) {
    bool was_live = c->phase == LIVE;
    forget(c);
    if (c->stalled) {
        counts.stalled_ended++;
        c->phase = ENDED;
        return;
    }
    counts.codes[code >= 1000 && code < 1000 + CLOSE_CODES ? code - 1000 : CLOSE_CODES]++;
    if (!options.come_back) {
        counts.closed++;
        c->phase = ENDED;
        return;
    }
    if (!was_live) counts.refused++;
    if (was_live && options.resume) roll_back(c);
    if (was_live && !counts.lost_ns) counts.lost_ns = wall_ns();
    enqueue(c, was_live ? 0 : wall_ns() + options.retry_ms * 1000000LL);
}

/* Talking */

static void say(Client *c, const char *text, size_t n) { send_frame(c->fd, TEXT, text, n); }

static void authenticate(Client *c) {
    char text[512];
    int n = snprintf(text, sizeof text, "{\"action\":\"auth\",\"key\":\"%s\",\"secret\":\"%s\"}",
                     options.key, options.secret);
    c->phase = PROVING;
    say(c, text, (size_t)n);
}

static void subscribe(Client *c) {
    static char text[65536];
    size_t size = sizeof text, n;
    n = (size_t)snprintf(text, size, "{\"action\":\"subscribe\",\"trades\":[");
    for (unsigned i = 0; i < c->n && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s\"%s\"", i ? "," : "", name_of(c->symbols[i]));
    if (n < size) n += (size_t)snprintf(text + n, size - n, "]%s", options.extra);
    if (options.resume && c->cursor && n < size)
        n += (size_t)snprintf(text + n, size - n, ",\"resume\":\"%s\"", c->cursor);
    if (n + 1 >= size) die("a subscription above 64 KiB");
    text[n++] = '}';
    c->phase = SUBSCRIBING;
    c->asked_ns = wall_ns();
    say(c, text, n);
}

static void subscribed(Client *c) {
    if (c->phase != SUBSCRIBING) return;
    c->phase = LIVE;
    counts.opening--;
    counts.subscribed++;
    counts.returned += counts.lost_ns != 0;
    counts.subscribed_ns = wall_ns();
}

static void succeeded(Client *c, const char *p, const char *end) {
    bool proven = memmem(p, (size_t)(end - p), "authenticated", 13);
    if (c->phase == GREETING && options.key) authenticate(c);
    else if (c->phase == GREETING || (c->phase == PROVING && proven)) subscribe(c);
}

static void failed(const char *p, const char *end) {
    if (!counts.errors++)
        snprintf(counts.error, sizeof counts.error, "%.*s", (int)(end - p), p);
    for (char *c = counts.error; *c; c++)
        if (*c == '"' || *c == '\\') *c = '\'';
}

/* What comes */

static void take_trade(Client *c, unsigned k, int64_t id, int64_t event_ns, int64_t received_ns) {
    int64_t last = c->last[k];
    counts.deliveries++;
    if (last >= 0 && id > last + 1) counts.missing += (uint64_t)(id - last - 1);
    if (id > last) c->last[k] = id;
    else counts.repeated++;
    if (!c->current && event_ns >= c->asked_ns) {
        c->current = true;
        counts.current++;
        counts.current_ns = received_ns;
    }
    tally_add(&latency[c->group], received_ns - event_ns);
}

static int index_of(const Client *c, const char *name, size_t length) {
    static unsigned hint; /* a message holds a symbol's trades one after the other */
    int number = number_of(name, length);
    for (unsigned i = 0; i < c->n && number >= 0; i++) {
        unsigned k = (hint + i) % c->n;
        if (c->symbols[k] == number) return (int)(hint = k);
    }
    return -1;
}

/* "S":"NAME","p":1.5,"s":2,"t":"2026-01-31T23:59:59.5Z","i":7,"tks":"B"}: no number has a t. */
static const char *trade(Client *c, const char *p, const char *end, int64_t received_ns) {
    const char *name = p + 5, *quote, *time, *after;
    if (end - p < 48 || !(quote = memchr(name, '"', (size_t)(end - name))) ||
        !(time = memchr(quote, 't', (size_t)(end - quote))) || end - time < 32)
        die("a trade that is cut off");
    int64_t event_ns = parse_time(time + 4, &after);
    if (memcmp(after, "Z\",\"i\":", 7)) die("a trade without an id behind its time");
    int k = index_of(c, name, (size_t)(quote - name));
    if (k < 0) counts.unknown++;
    else take_trade(c, (unsigned)k, strtoll(after + 7, NULL, 10), event_ns, received_ns);
    return after + 7;
}

static void take_cursor(Client *c, const char *p, const char *end) {
    const char *from = memmem(p, (size_t)(end - p), "\"c\":\"", 5);
    const char *to = from ? memchr(from + 5, '"', (size_t)(end - from - 5)) : NULL;
    if (!to) die("a cursor without c");
    size_t n = (size_t)(to - from - 5);
    c->cursor = realloc(c->cursor, n + 1);
    memcpy(c->cursor, from + 5, n);
    c->cursor[n] = 0;
    memcpy(c->marked, c->last, c->n * sizeof *c->last);
}

/* An item from behind its {"T":" to where the next one is looked for. */
static const char *take_item(Client *c, const char *p, const char *end, int64_t received_ns) {
    if (!strncmp(p, "t\",", 3)) return trade(c, p + 3, end, received_ns);
    if (!strncmp(p, "cursor", 6)) take_cursor(c, p, end);
    else if (!strncmp(p, "success", 7)) succeeded(c, p, end);
    else if (!strncmp(p, "subscription", 12)) subscribed(c);
    else if (!strncmp(p, "error", 5)) failed(p, end);
    else if (!strncmp(p, "gap", 3)) counts.gaps++;
    else counts.others++;
    return p;
}

static void take_message(Client *c, const char *p, const char *end, int64_t received_ns) {
    static const char mark[] = "{\"T\":\"";
    counts.messages++;
    while ((p = memmem(p, (size_t)(end - p), mark, 6))) p = take_item(c, p + 6, end, received_ns);
}

static void take_close(Client *c, const char *payload, size_t length) {
    int code = length >= 2 ? (uint8_t)payload[0] << 8 | (uint8_t)payload[1] : 0;
    send_frame(c->fd, CLOSE, payload, length >= 2 ? 2 : 0);
    lose(c, code);
}

static void take_frame(Client *c, uint8_t opcode, const char *payload, size_t n, int64_t now_ns) {
    if (opcode == TEXT) take_message(c, payload, payload + n, now_ns);
    else if (opcode == CLOSE) take_close(c, payload, n);
    else if (opcode == PING) {
        counts.pings++;
        send_frame(c->fd, PONG, payload, n);
    }
}

/* All frames of the first n bytes of the buffer; what is left of them is kept. */
static void take_frames(Client *c, size_t at, size_t n) {
    int64_t received_ns = wall_ns();
    size_t length, head;
    while (c->fd >= 0 && (head = frame_at(buffer + at, n - at, &length))) {
        take_frame(c, buffer[at] & 15, (char *)buffer + at + head, length, received_ns);
        at += head + length;
    }
    if (c->fd < 0) return;
    if (at == 0 && n == BUFFER) die("a message larger than the buffer");
    c->filled = (uint32_t)(n - at);
    if (!c->filled) free(c->partial), c->partial = NULL;
    else memcpy(c->partial = realloc(c->partial, c->filled), buffer + at, c->filled);
}

/* One read a turn, so that a client's backlog shows as latency and does not starve the others. */
static void read_some(Client *c) {
    if (c->filled) memcpy(buffer, c->partial, c->filled);
    ssize_t n = recv(c->fd, buffer + c->filled, BUFFER - c->filled, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        lose(c, 0);
        return;
    }
    counts.bytes += (uint64_t)n;
    size_t filled = c->filled + (size_t)n, at = 0;
    if (c->phase == UPGRADING) {
        long head = upgrade_answer(buffer, filled);
        if (head < 0) {
            lose(c, 0);
            return;
        }
        at = (size_t)head;
        if (head > 0) c->phase = GREETING;
    }
    if (c->phase == UPGRADING) die("an answer to the upgrade in pieces");
    take_frames(c, at, filled);
}

void client_serve(Client *c, uint32_t events) {
    bool broken = events & (EPOLLERR | EPOLLHUP);
    if (c->fd < 0) return; /* it ended earlier in this round */
    if (broken && (c->stalled || c->phase == CONNECTING)) lose(c, 0);
    else if (c->stalled) return; /* since earlier in this round */
    else if (c->phase == CONNECTING) connected(c);
    else read_some(c);
}

void clients_stall(void) {
    for (unsigned i = 0; i < n_clients; i++) {
        Client *c = &clients[i];
        if (c->group != 1 || c->phase != LIVE) continue;
        c->stalled = true;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &(int){STALLED_BYTES}, sizeof(int));
        watch(c, EPOLL_CTL_MOD, 0); /* a reset is told nevertheless */
    }
}

uint64_t clients_behind(char *ids) {
    int64_t *newest = calloc(names_count() + 1, sizeof *newest);
    unsigned n = 0;
    for (char *id = strtok(ids, ","); id && n < names_count(); id = strtok(NULL, ","))
        newest[n++] = strtoll(id, NULL, 10);
    uint64_t behind = 0;
    for (unsigned i = 0; i < n_clients; i++)
        for (unsigned k = 0; k < clients[i].n && !clients[i].stalled; k++) {
            int64_t lacks = newest[clients[i].symbols[k]] - clients[i].last[k];
            behind += lacks > 0 ? (uint64_t)lacks : 0;
        }
    free(newest);
    return behind;
}
