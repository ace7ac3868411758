package member_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A node ends in less than the time that one call to the provider may take, whatever it is
// doing just then, and however the provider answers. What it does meanwhile goes on for as
// long as it is let: a node that tells others of itself, one that changes a bucket, and one
// that leads, or wants to.
func TestStopBesideSlowProvider(t *testing.T) {
	for name, slow := range map[string]func(f *embedded.MemoryFaults){
		"slow":   func(f *embedded.MemoryFaults) { f.Delay(3 * time.Second) },
		"silent": func(f *embedded.MemoryFaults) { f.Hang(true) },
	} {
		// From the moment of the fault on: the calls under way are others each time.
		for after := time.Duration(0); after < 16*time.Second; after += 700 * time.Millisecond {
			t.Run(fmt.Sprint(name, " for ", after), func(t *testing.T) {
				run(t, func(w *world) {
					w.found("a", "b", "c")
					w.memory.Wipe() // each of them tells of itself again
					for _, id := range w.order {
						slow(w.nodes[id].provider.Faults())
					}
					w.let(after)
					for _, id := range w.order {
						n := w.nodes[id]
						changed := make(chan error, 1)
						go func() { changed <- n.buckets.PutBucket(bucketDoc("photos-"+string(id), 1, 1)) }()
						synctest.Wait()
						if took := n.stop(); took > 4*time.Second {
							t.Errorf("%s took %s", id, took)
						}
						synctest.Wait()
						select {
						case err := <-changed:
							var away *messages.AgreementAway
							if !errs.Is(errs.Offline, err) && !errs.Is(errs.Busy, err) || errs.Is(errs.Offline, err) && !errors.As(err, &away) {
								t.Errorf("%s: the change of a bucket: %v", id, err)
							}
						default:
							t.Errorf("%s: the change of a bucket goes on", id)
						}
					}
				})
			})
		}
	}
}

// An actor that is made anew looks at what it knows as often as before.
func TestTicksAfterRestarts(t *testing.T) {
	run(t, func(w *world) {
		w.found("a")
		n := w.nodes["a"]
		perMinute := func() int64 {
			w.let(10 * time.Second) // what follows from a start is over
			before := n.looks.Load()
			w.let(time.Minute)
			return n.looks.Load() - before
		}
		before := perMinute()
		for range 5 {
			_, err := n.system.Control(member.Name, messages.RestartActor)
			must(t, err)
		}
		if after := perMinute(); before < 200 || after > before*11/10 {
			t.Errorf("it looks %d times in a minute, and before it was restarted %d times", after, before)
		}
	})
}
