package embedded

import (
	"bytes"
	"errors"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

func accountsOn(t *testing.T, shelves ...*shelf) *Accounts {
	t.Helper()
	var list []Shelf
	for _, s := range shelves {
		list = append(list, s)
	}
	d := &Documents{}
	d.setShelves(list)
	a, unread := d.Accounts(clock.NewSystem())
	if len(unread) > 0 {
		t.Fatal(unread)
	}
	return a
}

func policyNamed(name, text string) func(*objects.Accounts) (*objects.Account, error) {
	return func(*objects.Accounts) (*objects.Account, error) {
		return &objects.Account{Kind: objects.AccountPolicy, Name: name, Policy: &objects.NamedPolicy{Text: []byte(text)}}, nil
	}
}

// A change is in force when a majority of the mountpaths has it, and after a start; one
// that failed is not, and the next one is newer than what it left behind.
func TestAccounts(t *testing.T) {
	a, b, c := newShelf("a"), newShelf("b"), newShelf("c")
	accounts := accountsOn(t, a, b, c)
	for _, s := range []*shelf{a, b, c} {
		if len(s.docs) > 0 {
			t.Errorf("a node without accounts has written %v", s.docs)
		}
	}
	shown := 0
	accounts.Adopted = func(all *objects.Accounts) { shown = all.Len() }
	change := func(name, text string) error {
		_, err := accounts.ChangeAccount(t.Context(), policyNamed(name, text))
		return err
	}
	if err := change("read", `{"v":1}`); err != nil || shown != 1 {
		t.Fatalf("%v, %d shown", err, shown)
	}
	broken := errors.New("broken")
	b.writes, b.broken = 0, broken
	c.writes, c.broken = 0, broken
	if err := change("read", `{"v":2}`); !errors.Is(err, broken) {
		t.Errorf("one of three mountpaths took it: %v", err)
	}
	if got := accounts.Accounts().Version(objects.AccountID{Kind: objects.AccountPolicy, Name: "read"}); got != 1 {
		t.Errorf("version %d is in force", got)
	}
	c.writes = -1
	if err := change("read", `{"v":3}`); err != nil {
		t.Fatal(err)
	}
	if err := change("a/b", `{}`); !errs.Is(errs.Invalid, err) {
		t.Errorf("a name that is none: %v", err)
	}
	if doc, err := accounts.ChangeAccount(t.Context(), func(*objects.Accounts) (*objects.Account, error) { return nil, nil }); doc != nil || err != nil {
		t.Errorf("nothing was changed: %v, %v", doc, err)
	}
	doc := accountsOn(t, a, b, c).Accounts().Find(objects.AccountPolicy, "read")
	if doc == nil || doc.Version != 3 || !bytes.Contains(doc.Policy.Text, []byte("3")) {
		t.Errorf("after a start: %+v", doc)
	}

	old := &objects.Account{Kind: objects.AccountPolicy, Name: "read", Version: 2, Policy: &objects.NamedPolicy{Text: []byte("{}")}}
	gone := &objects.Account{Kind: objects.AccountPolicy, Name: "read", Version: 9, Removed: true}
	for _, next := range []*objects.Account{old, gone, old} {
		if err := accounts.AdoptAccounts([]*objects.Account{next}); err != nil {
			t.Fatal(err)
		}
	}
	if got := accountsOn(t, a, b, c).Accounts(); got.Version(gone.ID()) != 9 || got.Find(objects.AccountPolicy, "read") != nil {
		t.Errorf("what was removed is back: %+v", got.Documents())
	}
}

// A mountpath that comes back gets the documents that the others have.
func TestAccountsAreGivenOn(t *testing.T) {
	a, b := newShelf("a"), newShelf("b")
	if _, err := accountsOn(t, a).ChangeAccount(t.Context(), policyNamed("read", "{}")); err != nil {
		t.Fatal(err)
	}
	d := &Documents{}
	d.setShelves([]Shelf{a})
	if err := d.refreshFolder(b, accountsFolder); err != nil || len(b.docs) != 1 {
		t.Errorf("%v, %v", err, b.docs)
	}
	found := false
	for _, f := range folders() {
		found = found || f == accountsFolder
	}
	if !found {
		t.Error("a mountpath that is attached gets no accounts")
	}
}
