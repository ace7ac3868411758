package api

import "time"

// ActorsPath is where the actors of a node are: GET lists them (?pattern= or
// ?prefix=), GET ActorsPath/ADDRESS shows one, POST ActorsPath/ADDRESS does what an
// ActorAction says. Every request is signed with the root pair.
const ActorsPath = "/v1/actors"

// Actors answers a list: the actors that were asked for, in the order of the tree.
type Actors struct {
	Actors []Actor `json:"actors"`
}

// Actor is what is seen of one actor from outside, without asking it.
type Actor struct {
	Address  string   `json:"address"`
	Kind     string   `json:"kind,omitempty"`   // "write lane", "bucket"
	Parent   string   `json:"parent,omitempty"` // address; absent at the root
	Children []string `json:"children,omitempty"`

	// Status is running, suspended, restarting or stopping.
	Status string `json:"status"`
	// Queued is the messages that wait, and OldestMillis how long the first of them
	// has waited.
	Queued       int64 `json:"queued"`
	OldestMillis int64 `json:"oldest_ms"`
	// Current is the message in hand, since CurrentMillis; absent: there is none.
	Current       string `json:"current,omitempty"`
	Subject       string `json:"subject,omitempty"` // what it is about: photos/cat.jpg
	CurrentMillis int64  `json:"current_ms"`

	PerSecond float64 `json:"per_second"` // messages handled, over the last ten seconds
	Handled   int64   `json:"handled"`    // since the actor was first there
	Restarts  int64   `json:"restarts"`

	LastCause  string     `json:"last_cause,omitempty"` // of a failure or restart
	LastFailed *time.Time `json:"last_failed,omitempty"`

	// Panics are what the actor and those below it have panicked on, the latest first;
	// only of one that is shown, not in a list.
	Panics []ActorPanic `json:"panics,omitempty"`

	// Abandoned is how many predecessors were killed in a call that has not returned.
	Abandoned int `json:"abandoned,omitempty"`
}

// ActorPanic is a message that actors have panicked on, about one thing.
type ActorPanic struct {
	Address string    `json:"address"`           // of the actor that did so last
	Message string    `json:"message"`           // PutObject
	Subject string    `json:"subject,omitempty"` // what it is about: photos/cat.jpg
	Cause   string    `json:"cause"`
	Count   int64     `json:"count"`
	Last    time.Time `json:"last"`
	Stack   string    `json:"stack,omitempty"`   // of the last one, at most 8 KiB
	Version string    `json:"version,omitempty"` // of the binary
}

// What can be done to an actor.
const (
	ActorSuspend = "suspend"
	ActorResume  = "resume"
	ActorRestart = "restart"
	ActorKill    = "kill"

	// With all actors below.
	ActorSuspendBelow = "suspend-below"
	ActorResumeBelow  = "resume-below"
)

// ActorAction is the body of a POST: one of the constants above.
type ActorAction struct {
	Action string `json:"action"`
}

// ActorChanged answers an ActorAction: 200 when it is done, 202 with Pending when it
// is under way and it is not known how it ends.
type ActorChanged struct {
	Actor   Actor  `json:"actor"` // as it is afterwards
	Pending string `json:"pending,omitempty"`
}
