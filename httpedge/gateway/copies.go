package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// A key that several nodes keep is written by the node in charge of it in these steps:
//
//	turn     one write of the key at a time
//	settle   what is there and unsettled goes to all of the ack set first, which may answer
//	         with something greater: that is taken over, and settled instead
//	write    the lane judges conditions, takes a generation and stores: unsettled
//	spread   all of the ack set store the same record
//	settled  the client is answered; that it is settled is noted later (settler.go)
//
// What was stored and did not get to all of them is never taken back: its outcome is
// unknown until it is settled by who comes next. A read settles too, and then has the
// ack set confirm that it still is this node's to answer (confirm.go).

// copies is what a gateway has for keys that several nodes keep.
type copies struct {
	turns      turns
	settled    settledTable
	confirmers confirmers
	arounds    arounds
	uploads    uploads
}

// Plural reports whether several nodes keep the key, or will.
func (c Charge) Plural() bool { return c.Set != nil && c.plural }

// fence is what a command of the key carries to its lane.
func (c Charge) fence(unsettled bool) messages.Fence {
	if c.Set == nil {
		return messages.Fence{For: c.For}
	}
	return messages.Fence{Set: c.Set, Epoch: c.Epoch, Key: c.placing, Unsettled: unsettled, For: c.For}
}

// others returns the nodes of the ack set but this one. The error names one that cannot
// be asked.
func (c Charge) others() ([]*messages.NodeView, error) {
	var others []*messages.NodeView
	for _, id := range c.AckSet {
		if string(id) == c.Set.Self {
			continue
		}
		node := c.Set.Find(string(id))
		switch {
		case node == nil:
			return nil, &messages.NodeAway{Node: string(id), Reason: "it has not told where it is"}
		case node.Away != "":
			return nil, &messages.NodeAway{Node: node.ID, Reason: node.Away}
		}
		others = append(others, node)
	}
	return others, nil
}

// enough fails if fewer nodes would have a write than its bucket wants.
func (c Charge) enough(bucket *objects.BucketDoc) error {
	if least := bucket.LeastOf(c.owners); len(c.AckSet) < least {
		return fmt.Errorf("%d of its nodes are there, and a write must be on %d (min_copies)", len(c.AckSet), least)
	}
	return nil
}

// charged is ours for who goes on under the charge.
func (g *Gateway) charged(op errs.Op, bucket *objects.BucketDoc, name string) (Charge, error) {
	c, err := g.Charge(bucket, name)
	if err != nil || c.Ours() {
		return c, err
	}
	return c, errs.E(op, objects.Key{Bucket: bucket.Bucket, Name: name}, errs.Busy, &messages.MapDiffers{Node: c.Set.Self, Version: c.Set.Version()})
}

// written is what a write came to here: the record that others are to have, which is
// nobody else's, and its payload if it is in memory.
type written[T any] struct {
	value  T
	record *objects.Meta
	inline []byte // of objects.Inline; nil: it is read again where it is needed
}

// renewed has the value name the generation that the record got in the end.
func (w *written[T]) renewed() {
	switch value := any(&w.value).(type) {
	case *objects.Receipt:
		value.Generation = w.record.Generation
	case *messages.Uploaded:
		value.Receipt.Generation = w.record.Generation
	case *messages.ObjectDeleted:
		value.Generation = w.record.Generation
	}
}

// followMap does a write that can be repeated, under the map as it is; where its lane, or
// another node, has a newer one and nothing was done, it does it again under that.
func followMap[T any](g *Gateway, op errs.Op, bucket *objects.BucketDoc, name string, do func(Charge) (T, error)) (T, error) {
	for look := 1; ; look++ {
		c, err := g.charged(op, bucket, name)
		if err != nil {
			var none T
			return none, err
		}
		value, err := do(c)
		var differs *messages.MapDiffers
		if look == maxMaps || !errors.As(err, &differs) {
			return value, err
		}
		g.AwaitMap(c.Set, differs)
	}
}

// agree does a write of a key that this node is in charge of: here, and if several nodes
// keep the key, at all of them. How does it here, in the key's turn and under the fence,
// and is not called where it could not be done by all. objects.ErrOutcomeUnknown: it was
// done here, and perhaps elsewhere; it may come to light later.
func agree[T any](g *Gateway, op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, how func(messages.Fence) (written[T], error)) (T, error) {
	if !c.Plural() {
		w, err := how(c.fence(false))
		return w.value, err
	}
	var none T
	others, err := c.others()
	if err != nil {
		return none, errs.E(op, key, errs.Offline, err)
	}
	if err := c.enough(bucket); err != nil {
		return none, errs.E(op, key, errs.Offline, err)
	}
	release, err := g.turns.take(op, key, g.System.Clock(), Deadline)
	if err != nil {
		return none, err
	}
	defer release()
	if _, err := g.settledRecord(op, bucket, key, c); err != nil {
		return none, err
	}
	fence := c.fence(true)
	w, err := how(fence)
	if err != nil {
		if refused(err) { // judged on what is settled here: is it still this node's to judge?
			if confirmErr := g.confirm(op, bucket, key, c); confirmErr != nil {
				return none, confirmErr
			}
		}
		return none, err
	}
	greater, err := g.spreadRenewed(op, bucket, key, c, others, w.record, w.inline)
	if err == nil && greater != nil {
		err = fmt.Errorf("node %s has a greater record", greater.node.ID)
	}
	if err == nil {
		err = g.still(op, bucket, key, &fence)
	}
	if err != nil {
		return none, unknown(op, key, err)
	}
	g.noteSettled(bucket, key, w.record.Generation, others)
	w.renewed()
	return w.value, nil
}

// refused reports whether a write was refused because of what is there.
func refused(err error) bool {
	return errors.Is(err, objects.ErrPreconditionFailed) || errors.Is(err, objects.ErrNoSuchKey) ||
		errors.Is(err, objects.ErrNoSuchUpload) || errors.Is(err, objects.ErrInvalidPart)
}

// unknown is the failure of a write that was done here and perhaps elsewhere: neither a
// refusal nor what another node said may pass for one that applied nothing.
func unknown(op errs.Op, key objects.Key, cause error) error {
	var away *messages.NodeAway
	if errors.As(cause, &away) {
		return errs.E(op, key, errs.Offline, &messages.NodeAway{Node: away.Node, Reason: away.Reason, Begun: true})
	}
	var quarantined *messages.Quarantined
	if errors.As(cause, &quarantined) {
		return errs.E(op, key, errs.Offline, fmt.Errorf("%w: not all of its nodes have it yet: %w", objects.ErrOutcomeUnknown, quarantined))
	}
	return errs.E(op, key, errs.Offline, fmt.Errorf("%w: not all of its nodes have it yet: %v", objects.ErrOutcomeUnknown, cause))
}

// greaterRecord is one that a node has instead of the one that it was sent.
type greaterRecord struct {
	node   *messages.NodeView
	record *objects.Meta
}

// spread has other nodes store a record that is here, all at the same time. It returns
// the greatest that one of them has instead; nil: all have it. In the key's turn.
func (g *Gateway) spread(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, others []*messages.NodeView, record *objects.Meta, inline []byte) (*greaterRecord, error) {
	if len(others) == 0 {
		return nil, nil
	}
	if record.Where == objects.Inline && !record.Deleted && inline == nil {
		var err error
		if inline, err = g.inlineOf(op, bucket, key, record); err != nil {
			return nil, err
		}
	}
	var parts []objects.Part
	if record.Where == objects.Chunks && !record.Deleted {
		var err error
		if parts, err = g.partsOf(op, bucket, key, record); err != nil {
			return nil, err
		}
	}
	stored := make([]messages.Stored, len(others))
	failures := make([]error, len(others))
	send := func(i int) {
		stored[i], failures[i] = g.storeAt(op, bucket, key, c, others[i], record, inline, parts)
	}
	var sent sync.WaitGroup
	for i := range others[1:] {
		sent.Go(func() {
			defer recovered(op, key, &failures[i+1])
			send(i + 1)
		})
	}
	send(0) // by itself, where it is the only one
	sent.Wait()
	var greatest *greaterRecord
	for i := range stored {
		if here := stored[i].Here; here != nil && (greatest == nil || here.Generation.Compare(greatest.record.Generation) > 0) {
			greatest = &greaterRecord{others[i], here}
		}
		switch {
		case failures[i] != nil || stored[i].Has || stored[i].Here != nil:
		case stored[i].Covered != 0:
			failures[i] = errs.E(op, key, errs.Conflict, &coveredError{node: others[i].ID, version: stored[i].Covered})
		default:
			failures[i] = errs.E(op, key, errs.Internal, fmt.Errorf("node %s did not say what it has", others[i].ID))
		}
	}
	return greatest, errors.Join(failures...)
}

// recovered makes a panic of a goroutine of ours an error: nobody else guards it.
func recovered(op errs.Op, key objects.Key, err *error) {
	if p := recover(); p != nil {
		*err = errs.E(op, key, errs.Internal, fmt.Errorf("panic: %v", p))
	}
}

// maxStores bounds how often a node is asked that has another map: it, or this one, is
// about to adopt the newer one.
const maxStores = 10

// atNode does something of a key at another node, again while that, or this one, is about
// to adopt the other's map.
func atNode[T any](g *Gateway, op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, do func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		value, err := do()
		var differs *messages.MapDiffers
		if !errors.As(err, &differs) || try == maxStores {
			return value, err
		}
		g.AwaitMap(c.Set, differs)
		fence := c.fence(false)
		if g.still(op, bucket, key, &fence) != nil {
			return value, err // it is this node's map that was older
		}
	}
}

// storeAt has one node store a record. A payload in files is sent only where it is
// needed: after a change of metadata, or when a record is settled, it mostly is there,
// and that of an upload is there in parts.
func (g *Gateway) storeAt(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, node *messages.NodeView, record *objects.Meta, inline []byte, parts []objects.Part) (messages.Stored, error) {
	c.Node, c.For = node, spreadOf(c.For, c.Set.Self)
	return atNode(g, op, bucket, key, c, func() (messages.Stored, error) {
		store := func() (messages.Stored, error) {
			var payload *Arrival
			switch {
			case record.Where == objects.Inline && !record.Deleted:
				payload = &Arrival{Body: bytes.NewReader(inline)}
			case parts != nil:
				payload = &Arrival{Parts: parts}
			}
			return g.Peers.Store(c, bucket, key.Name, record, payload)
		}
		stored, err := store()
		if err == nil && len(stored.Missing) > 0 {
			if g.sendMissing(op, bucket, key, c, record, stored.Missing) == nil { // else all is sent
				stored, err = store()
			}
		}
		if err == nil && stored.NeedsPayload {
			stored, err = g.sendPayload(op, bucket, key, c, record)
		}
		return stored, err
	})
}

// sendPayload sends a record with its payload, which is in files here.
func (g *Gateway) sendPayload(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, record *objects.Meta) (messages.Stored, error) {
	object, err := g.openSame(op, bucket, key, record)
	if err != nil {
		return messages.Stored{}, err
	}
	defer object.Close()
	return g.Peers.Store(c, bucket, key.Name, record, &Arrival{Parts: object.Parts(), Body: object.Reader(0, record.Size)})
}

// openSame opens what is here of a key; errs.Busy if it is not that record any more. The
// caller closes it.
func (g *Gateway) openSame(op errs.Op, bucket *objects.BucketDoc, key objects.Key, record *objects.Meta) (*Object, error) {
	object, err := g.openMarked(op, bucket, key)
	if err != nil {
		return nil, err
	}
	if object.Meta.Generation != record.Generation {
		object.Close()
		return nil, errs.E(op, key, errs.Busy, errors.New("it was written again meanwhile"))
	}
	return object, nil
}

// inlineOf reads the payload of a record that is in the index.
func (g *Gateway) inlineOf(op errs.Op, bucket *objects.BucketDoc, key objects.Key, record *objects.Meta) ([]byte, error) {
	object, err := g.openSame(op, bucket, key, record)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	payload := make([]byte, record.Size)
	_, err = io.ReadFull(object.Reader(0, record.Size), payload)
	return payload, err
}

// maxSettles bounds how often something greater is found while a record is settled: each
// time it comes from another node.
const maxSettles = 2 * objects.MaxCopies

// settledRecord returns the record of a key that is here, a delete marker too, once all
// of the ack set have it; nil: there is none. In the key's turn.
func (g *Gateway) settledRecord(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge) (*objects.Meta, error) {
	c.For = objects.Origin{Cause: objects.CauseSettle} // whoever wrote it, it was not who asks now
	for range maxSettles {
		object, err := g.recordMarked(op, key)
		if errs.Is(errs.NotFound, err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		record := object.Meta
		if !record.Unsettled || g.settled.has(key, record.Generation) {
			return record, nil
		}
		others, err := c.others()
		if err == nil {
			err = c.enough(bucket)
		}
		if err != nil {
			return nil, errs.E(op, key, errs.Offline, err)
		}
		greater, err := g.spreadRenewed(op, bucket, key, c, others, record, nil)
		switch {
		case err != nil:
			return nil, unsettled(op, key, err)
		case greater != nil:
			if err := g.install(op, bucket, key, c, greater); err != nil {
				return nil, unsettled(op, key, err)
			}
		default:
			g.noteSettled(bucket, key, record.Generation, others)
		}
	}
	return nil, errs.E(op, key, errs.Busy, errors.New("it cannot be settled: its nodes have ever newer records"))
}

// unsettled gives a failure to settle its kind. Nothing of who asks was done.
func unsettled(op errs.Op, key objects.Key, err error) error {
	var differs *messages.MapDiffers
	if errors.As(err, &differs) {
		return errs.E(op, key, errs.Busy, err)
	}
	var node *messages.NodeAway
	if errors.As(err, &node) {
		return errs.E(op, key, errs.Offline, &messages.NodeAway{Node: node.Node, Reason: node.Reason})
	}
	return errs.E(op, key, errs.Offline, fmt.Errorf("what is there is not on all of its nodes yet: %w", err))
}

// install takes over a record that another node has instead of this one's.
func (g *Gateway) install(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, greater *greaterRecord) error {
	c.Node = greater.node
	kept, err := g.Peers.Show(c, bucket, key.Name, true)
	if err != nil {
		return err
	}
	if kept.Record == nil {
		return errs.E(op, key, errs.Busy, fmt.Errorf("node %s has it no more", greater.node.ID))
	}
	record := *kept.Record
	record.Unsettled = true // until all of the ack set have it
	var arrival *Arrival
	if kept.Body != nil {
		defer func() { _ = kept.Body.Close() }() // it was only read
		arrival = &Arrival{Parts: kept.Parts, Body: kept.Body, Cut: func() { _ = kept.Body.Close() }}
	}
	_, err = g.Accept(bucket, key.Name, c.Epoch, &record, arrival, objects.Origin{Cause: objects.CauseSettle, Other: greater.node.ID})
	return err
}

// shown does a read of a key that this node is in charge of: look returns what is here
// with its record, nil where there is none. What several nodes keep is settled first, and
// they are asked afterwards whether it still is this node's to answer. Drop gives back
// what look returned and is not used. An *ownFailure: what is here cannot be shown, and
// perhaps another node has it (around.go).
func shown[T any](g *Gateway, op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, look func() (T, *objects.Meta, error), drop func(T)) (T, *objects.Meta, error) {
	var none T
	for range maxLooks {
		value, record, err := look()
		if err != nil && !errs.Is(errs.NotFound, err) {
			return none, nil, &ownFailure{err}
		}
		if err == nil && record.Unsettled && !g.settled.has(key, record.Generation) {
			drop(value)
			if err := g.settleNow(op, bucket, key, c); err != nil {
				return none, nil, &ownFailure{err}
			}
			continue
		}
		absent := err != nil || record.Deleted
		if bucket.Props.Consistency() == objects.ReadsConfirmed {
			if confirmErr := g.confirm(op, bucket, key, c); confirmErr != nil {
				if err == nil {
					drop(value)
				}
				return none, nil, confirmErr
			}
		}
		if !absent {
			return value, record, nil
		}
		if err == nil {
			drop(value)
		}
		return none, nil, errs.E(op, key, errs.NotFound, objects.ErrNoSuchKey)
	}
	return none, nil, errs.E(op, key, errs.Busy, errors.New("it is written again and again while it is read"))
}

// settleNow settles what is there of a key, in its turn.
func (g *Gateway) settleNow(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge) error {
	release, err := g.turns.take(op, key, g.System.Clock(), Deadline)
	if err != nil {
		return err
	}
	defer release()
	_, err = g.settledRecord(op, bucket, key, c)
	return err
}

// isPlural reports whether a view of a key has several nodes keep it.
func isPlural(v *smap.View) bool { return len(v.Owners)+len(v.Next) > 1 }
