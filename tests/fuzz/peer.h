/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A back-end within the process of the front-end, without a socket and without threads: the
 * linker puts the functions of peer.c in the place of connect(), shutdown(), sendmsg(),
 * recvmsg() and poll(). It answers each message when it is sent, and requests when the front-end waits.
 *
 * It is honest as long as the fuzzer's bytes do not say otherwise, so that a few bytes
 * change one answer in a run that else succeeds.
 */
#ifndef FUZZ_PEER_H
#define FUZZ_PEER_H

#include "input.h"

/* messages, answers: from where lies about messages and about requests come; NULL if there
 * are none. */
void peer_begin(bool is_scsi, struct input *messages, struct input *answers);
/* Ends the connection. The front-end may connect again. */
void peer_hang_up(void);
/* Says on the socket for its own requests that the configuration changed. */
void peer_tell_change(void);
/* Closes what was not received. */
void peer_end(void);

#endif
