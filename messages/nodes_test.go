package messages

import "testing"

// A node that has not adopted any map yet is at version 0, also to who asks it: a question
// that came so early met a panic.
func TestVersionOfNoMap(t *testing.T) {
	for _, s := range []*NodeSet{nil, {}} {
		if v := s.Version(); v != 0 {
			t.Errorf("%+v is at version %d", s, v)
		}
	}
}
