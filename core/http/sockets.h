/* The kernel's view of our connections, of which civetweb shows neither descriptors nor listener. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>

/*
 * Calls `found` for every socket of this process that is bound to `port` (host order): for the
 * listening one with `remote` NULL. Any thread; descriptors may be closed meanwhile by others.
 */
void sockets_each(int port, void (*found)(void *ctx, int fd, const struct sockaddr_in *remote),
                  void *ctx);
