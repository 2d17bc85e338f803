#include "tally.h"

void tally_add(Tally *tally, int64_t latency_ns) {
    if (latency_ns < 0) latency_ns = 0;
    int64_t bucket = latency_ns / BUCKET_NS;
    tally->bucket[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    if (latency_ns > tally->largest_ns) tally->largest_ns = latency_ns;
    tally->count++;
}

void tally_merge(Tally *into, const Tally *from) {
    for (int i = 0; i < BUCKETS; i++) into->bucket[i] += from->bucket[i];
    if (from->largest_ns > into->largest_ns) into->largest_ns = from->largest_ns;
    into->count += from->count;
}

double tally_ms(const Tally *tally, double q) {
    uint64_t rank = (uint64_t)(q * (double)tally->count), seen = 0;
    int64_t bucket = -1, ns = tally->largest_ns;
    if ((double)rank < q * (double)tally->count) rank++;
    while (seen < rank) seen += tally->bucket[++bucket];
    if (bucket < BUCKETS - 1 && (bucket + 1) * BUCKET_NS < ns) ns = (bucket + 1) * BUCKET_NS;
    return (double)ns / 1e6;
}
