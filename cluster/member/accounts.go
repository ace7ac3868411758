package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// accountsDocument is what lies under Keys.AccountsVersion. Every change of an account
// changes it, so that there is one order of them, and each is judged by all before it.
type accountsDocument struct {
	Version uint64   `json:"version"`
	Changed []string `json:"changed"` // kinds and names last changed, the latest at the end
}

// AccountShelf keeps the documents of accounts on the node's disks. Its methods block.
type AccountShelf interface {
	// Accounts are those that the node has adopted.
	Accounts() *objects.Accounts
	// AdoptAccounts is durable, and in force for requests, when it returns; documents that
	// are not newer change nothing.
	AdoptAccounts(docs []*objects.Account) error
}

// AccountsConfig is what Accounts need. Every field is needed.
type AccountsConfig struct {
	Provider  cluster.Provider
	ClusterID string
	Shelf     AccountShelf
	View      func() *messages.ClusterView
	// Mend returns what is to take a document's place, because its secrets were sealed with
	// a seed of before; nil: nothing is. Who leads asks it of all documents, now and then;
	// nil: nobody does.
	Mend  func(*objects.Account) *objects.Account
	Clock clock.Clock
	Log   *logrus.Entry
}

// Accounts are the documents of users, policies and roles of a cluster: changed by
// compare-and-set, and adopted by every node. Documents are never removed: that of a user
// who was says so, and so whoever has the newest one of a name is right, whatever became of
// the provider. Safe for concurrent use.
type Accounts struct {
	AccountsConfig
	store *cluster.Store
	keys  cluster.Keys

	version atomic.Uint64 // that this node has adopted; never falls
	seen    atomic.Uint64 // the one that was agreed on when it did; 0: none was
	others  atomic.Pointer[map[smap.NodeID]uint64]
	calls   atomic.Pointer[context.Context] // ends with the node's membership, and calls with it
	nudge   atomic.Pointer[func()]          // has the watch ask now; nil: there is none
}

// NewAccounts makes them. They adopt nothing until a Membership that was given them runs.
func NewAccounts(c AccountsConfig) (*Accounts, error) {
	keys, err := cluster.NewKeys(c.ClusterID)
	if err != nil {
		return nil, err
	}
	a := &Accounts{AccountsConfig: c, keys: keys, store: cluster.NewStore(c.Provider, cluster.Pace{Clock: c.Clock})}
	forever := context.Background()
	a.calls.Store(&forever)
	return a, nil
}

// open returns what ends the calls that begin from now on: a node that stops waits for none.
func (a *Accounts) open() (end context.CancelFunc) {
	ctx, end := context.WithCancel(context.Background())
	a.calls.Store(&ctx)
	return end
}

// key is where a document lies.
func (a *Accounts) key(id objects.AccountID) string {
	switch id.Kind {
	case objects.AccountPolicy:
		return a.keys.Policy(id.Name)
	case objects.AccountRole:
		return a.keys.Role(id.Name)
	}
	return a.keys.User(id.Name)
}

// ChangeAccount changes one document: change makes it out of all that are agreed on, is
// called again where another node was faster, and leaves Version to be set; nil changes
// nothing. It returns the document when every node that is up has adopted it: what was
// disabled is refused everywhere. Errors: those of change and of objects.Accounts.Check;
// Offline, a *messages.AgreementAway: it cannot be agreed on now; Busy: see
// objects.ErrOutcomeUnknown. It blocks for half a minute at most.
func (a *Accounts) ChangeAccount(ctx context.Context, change func(*objects.Accounts) (*objects.Account, error)) (*objects.Account, error) {
	const op errs.Op = "member.ChangeAccount"
	ctx, done := cluster.Within(ctx, a.Clock, callTime)
	defer done()
	stop := context.AfterFunc(*a.calls.Load(), done)
	defer stop()
	doc, version, err := a.change(ctx, change)
	switch {
	case errs.Is(errs.Offline, err) || errs.Is(errs.Canceled, err):
		return nil, errs.E(op, errs.Offline, &messages.AgreementAway{Cause: err})
	case err != nil:
		return nil, errs.Wrap(op, err)
	case doc == nil:
		return nil, nil
	}
	return doc, errs.Wrap(op, a.await(ctx, doc, version))
}

// change writes a document, if it is made out of those that are agreed on.
func (a *Accounts) change(ctx context.Context, change func(*objects.Accounts) (*objects.Account, error)) (*objects.Account, uint64, error) {
	const op errs.Op = "member.change"
	if a.View().Map == nil {
		return nil, 0, errs.E(op, errs.Busy, errors.New("the node has not joined the cluster yet"))
	}
	for {
		small, agreed, err := a.agreed(ctx)
		if err != nil {
			return nil, 0, err
		}
		if !small.Exists() && a.version.Load() > 0 || a.seen.Load() != agreed.Version {
			if nudge := a.nudge.Load(); nudge != nil {
				(*nudge)()
			}
			if !cluster.Pause(ctx, a.Clock, adoptPause) {
				return nil, 0, errs.E(op, errs.Canceled, fmt.Errorf("this node has not adopted version %d of the accounts yet", agreed.Version))
			}
			continue
		}
		have := a.Shelf.Accounts()
		doc, err := change(have)
		if err != nil || doc == nil {
			return nil, 0, err
		}
		was, err := a.store.Get(ctx, a.key(doc.ID()))
		if err != nil {
			return nil, 0, err
		}
		doc.Version = have.Version(doc.ID()) + 1
		if err := have.Check(doc); err != nil {
			return nil, 0, err
		}
		text, err := json.Marshal(doc)
		if err != nil {
			return nil, 0, err
		}
		next := a.following(agreed, doc)
		line, err := json.Marshal(next)
		if err != nil {
			return nil, 0, err
		}
		// small is as it was when have was all that is agreed on: nobody changed anything since.
		err = a.store.Commit(ctx, was.Put(text), small.Put(line))
		if !errs.Is(errs.Conflict, err) || errors.Is(err, objects.ErrOutcomeUnknown) {
			if nudge := a.nudge.Load(); nudge != nil && err == nil {
				(*nudge)()
			}
			return doc, next.Version, err
		}
		if !cluster.Pause(ctx, a.Clock, adoptPause) { // another change was faster
			return nil, 0, errs.E(op, errs.Canceled, err)
		}
	}
}

// agreed is the version that is agreed on, and the document that it is in.
func (a *Accounts) agreed(ctx context.Context) (small cluster.Document, agreed accountsDocument, err error) {
	if small, err = a.store.Get(ctx, a.keys.AccountsVersion()); err != nil || !small.Exists() {
		return small, agreed, err
	}
	if err = json.Unmarshal(small.Value, &agreed); err != nil {
		err = errs.E("member.agreed", small.Key, errs.Corrupt, err)
	}
	return small, agreed, err
}

// following is the next version. It is later than any that a node is known to have
// adopted: a provider that lost all counts from the beginning.
func (a *Accounts) following(agreed accountsDocument, docs ...*objects.Account) accountsDocument {
	next := accountsDocument{Version: max(agreed.Version, a.version.Load()), Changed: agreed.Changed}
	for _, version := range a.heard() {
		next.Version = max(next.Version, version)
	}
	next.Version++
	for _, d := range docs {
		name := d.ID().String()
		next.Changed = append(slices.DeleteFunc(slices.Clone(next.Changed), func(n string) bool { return n == name }), name)
	}
	next.Changed = next.Changed[max(0, len(next.Changed)-changedNames):]
	return next
}

// heard are the versions that other nodes have adopted, as last heard.
func (a *Accounts) heard() map[smap.NodeID]uint64 {
	if m := a.others.Load(); m != nil {
		return *m
	}
	return nil
}

// await waits until all nodes that are up have adopted a version.
func (a *Accounts) await(ctx context.Context, doc *objects.Account, version uint64) error {
	for {
		late := a.late(version)
		if len(late) == 0 {
			return nil
		}
		if !cluster.Pause(ctx, a.Clock, adoptPause) {
			return errs.E("member.await", doc.ID(), errs.Busy, fmt.Errorf("%w: the change is agreed on, and nodes have not adopted it: %v", objects.ErrOutcomeUnknown, late))
		}
	}
}

// late are the nodes that are up and have not adopted a version, as far as this node knows.
func (a *Accounts) late(version uint64) (late []string) {
	view, others := a.View(), a.heard()
	for _, node := range view.Map.Nodes() {
		has := others[node.ID]
		if node.ID == view.Self {
			has = a.version.Load()
		}
		if node.State.Serves() && has < version {
			late = append(late, string(node.ID))
		}
	}
	return late
}

// Current returns once this node has adopted all that was agreed on when it was called: a
// node that returns asks before it serves. errs.Offline: that cannot be told now. It blocks
// for two seconds at most.
func (a *Accounts) Current(ctx context.Context) error {
	const op errs.Op = "member.Current"
	ctx, done := cluster.Within(ctx, a.Clock, currentTime)
	defer done()
	_, agreed, err := a.agreed(ctx)
	if err != nil {
		return errs.E(op, errs.Offline, err)
	}
	for a.version.Load() < agreed.Version {
		if nudge := a.nudge.Load(); nudge != nil {
			(*nudge)()
		}
		if !cluster.Pause(ctx, a.Clock, adoptPause) {
			return errs.E(op, errs.Offline, fmt.Errorf("this node has not adopted version %d of the accounts yet", agreed.Version))
		}
	}
	return nil
}

// follow adopts what is agreed on, until the context ends.
func (a *Accounts) follow(ctx context.Context, pace cluster.Pace) {
	watch := cluster.WatchDocument(a.Provider, a.keys.AccountsVersion(), pace)
	nudge := watch.Nudge
	a.nudge.Store(&nudge)
	var late repeated
	for ctx.Err() == nil {
		if _, err := watch.Next(ctx); err != nil {
			continue // the watch pauses by itself
		}
		for ctx.Err() == nil {
			err := a.adopt(ctx)
			if err == nil {
				late.ended(a.Clock.Elapsed())
				break
			}
			level := logrus.WarnLevel
			if a.View().Map == nil || !late.failed(a.Clock.Elapsed()) { // it is joining, or has said so
				level = logrus.DebugLevel
			}
			a.Log.WithError(err).Log(level, "documents of accounts are not adopted yet")
			cluster.Pause(ctx, a.Clock, retryAfter)
		}
	}
}

// adopt has requests see what is agreed on, once it is on the disks. What this node has
// and is agreed on no more, or in an older version, is written again.
func (a *Accounts) adopt(ctx context.Context) error {
	limited, done := cluster.Within(ctx, a.Clock, callTime)
	defer done()
	small, agreed, err := a.agreed(limited) // before the lists: what is newer in those is adopted early
	if err != nil {
		return err
	}
	if a.View().Map == nil {
		return errs.E("member.adopt", errs.Busy, errors.New("the node has not joined the cluster yet"))
	}
	listed, docs, err := a.list(limited)
	if err != nil {
		return err
	}
	there := objects.NewAccounts(docs...)
	var lost []*objects.Account
	for _, own := range a.Shelf.Accounts().Documents() { // of who founded the cluster, or lost where they were kept
		if there.Version(own.ID()) < own.Version {
			lost = append(lost, own)
		}
	}
	if len(lost) > 0 {
		if err := a.restore(limited, small, agreed, listed, lost); err != nil {
			return err
		}
		return errs.E("member.adopt", errs.Busy, fmt.Errorf("%d of them were written again", len(lost)))
	}
	if err := a.Shelf.AdoptAccounts(docs); err != nil {
		return err
	}
	a.seen.Store(agreed.Version)
	a.version.Store(max(a.version.Load(), agreed.Version))
	return nil
}

// list returns all documents, also by the key that they lie under.
func (a *Accounts) list(ctx context.Context) (listed map[string]cluster.Document, docs []*objects.Account, err error) {
	listed = make(map[string]cluster.Document)
	for _, prefix := range []string{a.keys.Users(), a.keys.Policies(), a.keys.Roles()} {
		list, err := a.store.List(ctx, prefix)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range list {
			doc := new(objects.Account)
			if err := json.Unmarshal(d.Value, doc); err != nil || a.key(doc.ID()) != d.Key {
				return nil, nil, errs.E("member.list", d.Key, errs.Corrupt, fmt.Errorf("it is not the document of an account: %w", err))
			}
			listed[d.Key] = d
			docs = append(docs, doc)
		}
	}
	return listed, docs, nil
}

// restoreWrites is how many documents are written again at once, beside the version: the
// provider bounds their bytes, too.
const restoreWrites = 16

// restore writes documents that this node has and the provider lacks, or has older versions
// of: the first of them, and who calls looks again.
func (a *Accounts) restore(ctx context.Context, small cluster.Document, agreed accountsDocument, listed map[string]cluster.Document, lost []*objects.Account) error {
	var writes []cluster.Write
	size := 0
	for _, own := range lost[:min(len(lost), restoreWrites)] {
		text, err := json.Marshal(own)
		if err != nil {
			return err
		}
		if size += len(text); size > cluster.MaxDocumentBytes/2 && len(writes) > 0 {
			break
		}
		was := listed[a.key(own.ID())]
		was.Key = a.key(own.ID())
		writes = append(writes, was.Put(text))
	}
	line, err := json.Marshal(a.following(agreed, lost[:len(writes)]...))
	if err != nil {
		return err
	}
	return a.store.Commit(ctx, append(writes, small.Put(line))...)
}

// mendEvery is between two looks at whether documents are to be mended.
const mendEvery = 10 * time.Second

// mendAll has documents mended while this node leads, until the context ends.
func (a *Accounts) mendAll(ctx context.Context) {
	for cluster.Pause(ctx, a.Clock, mendEvery) {
		if view := a.View(); a.Mend == nil || view.Map == nil || view.Leader != view.Self {
			continue
		}
		for _, doc := range a.Shelf.Accounts().Documents() {
			if a.Mend(doc) == nil {
				continue
			}
			_, err := a.ChangeAccount(ctx, func(all *objects.Accounts) (*objects.Account, error) {
				if now := all.Find(doc.Kind, doc.Name); now != nil {
					return a.Mend(now), nil
				}
				return nil, nil
			})
			if err != nil {
				a.Log.WithError(err).WithField("account", doc.ID().String()).Warn("a document of accounts could not be written anew")
				break
			}
		}
	}
}
