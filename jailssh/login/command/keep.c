/* Nothing that is there is overwritten, moved or removed, whatever its mode says: an umask does not hold where a
 * directory has a default ACL (acl(5)).  The filter lets files be opened for writing only in the two ways that make new
 * ones, O_EXCL and O_TRUNC; Landlock takes the right to truncate, which the kernel does not ask for where O_TRUNC meets
 * a file that was made by the same call.  Before Linux 6.2 there is no such right, and the umask alone holds. */
#include "keep.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* landlock(7).  Defined here since the headers of older distributions end before ABI 3. */
struct rights {
    uint64_t handled_access_fs;
};
enum { RULESET_VERSION = 1, TRUNCATE_ABI = 3, ACCESS_FS_TRUNCATE = 1 << 14 };

/* True where it is taken, and where the kernel does not know it. */
static bool take_truncation(void)
{
    const struct rights rights = { ACCESS_FS_TRUNCATE };
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION) < TRUNCATE_ABI)
        return true;
    int rules = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
    bool done = rules >= 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return done;
}

#define LOW (__BYTE_ORDER == __LITTLE_ENDIAN ? 0 : 4)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field)
#define ARGUMENT(n) LOAD(offsetof(struct seccomp_data, args) + 8 * (n) + LOW)
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define HAS(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, yes, no)
#define ANSWER(with) BPF_STMT(BPF_RET | BPF_K, with)
#define REFUSED(call) IS(SYS_##call, 0, 1), ANSWER(SECCOMP_RET_ERRNO | EPERM)

bool keep_enter(void)
{
    const struct sock_filter code[] = {
        LOAD(offsetof(struct seccomp_data, nr)),
#ifdef SYS_open /* newer architectures have none of these */
        REFUSED(rename),
        REFUSED(link),
        REFUSED(unlink),
        REFUSED(rmdir),
        IS(SYS_open, 0, 2),
        ARGUMENT(1),
        BPF_JUMP(BPF_JMP | BPF_JA, 17, 0, 0),
#endif
#ifdef SYS_renameat
        REFUSED(renameat),
#else
        REFUSED(renameat2),
#endif
        REFUSED(renameat2),
        REFUSED(linkat),
        REFUSED(unlinkat),
        REFUSED(truncate),
        REFUSED(ftruncate),
        /* Its flags are in memory, where no filter sees them. */
        IS(SYS_openat2, 0, 1),
        ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
        IS(SYS_openat, 1, 0),
        ANSWER(SECCOMP_RET_ALLOW),
        ARGUMENT(2),
        /* The flags: reading is free. */
        HAS(O_ACCMODE | O_TRUNC, 1, 0),
        ANSWER(SECCOMP_RET_ALLOW),
        HAS(O_CREAT, 0, 2),
        HAS(O_EXCL | O_TRUNC, 0, 3),
        ANSWER(SECCOMP_RET_ALLOW),
        /* sftp-server opens /dev/null so, as all of OpenSSH does first, and goes on when it has some descriptor.  It is
         * given its standard input; a client that opens a file so ends its own session. */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(uint32_t)(O_CLOEXEC | O_NOCTTY | O_LARGEFILE)),
        IS(O_RDWR, 1, 0),
        ANSWER(SECCOMP_RET_ERRNO | EACCES),
        ANSWER(SECCOMP_RET_ERRNO | 0),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, (struct sock_filter *)code };
    return take_truncation() && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}
