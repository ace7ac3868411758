package supervisors

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/messages"
)

// A node counts as one that does not serve as it is with a mountpath that cannot be used,
// takes no writes, or is failing; not with one that is slow.
func TestWeakness(t *testing.T) {
	ok := messages.MountpathView{Path: "/d0", State: messages.MountpathOK}
	for _, c := range []struct {
		weak messages.MountpathView
		want string
	}{
		{messages.MountpathView{Path: "/d1", State: messages.MountpathOK}, ""},
		{messages.MountpathView{Path: "/d1", State: messages.MountpathSlow, Reason: "it is slow"}, ""},
		{messages.MountpathView{Path: "/d1", State: messages.MountpathDisabled, Offline: "an operator did"}, "an operator did"},
		{messages.MountpathView{Path: "/d1", State: messages.MountpathFull, Reason: "it is full"}, "it is full"},
		{messages.MountpathView{Path: "/d1", State: messages.MountpathReadOnly}, "read-only"},
		{messages.MountpathView{Path: "/d1", State: messages.MountpathOK, ReadOnly: "it cannot be written"}, "it cannot be written"},
		{messages.MountpathView{Path: "/d1", State: messages.MountpathFailing, Reason: "a probe does not return"}, "a probe does not return"},
	} {
		got := weakness(messages.NewRoster([]messages.MountpathView{ok, c.weak}))
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) || strings.Contains(got, "/d0") {
			t.Errorf("%+v: %q, want %q", c.weak, got, c.want)
		}
	}
}
