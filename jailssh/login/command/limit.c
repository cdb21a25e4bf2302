#include "limit.h"
#include "kind.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MINUTE = 60, DAY = 24 * 60 * MINUTE, WEEK = 7, THURSDAY = 3 /* 1970-01-01 */ };

struct address {
    unsigned char bytes[16]; /* IPv4 as IPv6 has it, ::ffff:a.b.c.d */
    bool v4;
    unsigned bits; /* of a network; 128 of an address */
};

/* N bytes of TEXT, which may be an address with a scope (%eth0) or a network. */
static bool parse_address(const char *text, size_t n, struct address *out)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    char copy[72];
    if (n >= sizeof copy)
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    if (slash && !kind_is_decimal(slash + 1, 3))
        return false;
    copy[strcspn(copy, "%")] = '\0';
    unsigned long bits = slash ? plan_number(slash + 1, 10) : 128;
    bool dotted = inet_pton(AF_INET, copy, out->bytes + sizeof mapped) == 1;
    if (dotted)
        memcpy(out->bytes, mapped, sizeof mapped);
    else if (inet_pton(AF_INET6, copy, out->bytes) != 1)
        return false;
    if (dotted && slash)
        bits += 8 * sizeof mapped;
    out->v4 = memcmp(out->bytes, mapped, sizeof mapped) == 0 && bits >= 8 * sizeof mapped;
    out->bits = (unsigned)bits;
    return bits <= 128;
}

static bool is_in(const struct address *client, const char *network)
{
    struct address wanted;
    if (!parse_address(network, strlen(network), &wanted) || wanted.v4 != client->v4)
        return false;
    size_t whole = wanted.bits / 8;
    unsigned char mask = (unsigned char)(0xff00 >> wanted.bits % 8);
    return memcmp(client->bytes, wanted.bytes, whole) == 0 &&
           (mask == 0 || ((client->bytes[whole] ^ wanted.bytes[whole]) & mask) == 0);
}

/* True for the record DAYS FROM TO that MINUTE_NOW of DAY_NOW lies in. */
static bool is_within(char *const *hours, unsigned day_now, unsigned long minute_now)
{
    return plan_number(hours[0], 10) >> day_now & 1 && minute_now >= plan_number(hours[1], 10) &&
           minute_now < plan_number(hours[2], 10);
}

static long long seconds(const char *text)
{
    return text[0] == '-' ? -(long long)plan_number(text + 1, 10) : (long long)plan_number(text, 10);
}

/* Seconds since 1970 as local clocks show them. */
static long long local(const struct plan *plan, long long moment)
{
    long long ahead = 0;
    for (size_t i = 0; i < plan->count; i++) {
        char *const *args = plan->records[i].args;
        if (plan->records[i].verb == OP_UTC_OFFSET && seconds(args[0]) <= moment)
            ahead = seconds(args[1]);
    }
    return moment + ahead;
}

static bool is_expired(const struct plan *plan, long long now, char *sentence, size_t size)
{
    char *const *expires = plan_first(plan, OP_EXPIRES);
    struct tm last = { 0 };
    if (!expires || now < seconds(expires[0]))
        return false;
    time_t moment = (time_t)local(plan, seconds(expires[0]) - 1); /* the last day on which it could be used */
    if (gmtime_r(&moment, &last))
        snprintf(sentence, size, "account expired; last valid day: %04d-%02d-%02d", last.tm_year + 1900,
                 last.tm_mon + 1, last.tm_mday);
    return true;
}

enum reason limit_judge(const struct plan *plan, const char *peer, long long now, char *sentence, size_t size)
{
    struct address client;
    bool limited[2] = { false, false }, fits[2] = { false, false }; /* by address, by hours */
    bool known = parse_address(peer, strcspn(peer, " "), &client);
    long long clock = local(plan, now);
    unsigned day = (unsigned)((clock / DAY + THURSDAY) % WEEK);
    snprintf(sentence, size, "account expired");
    if (is_expired(plan, now, sentence, size))
        return R_EXPIRED;
    for (size_t i = 0; i < plan->count; i++) {
        char *const *args = plan->records[i].args;
        enum plan_verb verb = plan->records[i].verb;
        if (verb != OP_ADDRESS && verb != OP_HOURS)
            continue;
        bool hours = verb == OP_HOURS;
        limited[hours] = true;
        if (hours ? is_within(args, day, (unsigned long)(clock % DAY / MINUTE)) : known && is_in(&client, args[0]))
            fits[hours] = true;
    }
    snprintf(sentence, size, "login not allowed %s", limited[0] && !fits[0] ? "from this address" : "at this time");
    if (limited[0] && !fits[0])
        return R_ADDRESS;
    return limited[1] && !fits[1] ? R_HOURS : R_NONE;
}
