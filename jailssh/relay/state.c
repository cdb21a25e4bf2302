#include "state.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* HEAD and TAIL count bytes and only grow; a length of 0 says that the next record is at the queue's beginning. */
static struct state {
    char magic[16];
    uid_t uids[ACCOUNTS_MOST]; /* of the accounts in use, else 0: what is looked through is small */
    struct account accounts[ACCOUNTS_MOST];
    uint64_t head, tail;
    char queue[QUEUE];
} * state;

static const char MAGIC[16] = "jailssh-relay 2";

static struct waiting *at_place(uint64_t place)
{
    return (struct waiting *)(void *)(state->queue + place % QUEUE);
}

static size_t whole(size_t length)
{
    return (sizeof(struct waiting) + length + 7) & ~(size_t)7;
}

/* The bytes from PLACE to the next record: those of this one, or what is left of the queue. */
static size_t step(uint64_t place)
{
    struct waiting *record = at_place(place);
    return record->length ? whole(record->length) : QUEUE - place % QUEUE;
}

/* A process that was killed may have left a count that does not fit the records. */
static void count_again(void)
{
    for (size_t i = 0; i < ACCOUNTS_MOST; i++) {
        state->accounts[i].queued = 0;
        for (size_t k = 0; k < SOCKETS; k++)
            state->accounts[i].sockets[k] = -1;
    }
    for (uint64_t at = state->head; at < state->tail; at += step(at)) {
        struct waiting *record = at_place(at);
        if (record->account >= ACCOUNTS_MOST || whole(record->length) > state->tail - at) {
            state->head = state->tail = 0;
            return;
        }
        state->accounts[record->account].queued += record->length;
    }
}

int state_open(int fd)
{
    struct stat info;
    bool old = fd >= 0 && fstat(fd, &info) == 0 && info.st_size == (off_t)sizeof *state;
    if (!old) {
        fd = memfd_create("jailssh-relay", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, sizeof *state) != 0)
            return -1;
    }
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED)
        return -1;
    if (old && memcmp(state->magic, MAGIC, sizeof MAGIC) != 0)
        memset(state, 0, sizeof *state);
    memcpy(state->magic, MAGIC, sizeof MAGIC);
    count_again();
    return fd;
}

struct account *state_accounts(void)
{
    return state->accounts;
}

struct account *state_find(uid_t uid)
{
    for (size_t i = 0; i < ACCOUNTS_MOST; i++)
        if (state->uids[i] == uid)
            return &state->accounts[i];
    return NULL;
}

struct account *state_take(uid_t uid)
{
    struct account *found = state_find(uid);
    for (size_t i = 0; !found && i < ACCOUNTS_MOST; i++) {
        struct account *each = &state->accounts[i];
        if (state->uids[i] != 0 || each->queued > 0)
            continue;
        *each = (struct account){ .uid = uid, .used = true, .sockets = { -1, -1 } };
        state->uids[i] = uid;
        found = each;
    }
    return found;
}

void state_forget(struct account *of)
{
    state->uids[of - state->accounts] = 0;
    of->used = of->known = false;
}

bool state_holds(const struct account *of, int fd)
{
    for (size_t i = 0; i < SOCKETS; i++)
        if (of->used && of->sockets[i] == fd)
            return true;
    return false;
}

bool queue_put(struct account *of, const char *record, size_t length)
{
    size_t size = whole(length), left = QUEUE - state->tail % QUEUE, skip = size > left ? left : 0;
    if (of->queued + length > SHARE || size + skip > QUEUE - (state->tail - state->head))
        return false;
    if (skip)
        *at_place(state->tail) = (struct waiting){ 0 };
    struct waiting *waiting = at_place(state->tail + skip);
    waiting->length = (uint32_t)length;
    waiting->account = (uint32_t)(of - state->accounts);
    memcpy(waiting->record, record, length);
    of->queued += length;
    __atomic_store_n(&state->tail, state->tail + skip + size, __ATOMIC_RELEASE); /* all of it is there, or nothing */
    return true;
}

const struct waiting *queue_look(size_t *at)
{
    if (state->head + *at < state->tail && at_place(state->head + *at)->length == 0)
        *at += step(state->head + *at);
    if (state->head + *at >= state->tail)
        return NULL;
    const struct waiting *found = at_place(state->head + *at);
    *at += whole(found->length);
    return found;
}

void queue_drop(size_t count)
{
    size_t at = 0;
    const struct waiting *record;
    for (; count > 0 && (record = queue_look(&at)); count--)
        state->accounts[record->account].queued -= record->length;
    state->head += at;
    if (queue_is_empty())
        state->head = state->tail = 0; /* a queue that is seldom full touches little memory */
}

bool queue_is_empty(void)
{
    return state->head >= state->tail;
}
