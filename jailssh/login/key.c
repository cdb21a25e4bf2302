/* Names of keys and certificates.  What is read here sshd has accepted already: a signature by the key, and of a
 * certificate the authority's signature, its dates and its options.  Left to do is to tell which of the account's keys
 * it was, and any doubt is a refusal. */
#include "key.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { PRINCIPALS_MAX = 256, FOR_USERS = 1 }; /* OpenSSH's sshkey.h: SSHKEY_CERT_MAX_PRINCIPALS, SSH2_CERT_TYPE_USER */

/* Bytes that are still to be read.  What is not there reads as nothing, and is noted. */
struct wire {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static struct wire take(struct wire *from, size_t n)
{
    if (n > from->left) {
        from->bad = true;
        n = from->left = 0;
    }
    struct wire part = { from->at, n, from->bad };
    from->at += n;
    from->left -= n;
    return part;
}

static uint32_t take_number(struct wire *from)
{
    struct wire part = take(from, 4);
    const unsigned char *at = part.at;
    return part.bad ? 0 : (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static struct wire take_string(struct wire *from)
{
    return take(from, take_number(from));
}

static bool is_same(struct wire part, const void *bytes, size_t size)
{
    return part.left == size && memcmp(part.at, bytes, size) == 0;
}

/* Decode base64 to OUT, which has room for three quarters of TEXT and may be TEXT itself. */
static bool decode(const char *text, unsigned char *out, struct wire *decoded)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char *const padding[] = { "", "A", "==", "=" }; /* no digit stands behind the digits */
    size_t n = strspn(text, digits), size = 0;
    uint32_t bits = 0;
    if (strcmp(text + n, padding[n % 4]) != 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, text[i]) - digits);
        if (i % 4 > 0)
            out[size++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    *decoded = (struct wire){ out, size, false };
    return true;
}

/* How many strings the key in a certificate of this type has; 0: the type is none of a certificate's. */
static int parts_of(const char *type)
{
    static const char *const types[] = { "1ssh-ed25519",           "2ssh-rsa",
                                         "2ecdsa-sha2-nistp256",   "2ecdsa-sha2-nistp384",
                                         "2ecdsa-sha2-nistp521",   "2sk-ssh-ed25519",
                                         "3sk-ecdsa-sha2-nistp256" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t n = strlen(types[i] + 1);
        if (strncmp(type, types[i] + 1, n) == 0 && strcmp(type + n, "-cert-v01@openssh.com") == 0)
            return types[i][0] - '0';
    }
    return 0;
}

/* OpenSSH's PROTOCOL.certkeys: all fields, and nothing behind them. */
static bool read_certificate(struct wire wire, const char *type, struct wire *principals, struct wire *authority)
{
    int parts = parts_of(type), count = 0;
    bool same_type = is_same(take_string(&wire), type, strlen(type));
    for (int i = 0; i < 1 + parts; i++) /* a nonce, the key */
        take_string(&wire);
    take(&wire, 8); /* serial */
    bool for_users = take_number(&wire) == FOR_USERS;
    take_string(&wire); /* key id */
    struct wire rest = *principals = take_string(&wire);
    take(&wire, 16);            /* dates */
    for (int i = 0; i < 3; i++) /* critical options, extensions, reserved */
        take_string(&wire);
    *authority = take_string(&wire);
    take_string(&wire); /* signature */
    for (; rest.left > 0; count++)
        take_string(&rest);
    return same_type && for_users && !wire.bad && wire.left == 0 && !rest.bad && count <= PRINCIPALS_MAX;
}

/* The record of the first principal, in the certificate's order, that the roster has with this authority. */
static char *const *find_certificate(const struct plan *roster, const char *type, char *text)
{
    static unsigned char bytes[PLAN_MAX_TOKEN];
    struct wire wire, principals, authority, known;
    if (!decode(text, (unsigned char *)text, &wire) || !read_certificate(wire, type, &principals, &authority))
        return NULL;
    while (principals.left > 0) {
        struct wire principal = take_string(&principals);
        for (size_t i = 0; i < roster->count; i++) {
            char *const *args = roster->records[i].args;
            if (roster->records[i].verb == OP_AUTHORITY && is_same(principal, args[2], strlen(args[2])) &&
                decode(args[3], bytes, &known) && is_same(authority, known.at, known.left))
                return args;
        }
    }
    return NULL;
}

static char *const *find_key(const struct plan *roster, const char *text)
{
    for (size_t i = 0; i < roster->count; i++)
        if (roster->records[i].verb == OP_KEY && strcmp(roster->records[i].args[2], text) == 0)
            return roster->records[i].args;
    return NULL;
}

static char *const *doubted(struct key_doubt *doubt, enum reason reason, const char *detail, const char *type)
{
    doubt->reason = reason;
    snprintf(doubt->detail, sizeof doubt->detail, "%s%.60s", detail, type);
    return NULL;
}

char *const *key_find(const struct plan *roster, char *text, size_t size, struct key_doubt *doubt)
{
    char *const *found = NULL;
    if (strlen(text) != size)
        return doubted(doubt, R_KEY_UNKNOWN, "SSH_USER_AUTH file is not text", "");
    for (char *line; (line = strsep(&text, "\n"));) {
        const char *method = strsep(&line, " "), *type = strsep(&line, " ");
        char *blob = strsep(&line, " ");
        if (strcmp(method, "publickey") != 0)
            continue;
        bool certificate = blob && parts_of(type) > 0;
        char *const *record = certificate ? find_certificate(roster, type, blob) : blob ? find_key(roster, blob) : NULL;
        if (!record && certificate)
            return doubted(doubt, R_KEY_UNKNOWN, "certificate has no named principal: type ", type);
        if (!record)
            return doubted(doubt, R_KEY_UNKNOWN, "key has no name: type ", type ? type : "");
        if (found && (strcmp(found[0], record[0]) != 0 || strcmp(found[1], record[1]) != 0))
            return doubted(doubt, R_KEY_AMBIGUOUS, "login used keys with different names", "");
        found = record;
    }
    return found ? found : doubted(doubt, R_KEY_UNKNOWN, "login used no key", "");
}
