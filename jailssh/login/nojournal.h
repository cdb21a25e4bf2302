/* Where refusals and denials go on a host without journald, so that the reference leads somewhere. */
#ifndef JAILSSH_NOJOURNAL_H
#define JAILSSH_NOJOURNAL_H

/* Connect to syslog, or else open a file of root's, while there is the power to; safe to call again. */
void nojournal_open(void);

/* Write one line about the session SESSION. */
void nojournal_say(const char *session, int priority, const char *text);

/* The outer half's filter comes: nothing more is opened from here on. */
void nojournal_settle(void);

#endif
