/* Sockets and frames, as far as a client of the stream needs them. */
#ifndef WIRE_H
#define WIRE_H
#include <stddef.h>
#include <stdint.h>

void die(const char *what) __attribute__((noreturn));
int64_t wall_ns(void);

/* A socket that is being connected from 127.0.0.`source` (0: any), without waiting; -1: refused. */
int begin_connect(int port, int source, int receive_bytes);
/* The upgrade request for /v1/stream. */
void send_upgrade(int fd, int port);
/* The length of the answer's head if all of it is there and it switches, 0 if not yet, -1 if not. */
long upgrade_answer(const uint8_t *text, size_t n);

/* One frame, masked. A connection that is lost meanwhile is noticed when it is read next. */
void send_frame(int fd, uint8_t opcode, const char *payload, size_t n);
/* Where the payload of the frame at `f` begins, and its length; 0 while it is not complete. */
size_t frame_at(const uint8_t *f, size_t n, size_t *length);
#endif
