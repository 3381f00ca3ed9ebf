/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue with barriers A to D: the engine's driver and the built-in back-end's device, each
 * with one thread that sleeps when it has nothing to do.
 *
 * Memory is as weak as C11 allows, but no store is made before an earlier load. A load may return any
 * value that was stored since the value that its thread knows of. An acquire load learns what the
 * thread that stored the value knew at its release store. A sequentially consistent load sees all
 * sequentially consistent stores before it. Chains and ring entries are plain memory that is handed
 * over, so each access asserts that its thread knows of the last access by the other side. A stale
 * descriptor or status fails there.
 *
 * A lost kick or call leaves the driver asleep for ever, which spin reports as an invalid end state.
 */
#define CONFIGURATIONS "flags event_idx all_calls"
#define FLAGS 0
#define ALL_CALLS 2 /* event_idx, and virtq_want_all_calls() */

#define A_STORE 1        /* virtq_publish() is no release */
#define A_LOAD 2         /* ring_take() does not acquire the avail index */
#define B_STORE 3        /* ring_publish() is no release */
#define B_LOAD 4         /* virtq_reap() does not acquire the used index */
#define C_DRIVER_STORE 5 /* virtq_publish() is not sequentially consistent */
#define C_DRIVER_LOAD 6  /* virtq_needs_kick() is not sequentially consistent */
#define C_DEVICE_STORE 7 /* ring_ask_kicks() is not sequentially consistent */
#define C_DEVICE_LOAD 8  /* ring_has_work() is not sequentially consistent */
#define C_LOOK 9         /* the worker sleeps without ring_has_work() */
#define D_DRIVER_STORE 10 /* virtq_ask_calls() is not sequentially consistent */
#define D_DRIVER_LOAD 11 /* virtq_has_used() is not sequentially consistent */
#define D_DEVICE_STORE 12 /* ring_publish() is not sequentially consistent */
#define D_DEVICE_LOAD 13 /* wants_call() is not sequentially consistent */
#define D_LOOK 14        /* the driver sleeps without virtq_has_used() */

#include "switches.pml"

#define MAX(kept, value) \
	if \
	:: (value) > kept -> kept = value \
	:: else \
	fi

#define LESS(kept, value) kept = (kept > (value) -> kept - (value) : 0)

#define REQUESTS 3
#define SIZE 2     /* entries of the ring; each chain takes one */
#define MODULO 8   /* of indices, here 65536 */
#define HISTORY 12 /* stores to an event field of which the reader knows nothing, at most; asserted */

/* Each side writes an index and an event field, and reads those of the other side. */
#define DRIVER 0
#define DEVICE 1
#define OTHER (1 - side)

/* Plain memory, one bit for each piece. */
#define CHAIN(number) (1 << (number))
#define AVAIL(slot) (4 << (slot))
#define USED(slot) (16 << (slot))
#define ALL 63

byte knows[2] = ALL;      /* the pieces whose last access is known to a side */
byte avail_ring[SIZE], used_ring[SIZE];

/* The index of each side, avail or used. Its values only grow, so a value is also its time. What
 * the reader is past is 0, so that fewer states differ. */
#define AT(owner, value) ((owner) * (REQUESTS + 1) + (value))
byte stored[2] = 1;       /* bit n: the value n was stored */
byte index_told[2 * (REQUESTS + 1)]; /* with a value: the pieces that its store releases */
byte event_told[2 * (REQUESTS + 1)]; /* and the place of the last store to the event field */
byte index_known[2];      /* what the other side has read */
byte index_agreed[2];     /* the last sequentially consistent store */

/* The event field of each side, "call me" or "kick me": what was stored, from what the reader knows
 * to the last store. Places are counted from the first one. */
#define DURING(owner, place) ((owner) * HISTORY + (place))
byte event[2 * HISTORY];
byte event_last[2], event_agreed[2];

/* The eventfds: of the driver's kicks, and of the device's calls. The kernel orders a write before
 * the read that sees it. */
bool rings[2];
byte rings_told[2], rings_index[2], rings_event[2];

/* Used in one step only, so they are no part of a state. */
hidden byte i, first, seen, wish, chain, count;

#define NO 1 /* VRING_USED_F_NO_NOTIFY, VRING_AVAIL_F_NO_INTERRUPT */
#define NEED_EVENT(new, old) (((new) - wish - 1) & (MODULO - 1)) < (((new) - (old)) & (MODULO - 1))
/* Whether the other side wants to be signalled, by `wish`, which it stored. */
#define IS_WANTED(new, old) \
	((configuration == FLAGS && wish != NO) || (configuration != FLAGS && NEED_EVENT(new, old)))

/* Each access of plain memory, a load or a store. */
inline use(pieces)
{
	assert((knows[side] & (pieces)) == (pieces));
	knows[OTHER] = knows[OTHER] & (ALL - (pieces));
	rings_told[0] = rings_told[0] & (ALL - (pieces));
	rings_told[1] = rings_told[1] & (ALL - (pieces));
	i = 0;
	do
	:: i < 2 * (REQUESTS + 1) -> index_told[i] = index_told[i] & (ALL - (pieces)); i++
	:: else -> break
	od
}

inline store_index(value, is_release, is_agreed)
{
	stored[side] = stored[side] | (1 << (value));
	index_told[AT(side, value)] = (is_release -> knows[side] : 0);
	event_told[AT(side, value)] = (is_release -> event_last[side] : 0);
	index_agreed[side] = (is_agreed -> value : index_agreed[side])
}

/* The reader of a side's event field knows of the first `place` of its stores. */
inline learn_event(owner, place)
{
	first = place;
	i = 0;
	do
	:: i < HISTORY - first -> event[DURING(owner, i)] = event[DURING(owner, i + first)]; i++
	:: i >= HISTORY - first && i < HISTORY && first -> event[DURING(owner, i)] = 0; i++
	:: else -> break
	od;
	i = 0;
	do
	:: i <= REQUESTS -> LESS(event_told[AT(owner, i)], first); i++
	:: i > REQUESTS -> break
	od;
	LESS(event_last[owner], first);
	LESS(event_agreed[owner], first);
	LESS(rings_event[owner], first)
}

/* The reader of a side's index knows of `value`. */
inline learn_index(owner, value)
{
	MAX(index_known[owner], value);
	MAX(index_agreed[owner], index_known[owner]);
	i = 0;
	do
	:: i < index_known[owner] ->
		index_told[AT(owner, i)] = 0;
		event_told[AT(owner, i)] = 0;
		stored[owner] = stored[owner] & (255 - (1 << i));
		i++
	:: i >= index_known[owner] -> break
	od
}

/* Loads the other side's index into `seen`. */
#define CAN_SEE(value, is_agreed) \
	((stored[OTHER] & (1 << (value))) && (!(is_agreed) || value >= index_agreed[OTHER]))

inline load_index(is_acquire, is_agreed)
{
	if
	:: CAN_SEE(0, is_agreed) -> seen = 0
	:: CAN_SEE(1, is_agreed) -> seen = 1
	:: CAN_SEE(2, is_agreed) -> seen = 2
	:: CAN_SEE(3, is_agreed) -> seen = 3
	fi;
	if
	:: is_acquire ->
		knows[side] = knows[side] | index_told[AT(OTHER, seen)];
		learn_event(OTHER, event_told[AT(OTHER, seen)])
	:: else
	fi;
	learn_index(OTHER, seen)
}

inline store_event(value, is_agreed)
{
	event_last[side]++;
	assert(event_last[side] < HISTORY);
	event[DURING(side, event_last[side])] = value;
	event_agreed[side] = (is_agreed -> event_last[side] : event_agreed[side])
}

/* Loads the other side's event field into `wish`. */
inline load_event(is_agreed)
{
	count = (is_agreed -> event_agreed[OTHER] : 0);
	do
	:: count < event_last[OTHER] -> count++
	:: break
	od;
	wish = event[DURING(OTHER, count)];
	learn_event(OTHER, count)
}

inline ring_eventfd(last_index)
{
	rings[side] = true;
	rings_told[side] = knows[side];
	rings_index[side] = last_index;
	rings_event[side] = event_last[side]
}


inline take_eventfd()
{
	rings[OTHER] = false;
	knows[side] = knows[side] | rings_told[OTHER];
	learn_index(OTHER, rings_index[OTHER]);
	learn_event(OTHER, rings_event[OTHER]);
	rings_told[OTHER] = 0;
	rings_index[OTHER] = 0;
	rings_event[OTHER] = 0
}

/* Each atomic step has one access of an index or an event field, or one system call. */

/* ---- the driver ---------------------------------------------------------------- */

/* engine/ring/split.c: submit(): load_relaxed_u16 store_relaxed_u16 */
inline virtq_submit()
{
	chain = (free_chains & 1 -> 0 : 1);
	free_chains = free_chains - (1 << chain);
	use(CHAIN(chain) | AVAIL(avail_next % SIZE));
	avail_ring[avail_next % SIZE] = chain;
	avail_next++
}

/* engine/ring/split.c: virtq_publish(): store_seq_cst_u16
 * engine/ring/split.c: virtq_needs_kick(): load_seq_cst_u16 load_seq_cst_u16 */
inline submit_publish_kick()
{
	atomic {
		do
		:: avail_next < REQUESTS && free_chains -> virtq_submit()
		:: avail_next != published -> break
		od;
		store_index(avail_next, IS(A_STORE), IS(C_DRIVER_STORE));
		published = avail_next
	}
	atomic {
		load_event(IS(C_DRIVER_LOAD));
		is_wanted = IS_WANTED(published, kicked);
		kicked = published
	}
	if
	:: atomic { is_wanted -> ring_eventfd(published); is_wanted = false }
	:: else
	fi
}

/* engine/ring/split.c: virtq_reap(): load_acquire_u16 load_relaxed_u32 virtq_ask_calls */
inline virtq_reap()
{
	atomic {
		load_index(IS(B_LOAD), false);
		asks_again = seen != used_next && configuration == ALL_CALLS;
		do
		:: used_next < seen ->
			use(USED(used_next % SIZE));
			chain = used_ring[used_next % SIZE];
			assert(!(free_chains & (1 << chain)));
			use(CHAIN(chain));
			free_chains = free_chains | (1 << chain);
			used_next++
		:: used_next == seen -> break
		od
	}
	if
	:: atomic { asks_again -> store_event(used_next, IS(D_DRIVER_STORE)); asks_again = false }
	:: else
	fi
}

/* engine/ring/split.c: virtq_ask_calls(): store_seq_cst_u16 store_seq_cst_u16
 * engine/ring/split.c: virtq_has_used()
 * engine/ring/split.c: virtq_used_index(): load_seq_cst_u16
 * engine/ring/split.c: virtq_refuse_calls(): store_relaxed_u16 store_relaxed_u16
 * engine/wait/steps.c: wait_block() */
inline wait_block()
{
	atomic { store_event((configuration == FLAGS -> 0 : used_next), IS(D_DRIVER_STORE)) }
	if
	:: atomic { IS(D_LOOK) -> load_index(true, IS(D_DRIVER_LOAD)); sleeps = seen == used_next }
	:: else -> sleeps = true
	fi;
	if
	:: atomic { sleeps && rings[OTHER] -> take_eventfd(); sleeps = false }
	:: !sleeps
	fi;
	if
	:: atomic { configuration == FLAGS -> store_event(NO, false) }
	:: configuration == ALL_CALLS
	:: else -> atomic { store_event((used_next + MODULO - 1) % MODULO, false) }
	fi
}

proctype driver()
{
	byte side = DRIVER, avail_next, published, kicked, used_next, free_chains = 3;
	bool is_wanted, asks_again, sleeps;

	do
	:: avail_next < REQUESTS && free_chains -> submit_publish_kick()
	:: used_next < published -> virtq_reap()
	:: used_next < published -> wait_block(); virtq_reap()
	:: used_next == REQUESTS -> break
	od
}

/* ---- the device ---------------------------------------------------------------- */

/* engine/backend/ring/split.c: ring_take(): shared_read_acquire shared_read
 * engine/backend/serve/serve.c: serve_batch() */
inline ring_take()
{
	atomic {
		load_index(IS(A_LOAD), false);
		offered = seen;
		if
		:: offered > taken + 1 -> offered = taken + 1 /* publish_early() */
		:: true
		fi
	}
}

/* engine/backend/ring/split.c: ring_put(): shared_read shared_write shared_read shared_write
 *   next last_batch_head shared_write_release last_batch_head */
inline ring_put()
{
	use(AVAIL(taken % SIZE));
	chain = avail_ring[taken % SIZE];
	use(CHAIN(chain) | USED(taken % SIZE));
	used_ring[taken % SIZE] = chain;
	taken++
}

/* engine/backend/ring/split.c: ring_publish(): shared_write_fenced
 * engine/backend/ring/split.c: wants_call(): shared_read_fenced shared_read_fenced */
inline put_publish_call()
{
	atomic {
		do
		:: taken < offered -> ring_put()
		:: taken == offered -> break
		od;
		offered = 0;
		store_index(taken, IS(B_STORE), IS(D_DEVICE_STORE))
	}
	atomic {
		load_event(IS(D_DEVICE_LOAD));
		is_wanted = IS_WANTED(taken, called);
		called = taken
	}
	if
	:: atomic { is_wanted -> ring_eventfd(taken); is_wanted = false }
	:: else
	fi
}

/* engine/backend/ring/split.c: ring_ask_kicks(): shared_write_fenced shared_write_fenced
 * engine/backend/ring/split.c: ring_has_work(): shared_read_fenced
 * engine/backend/ring/split.c: ring_refuse_kicks(): shared_write
 * engine/backend/serve/worker.c: ask_for_kicks()
 * engine/backend/serve/worker.c: sleep_until_needed() */
inline sleep_until_needed()
{
	atomic { store_event((configuration == FLAGS -> 0 : taken), IS(C_DEVICE_STORE)); offered = 0 }
	if
	:: atomic { IS(C_LOOK) -> load_index(true, IS(C_DEVICE_LOAD)); sleeps = seen == taken }
	:: else -> sleeps = true
	fi;
end:	if
	:: atomic { sleeps && rings[OTHER] -> take_eventfd(); sleeps = false }
	:: !sleeps
	fi;
	if
	:: atomic { configuration == FLAGS -> store_event(NO, false) }
	:: else
	fi
}

/* engine/backend/serve/worker.c: worker_run(): shared_read_acquire shared_read */
proctype device()
{
	byte side = DEVICE, taken, offered, called;
	bool is_wanted, sleeps;

	do
	:: ring_take();
		if
		:: taken < offered -> put_publish_call()
		:: else -> sleep_until_needed()
		fi
	od
}

init {
	atomic {
		read_switches();
		/* virtq_want_all_calls() refuses calls, and worker_add_ring() refuses kicks. */
		if
		:: configuration == FLAGS -> event[DURING(DRIVER, 0)] = NO; event[DURING(DEVICE, 0)] = NO
		:: configuration == ALL_CALLS
		:: else -> event[DURING(DRIVER, 0)] = MODULO - 1
		fi;
		run driver();
		run device()
	}
}
