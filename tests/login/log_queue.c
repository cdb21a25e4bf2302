/* What waits in the relay when it is killed: records of several accounts in a queue that has been full before, and now
 * goes around its end.  Prints how many there are, and how many a new relay finds, with whose they are. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "state.c"

enum { ACCOUNTS = 5, FULL = 1048000, LESS = 900000, GONE = 5 };

static char text[FULL];

static size_t fill(size_t length)
{
    size_t count = 0;
    while (queue_put(state_take((uid_t)(1000 + count % ACCOUNTS)), text, length))
        count++;
    return count;
}

static void show(void)
{
    size_t at = 0, count = 0, owned[ACCOUNTS] = { 0 };
    for (const struct waiting *record; (record = queue_look(&at)); count++)
        owned[state->accounts[record->account].uid - 1000] += record->length;
    printf("%zu:", count);
    for (size_t i = 0; i < ACCOUNTS; i++)
        printf(" %d", state_take((uid_t)(1000 + i))->queued == owned[i]);
    printf("\n");
}

int main(void)
{
    memset(text, 'x', sizeof text);
    int kept = state_open(-1);
    queue_drop(fill(FULL));
    size_t count = fill(LESS);
    queue_drop(GONE);
    if (count <= GONE || fill(LESS) == 0 || state->tail <= QUEUE)
        return 1;
    show();
    munmap(state, sizeof *state);
    state_open(kept);
    show();
    return 0;
}
