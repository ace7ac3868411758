package member_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// accountShelf keeps documents of accounts in memory.
type accountShelf struct {
	mu   sync.Mutex
	all  *objects.Accounts
	fail error
}

// Accounts implements member.AccountShelf.
func (s *accountShelf) Accounts() *objects.Accounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// AdoptAccounts implements member.AccountShelf.
func (s *accountShelf) AdoptAccounts(docs []*objects.Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.all = s.all.With(docs...)
	return nil
}

func (s *accountShelf) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// version is that of a policy as requests go by it; 0: there is none.
func (s *accountShelf) version(name string) uint64 {
	if d := s.Accounts().Find(objects.AccountPolicy, name); d != nil {
		return d.Version
	}
	return 0
}

// accountsOf makes the accounts that a node follows.
func (n *node) accountsOf(t *testing.T, log *logrus.Entry) *member.Accounts {
	a, err := member.NewAccounts(member.AccountsConfig{
		Provider: n.provider, ClusterID: clusterID, Shelf: n.accountShelf, View: n.view.Load, Clock: clock.NewSystem(), Log: log,
		Mend: func(doc *objects.Account) *objects.Account {
			if doc.Policy == nil || string(doc.Policy.Text) != `{"seal":"old"}` {
				return nil
			}
			return &objects.Account{Kind: doc.Kind, Name: doc.Name, Policy: &objects.NamedPolicy{Text: []byte(`{"seal":"new"}`)}}
		},
	})
	must(t, err)
	return a
}

// put has a node make or change a policy.
func (n *node) put(name, text string) error {
	_, err := n.accounts.ChangeAccount(n.world.t.Context(), func(*objects.Accounts) (*objects.Account, error) {
		return &objects.Account{Kind: objects.AccountPolicy, Name: name, Policy: &objects.NamedPolicy{Text: []byte(text)}}, nil
	})
	return err
}

// A change is answered once every node that is up goes by it; answers that got lost do not
// make it happen twice; and changes of several nodes at once all happen, each judged by
// those before it.
func TestAccounts(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		for version := uint64(1); version <= 5; version++ {
			w.provider(func(n *node) { n.provider.Faults().LoseAnswers(int(version % 3)) })
			must(t, w.nodes[w.order[version%3]].put("read", fmt.Sprintf(`{"v":%d}`, version)))
			for _, id := range w.order {
				if got := w.nodes[id].accountShelf.version("read"); got != version {
					t.Errorf("%s has version %d, answered is %d", id, got, version)
				}
			}
		}
		w.provider(func(n *node) { n.provider.Faults().LoseAnswers(0) })

		// The control: what is agreed on is not what all nodes go by. Who answers at once lies.
		w.nodes["c"].provider.Faults().Delay(2 * time.Second)
		answered := make(chan error, 1)
		go func() { answered <- w.nodes["a"].put("read", `{"v":6}`) }()
		w.wait("it is agreed on", func() bool {
			return strings.Contains(string(w.document(t, w.keys().Policy("read")).Value), `"version":6`)
		})
		if got := w.nodes["c"].accountShelf.version("read"); got != 5 || len(answered) > 0 {
			t.Errorf("c goes by version %d at once, or the change was answered", got)
		}
		must(t, <-answered)
		if got := w.nodes["c"].accountShelf.version("read"); got != 6 {
			t.Errorf("c goes by version %d, answered is 6", got)
		}
		w.nodes["c"].provider.Faults().Delay(0)
		failures := make(chan error)
		for i, id := range w.order {
			go func() {
				_, err := w.nodes[id].accounts.ChangeAccount(w.t.Context(), func(all *objects.Accounts) (*objects.Account, error) {
					return &objects.Account{Kind: objects.AccountUser, Name: string(id), User: &objects.User{ID: "the-same", Number: fmt.Sprintf("%012d", i)}}, nil
				})
				failures <- err
			}()
		}
		exists, made := 0, 0
		for range w.order {
			switch err := <-failures; {
			case err == nil:
				made++
			case errs.Is(errs.Exists, err):
				exists++
			default:
				t.Error(err)
			}
		}
		if made != 1 || exists != 2 {
			t.Errorf("of three users with one id %d were made, and %d refused", made, exists)
		}
	})
}

// A change that a node which is up does not go by is not answered as done; one that is down
// is not waited for, and goes by it before it is up again.
func TestAccountChangeWaits(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		w.nodes["b"].accountShelf.setFail(errors.New("the disk is full"))
		err := w.nodes["a"].put("read", "{}")
		if !errors.Is(err, objects.ErrOutcomeUnknown) || !strings.Contains(fmt.Sprint(err), "[b]") {
			t.Errorf("b does not go by it: %v", err)
		}
		w.nodes["b"].accountShelf.setFail(nil)
		w.wait("b goes by it", func() bool { return w.nodes["b"].accountShelf.version("read") == 1 })
		w.nodes["b"].kill()
		w.wait("b is down", func() bool { return w.agree("a up, b down, c up") })
		must(t, w.nodes["a"].put("read", `{"v":2}`))
		w.start("b")
		w.wait("b is up", func() bool { return w.agree("a up, b up, c up") })
		if got := w.nodes["b"].accountShelf.version("read"); got != 2 {
			t.Errorf("b is up and goes by version %d", got)
		}
	})
}

// Without the provider nothing is changed, and that is said; what is there counts on.
func TestAccountChangeProviderAway(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		must(t, w.nodes["a"].put("read", "{}"))
		w.provider(func(n *node) { n.provider.Faults().Cut(true) })
		err := w.nodes["a"].put("read", `{"v":2}`)
		var away *messages.AgreementAway
		if !errs.Is(errs.Offline, err) || !errors.As(err, &away) {
			t.Errorf("a change without the provider: %v", err)
		}
		if got := w.nodes["a"].accountShelf.version("read"); got != 1 {
			t.Errorf("version %d is in force", got)
		}
		w.provider(func(n *node) { n.provider.Faults().Cut(false) })
		w.wait("it can be changed", func() bool { return w.nodes["a"].put("read", `{"v":3}`) == nil })
	})
}

// Documents that the provider lost are there again, those of what was removed among them:
// nobody who was away brings a user back.
func TestAccountsAreRestored(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		names := []string{"one", "two", "three"}
		for i, name := range names {
			must(t, w.nodes[w.order[i]].put(name, "{}"))
		}
		w.nodes["c"].kill()
		w.wait("c is down", func() bool { return w.agree("a up, b up, c down") })
		_, err := w.nodes["a"].accounts.ChangeAccount(w.t.Context(), func(*objects.Accounts) (*objects.Account, error) {
			return &objects.Account{Kind: objects.AccountPolicy, Name: "two", Removed: true}, nil
		})
		must(t, err)
		w.memory.Wipe()
		w.start("c") // which has the policy still
		w.wait("all are there, and all nodes go by them", func() bool {
			if !w.agree("a up, b up, c up") || slices.ContainsFunc(names, func(name string) bool { return !w.document(t, w.keys().Policy(name)).Exists() }) {
				return false
			}
			return !slices.ContainsFunc(w.order, func(id smap.NodeID) bool { return w.nodes[id].accountShelf.version("two") != 0 })
		})
		if !strings.Contains(string(w.document(t, w.keys().Policy("two")).Value), `"removed":true`) {
			t.Error("a policy that was removed is back")
		}
		must(t, w.nodes["c"].put("one", `{"v":2}`))
		must(t, w.nodes["c"].put("two", `{"v":3}`))
		for _, id := range w.order {
			if got := w.nodes[id].accountShelf.version("two"); got != 3 {
				t.Errorf("%s goes by version %d of what was made again", id, got)
			}
		}
	})
}

// Who leads has documents written anew whose secrets were sealed with a seed of before.
func TestAccountsAreMended(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		must(t, w.nodes["a"].put("sealed", `{"seal":"old"}`))
		must(t, w.nodes["b"].put("other", `{"seal":"other"}`))
		w.wait("it is mended everywhere", func() bool {
			return !slices.ContainsFunc(w.order, func(id smap.NodeID) bool {
				d := w.nodes[id].accountShelf.Accounts().Find(objects.AccountPolicy, "sealed")
				return string(d.Policy.Text) != `{"seal":"new"}`
			})
		})
		if got := w.nodes["c"].accountShelf.version("other"); got != 1 {
			t.Errorf("what needs no mending has version %d", got)
		}
	})
}
