/* What the table's rights to references, if there are any for a repository, say to commands about the whole of it. */
#ifndef JAILSSH_REPOS_REFERENCES_H
#define JAILSSH_REPOS_REFERENCES_H

#include "../refs/rights.h"

/* Read them for PATH.  Ends with a message. */
void references_read(const char *path, struct rights *rights);

/* End with a message unless ACT, which DOING names, may be done to each reference of the repository DIR at PATH. */
void references_must_all(const char *path, int dir, enum act act, const char *doing);

#endif
