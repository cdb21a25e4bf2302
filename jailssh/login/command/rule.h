/* One rule under trial, and what its judges say. */
#ifndef JAILSSH_RULE_H
#define JAILSSH_RULE_H

#include "plan.h"
#include "reason.h"
#include "request.h"

struct verdict {
    bool allowed;
    enum reason reason; /* of a denial */
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

enum { RELATIVE_MAX = 16 };
struct matching {
    const struct plan *plan;
    size_t rule;
    bool inside; /* the jail, after the drop: paths are looked at */
    struct words *words;
    struct verdict *out;
    /* Relative paths among the options' values: what they mean depends on the operand, and they are judged with it. */
    const char *relative[RELATIVE_MAX];
    size_t relatives;
};

/* A value of an option, or an operand. */
struct value {
    const char *text;
    bool tilde;     /* begins with an unquoted ~ */
    bool of_option; /* not an operand */
};

/* It does not fit: the verdict gets the reason, and as its detail WHAT and TEXT.  Returns false. */
bool no_fit(struct matching *m, enum reason reason, const char *what, const char *text);

/* Add a word, or all words of the rule's records with VERB, to the argument vector. */
bool match_push(struct matching *m, const char *word);
bool match_push_all(struct matching *m, enum plan_verb verb);

#endif
