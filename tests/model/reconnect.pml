/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver that reconnects with requests in flight, and a back-end that may be killed between any
 * two of its stores, several times, also while it recovers.
 *
 * Memory is sequentially consistent here: the kernel has carried out all stores of a thread up to
 * the one at which it ended, and ring.pml is about barriers. The kicks and calls are not suppressed.
 * Memory, rings and the record of requests in flight outlive the back-end, its own variables do not.
 *
 * Asserted are: what the back-end puts into the used ring is in flight and was carried out, so no
 * request completes twice or without an answer; and the back-end takes requests in the order of
 * their submission. A request that is forgotten leaves the driver asleep for ever, which spin
 * reports as an invalid end state.
 */
#define CONFIGURATIONS "inflight rewind"
#define INFLIGHT 0 /* the new back-end gets the record, and the rings stay as they are */
#define REWIND 1   /* there is no record, so the rings begin again */

#define KICK 1          /* start_queue() does not kick */
#define FRESH_RECORD 2  /* inflight: a fresh record with a running ring */
#define MARK 3          /* inflight: ring_take() does not mark a request */
#define MARK_FIRST 4    /* inflight: a request is marked after it was carried out */
#define COUNTER 5       /* inflight: mark_inflight() sets no counter */
#define COUNTER_FIRST 6 /* inflight: mark_inflight() sets the counter after the mark */
#define COUNT_ON 7      /* inflight: inflight_recover() begins to count at 0 again */
#define LINK 8          /* inflight: ring_put() does not link the requests of a batch */
#define BATCH_HEAD 9    /* inflight: ring_put() does not set the head of the batch */
#define BATCH_FIRST 10  /* inflight: the head of the batch is set after the used index */
#define CLEAR 11        /* inflight: clear_batch() clears no mark */
#define CLEAR_LATER 12  /* inflight: clear_batch() comes before the used index */
#define AREA_INDEX 13   /* inflight: clear_batch() does not store the used index */
#define INDEX_LAST 14   /* inflight: clear_batch() stores the used index before it clears marks */
#define FINISH 15       /* inflight: inflight_recover() does not finish the last batch */
#define FINISH_ALL 16   /* inflight: finish_last_batch() clears one mark of a batch */
#define FINISH_INDEX 17 /* inflight: finish_last_batch() stores the used index before it clears marks */
#define BASE 18         /* inflight: recover() takes the used index as the next avail index */
#define LEFT 19         /* inflight: ring_take() does not take what was left first */
#define ORDER 20        /* rewind: virtq_rewind() takes the order of the chains */
#define USED_INDEX 21   /* rewind: virtq_rewind() keeps the used index */
#define IN_FLIGHT 22    /* rewind: virtq_rewind() submits nothing again */
#define KEPT_RECORD 23  /* rewind: the record of the old rings comes with the new ones */

#include "switches.pml"

#define REQUESTS 3
#define CHAINS 2
#define SIZE 2
#define KILLS 2
#define NONE 255

/* Shared memory: the rings. */
byte avail_index, used_index, avail_ring[SIZE], used_ring[SIZE];
/* The record. */
bool version, marked[CHAINS];
byte counter[CHAINS], next[CHAINS], batch_head, area_index;
/* What the driver has put into a chain. */
byte request[CHAINS];

bool is_alive = true; /* the back-end; the driver sees a hang-up if not */
bool kick, call;      /* the eventfds */
byte kills;
bool carried_out[REQUESTS];

#define HAS_RECORD (configuration == INFLIGHT || !IS(KEPT_RECORD))
#define BIT(number) (1 << (number))

/* Used in one step only, so they are no part of a state. */
hidden byte chain;

/* ---- the driver ---------------------------------------------------------------- */

inline submit(number)
{
	avail_ring[avail_next % SIZE] = number;
	avail_next++
}

inline take_free_chain()
{
	if
	:: free_chains & 1 -> chain = 0
	:: free_chains & 2 -> chain = 1
	fi;
	free_chains = free_chains - BIT(chain);
	request[chain] = submitted;
	submitted++
}

/* engine/ring/split.c: virtq_reap(): load_acquire_u16 load_relaxed_u32 virtq_ask_calls */
inline reap_one()
{
	chain = used_ring[used_next % SIZE];
	assert(!(free_chains & BIT(chain)));
	assert(carried_out[request[chain]]);
	free_chains = free_chains | BIT(chain);
	request[chain] = NONE;
	used_next++;
	done++
}

/* engine/ring/split.c: virtq_rewind(): virtq_ask_calls virtq_refuse_calls
 * engine/ring/split.c: sort_in_flight()
 * engine/device/rewind.c: queue_rewind() */
inline virtq_rewind()
{
	avail_index = 0;
	used_index = (IS(USED_INDEX) -> 0 : used_index);
	avail_next = 0;
	used_next = 0;
	if
	:: !IS(IN_FLIGHT)
	:: IS(IN_FLIGHT) && free_chains == 0 && IS(ORDER) && request[0] > request[1] ->
		submit(1); submit(0)
	:: else ->
		if
		:: !(free_chains & 1) -> submit(0)
		:: else
		fi;
		if
		:: !(free_chains & 2) -> submit(1)
		:: else
		fi
	fi;
	avail_index = avail_next
}

/* What was carried out before does not count any more.
 * engine/device/rewind.c: queue_unanswer() */
inline queue_unanswer()
{
	if
	:: request[0] != NONE -> carried_out[request[0]] = false
	:: else
	fi;
	if
	:: request[1] != NONE -> carried_out[request[1]] = false
	:: else
	fi
}

/* engine/device/reconnect.c: start_again()
 * engine/device/reconnect.c: keeps_rings()
 * engine/device/reconnect.c: give_record()
 * engine/device/start.c: start_queue() */
inline start_again()
{
	atomic {
		queue_unanswer();
		if
		:: configuration == REWIND -> virtq_rewind()
		:: configuration == INFLIGHT && !IS(FRESH_RECORD) ->
			version = false; marked[0] = false; marked[1] = false; area_index = 0
		:: else
		fi;
		is_alive = true
	}
	if
	:: IS(KICK) -> kick = true
	:: else
	fi
}

proctype driver()
{
	byte avail_next, used_next, submitted, done, free_chains = BIT(CHAINS) - 1;

	do
	:: atomic { submitted < REQUESTS && free_chains -> take_free_chain(); submit(chain) }
	/* engine/ring/split.c: virtq_publish(): store_seq_cst_u16 */
	:: avail_next != avail_index -> avail_index = avail_next; kick = true
	:: atomic { used_next != used_index -> reap_one() }
	/* engine/wait/steps.c: wait_block() */
	:: avail_next == avail_index && used_next == used_index && used_next != avail_next ->
		if
		:: atomic { call -> call = false }
		:: !is_alive
		fi
	/* What the old back-end has completed is reaped before.
	 * engine/device/reconnect.c: keep() */
	:: !is_alive && used_next == used_index && done < REQUESTS -> start_again()
	:: done == REQUESTS -> break
	od
}

/* ---- the back-end -------------------------------------------------------------- */

/* A store, before which the back-end may be killed. */
#define STORE(statement) \
	if \
	:: statement \
	:: kills < KILLS -> goto killed \
	fi

inline collect_marks()
{
	d_step {
		left = marked[0] + 2 * marked[1];
		next_counter = (marked[0] && IS(COUNT_ON) -> counter[0] + 1 : 0);
		next_counter = (marked[1] && IS(COUNT_ON) && counter[1] >= next_counter ->
				counter[1] + 1 : next_counter)
	}
}

/* engine/backend/ring/inflight.c: finish_last_batch(): used_index last_batch_head inflight next
 *   used_index */
inline finish_last_batch()
{
	d_step { batch = used - area_index; head = batch_head }
	if
	:: !IS(FINISH_INDEX) -> STORE(area_index = used)
	:: else
	fi;
	do
	:: batch && head < CHAINS -> STORE(marked[head] = false);
		d_step { head = next[head]; batch = (IS(FINISH_ALL) -> batch - 1 : 0) }
	:: else -> break
	od;
	STORE(area_index = used)
}

/* engine/backend/ring/inflight.c: inflight_recover(): version version used_index used_index
 * engine/backend/ring/split.c: recover()
 * engine/backend/ring/split.c: ring_start(): shared_read */
inline recover()
{
	if
	:: !version -> STORE(version = true); STORE(area_index = used)
	:: version ->
		if
		:: area_index != used && IS(FINISH) -> finish_last_batch()
		:: else
		fi;
		collect_marks()
	fi;
	d_step {
		head = 0;
		batch = 0;
		taken = used + (IS(BASE) -> (left & 1) + (left >> 1) : 0);
		left = (IS(LEFT) -> left : 0)
	}
}

/* The request of a chain is taken. */
inline hold()
{
	assert(request[head] != NONE);
	assert(last == NONE || request[head] > last);
	last = request[head];
	held = held | BIT(head);
	head = 0
}

/* engine/backend/ring/split.c: take_left() */
inline take_left()
{
	head = (left == 2 || (left == 3 && counter[1] < counter[0]) -> 1 : 0);
	left = left - BIT(head);
	hold()
}

inline set_counter()
{
	STORE(counter[head] = (IS(COUNTER) -> next_counter : 0));
	next_counter++
}

/* engine/backend/ring/split.c: mark_inflight(): counter shared_write_release inflight */
inline mark_inflight()
{
	if
	:: IS(COUNTER_FIRST) -> set_counter()
	:: else
	fi;
	if
	:: IS(MARK) -> STORE(marked[head] = true)
	:: else
	fi;
	if
	:: !IS(COUNTER_FIRST) -> set_counter()
	:: else
	fi
}

/* engine/backend/ring/split.c: ring_take(): shared_read_acquire shared_read */
inline ring_take()
{
	head = avail_ring[taken % SIZE];
	if
	:: HAS_RECORD && IS(MARK_FIRST) -> mark_inflight()
	:: else
	fi;
	d_step { taken++; hold() }
}

inline set_batch_head()
{
	if
	:: IS(BATCH_HEAD) -> STORE(batch_head = head)
	:: else
	fi
}

/* engine/backend/ring/split.c: ring_put(): shared_read shared_write shared_read shared_write
 *   next last_batch_head shared_write_release last_batch_head */
inline ring_put()
{
	STORE(used_ring[used % SIZE] = head);
	used++;
	if
	:: HAS_RECORD ->
		if
		:: IS(LINK) -> STORE(next[head] = batch_head)
		:: else
		fi;
		if
		:: IS(BATCH_FIRST) -> set_batch_head()
		:: else
		fi
	:: else
	fi
}

inline carry_out()
{
	d_step {
		held = held - BIT(head);
		carried_out[request[head]] = true
	}
	if
	:: HAS_RECORD && !IS(MARK_FIRST) -> mark_inflight()
	:: else
	fi;
	ring_put();
	head = 0
}

/* engine/backend/ring/split.c: clear_batch(): shared_read last_batch_head shared_write inflight
 *   shared_read next shared_write_release used_index */
inline clear_batch()
{
	if
	:: !IS(INDEX_LAST) -> STORE(area_index = used)
	:: else
	fi;
	d_step { batch = used - published; head = batch_head }
	do
	:: batch && head < CHAINS && IS(CLEAR) -> STORE(marked[head] = false);
		d_step { head = next[head]; batch-- }
	:: else -> break
	od;
	if
	:: IS(AREA_INDEX) -> STORE(area_index = used)
	:: else
	fi;
	d_step { batch = 0; head = 0 }
}

/* engine/backend/ring/split.c: ring_publish(): shared_write_fenced */
inline ring_publish()
{
	if
	:: HAS_RECORD && !IS(CLEAR_LATER) -> clear_batch()
	:: else
	fi;
	STORE(used_index = used);
	if
	:: HAS_RECORD && !IS(BATCH_FIRST) -> head = used_ring[(used - 1) % SIZE]; set_batch_head()
	:: else
	fi;
	if
	:: HAS_RECORD && IS(CLEAR_LATER) -> clear_batch()
	:: else
	fi;
	published = used;
	STORE(call = true)
}

/* A life begins with the first kick, as that of the slowest back-ends does. */
proctype backend()
{
	byte taken, used, published, left, held, head, batch, next_counter, last = NONE;

end_unkicked:
	atomic { is_alive && kick -> kick = false; used = used_index; published = used }
	if
	:: HAS_RECORD -> recover()
	:: else
	fi;
end_idle:
	do
	:: d_step { left -> take_left() }
	:: !left && avail_index != taken -> ring_take()
	:: atomic { held & 1 -> head = 0 } carry_out()
	:: atomic { held & 2 -> head = 1 } carry_out()
	:: used != published -> ring_publish()
	:: d_step { !left && !held && used == published && avail_index == taken && kick -> kick = false }
	:: kills < KILLS -> break
	od;
killed:
	kills++;
	d_step {
		taken = 0; used = 0; published = 0; left = 0; held = 0; head = 0; batch = 0;
		next_counter = 0; last = NONE;
		is_alive = false
	}
	goto end_unkicked
}

init {
	atomic {
		read_switches();
		request[0] = NONE;
		request[1] = NONE;
		run driver();
		run backend()
	}
}
