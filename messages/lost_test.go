package messages_test

import (
	"fmt"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/placement"
)

// A key is unknown exactly if it was on the mountpath that was lost: whatever mountpaths
// the node has by now; and on neither of two sets between which keys moved.
func TestIsUnknown(t *testing.T) {
	view := func(ids ...string) (views []messages.MountpathView) {
		for _, id := range ids {
			views = append(views, messages.MountpathView{ID: id})
		}
		return views
	}
	before := messages.NewRoster(view("d0", "d1", "d2"))
	after := messages.NewRoster(view("d0", "d2", "d3"))
	after.Lost = []messages.LostMountpath{messages.NewLostMountpath("d1", [][]string{{"d0", "d1", "d2"}})}
	moving := messages.NewRoster(view("d0", "d2"))
	moving.Lost = []messages.LostMountpath{messages.NewLostMountpath("d1", [][]string{{"d0", "d1", "d2"}, {"d0", "d1"}})}
	former := messages.NewRoster(view("d0", "d1"))
	counts := make(map[string]int)
	for i := range uint64(2000) {
		digest := placement.Mix(i)
		was := before.Owner(digest).ID == "d1"
		counts[fmt.Sprint(was)]++
		if got := after.IsUnknown(digest); got != was {
			t.Fatalf("%016x was on %s, and is unknown: %v", digest, before.Owner(digest).ID, got)
		}
		if got, want := moving.IsUnknown(digest), was || former.Owner(digest).ID == "d1"; got != want {
			t.Fatalf("%016x: unknown: %v, want %v", digest, got, want)
		}
		if before.IsUnknown(digest) {
			t.Fatalf("%016x is unknown, and nothing was lost", digest)
		}
	}
	if counts["true"] < 500 || counts["false"] < 1000 {
		t.Fatalf("%v: the test says nothing", counts)
	}
}
