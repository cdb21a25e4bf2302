/* floor PIN... -- PROGRAM: what a login cannot do without, and nothing else.  Set-uid as the login program is, it
 * enters the pinned namespaces, the last of which is that of mounts, clones a first process into new ones of mounts,
 * processes and control groups, becomes the caller there and runs the program.  No plan, no mounts, no filter, no
 * record. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int become_user(void)
{
    return setresgid(getgid(), getgid(), getgid()) == 0 && setresuid(getuid(), getuid(), getuid()) == 0;
}

/* The first process: it waits for the program, as only it can be its parent. */
static int first(char **program)
{
    int status;
    if (!become_user())
        return 126;
    pid_t pid = vfork();
    if (pid == 0) {
        execv(program[0], program);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

int main(int argc, char **argv)
{
    int status, at = 1;
    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        int pin = open(argv[at], O_RDONLY | O_CLOEXEC);
        if (pin < 0 || setns(pin, 0) != 0)
            return 125;
    }
    if (at + 1 >= argc)
        return 125;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(first(argv + at + 1));
    return become_user() && pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
