/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library's threads at one queue: who polls, who sleeps, and how the turn is passed on, with
 * barriers T and W. Each thread waits for one request, and the back-end calls as event_idx says.
 *
 * Each step is one access that other threads can see. What a lock protects is one step. The hint
 * is_first() may be wrong at any time. A sequentially consistent load sees the last sequentially
 * consistent store, or a later one; where barrier T or W is broken, it may see an older one.
 *
 * Only the configuration `timed` has the look every 10 ms, which makes lost wake-ups good. In the
 * others spin reports a thread that sleeps for ever as an invalid end state.
 */
#define CONFIGURATIONS "patient mixed hurried timed kicks restart"
#define PATIENT 0 /* no thread has a deadline */
#define MIXED 1   /* one of two threads has a deadline */
#define HURRIED 2 /* two threads have one */
#define TIMED 3   /* two threads without a deadline, which look from time to time */
#define KICKS 4   /* two threads without a deadline, whose back-end sleeps until a kick */
#define RESTART 5 /* two threads without a deadline, while another one starts the ring again */

#define T_STORE 1     /* open_turn() opens the turn by a relaxed store */
#define T_COUNT 2     /* open_turn() counts the pollers by a relaxed load */
#define T_SUB 3       /* end_brief_poll() counts by a relaxed operation */
#define T_LOAD 4      /* end_brief_poll() looks at the turn by a relaxed load */
#define OPEN_FIRST 5  /* open_turn() counts before it opens the turn */
#define LAST_LOOKS 6  /* end_brief_poll() does not look at the turn */
#define PASS_ON 7     /* leave() does not pass the turn on */
#define WAKE_NEXT 8   /* patient mixed: leave() does not wake the thread that gets the turn */
#define WAKE_SLEEPER 9 /* patient mixed: poller_wake() does not wake a thread that sleeps */
#define INTERRUPT 10  /* patient mixed timed: poller_wake() does not interrupt the poller */
#define CHECK_AGAIN 11 /* patient mixed timed: ask_calls() does not look whether the wait is over */
#define ASK_LOOK 12   /* patient mixed timed: virtq_ask_calls() does not look at the used ring */
#define TURN_COMES_LATE 13 /* mixed hurried: leave() forgets a turn that came after the deadline */
#define TAKE_OPEN 14  /* timed: take_open_turn() takes a turn that is not open */
#define ONE_POLLER 15 /* enter() takes a turn that is taken */
#define KICK_FIRST 16 /* kicks: take_kick() kicks before it says so */
#define KICK_LAST 17  /* kicks: poller_wait() enters with a kick that is owed */
#define W_WAKE 18     /* patient mixed timed: poller_wake() is not sequentially consistent */
#define W_ASKING 19   /* patient mixed timed: is_asking() is a relaxed load */
#define W_ASK 20      /* patient mixed timed: ask_calls() of shared_queue.c is a relaxed store */
#define W_CHECK 21    /* patient mixed timed: ask_calls() of poller.c is a relaxed load */
#define ASK_ANEW 22   /* restart: keep_connected() does not ask for calls on a ring that began again */

#include "switches.pml"

#define THREADS 3
#define NOBODY 255
#define BIT(number) (1 << (number))

/* engine/library/poller.c: the states of a waiter, and of the turn. */
#define RUNS 0
#define SLEEPS 1
#define POLLS 2
#define TURN 3
#define DONE 4
#define FREE 0
#define TAKEN 1
#define OPEN 2

byte state[THREADS];       /* of the waiters */
bool is_asleep[THREADS];   /* in the kernel, on the futex */
bool is_poller[THREADS];
byte sleepers, turn, num_brief, gone, pollers;
bool is_locked;            /* poller->lock */

/* The ring, and what the lock of the shared queue protects. */
byte in_flight, completed; /* one bit for each thread's request */
byte used, used_event = NOBODY;
bool is_asking, call;
bool is_restarting;        /* the lock of the shared queue, for the only thing that has many steps */

/* Requests that the back-end has not looked at, and the kick that makes it look. */
byte published;
bool kick, owes_kick;

#define LOWEST(bits) ((bits) & 1 -> 0 : ((bits) & 2 -> 1 : 2))

/* ---- the back-end -------------------------------------------------------------- */

/* Barrier D is ring.pml's, so this is one step. */
inline complete(which)
{
	d_step {
		request = which;
		in_flight = in_flight - BIT(request);
		completed = completed | BIT(request);
		call = call || used_event == used;
		used++;
		request = 0
	}
}

/* Threads that are alike differ only in the order in which their requests complete. */
proctype backend()
{
	byte request;

	do
	:: in_flight -> complete(LOWEST(in_flight))
	:: configuration == MIXED && in_flight == 3 -> complete(1)
	:: d_step { kick -> kick = false; in_flight = in_flight | published; published = 0 }
	:: !in_flight && (configuration != KICKS || used == 2) -> break
	od
}

/* ---- looking ------------------------------------------------------------------- */

/* engine/library/poller.c: poller_wake(): WAITER_DONE __ATOMIC_SEQ_CST WAITER_SLEEPS
 *   WAITER_POLLS
 * engine/library/shared_queue.c: interrupt()
 * engine/library/shared_queue.c: is_asking(): __ATOMIC_SEQ_CST */
inline poller_wake()
{
	d_step {
		request = LOWEST(work);
		work = work - BIT(request);
		before = state[request];
		state[request] = DONE;
		before = (before == SLEEPS && IS(WAKE_SLEEPER) -> SLEEPS :
			(before == POLLS && request != id && IS(INTERRUPT) -> POLLS : RUNS));
		request = (before == SLEEPS -> request : 0)
	}
	if
	:: before == SLEEPS -> d_step { is_asleep[request] = false; request = 0; before = RUNS }
	:: before == POLLS -> d_step { call = call || is_asking; before = RUNS }
	:: before == POLLS && (!IS(W_ASKING) || !IS(W_ASK)) -> before = RUNS /* sees no question */
	:: before == RUNS
	fi
}

/* engine/library/shared_queue.c: reap_all(): virtq_ask_calls
 * engine/library/shared_queue.c: look_and_unlock()
 * engine/library/shared_queue.c: look() */
inline look()
{
	d_step {
		!is_restarting -> work = completed;
		completed = 0;
		used_event = (is_asking && work -> used : used_event)
	}
	do
	:: work -> poller_wake()
	:: !work -> break
	od
}

/* ---- turns --------------------------------------------------------------------- */

#define CAN_GET_TURN(waiter) ((sleepers & BIT(waiter)) && state[waiter] != DONE)

/* engine/library/poller.c: give_turn(): WAITER_DONE WAITER_TURN WAITER_SLEEPS */
inline give_turn(waiter)
{
	d_step {
		CAN_GET_TURN(waiter) -> sleepers = sleepers - BIT(waiter);
		is_poller[waiter] = true;
		next = (state[waiter] == SLEEPS -> waiter : NOBODY);
		state[waiter] = TURN
	}
	d_step { turn = TAKEN; is_locked = false }
	if
	:: next != NOBODY && IS(WAKE_NEXT) -> is_asleep[next] = false
	:: else
	fi;
	next = NOBODY
}

/* The source takes the first sleeper, here it may be any.
 * engine/library/poller.c: pass_turn(): TURN_TAKEN __ATOMIC_RELAXED TURN_FREE __ATOMIC_RELAXED */
inline pass_turn_and_unlock()
{
	if
	:: give_turn(0)
	:: give_turn(1)
	:: give_turn(2)
	:: d_step {
			!CAN_GET_TURN(0) && !CAN_GET_TURN(1) && !CAN_GET_TURN(2) -> turn = FREE;
			is_locked = false
		}
	fi
}

/* engine/library/poller.c: open_turn(): TURN_OPEN __ATOMIC_SEQ_CST __ATOMIC_SEQ_CST */
inline open_turn_and_unlock()
{
	if
	:: IS(OPEN_FIRST) -> turn = OPEN
	:: else
	fi;
	if
	:: num_brief || !IS(T_COUNT) || !IS(T_SUB) -> d_step { turn = OPEN; is_locked = false }
	:: !num_brief -> pass_turn_and_unlock()
	fi
}

/* A load that still sees OPEN does no harm, because the turn is looked at again with the lock.
 * engine/library/poller.c: end_brief_poll(): __ATOMIC_SEQ_CST __ATOMIC_SEQ_CST TURN_OPEN
 *   TURN_OPEN */
inline end_brief_poll()
{
	d_step { num_brief--; before = num_brief || !IS(LAST_LOOKS) }
	if
	:: !before && turn == OPEN ->
		d_step { !is_locked -> before = turn != OPEN; is_locked = !before }
		if
		:: !before -> open_turn_and_unlock()
		:: else
		fi
	:: before || turn != OPEN || !IS(T_STORE) || !IS(T_LOAD)
	fi;
	before = RUNS
}

/* engine/library/poller.c: enter(): TURN_TAKEN TURN_TAKEN __ATOMIC_RELAXED */
inline enter()
{
	d_step {
		!is_locked && !must_kick -> is_first = turn != TAKEN || !IS(ONE_POLLER);
		is_poller[id] = is_first;
		sleepers = (is_first -> sleepers : sleepers | BIT(id));
		turn = TAKEN
	}
}

/* engine/library/poller.c: leave(): WAITER_TURN WAITER_RUNS WAITER_POLLS WAITER_RUNS TURN_FREE
 *   __ATOMIC_RELAXED */
inline leave()
{
	d_step {
		!is_locked -> is_locked = true;
		pollers = pollers - is_first;
		is_poller[id] = is_poller[id] && (IS(TURN_COMES_LATE) || state[id] != TURN);
		state[id] = (state[id] == TURN || state[id] == POLLS -> RUNS : state[id])
	}
	if
	:: is_poller[id] && sleepers && IS(PASS_ON) -> open_turn_and_unlock()
	:: else ->
		d_step {
			turn = (is_poller[id] && !sleepers -> FREE : turn);
			sleepers = sleepers & (255 - BIT(id));
			is_locked = false
		}
	fi;
	is_poller[id] = false
}

/* ---- waiting ------------------------------------------------------------------- */

/* engine/library/poller.c: sleep_until(): WAITER_RUNS WAITER_SLEEPS WAITER_SLEEPS WAITER_SLEEPS
 *   WAITER_SLEEPS WAITER_RUNS
 * engine/base/futex.h: futex_wait() */
inline sleep_until()
{
	do
	:: d_step { state[id] == SLEEPS -> is_asleep[id] = true }
		if
		:: !is_asleep[id]
		:: has_deadline || configuration == TIMED -> is_asleep[id] = false; break
		fi
	:: state[id] != SLEEPS -> break
	od;
	state[id] = (state[id] == SLEEPS -> RUNS : state[id])
}

/* engine/library/poller.c: take_open_turn(): TURN_OPEN TURN_TAKEN __ATOMIC_RELAXED */
inline take_open_turn()
{
	d_step {
		!is_locked -> is_first = turn == OPEN || !IS(TAKE_OPEN);
		is_poller[id] = is_poller[id] || is_first;
		sleepers = (is_first -> sleepers & (255 - BIT(id)) : sleepers);
		turn = (is_first -> TAKEN : turn)
	}
}

/* engine/library/poller.c: sleep_for_turn(): WAITER_RUNS WAITER_RUNS WAITER_TURN */
inline sleep_for_turn()
{
	do
	:: d_step { state[id] == RUNS -> state[id] = SLEEPS }
		sleep_until();
		if
		:: state[id] == RUNS && configuration == TIMED -> take_open_turn()
		:: state[id] == RUNS && configuration != TIMED -> break
		:: state[id] != RUNS
		fi;
		if
		:: is_first -> break
		:: !is_first && configuration == TIMED && completed -> look()
		:: !is_first
		fi
	:: state[id] != RUNS -> is_first = state[id] == TURN; break
	od
}

#define NUM_COMPLETED ((completed & 1) + (completed >> 1 & 1) + (completed >> 2))

/* engine/library/poller.c: ask_calls(): __ATOMIC_SEQ_CST WAITER_DONE
 * engine/library/shared_queue.c: ask_calls(): __ATOMIC_SEQ_CST virtq_ask_calls
 * engine/library/shared_queue.c: refuse_calls(): __ATOMIC_SEQ_CST virtq_refuse_calls */
inline wait_block()
{
	d_step {
		!is_restarting -> is_asking = true;
		used_event = used - NUM_COMPLETED;
		before = completed && IS(ASK_LOOK)
	}
	if
	:: before || (state[id] == DONE && IS(CHECK_AGAIN))
	:: !before && (state[id] != DONE || !IS(CHECK_AGAIN) || !IS(W_WAKE) || !IS(W_CHECK)) ->
		if
		:: call -> call = false
		:: has_deadline
		fi
	fi;
	d_step { !is_restarting -> is_asking = false; used_event = NOBODY; before = RUNS }
}

/* engine/library/poller.c: poll_until(): WAITER_RUNS WAITER_POLLS WAITER_TURN WAITER_POLLS */
inline poll_until()
{
	atomic {
		state[id] = (state[id] == RUNS || state[id] == TURN -> POLLS : state[id]);
		pollers++;
		assert(pollers == 1)
	}
	do
	:: state[id] == DONE -> break
	:: state[id] != DONE ->
		if
		:: completed -> look()
		:: true /* another thread has the lock of the shared queue, or nothing is there */
		fi;
		if
		:: state[id] != DONE -> wait_block()
		:: else
		fi
	:: has_deadline -> break
	od
}

/* engine/library/poller.c: poller_takes_kick(): __ATOMIC_RELEASE */
inline submit()
{
	published = published | BIT(id);
	if
	:: kick = true
	:: owes_kick = true
	fi
}

/* engine/library/poller.c: take_kick(): __ATOMIC_ACQUIRE
 * engine/library/poller.c: kick_if_owed(): __ATOMIC_RELAXED */
inline kick_if_owed()
{
	if
	:: !owes_kick
	:: owes_kick ->
		if
		:: IS(KICK_FIRST) -> d_step { before = owes_kick; owes_kick = false }
			if
			:: before -> kick = true
			:: else
			fi
		:: else -> kick = true; owes_kick = false
		fi
	fi;
	before = RUNS;
	must_kick = false
}

/* engine/library/poller.c: poller_wait()
 * engine/library/poller.c: poll_briefly(): __ATOMIC_RELAXED
 * engine/library/poller.c: look_briefly()
 * engine/library/poller.c: begin_brief_poll(): __ATOMIC_SEQ_CST
 * engine/library/poller.c: is_first(): __ATOMIC_RELAXED __ATOMIC_RELAXED TURN_TAKEN */
proctype thread(byte id; bool has_deadline; bool must_kick)
{
	byte work, before, request, next = NOBODY;
	bool is_first;

	if
	:: must_kick -> submit(); must_kick = IS(KICK_LAST)
	:: !must_kick
	fi;
	if
	:: must_kick -> kick_if_owed(); enter()
	:: enter()
	:: num_brief++;
		do
		:: state[id] == DONE -> end_brief_poll(); goto over
		:: state[id] != DONE && completed -> look()
		:: must_kick -> kick_if_owed()
		:: enter() -> end_brief_poll(); break
		od
	fi;
	if
	:: is_first
	:: !is_first -> sleep_for_turn()
	fi;
	if
	:: is_first -> poll_until()
	:: !is_first
	fi;
	leave();
over:
	atomic {
		gone++;
		assert(gone < THREADS || (turn == FREE && !num_brief && !sleepers && !is_locked))
	}
}

/* A thread that waits at another queue of the device, and finds that the back-end is back. The new
 * one runs as soon as the ring has begun again.
 * engine/library/shared_queue.c: keep_connected(): __ATOMIC_RELAXED virtq_ask_calls
 * engine/library/shared_queue.c: check_one() */
proctype sibling()
{
	byte id = NOBODY, work, before, request;

	d_step { is_restarting = true; used_event = NOBODY }
	used_event = (is_asking && IS(ASK_ANEW) -> used - NUM_COMPLETED : used_event);
	d_step {
		work = completed;
		completed = 0;
		used_event = (is_asking && work -> used : used_event);
		is_restarting = false
	}
	do
	:: work -> poller_wake()
	:: !work -> break
	od
}

init {
	atomic {
		read_switches();
		gone = (configuration == PATIENT -> 0 : THREADS - 2);
		in_flight = (configuration == PATIENT -> 7 : (configuration == KICKS -> 0 : 3));
		run backend();
		run thread(0, configuration == MIXED || configuration == HURRIED, configuration == KICKS);
		run thread(1, configuration == HURRIED, configuration == KICKS);
		if
		:: configuration == PATIENT -> run thread(2, false, false)
		:: configuration == RESTART -> run sibling()
		:: else
		fi
	}
}
