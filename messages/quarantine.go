package messages

import (
	"fmt"
	"time"
)

// Quarantine is a handling that is refused since it panicked again and again, with the
// evidence. Immutable.
type Quarantine struct {
	ID       string // names it on its node; another quarantine of the same handling has another
	Handling Handling
	Since    time.Time
	Panics   int // so often it panicked, within the time that is counted

	// Of the last panic.

	Address string // of the actor
	Message string // its type, for example OpenObject
	Cause   string // at most 300 bytes
	Stack   string // at most 8 KiB
	Version string // of the binary; empty: it does not say
}

// QuarantineState is a quarantine as it is now.
type QuarantineState struct {
	Quarantine
	Refused     int64     // requests, since the node's start
	LastRefused time.Time // zero: none
	// Kept: it is on the node's disks, and there after a crash.
	Kept bool
}

// Quarantined is the cause of a failure of kind Offline: what was asked for is in
// quarantine. Nothing was changed.
type Quarantined struct {
	ID      string
	Subject string // what was asked for: "key photos/cat.jpg (read)"
	Since   time.Time
	Panics  int
	Cause   string // of the last panic
	Node    string // whose it is; empty: the node that answers, which is alone
}

// Refusal is what requests are answered with by a node; its name may be empty.
func (q *Quarantine) Refusal(node string) *Quarantined {
	return &Quarantined{ID: q.ID, Subject: q.Handling.String(), Since: q.Since, Panics: q.Panics, Cause: q.Cause, Node: node}
}

// Error implements error.
func (e *Quarantined) Error() string { return e.Public() }

// Public says it to clients: what is refused, since when and why, and what can be done.
func (e *Quarantined) Public() string {
	where := ""
	if e.Node != "" {
		where = " at node " + e.Node
	}
	return fmt.Sprintf("%s is quarantined%s since %s: its handling panicked %d times, the last time with: %s. "+
		"`troupe quarantine show %s` shows the evidence, and `troupe quarantine release %s` has it tried again.",
		e.Subject, where, e.Since.UTC().Format(time.RFC3339), e.Panics, e.Cause, e.ID, e.ID)
}

// QuarantineRetry is what a client is told to wait that asks for what is quarantined:
// that ends when an operator has looked at it, and not by itself.
const QuarantineRetry = 5 * time.Minute

// ReleaseQuarantine ends a quarantine: what was refused is tried again. Sent by an edge
// to the keeper of quarantines. Answered by what was released once no disk has it any
// more; NotFound if there is none of that id.
type ReleaseQuarantine struct {
	ID    string
	Reply Reply[Quarantine]
}

// Fail implements Failer.
func (m *ReleaseQuarantine) Fail(err error) { m.Reply.Fail(err) }
