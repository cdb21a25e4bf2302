/* What programs that serve transfers make gets the mode of its directory, whatever mode the client sends.
 *
 * A library that the plan has loaded into them (LD_PRELOAD), in jails with [directories].  JAILSSH_MADE says
 * GID:FILES:DIRECTORIES for each group there, modes in octal, or "-" for the client's.  A directory is one of these if
 * it has that group and set-group-ID, which it hands on to what is made in it: so the group itself is the kernel's
 * doing, and the library has to see that nobody takes it away.  It guards nothing: what may be written the kernel
 * decides. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

enum { MOST = 16, NONE = -1 };

static struct made {
    gid_t group;
    int files, directories;
} rows[MOST];
static size_t count;

static int mode_of(const char **at)
{
    if (**at == '-') {
        ++*at;
        return NONE;
    }
    char *end;
    long mode = strtol(*at, &end, 8);
    *at = end;
    return (int)mode & 0777;
}

__attribute__((constructor)) static void read_rows(void)
{
    const char *at = getenv("JAILSSH_MADE");
    while (at && *at && count < MOST) {
        char *end;
        rows[count].group = (gid_t)strtoul(at, &end, 10);
        at = end + (*end == ':');
        rows[count].files = mode_of(&at);
        at += *at == ':';
        rows[count].directories = mode_of(&at);
        at += *at == ',';
        if (rows[count].group)
            count++;
    }
}

static const struct made *row_of(gid_t group)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].group == group)
            return &rows[i];
    return NULL;
}

/* The row of the directory that PATH, looked up from AT, is in; NULL for any other one. */
static const struct made *row_above(int at, const char *path)
{
    char parent[PATH_MAX];
    struct stat st;
    int error = errno;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (length + 2 > sizeof parent)
        return NULL;
    memcpy(parent, path, length);
    memcpy(parent + length, ".", 2); /* what is behind the last slash gives way */
    bool found = fstatat(at, parent, &st, 0) == 0 && st.st_mode & S_ISGID;
    errno = error;
    return found ? row_of(st.st_gid) : NULL;
}

/* The row of what PATH is, or of what AT is where PATH is empty. */
static const struct made *row_at(int at, const char *path, int flags, struct stat *st)
{
    int error = errno;
    bool found = fstatat(at, path, st, flags) == 0;
    errno = error;
    return found ? row_of(st->st_gid) : NULL;
}

static int opened(int at, const char *path, int flags, mode_t mode)
{
    const struct made *row = flags & O_CREAT ? row_above(at, path) : NULL;
    if (!row || row->files == NONE)
        return (int)syscall(SYS_openat, at, path, flags, mode);
    mode_t before = umask(0);
    int fd = (int)syscall(SYS_openat, at, path, flags, row->files), error = errno;
    umask(before);
    errno = error;
    return fd;
}

static mode_t mode_argument(int flags, va_list list)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

EXPORTED int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_argument(flags, list);
    va_end(list);
    return opened(AT_FDCWD, path, flags, mode);
}

EXPORTED int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_argument(flags, list);
    va_end(list);
    return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORTED int openat(int at, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_argument(flags, list);
    va_end(list);
    return opened(at, path, flags, mode);
}

EXPORTED int openat64(int at, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_argument(flags, list);
    va_end(list);
    return opened(at, path, flags | O_LARGEFILE, mode);
}

EXPORTED int mkdirat(int at, const char *path, mode_t mode)
{
    const struct made *row = row_above(at, path);
    if (!row || row->directories == NONE)
        return (int)syscall(SYS_mkdirat, at, path, mode);
    mode_t before = umask(0);
    int done = (int)syscall(SYS_mkdirat, at, path, row->directories), error = errno;
    umask(before);
    errno = error;
    return done;
}

EXPORTED int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

static int temporary(char *template, int flags)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    size_t length = strlen(template);
    if (length < 6 || strcmp(template + length - 6, "XXXXXX") != 0) {
        errno = EINVAL;
        return -1;
    }
    for (int tries = 0; tries < 100; tries++) {
        unsigned char random[6];
        if (getrandom(random, sizeof random, 0) != sizeof random)
            return -1;
        for (size_t i = 0; i < sizeof random; i++)
            template[length - 6 + i] = letters[random[i] % 32];
        int fd = opened(AT_FDCWD, template, (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

EXPORTED int mkstemp(char *template)
{
    return temporary(template, 0);
}

EXPORTED int mkstemp64(char *template)
{
    return temporary(template, O_LARGEFILE);
}

EXPORTED int mkostemp(char *template, int flags)
{
    return temporary(template, flags);
}

EXPORTED int mkostemp64(char *template, int flags)
{
    return temporary(template, flags | O_LARGEFILE);
}

/* Whether a change of mode is answered here; else *MODE is what to set.  Of a directory it would take set-group-ID
 * away, which nobody in a jail can give back; of another's file, which has the right mode, it would fail.  What asks
 * for more than rights the kernel refuses. */
static bool has_its_mode(int at, const char *path, int flags, mode_t *mode)
{
    struct stat st;
    const struct made *row = *mode & (S_ISUID | S_ISGID) ? NULL : row_at(at, path, flags, &st);
    if (!row || S_ISLNK(st.st_mode))
        return false;
    if (S_ISDIR(st.st_mode))
        return (st.st_mode & S_ISGID) != 0;
    if (row->files == NONE || !S_ISREG(st.st_mode))
        return false;
    *mode = (mode_t)row->files;
    return (st.st_mode & 07777) == *mode;
}

EXPORTED int chmod(const char *path, mode_t mode)
{
    return has_its_mode(AT_FDCWD, path, 0, &mode) ? 0 : (int)syscall(SYS_fchmodat, AT_FDCWD, path, mode);
}

EXPORTED int fchmod(int fd, mode_t mode)
{
    return has_its_mode(fd, "", AT_EMPTY_PATH, &mode) ? 0 : (int)syscall(SYS_fchmod, fd, mode);
}

static bool is_link(int at, const char *path)
{
    struct stat st;
    return fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

EXPORTED int fchmodat(int at, const char *path, mode_t mode, int flags)
{
    if (flags & AT_SYMLINK_NOFOLLOW && is_link(at, path)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return has_its_mode(at, path, flags, &mode) ? 0 : (int)syscall(SYS_fchmodat, at, path, mode);
}

EXPORTED int lchmod(const char *path, mode_t mode)
{
    return fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW);
}

EXPORTED int fchownat(int at, const char *path, uid_t owner, gid_t group, int flags)
{
    struct stat st;
    bool ours = row_at(at, path, flags, &st) && (owner == (uid_t)-1 || owner == st.st_uid);
    return ours ? 0 : (int)syscall(SYS_fchownat, at, path, owner, group, flags);
}

EXPORTED int chown(const char *path, uid_t owner, gid_t group)
{
    return fchownat(AT_FDCWD, path, owner, group, 0);
}

EXPORTED int lchown(const char *path, uid_t owner, gid_t group)
{
    return fchownat(AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW);
}

EXPORTED int fchown(int fd, uid_t owner, gid_t group)
{
    return fchownat(fd, "", owner, group, AT_EMPTY_PATH);
}

/* An access list (acl(5)) changes the mode too. */
static bool is_list(const char *name)
{
    return strncmp(name, "system.posix_acl_", 17) == 0;
}

EXPORTED int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    struct stat st;
    bool ours = is_list(name) && row_at(AT_FDCWD, path, 0, &st);
    return ours ? 0 : (int)syscall(SYS_setxattr, path, name, value, size, flags);
}

EXPORTED int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    struct stat st;
    bool ours = is_list(name) && row_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &st);
    return ours ? 0 : (int)syscall(SYS_lsetxattr, path, name, value, size, flags);
}

EXPORTED int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    struct stat st;
    bool ours = is_list(name) && row_at(fd, "", AT_EMPTY_PATH, &st);
    return ours ? 0 : (int)syscall(SYS_fsetxattr, fd, name, value, size, flags);
}
