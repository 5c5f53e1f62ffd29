#include "http/sockets.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/util.h"

enum { FALLBACK_MAX = 65536 };

static void look(int fd, int port, void (*found)(void *ctx, int fd, const struct sockaddr_in *remote),
                 void *ctx)
{
    struct sockaddr_in local, remote;
    socklen_t local_len = sizeof(local), remote_len = sizeof(remote), flag_len = sizeof(int);
    int listening = 0;

    if (getsockname(fd, (struct sockaddr *)&local, &local_len) < 0 ||
        local.sin_family != AF_INET || local.sin_port != htons((in_port_t)port))
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &flag_len) == 0 && listening)
        found(ctx, fd, NULL);
    else if (getpeername(fd, (struct sockaddr *)&remote, &remote_len) == 0)
        found(ctx, fd, &remote);
}

void sockets_each(int port, void (*found)(void *ctx, int fd, const struct sockaddr_in *remote),
                  void *ctx)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    if (dir == NULL) { /* no /proc, or no descriptor left to look with */
        for (int fd = 0; fd < FALLBACK_MAX; fd++)
            look(fd, port, found, ctx);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            look(atoi(entry->d_name), port, found, ctx);
    closedir(dir);
}
