/* Very many clients of the stream in one thread: an open-loop end for benchmarks. Linux (epoll).
 *
 * usage: swarm NAME=VALUE… <COMMANDS, see set_option and obey
 *
 * Commands, one a line: "names A,B,C", "client GROUP 0,2" for each client, "open"; then, at any
 * time, "reset" (latencies anew), "stall" (group 1 stops reading), "behind 9,9,8" (the newest id
 * of each symbol: how many trades clients lack) and "report"; each is answered by one line of
 * JSON. It ends with its input.
 *
 * Each client checks that the ids of each of its symbols have no hole and no repetition, and
 * measures from a trade's own time to its read. With resume it connects again when the server
 * goes away, gives the newest cursor, and goes on checking from where that cursor was.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"
#include "names.h"
#include "wire.h"

enum { EVENTS = 256, LINE = 1 << 20 };

static int epoll_fd;

static int read_ports(char *text) {
    int n = 0;
    for (char *port = strtok(text, ","); port && n < MAX_PORTS; port = strtok(NULL, ","))
        options.ports[n++] = atoi(port);
    return n;
}

static void set_option(char *name, char *value) {
    if (!strcmp(name, "ports")) options.n_ports = read_ports(value);
    else if (!strcmp(name, "first_source")) options.first_source = atoi(value);
    else if (!strcmp(name, "sources")) options.sources = atoi(value);
    else if (!strcmp(name, "in_flight")) options.in_flight = (unsigned)atoi(value);
    else if (!strcmp(name, "retry_ms")) options.retry_ms = atoi(value);
    else if (!strcmp(name, "receive_bytes")) options.receive_bytes = atoi(value);
    else if (!strcmp(name, "first_id")) options.first_id = atoll(value);
    else if (!strcmp(name, "come_back")) options.come_back = atoi(value);
    else if (!strcmp(name, "resume")) options.resume = options.come_back = atoi(value);
    else if (!strcmp(name, "key")) options.key = value;
    else if (!strcmp(name, "secret")) options.secret = value;
    else if (!strcmp(name, "extra")) options.extra = value;
    else die(name);
}

static void read_options(int argc, char **argv) {
    options = (Options){.sources = 1, .in_flight = 64, .retry_ms = 25, .secret = "", .extra = ""};
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) die("expected NAME=VALUE");
        *value = 0;
        set_option(argv[i], value + 1);
    }
    if (!options.n_ports) die("ports=… is needed");
}

static void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit");
}

static void put(const char *name, uint64_t value) {
    printf("\"%s\":%llu,", name, (unsigned long long)value);
}

static void put_tally(const char *name, const Tally *tally) {
    printf("\"%s\":{\"count\":%llu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"p999_ms\":%.2f,"
           "\"max_ms\":%.2f},",
           name, (unsigned long long)tally->count, tally_ms(tally, 0.5), tally_ms(tally, 0.99),
           tally_ms(tally, 0.999), (double)tally->largest_ns / 1e6);
}

static void put_latencies(void) {
    static Tally all;
    memset(&all, 0, sizeof all);
    for (int g = 0; g < GROUPS; g++) tally_merge(&all, &latency[g]);
    put_tally("all", &all);
    put_tally("group0", &latency[0]);
    put_tally("group1", &latency[1]);
}

static void put_clients(void) {
    put("clients", n_clients);
    put("subscribed", counts.subscribed);
    put("current", counts.current);
    put("closed", counts.closed);
    put("stalled_ended", counts.stalled_ended);
    put("refused", counts.refused);
    put("returned", counts.returned);
    put("opened_ns", (uint64_t)counts.opened_ns);
    put("subscribed_ns", (uint64_t)counts.subscribed_ns);
    put("current_ns", (uint64_t)counts.current_ns);
    put("lost_ns", (uint64_t)counts.lost_ns);
}

static void put_trades(void) {
    put("deliveries", counts.deliveries);
    put("missing", counts.missing);
    put("repeated", counts.repeated);
    put("unknown", counts.unknown);
    put("redelivered", counts.redelivered);
    put("no_cursor", counts.no_cursor);
    put("gaps", counts.gaps);
    put("messages", counts.messages);
    put("bytes", counts.bytes);
    put("pings", counts.pings);
    put("errors", counts.errors);
    put("others", counts.others);
    printf("\"error\":\"%s\",", counts.error);
}

static void put_codes(void) {
    printf("\"codes\":{");
    for (int i = 0, comma = 0; i <= CLOSE_CODES; i++)
        if (counts.codes[i])
            printf("%s\"%d\":%u", comma++ ? "," : "", i < CLOSE_CODES ? 1000 + i : 0,
                   counts.codes[i]);
    printf("},");
}

static void report(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{");
    put_clients();
    put_trades();
    put_latencies();
    put_codes();
    printf("\"cpu_s\":%.2f}\n",
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

static void obey(char *line) {
    char *rest = strchr(line, ' ');
    if (rest) *rest++ = 0;
    else rest = line + strlen(line);
    if (!strcmp(line, "client")) {
        client_add(rest);
        return;
    }
    if (!strcmp(line, "behind")) printf("%llu\n", (unsigned long long)clients_behind(rest));
    else if (!strcmp(line, "report")) report();
    else {
        if (!strcmp(line, "names")) names_add(rest);
        else if (!strcmp(line, "open")) clients_open(epoll_fd);
        else if (!strcmp(line, "reset")) memset(latency, 0, sizeof latency);
        else if (!strcmp(line, "stall")) clients_stall();
        else die(line);
        puts("{}");
    }
    fflush(stdout);
}

/* The lines that have come; false at the end of the input. */
static int read_commands(void) {
    static char text[LINE];
    static size_t filled;
    ssize_t n = read(0, text + filled, LINE - filled);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
    if (n <= 0) return 0;
    filled += (size_t)n;
    char *from = text, *end;
    while ((end = memchr(from, '\n', filled - (size_t)(from - text)))) {
        *end = 0;
        obey(from);
        from = end + 1;
    }
    filled -= (size_t)(from - text);
    memmove(text, from, filled);
    if (filled == LINE) die("a command above 1 MiB");
    return 1;
}

int main(int argc, char **argv) {
    struct epoll_event ready[EVENTS], input = {.events = EPOLLIN, .data.ptr = NULL};
    read_options(argc, argv);
    raise_limit();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    fcntl(0, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input)) die("the input must be a pipe");
    for (int listening = 1; listening;) {
        int n = epoll_wait(epoll_fd, ready, EVENTS, clients_connect());
        for (int i = 0; i < n && listening; i++) {
            if (ready[i].data.ptr) client_serve(ready[i].data.ptr, ready[i].events);
            else listening = read_commands();
        }
    }
    return 0;
}
