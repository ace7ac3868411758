package xaction

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"sort"
	"strings"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Scope says how many jobs of a kind may be there at a time, ended ones aside.
type Scope uint8

const (
	// Many: any number.
	Many Scope = iota
	// OncePerBucket: one for each bucket that Check names.
	OncePerBucket
	// OncePerNode: one.
	OncePerNode
)

// Kind is a sort of job. Its functions are called concurrently, Run once per job
// that is under way.
type Kind struct {
	Name    string // lower-case letters, digits and dashes, at most 32; begins with a letter
	Summary string // what it does, one sentence
	Prefix  string // what ids begin with, for example "dnl-"; may be empty
	Scope   Scope
	// Pausable: Run asks for turns often enough that a pause means something.
	Pausable bool
	// Resumable: Run goes on from its checkpoint, or does no harm from the beginning.
	// A job of another kind that a restart interrupts is failed.
	Resumable bool
	// Priority orders jobs that wait for room; the greater goes first.
	Priority int
	// Check validates parameters and tells what the job will work on. It must not
	// block; it is given an empty object for none. Nil: the kind takes none.
	Check func(parameters json.RawMessage) (Target, error)
	// Run does the work, on a goroutine of its own: it may block. It returns nil when
	// the job is done, and ErrStop (wrapped or not) when a turn was refused with it.
	Run func(*Run) error
}

// Target is what a job works on.
type Target struct {
	Bucket string // name; empty: none in particular
}

// Decode reads parameters into a struct and refuses fields that it does not have:
// for Kind.Check, where a misspelled parameter must not pass in silence.
func Decode(parameters json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(parameters))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("parameters: more than one JSON value")
	}
	return nil
}

// maxParameters bounds the parameters of a job, in bytes.
const maxParameters = 64 << 10

// judge is Check; a panic of it is an error, and costs no other job anything.
func (k *Kind) judge(parameters json.RawMessage) (target Target, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicked{reason: fmt.Sprint(reason), stack: debug.Stack()}
		}
	}()
	return k.Check(parameters)
}

// check validates parameters and returns them as they are kept.
func (k *Kind) check(parameters json.RawMessage) (json.RawMessage, Target, error) {
	const op errs.Op = "xaction.Check"
	if len(parameters) > maxParameters {
		return nil, Target{}, errs.E(op, k.Name, errs.Invalid, fmt.Errorf("%d bytes of parameters, at most %d", len(parameters), maxParameters))
	}
	if len(bytes.TrimSpace(parameters)) == 0 || string(bytes.TrimSpace(parameters)) == "null" {
		parameters = json.RawMessage("{}")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, parameters); err != nil {
		return nil, Target{}, errs.E(op, k.Name, errs.Invalid, fmt.Errorf("parameters are not JSON: %w", err))
	}
	kept := json.RawMessage(compact.Bytes())
	if k.Check == nil {
		if err := Decode(kept, &struct{}{}); err != nil {
			return nil, Target{}, errs.E(op, k.Name, errs.Invalid, fmt.Errorf("the kind takes no parameters: %w", err))
		}
		return kept, Target{}, nil
	}
	target, err := k.judge(kept)
	var p *panicked
	switch {
	case errors.As(err, &p):
		return nil, Target{}, errs.E(op, k.Name, errs.Busy, err)
	case err != nil:
		return nil, Target{}, errs.E(op, k.Name, errs.Invalid, err)
	}
	if k.Scope == OncePerBucket && target.Bucket == "" {
		return nil, Target{}, errs.E(op, k.Name, errs.Invalid, errors.New("a bucket is needed"))
	}
	return kept, target, nil
}

// kinds are the kinds that a node can run, by name.
type kinds map[string]*Kind

// newKinds reports every kind that cannot be.
func newKinds(list []Kind) (kinds, error) {
	name := regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	prefix := regexp.MustCompile(`^[a-z0-9-]{0,16}$`)
	known := make(kinds, len(list))
	var faults []error
	for _, k := range list {
		switch {
		case !name.MatchString(k.Name):
			faults = append(faults, fmt.Errorf("kind of job %q: its name is not lower-case letters, digits and dashes, at most 32", k.Name))
		case known[k.Name] != nil:
			faults = append(faults, fmt.Errorf("kind of job %q: there are two of that name", k.Name))
		case !prefix.MatchString(k.Prefix):
			faults = append(faults, fmt.Errorf("kind of job %q: the prefix %q of its ids is not lower-case letters, digits and dashes, at most 16", k.Name, k.Prefix))
		case k.Run == nil:
			faults = append(faults, fmt.Errorf("kind of job %q: it does nothing", k.Name))
		}
		known[k.Name] = &k
	}
	return known, errors.Join(faults...)
}

// String returns the names, for people.
func (k kinds) String() string {
	names := make([]string, 0, len(k))
	for name := range k {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// list returns what can be seen of the kinds, ordered by name.
func (k kinds) list() []messages.JobKind {
	list := make([]messages.JobKind, 0, len(k))
	for _, kind := range k {
		list = append(list, messages.JobKind{Name: kind.Name, Summary: kind.Summary, Pausable: kind.Pausable, Resumable: kind.Resumable})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}
