// SPDX-License-Identifier: GPL-2.0
/*
 * The doorbell: see doorbell.h.
 *
 * Receiving: an interrupt of its own in the vector domain, so that Linux chooses a vector and a
 * processor for it and moves it when that processor goes away. Sending: by APIC id through the ICR,
 * for the target belongs to another kernel and has no CPU number here.
 *
 * A CPU that went offline may be another kernel's a moment later, and our vector another interrupt there. So the
 * new place is told as a step of its going offline: the first after it has stopped and its interrupts were moved.
 */
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include <asm/apic.h>
#include <asm/hw_irq.h>
#include <asm/irqdomain.h>

#include "boot.h"
#include "doorbell.h"

struct pcn_doorbell {
	const struct pcn_doorbell_ops *ops;
	void *data;
	int irq;
	/* Among those that hear of CPUs that go offline. */
	struct hlist_node node;
	/* Held while its place is looked up and told, so that the last to tell has the latest. Leaf. */
	struct mutex place_lock;
	bool published;
};

/* The step of CPUs that go offline, while there is a doorbell. Outside the lock of CPU hot-plug. */
static DEFINE_MUTEX(pcn_doorbell_step_lock);
static enum cpuhp_state pcn_doorbell_step;
static unsigned int pcn_doorbell_count;

static irqreturn_t pcn_doorbell_interrupt(int irq, void *data)
{
	struct pcn_doorbell *doorbell = data;

	doorbell->ops->rang(doorbell->data);
	return IRQ_HANDLED;
}

static int pcn_doorbell_address(struct pcn_doorbell *doorbell, u32 *vector, u32 *apic_id)
{
	struct irq_data *data = irq_get_irq_data(doorbell->irq);
	struct irq_cfg *cfg = data ? irqd_cfg(data) : NULL;
	const struct cpumask *where;
	unsigned int cpu;

	if (!cfg)
		return -ENODEV;
	/* dest_apicid may be a logical id; the effective affinity is always one processor. */
	where = irq_data_get_effective_affinity_mask(data);
	cpu = cpumask_first(where);
	if (cpu >= nr_cpu_ids || !READ_ONCE(cfg->vector))
		return -EAGAIN;
	*vector = READ_ONCE(cfg->vector);
	*apic_id = cpu_physical_id(cpu);
	return 0;
}

static bool pcn_doorbell_tell(struct pcn_doorbell *doorbell)
{
	u32 vector, apic_id;
	bool found;

	lockdep_assert_held(&doorbell->place_lock);
	found = !pcn_doorbell_address(doorbell, &vector, &apic_id);
	doorbell->ops->placed(doorbell->data, found ? vector : 0, found ? apic_id : 0);
	return found;
}

bool pcn_doorbell_publish(struct pcn_doorbell *doorbell)
{
	bool found;

	mutex_lock(&doorbell->place_lock);
	doorbell->published = true;
	found = pcn_doorbell_tell(doorbell);
	mutex_unlock(&doorbell->place_lock);
	return found;
}
EXPORT_SYMBOL_GPL(pcn_doorbell_publish);

void pcn_doorbell_withdraw(struct pcn_doorbell *doorbell)
{
	mutex_lock(&doorbell->place_lock);
	doorbell->published = false;
	doorbell->ops->placed(doorbell->data, 0, 0);
	mutex_unlock(&doorbell->place_lock);
}
EXPORT_SYMBOL_GPL(pcn_doorbell_withdraw);

/* A CPU has stopped, and its interrupts were moved. */
static int pcn_doorbell_cpu_gone(unsigned int cpu, struct hlist_node *node)
{
	struct pcn_doorbell *doorbell = hlist_entry(node, struct pcn_doorbell, node);

	mutex_lock(&doorbell->place_lock);
	if (doorbell->published)
		pcn_doorbell_tell(doorbell);
	mutex_unlock(&doorbell->place_lock);
	/* Who knew the old place only may have rung there since. */
	doorbell->ops->rang(doorbell->data);
	return 0;
}

static int pcn_doorbell_watch(struct pcn_doorbell *doorbell)
{
	int ret = 0;

	mutex_lock(&pcn_doorbell_step_lock);
	if (!pcn_doorbell_count) {
		/* Of the steps below the CPU's own: these are taken on another one, when it is down. */
		ret = cpuhp_setup_state_multi(CPUHP_BP_PREPARE_DYN, "popcorn:doorbell", NULL,
					      pcn_doorbell_cpu_gone);
		if (ret < 0)
			goto unlock;
		pcn_doorbell_step = ret;
	}
	ret = cpuhp_state_add_instance_nocalls(pcn_doorbell_step, &doorbell->node);
	if (!ret)
		pcn_doorbell_count++;
	else if (!pcn_doorbell_count)
		cpuhp_remove_multi_state(pcn_doorbell_step);
unlock:
	mutex_unlock(&pcn_doorbell_step_lock);
	return ret;
}

static void pcn_doorbell_unwatch(struct pcn_doorbell *doorbell)
{
	mutex_lock(&pcn_doorbell_step_lock);
	cpuhp_state_remove_instance_nocalls(pcn_doorbell_step, &doorbell->node);
	if (!--pcn_doorbell_count)
		cpuhp_remove_multi_state(pcn_doorbell_step);
	mutex_unlock(&pcn_doorbell_step_lock);
}

/*
 * Kernels whose local APICs are in the older mode must be able to ring it: on processors with small ids, then,
 * if there are others. The machine's boot processor is one, and is never offline.
 */
static int pcn_doorbell_place(int irq)
{
	cpumask_var_t small;
	unsigned int cpu;
	int ret = 0;

	if (!zalloc_cpumask_var(&small, GFP_KERNEL))
		return -ENOMEM;
	for_each_possible_cpu(cpu)
	{
		if (cpu_physical_id(cpu) <= PCN_XAPIC_ID_MAX)
			cpumask_set_cpu(cpu, small);
	}
	if (cpumask_intersects(small, cpu_online_mask) && !cpumask_subset(cpu_online_mask, small))
		ret = irq_set_affinity(irq, small);
	free_cpumask_var(small);
	return ret;
}

struct pcn_doorbell *pcn_doorbell_new(const struct pcn_doorbell_ops *ops, void *data)
{
	struct irq_alloc_info info = {};
	struct pcn_doorbell *doorbell;
	int ret;

	if (!x86_vector_domain)
		return ERR_PTR(-ENODEV);

	doorbell = kzalloc(sizeof(*doorbell), GFP_KERNEL);
	if (!doorbell)
		return ERR_PTR(-ENOMEM);
	doorbell->ops = ops;
	doorbell->data = data;
	mutex_init(&doorbell->place_lock);

	ret = __irq_domain_alloc_irqs(x86_vector_domain, -1, 1, NUMA_NO_NODE, &info, false, NULL);
	if (ret < 0)
		goto free;
	doorbell->irq = ret;

	/* The local APIC wants its EOI before the handler, as for every edge. */
	irq_set_handler(doorbell->irq, handle_edge_irq);
	/* Before it is in use: later it would move only when it is rung the next time. */
	ret = pcn_doorbell_place(doorbell->irq);
	if (ret)
		goto dispose;
	ret = request_irq(doorbell->irq, pcn_doorbell_interrupt, 0, "popcorn doorbell", doorbell);
	if (ret)
		goto dispose;
	ret = pcn_doorbell_watch(doorbell);
	if (ret)
		goto release;
	return doorbell;

release:
	free_irq(doorbell->irq, doorbell);
dispose:
	irq_dispose_mapping(doorbell->irq);
free:
	kfree(doorbell);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(pcn_doorbell_new);

void pcn_doorbell_free(struct pcn_doorbell *doorbell)
{
	pcn_doorbell_unwatch(doorbell);
	free_irq(doorbell->irq, doorbell);
	/* Frees a hierarchical interrupt as a whole, vector included. */
	irq_dispose_mapping(doorbell->irq);
	kfree(doorbell);
}
EXPORT_SYMBOL_GPL(pcn_doorbell_free);

/* Long enough for any delivery; a stuck one must not hang the sender. */
#define PCN_ICR_SPINS 100000

void pcn_doorbell_send(u32 vector, u32 apic_id)
{
	unsigned long flags;
	int spins = PCN_ICR_SPINS;

	/* Cut off, the id would be that of another processor. */
	if (!x2apic_mode && apic_id > PCN_XAPIC_ID_MAX)
		return;
	local_irq_save(flags);
	if (x2apic_mode) {
		/* Writing the ICR MSR does not wait for earlier stores. */
		weak_wrmsr_fence();
	} else {
		while ((apic->read(APIC_ICR) & APIC_ICR_BUSY) && --spins)
			cpu_relax();
	}
	apic->icr_write(APIC_DM_FIXED | APIC_DEST_PHYSICAL | vector, apic_id);
	local_irq_restore(flags);
}
EXPORT_SYMBOL_GPL(pcn_doorbell_send);

unsigned long pcn_irq_save(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}
EXPORT_SYMBOL_GPL(pcn_irq_save);

void pcn_irq_restore(unsigned long flags)
{
	local_irq_restore(flags);
}
EXPORT_SYMBOL_GPL(pcn_irq_restore);
