/* What SFTP clients are told about a session that was denied or refused. */
#ifndef JAILSSH_SFTP_H
#define JAILSSH_SFTP_H

#include <stdbool.h>

#include "env.h"

/* True for a client's command that asks for an SFTP server, by any path.  Then its standard input stays open here. */
bool sftp_is_wanted(const struct request *request);

/* Answer the client's first requests with what fail_say() has said last, until it goes, some seconds at most. */
void sftp_tell(void);

#endif
