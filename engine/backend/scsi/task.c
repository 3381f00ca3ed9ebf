/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control queue of virtio-scsi: task management, and queries of
 * asynchronous notifications; virtio 1.2, 5.6.6.2.
 *
 * One worker serves all rings of a virtio-scsi client, so it may complete the
 * requests that these hold. A request that is not held has completed or was not
 * taken yet, so an abort does nothing to it.
 */
#include <stddef.h>

#include <linux/virtio_scsi.h>

#include "scsi/scsi.h"

typedef struct virtio_scsi_ctrl_tmf_req task_request;
typedef struct virtio_scsi_ctrl_an_req notification_request;

/* Which held requests a function applies to. */
struct selection {
	uint32_t key, mask; /* of the LUN key */
	bool by_tag;
	uint64_t tag;
};

static bool is_selected(const struct held *held,
			const struct selection *selection)
{
	return (held->lun & selection->mask) == selection->key &&
	       (!selection->by_tag || held->tag == selection->tag);
}

/* Writes the response byte of a request that is ended early. */
static void respond(struct ring *ring, uint16_t head, uint8_t response)
{
	static __thread struct chain chain;
	static const size_t before =
		offsetof(struct virtio_scsi_cmd_resp, response);

	if (ring_load(ring, head, &chain))
		return;
	span_skip(&chain.in, before);
	span_put(&chain.in, &response, sizeof(response));
}

static void end_selected_in(struct ring *ring,
			    const struct selection *selection,
			    uint8_t response)
{
	unsigned int i = 0;

	while (i < ring->held.count) {
		struct held ended;

		if (!is_selected(&ring->held.entries[i], selection)) {
			i++;
			continue;
		}
		ended = held_remove(&ring->held, i);
		respond(ring, ended.head, response);
		ring_put(ring, ended.head,
			 offsetof(struct virtio_scsi_cmd_resp, sense));
		i = 0; /* held_remove() moves other entries */
	}
	if (ring_publish(ring))
		ring_call(ring);
}

static void end_selected(struct session *session,
			 const struct selection *selection, uint8_t response)
{
	unsigned int i = session->device->ops->first_request_queue;

	for (; i < session->ring_count; i++)
		if (session->rings[i].running && !session->rings[i].broken)
			end_selected_in(&session->rings[i], selection,
					response);
}

static bool is_held(const struct session *session,
		    const struct selection *selection)
{
	unsigned int i = session->device->ops->first_request_queue, j;

	for (; i < session->ring_count; i++)
		for (j = 0; j < session->rings[i].held.count; j++)
			if (is_selected(&session->rings[i].held.entries[j],
					selection))
				return true;
	return false;
}

static void set_attention(struct session *session, unsigned int target,
			  unsigned int lun, uint16_t asc)
{
	struct disk *disk = scsi_find_disk(session->device, target, lun);

	if (disk)
		shared_write(&session->attention[disk->number], asc);
}

static uint8_t reset_lun(struct session *session,
			 const struct selection *selection,
			 unsigned int target, unsigned int lun)
{
	end_selected(session, selection, VIRTIO_SCSI_S_RESET);
	set_attention(session, target, lun, ASC_LUN_RESET);
	return VIRTIO_SCSI_S_OK; /* FUNCTION COMPLETE */
}

static uint8_t reset_target(struct session *session, unsigned int target)
{
	const struct selection all = { .key = scsi_lun_key(target, 0),
				       .mask = 0xffff0000u };
	unsigned int lun;

	end_selected(session, &all, VIRTIO_SCSI_S_RESET);
	for (lun = 0; lun < session->device->lun_count; lun++)
		set_attention(session, target, lun, ASC_LUN_RESET);
	return VIRTIO_SCSI_S_OK;
}

static uint8_t manage(struct session *session, const task_request *request,
		      unsigned int target, unsigned int lun)
{
	const struct selection task = { scsi_lun_key(target, lun), UINT32_MAX,
					true, request->tag };
	const struct selection unit = { scsi_lun_key(target, lun), UINT32_MAX,
					false, 0 };

	switch (request->subtype) {
	case VIRTIO_SCSI_T_TMF_ABORT_TASK:
		end_selected(session, &task, VIRTIO_SCSI_S_ABORTED);
		return VIRTIO_SCSI_S_OK;
	case VIRTIO_SCSI_T_TMF_ABORT_TASK_SET:
	case VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET:
		end_selected(session, &unit, VIRTIO_SCSI_S_ABORTED);
		return VIRTIO_SCSI_S_OK;
	case VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET:
		return reset_lun(session, &unit, target, lun);
	case VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET:
		return reset_target(session, target);
	case VIRTIO_SCSI_T_TMF_QUERY_TASK:
		return is_held(session, &task) ?
			       VIRTIO_SCSI_S_FUNCTION_SUCCEEDED :
			       VIRTIO_SCSI_S_OK;
	case VIRTIO_SCSI_T_TMF_QUERY_TASK_SET:
		return is_held(session, &unit) ?
			       VIRTIO_SCSI_S_FUNCTION_SUCCEEDED :
			       VIRTIO_SCSI_S_OK;
	default:
		return VIRTIO_SCSI_S_FUNCTION_REJECTED;
	}
}

static uint8_t serve_task(struct session *session, struct chain *chain)
{
	unsigned int target, lun;
	task_request request;
	int found;

	if (span_take_front(&chain->out, &request, sizeof(request)) !=
	    sizeof(request))
		return VIRTIO_SCSI_S_FAILURE;
	found = scsi_find_lun(session->device, request.lun, &target, &lun);
	if (found != VIRTIO_SCSI_S_OK)
		return found;
	if (request.subtype != VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET &&
	    !scsi_find_disk(session->device, target, lun))
		return VIRTIO_SCSI_S_INCORRECT_LUN;
	return manage(session, &request, target, lun);
}

static uint32_t respond_to_task(struct session *session, struct chain *chain)
{
	struct virtio_scsi_ctrl_tmf_resp response = {
		.response = serve_task(session, chain)
	};

	return span_put(&chain->in, &response, sizeof(response));
}

/* The response grants no events, because none is ever sent. */
static uint32_t respond_to_query(struct chain *chain)
{
	const struct virtio_scsi_ctrl_an_resp response = {
		.response = VIRTIO_SCSI_S_OK
	};

	return span_put(&chain->in, &response, sizeof(response));
}

void scsi_task_serve(struct session *session, struct chain *chain,
		     struct operation *what)
{
	uint32_t type = UINT32_MAX;

	*what = (struct operation){ .kind = OPERATION_TASK };
	span_peek(&chain->out, &type, sizeof(type));
	switch (type) {
	case VIRTIO_SCSI_T_TMF:
		what->used_bytes = respond_to_task(session, chain);
		break;
	case VIRTIO_SCSI_T_AN_QUERY:
	case VIRTIO_SCSI_T_AN_SUBSCRIBE:
		what->used_bytes = respond_to_query(chain);
		break;
	default:
		what->failed = true;
	}
}
