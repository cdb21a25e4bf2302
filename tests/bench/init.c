/* An init of a small system: it waits until it is told to stop, by itself when it is called again. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void leave(int number)
{
    (void)number;
    _exit(0);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return kill(1, SIGUSR1);
    signal(SIGUSR1, leave);
    for (;;)
        pause();
}
