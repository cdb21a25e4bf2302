#include "session.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An answer holds for a second: by then the number of a process may be another one's. */
enum { KEPT = 1024, GENERATIONS = 64, ID = 16 };
#define A_WHILE INT64_C(1000000000)

static const char PREFIX[] = "jail", DIGITS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";

static struct known {
    pid_t pid;
    uid_t uid;
    int64_t until;
    char id[ID + 1];
} kept[KEPT];

struct process {
    pid_t parent;
    uid_t uid;
    bool outside; /* it has no number but the one that everybody sees */
    char name[32];
};

static unsigned long number_after(const char *text, const char *label)
{
    const char *at = strstr(text, label);
    return at ? strtoul(at + strlen(label), NULL, 10) : 0;
}

/* Read /proc/PID/status (proc(5)).  A name is printed with its newlines escaped, so no line is anybody's own. */
static bool look(pid_t pid, struct process *process)
{
    static char text[4096];
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = '\0';
    const char *name = strncmp(text, "Name:\t", 6) == 0 ? text + 6 : NULL, *numbers = strstr(text, "\nNSpid:\t");
    if (!name || !numbers)
        return false;
    numbers += strlen("\nNSpid:\t");
    snprintf(process->name, sizeof process->name, "%.*s", (int)strcspn(name, "\n"), name);
    process->outside = strcspn(numbers, "\t") >= strcspn(numbers, "\n");
    process->parent = (pid_t)number_after(text, "\nPPid:\t");
    process->uid = (uid_t)number_after(text, "\nUid:\t");
    return true;
}

/* The id in a name: a number of 64 bits, six in each character, the lowest first. */
static void read_name(const char *name, char id[ID + 1])
{
    unsigned long long number = 0;
    size_t n = strlen(name);
    if (n != strlen(PREFIX) + 11 || strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return;
    while (n-- > strlen(PREFIX)) {
        const char *digit = strchr(DIGITS, name[n]);
        if (!digit)
            return;
        number = number << 6 | (unsigned)(digit - DIGITS);
    }
    snprintf(id, ID + 1, "%016llx", number);
}

/* The half of the login program that is outside of the jail has the session's id as its name, which nobody in the jail
 * can give to a process that is out there. */
static void find(pid_t pid, uid_t uid, char id[ID + 1])
{
    struct process process;
    id[0] = '\0';
    for (int i = 0; i < GENERATIONS && pid > 1 && look(pid, &process); i++) {
        if (process.uid != uid)
            return;
        if (process.outside) {
            read_name(process.name, id);
            return;
        }
        pid = process.parent;
    }
}

const char *session_of(pid_t pid, uid_t uid, int64_t now)
{
    struct known *known = &kept[(unsigned)pid % KEPT];
    if (known->pid != pid || known->uid != uid || known->until <= now) {
        *known = (struct known){ .pid = pid, .uid = uid, .until = now + A_WHILE };
        find(pid, uid, known->id);
    }
    return known->id;
}
