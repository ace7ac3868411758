package messages

import (
	"math/rand/v2"
	"testing"
)

// A key that HRW places on another mountpath of the new set has a former one; all
// others have none, whatever the transition is.
func TestRosterInTransition(t *testing.T) {
	views := []MountpathView{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name     string
		from, to []string
	}{
		{"add", []string{"a", "b"}, []string{"a", "b", "c"}},
		{"remove", []string{"a", "b", "c"}, []string{"a", "c"}},
	} {
		transition := &Transition{From: c.from, To: c.to}
		r := NewMovingRoster(views, transition)
		moving := 0
		for range 1000 {
			digest := random.Uint64()
			owner, former := r.Owner(digest), r.Former(digest)
			if transition.Leaving(owner.ID) {
				t.Fatalf("%s: %s owns a key and leaves", c.name, owner.ID)
			}
			if former == nil {
				continue
			}
			moving++
			if transition.Joining(former.ID) || former == owner || !transition.IsSource(former.ID) {
				t.Fatalf("%s: a key leaves %s for %s", c.name, former.ID, owner.ID)
			}
		}
		if moving < 200 || moving > 500 {
			t.Errorf("%s: %d of 1000 keys move, about a third is right", c.name, moving)
		}
	}
	if still := NewRoster(views); still.Former(7) != nil || still.Owner(7) == nil {
		t.Error("without a transition no key leaves, and each has an owner")
	}
}
