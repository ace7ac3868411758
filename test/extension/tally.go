package main

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/supervisors"
)

const (
	// tallyTime is how often the tally counts.
	tallyTime = 200 * time.Millisecond
	// tallyBucket is where it shows what it counted, if there is such a bucket: in
	// the object tallyObject.
	tallyBucket = "tally"
	tallyObject = "bytes.json"
	// poison is the name of a bucket that the tally fails on: to see what that costs.
	poison = "poison"
)

// getTally asks the tally for the bytes of every bucket. Anybody sends it to
// node/tally; answered at once with what was counted last.
type getTally struct {
	reply messages.Reply[map[string]int64]
}

// Fail implements messages.Failer: with it, nobody waits for an actor that failed.
func (m *getTally) Fail(err error) { m.reply.Fail(err) }

// tallySpec describes the tally: how it is called, and how it is made, again
// after each failure. The zero policy restarts it after a pause that grows.
func tallySpec(host supervisors.Host) actors.Spec {
	return actors.Spec{Name: "tally", Kind: "tally", New: func() actor.Actor { return &tally{host: host} }}
}

// tally is a coordinator: it answers at once and never blocks. Counting takes as
// long as there are objects, so a child does it.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type tally struct {
	host     supervisors.Host
	counted  map[string]int64
	counting bool
	ticker   clock.Timer
}

// tick says that it is time to count.
type tick struct{}

// counted is what a counter tells at its end.
type counted struct {
	bytes map[string]int64
	err   error
}

// Receive implements actor.Actor.
func (t *tally) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.schedule(ctx.Self())
	case *actor.Restarting, *actor.Stopping:
		t.ticker.Stop()
	case *actor.Terminated:
		t.counting = false

	case *tick:
		t.onTick(ctx)
	case *counted:
		t.onCounted(m)
	case *getTally:
		m.reply.Send(t.counted, nil)

	default:
		actors.Unexpected(ctx, t.host.System.Log())
	}
}

// schedule sends the next tick: time is a message, too.
func (t *tally) schedule(self *actor.PID) {
	root := t.host.System.Root()
	t.ticker = t.host.System.Clock().AfterFunc(tallyTime, func() { root.Send(self, &tick{}) })
}

func (t *tally) onTick(ctx actor.Context) {
	t.schedule(ctx.Self())
	if t.counting {
		return
	}
	_, err := t.host.System.Spawn(ctx, actors.Spec{
		Name: "counter", Kind: "counter", New: func() actor.Actor { return &counter{host: t.host} }, Policy: actors.Policy{NoRestart: true},
	})
	if err != nil {
		t.host.System.Log().WithError(err).Warn("the tally cannot count now; it is tried again")
		return
	}
	t.counting = true
}

func (t *tally) onCounted(m *counted) {
	if m.err != nil {
		t.host.System.Log().WithError(m.err).Warn("the tally could not count")
		return
	}
	if _, found := m.bytes[poison]; found {
		panic("the tally does not like that bucket")
	}
	t.counted = m.bytes
}

// counter is a worker: it lives for one count, and blocks while it lists.
type counter struct{ host supervisors.Host }

// Receive implements actor.Actor.
func (c *counter) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		total, err := c.count(context.Background())
		if err == nil {
			err = c.show(context.Background(), total)
		}
		ctx.Send(ctx.Parent(), &counted{bytes: total, err: err})
		ctx.Stop(ctx.Self())
	default:
		actors.Unexpected(ctx, c.host.System.Log())
	}
}

// count lists every bucket.
func (c *counter) count(ctx context.Context) (map[string]int64, error) {
	total := make(map[string]int64)
	for _, bucket := range c.host.Objects.Buckets() {
		total[bucket.Name] = 0
		err := eachObject(ctx, c.host.Objects, bucket.Bucket, "", func(_ string, meta *objects.Meta) error {
			total[bucket.Name] += meta.Size
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return total, nil
}

// show stores the count as an object, if there is a bucket for it.
func (c *counter) show(ctx context.Context, total map[string]int64) error {
	bucket, err := c.host.Objects.Bucket(tallyBucket)
	if errs.Is(errs.NotFound, err) {
		return nil
	}
	if err != nil {
		return err
	}
	delete(total, tallyBucket) // it would count itself
	content, err := json.Marshal(total)
	if err != nil {
		return err
	}
	_, err = c.host.Objects.Put(ctx, objects.Key{Bucket: bucket.Bucket, Name: tallyObject}, putOf(bytes.NewReader(content), "application/json"))
	return err
}
