/* Bytes between the client and the jail. */
#ifndef JAILSSH_RELAY_H
#define JAILSSH_RELAY_H

#include "state.h"

/* The other ends of the command's streams; the jail has them once. */
void relay_take(struct outer *o, const struct streams *got);

/* One step of the direction WHICH, and what follows where it ends. */
void relay_step(struct outer *o, int which);

/* The client's terminal has another size. */
void relay_resize(struct outer *o);

/* End one direction, so that the command learns of it. */
void relay_stop(struct outer *o, int which);

/* There is nobody left to read what the jail writes: kill it. */
void relay_without_client(struct outer *o);

/* The jail is gone: take what it has left behind. */
void relay_rest(struct outer *o);

#endif
