package loader

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Observed is what a run may look at besides the answers, and who looks at it. Every
// field may be nil.
type Observed struct {
	Server *Process // whose CPU and memory, with its descendants', are the server's
	Debt   *Debt    // waited for after a load that writes
	// Watch is called when the run begins, with what tells how it stands: until Run
	// returns, and for several at a time.
	Watch func(now func() Standing)
}

// run is one load being driven. Its counters are shared by the workers.
type run struct {
	load     Load
	target   *target
	payloads *payloads
	signer   *sigv4.Signer
	began    time.Time
	ramp     ramp
	timeline *timeline
	end      time.Time     // zero: no limit of time
	stop     chan struct{} // closed when nothing more is to begin

	stopOnce sync.Once
	stopped  atomic.Bool
	turns    atomic.Uint64 // operations that were given out
	bytes    atomic.Int64  // bytes that were promised, for Load.Bytes
	failures atomic.Uint64
	synced   atomic.Bool // a receipt said so
	relaxed  atomic.Bool
	paying   atomic.Bool // the server's debt is waited for
}

// Run drives a load and returns what came of it, with the server's figures where
// it may look at them. Operations that failed are in the result, not in the error;
// an error means that there is no result.
//
// When ctx is canceled nothing more begins, what is under way is waited for, and
// the result, marked as interrupted, has the figures so far.
func Run(ctx context.Context, load Load, observed Observed) (*Result, error) {
	const op errs.Op = "loader.Run"
	r, err := newRun(load)
	if err != nil {
		return nil, errs.E(op, err)
	}
	workers := make([]*worker, r.load.Connections)
	for i := range workers {
		workers[i] = newWorker(r, i)
		if err := workers[i].connect.connect(ctx); err != nil {
			for _, w := range workers[:i] {
				w.connect.drop()
			}
			return nil, errs.E(op, load.Endpoint, errs.Offline, err)
		}
	}
	return r.drive(ctx, workers, observed)
}

// newRun prepares a run: everything but connections and workers.
func newRun(load Load) (*run, error) {
	if err := load.Validate(); err != nil {
		return nil, err
	}
	load = load.withDefaults()
	target, err := load.target()
	if err != nil {
		return nil, errs.E("", errs.Invalid, err)
	}
	return &run{
		load:     load,
		target:   target,
		payloads: newPayloads(load.Keys.Seed),
		signer:   sigv4.NewSigner(sigv4.Credentials{AccessKey: load.AccessKey, SecretKey: load.SecretKey}, load.Region),
		stop:     make(chan struct{}),
		ramp:     load.ramp(),
		timeline: newTimeline(),
	}, nil
}

// drive starts the workers, waits for them, and takes the measures around them.
func (r *run) drive(ctx context.Context, workers []*worker, observed Observed) (*Result, error) {
	const op errs.Op = "loader.Run"
	defer context.AfterFunc(ctx, r.halt)()
	self, err := OpenProcess(ownPID())
	if err != nil {
		return nil, errs.E(op, err)
	}
	before, err := observed.measure(self)
	if err != nil {
		return nil, errs.E(op, err)
	}
	cipher := workers[0].connect.cipher()
	r.began = time.Now()
	if r.load.Duration > 0 {
		r.end = r.began.Add(r.load.Duration)
	}
	if observed.Watch != nil {
		observed.Watch(r.standing)
	}
	var working sync.WaitGroup
	for _, w := range workers {
		working.Go(func() { w.work(ctx) })
	}
	working.Wait()
	elapsed := time.Since(r.began)

	clientCPU, err := self.CPU()
	if err != nil {
		return nil, errs.E(op, err)
	}
	result := r.gather(workers, elapsed)
	result.TLS = cipher
	result.Interrupted = ctx.Err() != nil
	result.ClientCPU = clientCPU - before.client
	if r.load.Mix.changes() && observed.Debt != nil && ctx.Err() == nil {
		r.paying.Store(true)
		result.Debt, result.Drain = observed.Debt.Wait(ctx)
	}
	if observed.Server != nil {
		after, err := observed.measure(self)
		if err != nil {
			result.GaveUp = fmt.Sprintf("the server's process cannot be measured any more: %v", err)
			return result, nil
		}
		if after.server < before.server {
			result.GaveUp = "processes left the server's tree and took their CPU time with them: name the one that serves (--pid)"
			return result, nil
		}
		result.ServerCPU = after.server - before.server
		result.Resident, result.Peak = after.resident, after.peak
		result.ServerKnown = true
	}
	return result, nil
}

// halt lets nothing more begin. May be called more than once.
func (r *run) halt() {
	r.stopOnce.Do(func() {
		r.stopped.Store(true)
		close(r.stop)
	})
}

// next gives out the next turn, waiting until it is due if the load has a rate;
// due is zero without one. It returns false when nothing more is to begin.
func (r *run) next(w *worker) (turn uint64, due time.Time, ok bool) {
	if r.stopped.Load() || !r.end.IsZero() && !time.Now().Before(r.end) {
		return 0, time.Time{}, false
	}
	if r.load.Bytes > 0 && r.bytes.Load() >= r.load.Bytes {
		return 0, time.Time{}, false
	}
	turn = r.turns.Add(1) - 1
	single, alone := r.load.Mix.Single()
	switch {
	case r.load.Ops > 0 && turn >= r.load.Ops:
		return 0, time.Time{}, false
	case alone && single == Delete && r.load.Keys.Order == Sequential && turn >= r.load.Keys.Count:
		return 0, time.Time{}, false // every key was deleted
	}
	if r.load.Bytes > 0 && (r.load.Mix.stores() || r.load.Mix.reads()) {
		// What the turn will move is not known before its operation is drawn; the
		// size of the sequential key stands for it, so the promise is exact for
		// one fixed size and right on average otherwise.
		size := r.load.Sizes.of(r.load.Keys.digest(r.load.Keys.First + turn))
		if single, alone := r.load.Mix.Single(); alone && single == Range {
			size = min(size, r.load.RangeBytes)
		}
		if r.bytes.Add(size)-size >= r.load.Bytes {
			return 0, time.Time{}, false
		}
	}
	if r.load.Rate == 0 {
		return turn, time.Time{}, true
	}
	due = r.began.Add(r.ramp.due(turn))
	if !r.end.IsZero() && !due.Before(r.end) {
		return 0, time.Time{}, false
	}
	return turn, due, w.waitUntil(due, r.stop)
}

// waitUntil returns true when it is due, or false when the run stopped before.
func (w *worker) waitUntil(due time.Time, stop <-chan struct{}) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return true
	}
	if w.pause == nil {
		w.pause = time.NewTimer(wait)
	} else {
		w.pause.Reset(wait)
	}
	select {
	case <-w.pause.C:
		return true
	case <-stop:
		w.pause.Stop()
		return false
	}
}

// failed counts a failed operation; too many end the run.
func (r *run) failed() {
	if r.failures.Add(1) >= r.load.MaxFailures {
		r.halt()
	}
}

// sawClass notes what a receipt said.
func (r *run) sawClass(class string) {
	seen := &r.synced
	if class == "relaxed" {
		seen = &r.relaxed
	}
	if !seen.Load() {
		seen.Store(true)
	}
}

// class says what all receipts said: a class, "mixed", or nothing.
func (r *run) class() string {
	switch synced, relaxed := r.synced.Load(), r.relaxed.Load(); {
	case synced && relaxed:
		return "mixed"
	case synced:
		return "synced"
	case relaxed:
		return "relaxed"
	}
	return ""
}

// measures are the counters of the two processes at one moment.
type measures struct {
	client, server time.Duration
	resident, peak int64
}

// measure reads the counters.
func (o Observed) measure(self *Process) (measures, error) {
	var m measures
	var err error
	if o.Server != nil {
		if m.server, err = o.Server.TreeCPU(); err != nil {
			return m, err
		}
		if m.resident, m.peak, err = o.Server.TreeMemory(); err != nil {
			return m, err
		}
	}
	m.client, err = self.CPU() // last: looking at the server costs something too
	return m, err
}
