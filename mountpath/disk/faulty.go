package disk

import (
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// Faulty is an FS that passes everything to another one and breaks it on
// purpose: Add says what, at run time. Safe for concurrent use.
//
// Each operation is counted, shown to the observers, and then to the faults in
// the order in which they were added; all that hit it have their effect.
type Faulty struct {
	inner      FS
	operations atomic.Uint64
	mu         sync.Mutex // one change of plan at a time
	plan       atomic.Pointer[plan]
}

// plan is who is told of operations; nil: nobody. It is replaced, never changed.
type plan struct {
	faults    []*Fault
	observers []*func(Operation)
}

// dropper is a file, or an FS with all its files, that can lose what was not
// synced: Mem's.
type dropper interface{ dropUnsynced() }

// NewFaulty returns an FS that does what inner does until a fault is added.
func NewFaulty(inner FS) *Faulty { return &Faulty{inner: inner} }

// Add lets a fault begin, until it is removed. It fails with ErrRule.
func (f *Faulty) Add(rule Rule) (*Fault, error) {
	if err := rule.validate(); err != nil {
		return nil, err
	}
	return f.add(rule), nil
}

func (f *Faulty) add(rule Rule) *Fault {
	fault := &Fault{faulty: f, rule: rule}
	f.change(func(p *plan) { p.faults = append(slices.Clip(p.faults), fault) })
	return fault
}

// change replaces the plan by a copy that was changed.
func (f *Faulty) change(how func(*plan)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var next plan
	if old := f.plan.Load(); old != nil {
		next = *old
	}
	how(&next)
	if len(next.faults) == 0 && len(next.observers) == 0 {
		f.plan.Store(nil)
		return
	}
	f.plan.Store(&next)
}

// FailAt makes the operation of that number fail with the error, and no other.
// Numbers count from 1 since NewFaulty; see Operations.
func (f *Faulty) FailAt(number uint64, err error) *Fault {
	return f.add(Rule{
		Match: func(operation Operation) bool { return operation.Number == number },
		Times: 1,
		Err:   err,
	})
}

// Clear removes all faults.
func (f *Faulty) Clear() {
	f.change(func(p *plan) { p.faults = nil })
}

// Observe has the function called with each operation before it takes effect, in
// the goroutine that does it and with no lock held, until stop is called.
func (f *Faulty) Observe(observer func(Operation)) (stop func()) {
	f.change(func(p *plan) { p.observers = append(slices.Clip(p.observers), &observer) })
	return func() {
		f.change(func(p *plan) {
			p.observers = slices.DeleteFunc(slices.Clone(p.observers), func(other *func(Operation)) bool { return other == &observer })
		})
	}
}

// Operations returns how many operations have begun.
func (f *Faulty) Operations() uint64 { return f.operations.Load() }

// begin returns what is to become of an operation, after waiting if a fault
// says so.
func (f *Faulty) begin(operation Operation) outcome {
	operation.Number = f.operations.Add(1)
	o := outcome{operation: operation}
	p := f.plan.Load()
	if p == nil {
		return o
	}
	for _, observer := range p.observers {
		(*observer)(operation)
	}
	for _, fault := range p.faults {
		if fault.hit(operation) {
			o.add(&fault.rule)
		}
	}
	return o
}

// readsAreFaulty reports whether a fault is about reads of the path, and not yet
// spent.
func (f *Faulty) readsAreFaulty(path string) bool {
	p := f.plan.Load()
	return p != nil && slices.ContainsFunc(p.faults, func(fault *Fault) bool {
		return !fault.spent() && fault.rule.matches(Operation{Call: CallRead, Path: path})
	})
}

// OpenFile implements FS.
func (f *Faulty) OpenFile(path string, flag int, mode os.FileMode) (File, error) {
	call := CallOpen
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		call = CallCreate
	}
	var file File
	o := f.begin(Operation{Call: call, Path: path})
	err := o.do(func() (err error) {
		file, err = f.inner.OpenFile(path, flag, mode)
		return err
	})
	if err != nil {
		return nil, closeAfter(file, err)
	}
	return &faultyFile{fs: f, path: path, inner: file}, nil
}

// OpenDir implements FS.
func (f *Faulty) OpenDir(path string) (Dir, error) {
	var dir Dir
	o := f.begin(Operation{Call: CallOpenDir, Path: path})
	err := o.do(func() (err error) {
		dir, err = f.inner.OpenDir(path)
		return err
	})
	if err != nil {
		return nil, closeAfter(dir, err)
	}
	return &faultyDir{fs: f, path: path, inner: dir}, nil
}

// Lock implements FS.
func (f *Faulty) Lock(path string) (io.Closer, error) {
	var lock io.Closer
	o := f.begin(Operation{Call: CallLock, Path: path})
	err := o.do(func() (err error) {
		lock, err = f.inner.Lock(path)
		return err
	})
	if err != nil {
		return nil, closeAfter(lock, err)
	}
	return &faultyLock{fs: f, path: path, inner: lock}, nil
}

// closeAfter closes what was opened before the operation was made to fail, and
// returns the error.
func closeAfter(opened io.Closer, err error) error {
	if opened != nil {
		if closing := opened.Close(); closing != nil {
			return closing
		}
	}
	return err
}

// Link implements FS.
func (f *Faulty) Link(oldPath, newPath string) error {
	o := f.begin(Operation{Call: CallLink, Path: oldPath, NewPath: newPath})
	return o.do(func() error { return f.inner.Link(oldPath, newPath) })
}

// Rename implements FS.
func (f *Faulty) Rename(oldPath, newPath string) error {
	o := f.begin(Operation{Call: CallRename, Path: oldPath, NewPath: newPath})
	return o.do(func() error { return f.inner.Rename(oldPath, newPath) })
}

// Remove implements FS.
func (f *Faulty) Remove(path string) error {
	o := f.begin(Operation{Call: CallRemove, Path: path})
	return o.do(func() error { return f.inner.Remove(path) })
}

// RemoveDir implements FS.
func (f *Faulty) RemoveDir(path string) error {
	o := f.begin(Operation{Call: CallRemoveDir, Path: path})
	return o.do(func() error { return f.inner.RemoveDir(path) })
}

// Mkdir implements FS.
func (f *Faulty) Mkdir(path string, mode os.FileMode) error {
	o := f.begin(Operation{Call: CallMkdir, Path: path})
	return o.do(func() error { return f.inner.Mkdir(path, mode) })
}

// Stat implements FS.
func (f *Faulty) Stat(path string) (info Info, err error) {
	o := f.begin(Operation{Call: CallStat, Path: path})
	err = o.do(func() (err error) {
		info, err = f.inner.Stat(path)
		return err
	})
	return info, err
}

// ReadDir implements FS.
func (f *Faulty) ReadDir(path string, visit func(Entry) bool) error {
	o := f.begin(Operation{Call: CallReadDir, Path: path})
	return o.do(func() error { return f.inner.ReadDir(path, visit) })
}

// GetAttr implements FS.
func (f *Faulty) GetAttr(path, name string) (value []byte, err error) {
	o := f.begin(Operation{Call: CallGetAttr, Path: path, Attribute: name})
	err = o.do(func() (err error) {
		value, err = f.inner.GetAttr(path, name)
		return err
	})
	return value, err
}

// Space implements FS.
func (f *Faulty) Space() (space Space, err error) {
	o := f.begin(Operation{Call: CallSpace})
	err = o.do(func() (err error) {
		space, err = f.inner.Space()
		return err
	})
	for _, report := range o.space {
		if err == nil {
			report(&space)
		}
	}
	return space, err
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(path string) error {
	o := f.begin(Operation{Call: CallSyncDir, Path: path})
	return o.sync(func() error { return f.inner.SyncDir(path) })
}

// SyncAll implements FS.
func (f *Faulty) SyncAll() error {
	o := f.begin(Operation{Call: CallSyncAll})
	o.drop(f.inner)
	return o.sync(f.inner.SyncAll)
}

// dropUnsynced passes it on, where one Faulty wraps another.
func (f *Faulty) dropUnsynced() {
	if inner, ok := f.inner.(dropper); ok {
		inner.dropUnsynced()
	}
}
