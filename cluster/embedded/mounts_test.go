package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// begin starts the node of n on some of its shelves, which the documents name already.
func (n *node) begin(numbers ...int) *Documents {
	n.t.Helper()
	var present []Shelf
	for _, i := range numbers {
		present = append(present, n.shelves[i])
	}
	d, err := Open(present)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := d.Begin(present, d.Node().Mountpaths); err != nil {
		n.t.Fatal(err)
	}
	return d
}

// put publishes a version in which mountpaths change their states.
func (n *node) put(d *Documents, id string, state smap.State) error {
	n.t.Helper()
	latest, _ := d.Mounts()
	entry, _ := latest.Node(smap.NodeID(id))
	next, err := latest.Change().SetState(smap.NodeID(id), entry.Since, state).Done()
	if err != nil {
		n.t.Fatal(err)
	}
	return d.PutMounts(next)
}

// describe is what is served, as "2: d0 up, d1 down"; empty: nothing is.
func describe(d *Documents) string {
	_, served := d.Mounts()
	if served == nil {
		return ""
	}
	return fmt.Sprintf("%d: %s", served.Version(), states(served))
}

// The start rule, by what is there and what its mountpaths have: more than half of those
// that the map in force calls up or recovering, on their own word.
func TestStartRule(t *testing.T) {
	type history func(t *testing.T, n *node, d *Documents)
	down := func(ids ...string) history {
		return func(t *testing.T, n *node, d *Documents) {
			for _, id := range ids {
				n.shelves[int(id[1]-'0')].writes, n.shelves[int(id[1]-'0')].broken = 0, errors.New("dead")
			}
			for i, id := range ids {
				if err := n.put(d, id, smap.Down); (err == nil) != (i == len(ids)-1) {
					t.Fatalf("%s down: %v", id, err)
				}
			}
		}
	}
	// coming has a version reach some mountpaths, and then the power goes.
	coming := func(id string, reached ...int) history {
		return func(t *testing.T, n *node, d *Documents) {
			for i, s := range n.shelves {
				if !slices.Contains(reached, i) {
					s.writes, s.broken = 0, errNoPower
				}
			}
			if err := n.put(d, id, smap.Down); err == nil {
				t.Fatal("it was published")
			}
		}
	}
	for _, c := range []struct {
		name    string
		disks   int
		history history // with all disks there; nil: nothing happened
		present []int
		want    string // as describe has it
	}{
		{"the only one", 1, nil, []int{0}, "1: d0 up"},
		{"both of two", 2, nil, []int{0, 1}, "1: d0 up, d1 up"},
		{"one of two, of which nothing is known", 2, nil, []int{0}, ""},
		{"two of three", 3, nil, []int{0, 2}, "1: d0 up, d1 up, d2 up"},
		{"one of three", 3, nil, []int{1}, ""},
		{"half of four", 4, nil, []int{1, 2}, ""},
		{"three of four", 4, nil, []int{1, 2, 3}, "1: d0 up, d1 up, d2 up, d3 up"},

		{"the one that stayed", 2, down("d1"), []int{0}, "2: d0 up, d1 down"},
		{"the one that left", 2, down("d1"), []int{1}, ""},
		{"both again", 2, down("d1"), []int{0, 1}, "2: d0 up, d1 down"},
		{"half stayed, and is there", 4, down("d2", "d3"), []int{0, 1}, "3: d0 up, d1 up, d2 down, d3 down"},
		{"half of that half", 4, down("d2", "d3"), []int{0}, ""},
		{"half of that half with one that left", 4, down("d2", "d3"), []int{0, 2}, ""},
		{"half of that half with all that left", 4, down("d2", "d3"), []int{1, 2, 3}, ""},
		{"the half that left", 4, down("d2", "d3"), []int{2, 3}, ""},
		{"two of the three that stayed", 4, down("d3"), []int{0, 1}, "2: d0 up, d1 up, d2 up, d3 down"},

		{"it reached one of the two that it calls up, and not the other", 3, coming("d2", 0), []int{0, 1}, "1: d0 up, d1 up, d2 up"},
		{"it reached one of the two that it calls up, and the other is not there", 3, coming("d2", 0), []int{0, 2}, ""},
		{"it reached nobody that is there", 3, coming("d2", 0), []int{1, 2}, "1: d0 up, d1 up, d2 up"},
		{"it reached both that are there of the three that it calls up, not the third", 4, coming("d3", 0, 1), []int{0, 1}, ""},
		{"likewise, and the one that it calls down is there", 4, coming("d3", 0, 1), []int{0, 1, 3}, "3: d0 up, d1 up, d2 down, d3 down"},
		{"it reached two, and the third is there as well", 4, coming("d3", 0, 1), []int{0, 2, 3}, "1: d0 up, d1 up, d2 up, d3 up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, c.disks)
			d := n.start(n.shelves...)
			if c.history != nil {
				c.history(t, n, d)
			}
			for _, s := range n.shelves {
				s.writes = -1
			}
			if got := describe(n.begin(c.present...)); got != c.want {
				t.Errorf("it serves %q, want %q", got, c.want)
			}
		})
	}
}

// A start that serves nothing publishes nothing; it serves once enough mountpaths have
// come, or the one that it waits for is given up.
func TestTheMapIsServedOnceEnoughAreThere(t *testing.T) {
	n := newNode(t, 2)
	n.start(n.shelves...)
	d := n.begin(0)
	if err := n.put(d, "d1", smap.Down); !errs.Is(errs.Conflict, err) {
		t.Errorf("one of two makes a version: %v, want a conflict", err)
	}
	if err := d.Attach(n.shelves[1], "/d1"); err != nil {
		t.Fatal(err)
	}
	if err := d.ClaimMounts(); err != nil || describe(d) != "1: d0 up, d1 up" {
		t.Errorf("both are there: %q, %v", describe(d), err)
	}

	d = n.begin(0)
	if _, err := d.GiveUp("d1", false); err != nil {
		t.Fatal(err)
	}
	if err := d.ClaimMounts(); err != nil || describe(d) == "" {
		t.Errorf("the other was given up: %q, %v", describe(d), err)
	}
	if d = n.begin(0); describe(d) == "" {
		t.Error("given up, and waited for at the next start")
	}
}

// A mountpath that comes back with a version that the start has not seen is refused: the
// start went on from what is older.
func TestAMountpathThatKnowsMoreIsRefused(t *testing.T) {
	n := newNode(t, 2)
	d := n.start(n.shelves...)
	n.shelves[1].writes, n.shelves[1].broken = 0, errors.New("dead")
	if err := n.put(d, "d1", smap.Down); err != nil {
		t.Fatal(err)
	}
	n.shelves[1].writes = -1
	d = n.begin(1) // the one that left
	n.begin(1)
	if err := d.Attach(n.shelves[0], "/d0"); !errs.Is(errs.Conflict, err) || !strings.Contains(err.Error(), "version 2 of the mount map") {
		t.Errorf("the one that stayed comes: %v, want a conflict", err)
	}
}

// PutMounts takes the next version only, and the same one again.
func TestOnlyASuccessorIsPublished(t *testing.T) {
	n := newNode(t, 3)
	d := n.start(n.shelves...)
	first, _ := d.Mounts()
	second, err := first.Change().SetState("d2", 1, smap.Down).Done()
	if err != nil {
		t.Fatal(err)
	}
	other, err := first.Change().SetState("d1", 1, smap.Down).Done()
	if err != nil {
		t.Fatal(err)
	}
	third, err := second.Change().SetState("d1", 1, smap.Down).Done()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := smap.New("another", smap.Node{ID: "d0"})
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*smap.Smap{"two versions further": third, "of another lineage": stranger} {
		if err := d.PutMounts(m); !errs.Is(errs.Conflict, err) {
			t.Errorf("%s: %v, want a conflict", name, err)
		}
	}
	if err := d.PutMounts(second); err != nil {
		t.Fatal(err)
	}
	if err := d.PutMounts(second); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := d.PutMounts(other); !errs.Is(errs.Conflict, err) {
		t.Errorf("another of the same version: %v, want a conflict", err)
	}
	if m := d.Node().Mountpaths[2]; m.Away == "" {
		t.Errorf("%+v: what the map calls down is out of use in the same document", m)
	}
	if len(d.present()) != 2 {
		t.Errorf("documents are kept on %v", d.present())
	}
}

// A version that could not be written where it has to be is not served, and the next one
// follows it.
func TestAVersionThatFailsIsFollowed(t *testing.T) {
	n := newNode(t, 4)
	d := n.start(n.shelves...)
	for _, i := range []int{2, 3} {
		n.shelves[i].writes, n.shelves[i].broken = 0, errors.New("dead")
	}
	if err := n.put(d, "d2", smap.Down); !errs.Is(errs.Offline, err) || !strings.Contains(err.Error(), "d3") {
		t.Fatalf("d3 does not have it: %v", err)
	}
	if got := describe(d); got != "1: d0 up, d1 up, d2 up, d3 up" {
		t.Fatalf("%s is served", got)
	}
	if err := n.put(d, "d3", smap.Down); err != nil || describe(d) != "3: d0 up, d1 up, d2 down, d3 down" {
		t.Fatalf("%s is served, %v", describe(d), err)
	}
	// Half of two is one; of the two before, one is dead as well.
	n.shelves[1].writes, n.shelves[1].broken = 0, errors.New("dead")
	if err := n.put(d, "d1", smap.Down); err != nil {
		t.Fatalf("the last one: %v", err)
	}
}

// Less than half of those before it is too few, although all that it calls up have it.
func TestAVersionOnLessThanHalfIsNotPublished(t *testing.T) {
	n := newNode(t, 5)
	d := n.start(n.shelves...)
	for i := 2; i < 5; i++ {
		n.shelves[i].writes, n.shelves[i].broken = 0, errors.New("dead")
	}
	for _, id := range []string{"d2", "d3", "d4"} {
		if err := n.put(d, id, smap.Down); !errs.Is(errs.Offline, err) {
			t.Fatalf("%s down: %v", id, err)
		}
	}
	if got := describe(d); got != "1: d0 up, d1 up, d2 up, d3 up, d4 up" {
		t.Fatalf("%s is served", got)
	}
}

// A document of a release without mount maps gets one at its first start, placed as the
// document says, with those down that are not there; and only if more than half are.
func TestUpgradeFromADocumentWithoutAMap(t *testing.T) {
	for _, c := range []struct {
		name      string
		mountpath string // of d1 in the document
		rest      string // of the document
		present   []int
		want      string
	}{
		{"all there", ``, ``, []int{0, 1, 2}, "1: d0 up, d1 up, d2 up"},
		{"two of three", ``, ``, []int{0, 2}, "2: d0 up, d1 down, d2 up"},
		{"one of three", ``, ``, []int{2}, ""},
		{"one of the two that are in use", `,"away":"it failed"`, ``, []int{0}, ""},
		{"both that are in use", `,"disabled":"an operator"`, ``, []int{0, 2}, "2: d0 up, d1 down, d2 up"},
		{"in the middle of a change of the set", ``, `,"transition":{"from":["d0","d1"],"to":["d0","d1","d2"],"job":"j"}`, []int{0, 1, 2}, "1: d0 up, d1 up, d2 up"},
		{"one is on its way out", ``, `,"transition":{"from":["d0","d1","d2"],"to":["d0","d1"],"job":"j"}`, []int{0, 1, 2}, "1: d0 up, d1 up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, 3)
			text := `{"version":7,"cluster":"c","node":"n","start":5,"mountpaths":[{"id":"d0","path":"/d0"},{"id":"d1","path":"/d1"` + c.mountpath + `},{"id":"d2","path":"/d2"}]` + c.rest + `}`
			for _, s := range n.shelves {
				s.docs[nodeDocument] = []byte(text)
			}
			d := n.begin(c.present...)
			if got := describe(d); got != c.want {
				t.Fatalf("it serves %q, want %q", got, c.want)
			}
			if c.want == "" {
				return
			}
			node := d.Node()
			if _, served := d.Mounts(); !slices.Equal(idsOf(served.Placement()), node.Placed()) {
				t.Errorf("placed on %v, the document says %v", served.Placement(), node.Placed())
			}
			again := n.begin(c.present...)
			_, was := d.Mounts()
			if _, is := again.Mounts(); is == nil || is.Hash() != was.Hash() {
				t.Error("the next start has another map")
			}
		})
	}
}

func idsOf(nodes []smap.NodeID) (ids []string) {
	for _, id := range nodes {
		ids = append(ids, string(id))
	}
	return ids
}

// A mountpath whose copy of the document was damaged does not count for what was
// published, also at later starts that served nothing.
func TestADamagedCopyIsNoWitness(t *testing.T) {
	n := newNode(t, 3)
	d := n.start(n.shelves...)
	n.shelves[0].writes, n.shelves[0].broken = 0, errors.New("dead")
	if err := n.put(d, "d0", smap.Down); err != nil { // on d1 and d2
		t.Fatal(err)
	}
	n.shelves[0].writes = -1
	n.shelves[1].docs[nodeDocument] = []byte("{")
	for range 2 {
		if got := describe(n.begin(0, 1)); got != "" {
			t.Fatalf("%s is served, and d2 knows better", got)
		}
	}
	if got := describe(n.begin(0, 1, 2)); got != "" {
		t.Fatalf("%s is served on the word of one of two", got)
	}
}

// The only mountpath of a node, whose document was lost and made again by a rebuild, is
// served: there is nobody who could know more.
func TestARebuiltNodeOfOneMountpathIsServed(t *testing.T) {
	n := newNode(t, 1)
	n.shelves[0].docs[nodeDocument] = []byte(`{"version":1,"cluster":"c","node":"n","start":5,"mountpaths":[{"id":"d0","path":"/d0"}],"mounts_unknown_to":["d0"]}`)
	d := n.begin(0)
	if got := describe(d); got != "1: d0 up" || len(d.Node().Blank) > 0 {
		t.Errorf("it serves %q, %v", got, d.Node().Blank)
	}
}

// The map outlives its spelling in the document, and one that is not understood is
// refused by name.
func TestMountMapDocument(t *testing.T) {
	n := newNode(t, 2)
	d := n.start(n.shelves...)
	served := d.Node().Mounts
	text, err := json.Marshal(served)
	if err != nil {
		t.Fatal(err)
	}
	back := new(MountMap)
	if err := json.Unmarshal(text, back); err != nil || back.Start != 1 || back.Map.Hash() != served.Map.Hash() {
		t.Fatalf("%s became %+v, %v", text, back, err)
	}
	for name, change := range map[string][2]string{
		"of a newer release": {`"version":1`, `"version":1,"colour":"red"`},
		"a state of nobody":  {`"state":"up"`, `"state":"asleep"`},
	} {
		bad := strings.Replace(string(text), change[0], change[1], 1)
		if err := json.Unmarshal([]byte(bad), new(MountMap)); err == nil || !strings.Contains(err.Error(), "mount map") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
