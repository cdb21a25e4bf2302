#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "fail.h"

static struct termios before;
static int flags_before;
static bool changed;

int pty_open(int *master)
{
    struct termios modes;
    struct winsize size;
    int unlock = 0;
    *master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*master < 0 || ioctl(*master, TIOCSPTLCK, &unlock) != 0)
        refuse(R_TERMINAL, "cannot open a terminal", errno);
    int terminal = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0 || tcgetattr(0, &modes) != 0 || tcsetattr(terminal, TCSANOW, &modes) != 0)
        refuse(R_TERMINAL, "cannot set up a terminal", errno);
    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        ioctl(terminal, TIOCSWINSZ, &size);
    return terminal;
}

void pty_raw(void)
{
    struct termios raw;
    if (tcgetattr(0, &before) != 0)
        return;
    raw = before;
    cfmakeraw(&raw);
    changed = tcsetattr(0, TCSANOW, &raw) == 0;
    /* A terminal that says it can be written to does not say how much it takes. */
    flags_before = fcntl(1, F_GETFL);
    fcntl(1, F_SETFL, flags_before | O_NONBLOCK);
}

void pty_restore(void)
{
    if (changed) {
        fcntl(1, F_SETFL, flags_before);
        tcsetattr(0, TCSADRAIN, &before);
    }
    changed = false;
}

void pty_copy_size(int master)
{
    struct winsize size;
    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        ioctl(master, TIOCSWINSZ, &size);
}
