package embedded

import (
	"errors"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

// What changes while a mountpath is out of use stays, however few the others are:
// its old documents do not outvote theirs at the next start.
func TestDocumentsOfAMountpathThatIsAwayDoNotCount(t *testing.T) {
	for _, shelves := range []int{2, 3, 4} {
		for _, byOperator := range []bool{true, false} {
			n := newNode(t, shelves)
			d := n.start(n.shelves...)
			if err := d.SetAway("d0", "on purpose", byOperator); err != nil {
				t.Fatal(err)
			}
			doc := bucketNamed("meanwhile")
			if err := d.PutBucket(doc); err != nil {
				t.Fatal(err)
			}
			if len(n.shelves[0].docs) != 1 {
				t.Errorf("the mountpath that is away was written to: %v", n.shelves[0].docs)
			}
			again, err := Open(n.all())
			if err != nil {
				t.Fatal(err)
			}
			if docs := again.Buckets(); len(docs) != 1 || docs[0].Name != "meanwhile" {
				t.Errorf("%d shelves: buckets after a start: %v", shelves, docs)
			}
			m := again.Node().Mountpaths[0]
			if (m.Disabled != "") != byOperator || (m.Away != "") == byOperator {
				t.Errorf("%d shelves, by an operator %t: %+v", shelves, byOperator, m)
			}
		}
	}
}

// Negative control: without the mark, the old documents of one of two mountpaths
// outvote the other's.
func TestDocumentsOfAMountpathThatFailsCount(t *testing.T) {
	n := newNode(t, 2)
	d := n.start(n.shelves...)
	d.shelves = d.shelves[1:] // away, and nobody wrote it down
	if err := d.PutBucket(bucketNamed("meanwhile")); err != nil {
		t.Fatal(err)
	}
	again, err := Open(n.all())
	if err != nil {
		t.Fatal(err)
	}
	if docs := again.Buckets(); len(docs) != 0 {
		t.Fatalf("the control controls nothing: %v", docs)
	}
}

// A mountpath that comes back has the documents of the others, and none that they
// have not; one that has seen a later start is refused.
func TestAttachBringsDocumentsUpToDate(t *testing.T) {
	n := newNode(t, 2)
	d := n.start(n.shelves...)
	old := bucketNamed("old")
	if err := d.PutBucket(old); err != nil {
		t.Fatal(err)
	}
	if err := d.SetAway("d0", "on purpose", true); err != nil {
		t.Fatal(err)
	}
	delete(d.buckets, old.ID) // as Forget does once no mountpath is away
	if err := n.shelves[1].Remove(bucketName(old.ID)); err != nil {
		t.Fatal(err)
	}
	if err := d.PutBucket(bucketNamed("new")); err != nil {
		t.Fatal(err)
	}
	if err := d.Attach(n.shelves[0], "/elsewhere"); err != nil {
		t.Fatal(err)
	}
	if len(n.shelves[0].docs) != len(n.shelves[1].docs) {
		t.Errorf("%d documents, the other has %d", len(n.shelves[0].docs), len(n.shelves[1].docs))
	}
	for name, content := range n.shelves[1].docs {
		if string(n.shelves[0].docs[name]) != string(content) {
			t.Errorf("%s differs", name)
		}
	}
	if m := d.Node().Mountpaths[0]; m.Disabled != "" || m.Away != "" || m.Path != "/elsewhere" {
		t.Errorf("%+v", m)
	}

	if err := d.SetAway("d0", "on purpose", true); err != nil {
		t.Fatal(err)
	}
	n.start(n.shelves[0]) // another process had it meanwhile
	n.start(n.shelves[0])
	if err := d.Attach(n.shelves[0], "/d0"); !errs.Is(errs.Conflict, err) {
		t.Errorf("a mountpath that has seen a later start: %v", err)
	}
	if err := d.Attach(newShelf("stranger"), "/s"); !errs.Is(errs.NotFound, err) {
		t.Errorf("a mountpath of nobody: %v", err)
	}
}

// The last mountpath keeps its documents, and a change that reaches none fails.
func TestTheLastMountpathKeepsItsDocuments(t *testing.T) {
	n := newNode(t, 1)
	d := n.start(n.shelves...)
	if err := d.SetAway("d0", "on purpose", true); err != nil {
		t.Fatal(err)
	}
	again, err := Open(n.all())
	if err != nil {
		t.Fatal(err)
	}
	if m := again.Node().Mountpaths[0]; m.Disabled == "" {
		t.Errorf("%+v", m)
	}
	n.shelves[0].writes, n.shelves[0].broken = 0, errors.New("it is full")
	if err := d.SetAway("d0", "again", true); err == nil {
		t.Error("what no mountpath knows was acknowledged")
	}
}

// all returns every shelf.
func (n *node) all() []Shelf {
	var all []Shelf
	for _, s := range n.shelves {
		all = append(all, s)
	}
	return all
}
