/* The matcher's promises, checked on each verdict. */
#include "fuzz.h"

#include <fnmatch.h>
#include <limits.h>

static bool equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool rule_has(const struct plan *plan, size_t rule, enum plan_verb verb, const char *word)
{
    size_t at = rule;
    for (char *const *args; (args = rule_next(plan, verb, &at));)
        if (equal(args[0], word))
            return true;
    return false;
}

static bool of_rule(const struct plan *plan, size_t rule, const char *word)
{
    return rule_has(plan, rule, OP_FIXED, word) || rule_has(plan, rule, OP_LITERAL, word) ||
           rule_has(plan, rule, OP_INSERT, word) || rule_has(plan, rule, OP_MARK, word);
}

/* True if WORD is FOLDER, a slash where it needs one, and REST. */
static bool is_joined(const char *word, const char *folder, const char *rest)
{
    size_t n = strlen(folder);
    if (strncmp(word, folder, n) != 0)
        return false;
    word += n;
    return equal(word, rest) || (*word == '/' && equal(word + 1, rest));
}

static const char *home_of(const struct plan *plan)
{
    return plan_first(plan, OP_HOME)[0];
}

static const char *base_of(const struct plan *plan, size_t rule)
{
    char *const *base = rule_first(plan, rule, OP_BASE);
    return base ? base[0] : home_of(plan);
}

/* True if WORD is the text SENT, or the path that it means. */
static bool comes_from(const struct plan *plan, size_t rule, const char *word, const char *sent)
{
    return equal(word, sent) || (sent[0] == '~' && is_joined(word, home_of(plan), sent + 1)) ||
           (sent[0] != '/' && is_joined(word, base_of(plan, rule), sent));
}

/* True if WORD is the word SENT, its value, or the option before its value. */
static bool made_of(const struct plan *plan, size_t rule, const char *word, const char *sent)
{
    if (comes_from(plan, rule, word, sent))
        return true;
    size_t name = strcspn(sent, "=") + 1;
    if (strncmp(sent, "--", 2) == 0)
        return name < strlen(sent) && strncmp(word, sent, name) == 0 &&
               comes_from(plan, rule, word + name, sent + name);
    if (sent[0] != '-')
        return false;
    if (strlen(word) >= 2 && strncmp(word, sent, strlen(word)) == 0)
        return true;
    for (const char *value = sent + 1; *value++;)
        if (comes_from(plan, rule, word, value))
            return true;
    return false;
}

static bool of_command(const struct plan *plan, size_t rule, const char *word, const struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        if (made_of(plan, rule, word, words->list[i].text))
            return true;
    return false;
}

/* One component of the path *AT, which moves on; *SIZE is 0 at the end. */
static const char *component(const char **at, size_t *size)
{
    *at += strspn(*at, "/");
    const char *begin = *at;
    *size = strcspn(begin, "/");
    *at += *size;
    return begin;
}

static const char *next_but_dot(const char **at, size_t *size)
{
    const char *part;
    do
        part = component(at, size);
    while (*size == 1 && part[0] == '.');
    HOLDS(*size != 2 || part[0] != '.' || part[1] != '.');
    return part;
}

/* True if PATH, behind FOLDER where it is relative, is ROOT or below it.  No component may be "..". */
static bool is_below(const char *root, const char *folder, const char *path)
{
    const char *at = path[0] == '/' ? path : folder, *then = path[0] == '/' ? NULL : path;
    size_t wanted, size;
    bool below = true;
    for (;;) {
        const char *part = component(&root, &wanted), *here = next_but_dot(&at, &size);
        if (size == 0 && then) {
            at = then;
            then = NULL;
            here = next_but_dot(&at, &size);
        }
        below = below && (wanted == 0 || (size == wanted && memcmp(part, here, size) == 0));
        if (size == 0)
            return below;
    }
}

static bool below_a_root(const struct plan *plan, size_t rule, const char *path)
{
    size_t at = rule;
    bool found = false;
    for (char *const *root; (root = rule_next(plan, OP_BELOW, &at));)
        found = is_below(root[0], home_of(plan), path) || found;
    return found;
}

static bool takes(const struct plan *plan, size_t rule, const char *cls)
{
    char *const *operands = rule_first(plan, rule, OP_OPERANDS);
    return rule_has(plan, rule, OP_OPERAND, cls) || (operands && equal(operands[2], cls));
}

static bool takes_repositories(const struct plan *plan, size_t rule)
{
    return takes(plan, rule, "repository") || takes(plan, rule, "new-repository");
}

/* fnmatch(3) knows ** as *, and more characters than a pattern of the plan has. */
static bool fits_pattern(const char *pattern, const char *name)
{
    static char escaped[2 * PLAN_MAX_TOKEN], head[2 * PLAN_MAX_TOKEN];
    char *at = escaped;
    size_t rest = strlen(pattern) > 2 && equal(pattern + strlen(pattern) - 3, "/**") ? strlen(pattern) - 2 : 0;
    for (const char *from = pattern; *from && (rest == 0 || from < pattern + rest); *at++ = *from++)
        if (strchr("?[]\\", *from))
            *at++ = '\\';
    *at = '\0';
    if (rest == 0)
        return fnmatch(escaped, name, FNM_PATHNAME | FNM_PERIOD) == 0;
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        memcpy(head, name, (size_t)(slash + 1 - name));
        head[slash + 1 - name] = '\0';
        if (slash[1] && slash[1] != '.' && !strstr(slash, "/.") &&
            fnmatch(escaped, head, FNM_PATHNAME | FNM_PERIOD) == 0)
            return true;
    }
    return false;
}

static bool is_like(const struct plan *plan, size_t rule, const char *path)
{
    static char spelled[3][PLAN_MAX_TOKEN];
    size_t n = strlen(path), at = rule;
    bool any = false;
    snprintf(spelled[0], sizeof spelled[0], "%s", path);
    snprintf(spelled[1], sizeof spelled[1], "%s.git", path);
    snprintf(spelled[2], sizeof spelled[2], "%.*s", n > 4 && equal(path + n - 4, ".git") ? (int)n - 4 : (int)n, path);
    for (char *const *like; (like = rule_next(plan, OP_LIKE, &at)); any = true)
        for (int i = 0; i < 3; i++)
            if (fits_pattern(like[0], spelled[i]))
                return true;
    return !any;
}

static void check_repository(const struct plan *plan, size_t rule, const char *cls, const char *path)
{
    size_t n = strlen(path), size;
    HOLDS(path[0] == '/' && n > 1 && path[n - 1] != '/' && !strstr(path, "//"));
    HOLDS(below_a_root(plan, rule, path));
    HOLDS(is_like(plan, rule, path));
    HOLDS(!equal(cls, "new-repository") || (n > 5 && equal(path + n - 4, ".git")));
    for (const char *at = path, *part; part = component(&at, &size), size > 0;)
        HOLDS(size != 4 || memcmp(part, ".git", 4) != 0);
}

static bool is_patterned(const char *pattern, const char *word)
{
    static const char of_words[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.,:+@%=-";
    size_t n = strlen(word);
    return n > 0 && n < 256 && word[0] != '-' && strspn(word, of_words) == n && fnmatch(pattern, word, 0) == 0;
}

void check_operand(const struct plan *plan, size_t rule, const char *cls, const char *word)
{
    if (equal(cls, "path"))
        HOLDS(below_a_root(plan, rule, word));
    if (equal(cls, "repository") || equal(cls, "new-repository"))
        check_repository(plan, rule, cls, word);
    if (strncmp(cls, "pattern:", 8) == 0)
        HOLDS(is_patterned(cls + 8, word));
}

static void check_paths(const struct plan *plan, const struct verdict *verdict)
{
    size_t rule = verdict->rule_index;
    char *const *operands = rule_first(plan, rule, OP_OPERANDS);
    if (verdict->path)
        HOLDS(below_a_root(plan, rule, verdict->path));
    if (!operands)
        return;
    size_t least = plan_number(operands[0], 10);
    HOLDS(least < verdict->argc);
    if (rule_first(plan, rule, OP_OPERAND))
        return; /* a place from the end says nothing */
    for (size_t i = verdict->argc - least; i < verdict->argc; i++)
        check_operand(plan, rule, operands[2], verdict->argv[i]);
}

static bool expands(const struct plan *plan, size_t rule, const struct words *words)
{
    bool any = false;
    for (size_t i = 0; i < words->count; i++)
        any = any || words->list[i].glob;
    return any && names_were_found() && rule_first(plan, rule, OP_GLOB);
}

static void check_words(const struct plan *plan, const char *command, const struct verdict *verdict)
{
    static struct words words;
    static char buffer[4 * REQUEST_MAX];
    size_t rule = verdict->rule_index;
    bool closed = verdict->interactive || rule_first(plan, rule, OP_IGNORE_REST);
    bool whole = !verdict->interactive && rule_has(plan, rule, OP_WORD, "*");
    if (whole) {
        HOLDS(equal(verdict->argv[verdict->argc - 1], command));
    } else if (!closed) {
        HOLDS(!request_split(command, &words, buffer));
    }
    for (size_t i = 1; i < verdict->argc - whole; i++) {
        const char *word = verdict->argv[i];
        if (of_rule(plan, rule, word) || (!closed && of_command(plan, rule, word, &words)))
            continue;
        HOLDS(!closed && (takes_repositories(plan, rule) || expands(plan, rule, &words)));
        if (takes_repositories(plan, rule))
            check_repository(plan, rule, "", word);
        else
            HOLDS(below_a_root(plan, rule, word) || !takes(plan, rule, "path"));
    }
    if (!whole && !closed) {
        check_paths(plan, verdict);
        check_options(plan, verdict);
    }
}

static void check_allowed(const struct plan *plan, const char *command, const struct verdict *verdict)
{
    size_t rule = verdict->rule_index;
    HOLDS(rule < plan->count && plan->records[rule].verb == OP_RULE);
    char *const *args = plan->records[rule].args, *const *argv0 = rule_first(plan, rule, OP_ARGV0);
    HOLDS(verdict->rule == args[0] && verdict->plugin == args[1] && verdict->program == args[2]);
    HOLDS(verdict->interactive == !command);
    char *const *answer = rule_first(plan, rule, OP_ANSWER);
    HOLDS(verdict->answered == (answer != NULL));
    if (answer) {
        HOLDS(equal(answer[0], "0") && verdict->argc == 0);
        return;
    }
    HOLDS(verdict->argc >= 1 && verdict->argc < sizeof verdict->argv / sizeof *verdict->argv);
    HOLDS(verdict->argv[0] == (argv0 ? argv0[0] : verdict->program));
    HOLDS(!verdict->interactive || rule_first(plan, rule, OP_INTERACTIVE));
    check_words(plan, command, verdict);
}

static void check_denied(const struct verdict *verdict)
{
    HOLDS(verdict->reason && verdict->rule && verdict->plugin);
    HOLDS(verdict->answered == (verdict->reason == R_NOT_SERVED));
    if (verdict->answered)
        return; /* the plan's own words */
    for (const char *at = verdict->detail; *at; at++)
        HOLDS(*at >= 0x20 && *at < 0x7f);
}

void judge(const struct plan *plan, const char *command, bool inside)
{
    static struct verdict verdict;
    /* A word, an option's name before it, the home or base before that; a pattern finds names up to PATH_MAX. */
    bound_each_taking(2 * (command ? strlen(command) : 0) + 2 * PATH_MAX);
    match_request(plan, command, inside, &verdict);
    if (verdict.allowed)
        check_allowed(plan, command, &verdict);
    else
        check_denied(&verdict);
    give_back();
}
