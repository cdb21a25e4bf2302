/* Mounts by file descriptor (open_tree(2), move_mount(2), mount_setattr(2), fsopen(2)).  All but mnt_detach refuse the
 * login on failure. */
#ifndef JAILSSH_MNT_H
#define JAILSSH_MNT_H

#include <stdbool.h>

#include "plan.h"

/* MOUNT_ATTR_* of a mount in a jail: nosuid and nodev always. */
unsigned long mnt_attributes(bool writable, bool exec);

int mnt_detach(int fd, bool writable, bool exec);
void mnt_restrict(int mount, unsigned long attr);

/* Where mnt_detach could not do it: restrict an attached mount, acting as the account of USER unless that is NULL. */
void mnt_restrict_late(int mount, unsigned long attr, const struct plan *user);

/* Attach MOUNT at TARGET; false with errno where that cannot be. */
bool mnt_try_attach(int mount, int target);

/* Attach MOUNT at the directory TARGET, which is closed; a TARGET below 0 refuses with errno. */
void mnt_attach(int mount, int target);

/* Mount a new tmpfs over the directory TARGET, which is closed and becomes the working directory. */
void mnt_tmpfs(int target, const char *size, const char *mode, unsigned long attr);

/* A new file system of TYPE with these options (a value of NULL: a flag), up to one that is NULL; detached. */
int mnt_new(const char *type, const char *const options[][2], unsigned long attr);

/* pivot_root(2) to the mount IMAGE, detach the old root, verify. */
void mnt_become_root(int image);

#endif
