/* Plays prepared bytes to a server on a schedule, open loop: late if the server is, never less.
 *
 * usage: player SCRIPT PORT|PATH REFUSAL
 *
 * Connects to a port of 127.0.0.1, or to a socket at a path. SCRIPT, little-endian: u64 number of
 * connections; then per connection u64 number of records, u64 number of bytes, the records (i64
 * wall time in ns, u64 end of what may be sent from then on), the bytes. What the server answers
 * is read and dropped; answers that hold the text REFUSAL are counted. The report is one line of
 * JSON: the latest that a record was handed to the kernel, and the refusals.
 */
#include "common.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { ANSWER = 1 << 16, RETRY_NS = 200000, AT_ONCE_NS = 1 /* is never late */ };
#define LAST_ANSWERS_NS (SECOND_NS / 5)

typedef struct {
    int64_t due_ns;
    uint64_t end;
} Record;

typedef struct {
    int fd;
    const Record *records;
    const char *bytes;
    uint64_t n_records, next, allowed, sent;
} Connection;

static Connection *connections;
static uint64_t n_connections, refused;
static int64_t latest_ns;
static const char *refusal;

static int connect_to(const char *where) {
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(where))};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    int is_path = where[0] == '/';
    port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(path.sun_path, sizeof path.sun_path, "%s", where);
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    int failed = is_path ? connect(fd, (struct sockaddr *)&path, sizeof path)
                         : connect(fd, (struct sockaddr *)&port, sizeof port);
    if (fd < 0 || failed) die("connect");
    if (!is_path) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static const char *map(const char *path) {
    struct stat found;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &found)) die(path);
    void *at = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) die(path);
    return at;
}

static void read_script(const char *at, const char *where) {
    memcpy(&n_connections, at, 8);
    at += 8;
    connections = allocate(n_connections * sizeof *connections);
    for (uint64_t i = 0; i < n_connections; i++) {
        Connection *c = &connections[i];
        uint64_t n_bytes;
        memcpy(&c->n_records, at, 8);
        memcpy(&n_bytes, at + 8, 8);
        c->records = (const Record *)(const void *)(at + 16); /* the writer keeps to 8 bytes */
        c->bytes = at + 16 + c->n_records * sizeof(Record);
        c->fd = connect_to(where);
        at = c->bytes + (n_bytes + 7) / 8 * 8;
    }
}

/* Hand over what is due; false while the server takes no more. */
static int send_due(Connection *c, int64_t now) {
    while (c->next < c->n_records && c->records[c->next].due_ns <= now)
        c->allowed = c->records[c->next++].end;
    while (c->sent < c->allowed) {
        ssize_t n = send(c->fd, c->bytes + c->sent, c->allowed - c->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n < 0) die("send");
        c->sent += (uint64_t)n;
    }
    return 1;
}

static void drop_answers(Connection *c) {
    static char text[ANSWER];
    ssize_t n;
    while ((n = recv(c->fd, text, sizeof text, MSG_DONTWAIT)) > 0)
        for (const char *p = text; (p = memmem(p, (size_t)(text + n - p), refusal,
                                               strlen(refusal))); p++)
            refused++;
    if (n == 0) die("the server closed the connection");
}

/* When the next record is due; 0: all is sent. `blocked`: some wait for the server. */
static int64_t play_due(int64_t now, int *blocked) {
    int64_t next_ns = 0;
    for (uint64_t i = 0; i < n_connections; i++) {
        Connection *c = &connections[i];
        int64_t due_ns = c->next < c->n_records ? c->records[c->next].due_ns : 0;
        int waits = c->sent < c->allowed || (due_ns && due_ns <= now);
        if (waits && !send_due(c, now)) *blocked = 1;
        if (due_ns > AT_ONCE_NS && due_ns <= now && now - due_ns > latest_ns)
            latest_ns = now - due_ns;
        if (waits) drop_answers(c);
        due_ns = c->next < c->n_records ? c->records[c->next].due_ns : 0;
        if (due_ns && (!next_ns || due_ns < next_ns)) next_ns = due_ns;
    }
    return next_ns;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: player SCRIPT PORT|PATH REFUSAL\n");
        return 2;
    }
    refusal = argv[3];
    read_script(map(argv[1]), argv[2]);
    for (;;) {
        int blocked = 0;
        int64_t now = now_ns(), next_ns = play_due(now, &blocked);
        if (!next_ns && !blocked) break;
        sleep_until(blocked ? now + RETRY_NS : next_ns);
    }
    sleep_until(now_ns() + LAST_ANSWERS_NS);
    for (uint64_t i = 0; i < n_connections; i++) drop_answers(&connections[i]);
    printf("{\"latest_ms\":%.2f,\"refused\":%llu}\n", (double)latest_ns / 1e6,
           (unsigned long long)refused);
    return 0;
}
