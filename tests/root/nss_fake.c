/* A directory service for tests: libnss_fake.so.2.  /etc/fake says how it is: "up", "away", "busy", "hang" or "hang
 * NAME"; accounts are lines of /etc/fake.passwd, groups lines of /etc/fake.group. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum nss_status state(const char *name, int *errnop)
{
    char text[200] = "up";
    FILE *file = fopen("/etc/fake", "re");
    if (file) {
        if (!fgets(text, sizeof text, file))
            text[0] = '\0';
        fclose(file);
    }
    text[strcspn(text, "\n")] = '\0';
    *errnop = 0; /* as some services leave it: the status alone tells */
    while (strcmp(text, "hang") == 0 || (strncmp(text, "hang ", 5) == 0 && strcmp(text + 5, name) == 0))
        pause();
    return strcmp(text, "away") == 0   ? NSS_STATUS_UNAVAIL
           : strcmp(text, "busy") == 0 ? NSS_STATUS_TRYAGAIN
                                       : NSS_STATUS_SUCCESS;
}

static enum nss_status find_account(const char *name, uid_t uid, struct passwd *out, char *room, size_t size,
                                    int *error)
{
    enum nss_status status = NSS_STATUS_NOTFOUND, now;
    struct passwd *row;
    char number[20];
    snprintf(number, sizeof number, "%u", uid);
    if ((now = state(name ? name : number, error)) != NSS_STATUS_SUCCESS)
        return now;
    FILE *file = fopen("/etc/fake.passwd", "re");
    for (; file && status == NSS_STATUS_NOTFOUND;) {
        int code = fgetpwent_r(file, out, room, size, &row);
        if (code == ERANGE) {
            *error = ERANGE;
            status = NSS_STATUS_TRYAGAIN;
        } else if (code != 0)
            break;
        else if (name ? strcmp(row->pw_name, name) == 0 : row->pw_uid == uid)
            status = NSS_STATUS_SUCCESS;
    }
    if (file)
        fclose(file);
    return status;
}

static enum nss_status find_group(const char *name, gid_t gid, struct group *out, char *room, size_t size, int *error)
{
    enum nss_status status = NSS_STATUS_NOTFOUND, now;
    struct group *row;
    if ((now = state(name ? name : "", error)) != NSS_STATUS_SUCCESS)
        return now;
    FILE *file = fopen("/etc/fake.group", "re");
    while (file && status == NSS_STATUS_NOTFOUND && fgetgrent_r(file, out, room, size, &row) == 0)
        if (name ? strcmp(row->gr_name, name) == 0 : row->gr_gid == gid)
            status = NSS_STATUS_SUCCESS;
    if (file)
        fclose(file);
    return status;
}

enum nss_status _nss_fake_getpwnam_r(const char *name, struct passwd *out, char *room, size_t size, int *error)
{
    return find_account(name, 0, out, room, size, error);
}

enum nss_status _nss_fake_getpwuid_r(uid_t uid, struct passwd *out, char *room, size_t size, int *error)
{
    return find_account(NULL, uid, out, room, size, error);
}

enum nss_status _nss_fake_getgrnam_r(const char *name, struct group *out, char *room, size_t size, int *error)
{
    return find_group(name, 0, out, room, size, error);
}

enum nss_status _nss_fake_getgrgid_r(gid_t gid, struct group *out, char *room, size_t size, int *error)
{
    return find_group(NULL, gid, out, room, size, error);
}

enum nss_status _nss_fake_initgroups_dyn(const char *user, gid_t gid, long *start, long *size, gid_t **groups,
                                         long limit, int *error)
{
    (void)gid;
    (void)limit;
    char room[4096];
    struct group row, *found;
    enum nss_status now = state(user, error);
    if (now != NSS_STATUS_SUCCESS)
        return now;
    FILE *file = fopen("/etc/fake.group", "re");
    while (file && fgetgrent_r(file, &row, room, sizeof room, &found) == 0)
        for (char **member = row.gr_mem; *member; member++)
            if (strcmp(*member, user) == 0) {
                if (*start == *size) {
                    *size *= 2;
                    gid_t *more = realloc(*groups, (size_t)*size * sizeof **groups);
                    if (!more)
                        abort();
                    *groups = more;
                }
                (*groups)[(*start)++] = row.gr_gid;
            }
    if (file)
        fclose(file);
    return NSS_STATUS_SUCCESS;
}
