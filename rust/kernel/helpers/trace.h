/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Raising the trace events of msg_trace.h from Rust.
 *
 * Rust of 6.12 has no static branches, and a C function that does nothing is a call all the same. So a
 * word says which events somebody listens to, and Rust looks at that first: a load of a line that is
 * never written and a branch that is never taken while all are off. (Without CONFIG_JUMP_LABEL that is
 * what the check of a tracepoint is in C, too.)
 */
#ifndef PCN_TRACE_H
#define PCN_TRACE_H

#include <linux/types.h>

#define PCN_TRACE_MSG_SEND	 1
#define PCN_TRACE_MSG_RECEIVE	 2
#define PCN_TRACE_MSG_CALL_BEGIN 4
#define PCN_TRACE_MSG_CALL_END	 8
#define PCN_TRACE_MSG_NODE	 16

/* A bit, PCN_TRACE_*, for each event that is on. Read it with a single load; written here only. */
extern unsigned int pcn_trace_enabled;

/* What happened to a node. */
#define PCN_NODE_ONLINE 0
#define PCN_NODE_LEFT	1
#define PCN_NODE_DEAD	2

/* One for each event. Any context; nothing if nobody listens. */
void pcn_trace_msg_send(u32 node, u32 type, u32 class, u64 request, u32 bytes, s32 status);
void pcn_trace_msg_receive(u32 node, u32 type, u32 class, u64 request, u32 bytes, s32 status);
void pcn_trace_msg_call_begin(u32 node, u32 type, u64 request, u32 bytes);
void pcn_trace_msg_call_end(u32 node, u32 type, u64 request, u32 bytes, u64 ns, s32 status);
void pcn_trace_msg_node(u32 node, u32 event, u64 life);

#endif /* PCN_TRACE_H */
