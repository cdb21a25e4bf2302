/* Filters compare arguments, not what they point to.  So the one execve(2) that is to pass is known by the address of
 * its path, a page at a random place: no such address is in the program that follows, which has memory of its own, and
 * none that data makes it use is that one.  A foreign architecture's calls are killed by the plan's filter. */
#include "command_filter.h"

#include <endian.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"

enum { PAGE = 4096, LOW = __BYTE_ORDER == __LITTLE_ENDIAN ? 0 : 4, HIGH = 4 - LOW };

/* The path as long as the plan lets it be.  Where the kernel cannot take the address it takes another random one. */
static const char *moved(const char *path)
{
    uintptr_t at;
    if (getrandom(&at, sizeof at, 0) != sizeof at)
        refuse(R_SETUP, "cannot get random numbers", errno);
    at &= ((uintptr_t)1 << (sizeof at == 8 ? 46 : 30)) - PAGE;
    char *page = mmap((void *)at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        refuse(R_SETUP, "cannot allocate memory", errno);
    return memcpy(page, path, strlen(path) + 1);
}

void command_filter_prepare(struct command_filter *filter, const char **program, bool alone)
{
    enum { ARGUMENT = offsetof(struct seccomp_data, args), LOAD = BPF_LD | BPF_W | BPF_ABS };
    const unsigned short is = BPF_JMP | BPF_JEQ | BPF_K, answer = BPF_RET | BPF_K;
    if (alone)
        *program = moved(*program);
    uint64_t path = (uintptr_t)*program;
    /* openat2(2) makes files too, with modes that no filter can see. */
    const struct sock_filter code[] = {
        BPF_STMT(LOAD, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(is, SYS_openat2, 8, 0),
        BPF_JUMP(is, SYS_execveat, 6, 0),
        BPF_JUMP(is, SYS_execve, 0, 4),
        BPF_STMT(LOAD, ARGUMENT + LOW),
        BPF_JUMP(is, (uint32_t)path, 0, 3),
        BPF_STMT(LOAD, ARGUMENT + HIGH),
        BPF_JUMP(is, (uint32_t)(path >> 32), 0, 1),
        BPF_STMT(answer, SECCOMP_RET_ALLOW),
        BPF_STMT(answer, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(answer, SECCOMP_RET_ERRNO | ENOSYS),
    };
    _Static_assert(sizeof code == sizeof filter->code, "as many as there is room for");
    memcpy(filter->code, code, sizeof code);
    if (!alone)
        filter->code[2] = (struct sock_filter)BPF_STMT(answer, SECCOMP_RET_ALLOW);
}

bool command_filter_enter(const struct command_filter *filter)
{
    struct sock_fprog program = { sizeof filter->code / sizeof *filter->code, (struct sock_filter *)filter->code };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}
