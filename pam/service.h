/* Services of PAM by their names: root becomes the account; what starts nothing but a shell for it, of which
 * jailssh/setup/pam.py takes no others. */
#ifndef JAILSSH_PAM_SERVICE_H
#define JAILSSH_PAM_SERVICE_H

#include <stdbool.h>

bool service_is_su_by_root(const char *service);
bool service_can_be_inside(const char *service);
#endif
