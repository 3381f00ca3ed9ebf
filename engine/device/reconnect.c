/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connects again after a hang-up; see device/reconnect.h. */
#include "device/reconnect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "device/device.h"
#include "device/negotiate.h"
#include "device/same_disk.h"
#include "device/start.h"

/* The pauses between attempts. Each is twice as long as the one before. */
#define FIRST_PAUSE_NS (10 * NS_PER_MS)
#define LONGEST_PAUSE_NS (500 * NS_PER_MS)

static bool is_current(const struct device *dev, const struct queue *queue)
{
	return queue->generation == __atomic_load_n(&dev->reconnect.generation,
						    __ATOMIC_ACQUIRE);
}

/* ---- a new connection ------------------------------------------------------------ */

static void set_timeout(const struct device *dev, struct vhost_user *vu)
{
	vhost_user_set_timeout(vu, dev->config.connect_timeout_ms);
}

/* The milliseconds that one attempt may take. */
static unsigned int attempt_ms(const struct device *dev, const struct queue *queue)
{
	uint64_t end_ns = queue->timeout_since_ns +
			  dev->config.reconnect_timeout_ms * NS_PER_MS;
	unsigned int left_ms = (unsigned int)clock_left_ms(end_ns);

	if (left_ms > dev->config.connect_timeout_ms)
		left_ms = dev->config.connect_timeout_ms;
	return left_ms ? left_ms : 1;
}

/* Prepares the back-end of a new connection for the rings. fresh has no queue. */
static int prepare(struct device *dev, struct device *fresh)
{
	int code = vhost_user_connect(&fresh->vu, dev->vu.path,
				      fresh->config.connect_timeout_ms);

	if (!code)
		code = negotiate_same(fresh, dev);
	if (!code)
		code = same_disk_check(dev, fresh);
	if (!code)
		code = start_agree(fresh);
	if (!code)
		code = share_again(fresh, dev->shared.regions);
	if (!code)
		code = share_foreign_again(fresh, &dev->shared.foreign);
	return code ? code : start_driver(fresh);
}

/* The new socket gets the number of the old one, which other threads poll. */
static int adopt(struct device *dev, struct device *fresh)
{
	if (dup3(fresh->vu.fd, dev->vu.fd, O_CLOEXEC) < 0)
		return error_set(errno, "cannot replace the socket: %s", strerror(errno));
	close(fresh->vu.fd);
	fresh->vu.fd = -1;
	dev->vu.protocol = fresh->vu.protocol;
	dev->vu.is_dead = false;
	return 0;
}

static int connect_with(struct device *dev, struct device *fresh,
			const struct queue *queue)
{
	int code;

	fresh->config = dev->config;
	fresh->config.connect_timeout_ms = attempt_ms(dev, queue);
	fresh->memory = dev->memory;
	fresh->inflight.fd = -1;
	pthread_mutex_init(&fresh->lock, NULL);
	code = prepare(dev, fresh);
	if (!code)
		code = adopt(dev, fresh);
	vhost_user_close(&fresh->vu);
	pthread_mutex_destroy(&fresh->lock);
	return code;
}

/* ---- rings ----------------------------------------------------------------------- */

/* If the back-end has the record of its predecessor, it goes on with the rings as they are.
 * Otherwise it knows nothing of them, and they begin again. */
static bool keeps_rings(const struct device *dev)
{
	return dev->inflight.fd >= 0;
}

/* A record that cannot be handed over is of no use later, because the rings change. */
static int give_record(struct device *dev)
{
	int code = start_sizes(dev);

	if (code)
		return code;
	if (!vhost_user_has_protocol(&dev->vu, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		inflight_drop(dev);
	if (keeps_rings(dev))
		code = inflight_give(dev);
	/* A former back-end has cut it short. */
	if (code == -ESTALE)
		inflight_drop(dev);
	return code == -ESTALE ? 0 : code;
}

static int start_again(struct device *dev, struct queue *queue)
{
	uint16_t base = 0;
	int code;

	if (keeps_rings(dev)) {
		queue_unanswer(queue);
		base = virtq_used_index(&queue->vq);
	} else {
		queue_rewind(queue);
	}
	code = start_queue(dev, queue, base);
	if (code)
		return code;
	queue->oldest_at_start = virtq_oldest(&queue->vq);
	queue->counters.replayed += queue->vq.in_flight;
	dev->reconnect.counts.replayed += queue->vq.in_flight;
	queue->generation = dev->reconnect.generation;
	return 0;
}

/* Some back-ends serve a queue only if all queues before it exist. An abandoned queue stays
 * as it is, because its chains may be in use. */
static int start_unowned(struct device *dev)
{
	int code = 0;

	for (unsigned int i = 0; !code && i < dev->num_open; i++) {
		struct queue *queue = &dev->queues[i];

		if (i >= dev->first_queue &&
		    (dev->is_claimed[i - dev->first_queue] || queue->abandoned))
			continue;
		if (i < dev->first_queue && !keeps_rings(dev))
			queue_renew(queue);
		code = start_again(dev, queue);
	}
	return code;
}

/* The socket is seen as hung up from now on, by all threads. */
static void hang_up(struct device *dev)
{
	dev->reconnect.is_away = true;
	dev->reconnect.noticed_ns = clock_now_ns();
	vhost_user_hang_up(&dev->vu);
}

static int connect_again(struct device *dev, const struct queue *queue)
{
	struct device *fresh = calloc(1, sizeof(*fresh));
	int code;

	if (!fresh)
		return error_set(ENOMEM, "no memory for a device");
	code = connect_with(dev, fresh, queue);
	free(fresh);
	if (code)
		return code;
	dev->reconnect.is_away = false;
	dev->reconnect.away_ns = 0;
	__atomic_store_n(&dev->shared.refused, 0, __ATOMIC_RELAXED);
	dev->reconnect.counts.count++;
	__atomic_fetch_add(&dev->reconnect.generation, 1, __ATOMIC_RELEASE);
	set_timeout(dev, &dev->vu);
	code = changes_listen(dev);
	if (!code)
		code = give_record(dev);
	if (!code)
		code = start_unowned(dev);
	if (code)
		hang_up(dev);
	return code;
}

/* Several queues are away at the same time. The last one to run again decides. */
static void count_away(struct reconnect *reconnect, uint64_t away_ns)
{
	if (away_ns > reconnect->away_ns) {
		reconnect->counts.away_ns += away_ns - reconnect->away_ns;
		reconnect->away_ns = away_ns;
	}
	if (away_ns > reconnect->counts.longest_away_ns)
		reconnect->counts.longest_away_ns = away_ns;
}

static int restart_own(struct device *dev, struct queue *queue)
{
	uint64_t away_ns;
	int code;

	set_timeout(dev, &dev->vu);
	code = start_again(dev, queue);
	if (code) {
		hang_up(dev);
		return code;
	}
	away_ns = clock_now_ns() - queue->away_since_ns;
	queue->away_since_ns = 0;
	queue->returns++;
	queue->counters.reconnects++;
	queue->counters.away_ns += away_ns;
	if (away_ns > queue->counters.longest_away_ns)
		queue->counters.longest_away_ns = away_ns;
	count_away(&dev->reconnect, away_ns);
	return CONNECTION_IS_BACK;
}

/* ---- when to try, and how long ------------------------------------------------------ */

static void note_reason(struct device *dev)
{
	const char *text = error_message(), *path = dev->vu.path;
	size_t length = strlen(path);

	/* The reason becomes part of a sentence that names the socket. */
	if (!strncmp(text, path, length) && !strncmp(text + length, ": ", 2))
		text += length + 2;
	snprintf(dev->reconnect.reason, sizeof(dev->reconnect.reason), "%s", text);
}

static void notice(struct device *dev)
{
	hang_up(dev);
	dev->reconnect.next_ns = dev->reconnect.noticed_ns;
	dev->reconnect.pause_ns = FIRST_PAUSE_NS;
}

/* A queue that was not empty when it began to run makes progress when its oldest request
 * completes. A request that kills its back-end becomes the oldest one in the end. */
static bool has_progressed(const struct queue *queue)
{
	return !queue->oldest_at_start ||
	       virtq_oldest(&queue->vq) != queue->oldest_at_start;
}

/* reconnect_timeout begins with the first hang-up. It begins anew with a later one only if
 * the queue made progress in between, so that no request kills its back-end for ever. Another
 * queue, which is idle or gets on, does not count. */
static void note_loss(struct device *dev, struct queue *queue)
{
	if (!dev->reconnect.is_away && vhost_user_is_gone(&dev->vu))
		notice(dev);
	if (queue->away_since_ns)
		return;
	queue->away_since_ns = dev->reconnect.noticed_ns;
	if (!queue->timeout_since_ns || has_progressed(queue)) {
		queue->timeout_since_ns = queue->away_since_ns;
		queue->returns = 0;
	}
}

static int fail(struct device *dev)
{
	dev->reconnect.failed = EIO;
	return error_set(EIO, "%s", dev->reconnect.reason);
}

static int give_up(struct device *dev, const char *what)
{
	error_set(EIO, "the back-end hung up and %s, so its requests in flight fail: %s", what,
		  dev->reconnect.reason);
	note_reason(dev);
	return fail(dev);
}

static int give_up_late(struct device *dev, const struct queue *queue)
{
	unsigned int returns = queue->returns;
	double limit_s = dev->config.reconnect_timeout_ms / 1e3;
	char what[100];

	if (returns) {
		snprintf(what, sizeof(what), "came back %u time%s, but not for long", returns,
			 returns == 1 ? "" : "s");
		error_set(EIO, "for %g s (reconnect_timeout), it has hung up each time before it "
			  "had completed its oldest request", limit_s);
		note_reason(dev);
	} else {
		snprintf(what, sizeof(what), "was not back within %g s (reconnect_timeout)",
			 limit_s);
	}
	return give_up(dev, what);
}

/* What a back-end that is only starting would not do. */
static bool is_final(int code)
{
	return code == -ENODEV || code == -EOPNOTSUPP || code == -EPROTO;
}

/* A back-end that another thread has found in time is late only if it was here before. */
static bool is_too_late(const struct device *dev, const struct queue *queue)
{
	return (dev->reconnect.is_away || queue->returns) &&
	       clock_now_ns() - queue->timeout_since_ns >=
	       dev->config.reconnect_timeout_ms * NS_PER_MS;
}

static int after_failure(struct device *dev, const struct queue *queue, int code)
{
	struct reconnect *reconnect = &dev->reconnect;

	note_reason(dev);
	if (is_final(code))
		return give_up(dev, "the one that answers now cannot go on");
	if (is_too_late(dev, queue))
		return give_up_late(dev, queue);
	reconnect->next_ns = clock_now_ns() + reconnect->pause_ns;
	reconnect->pause_ns *= 2;
	if (reconnect->pause_ns > LONGEST_PAUSE_NS)
		reconnect->pause_ns = LONGEST_PAUSE_NS;
	return CONNECTION_AWAY;
}

/* ---- one call ---------------------------------------------------------------------- */

static int keep(struct device *dev, struct queue *queue)
{
	int code = 0;

	/* What the former back-end has completed is reaped first, and not sent again. */
	if (virtq_has_used(&queue->vq))
		return CONNECTION_AWAY;
	note_loss(dev, queue);
	if (dev->reconnect.failed)
		return fail(dev);
	if (is_too_late(dev, queue))
		return give_up_late(dev, queue);
	if (dev->reconnect.is_away) {
		if (clock_now_ns() < dev->reconnect.next_ns)
			return CONNECTION_AWAY;
		code = connect_again(dev, queue);
	}
	if (!code)
		code = restart_own(dev, queue);
	return code < 0 ? after_failure(dev, queue, code) : code;
}

int device_keep_connected(struct device *dev, struct queue *queue)
{
	int state;

	if (is_current(dev, queue) && !vhost_user_is_gone(&dev->vu))
		return CONNECTION_RUNS;
	if (!dev->config.reconnect_timeout_ms) {
		device_is_gone(dev);
		return -EIO;
	}
	/* Another thread connects, or sends a message that fails. */
	if (pthread_mutex_trylock(&dev->lock))
		return CONNECTION_AWAY;
	state = keep(dev, queue);
	pthread_mutex_unlock(&dev->lock);
	return state;
}

void device_count_reconnects(struct device *dev, struct device_reconnects *reconnects)
{
	pthread_mutex_lock(&dev->lock);
	*reconnects = dev->reconnect.counts;
	pthread_mutex_unlock(&dev->lock);
}
