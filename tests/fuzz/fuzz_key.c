/* Names of keys: a byte that chooses, then what sshd tells, or a certificate of some type.  A name that is found is the
 * roster's, and stands with its authority in the certificate. */
#include "fuzz.h"

#include "key.h"

#define KEY "QUFBQUFBQUFBQUFB"
#define OTHER_KEY "QUFBQUFBQUFBQUFC"
#define AUTHORITY "certificate!"
#define AUTHORITY_TEXT "Y2VydGlmaWNhdGUh"

static char *const rows[][4] = {
    { "alice", "a0", KEY, NULL },
    { "bob", "b0", OTHER_KEY, NULL },
    { "alice", "a0", "alice", AUTHORITY_TEXT },
    { "bob", "b0", "bob", AUTHORITY_TEXT },
};
static const struct record records[] = {
    { OP_KEY, rows[0], NULL },
    { OP_KEY, rows[1], NULL },
    { OP_AUTHORITY, rows[2], NULL },
    { OP_AUTHORITY, rows[3], NULL },
};
static const char *const types[] = { "ssh-ed25519",           "ssh-rsa",
                                     "ecdsa-sha2-nistp256",   "ecdsa-sha2-nistp384",
                                     "ecdsa-sha2-nistp521",   "sk-ssh-ed25519",
                                     "sk-ecdsa-sha2-nistp256" };
enum { TYPES = sizeof types / sizeof *types };

static void encode(const unsigned char *data, size_t size, FILE *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned bits = (unsigned)data[i] << 16;
        bits |= i + 1 < size ? (unsigned)data[i + 1] << 8 : 0;
        bits |= i + 2 < size ? data[i + 2] : 0;
        fputc(digits[bits >> 18], out);
        fputc(digits[bits >> 12 & 63], out);
        fputc(i + 1 < size ? digits[bits >> 6 & 63] : '=', out);
        fputc(i + 2 < size ? digits[bits & 63] : '=', out);
    }
}

/* True if DATA holds TEXT as a string of SSH's: its length in four bytes, then itself. */
static bool holds(const unsigned char *data, size_t size, const char *text)
{
    char wire[64] = { 0 };
    size_t length = strlen(text);
    wire[3] = (char)length;
    memcpy(wire + 4, text, length);
    return memmem(data, size, wire, length + 4);
}

static void check(char *const *found, const struct key_doubt *doubt)
{
    bool known = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        known = known || found == rows[i];
    if (found)
        HOLDS(known);
    else
        HOLDS(doubt->reason == R_KEY_UNKNOWN || doubt->reason == R_KEY_AMBIGUOUS);
    HOLDS(found || strlen(doubt->detail) < sizeof doubt->detail);
}

static void read_text(const struct plan *roster, const unsigned char *data, size_t size)
{
    struct key_doubt doubt = { 0 };
    char *text = string_of(data, size);
    char *const *found = key_find(roster, text, size, &doubt);
    check(found, &doubt);
    if (found == rows[0] || found == rows[1])
        HOLDS(memmem(data, size, found[2], strlen(found[2])));
    HOLDS(!found || memmem(data, size, "publickey ", 10));
    free(text);
}

static void read_certificate(const struct plan *roster, const char *type, const unsigned char *data, size_t size)
{
    struct key_doubt doubt = { 0 };
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    HOLDS(out);
    fprintf(out, "publickey %s-cert-v01@openssh.com ", type);
    encode(data, size, out);
    fputc('\n', out);
    fclose(out);
    char *const *found = key_find(roster, text, length, &doubt);
    check(found, &doubt);
    HOLDS(!found || (holds(data, size, found[2]) && holds(data, size, AUTHORITY)));
    free(text);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const struct plan roster = { .records = records, .count = sizeof records / sizeof *records };
    if (size == 0)
        return 0;
    unsigned what = data[0] % (TYPES + 1);
    if (what == TYPES)
        read_text(&roster, data + 1, size - 1);
    else
        read_certificate(&roster, types[what], data + 1, size - 1);
    return 0;
}
