/* Names of keys and certificates.  What is read here sshd has accepted already: a signature by the key, and of a
 * certificate the authority's signature, its dates and its options.  Left to do is to tell which of the account's keys
 * it was, and any doubt is a refusal. */
#include "key.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { PRINCIPALS_MAX = 256, FOR_USERS = 1 }; /* the first as in OpenSSH's sshkey.h, the second in PROTOCOL.certkeys */

/* A part of a certificate that is still to be read.  What is not there reads as nothing, and is noted. */
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

static bool is_text(struct wire part, const char *text)
{
    return part.left == strlen(text) && memcmp(part.at, text, part.left) == 0;
}

/* Decode base64 of whole quartets to OUT, which has room for three quarters of it and may be TEXT itself. */
static bool decode(const char *text, unsigned char *out, struct wire *decoded)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text), padding = 0;
    if (length == 0 || length % 4 != 0)
        return false;
    padding += text[length - 1] == '=';
    padding += padding && text[length - 2] == '=';
    *decoded = (struct wire){ out, length / 4 * 3 - padding, false };
    uint32_t bits = 0;
    for (size_t i = 0; i < length; i++) {
        const char *digit = i < length - padding ? strchr(digits, text[i]) : digits;
        if (!digit)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        for (size_t byte = 0; i % 4 == 3 && byte < 3; byte++)
            *out++ = (unsigned char)(bits >> (16 - 8 * byte));
    }
    return true;
}

/* How many strings a certificate of this type has for its key; 0: no such type. */
static int parts_of_key(const char *type)
{
    static const struct {
        const char *type;
        int parts;
    } types[] = {
        { "ssh-ed25519-cert-v01@openssh.com", 1 },
        { "ssh-rsa-cert-v01@openssh.com", 2 },
        { "ecdsa-sha2-nistp256-cert-v01@openssh.com", 2 },
        { "ecdsa-sha2-nistp384-cert-v01@openssh.com", 2 },
        { "ecdsa-sha2-nistp521-cert-v01@openssh.com", 2 },
        { "sk-ssh-ed25519-cert-v01@openssh.com", 2 },
        { "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", 3 },
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].type, type) == 0)
            return types[i].parts;
    return 0;
}

/* OpenSSH's PROTOCOL.certkeys: all fields, and nothing behind them. */
static bool read_certificate(struct wire wire, const char *type, struct wire *principals, struct wire *authority)
{
    int parts = parts_of_key(type), count = 0;
    bool same_type = is_text(take_string(&wire), type);
    for (int i = 0; i < 1 + parts; i++) /* a nonce, the key */
        take_string(&wire);
    take(&wire, 8); /* serial */
    bool for_users = take_number(&wire) == FOR_USERS;
    take_string(&wire); /* key id */
    *principals = take_string(&wire);
    take(&wire, 16);            /* dates */
    for (int i = 0; i < 3; i++) /* critical options, extensions, reserved */
        take_string(&wire);
    *authority = take_string(&wire);
    take_string(&wire); /* signature */
    struct wire rest = *principals;
    for (; rest.left > 0; count++)
        take_string(&rest);
    return parts > 0 && same_type && for_users && !wire.bad && wire.left == 0 && !rest.bad && count <= PRINCIPALS_MAX;
}

/* Take the record's name for the login, which may have no other. */
static const char *settle(char *const *record, struct key *out)
{
    if (out->name && (strcmp(out->name, record[0]) != 0 || strcmp(out->plan, record[1]) != 0)) {
        snprintf(out->detail, sizeof out->detail, "keys of several names were used");
        return "key-ambiguous";
    }
    out->name = record[0];
    out->plan = record[1];
    return NULL;
}

static const char *unknown(struct key *out, const char *what, const char *type)
{
    snprintf(out->detail, sizeof out->detail, "%s%.60s", what, type);
    return "key-unknown";
}

/* The first principal, in the certificate's order, that the roster has with the certificate's authority. */
static const char *name_certificate(const struct plan *roster, const char *type, char *text, struct key *out)
{
    static unsigned char bytes[PLAN_MAX_TOKEN / 4 * 3];
    struct wire wire, principals, authority, known;
    if (!decode(text, (unsigned char *)text, &wire) || !read_certificate(wire, type, &principals, &authority))
        return unknown(out, "not a user's certificate of a type that is known: ", type);
    while (principals.left > 0) {
        struct wire principal = take_string(&principals);
        for (size_t i = 0; i < roster->count; i++) {
            char *const *args = roster->records[i].args;
            if (roster->records[i].verb == OP_AUTHORITY && is_text(principal, args[2]) &&
                decode(args[3], bytes, &known) && known.left == authority.left &&
                memcmp(known.at, authority.at, known.left) == 0)
                return settle(args, out);
        }
    }
    return unknown(out, "no name for a principal and the authority of a certificate of type ", type);
}

static const char *name_key(const struct plan *roster, const char *type, const char *text, struct key *out)
{
    for (size_t i = 0; i < roster->count; i++)
        if (roster->records[i].verb == OP_KEY && strcmp(roster->records[i].args[2], text) == 0)
            return settle(roster->records[i].args, out);
    return unknown(out, "no name for a key of type ", type);
}

const char *key_find(const struct plan *roster, char *text, size_t size, struct key *out)
{
    static const char ending[] = "-cert-v01@openssh.com";
    const char *why = NULL;
    *out = (struct key){ 0 };
    if (strlen(text) != size)
        return unknown(out, "what sshd says of the login is not text", "");
    for (char *line; !why && (line = strsep(&text, "\n"));) {
        const char *method = strsep(&line, " "), *type = strsep(&line, " ");
        char *blob = strsep(&line, " ");
        if (strcmp(method, "publickey") != 0)
            continue;
        if (!type || !blob)
            return unknown(out, "a key that sshd names is cut off", "");
        size_t n = strlen(type), end = sizeof ending - 1;
        bool certificate = n > end && strcmp(type + n - end, ending) == 0;
        why = certificate ? name_certificate(roster, type, blob, out) : name_key(roster, type, blob, out);
    }
    return why || out->name ? why : unknown(out, "no key was used for this login", "");
}
