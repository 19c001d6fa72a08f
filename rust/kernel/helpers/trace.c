// SPDX-License-Identifier: GPL-2.0
/* See trace.h; the events themselves are made here, of msg_trace.h. */
#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/export.h>

#define CREATE_TRACE_POINTS
#include "msg_trace.h"

unsigned int pcn_trace_enabled __read_mostly;
EXPORT_SYMBOL_GPL(pcn_trace_enabled);

/*
 * Called before the first listener of an event is there, and after the last one is gone, with the kernel's
 * mutex of tracepoints held: there is one writer at a time.
 */
#define SWITCH(event, bit)                                                 \
	int pcn_trace_##event##_on(void)                                   \
	{                                                                  \
		WRITE_ONCE(pcn_trace_enabled, pcn_trace_enabled | (bit));  \
		return 0;                                                  \
	}                                                                  \
	void pcn_trace_##event##_off(void)                                 \
	{                                                                  \
		WRITE_ONCE(pcn_trace_enabled, pcn_trace_enabled & ~(bit)); \
	}

SWITCH(msg_send, PCN_TRACE_MSG_SEND)
SWITCH(msg_receive, PCN_TRACE_MSG_RECEIVE)
SWITCH(msg_call_begin, PCN_TRACE_MSG_CALL_BEGIN)
SWITCH(msg_call_end, PCN_TRACE_MSG_CALL_END)
SWITCH(msg_node, PCN_TRACE_MSG_NODE)

void pcn_trace_msg_send(u32 node, u32 type, u32 class, u64 request, u32 bytes, s32 status)
{
	trace_msg_send(node, type, class, request, bytes, status);
}
EXPORT_SYMBOL_GPL(pcn_trace_msg_send);

void pcn_trace_msg_receive(u32 node, u32 type, u32 class, u64 request, u32 bytes, s32 status)
{
	trace_msg_receive(node, type, class, request, bytes, status);
}
EXPORT_SYMBOL_GPL(pcn_trace_msg_receive);

void pcn_trace_msg_call_begin(u32 node, u32 type, u64 request, u32 bytes)
{
	trace_msg_call_begin(node, type, request, bytes);
}
EXPORT_SYMBOL_GPL(pcn_trace_msg_call_begin);

void pcn_trace_msg_call_end(u32 node, u32 type, u64 request, u32 bytes, u64 ns, s32 status)
{
	trace_msg_call_end(node, type, request, bytes, ns, status);
}
EXPORT_SYMBOL_GPL(pcn_trace_msg_call_end);

void pcn_trace_msg_node(u32 node, u32 event, u64 life)
{
	trace_msg_node(node, event, life);
}
EXPORT_SYMBOL_GPL(pcn_trace_msg_node);
