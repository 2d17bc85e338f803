/* Latencies in buckets of 10 us up to 10 s; what is above counts as the largest. */
#ifndef TALLY_H
#define TALLY_H
#include <stdint.h>

enum { BUCKET_NS = 10000, BUCKETS = 1000000 };

typedef struct {
    uint64_t count;
    int64_t largest_ns;
    uint32_t bucket[BUCKETS];
} Tally;

void tally_add(Tally *tally, int64_t latency_ns);
void tally_merge(Tally *into, const Tally *from);
/* The latency that the share `q` of all does not exceed, rounded up to a bucket. */
double tally_ms(const Tally *tally, double q);
#endif
