/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The queue of jobs and the threads that take them. Workers enter helpers_give(); the
 * thread that starts or stops the back-end enters the rest.
 */
#include "serve/helpers.h"

#include <string.h>

#include "base/error.h"

static struct job *wait_for_job(struct helpers *helpers)
{
	struct job *job;

	helpers->idle++;
	while (!helpers->first && !helpers->stopping)
		pthread_cond_wait(&helpers->changed, &helpers->lock);
	helpers->idle--;
	job = helpers->first;
	if (job) {
		helpers->first = job->next;
		helpers->waiting--;
	}
	return job;
}

static void *helper_run(void *argument)
{
	struct helpers *helpers = argument;
	struct job *job;

	pthread_mutex_lock(&helpers->lock);
	while ((job = wait_for_job(helpers))) {
		pthread_mutex_unlock(&helpers->lock);
		job->run(job);
		pthread_mutex_lock(&helpers->lock);
	}
	pthread_mutex_unlock(&helpers->lock);
	return NULL;
}

/* Under the lock, or before there is any thread. */
static int add_thread(struct helpers *helpers)
{
	pthread_t *thread = &helpers->threads[helpers->count];
	pthread_attr_t attributes;
	int result;

	pthread_attr_init(&attributes);
	pthread_attr_setaffinity_np(&attributes, sizeof(helpers->cpus),
				    &helpers->cpus);
	result = pthread_create(thread, &attributes, helper_run, helpers);
	pthread_attr_destroy(&attributes);
	if (result)
		return -result;
	pthread_setname_np(*thread, "backend-helper");
	helpers->count++;
	return 0;
}

int helpers_start(struct helpers *helpers)
{
	int result;

	pthread_mutex_init(&helpers->lock, NULL);
	pthread_cond_init(&helpers->changed, NULL);
	if (sched_getaffinity(0, sizeof(helpers->cpus), &helpers->cpus))
		memset(&helpers->cpus, 0xff, sizeof(helpers->cpus));
	result = add_thread(helpers);
	if (!result)
		return 0;
	pthread_cond_destroy(&helpers->changed);
	pthread_mutex_destroy(&helpers->lock);
	return error_record(result, "a thread for files: %s", strerror(-result));
}

void helpers_stop(struct helpers *helpers)
{
	unsigned int i;

	if (!helpers->count)
		return;
	pthread_mutex_lock(&helpers->lock);
	helpers->stopping = true;
	pthread_cond_broadcast(&helpers->changed);
	pthread_mutex_unlock(&helpers->lock);
	for (i = 0; i < helpers->count; i++)
		pthread_join(helpers->threads[i], NULL);
	helpers->count = 0;
	pthread_cond_destroy(&helpers->changed);
	pthread_mutex_destroy(&helpers->lock);
}

/* If no thread can be added, the others take the job later. */
void helpers_give(struct helpers *helpers, struct job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&helpers->lock);
	if (helpers->first)
		helpers->last->next = job;
	else
		helpers->first = job;
	helpers->last = job;
	helpers->waiting++;
	if (helpers->waiting > helpers->idle && helpers->count < HELPERS_MAX)
		add_thread(helpers);
	pthread_cond_signal(&helpers->changed);
	pthread_mutex_unlock(&helpers->lock);
}
