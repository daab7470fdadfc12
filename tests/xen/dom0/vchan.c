/* Joins its input and output with one end of a vchan of Xen's libxenvchan.

       vchan server DOMAIN PATH READ WRITE [SECONDS]    its rings hold at least so many bytes
       vchan client DOMAIN PATH

   PATH is the channel's place in the XenStore. Says "ready" and its process on a line of its own when
   the channel is there: published by the server, found by the client. All further output is what the
   other end wrote. Ends when the input or the channel does. A server asks first whether its client is still there and
   else reads nothing, as libqrexec's handshake does; with SECONDS it waits no longer than that for one. On SIGUSR1 it breaks the channel's promise: the ring
   that it writes claims to hold more than it can. */
#include <errno.h>
#include <libxenvchan.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xenstore.h>

static struct libxenvchan *channel;
static volatile sig_atomic_t lie;

static void told_to_lie(int number)
{
	(void)number;
	lie = 1;
}

static void fail(const char *what)
{
	fprintf(stderr, "vchan: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(const char *data, size_t size)
{
	while (size) {
		ssize_t done = write(STDOUT_FILENO, data, size);
		if (done < 0 && errno != EINTR)
			exit(0);	/* nobody listens any more */
		if (done > 0)
			data += done, size -= done;
	}
}

/* As Qubes' own wrapper does: nobody else shall find the rings of a channel that is in use. */
static void unpublish(const char *path)
{
	struct xs_handle *store = xs_open(0);
	if (!store || (!xs_rm(store, XBT_NULL, path) && errno != ENOENT))
		fail("xs_rm");
	xs_close(store);
}

static void claim_too_much(void)
{
	struct ring_shared *ring = channel->is_server ? &channel->ring->right : &channel->ring->left;
	ring->prod = ring->cons + (2u << (channel->is_server ? channel->ring->right_order : channel->ring->left_order));
	xenevtchn_notify(channel->event, channel->event_port);
	lie = 0;
}

/* Moves what can be moved; 0 when the channel is at its end. */
static int turn(char *held, size_t *count, int *open, int *published, const char *path)
{
	static char buffer[65536];
	int state = libxenvchan_is_open(channel), moved;
	if (state != 2 && *published) {
		unpublish(path);
		*published = 0;
		if (!state)
			return 0;
	}
	while (libxenvchan_data_ready(channel) > 0) {
		moved = libxenvchan_read(channel, buffer, sizeof buffer);
		if (moved < 0)
			return 0;
		put(buffer, moved);
	}
	/* Not before there is someone to read it, who may be another one than was expected. */
	if (*count && state == 1) {
		moved = libxenvchan_write(channel, held, *count);
		if (moved < 0)
			return 0;
		*count -= moved;
		memmove(held, held + moved, *count);
	}
	return state != 0 && (*open || *count);
}

int main(int count, char **words)
{
	static char held[65536];
	char hello[32];
	size_t holds = 0;
	int server = (count == 6 || count == 7) && !strcmp(words[1], "server"), open = 1, published = server;
	int patience = count == 7 ? atoi(words[6]) * 1000 : -1;
	if (!server && (count != 4 || strcmp(words[1], "client")))
		return fprintf(stderr, "vchan server DOMAIN PATH READ WRITE [SECONDS] | vchan client DOMAIN PATH\n"), 2;
	signal(SIGUSR1, told_to_lie);
	channel = server ? libxenvchan_server_init(NULL, atoi(words[2]), words[3], atoi(words[4]), atoi(words[5]))
			 : libxenvchan_client_init(NULL, atoi(words[2]), words[3]);
	if (!channel)
		fail(words[3]);
	channel->blocking = 0;
	put(hello, snprintf(hello, sizeof hello, "ready %d\n", getpid()));
	while (turn(held, &holds, &open, &published, words[3])) {
		struct pollfd wait[] = {
			{ .fd = libxenvchan_fd_for_select(channel), .events = POLLIN },
			{ .fd = open && holds < sizeof held ? STDIN_FILENO : -1, .events = POLLIN },
		};
		int ready = poll(wait, 2, published ? patience : -1);
		if (ready < 0 && errno != EINTR)
			fail("poll");
		if (!ready)
			break;
		if (lie)
			claim_too_much();
		if (wait[0].revents)
			libxenvchan_wait(channel);
		if (wait[1].revents) {
			ssize_t got = read(STDIN_FILENO, held + holds, sizeof held - holds);
			if (got > 0)
				holds += got;
			else
				open = 0;
		}
	}
	libxenvchan_close(channel);
	/* Whoever else is there by now: libvchan_close does not look. */
	if (published)
		unpublish(words[3]);
	/* What the shell that ran this says next is not the channel's. The input is read to its end: TCP
	   would reset a connection with unread bytes, and lose the output. */
	shutdown(STDOUT_FILENO, SHUT_WR);
	while (read(STDIN_FILENO, held, sizeof held) > 0)
		;
	return 0;
}
