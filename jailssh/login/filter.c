#include "filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fail.h"

enum { MOST = 4096, LOAD = BPF_LD | BPF_W | BPF_ABS };
static struct sock_filter code[MOST];
static size_t length;

static unsigned nibble(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

void filter_read(const struct plan *plan)
{
    char *const *args = plan_first(plan, OP_SECCOMP);
    unsigned char *bytes = (unsigned char *)code;
    struct utsname host;
    if (uname(&host) != 0 || strcmp(host.machine, args[0]) != 0)
        refuse(R_SECCOMP, "system call filter of the plan is for another architecture", 0);
    size_t size = strlen(args[1]) / 2; /* the reader takes no more than MOST */
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(nibble(args[1][2 * i]) << 4 | nibble(args[1][2 * i + 1]));
    length = size / sizeof *code;
}

static bool jumps(const struct sock_filter *step, unsigned value)
{
    switch (BPF_OP(step->code)) {
    case BPF_JEQ:
        return value == step->k;
    case BPF_JGT:
        return value > step->k;
    case BPF_JGE:
        return value >= step->k;
    default:
        return value & step->k;
    }
}

/* Does the filter from the instruction AT on deny the call NUMBER, whatever its arguments and architecture?  What else
 * is loaded than the number is UNKNOWN, and where that decides both ways must deny.  Jumps go forward only. */
static bool denies(size_t at, unsigned number, unsigned value, bool unknown)
{
    for (; at < length; at++) {
        const struct sock_filter *step = &code[at];
        if (step->code == LOAD) {
            unknown = step->k != offsetof(struct seccomp_data, nr);
            value = number;
        } else if (step->code == (BPF_RET | BPF_K)) {
            return (step->k & SECCOMP_RET_ACTION_FULL) <= SECCOMP_RET_ERRNO ||
                   (step->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_KILL_PROCESS;
        } else if (BPF_CLASS(step->code) == BPF_JMP && BPF_SRC(step->code) == BPF_K && BPF_OP(step->code) != BPF_JA) {
            if (unknown && step->jt != step->jf && !denies(at + 1 + step->jt, number, value, true))
                return false;
            at += !unknown && jumps(step, value) ? step->jt : step->jf;
        } else if (BPF_CLASS(step->code) == BPF_ALU) {
            unknown = true;
        } else {
            return false;
        }
    }
    return false;
}

bool filter_denies_ipc(void)
{
    static const int calls[] = {
#ifdef SYS_ipc
        SYS_ipc,
#endif
#ifdef SYS_semtimedop
        SYS_semtimedop,
#endif
#ifdef SYS_semop
        SYS_semop,
#endif
#ifdef SYS_semtimedop_time64
        SYS_semtimedop_time64,
#endif
        SYS_shmget,
        SYS_shmat,
        SYS_shmctl,
        SYS_semget,
        SYS_semctl,
        SYS_msgget,
        SYS_msgsnd,
        SYS_msgrcv,
        SYS_msgctl,
        SYS_mq_open,
        SYS_mq_unlink,
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!denies(0, (unsigned)calls[i], 0, true))
            return false;
    return true;
}

void filter_install(void)
{
    struct sock_fprog program = { .len = (unsigned short)length, .filter = code };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
        refuse(R_SECCOMP, "cannot install the system call filter", errno);
}
