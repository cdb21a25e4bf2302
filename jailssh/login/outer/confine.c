/* The outer half's own system call filter: what it still does once it hears the jail, and nothing else. */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "fail.h"

#if defined(__x86_64__) && !defined(__ILP32__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define MACHINE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define MACHINE AUDIT_ARCH_S390X
#elif defined(__i386__)
#define MACHINE AUDIT_ARCH_I386
#elif defined(__arm__) && defined(__ARM_EABI__) && !defined(__ARMEB__)
#define MACHINE AUDIT_ARCH_ARM
#else
#error "no name of this machine for the outer half's system call filter"
#endif

#define LOW (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0)
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define ARGUMENT(n) LOAD((unsigned)offsetof(struct seccomp_data, args[n]) + LOW)
#define IS(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), then, otherwise)
#define DIE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
/* The value at hand, a number or an argument, is allowed. */
#define ALLOW(value) IS(value, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* The call NUMBER is allowed with the values as its argument N, which takes as many steps, and a step for the end. */
#define ONE(number, n, value) IS(number, 0, 4), ARGUMENT(n), ALLOW(value), DIE
#define TWO(number, n, value, other) IS(number, 0, 6), ARGUMENT(n), ALLOW(value), ALLOW(other), DIE

enum { TERMIOS2 = 44 }; /* the size of struct termios2 (asm/termbits.h) */

#ifdef __NR_fcntl64 /* calls that 32-bit machines have beside or instead */
#define FCNTL TWO(__NR_fcntl, 1, F_GETFL, F_SETFL), TWO(__NR_fcntl64, 1, F_GETFL, F_SETFL)
#else
#define FCNTL TWO(__NR_fcntl, 1, F_GETFL, F_SETFL)
#endif

enum { NOBODY = 0x7fffffff }; /* more than any pid: the place of the jail's */

/* The most frequent first.  Nothing is answered from the kernel's cache, as the first step is none that it follows: to
 * fill it each call would be tried here once, 50 us that the few calls of a session do not repay. */
static struct sock_filter code[] = {
    BPF_STMT(BPF_LDX | BPF_IMM, 0),
    LOAD(offsetof(struct seccomp_data, arch)),
    IS(MACHINE, 1, 0),
    DIE,
    LOAD(offsetof(struct seccomp_data, nr)),
#ifdef __NR_poll
    ALLOW(__NR_poll),
#endif
    ALLOW(__NR_ppoll),
    ALLOW(__NR_read),
    ALLOW(__NR_write),
#ifdef __NR_recv
    ALLOW(__NR_recv),
    ALLOW(__NR_send),
#endif
#ifdef __NR_recvfrom
    ALLOW(__NR_recvfrom),
#endif
    ONE(__NR_sendto, 5, 0),    /* to nobody but the other end */
    ALLOW(__NR_clock_gettime), /* where the vdso(7) cannot tell the time */
    ALLOW(__NR_recvmsg),
    ALLOW(__NR_close),
    ALLOW(__NR_getppid),
    ALLOW(__NR_shutdown),
    ALLOW(__NR_wait4),
    ALLOW(__NR_restart_syscall), /* poll(2) after SIGSTOP and SIGCONT */
    ALLOW(__NR_exit_group),
#ifdef __NR_ppoll_time64
    ALLOW(__NR_ppoll_time64),
    ALLOW(__NR_clock_gettime64),
#endif
#ifdef __NR_fstat
    ALLOW(__NR_fstat),
#endif
#ifdef __NR_fstat64
    ALLOW(__NR_fstat64),
#endif
#ifdef __NR_newfstatat
    ONE(__NR_newfstatat, 3, AT_EMPTY_PATH), /* fstat(3) of some C libraries */
#endif
    ONE(__NR_kill, 0, NOBODY),
    FCNTL,
    IS(__NR_ioctl, 1, 0),
    DIE,
    ARGUMENT(1),
    ALLOW(TIOCGWINSZ),
    ALLOW(TIOCSWINSZ),
    ALLOW(TCGETS),
    ALLOW(TCSETS),
    ALLOW(TCSETSW),
#ifdef TCGETS2 /* newer C libraries; the macros of their numbers need a structure that is not declared here */
    ALLOW(_IOC(_IOC_READ, 'T', 0x2A, TERMIOS2)),
    ALLOW(_IOC(_IOC_WRITE, 'T', 0x2B, TERMIOS2)),
    ALLOW(_IOC(_IOC_WRITE, 'T', 0x2C, TERMIOS2)),
#endif
    DIE,
};

void outer_confine(pid_t jail)
{
    for (size_t i = 0; i < sizeof code / sizeof *code; i++)
        if (code[i].k == NOBODY)
            code[i].k = (unsigned)jail;
    struct sock_fprog program = { .len = sizeof code / sizeof *code, .filter = code };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
        return;
    int error = errno;
    kill(jail, SIGKILL);
    refuse(R_SECCOMP, "cannot install the outer half's system call filter", error);
}
