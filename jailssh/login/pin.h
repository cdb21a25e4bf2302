/* The pinned namespaces, which logins share. */
#ifndef JAILSSH_PIN_H
#define JAILSSH_PIN_H

#include <stdbool.h>

/* Open RUN_DIR, which is made when it is missing.  Returns a descriptor, or -1 with errno. */
int pin_open_run_directory(void);

/* Open the directory NAME in it, which is root's alone and made when it is missing.  Likewise. */
int pin_open_directory(const char *name);

/* True if the root of this process is the directory at descriptor IMAGE. */
bool pin_is_root(int image);

/* Enter the namespaces that are pinned below RUN_DIR, making them when they are missing: a mount namespace with the
 * base of the image at descriptor IMAGE, so that the clone that follows copies no mounts of the host; one whose host
 * name is HOST; and what SHARE names, CLONE_NEWNET and CLONE_NEWIPC, an empty one.  Returns the CLONE_NEW* of those
 * that were entered; where one was not, the plain way works. */
unsigned long pin_enter(int image, const char *host, unsigned long share);

#endif
