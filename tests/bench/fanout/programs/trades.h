/* The text of trades, read at the speed that a whole core's worth of them needs. */
#include "common.h"

static inline int64_t digits(const char *p, int n) {
    int64_t value = 0;
    for (int i = 0; i < n; i++) value = value * 10 + (p[i] - '0');
    return value;
}

/* "2026-01-31T23:59:59.123456789Z" to UNIX ns; days by Howard Hinnant's days_from_civil. */
static inline int64_t parse_time(const char *p) {
    static char known[17];
    static int64_t known_minute_s; /* most trades share their minute with the one before */
    if (memcmp(p, known, 16) != 0) {
        int64_t y = digits(p, 4), m = digits(p + 5, 2), d = digits(p + 8, 2);
        y -= m <= 2;
        int64_t era = y / 400, yoe = y - era * 400;
        int64_t doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
        int64_t days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
        known_minute_s = days * 86400 + digits(p + 11, 2) * 3600 + digits(p + 14, 2) * 60;
        memcpy(known, p, 16);
    }
    int64_t ns = (known_minute_s + digits(p + 17, 2)) * SECOND_NS, scale = SECOND_NS / 10;
    if (p[19] != '.') return ns;
    for (p += 20; *p >= '0' && *p <= '9'; p++, scale /= 10) ns += (*p - '0') * scale;
    return ns;
}

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
