package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/api"
)

// actorsNow is when the trees of these tests are drawn.
var actorsNow = time.Date(2026, 3, 1, 12, 30, 45, 0, time.UTC)

// someActors is a tree with a bit of everything.
func someActors() []api.Actor {
	at := func(ago time.Duration) *time.Time {
		t := actorsNow.Add(-ago)
		return &t
	}
	list := []api.Actor{
		{Address: "node", Kind: "node", Status: "running", Children: []string{"node/d0"}},
		{Address: "node/d0", Kind: "mountpath", Parent: "node", Status: "running", Children: []string{"node/d0/w0"}, PerSecond: 8.04},
	}
	for n := range 8 {
		list = append(list, api.Actor{Address: fmt.Sprintf("node/d0/w%d", n), Kind: "write lane", Parent: "node/d0", Status: "running", PerSecond: 100, Handled: 5})
	}
	w := list[2:]
	w[1].Current, w[1].CurrentMillis = "PutObject", 3
	w[3].Status = "suspended"
	w[4].Current, w[4].Subject, w[4].CurrentMillis, w[4].Queued, w[4].OldestMillis = "commitFile", "photos/a\x1b[2Jb", 75_000, 12, 64_000
	w[5].Restarts, w[5].LastCause, w[5].LastFailed = 3, "killed by control", at(12*time.Second)
	w[6].Abandoned = 1
	return list
}

// The tree says what there is to say, in the columns that the width has room for,
// and shares lines among those of whom there is nothing to say.
func TestActorsView(t *testing.T) {
	v := &actorsView{endpoint: "127.0.0.1:8080"}
	for _, c := range []struct {
		width int
		want  string
	}{
		{80, `
127.0.0.1:8080  12:30:45  10 actors, 1 suspended, 1 abandoned: 808 msg/s, 12 qu…
ACTOR              STATE      QUEUED OLDEST MSG/S RST IN HAND OR CAUSE
node               running                      0
  d0               running                    8.0
    w0 … w2 (3)    running                    300     PutObject
    w3             suspended                  100
    w4             running        12  1m04s   100     1m15s commitFile photos/a…
    w5             running                    100   3 12s ago: killed by control
    w6             abandoned                  100
    w7             running                    100
`},
		{140, `
127.0.0.1:8080  12:30:45  10 actors, 1 suspended, 1 abandoned: 808 msg/s, 12 queued, 3 restarts
ACTOR              STATE      QUEUED OLDEST MSG/S RESTARTS IN HAND                          LAST CAUSE
node               running                      0
  d0               running                    8.0
    w0 … w2 (3)    running                    300          PutObject
    w3             suspended                  100
    w4             running        12  1m04s   100          1m15s commitFile photos/a\x1b[2…
    w5             running                    100        3                                  12s ago: killed by control
    w6             abandoned                  100
    w7             running                    100
`},
	} {
		got := "\n" + strings.Join(v.draw(someActors(), actorsNow, screen{width: c.width}), "\n") + "\n"
		if got != c.want {
			t.Errorf("at %d columns:%s\nwant:%s", c.width, got, c.want)
		}
	}
}

// Siblings that are suspended share a line, too, and none with those that are not.
func TestSuspendedActorsShareALine(t *testing.T) {
	list := someActors()
	lanes := list[2:]
	for i := range lanes {
		lanes[i] = api.Actor{Address: lanes[i].Address, Kind: "write lane", Parent: "node/d0", Status: "suspended"}
	}
	lanes[7].Status = "running"
	for _, c := range []struct {
		height int
		want   []string
	}{{0, []string{"w0 … w6 (7)    suspended", "w7             running"}}, {6, []string{"w0 … w6 (7)    suspended", "w7             running"}}} {
		got := strings.Join((&actorsView{}).draw(list, actorsNow, screen{width: 80, height: c.height}), "\n")
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%d lines: no %q in\n%s", c.height, want, got)
			}
		}
	}
}

// Whatever the size of the screen, no line is wider and there are no more lines; a
// tall tree folds, and then says what it leaves out. Colours take no room.
func TestActorsFitTheScreen(t *testing.T) {
	for _, colours := range []bool{false, true} {
		v := &actorsView{endpoint: "127.0.0.1:8080", colours: colours}
		for width := 40; width < 200; width += 7 {
			for height := 3; height < 16; height++ {
				lines := v.draw(someActors(), actorsNow, screen{width: width, height: height})
				if len(lines) > height {
					t.Fatalf("%d lines on %d", len(lines), height)
				}
				for _, line := range lines {
					for _, c := range []colour{bold, dim, red, yellow, normal} {
						line = strings.ReplaceAll(line, string(c), "")
					}
					if strings.ContainsRune(line, '\x1b') {
						t.Fatalf("a name reaches the terminal as it is: %q", line)
					}
					if n := utf8.RuneCountInString(line); n > max(width, 70) {
						t.Fatalf("%d cells on %d: %q", n, width, line)
					}
				}
			}
		}
	}
	v := &actorsView{}
	folded := strings.Join(v.draw(someActors(), actorsNow, screen{width: 100, height: 9}), "\n")
	if !strings.Contains(folded, "… 2 more lines") { // eight rows, of which six have room
		t.Errorf("on nine lines:\n%s", folded)
	}
	v.all = true
	if lines := v.draw(someActors(), actorsNow, screen{width: 100}); len(lines) != 12 {
		t.Errorf("%d lines for ten actors", len(lines))
	}
}

// A picture overwrites the last one and says when there is no answer.
func TestActorsPicture(t *testing.T) {
	v := &actorsView{endpoint: "127.0.0.1:8080"}
	size := screen{width: 80, height: 24}
	picture := v.picture(someActors(), nil, actorsNow, size)
	if !strings.HasPrefix(picture, home) || !strings.HasSuffix(picture, restBelow) || strings.Count(picture, "\r\n") != 9 {
		t.Errorf("%q", picture)
	}
	picture = v.picture(someActors(), errors.New("connection refused"), actorsNow, size)
	if !strings.Contains(picture, "no answer: connection refused") || !strings.Contains(picture, "w4") {
		t.Errorf("%q", picture)
	}
}

// What stands in columns of numbers is short, and zeros are no noise.
func TestActorNumbers(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 0.04: "0.0", 7.26: "7.3", 9.96: "10", 1234.4: "1234", 99_999.4: "99999", 123_456: "123k"} {
		if got := rateText(value); got != want {
			t.Errorf("%v per second: %q", value, got)
		}
	}
	for value, want := range map[int64]string{0: "", 7: "7", 99_999: "99999", 100_000: "100k"} {
		if got := numberText(value); got != want {
			t.Errorf("%d: %q", value, got)
		}
	}
}
