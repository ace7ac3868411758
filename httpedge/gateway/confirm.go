package gateway

import (
	"errors"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// confirmers ask other nodes whether they still are at the epochs of keys: each node one
// question at a time, for all who wait. The zero value is ready. Safe for concurrent use.
type confirmers struct {
	mu     sync.Mutex
	byNode map[string]*confirmer
}

// confirmer is one node that is asked.
type confirmer struct {
	mu   sync.Mutex
	next *confirmBatch // that has not been asked; nil: nobody waits
	turn sync.Mutex    // held by who asks
}

// confirmBatch is one question, for all keys that came while the one before was asked.
type confirmBatch struct {
	set    *messages.NodeSet // of the first; others may be of a later map: each key carries its epoch
	keys   []Confirmation    // guarded by confirmer.mu until it is asked
	asked  bool              // guarded by confirmer.turn, as is what follows
	denied map[int]bool
	err    error
}

func (c *confirmers) of(node string) *confirmer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byNode == nil {
		c.byNode = make(map[string]*confirmer)
	}
	of := c.byNode[node]
	if of == nil {
		of = new(confirmer)
		c.byNode[node] = of
	}
	return of
}

// ask puts a key into the next question to a node and returns whether it was confirmed.
func (c *confirmer) ask(peers Peers, set *messages.NodeSet, node *messages.NodeView, key Confirmation) (bool, error) {
	c.mu.Lock()
	if c.next == nil {
		c.next = &confirmBatch{set: set}
	}
	batch, place := c.next, len(c.next.keys)
	batch.keys = append(batch.keys, key)
	c.mu.Unlock()

	c.turn.Lock()
	defer c.turn.Unlock()
	if !batch.asked {
		c.mu.Lock()
		c.next = nil // who comes from now on needs another question: this one may be answered already
		c.mu.Unlock()
		batch.asked, batch.err = true, errs.E("gateway.confirm", errs.Internal, errors.New("a question panicked"))
		var denied []int
		denied, batch.err = peers.Confirm(batch.set, node, batch.keys)
		batch.denied = make(map[int]bool, len(denied))
		for _, i := range denied {
			batch.denied[i] = true
		}
	}
	return batch.err == nil && !batch.denied[place], batch.err
}

// confirm asks the ack set of a key whether all of it still are at its epoch, after what
// is to be answered was read: then no write of a later epoch had been acknowledged. A
// *messages.MapDiffers: one is not.
func (g *Gateway) confirm(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge) error {
	fence := c.fence(false)
	if g.still(op, bucket, key, &fence) != nil {
		return errs.E(op, key, errs.Busy, &messages.MapDiffers{Node: c.Set.Self, Version: c.Set.Version()})
	}
	others, err := c.others()
	if err != nil {
		return errs.E(op, key, errs.Offline, err)
	}
	failures := make([]error, len(others))
	ask := func(i int) {
		ok, err := g.confirmers.of(others[i].ID).ask(g.Peers, c.Set, others[i], Confirmation{bucket, key.Name, c.Epoch})
		switch {
		case err != nil:
			failures[i] = unsettled(op, key, err)
		case !ok:
			failures[i] = errs.E(op, key, errs.Busy, &messages.MapDiffers{Node: others[i].ID})
		}
	}
	if len(others) == 0 {
		return nil
	}
	var asked sync.WaitGroup
	for i := range others[1:] {
		asked.Go(func() {
			defer recovered(op, key, &failures[i+1])
			ask(i + 1)
		})
	}
	ask(0)
	asked.Wait()
	return errors.Join(failures...)
}
