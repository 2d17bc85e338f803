/* Times of trades as UNIX nanoseconds, for the load generators: a whole core's worth of them. */
#ifndef LOADTEST_RFC3339_H
#define LOADTEST_RFC3339_H
#include <stdint.h>
#include <string.h>

static inline int64_t digits(const char *p, int n) {
    int64_t value = 0;
    for (int i = 0; i < n; i++) value = value * 10 + (p[i] - '0');
    return value;
}

/* "2026-01-31T23:59" to UNIX seconds; days by Howard Hinnant's days_from_civil. */
static inline int64_t minute_s(const char *p) {
    static char known[16];
    static int64_t known_s; /* trades come in bursts: most share their minute */
    if (memcmp(p, known, sizeof known) != 0) {
        int64_t y = digits(p, 4), m = digits(p + 5, 2), d = digits(p + 8, 2);
        y -= m <= 2;
        int64_t era = y / 400, yoe = y - era * 400;
        int64_t doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
        int64_t days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
        known_s = days * 86400 + digits(p + 11, 2) * 3600 + digits(p + 14, 2) * 60;
        memcpy(known, p, sizeof known);
    }
    return known_s;
}

/* "2026-01-31T23:59:59.123456789Z" to UNIX ns; *end, unless end is NULL, is behind the digits. */
static inline int64_t parse_time(const char *text, const char **end) {
    int64_t ns = (minute_s(text) + digits(text + 17, 2)) * 1000000000, scale = 100000000;
    const char *p = text + 19;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10) ns += (*p - '0') * scale;
    if (end) *end = p;
    return ns;
}
#endif
