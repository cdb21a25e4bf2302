#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "about.h"
#include "fail.h"
#include "fd.h"
#include "mnt.h"

enum { TRIES = 64, LOOP_MAJOR = 7, NAME = 48, SAID = 256 };

/* The drivers of file systems believe what they read: no user may write it, now or later. */
static int open_file(const char *path)
{
    struct stat st;
    int fd = fd_walk(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, FD_ROOT_ONLY);
    if (fd < 0 && errno == EPERM)
        refuse(R_IMAGE, "others than root can change this file, or a directory above it", 0);
    if (fd < 0 || fstat(fd, &st) != 0)
        refuse(R_IMAGE, "cannot open the image", errno);
    if (!S_ISREG(st.st_mode))
        refuse(R_IMAGE, "is no regular file", 0);
    /* A lease for reading is granted only where nobody writes (fcntl(2)); not every file system has leases. */
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    else if (errno == EAGAIN)
        refuse(R_IMAGE, "is being written to: open or mounted somewhere else", 0);
    return fd;
}

static int open_device(long number)
{
    struct stat st;
    char path[NAME];
    snprintf(path, sizeof path, "/dev/loop%ld", number);
    int fd = fd_walk(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, FD_ANY);
    if (fd < 0 || fstat(fd, &st) != 0)
        refuse(R_IMAGE, path, errno);
    if (!S_ISBLK(st.st_mode) || major(st.st_rdev) != LOOP_MAJOR)
        refuse(R_IMAGE, "/dev/loop*: is no loop device", 0);
    return fd;
}

/* A loop device with FILE, which lasts as long as it is open or mounted: nobody has to take it away. */
static int attach(int file)
{
    struct loop_config config = { .fd = (unsigned)file,
                                  .info = { .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR } };
    int control = fd_walk(AT_FDCWD, "/dev/loop-control", O_RDWR, FD_ANY);
    if (control < 0)
        refuse(R_IMAGE, "/dev/loop-control", errno);
    for (int i = 0; i < TRIES; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        int device = open_device(number);
        if (ioctl(device, LOOP_CONFIGURE, &config) == 0) {
            close(control);
            return device;
        }
        int error = errno;
        close(device);
        errno = error;
        if (errno != EBUSY) /* taken by somebody else meanwhile */
            break;
    }
    refuse(R_IMAGE, "cannot get a loop device", errno);
}

/* Why the kernel does not mount it, as it has told this descriptor. */
static noreturn void tell(int fs, const char *type, int error)
{
    char said[SAID] = "", text[SAID + NAME * 2];
    ssize_t n = read(fs, said, sizeof said - 1);
    if (n > 0)
        said[n] = '\0';
    snprintf(text, sizeof text, "damaged %s, or one that this kernel cannot read%s%.*s", type, n > 2 ? ": " : "",
             n > 2 ? (int)strcspn(said + 2, "\n") : 0, n > 2 ? said + 2 : "");
    if (error == EROFS)
        snprintf(text, sizeof text, "%s was not unmounted in order: its journal has to be played back first", type);
    refuse(R_IMAGE, text, error == EROFS ? 0 : error);
}

static const char *type_of(const struct plan *plan)
{
    static const char *const types[] = { "squashfs", "erofs", "ext4" };
    const char *wanted = plan_first(plan, OP_FILE_SYSTEM)[0];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i], wanted) == 0)
            return types[i];
    refuse(R_PLAN_BAD, "plan with an unknown type of image", 0);
}

int image_mount(const struct plan *plan)
{
    const char *type = type_of(plan);
    char source[NAME];
    about(plan_first(plan, OP_TREE)[0]);
    if (geteuid() != 0)
        refuse(R_IMAGE, "images are mounted by root alone", 0);
    int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    if (fs < 0) {
        snprintf(source, sizeof source, "this kernel has no %s", type);
        refuse(R_IMAGE, errno == ENODEV ? source : type, errno == ENODEV ? 0 : errno);
    }
    int file = open_file(plan_first(plan, OP_TREE)[0]), device = attach(file);
    snprintf(source, sizeof source, "/proc/self/fd/%d", device);
    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0) != 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) != 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
        tell(fs, type, errno);
    int mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, mnt_attributes(false, true));
    if (mount < 0)
        refuse(R_IMAGE, "cannot mount the image", errno);
    close(file);
    close(device);
    close(fs);
    about("");
    return mount;
}
