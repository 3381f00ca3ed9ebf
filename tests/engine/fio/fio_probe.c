/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The smallest engine with the guard of fio_virtio, so that tests can build it from
 * many trees of fio's headers: one file, for the compiler to run once. */
#include "fio/guard.c"
#include "fio/layout.c"
#include "fio/rehearsal.c"

static enum fio_q_status hook_queue(struct thread_data *job, struct io_u *unit)
{
	(void)job;
	(void)unit;
	return FIO_Q_COMPLETED;
}

static struct ioengine_ops operations = {
	.name = "probe",
	.version = FIO_INTERFACE,
	.flags = FIO_SYNCIO,
	.queue = hook_queue,
};

void get_ioengine(struct ioengine_ops **ops);

void get_ioengine(struct ioengine_ops **ops)
{
	*ops = fio_guard_admits() ? &operations : NULL;
}
