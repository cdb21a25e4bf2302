/* Deciding about a command by the plan's rules (grammar: jailssh/policy/rules.py). */
#ifndef JAILSSH_MATCH_H
#define JAILSSH_MATCH_H

#include "plan.h"
#include "request.h"

struct verdict {
    bool allowed;
    const char *reason; /* stable code of a denial */
    char detail[256];   /* the first thing that did not fit, printable */
    const char *rule;   /* the rule that matched, or that nearly did; may be "" */
    const char *plugin;
    const char *program; /* absolute path inside the jail */
    size_t rule_index;   /* its record in the plan */
    bool interactive;
    bool answered; /* the rule has the answer itself, and nothing is to be executed */
    bool at_home;  /* has relative paths that were judged as below the home */
    char *path;    /* first operand that is a path, canonical, or NULL */
    const char *argv[WORDS_MAX + 600];
    size_t argc;
};

/* Judge REQUEST (command NULL: interactive login).  INSIDE says that this runs in the jail after the drop, so paths
 * are looked at; otherwise they are judged by their text alone.  Memory is taken and never given back: the process
 * ends or executes right after.  What is taken for a word is at most three times its length, the home's or base's,
 * and a few bytes; what patterns find and look at has bounds of its own. */
void match_request(const struct plan *plan, const char *command, bool inside, struct verdict *out);

/* One option or operand value against its class.  value.c judges values, repository.c repositories, option.c options,
 * match.c the whole. */
enum { RELATIVE_MAX = 16 };
struct matching {
    const struct plan *plan;
    size_t rule;
    bool inside;
    struct words *words;
    struct verdict *out;
    /* Relative paths among the options' values: what they mean depends on the operand, and they are judged with it. */
    const char *relative[RELATIVE_MAX];
    size_t relatives;
};
struct value {
    const char *text;
    bool tilde;     /* begins with an unquoted ~ */
    bool of_option; /* not an operand */
};
bool value_fits(struct matching *m, const char *cls, const struct value *value, const char **replacement);
bool repository_fits(struct matching *m, const struct value *value, bool new, const char **replacement);
bool no_fit(struct matching *m, const char *reason, const char *what, const char *text);

/* The path that VALUE means, without repeated slashes and "." components (in *FULL as it would be executed); NULL with
 * the refusal in the verdict.  It is not yet below a root. */
char *value_path(struct matching *m, const struct value *value, char **full);

/* Add a word, or all words of the rule's records with VERB, to the argument vector. */
bool match_push(struct matching *m, const char *word);
bool match_push_all(struct matching *m, enum plan_verb verb);

/* What a pattern stands for, sorted.  LOOKS is how many names may still be looked at, for all patterns of a command. */
enum { NAMES_MAX = WORDS_MAX + 600, LOOKS_MAX = 1 << 17 };
struct names {
    char *list[NAMES_MAX];
    size_t count, bytes;
    long looks;
};

/* True for a path with a component "..". */
bool pattern_goes_up(const char *text);

/* Find names from the working directory on (pattern.c).  False: more than the bounds allow. */
bool pattern_find(const char *pattern, struct names *names);

/* Take the options from word *INDEX on, up to the rule's mark, "--" or the first operand (option.c). */
bool match_options(struct matching *m, size_t *index);

/* The records with VERB of a rule, which stand in the order of the verbs: the first of the rule that begins at record
 * RULE; the next behind record *AT, which begins as the rule's. */
char *const *rule_next(const struct plan *plan, enum plan_verb verb, size_t *at);
char *const *rule_first(const struct plan *plan, size_t rule, enum plan_verb verb);

#endif
