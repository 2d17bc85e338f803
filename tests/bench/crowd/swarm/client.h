/* The clients: from connecting, over subscribing, to checking what comes; and back again. */
#ifndef CLIENT_H
#define CLIENT_H
#include <stdbool.h>
#include <stdint.h>

#include "tally.h"

enum { MAX_PORTS = 16, GROUPS = 2, CLOSE_CODES = 16, ERROR_TEXT = 160 };

typedef struct {
    int ports[MAX_PORTS], n_ports; /* clients take turns */
    int first_source, sources;     /* of 127.0.0.x; 0: any */
    unsigned in_flight;            /* clients that connect at a time */
    int retry_ms;                  /* after a refused connection */
    int receive_bytes;             /* SO_RCVBUF of group 1; 0: the system's */
    int64_t first_id;              /* of each symbol, when all subscribe before it; 0: any */
    bool come_back, resume;        /* connect again when the connection ends; with the cursor */
    const char *key, *secret;      /* NULL: no authentication */
    const char *extra;             /* more fields of the subscription, ",\"cursor\":true" */
} Options;

typedef struct {
    int fd;
    uint8_t phase, group;
    bool current, stalled;
    uint16_t n; /* symbols */
    uint16_t *symbols;
    int64_t *last;   /* newest id of each symbol; -1: none yet */
    int64_t *marked; /* the same when the newest cursor came */
    char *cursor;
    uint8_t *partial; /* of a frame whose rest has not come */
    uint32_t filled;
    int64_t asked_ns; /* when the subscription was sent */
    int64_t due_ns;   /* when it is to connect */
} Client;

typedef struct {
    unsigned opening, subscribed, current, closed, stalled_ended, refused, returned;
    unsigned codes[CLOSE_CODES + 1]; /* by code - 1000; the last: without a close frame */
    uint64_t deliveries, missing, repeated, unknown, redelivered, no_cursor;
    uint64_t messages, bytes, pings, gaps, errors, others;
    int64_t opened_ns, subscribed_ns, current_ns, lost_ns; /* the newest of each; wall clock */
    char error[ERROR_TEXT];
} Counts;

extern Options options;
extern Counts counts;
extern Client *clients;
extern unsigned n_clients;
extern Tally latency[GROUPS];

/* "GROUP 3,1,4": one more client, with these symbols. */
void client_add(char *text);
void clients_open(int epoll);
/* Connect those that are due; the ms until the next is, -1: none waits. */
int clients_connect(void);
void client_serve(Client *c, uint32_t events);
/* Group 1 stops reading. */
void clients_stall(void);
/* Trades that clients have not had, by the newest id of each symbol, "7,7,8". */
uint64_t clients_behind(char *ids);
#endif
