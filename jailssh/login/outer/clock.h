/* The monotonic clock. */
#ifndef JAILSSH_CLOCK_H
#define JAILSSH_CLOCK_H

#define SECOND 1000000000ll /* in its unit */

/* Nanoseconds. */
long long clock_now(void);

#endif
