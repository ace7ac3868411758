package disk

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Rule says which operations of a Faulty go wrong, and how. The zero value hits
// every operation and does nothing to it.
type Rule struct {
	// Calls are the kinds of operation; none: every kind.
	Calls []Call
	// Path is a pattern as path.Match has it, over the whole path; with "/**" at
	// its end, the directory before and everything below it. Of operations with
	// two paths, either may match. Empty: every path.
	Path string
	// Match says more; nil: every operation. It may be called concurrently, must
	// not use the Faulty, and is also asked about a CallRead with number 0: may
	// the kernel send the file?
	Match func(Operation) bool
	// After is how many operations that match pass unharmed first.
	After uint64
	// Times is how many are hit after these; 0: all.
	Times uint64

	// Wait is called first, in the goroutine of the operation, and delays it for
	// as long as it likes: see Gate. nil: no delay.
	Wait func(Operation)
	// Panic, if not nil, is what the operation then panics with.
	Panic any
	// Err is what the operation fails with, commonly a syscall.Errno; the caller
	// gets it in an *os.PathError or *os.LinkError. nil: it does not fail. A sync
	// of a file (or of all) that fails loses the bytes it was to make durable, as
	// in the kernel: on Mem no later sync brings them back. A close that fails has
	// closed.
	Err error
	// Bytes is how many of its bytes a write that fails, or is torn, has written.
	Bytes int
	// Afterwards lets the operation happen, and then fail: the caller cannot know.
	Afterwards bool
	// Lose makes a sync (of a file, a directory or all) report success and do
	// nothing: the control that shows that a crash test can fail.
	Lose bool
	// Tear makes a write report success when it has written no more than Bytes.
	Tear bool
	// Corrupt, if not nil, changes the bytes that a read returns.
	Corrupt func(p []byte, offset int64)
	// Space, if not nil, changes what the filesystem says of its room.
	Space func(*Space)
}

// ErrRule says that a Rule cannot be used.
var ErrRule = errors.New("the rule cannot be used")

// validate returns ErrRule for a pattern that path.Match refuses, a kind that
// there is none of, or a negative number of bytes.
func (r *Rule) validate() error {
	if err := CheckPattern(r.Path); err != nil {
		return err
	}
	for _, call := range r.Calls {
		if call == 0 || call >= callCount {
			return fmt.Errorf("%w: there is no call %d", ErrRule, call)
		}
	}
	if r.Bytes < 0 {
		return fmt.Errorf("%w: %d bytes", ErrRule, r.Bytes)
	}
	return nil
}

// matches reports whether the rule is about the operation.
func (r *Rule) matches(operation Operation) bool {
	return (len(r.Calls) == 0 || slices.Contains(r.Calls, operation.Call)) &&
		(r.Path == "" || r.matchesPath(operation.Path) || operation.NewPath != "" && r.matchesPath(operation.NewPath)) &&
		(r.Match == nil || r.Match(operation))
}

func (r *Rule) matchesPath(name string) bool { return MatchPath(r.Path, name) }

// MatchPath reports whether a name matches a pattern as path.Match has it; with
// "/**" at its end, the directory before and everything below it. A pattern that
// CheckPattern refuses matches nothing.
func MatchPath(pattern, name string) bool {
	if above, tree := strings.CutSuffix(pattern, "/**"); tree {
		for {
			if ok, err := path.Match(above, name); ok && err == nil {
				return true
			}
			slash := strings.LastIndexByte(name, '/')
			if slash < 0 {
				return false
			}
			name = name[:slash]
		}
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// CheckPattern returns why a pattern cannot be one of MatchPath.
func CheckPattern(pattern string) error {
	if _, err := path.Match(strings.TrimSuffix(pattern, "/**"), ""); err != nil {
		return fmt.Errorf("%w: path %q: %w", ErrRule, pattern, err)
	}
	return nil
}

// Fault is a Rule at work in a Faulty. Safe for concurrent use.
type Fault struct {
	faulty  *Faulty
	rule    Rule
	matched atomic.Uint64
	hits    atomic.Uint64
}

// Remove ends the fault. Operations that wait in it go on waiting, and then
// suffer the rest of it.
func (f *Fault) Remove() {
	f.faulty.change(func(p *plan) {
		p.faults = slices.DeleteFunc(slices.Clone(p.faults), func(other *Fault) bool { return other == f })
	})
}

// Hits returns how many operations the fault has hit: a test that counts on it
// checks that there were any.
func (f *Fault) Hits() uint64 { return f.hits.Load() }

// hit reports whether the operation is hit, and counts it.
func (f *Fault) hit(operation Operation) bool {
	if !f.rule.matches(operation) {
		return false
	}
	matched := f.matched.Add(1)
	if matched <= f.rule.After || f.rule.Times > 0 && matched > f.rule.After+f.rule.Times {
		return false
	}
	f.hits.Add(1)
	return true
}

// spent reports whether the fault will hit nothing any more.
func (f *Fault) spent() bool {
	return f.rule.Times > 0 && f.matched.Load() >= f.rule.After+f.rule.Times
}

// outcome is what the faults that hit an operation make of it together.
type outcome struct {
	operation  Operation
	err        error
	bytes      int
	afterwards bool
	lose       bool
	tear       bool
	keep       int // of a torn write
	corrupt    []func(p []byte, offset int64)
	space      []func(*Space)
}

// add takes a rule into the outcome: its wait and its panic at once. The first
// error counts.
func (o *outcome) add(rule *Rule) {
	if rule.Wait != nil {
		rule.Wait(o.operation)
	}
	if rule.Panic != nil {
		panic(rule.Panic)
	}
	if o.err == nil && rule.Err != nil {
		o.err, o.bytes, o.afterwards = rule.Err, rule.Bytes, rule.Afterwards
	}
	o.lose = o.lose || rule.Lose
	if rule.Corrupt != nil {
		o.corrupt = append(o.corrupt, rule.Corrupt)
	}
	if rule.Tear && !o.tear {
		o.tear, o.keep = true, rule.Bytes
	}
	if rule.Space != nil {
		o.space = append(o.space, rule.Space)
	}
}

// do calls the inner operation or fails in its stead.
func (o *outcome) do(inner func() error) error {
	if o.err == nil {
		return inner()
	}
	if o.afterwards {
		if err := inner(); err != nil {
			return err
		}
	}
	return o.failure()
}

// sync is do for syncs, which may be lost.
func (o *outcome) sync(inner func() error) error {
	if o.lose {
		inner = func() error { return nil }
	}
	return o.do(inner)
}

// drop does what the kernel does when a sync fails, if inner can.
func (o *outcome) drop(inner any) {
	if o.err == nil || o.afterwards {
		return
	}
	if inner, ok := inner.(dropper); ok {
		inner.dropUnsynced()
	}
}

// failure wraps the error as every FS does.
func (o *outcome) failure() error {
	switch o.operation.Call {
	case CallLink, CallRename, CallReceive:
		return &os.LinkError{Op: o.operation.Call.String(), Old: o.operation.Path, New: o.operation.NewPath, Err: o.err}
	}
	return &os.PathError{Op: o.operation.Call.String(), Path: o.operation.Path, Err: o.err}
}

// Gate stops the operations of a Rule until it is opened: a disk that hangs.
// Give Gate.Wait as the Rule's Wait. Safe for concurrent use.
type Gate struct {
	reached chan struct{}
	opened  chan struct{}
	reach   sync.Once
	open    sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate {
	return &Gate{reached: make(chan struct{}), opened: make(chan struct{})}
}

// Wait returns when the gate is open.
func (g *Gate) Wait(Operation) {
	g.reach.Do(func() { close(g.reached) })
	<-g.opened
}

// Reached is closed when the first operation waits.
func (g *Gate) Reached() <-chan struct{} { return g.reached }

// Open lets all operations pass, those that wait and those to come.
func (g *Gate) Open() { g.open.Do(func() { close(g.opened) }) }
