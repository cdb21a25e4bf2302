/* Services of PAM by their names. */
#ifndef JAILSSH_PAM_SERVICE_H
#define JAILSSH_PAM_SERVICE_H

#include <stdbool.h>

/* Root becomes the account. */
bool service_is_su_by_root(const char *service);

/* These start nothing but a shell for an account; jailssh/setup/pam.py takes no others. */
bool service_can_be_inside(const char *service);

#endif
