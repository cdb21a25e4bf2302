/* Memory is taken once and never given back: this program executes another one or ends.  The C library's own malloc(3)
 * takes five system calls and eight pages for the first byte, which each login would pay; linked where that is musl's,
 * which lets itself be replaced. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ROOM = 1 << 16, ALIGNMENT = 16 };

static _Alignas(ALIGNMENT) char room[ROOM]; /* takes no memory until it is used */
static size_t used;

/* SIZE bytes of zero, or NULL with errno. */
static void *take(size_t size)
{
    if (size > PTRDIFF_MAX - ALIGNMENT) {
        errno = ENOMEM;
        return NULL;
    }
    size_t whole = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (whole > sizeof room - used) {
        void *large = mmap(NULL, whole ? whole : ALIGNMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return large == MAP_FAILED ? NULL : large;
    }
    char *taken = room + used;
    used += whole;
    return taken;
}

void *malloc(size_t size)
{
    return take(size);
}

void *calloc(size_t count, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return take(whole);
}

void free(void *memory)
{
    (void)memory;
}
