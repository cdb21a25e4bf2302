/* Paths that the user names: what they mean.  Runs after the drop. */
#include "path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The path as text without repeated slashes and "." components; NULL when a ".." would be left. */
char *path_canonical(const char *path)
{
    char *out = malloc(strlen(path) + 2), *end = out;
    if (!out)
        return NULL;
    while (*path) {
        path += strspn(path, "/");
        size_t n = strcspn(path, "/");
        if (n == 2 && path[0] == '.' && path[1] == '.') {
            free(out);
            return NULL;
        }
        if (n > 0 && !(n == 1 && path[0] == '.')) {
            *end++ = '/';
            memcpy(end, path, n);
            end += n;
        }
        path += n;
    }
    if (end == out)
        *end++ = '/';
    *end = '\0';
    return out;
}

bool path_append(struct path *path, const char *text)
{
    size_t more = strlen(text);
    bool fits = more < sizeof path->text - path->length;
    if (fits) {
        memcpy(path->text + path->length, text, more + 1);
        path->length += more;
    }
    return fits;
}

void path_cut(struct path *path, size_t length)
{
    path->length = length;
    path->text[length] = '\0';
}

char *path_joined(const char *base, const char *rest)
{
    size_t n = strlen(base) + strlen(rest) + 2;
    char *out = malloc(n);
    if (out)
        snprintf(out, n, "%s%s%s", base, rest[0] == '/' || rest[0] == '\0' ? "" : "/", rest);
    return out;
}

/* The path that VALUE means: below the home for ~, below the rule's base when it is relative. */
static char *meant(struct matching *m, const char *value)
{
    char *const *home = plan_first(m->plan, OP_HOME), *const *base = rule_first(m->plan, m->rule, OP_BASE);
    if (value[0] == '/')
        return strdup(value);
    if (value[0] == '~' && (value[1] == '/' || value[1] == '\0'))
        return path_joined(home[0], value + 1);
    return path_joined(base ? base[0] : home[0], value);
}

bool path_is_relative(const char *text)
{
    return text[0] != '/' && strcmp(text, "~") != 0 && strncmp(text, "~/", 2) != 0;
}

char *value_path(struct matching *m, const struct value *value, char **full)
{
    const char *text = value->text;
    enum reason reason = R_NONE;
    char *clean = NULL;
    if (value->tilde && path_is_relative(text))
        reason = R_PATH_OF_OTHER_USER;
    else if (text[0] == '\0')
        reason = R_PATH_EMPTY;
    else if (!(*full = meant(m, text)) || !(clean = path_canonical(*full)))
        reason = R_PATH_DOTDOT;
    else if (strlen(*full) >= PATH_MAX)
        reason = R_PATH_TOO_LONG;
    if (!reason)
        return clean;
    no_fit(m, reason, "path", strlen(text) < PATH_MAX ? text : "");
    return NULL;
}
