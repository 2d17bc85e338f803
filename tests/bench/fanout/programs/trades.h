/* The text of trades, read at the speed that a whole core's worth of them needs. */
#include "../../../../loadtest/rfc3339.h"
#include "common.h"

static inline const char *after(const char *from, const char *end, const char *what) {
    const char *found = memmem(from, (size_t)(end - from), what, strlen(what));
    if (!found) die("a trade without S, t or i");
    return found + strlen(what);
}

/* Lanes of bytes, so that the compiler makes vector instructions of it. */
static inline uint64_t count_braces(const char *p, size_t n) {
    uint64_t found = 0;
    while (n >= 32) {
        uint8_t lanes[32] = {0};
        size_t rounds = n / 32 < 255 ? n / 32 : 255;
        for (size_t r = 0; r < rounds; r++, p += 32)
            for (int i = 0; i < 32; i++) lanes[i] = (uint8_t)(lanes[i] + (p[i] == '{'));
        for (int i = 0; i < 32; i++) found += lanes[i];
        n -= rounds * 32;
    }
    for (size_t i = 0; i < n; i++) found += p[i] == '{';
    return found;
}
