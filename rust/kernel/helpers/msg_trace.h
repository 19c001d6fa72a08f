/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The trace events popcorn:msg_*: messages between nodes. trace.c makes them, in popcorn.ko; Rust raises
 * them by trace.h.
 *
 * TRACE_INCLUDE_PATH is below rust/kernel, where Kbuild has the compiler search.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM popcorn

#if !defined(PCN_MSG_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PCN_MSG_TRACE_H

#include <linux/tracepoint.h>

#include "trace.h"

#define PCN_TRACE_SWITCH(event)           \
	int pcn_trace_##event##_on(void); \
	void pcn_trace_##event##_off(void)

PCN_TRACE_SWITCH(msg_send);
PCN_TRACE_SWITCH(msg_receive);
PCN_TRACE_SWITCH(msg_call_begin);
PCN_TRACE_SWITCH(msg_call_end);
PCN_TRACE_SWITCH(msg_node);

/* The kernel's usual form of events. */
/* clang-format off */

DECLARE_EVENT_CLASS(pcn_message,
	TP_PROTO(u32 node, u32 type, u32 class, u64 request, u32 bytes, s32 status),
	TP_ARGS(node, type, class, request, bytes, status),
	TP_STRUCT__entry(
		__field(u64, request)
		__field(u32, node)
		__field(u32, bytes)
		__field(s32, status)
		__field(u16, type)
		__field(u8, class)
	),
	TP_fast_assign(
		__entry->request = request;
		__entry->node = node;
		__entry->bytes = bytes;
		__entry->status = status;
		__entry->type = type;
		__entry->class = class;
	),
	TP_printk("node=%u type=%#06x class=%s request=%#llx bytes=%u status=%d",
		  __entry->node, __entry->type,
		  __print_symbolic(__entry->class,
				   { 1, "one-way" }, { 2, "request" }, { 3, "response" }),
		  __entry->request, __entry->bytes, __entry->status)
);

DEFINE_EVENT_FN(pcn_message, msg_send,
	TP_PROTO(u32 node, u32 type, u32 class, u64 request, u32 bytes, s32 status),
	TP_ARGS(node, type, class, request, bytes, status),
	pcn_trace_msg_send_on, pcn_trace_msg_send_off
);

DEFINE_EVENT_FN(pcn_message, msg_receive,
	TP_PROTO(u32 node, u32 type, u32 class, u64 request, u32 bytes, s32 status),
	TP_ARGS(node, type, class, request, bytes, status),
	pcn_trace_msg_receive_on, pcn_trace_msg_receive_off
);

TRACE_EVENT_FN(msg_call_begin,
	TP_PROTO(u32 node, u32 type, u64 request, u32 bytes),
	TP_ARGS(node, type, request, bytes),
	TP_STRUCT__entry(
		__field(u64, request)
		__field(u32, node)
		__field(u32, bytes)
		__field(u16, type)
	),
	TP_fast_assign(
		__entry->request = request;
		__entry->node = node;
		__entry->bytes = bytes;
		__entry->type = type;
	),
	TP_printk("node=%u type=%#06x request=%#llx bytes=%u",
		  __entry->node, __entry->type, __entry->request, __entry->bytes),
	pcn_trace_msg_call_begin_on, pcn_trace_msg_call_begin_off
);

/* @status: 0 or a negative errno, as the caller gets it; @bytes: of the response. */
TRACE_EVENT_FN(msg_call_end,
	TP_PROTO(u32 node, u32 type, u64 request, u32 bytes, u64 ns, s32 status),
	TP_ARGS(node, type, request, bytes, ns, status),
	TP_STRUCT__entry(
		__field(u64, request)
		__field(u64, ns)
		__field(u32, node)
		__field(u32, bytes)
		__field(s32, status)
		__field(u16, type)
	),
	TP_fast_assign(
		__entry->request = request;
		__entry->ns = ns;
		__entry->node = node;
		__entry->bytes = bytes;
		__entry->status = status;
		__entry->type = type;
	),
	TP_printk("node=%u type=%#06x request=%#llx bytes=%u ns=%llu status=%d",
		  __entry->node, __entry->type, __entry->request, __entry->bytes,
		  __entry->ns, __entry->status),
	pcn_trace_msg_call_end_on, pcn_trace_msg_call_end_off
);

/* @life: the incarnation of the node that came or went. */
TRACE_EVENT_FN(msg_node,
	TP_PROTO(u32 node, u32 event, u64 life),
	TP_ARGS(node, event, life),
	TP_STRUCT__entry(
		__field(u64, life)
		__field(u32, node)
		__field(u32, event)
	),
	TP_fast_assign(
		__entry->life = life;
		__entry->node = node;
		__entry->event = event;
	),
	TP_printk("node=%u event=%s life=%#llx", __entry->node,
		  __print_symbolic(__entry->event,
				   { PCN_NODE_ONLINE, "online" },
				   { PCN_NODE_LEFT, "left" },
				   { PCN_NODE_DEAD, "dead" }),
		  __entry->life),
	pcn_trace_msg_node_on, pcn_trace_msg_node_off
);

/* clang-format on */

#endif /* PCN_MSG_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH helpers
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE msg_trace
#include <trace/define_trace.h>
