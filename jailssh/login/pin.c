/* The pinned namespaces: for each image a mount namespace below RUN_DIR that every login to it starts from, so that a
 * login's cost does not grow with the number of mounts on the host; one for each host name; and an empty one of the
 * network and of IPC, since making one costs as much as half of a login, or each time a thirtieth.  The pin of an image
 * is named after its device and inode number, which cannot be another directory's while the pin holds the image; its
 * name is another than those of the versions before, whose pins lack what covers are made from, or /dev/shm. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"
#include "mount.h"
#include "pin.h"

enum { DETACH = 2 };

enum { PINS = 4 };
struct pin {
    unsigned long type;
    const char *kind; /* in /proc/self/ns */
    const char *path; /* from RUN_DIR */
    int fd;
};

static bool open_pin(int run, struct pin *pin)
{
    pin->fd = openat(run, pin->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    /* Fails for what nothing is mounted on. */
    if (pin->fd >= 0 && ioctl(pin->fd, NS_GET_NSTYPE) == (int)pin->type)
        return true;
    if (pin->fd >= 0)
        close(pin->fd);
    pin->fd = -1;
    return false;
}

/* The directory of the pins is a mount of its own and private: the kernel refuses a mount namespace that would be
 * propagated into itself. */
static bool make_directory(int run)
{
    return fchdir(run) == 0 && (mkdir("ns", 0755) == 0 || errno == EEXIST) &&
           syscall(SYS_mount, "jailssh", "ns", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                   "size=1m,nr_inodes=4096,mode=0755,uid=0,gid=0") == 0 &&
           syscall(SYS_mount, NULL, "ns", NULL, MS_PRIVATE, NULL) == 0;
}

static bool bind_pin(int run, int namespace, const char *path)
{
    char from[32];
    snprintf(from, sizeof from, "/proc/self/fd/%d", namespace);
    int file = openat(run, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return file >= 0 && close(file) == 0 && fchdir(run) == 0 &&
           syscall(SYS_mount, from, path, NULL, MS_BIND, NULL) == 0;
}

/* What a pinned namespace holds: the image, the name of the host, or nothing. */
static bool furnish(const struct pin *pin, int tree, const char *host)
{
    if (pin->type == CLONE_NEWNS)
        mount_base(tree);
    return pin->type != CLONE_NEWUTS || sethostname(host, strlen(host)) == 0;
}

/* Make a namespace by going there and coming back, and bind it to its path. */
static bool make_pin(int run, int self, const struct pin *pin, int image, const char *host)
{
    int here = openat(self, pin->kind, O_RDONLY | O_CLOEXEC);
    int tree = pin->type == CLONE_NEWNS ? mount_take_image(image) : -1;
    if (here < 0 || unshare((int)pin->type) != 0)
        return false;
    bool good = furnish(pin, tree, host);
    int made = openat(self, pin->kind, O_RDONLY | O_CLOEXEC);
    if (setns(here, (int)pin->type) != 0)
        refuse(R_KERNEL, "cannot return from the namespace being pinned", errno);
    good = good && bind_pin(run, made, pin->path);
    int error = errno;
    close(here);
    close(made);
    errno = error;
    return good;
}

/* The network's is the first pin: where it is, the directory is. */
static bool make_net_pin(int run, int self)
{
    struct pin net = { CLONE_NEWNET, "net", "ns/net", -1 };
    if (open_pin(run, &net))
        return close(net.fd) == 0;
    return make_directory(run) && (make_pin(run, self, &net, -1, NULL) || (syscall(SYS_umount2, "ns", DETACH), false));
}

/* The kernel lets a mount namespace be bound only in an older one, and tells their ages by numbers that each processor
 * takes from a stock of its own (Linux 6.18).  On the processor that made the one we are in, a new one is younger. */
static void make_on_some_processor(int run, int self, const struct pin *pin, int image)
{
    cpu_set_t usual, one;
    bool made = make_pin(run, self, pin, image, NULL);
    sched_getaffinity(0, sizeof usual, &usual);
    for (size_t cpu = 0; !made && errno == EINVAL && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &usual))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        made = make_pin(run, self, pin, image, NULL);
    }
    sched_setaffinity(0, sizeof usual, &usual);
}

static void make_pins(int run, struct pin *pins, unsigned long wanted, int image, const char *host)
{
    int self = open("/proc/self/ns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = self >= 0 && make_net_pin(run, self);
    for (size_t i = 0; good && i < PINS; i++) {
        if (pins[i].fd >= 0 || !(wanted & pins[i].type) ||
            open_pin(run, &pins[i])) /* another login may have been faster */
            continue;
        if (pins[i].type == CLONE_NEWNS)
            make_on_some_processor(run, self, &pins[i], image);
        else
            (void)make_pin(run, self, &pins[i], image, host);
        (void)open_pin(run, &pins[i]);
    }
    close(self);
    (void)!chdir("/");
}

int pin_open_run_directory(void)
{
    int run = fd_walk(AT_FDCWD, RUN_DIR, O_RDONLY | O_DIRECTORY, FD_ROOT_ONLY);
    if (run < 0 && errno == ENOENT && mkdir(RUN_DIR, 0755) == 0 && chmod(RUN_DIR, 0755) == 0)
        run = fd_walk(AT_FDCWD, RUN_DIR, O_RDONLY | O_DIRECTORY, FD_ROOT_ONLY);
    return run;
}

int pin_open_directory(const char *name)
{
    int run = pin_open_run_directory();
    if (run < 0 || (mkdirat(run, name, 0700) != 0 && errno != EEXIST))
        return -1;
    int dir = fd_walk(run, name, O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    close(run); /* leaves errno as it is */
    return dir;
}

bool pin_is_root(int image)
{
    struct stat root, wanted;
    return stat("/", &root) == 0 && fstat(image, &wanted) == 0 && root.st_dev == wanted.st_dev &&
           root.st_ino == wanted.st_ino;
}

unsigned long pin_enter(int image, const char *host, unsigned long share)
{
    char tree[64], uts[300];
    struct pin pins[PINS] = { { CLONE_NEWNET, "net", "ns/net", -1 },
                              { CLONE_NEWIPC, "ipc", "ns/ipc", -1 },
                              { CLONE_NEWUTS, "uts", uts, -1 },
                              { CLONE_NEWNS, "mnt", tree, -1 } };
    unsigned long wanted = share | CLONE_NEWUTS | CLONE_NEWNS, entered = 0;
    struct stat st;
    int run = pin_open_run_directory();
    if (run < 0 || fstat(image, &st) != 0)
        return 0;
    snprintf(tree, sizeof tree, "ns/tree-%jx-%jx", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    snprintf(uts, sizeof uts, "ns/uts-%s", host);
    bool all = true;
    for (size_t i = 0; i < PINS; i++)
        if (wanted & pins[i].type)
            all = open_pin(run, &pins[i]) && all;
    /* Nobody waits for the lock: its holder's user can stop it, and anyone can open the directory and lock it. */
    if (!all && flock(run, LOCK_EX | LOCK_NB) == 0)
        make_pins(run, pins, wanted, image, host);
    /* That of mounts is the last: paths lead elsewhere in there. */
    for (size_t i = 0; i < PINS; i++) {
        if (pins[i].fd >= 0 && wanted & pins[i].type && setns(pins[i].fd, (int)pins[i].type) == 0)
            entered |= pins[i].type;
        close(pins[i].fd);
    }
    if (entered & CLONE_NEWNS && !pin_is_root(image))
        refuse(R_IMAGE, "pinned root is not the image of the jail", 0);
    close(run);
    return entered;
}
