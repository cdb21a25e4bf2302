/* Feeds many cases to the login program's pure parts.  driver MODE [PLAN]: each case on stdin and each answer on stdout
 * is a length of four bytes (little endian) and as many bytes; the parts of both end with a NUL each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/limit.h"
#include "command/match.h"
#include "command/value.h"
#include "env.h"
#include "outer/filelog.h"
#include "outer/pump.h"

struct text {
    char *data;
    size_t size;
};

static const char *const verbs[] = {
#define OP(id, verb, kinds, phase, once) verb,
    PLAN_OPS(OP)
#undef OP
};
static const size_t arity[] = {
#define OP(id, verb, kinds, phase, once) sizeof kinds - 1,
    PLAN_OPS(OP)
#undef OP
};
static FILE *answer;

static void say(const char *part)
{
    fputs(part, answer);
    fputc('\0', answer);
}

static void say_number(unsigned long long number)
{
    fprintf(answer, "%llu", number);
    fputc('\0', answer);
}

/* The part after PART, or NULL behind the last one. */
static char *after(const struct text *from, char *part)
{
    char *next = part + strlen(part) + 1;
    return next < from->data + from->size ? next : NULL;
}

static void on_plan(struct text from)
{
    struct plan plan;
    const char *why = plan_parse(from.data, from.size, &plan);
    if (why) {
        say(why);
        return;
    }
    say("");
    say_number(plan.uid);
    say_number(plan.gid);
    say(plan.name);
    say(plan.serial);
    for (size_t i = 0; i < plan.count; i++) {
        say(verbs[plan.records[i].verb]);
        for (size_t arg = 0; arg < arity[plan.records[i].verb]; arg++)
            say(plan.records[i].args[arg]);
    }
    plan_free(&plan);
}

static void on_split(struct text from)
{
    struct words *words = malloc(sizeof *words);
    char *buffer = malloc(4 * REQUEST_MAX);
    if (!words || !buffer)
        abort();
    enum reason why = request_split(from.data, words, buffer);
    say(reason_code(why));
    say(words->at_fault);
    for (size_t i = 0; !why && i < words->count; i++) {
        say(words->list[i].text);
        say(words->list[i].pattern);
        say(words->list[i].glob ? "glob" : "");
        say(words->list[i].tilde ? "tilde" : "");
    }
    free(words);
    free(buffer);
}

static struct plan plan_of_run;

/* Parts: class, value, flags of the value (~ and o).  The rule is the plan's first. */
static void on_value(struct text from)
{
    static struct verdict verdict;
    struct matching m = { .plan = &plan_of_run, .out = &verdict };
    char *cls = from.data, *value = after(&from, cls), *flags = after(&from, value);
    const char *replacement = NULL;
    struct value_class parsed;
    if (!class_parse(cls, &parsed))
        abort();
    while (plan_of_run.records[m.rule].verb != OP_RULE)
        m.rule++;
    m.inside = strchr(flags, 'i') != NULL;
    verdict = (struct verdict){ 0 };
    struct value judged = { value, strchr(flags, '~') != NULL, strchr(flags, 'o') != NULL };
    bool fits = value_fits(&m, &parsed, &judged, &replacement);
    say(fits ? "" : reason_code(verdict.reason));
    say(fits ? replacement : verdict.detail);
    say(verdict.path ? verdict.path : "");
}

/* Parts: "i" inside the jail or "", "c" a command or "" for an interactive login, the command. */
static void on_match(struct text from)
{
    static struct verdict verdict;
    char *inside = from.data, *kind = after(&from, inside), *command = after(&from, kind);
    match_request(&plan_of_run, *kind ? command : NULL, *inside != '\0', &verdict);
    say(verdict.allowed ? "" : reason_code(verdict.reason));
    say(verdict.allowed ? verdict.program : verdict.detail);
    say(verdict.rule);
    say(verdict.plugin);
    say(verdict.path ? verdict.path : "");
    say(verdict.interactive ? "interactive" : "");
    for (size_t i = 0; verdict.allowed && i < verdict.argc; i++)
        say(verdict.argv[i]);
}

/* Parts: a value of the plan's record net. */
static void on_says(struct text from)
{
    say(plan_says(&plan_of_run, OP_NET, from.data) ? "yes" : "no");
    say(plan_says(&plan_of_run, OP_UMASK, from.data) ? "yes" : "no");
}

/* Parts: the arguments, "=" alone, the environment. */
static void on_take(struct text from)
{
    size_t size = from.size + 2;
    char **argv = calloc(size, sizeof *argv), **envp = calloc(size, sizeof *envp), **old = environ;
    int argc = 0;
    char *part = from.data;
    if (!argv || !envp)
        abort();
    for (; strcmp(part, "=") != 0; part = after(&from, part))
        argv[argc++] = part;
    for (size_t n = 0; (part = after(&from, part));)
        envp[n++] = part;
    environ = envp;
    struct request request;
    bool known = request_take(argc, argv, envp, &request);
    say(known ? "known" : "");
    say(environ && *environ ? "environment" : "");
    say(known && request.command ? "command" : "");
    say(known && request.command ? request.command : "");
    say(request.peer);
    const char *other = request_other_name(&request, "alice");
    say(other ? other : "-");
    for (char **entry = request.env; *entry; entry++)
        say(*entry);
    environ = old;
    free(argv);
    free(envp);
}

/* Parts: seconds since 1970, the peer. */
static void on_limit(struct text from)
{
    char sentence[80] = "";
    enum reason reason =
        limit_judge(&plan_of_run, after(&from, from.data), atoll(from.data), sentence, sizeof sentence);
    say(reason_code(reason));
    say(reason ? sentence : "");
}

/* Parts: a line of sftp-server's. */
static void on_operation(struct text from)
{
    struct operation found;
    say(operation_parse(from.data, &found) ? "yes" : "no");
    const char *parts[] = { found.name, found.path, found.new_path, found.bytes_read, found.bytes_written };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        say(parts[i] ? parts[i] : "-");
}

/* Parts: the rate, then moments in nanoseconds.  At each of them all is taken that may be: how much, and the wait. */
static void on_bucket(struct text from)
{
    struct bucket bucket = { .rate = atoll(from.data) };
    for (char *moment = from.data; (moment = after(&from, moment));) {
        bucket_fill(&bucket, atoll(moment));
        size_t room = bucket_wait(&bucket) ? 0 : bucket_room(&bucket, 65536);
        bucket.left -= (long long)room;
        say_number(room);
        say_number((unsigned long long)bucket_wait(&bucket));
    }
}

static const struct mode {
    const char *name;
    void (*run)(struct text from);
} modes[] = {
    { "plan", on_plan },   { "split", on_split },         { "value", on_value },
    { "match", on_match }, { "take", on_take },           { "says", on_says },
    { "limit", on_limit }, { "operation", on_operation }, { "bucket", on_bucket },
};

static void read_plan(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *data = malloc(PLAN_MAX_SIZE);
    if (!file || !data)
        abort();
    size_t size = fread(data, 1, PLAN_MAX_SIZE, file);
    fclose(file);
    const char *why = plan_parse(data, size, &plan_of_run);
    if (why) {
        fprintf(stderr, "%s: %s\n", path, why);
        exit(1);
    }
}

static void write_answer(struct text text)
{
    unsigned char head[4];
    for (int i = 0; i < 4; i++)
        head[i] = (unsigned char)(text.size >> 8 * i);
    fwrite(head, 1, sizeof head, stdout);
    fwrite(text.data, 1, text.size, stdout);
}

int main(int argc, char **argv)
{
    unsigned char head[4];
    const struct mode *mode = modes;
    while (argc > 1 && strcmp(mode->name, argv[1]) != 0)
        mode++;
    if (argc > 2)
        read_plan(argv[2]);
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        struct text from = { NULL, head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24 };
        struct text to = { NULL, 0 };
        from.data = malloc(from.size); /* of its very size, so that reading one byte more is found */
        answer = open_memstream(&to.data, &to.size);
        if (!from.data || !answer || fread(from.data, 1, from.size, stdin) != from.size)
            return 1;
        mode->run(from);
        fclose(answer);
        write_answer(to);
        free(to.data);
        free(from.data);
    }
    return 0;
}
