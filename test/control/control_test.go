package control_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// limit is what any action on any actor may cost what needs it. The machine is
// several times slower with the race detector.
func limit() time.Duration {
	if raceDetector {
		return 4 * time.Second
	}
	return time.Second
}

// kinds are the kinds of actors of a node that last, as patterns of addresses, and
// how many of each are tried.
var kinds = []struct {
	name    string
	pattern string
	trials  int
}{
	{"write lane", "node/mountpaths/d*/w*", 3},
	{"read lane", "node/mountpaths/d*/r*", 3},
	{"keeper", "node/mountpaths/d*/keeper", 1},
	{"prober", "node/mountpaths/d*/prober", 1},
	{"scrubber", "node/mountpaths/d*/scrubber", 1},
	{"mountpath", "node/mountpaths/d?", 2},
	{"mountpaths", "node/mountpaths", 1},
	{"bucket", "node/buckets/????????????????", 1},
	{"buckets", "node/buckets", 1},
	{"jobs", "node/xactions", 1},
	{"recorder", "node/xactions/recorder", 1},
	{"control", "node/control", 1},
	{"keeper of quarantines", "node/quarantine", 1},
	{"native listener", "node/edges/native", 1},
	{"S3 listener", "node/edges/s3", 1},
	{"edges", "node/edges", 1},
	{"node", "node", 1},
}

// Whatever is done to any actor under load costs at most a second of answers that
// may be repeated, on what needed the actor; nothing else notices, nothing is
// lost, and nothing is left behind. Every kind of actor that there is, is tried.
func TestEveryActor(t *testing.T) {
	defer leaves(t, goleak.IgnoreCurrent())
	seed := rand.Uint64()
	dir := t.TempDir()
	w := start(t, dir, nil)
	if err := w.client.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	l := newLoad(w, seed)
	l.some(20)
	if early := l.take(); len(early) > 0 {
		t.Fatalf("before anything was done: %v", early)
	}
	everyKindIsKnown(w)
	random := rand.New(rand.NewPCG(seed, 99))
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			w.T = t
			found, err := w.node.System().List(kind.pattern)
			if err != nil || len(found) == 0 {
				t.Fatalf("no actor is called %s: %v", kind.pattern, err)
			}
			random.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
			for _, target := range found[:min(kind.trials, len(found))] {
				for _, action := range []messages.ActorAction{messages.RestartActor, messages.KillActor} {
					l.try(target.Address, action)
				}
				l.trySuspension(target.Address)
			}
		})
	}
	w.T = t
	t.Run("transfer", func(t *testing.T) { w.T = t; l.tryPassing("node/mountpaths/d*/t*") })
	t.Run("lister", func(t *testing.T) { w.T = t; l.tryPassing("node/buckets/????????????????/l*") })
	w.T = t
	l.some(20)
	if late := l.take(); len(late) > 0 {
		t.Errorf("when nothing was done any more: %v", late)
	}
	l.end()
	w.stop()

	again := start(t, dir, nil)
	l.world = again
	l.verify()
	checkLoadSees(again, l)
	again.stop()
}

// everyKindIsKnown fails if the tree has a kind of actor that is not tried.
func everyKindIsKnown(w *world) {
	w.Helper()
	passing := []string{"node/mountpaths/d*/t*", "node/buckets/*/l*", "node/buckets/*/x*"}
	for _, state := range w.node.System().Actors() {
		known := false
		for _, kind := range kinds {
			known = known || matches(kind.pattern, state.Address)
		}
		for _, pattern := range passing {
			known = known || matches(pattern, state.Address)
		}
		if !known || state.Kind == "" {
			w.Errorf("no trial is of %s, which is a %q", state.Address, state.Kind)
		}
	}
}

// try restarts or kills an actor.
func (l *load) try(address string, action messages.ActorAction) {
	w := l.world
	w.Helper()
	before := l.state(address)
	begun := l.now()
	state, err := w.node.System().Control(address, action)
	if err != nil {
		w.Errorf("%s %s: %v", action, address, err)
		return
	}
	took := l.now() - begun
	if state.Status != messages.ActorRunning || state.Restarts != before.Restarts+1 || !strings.HasSuffix(state.LastCause, "by control") || state.LastFailed.IsZero() {
		w.Errorf("%s %s: %+v", action, address, state)
	}
	if took > limit() {
		w.Errorf("%s %s took %s", action, address, took)
	}
	l.some(6)
	l.report(trial{target: address, begun: begun, until: begun}, fmt.Sprintf("%s %s", action, address))
}

// trySuspension suspends an actor for a while, and resumes it.
func (l *load) trySuspension(address string) {
	w := l.world
	w.Helper()
	system := w.node.System()
	begun := l.now()
	state, err := system.Control(address, messages.SuspendActor)
	if err != nil || state.Status != messages.ActorSuspended {
		w.Errorf("suspend %s: %v, %+v", address, err, state)
	}
	l.awaitTraffic()
	if state := l.state(address); state.Status != messages.ActorSuspended {
		w.Errorf("%s was suspended and is %s", address, state.Status)
	}
	state, err = system.Control(address, messages.ResumeActor)
	resumed := l.now()
	if err != nil || state.Status != messages.ActorRunning {
		w.Errorf("resume %s: %v, %+v", address, err, state)
	}
	l.some(6)
	l.report(trial{target: address, begun: begun, until: resumed}, "suspend "+address)
}

// awaitTraffic waits until the load has met the node a few dozen times more, for
// good or not.
func (l *load) awaitTraffic() {
	l.world.Helper()
	met := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		n := len(l.mishaps)
		for _, done := range l.done {
			n += done
		}
		return n
	}
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	over := time.After(patience)
	for want := met() + 60; met() < want; {
		select {
		case <-look.C:
		case <-over:
			l.world.Fatal("the load does not go on")
		}
	}
}

func (l *load) state(address string) actors.State {
	l.world.Helper()
	state, err := l.world.node.System().Find(address)
	if err != nil {
		l.world.Error(err)
	}
	return state
}

// report judges a trial.
func (l *load) report(t trial, what string) {
	l.world.Helper()
	mishaps := l.take()
	wrong := judge(t, limit(), mishaps)
	for _, text := range wrong[:min(len(wrong), 5)] {
		l.world.Errorf("seed %d: %s: %s", l.seed, what, text)
	}
	if len(mishaps) > 0 {
		l.world.Logf("%s: %d mishaps, the last %s after it began", what, len(mishaps), (mishaps[len(mishaps)-1].at - t.begun).Round(time.Millisecond))
	}
}

// tryPassing kills actors that live for one request, as they come by.
func (l *load) tryPassing(pattern string) {
	w := l.world
	w.Helper()
	const wanted = 5
	over := time.After(patience)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for hits := 0; hits < wanted; {
		found, err := w.node.System().List(pattern)
		if err != nil {
			w.Fatal(err)
		}
		for _, target := range found {
			begun := l.now()
			_, err := w.node.System().Control(target.Address, messages.KillActor)
			if errs.Is(errs.NotFound, err) {
				continue // it was quicker
			}
			if err != nil {
				w.Errorf("kill %s: %v", target.Address, err)
			}
			hits++
			l.some(2)
			l.report(trial{target: target.Address, begun: begun, until: begun}, "kill "+target.Address)
			break
		}
		select {
		case <-look.C:
		case <-over:
			w.Fatalf("%d actors called %s within %s", hits, pattern, patience)
		}
	}
}
