package auth

import (
	"sync/atomic"
	"time"
)

// RootKeys is the root pair of a running node, which can be changed. For some time
// after a change the pair before it is good too, so that clients can be told one
// after the other. Safe for concurrent use.
type RootKeys struct {
	now   func() time.Time
	state atomic.Pointer[rootState]
}

// rootState is immutable.
type rootState struct {
	current, previous Root
	until             time.Time // previous is good before
	root              *Principal
}

// NewRootKeys returns the keys of a node that starts with a pair, and ends
// overlaps by the wall clock given.
func NewRootKeys(pair Root, now func() time.Time) *RootKeys {
	k := &RootKeys{now: now}
	k.state.Store(&rootState{current: pair, root: &Principal{Root: true}})
	return k
}

// Current returns the pair that is in force.
func (k *RootKeys) Current() Root { return k.state.Load().current }

// Change puts a pair in force from the next request on; the one before it stays
// good for the overlap. It reports whether the pair is another one; with the same
// nothing changes, the end of an overlap under way included.
func (k *RootKeys) Change(pair Root, overlap time.Duration) bool {
	for {
		old := k.state.Load()
		if old.current == pair {
			return false
		}
		if k.state.CompareAndSwap(old, &rootState{current: pair, previous: old.current, until: k.now().Add(overlap), root: old.root}) {
			return true
		}
	}
}

// Secret implements Credentials with the pair in force.
func (k *RootKeys) Secret(accessKey string) (string, bool) {
	return k.state.Load().current.Secret(accessKey)
}

// Principal implements Credentials with the pair in force.
func (k *RootKeys) Principal(accessKey string) (*Principal, string) {
	s := k.state.Load()
	return s.principal(&s.current, accessKey)
}

// Unknown implements Credentials.
func (k *RootKeys) Unknown(string) error { return nil }

// principal is who has an access key, if it is that of a pair.
func (s *rootState) principal(pair *Root, accessKey string) (*Principal, string) {
	if pair.SecretKey == "" || accessKey != pair.AccessKey {
		return nil, ""
	}
	return s.root, pair.SecretKey
}

// Previous returns the credentials of the pair before, as long as it is good.
func (k *RootKeys) Previous() Credentials { return previousKeys{k} }

// previousKeys is the pair before the last change.
type previousKeys struct{ keys *RootKeys }

// Secret implements Credentials.
func (p previousKeys) Secret(accessKey string) (string, bool) {
	s := p.keys.state.Load()
	if s.previous.SecretKey == "" || !p.keys.now().Before(s.until) {
		return "", false
	}
	return s.previous.Secret(accessKey)
}

// Principal implements Credentials.
func (p previousKeys) Principal(accessKey string) (*Principal, string) {
	s := p.keys.state.Load()
	if !p.keys.now().Before(s.until) {
		return nil, ""
	}
	return s.principal(&s.previous, accessKey)
}

// Unknown implements Credentials.
func (p previousKeys) Unknown(string) error { return nil }
