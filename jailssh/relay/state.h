/* What outlives this process: the accounts with what they may send, and the records that the journal has not taken yet.
 * All of it is memory that the service manager keeps with the sockets, so a relay that is killed loses neither. */
#ifndef JAILSSH_RELAY_STATE_H
#define JAILSSH_RELAY_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "record.h"

/* Accounts; their sockets, of which a second one is that of sessions from before /run was mounted anew; bytes of
 * records that wait, and of those the most of one account. */
enum { ACCOUNTS_MOST = 8192, SOCKETS = 2, QUEUE = 16 << 20, SHARE = 4 << 20, NAME_MOST = 256 };

enum drop { OVER_RATE, TOO_LONG, UNREADABLE, NOT_ITS_OWN, QUEUE_FULL, DROPS };

/* TOKENS: bytes that it may still send, which grow by BASE in INTERVAL (ms) up to PEAK; at WHEN (ns, CLOCK_MONOTONIC).
 */
struct account {
    uid_t uid;
    bool used, known; /* known: root has said whose it is */
    int sockets[SOCKETS];
    char user[NAME_MOST], fields[3 * NAME_MOST];
    int64_t base, peak, interval;
    double tokens;
    int64_t when, told;
    uint64_t dropped[DROPS];
    size_t queued;
};

/* One of the records that wait. */
struct waiting {
    uint32_t length, account;
    char record[];
};

/* Open the state: what FD holds if it is ours, else a new one; returns its descriptor, -1 with errno. */
int state_open(int fd);

struct account *state_accounts(void);
struct account *state_find(uid_t uid);

/* The account of this uid, which is not 0, a new one if need be; NULL if there are too many. */
struct account *state_take(uid_t uid);
void state_forget(struct account *of);

/* True if the descriptor is a socket of the account's. */
bool state_holds(const struct account *of, int fd);

/* Put a record of OF's at the end; false if it has no room. */
bool queue_put(struct account *of, const char *record, size_t length);

/* The record that is *AT bytes behind the first one and the next one's place in *AT; NULL for none. */
const struct waiting *queue_look(size_t *at);

/* Forget the first COUNT records. */
void queue_drop(size_t count);
bool queue_is_empty(void);

#endif
