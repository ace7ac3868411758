package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

func jobDoc(id string, version int) []byte {
	return fmt.Appendf(nil, `{"version": %d, "id": %q}`, version, id)
}

// jobsOn opens the documents of jobs over shelves.
func jobsOn(t *testing.T, shelves ...*shelf) Jobs {
	t.Helper()
	var list []Shelf
	for _, s := range shelves {
		list = append(list, s)
	}
	d := &Documents{}
	d.setShelves(list)
	return d.Jobs(clock.NewSystem())
}

func wantJobs(t *testing.T, j Jobs, want ...string) {
	t.Helper()
	all, unread := j.All()
	if len(unread) != 0 {
		t.Fatal(unread)
	}
	got := make(map[string]bool)
	for _, content := range all {
		got[string(content)] = true
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("%s is not among %v", w, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d documents, want %d", len(got), len(want))
	}
}

// A job's document counts once a majority of the mountpaths has it: one broken disk
// stops no job, and what a minority has is nobody's.
func TestJobsNeedAMajority(t *testing.T) {
	broken := errors.New("broken")
	a, b, c := newShelf("a"), newShelf("b"), newShelf("c")
	j := jobsOn(t, a, b, c)
	if err := j.PutJob("x", jobDoc("x", 1)); err != nil {
		t.Fatal(err)
	}
	c.writes, c.broken = 0, broken
	if err := j.PutJob("x", jobDoc("x", 2)); err != nil {
		t.Errorf("two of three mountpaths took it: %v", err)
	}
	wantJobs(t, jobsOn(t, a, b, c), string(jobDoc("x", 2)))

	b.writes, b.broken = 0, broken
	err := j.PutJob("x", jobDoc("x", 3))
	if !errors.Is(err, broken) {
		t.Errorf("one of three mountpaths took it: %v", err)
	}
	wantJobs(t, jobsOn(t, a, b, c), string(jobDoc("x", 2)))

	if err := j.PutJob("y", jobDoc("y", 1)); err == nil {
		t.Error("a job that a minority has was taken")
	}
	wantJobs(t, jobsOn(t, a, b, c), string(jobDoc("x", 2)))
	if _, err := a.Read(j.path("y")); !errs.Is(errs.NotFound, err) {
		t.Errorf("the copy of a job that never was is still there: %v", err)
	}
	if err := j.RemoveJob("x"); err != nil {
		t.Fatal(err)
	}
	wantJobs(t, jobsOn(t, a, b, c))
}

// A document of which no copy can be read is told of and left where it is, and so is
// what cannot be removed: the other jobs are there nevertheless, and nothing keeps a
// node from its start.
func TestDamagedJobsAreLeftAlone(t *testing.T) {
	a, b := newShelf("a"), &unlisted{shelf: newShelf("b")}
	d := &Documents{}
	d.setShelves([]Shelf{a, b})
	j := d.Jobs(clock.NewSystem())
	for _, id := range []string{"good", "torn"} {
		if err := j.PutJob(id, jobDoc(id, 1)); err != nil {
			t.Fatal(err)
		}
	}
	a.docs[j.path("torn")], b.docs[j.path("torn")] = []byte(`{"version": 1, "i`), nil
	all, unread := j.All()
	if len(all) != 1 || string(all["good"]) != string(jobDoc("good", 1)) {
		t.Errorf("%q, want the good one", all)
	}
	if len(unread) != 1 || !errs.Is(errs.Corrupt, unread[0]) {
		t.Errorf("told: %v, want that one is corrupt", unread)
	}
	if len(a.docs) != 2 || len(b.docs) != 2 {
		t.Error("a document that cannot be read was removed")
	}
	b.broken = errs.E("shelf", errs.IO)
	a.docs[j.path("minority")] = jobDoc("minority", 1)
	if all, unread = j.All(); len(all) != 1 || len(unread) != 3 { // the list of b, torn, and minority, which b does not remove
		t.Errorf("with a shelf that fails: %q, %v", all, unread)
	}
}

// unlisted is a shelf whose lists and removals can fail, too.
type unlisted struct{ *shelf }

func (u *unlisted) List(dir string) ([]string, error) {
	if u.broken != nil {
		return nil, u.broken
	}
	return u.shelf.List(dir)
}

func (u *unlisted) Remove(name string) error {
	if u.broken != nil {
		return u.broken
	}
	return u.shelf.Remove(name)
}

// hanging is a shelf whose writes wait.
type hanging struct {
	*shelf
	entered, leave chan struct{}
}

func (h *hanging) Write(name string, content []byte) error {
	h.entered <- struct{}{}
	<-h.leave
	return h.shelf.Write(name, content)
}

// A mountpath that hangs in a write is not asked again until the write returned.
func TestMountpathThatHangsIsLeftOut(t *testing.T) {
	a, b, c := newShelf("a"), newShelf("b"), &hanging{shelf: newShelf("c"), entered: make(chan struct{}, 1), leave: make(chan struct{})}
	d := &Documents{}
	d.setShelves([]Shelf{a, b, c})
	j := d.Jobs(clock.NewSystem())
	first := make(chan error)
	go func() { first <- j.PutJob("x", jobDoc("x", 1)) }()
	<-c.entered
	// Side by side, to meet the one that hangs; the others may be at the first still.
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if err = j.PutJob("y", jobDoc("y", 1)); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("a mountpath that hangs stops the others: %v", err)
	}
	close(c.leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	wantJobs(t, jobsOn(t, a, b, c.shelf), string(jobDoc("x", 1)), string(jobDoc("y", 1)))
	if _, err := c.Read(j.path("y")); !errs.Is(errs.NotFound, err) {
		t.Error("the mountpath that hung was asked")
	}
}

// Mountpaths that are new at a start, or were out of use, have no say about what is there,
// and get it: half of the mountpaths having a document does not make it a minority's.
func TestNewShelvesHaveNoSayAboutJobs(t *testing.T) {
	a, b := newShelf("a"), newShelf("b")
	begin := func(old, present []Shelf) *Documents {
		t.Helper()
		d, err := Open(old)
		if err != nil {
			t.Fatal(err)
		}
		var all []Mountpath
		for _, s := range present {
			all = append(all, Mountpath{ID: s.ID(), Path: "/" + s.ID()})
		}
		if _, err := d.Begin(present, all); err != nil {
			t.Fatal(err)
		}
		return d
	}
	put := func(d *Documents, id string) {
		t.Helper()
		if err := d.Jobs(clock.NewSystem()).PutJob(id, jobDoc(id, 1)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(d *Documents, ids ...string) {
		t.Helper()
		all, unread := d.Jobs(clock.NewSystem()).All()
		if len(all) != len(ids) || len(unread) > 0 {
			t.Errorf("%d documents, want %v; %v", len(all), ids, unread)
		}
		for _, s := range []*shelf{a, b} {
			for _, id := range ids {
				if content, err := s.Read("jobs/" + id + ".json"); err != nil || string(content) != string(jobDoc(id, 1)) {
					t.Errorf("%s on %s: %q, %v", id, s.ID(), content, err)
				}
			}
			if list, err := s.List(jobsFolder); err != nil || len(list) != len(ids) {
				t.Errorf("on %s: %v, %v", s.ID(), list, err)
			}
		}
	}
	put(begin(nil, []Shelf{a}), "first")
	d := begin([]Shelf{a}, []Shelf{a, b}) // b is new
	want(d, "first")
	if err := d.SetAway("b", "it burns", false); err != nil {
		t.Fatal(err)
	}
	put(d, "second")
	if err := d.Jobs(clock.NewSystem()).RemoveJob("first"); err != nil {
		t.Fatal(err)
	}
	want(begin([]Shelf{a, b}, []Shelf{a, b}), "second") // b is back
}
