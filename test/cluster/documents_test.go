package cluster

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A document is what was last put under its key, and is changed only by who has seen
// it as it is.
func TestDocuments(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		store := cluster.NewStore(w.join(t), quick())
		// Names that a web server, a path or a query would make something else of.
		for _, name := range []string{"photos", "a b", "a/b", "..", ".", "a?b=c&d#e", "a%2Fb", "grün", "a..b", "="} {
			key := keys.Bucket(photos(name))
			was, err := store.Get(ctx, key)
			must(t, err)
			if was.Exists() {
				t.Fatalf("%q exists already", key)
			}
			must(t, store.Put(ctx, was, []byte("one of "+name)))
			wantKind(t, errs.Conflict, store.Put(ctx, was, []byte("once more"))) // it exists now
			first, err := store.Get(ctx, key)
			must(t, err)
			if string(first.Value) != "one of "+name || !first.Exists() || first.Key != key {
				t.Errorf("%q is %+v", key, first)
			}
			must(t, store.Put(ctx, first, []byte("two")))
			wantKind(t, errs.Conflict, store.Put(ctx, first, []byte("three")))
			wantKind(t, errs.Conflict, store.Remove(ctx, first))
			second, err := store.Get(ctx, key)
			must(t, err)
			if string(second.Value) != "two" || second.Index <= first.Index {
				t.Errorf("%q is %+v after %+v", key, second, first)
			}
		}
		docs, err := store.List(ctx, keys.Buckets())
		must(t, err)
		if len(docs) != 10 || !slices.IsSortedFunc(docs, func(a, b cluster.Document) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) }) {
			t.Errorf("%d documents: %v", len(docs), docs)
		}
		must(t, store.Remove(ctx, docs[0]))
		if gone, err := store.Get(ctx, docs[0].Key); err != nil || gone.Exists() {
			t.Errorf("a removed document is %+v, %v", gone, err)
		}
		if none, err := store.List(ctx, keys.Jobs()); err != nil || len(none) != 0 {
			t.Errorf("where nothing is, there is %v, %v", none, err)
		}
	})
}

// A document may have MaxDocumentBytes, and is refused beyond before anyone is asked;
// so is what a provider would take for something else.
func TestDocumentLimits(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		p := w.join(t)
		store := cluster.NewStore(p, quick())
		large := bytes.Repeat([]byte{0, 0xff, '"', 'x'}, cluster.MaxDocumentBytes/4)
		smap := cluster.Document{Key: keys.Smap()}
		must(t, store.Put(ctx, smap, large))
		if doc, err := store.Get(ctx, keys.Smap()); err != nil || !bytes.Equal(doc.Value, large) {
			t.Errorf("%d bytes, %v", len(doc.Value), err)
		}
		many := make([]cluster.Write, cluster.MaxWrites)
		for i := range many {
			many[i] = cluster.Document{Key: keys.Node(strconv.Itoa(i))}.Put([]byte("{}"))
		}
		must(t, store.Commit(ctx, many...))
		if docs, err := store.List(ctx, keys.Nodes()); err != nil || len(docs) != len(many) {
			t.Errorf("%d documents, %v", len(docs), err)
		}
		for what, writes := range map[string][]cluster.Write{
			"too large":          {smap.Put(append(large, 'x'))},
			"too many":           append(many, cluster.Document{Key: keys.Node("x")}.Put(nil)),
			"none":               {},
			"twice":              {smap.Put(nil), smap.Unchanged()},
			"dots":               {cluster.Document{Key: keys.All() + "a/../b"}.Put(nil)},
			"empty segment":      {cluster.Document{Key: keys.All() + "a//b"}.Put(nil)},
			"leading slash":      {cluster.Document{Key: "/a"}.Put(nil)},
			"not printable":      {cluster.Document{Key: keys.All() + "a\x00b"}.Put(nil)},
			"remove what is not": {cluster.Document{Key: keys.Config()}.Remove()},
		} {
			if err := store.Commit(ctx, writes...); !errs.Is(errs.Invalid, err) {
				t.Errorf("%s: %v", what, err)
			}
			if err := p.Commit(ctx, 1, writes); !errs.Is(errs.Invalid, err) {
				t.Errorf("%s, by the provider: %v", what, err)
			}
		}
	})
}

// Of several changes at once, all happen or none: smap and smap-version never differ.
func TestCommitIsAllOrNothing(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		store := cluster.NewStore(w.join(t), quick())
		get := func(key string) cluster.Document {
			doc, err := store.Get(ctx, key)
			must(t, err)
			return doc
		}
		must(t, store.Commit(ctx, get(keys.Smap()).Put([]byte("1")), get(keys.SmapVersion()).Put([]byte("1"))))
		smap, version := get(keys.Smap()), get(keys.SmapVersion())
		must(t, store.Put(ctx, version, []byte("2")))
		for what, writes := range map[string][]cluster.Write{
			"a stale replacement":      {smap.Put([]byte("x")), version.Put([]byte("x"))},
			"a stale removal":          {smap.Put([]byte("x")), version.Remove()},
			"a stale expectation":      {smap.Put([]byte("x")), version.Unchanged()},
			"one that is not expected": {smap.Remove(), cluster.Document{Key: keys.SmapVersion()}.Unchanged()},
			"one that does not exist":  {smap.Remove(), cluster.Document{Key: keys.Config(), Index: 7}.Unchanged()},
		} {
			wantKind(t, errs.Conflict, store.Commit(ctx, writes...))
			if now := get(keys.Smap()); !now.Equal(smap) {
				t.Errorf("%s let the other change happen: %+v", what, now)
			}
		}
		must(t, store.Commit(ctx, smap.Remove(), get(keys.SmapVersion()).Unchanged(), cluster.Document{Key: keys.Config()}.Unchanged()))
		if now := get(keys.Smap()); now.Exists() {
			t.Errorf("not removed: %+v", now)
		}
	})
}

// Of many who change one document at a time, nobody overwrites what he has not seen.
func TestRacingWriters(t *testing.T) {
	const writers, each = 8, 12
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		var group sync.WaitGroup
		for range writers {
			store := cluster.NewStore(w.join(t), quick())
			group.Go(func() {
				for range each {
					check(t, increment(ctx, t, store, keys.BucketsVersion()))
				}
			})
		}
		group.Wait()
		store := cluster.NewStore(w.join(t), quick())
		doc, err := store.Get(ctx, keys.BucketsVersion())
		must(t, err)
		if got := number(t, doc); got != writers*each {
			t.Errorf("%d changes were acknowledged, the document has %d", writers*each, got)
		}
	})
}

// increment adds one to the number in a document.
func increment(ctx context.Context, t *testing.T, s *cluster.Store, key string) error {
	return s.Update(ctx, key, func(was cluster.Document) ([]byte, error) {
		return []byte(strconv.Itoa(number(t, was) + 1)), nil
	})
}

// A change whose answer was lost is found to have happened, and happens once.
func TestLostAnswers(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		n := w.join(t)
		store := cluster.NewStore(n, quick())
		const changes = 6
		for i := range changes {
			if i%2 == 1 {
				n.loseAnswers(1)
			}
			must(t, increment(ctx, t, store, keys.Config()))
		}
		doc, err := store.Get(ctx, keys.Config())
		must(t, err)
		if got := number(t, doc); got != changes {
			t.Errorf("%d changes made %d", changes, got)
		}
		n.loseAnswers(1)
		must(t, store.Remove(ctx, doc))
		if doc, err := store.Get(ctx, keys.Config()); err != nil || doc.Exists() {
			t.Errorf("a removal whose answer was lost left %+v, %v", doc, err)
		}
		// Negative control: the answers were lost, and the changes were not.
		n.loseAnswers(1)
		if err := n.Commit(ctx, 7, []cluster.Write{{Key: keys.Config(), Value: []byte("1")}}); !errors.Is(err, objects.ErrOutcomeUnknown) {
			t.Errorf("no answer was lost: %v", err)
		}
		if doc, err := store.Get(ctx, keys.Config()); err != nil || doc.Stamp != 7 {
			t.Errorf("the change was lost, too: %+v, %v", doc, err)
		}
	})
}

// While many writers lose answers, what was acknowledged has happened, and what
// was refused has not; only what is said to be unknown may be either.
func TestRacingWritersThatLoseAnswers(t *testing.T) {
	const writers, each = 4, 12
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		var done, unknown atomic.Int64
		var group sync.WaitGroup
		for range writers {
			n := w.join(t)
			store := cluster.NewStore(n, quick())
			group.Go(func() {
				for i := range each {
					if i%3 == 0 {
						n.loseAnswers(1)
					}
					switch err := increment(ctx, t, store, keys.Config()); {
					case err == nil:
						done.Add(1)
					case errors.Is(err, objects.ErrOutcomeUnknown):
						unknown.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		doc, err := cluster.NewStore(w.join(t), quick()).Get(ctx, keys.Config())
		must(t, err)
		got, least := int64(number(t, doc)), done.Load()
		if got < least || got > least+unknown.Load() {
			t.Errorf("%d changes were acknowledged and %d unknown, the document has %d", least, unknown.Load(), got)
		}
		t.Logf("%d acknowledged, %d unknown, %d happened", least, unknown.Load(), got)
	})
}

// Each call ends when its context does, and a change that was not sent has not
// happened.
func TestEndedContext(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		keys, n := keysOf(t), w.join(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := n.Read(ctx, keys.Smap(), cluster.Query{})
		wantKind(t, errs.Canceled, err)
		wantKind(t, errs.Canceled, cluster.NewStore(n, quick()).Put(ctx, cluster.Document{Key: keys.Smap()}, nil))
		_, err = n.OpenSession(ctx, cluster.Session{TTL: cluster.MinSessionTTL})
		wantKind(t, errs.Canceled, err)
		// One that waits ends as well.
		ctx, cancel = context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := cluster.WatchDocument(n, keys.Smap(), quick()).Next(ctx) // the present state
			if err == nil {
				_, _, err = n.Read(ctx, keys.Smap(), cluster.Query{After: 1 << 50, Wait: patience})
			}
			ended <- err
		}()
		cancel()
		wantKind(t, errs.Canceled, <-ended)
	})
}

// The layout is what docs/cluster.md says, and one document's key is no other's.
func TestKeys(t *testing.T) {
	keys, err := cluster.NewKeys("4f2a")
	must(t, err)
	namespaced := objects.Bucket{Provider: "aws", Namespace: "9c1e#team", Name: "a/b"}
	for want, got := range map[string]string{
		"troupe/4f2a/format":                       keys.Format(),
		"troupe/4f2a/smap":                         keys.Smap(),
		"troupe/4f2a/smap-version":                 keys.SmapVersion(),
		"troupe/4f2a/nodes/n1":                     keys.Node("n1"),
		"troupe/4f2a/buckets/ais/@/photos":         keys.Bucket(photos("photos")),
		"troupe/4f2a/buckets/aws/@9c1e#team/a=2Fb": keys.Bucket(namespaced),
		"troupe/4f2a/policies/read=3Donly":         keys.Policy("read=only"),
		"troupe/4f2a/roles/backup":                 keys.Role("backup"),
		"troupe/4f2a/accounts-version":             keys.AccountsVersion(),
		"troupe/4f2a/buckets/ais/@/=2E=2E":         keys.Bucket(photos("..")),
		"troupe/4f2a/buckets-version":              keys.BucketsVersion(),
		"troupe/4f2a/config/cluster":               keys.Config(),
		"troupe/4f2a/config/nodes/n1":              keys.NodeConfig("n1"),
		"troupe/4f2a/users/J=C3=BCrg":              keys.User("Jürg"),
		"troupe/4f2a/remotes/far":                  keys.Remote("far"),
		"troupe/4f2a/jobs/7":                       keys.Job("7"),
		"troupe/4f2a/leader":                       keys.Leader(),
		"troupe/4f2a/":                             keys.All(),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for _, id := range []string{"", "a/b", "a b"} {
		if _, err := cluster.NewKeys(id); !errs.Is(errs.Invalid, err) {
			t.Errorf("%q is taken for a cluster's id: %v", id, err)
		}
	}
	seen := make(map[string]string)
	for _, name := range []string{"a%2Fb", "a/b", "a%b", ".", "..", "%2E", "%2E%2E", "...", "=2E", "=2E=2E", "a=2Fb", "a b", "a+b"} {
		key := keys.Bucket(photos(name))
		if other, twice := seen[key]; twice {
			t.Errorf("%q and %q are both %s", name, other, key)
		}
		seen[key] = name
	}
	prefixes := strings.Join([]string{keys.Buckets(), keys.Nodes(), keys.Users(), keys.Policies(), keys.Roles(), keys.Remotes(), keys.Jobs()}, " ")
	if prefixes != "troupe/4f2a/buckets/ troupe/4f2a/nodes/ troupe/4f2a/users/ troupe/4f2a/policies/ troupe/4f2a/roles/ troupe/4f2a/remotes/ troupe/4f2a/jobs/" {
		t.Errorf("the prefixes are %s", prefixes)
	}
}
