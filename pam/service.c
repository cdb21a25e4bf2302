#include "module.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

static bool is_one_of(const char *service, const char *const *names)
{
    while (*names && strcmp(service, *names) != 0)
        names++;
    return *names;
}

bool service_is_su_by_root(const char *service)
{
    static const char *const names[] = { "su", "su-l", "runuser", "runuser-l", NULL };
    return is_one_of(service, names) && getuid() == 0;
}

bool service_can_be_inside(const char *service)
{
    static const char *const names[] = { "cron", "crond", "atd", "su", "su-l", "login", NULL };
    return is_one_of(service, names);
}
