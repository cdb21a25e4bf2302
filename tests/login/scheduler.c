/* Relays between what sshd and a command may have, in an order and with clocks, sizes and ends that a seed decides:
 * scheduler FIRST COUNT.  Says nothing and returns 0, or says what was wrong of which seed. */
#include "ends.h"

static void set_up(void)
{
    static const long long rates[] = { 0, 1, 7, 49, 50, 1000, 65536, 1 << 20, 8000000000 };
    memset(ways, 0, sizeof ways);
    for (int fd = 0; fd < STREAMS; fd++) { /* so that no new descriptor gets such a number */
        int null = open("/dev/null", O_RDWR);
        checked(dup2(null, fd));
        if (null >= STREAMS)
            close(null);
    }
    kind = (int)dice(KINDS);
    now = begin = SECOND + dice(SECOND);
    in = (struct bucket){ .rate = rates[dice(sizeof rates / sizeof *rates)] };
    out = (struct bucket){ .rate = rates[dice(sizeof rates / sizeof *rates)] };
    if (kind == TERMINAL)
        connect_terminals();
    for (int which = 0; which < (kind == TERMINAL ? ERRORS : STREAMS); which++) {
        struct way *way = &ways[which];
        struct bucket *bucket = which == TO_COMMAND ? &in : &out;
        pump_start(&way->pump, which, kind == TERMINAL ? terminals[0] : connect_way(which), bucket);
        way->most = bucket->rate && bucket->rate < 1000 ? 3 + bucket->rate * dice(20) : dice(300000);
        way->runs = true;
    }
}

static void end_writer(struct way *way)
{
    if (!way->writer_ended && kind != TERMINAL) {
        close(way->writer);
        way->writer = -1;
    }
    way->writer_ended = true;
}

static void end_reader(struct way *way)
{
    if (!way->reader_ended)
        close(way->reader);
    way->reader = -1;
    way->reader_ended = true;
}

static void write_some(int which, long long most)
{
    static char block[BLOCK];
    struct way *way = &ways[which];
    long long size = 1 + dice(most);
    if (size > way->most - way->sent)
        size = way->most - way->sent;
    for (long long i = 0; i < size; i++)
        block[i] = byte_at(which, way->sent + i);
    ssize_t n = way->writer_ended ? -1 : write(way->writer, block, (size_t)size);
    way->sent += n > 0 ? n : 0;
}

static void read_some(int which, long long most)
{
    static char block[BLOCK];
    struct way *way = &ways[which];
    ssize_t n = way->reader_ended ? -1 : read(way->reader, block, (size_t)(1 + dice(most)));
    for (long long i = 0; i < n; i++)
        if (block[i] != byte_at(which, way->got + i))
            wrong("way %d: byte %lld of %lld is another", which, way->got + i, way->sent);
    way->got += n > 0 ? n : 0;
}

/* One direction has ended: is it true?  Then what the outer half does about it. */
static void judge(int which, enum pumped how)
{
    struct way *way = &ways[which];
    if (how == PUMP_NO_SOURCE && !way->writer_ended)
        wrong("way %d: an end was invented after %lld bytes of %lld", which, way->got, way->sent);
    if (how == PUMP_NO_SOURCE && way->pump.moved != 2 * (unsigned long long)way->sent)
        wrong("way %d: ended with %llu of 2 * %lld bytes moved", which, way->pump.moved, way->sent);
    if (how == PUMP_NO_TARGET && !way->reader_ended)
        wrong("way %d: the reader was taken for gone", which);
    if (kind != TERMINAL)
        close(which == TO_COMMAND ? way->pump.to : way->pump.from);
    if (kind != TERMINAL && which != TO_COMMAND)
        close(which);
    pump_end(&way->pump);
    way->runs = false;
}

/* As outer.c does: fill, poll, and one step of each that was woken; here in any order. */
static void turn(void)
{
    struct pollfd polled[STREAMS];
    long long passed = now - begin, first = dice(STREAMS);
    bucket_fill(&in, now);
    bucket_fill(&out, now);
    for (int which = 0; which < STREAMS; which++)
        polled[which] = ways[which].runs ? pump_wants(&ways[which].pump) : (struct pollfd){ .fd = -1 };
    if (poll(polled, STREAMS, 0) < 0)
        wrong("poll: %s", strerror(errno));
    for (long long i = first; i < first + STREAMS; i++) {
        int which = (int)(i % STREAMS);
        enum pumped how = polled[which].revents ? pump_step(&ways[which].pump) : PUMP_GOES;
        if (how != PUMP_GOES)
            judge(which, how);
    }
    for (int outgoing = 0; outgoing < 2; outgoing++) {
        struct bucket *bucket = outgoing ? &out : &in;
        unsigned long long moved = 0;
        for (int which = outgoing; which < (outgoing ? STREAMS : OUTPUT); which++)
            moved += (ways[which].pump.moved + 1) / 2;
        if (bucket->rate && bucket->left < 0)
            wrong("the bucket was overdrawn");
        if (bucket->rate && bucket->rate < 1 << 20 &&
            moved > 1 + (unsigned long long)(bucket->rate / 8 + (passed / SECOND + 1) * bucket->rate))
            wrong("%llu bytes within %lld ns at %lld a second", moved, passed, bucket->rate);
    }
}

static void play(void)
{
    for (int i = 0; i < TURNS; i++) {
        int which = (int)dice(kind == TERMINAL ? ERRORS : STREAMS);
        switch (dice(40)) {
        case 0:
            now += dice(2 * SECOND);
            break;
        case 1:
            if (kind != TERMINAL && dice(20) == 0)
                end_reader(&ways[which]);
            break;
        case 2:
            if (kind != TERMINAL && dice(20) == 0)
                end_writer(&ways[which]);
            break;
        default:
            if (dice(3) == 0)
                write_some(which, dice(2) ? 100 : BLOCK - 1);
            else if (dice(3) == 0)
                read_some(which, dice(2) ? 100 : BLOCK - 1);
            else
                turn();
            now += dice(SECOND / 100);
        }
    }
}

static bool delivered(const struct way *way)
{
    return way->reader_ended ? !way->runs : way->got == way->sent;
}

/* Whoever is slow takes all in the end; then the writers end, which has to be seen, by poll(2) and the clock alone. */
static void finish(void)
{
    bool over = false;
    for (long i = 0; !over; i++) {
        if (i == PATIENCE)
            wrong("%lld/%lld %lld/%lld %lld/%lld bytes, runs %d %d %d", ways[0].got, ways[0].sent, ways[1].got,
                  ways[1].sent, ways[2].got, ways[2].sent, ways[0].runs, ways[1].runs, ways[2].runs);
        long long wait = 0;
        over = true;
        for (int which = 0; which < STREAMS; which++) {
            struct way *way = &ways[which];
            if (way->runs && way->reader_ended) /* told when something is to be delivered */
                write_some(which, 10);
            if (way->runs && (!way->reader_ended || way->sent == way->most))
                end_writer(way);
            wait = way->runs && pump_wait(&way->pump) > wait ? pump_wait(&way->pump) : wait;
            if (way->runs && !way->reader_ended)
                read_some(which, BLOCK - 1);
            over = over && (kind == TERMINAL ? delivered(way) : !way->runs);
        }
        turn();
        now += wait;
        if (kind == TERMINAL && i % 100 == 99)
            usleep(50); /* what is in a terminal is carried by a thread of the kernel's */
    }
    for (int which = 0; which < STREAMS; which++) {
        for (long long before = -1; before != ways[which].got;) {
            before = ways[which].got;
            if (!ways[which].reader_ended && ways[which].most)
                read_some(which, BLOCK - 1);
        }
        if (!delivered(&ways[which]))
            wrong("way %d: %lld bytes of %lld", which, ways[which].got, ways[which].sent);
    }
}

/* The command of a terminal ends, or its client. */
static void hang_up(void)
{
    bool client = dice(2) == 0;
    int gone = client ? TO_COMMAND : OUTPUT;
    ways[gone].writer_ended = ways[gone == OUTPUT ? TO_COMMAND : OUTPUT].reader_ended = true;
    close(ways[gone].writer);
    for (int i = 0; ways[gone].runs; i++) {
        if (i == PATIENCE)
            wrong("the terminal's hang-up was not seen");
        now += pump_wait(&ways[gone].pump);
        turn();
    }
    close(ways[gone == OUTPUT ? TO_COMMAND : OUTPUT].writer);
    close(terminals[0]);
    close(terminals[1]);
}

int main(int argc, char **argv)
{
    unsigned long first = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    said = fcntl(1, F_DUPFD_CLOEXEC, 10);
    signal(SIGPIPE, SIG_IGN);
    for (seed = first; seed < first + count; seed++) {
        alarm(60); /* one that hangs ends so */
        state = seed * 2654435761ul + 1;
        set_up();
        play();
        finish();
        if (kind == TERMINAL)
            hang_up();
        for (int which = 0; which < STREAMS && kind != TERMINAL; which++)
            end_reader(&ways[which]);
    }
    return 0;
}
