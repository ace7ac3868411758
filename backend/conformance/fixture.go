package conformance

import (
	"testing"

	"github.com/troupe-storage/troupe/backend"
)

// Trouble is what may be wrong between a Store and where its objects live.
type Trouble string

const (
	Denied   Trouble = "denied"    // the credentials do not suffice
	SlowDown Trouble = "slow down" // it asks to be left alone for a while
	Away     Trouble = "away"      // nobody answers
	Cut      Trouble = "cut"       // a body breaks off after half of it
	Stalled  Trouble = "stalled"   // a body stands still after half of it
)

// Fixture is a backend under test.
type Fixture struct {
	// New returns an empty bucket. Called once for each case.
	New func(t *testing.T) Bucket
}

// Bucket is a bucket under test.
type Bucket struct {
	backend.Store
	// Fill puts an object by another way than the store, where that does not write; nil: by
	// the store.
	Fill func(name string, content []byte)
	// Names reports whether there may be an object of a name; nil: any.
	Names func(name string) bool
	// Troubles begin by these functions, and end by what they return. Those that are not
	// there are left out.
	Troubles map[Trouble]func() (end func())
	// Bodies is how many bodies are open; nil: not known.
	Bodies func() int
}
