package messages

import "time"

// ActorState is what can be seen of an actor from outside, without asking it: an
// actor that is stuck in its own handler is seen as well as any other.
type ActorState struct {
	Address  string
	Kind     string   // what it is: "write lane", "bucket"; empty if its spec does not say
	Parent   string   // address; empty at the root
	Children []string // addresses, in order

	Status ActorStatus
	Queued int64         // messages in the mailbox
	Oldest time.Duration // since the oldest of them came; 0: there is none

	Current    string        // type of the message in hand, for example PutObject; empty: none
	Subject    string        // what that message is about, for example photos/cat.jpg; may be empty
	CurrentFor time.Duration // since it was taken in hand

	Rate     float64 // messages handled per second, over the last ten seconds
	Handled  int64   // messages since the actor was first spawned
	Restarts int64

	LastCause  string    // of the last failure or restart; empty: there was none
	LastFailed time.Time // when that was

	// Panics are what the actor and those below it have panicked on, the latest first;
	// of a list of actors, nil.
	Panics []ActorPanic

	// Abandoned is how many predecessors at this address were killed in a call that
	// has not returned yet.
	Abandoned int
}

// ActorPanic is a message that actors have panicked on, about one thing.
type ActorPanic struct {
	Address string    // of the actor that did so last
	Message string    // its type, for example PutObject
	Subject string    // what it is about, for example photos/cat.jpg; may be empty
	Cause   string    // of the last panic
	Count   int64     // since it was first noted
	Last    time.Time // when that was
	Stack   string    // of the last panic; at most 8 KiB
	Version string    // of the binary; empty: it does not say
}

// ActorStatus says whether an actor handles messages.
type ActorStatus string

const (
	// ActorRunning: it handles what comes.
	ActorRunning ActorStatus = "running"
	// ActorSuspended: by control; requests are refused as busy until it is resumed.
	ActorSuspended ActorStatus = "suspended"
	// ActorRestarting: it failed or was told to restart, and waits for that.
	ActorRestarting ActorStatus = "restarting"
	// ActorStopping: it is about to end, and waits for its children or its handler.
	ActorStopping ActorStatus = "stopping"
)

// ActorAction is what control does to an actor.
type ActorAction string

const (
	// SuspendActor closes the gate in front of the actor: requests, also those that
	// wait, are refused as busy, and nothing else is handled until it is resumed. The
	// actors below it go on.
	SuspendActor ActorAction = "suspend"
	// ResumeActor opens the gate again.
	ResumeActor ActorAction = "resume"
	// SuspendBelow suspends the actor and those that are below it then; one that is
	// spawned later by what they have in hand is not.
	SuspendBelow ActorAction = "suspend-below"
	// ResumeBelow resumes the actor and all below it, whoever suspended them.
	ResumeBelow ActorAction = "resume-below"
	// RestartActor makes it anew once it has handled what it has in hand. What waits
	// in its mailbox is handled afterwards.
	RestartActor ActorAction = "restart"
	// KillActor makes it anew at once. What waits in its mailbox is refused as busy,
	// and so is what it has in hand, if that takes longer than a moment.
	KillActor ActorAction = "kill"
)

// Ends reports whether the action ends the actor's incarnation.
func (a ActorAction) Ends() bool { return a == RestartActor || a == KillActor }

// ListActors asks for the actors whose addresses match a pattern, as path.Match
// has it; a pattern that ends in "/**" is everything below. An empty one is all.
// Sent by anyone to node/control. Answered in the order of the tree.
type ListActors struct {
	Pattern string
	Reply   Reply[[]ActorState]
}

// Fail implements Failer.
func (m *ListActors) Fail(err error) { m.Reply.Fail(err) }

// GetActor asks for one actor. Sent by anyone to node/control. Answered by its
// state, or by a failure (NotFound).
type GetActor struct {
	Address string
	Reply   Reply[ActorState]
}

// Fail implements Failer.
func (m *GetActor) Fail(err error) { m.Reply.Fail(err) }

// ControlActor does something to an actor. Sent by anyone to node/control.
// Answered when it is done, with the actor's state afterwards, or by a failure:
// NotFound, Invalid, Conflict if another restart or kill is under way, or Busy if
// it has begun and has not ended in time.
type ControlActor struct {
	Address string
	Action  ActorAction
	Reply   Reply[ActorState]
}

// Fail implements Failer.
func (m *ControlActor) Fail(err error) { m.Reply.Fail(err) }
