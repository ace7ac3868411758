package faults

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The line between what costs requests, or time, and what keeps a node from serving.
func TestTouches(t *testing.T) {
	few, many := When{Count: HarmlessHits}, When{Count: HarmlessHits + 1}
	lanes := "node/mountpaths/d0/w*"
	nothing, serves, linked := Touch{}, Touch{Serves: true}, Touch{Linked: true}
	for _, c := range []struct {
		name  string
		fault Fault
		want  Touch
	}{
		{"a short delay of messages", Fault{Messages: &Messages{Actor: lanes, Do: Delay, Delay: HarmlessWait}}, nothing},
		{"a longer one", Fault{Messages: &Messages{Actor: lanes, Do: Delay, Delay: HarmlessWait, Jitter: 1}}, serves},
		{"a few panics", Fault{Messages: &Messages{Actor: lanes, Do: Panic}, When: few}, nothing},
		{"more panics", Fault{Messages: &Messages{Actor: lanes, Do: Panic}, When: many}, serves},
		{"panics without end", Fault{Messages: &Messages{Actor: lanes, Do: Panic}}, serves},
		{"a message that hangs", Fault{Messages: &Messages{Actor: lanes, Do: Hang}, When: When{Count: 1}}, serves},
		{"a pause", Fault{Messages: &Messages{Actor: lanes, Do: Pause}}, serves},
		{"a few panics at the start", Fault{Messages: &Messages{Actor: lanes, Message: "actor.*", Do: Panic}, When: few}, serves},
		{"a few lost requests", Fault{Messages: &Messages{Actor: lanes, Do: Drop}, When: few}, nothing},
		{"a few lost requests of a kind", Fault{Messages: &Messages{Actor: lanes, Message: "messages.PutObject", Do: Refuse}, When: few}, nothing},
		{"one lost tick", Fault{Messages: &Messages{Actor: "node/mountpaths/d0", Message: "mountpath.tick", Do: Drop}, When: When{Count: 1}}, serves},
		{"one that may be a tick", Fault{Messages: &Messages{Actor: "node/mountpaths/d0", Message: "*", Do: Refuse}, When: When{Count: 1}}, serves},
		{"a few lost answers", Fault{Messages: &Messages{Actor: lanes, Message: "mountpath.*", Do: DropReply}, When: few}, nothing},
		{"jobs' actors", Fault{Messages: &Messages{Actor: "node/xactions/*", Do: Panic}}, nothing},
		{"the coordinator of jobs", Fault{Messages: &Messages{Actor: "node/x*", Do: Panic}}, serves},
		{"a few errors of files", Fault{Disk: &Disk{Path: "photos/**", Do: Fail}, When: few}, nothing},
		{"more", Fault{Disk: &Disk{Path: "photos/**", Do: Fail}, When: many}, serves},
		{"a few errors anywhere", Fault{Disk: &Disk{Do: Fail}, When: few}, serves},
		{"a few of the index", Fault{Disk: &Disk{Path: ".troupe/index/*", Do: Fail}, When: few}, serves},
		{"a few below any directory", Fault{Disk: &Disk{Path: "*/index/*", Do: Fail}, When: few}, serves},
		{"a few of work files", Fault{Disk: &Disk{Path: ".troupe/work/*", Do: Fail}, When: few}, nothing},
		{"a few flipped bits", Fault{Disk: &Disk{Path: "photos/**", Do: FlipBits}, When: few}, nothing},
		{"flipped bits", Fault{Disk: &Disk{Path: "photos/**", Do: FlipBits}}, serves},
		{"one lost sync", Fault{Disk: &Disk{Path: "photos/**", Do: LoseSync}, When: When{Count: 1}}, serves},
		{"one torn write", Fault{Disk: &Disk{Path: "photos/**", Do: TornWrite}, When: When{Count: 1}}, serves},
		{"a full disk", Fault{Disk: &Disk{Path: ".troupe/work/*", Do: Full}}, serves},
		{"a disk that is a little slow", Fault{Disk: &Disk{Do: Slow, Delay: HarmlessWait}}, nothing},
		{"a slow disk", Fault{Disk: &Disk{Do: Slow, Delay: time.Second}}, serves},
		{"a slow link", Fault{Link: &Link{Do: LinkDelay, Delay: HarmlessLinkWait}}, nothing},
		{"a very slow one", Fault{Link: &Link{Do: LinkDelay, Delay: HarmlessLinkWait, Jitter: 1}}, linked},
		{"a few cuts", Fault{Link: &Link{Do: LinkCut}, When: few}, nothing},
		{"a cut", Fault{Link: &Link{Do: LinkCut}}, linked},
		{"one lost question", Fault{Link: &Link{Do: LinkDrop}, When: When{Count: 1}}, linked},
		{"a clock that is off a little", Fault{Clock: &Clock{Skew: -HarmlessWait}}, nothing},
		{"a wrong clock", Fault{Clock: &Clock{Skew: -time.Hour}}, serves},
		{"a jump", Fault{Clock: &Clock{Jump: time.Hour}}, serves},
		{"jobs", Fault{Job: &Job{Job: "*", Do: JobPanic}}, nothing},
	} {
		c.fault.Expiry = time.Minute
		if err := c.fault.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := c.fault.Touches(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A desk tells what its faults touch together, those included that are only intended, and
// no more once they are gone.
func TestTouched(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	cut := Fault{Link: &Link{Do: LinkCut}, Expiry: time.Minute}
	intended := d.Intend(cut)
	i := inject(t, d, Fault{Clock: &Clock{Skew: time.Hour}})
	if got := d.Touched(); got != (Touch{Serves: true, Linked: true}) {
		t.Errorf("%+v", got)
	}
	intended.Release()
	if got := d.Touched(); got != (Touch{Serves: true}) {
		t.Errorf("%+v", got)
	}
	i.Clear()
	if got := d.Touched(); got.Any() {
		t.Errorf("%+v", got)
	}
}

// What touches nothing alone does so with others of its sort, as long as those are at
// work, or have hit within the last minute; what is of another sort does not.
func TestHarmlessFaultsAddUp(t *testing.T) {
	wait := func(of time.Duration) Fault {
		return Fault{Messages: &Messages{Actor: "node/mountpaths/d0/w*", Do: Delay, Delay: of}, Expiry: time.Hour}
	}
	slow := Fault{Disk: &Disk{Do: Slow, Delay: HarmlessWait / 2, Jitter: HarmlessWait/2 + 1}, Expiry: time.Hour}
	hits := func(n uint64) Fault {
		return Fault{Disk: &Disk{Path: "*", Do: Fail}, When: When{Count: n}, Expiry: time.Hour}
	}
	panics := func(n uint64) Fault {
		return Fault{Messages: &Messages{Actor: "a", Do: Panic}, When: When{Count: n}, Expiry: time.Hour}
	}
	link := func(of time.Duration) Fault { return Fault{Link: &Link{Do: LinkDelay, Delay: of}, Expiry: time.Hour} }
	cuts := func(n uint64) Fault { return Fault{Link: &Link{Do: LinkCut}, When: When{Count: n}, Expiry: time.Hour} }
	clock := func(skew time.Duration) Fault { return Fault{Clock: &Clock{Skew: skew}, Expiry: time.Hour} }
	serves, linked := Touch{Serves: true}, Touch{Linked: true}
	for name, c := range map[string]struct {
		there []Fault
		next  Fault
		want  Touch
		free  bool // it does not count
	}{
		"waits":                {[]Fault{wait(HarmlessWait / 2)}, slow, serves, false},
		"short waits":          {[]Fault{wait(HarmlessWait / 2)}, wait(HarmlessWait / 2), Touch{}, true},
		"failures":             {[]Fault{hits(1), panics(1), hits(1)}, panics(1), serves, false},
		"few failures":         {[]Fault{hits(1), panics(1)}, hits(1), Touch{}, true},
		"slow links":           {[]Fault{link(HarmlessLinkWait)}, link(1), linked, false},
		"cuts":                 {[]Fault{cuts(2)}, cuts(2), linked, false},
		"clocks":               {[]Fault{clock(HarmlessWait)}, clock(-1), serves, false},
		"one of each":          {[]Fault{wait(HarmlessWait), hits(3), link(HarmlessLinkWait), cuts(3)}, clock(HarmlessWait), Touch{}, true},
		"beside a forced one":  {[]Fault{hits(100)}, hits(1), serves, false},
		"of another sort":      {[]Fault{hits(100), cuts(100)}, wait(1), Touch{Serves: true, Linked: true}, true},
		"beside another touch": {[]Fault{cuts(100), hits(3)}, hits(1), Touch{Serves: true, Linked: true}, false},
	} {
		d := New(Options{})
		for _, f := range c.there {
			inject(t, d, f)
		}
		got := d.Intend(c.next)
		if got.Together != c.want || got.Counts == c.free || d.Touched() != c.want {
			t.Errorf("%s: %+v, touched %+v, want %+v", name, got, d.Touched(), c.want)
		}
		d.Close()
	}
	bubble(t, func(t *testing.T, d *Desk) {
		fs, _ := mounted(t, d, "/d0")
		for range 2 { // the second hits nothing
			i := inject(t, d, hits(HarmlessHits))
			for range HarmlessHits {
				if i.ID() == 1 {
					_, _ = fs.Stat("f")
				}
			}
			i.Clear()
		}
		counts := func() bool {
			next := d.Intend(panics(1))
			defer next.Release()
			return next.Counts
		}
		time.Sleep(HarmlessAfter)
		synctest.Wait()
		if !counts() {
			t.Error("hits of a minute are forgotten")
		}
		time.Sleep(time.Millisecond)
		if counts() {
			t.Error("hits of more than a minute ago count")
		}
	})
}

// Faults may touch one node fewer than there are copies, and nodes that are away count
// with them. Nodes that own nothing count only with their links.
func TestJudge(t *testing.T) {
	owner := func(name string, touch Touch) Standing { return Standing{Node: name, Owns: true, Touch: touch} }
	well, serves, linked, both := Touch{}, Touch{Serves: true}, Touch{Linked: true}, Touch{Serves: true, Linked: true}
	away := Standing{Node: "away", Owns: true, Away: "it is down"}
	mute := Standing{Node: "mute", Owns: true, Silent: true}
	for _, c := range []struct {
		name   string
		copies int
		nodes  []Standing
		words  []string // of the refusal; none: it is allowed
	}{
		{"a node that is alone", 1, []Standing{owner("a", serves)}, []string{"a has faults", "1 of 1", "photos are on 1"}},
		{"one of three, two copies", 2, []Standing{owner("a", serves), owner("b", well), owner("c", well)}, nil},
		{"one of three, one copy", 1, []Standing{owner("a", serves), owner("b", well), owner("c", well)}, []string{"1 of 3"}},
		{"two of three, two copies", 2, []Standing{owner("a", serves), owner("b", serves), owner("c", well)}, []string{"a has faults", "b has faults"}},
		{"two of three, three copies", 3, []Standing{owner("a", serves), owner("b", serves), owner("c", well)}, nil},
		{"one, and one that is away", 2, []Standing{owner("a", serves), away, owner("c", well)}, []string{"away does not serve: it is down"}},
		{"one, and one that says nothing", 2, []Standing{owner("a", serves), mute, owner("c", well)}, []string{"mute has not said"}},
		{"links of one", 2, []Standing{owner("a", linked), owner("b", well), owner("c", well)}, nil},
		{"links and more of one", 2, []Standing{owner("a", both), owner("b", well), owner("c", well)}, []string{"2 of 3", "a has faults of links"}},
		{"one that owns nothing", 1, []Standing{{Node: "a", Touch: serves}, owner("b", well)}, nil},
		{"links of one that owns nothing", 1, []Standing{{Node: "a", Touch: linked}, owner("b", well)}, []string{"a has faults of links"}},
	} {
		err := Redundancy{Copies: c.copies, Bucket: "photos", Nodes: c.nodes}.Judge()
		if refused := err != nil; refused != (c.words != nil) || refused && !errors.Is(err, ErrRedundancy) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q is not in: %v", c.name, w, err)
			}
		}
	}
	if err := (Redundancy{Copies: 1, Nodes: []Standing{owner("a", serves)}}).Judge(); err == nil || !strings.Contains(err.Error(), "no bucket") {
		t.Errorf("without a bucket: %v", err)
	}
}
