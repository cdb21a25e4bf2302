/* A static program that runs inside a jail and says, as lines key=value, what the kernel answers there. */
#ifndef PROBE_H
#define PROBE_H

/* The process that started the probe, 0 when it is outside of the pid namespace. */
extern int starter;

/* Prints "key=" and the value with control characters, blanks, '\' and bytes above 126 as \xNN, and a newline. */
void say(const char *key, const char *value);
void say_format(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The name of an error number, "EPERM". */
const char *error_name(int number);

/* Runs the function in a forked child and returns what it returned, or "killed-SIGSYS" and the like. */
typedef const char *attempt_function(int argc, char **argv);
const char *in_child(attempt_function *function, int argc, char **argv);

struct attempt {
    const char *name;
    attempt_function *function;
    const char *arguments[3]; /* used when none are given */
};

/* Tables that end with a NULL name; the functions in them return outcome() or a word of their own. */
extern const struct attempt process_attempts[], world_attempts[];

/* "ok", or for a negative result the name of errno. */
const char *outcome(long result);

/* The argument of that index, or the other text when there are fewer. */
const char *argument(int argc, char **argv, int index, const char *otherwise);

/* facts [SECTION…] and try NAME [ARGUMENT…]: what they print is named in the tables of facts.c and tries.c. */
int print_facts(int count, char **sections);
void print_mounts(void);
int print_tries(int argc, char **argv);

/* Tries the system call of that name, or all of them; returns 0 when there is none. */
int try_system_calls(const char *name);

#endif
