package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// accountsFolder is where documents of accounts lie on a shelf: accounts/<kind>-<name>.json.
const accountsFolder = "accounts"

// Accounts are the documents of users, policies and roles on the node's disks: all that
// there are of a node that is alone, what was adopted of a node in a cluster. Safe for
// concurrent use. A node without accounts writes nothing.
type Accounts struct {
	folder *Folder
	// Adopted is told the accounts whenever they are others, before the change returns;
	// set before the first change. It does not block.
	Adopted func(*objects.Accounts)

	mu sync.Mutex // guards the order of changes
	// tried are the greatest versions of which a write failed: some disk may have them.
	tried   map[objects.AccountID]uint64
	current atomic.Pointer[objects.Accounts]
}

// Accounts returns the documents of accounts that are in force, and what could not be
// read: a node serves whatever has become of these documents.
func (d *Documents) Accounts(clock clock.Clock) (a *Accounts, unread []error) {
	const op errs.Op = "embedded.Accounts"
	a = &Accounts{
		folder: &Folder{name: accountsFolder, clock: clock, documents: d}, tried: make(map[objects.AccountID]uint64),
		Adopted: func(*objects.Accounts) {},
	}
	all, unread := a.folder.All()
	var docs []*objects.Account
	for id, content := range all {
		doc := new(objects.Account)
		if err := json.Unmarshal(content, doc); err != nil || accountFile(doc.ID()) != id {
			unread = append(unread, errs.E(op, id, errs.Corrupt, fmt.Errorf("it is not the document of an account: %w", err)))
			continue
		}
		docs = append(docs, doc)
	}
	a.current.Store(objects.NewAccounts(docs...))
	return a, unread
}

// accountFile names a document: names are of letters, digits and what file names may have.
func accountFile(id objects.AccountID) string { return string(id.Kind) + "-" + id.Name }

// Accounts returns all that there are. An immutable value, never nil.
func (a *Accounts) Accounts() *objects.Accounts { return a.current.Load() }

// ChangeAccount changes one document of a node that is alone: change makes it out of those
// that there are, and leaves Version to be set; nil changes nothing. It returns what is in
// force then. If too many mountpaths fail, nothing is in force but what was, and the next
// start decides by majority whether the change happened. Blocks on the disks.
func (a *Accounts) ChangeAccount(_ context.Context, change func(*objects.Accounts) (*objects.Account, error)) (*objects.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	have := a.current.Load()
	doc, err := change(have)
	if err != nil || doc == nil {
		return nil, err
	}
	doc.Version = max(have.Version(doc.ID()), a.tried[doc.ID()]) + 1
	if err := have.Check(doc); err != nil {
		return nil, err
	}
	if err := a.put(doc); err != nil {
		return nil, err
	}
	a.show(doc)
	return doc, nil
}

// AdoptAccounts puts documents on the disks that all nodes agreed on; those that are not
// newer change nothing. Blocks on the disks.
func (a *Accounts) AdoptAccounts(docs []*objects.Account) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	have := a.current.Load()
	var newer []*objects.Account
	var failure error
	for _, doc := range docs {
		if have.Version(doc.ID()) >= doc.Version {
			continue
		}
		if failure = a.put(doc); failure != nil {
			break
		}
		newer = append(newer, doc)
	}
	if len(newer) > 0 {
		a.show(newer...)
	}
	return failure
}

// show puts documents in force that are on the disks. With mu held.
func (a *Accounts) show(docs ...*objects.Account) {
	next := a.current.Load().With(docs...)
	a.current.Store(next)
	a.Adopted(next)
}

// put puts a document on the disks. With mu held.
func (a *Accounts) put(doc *objects.Account) error {
	content, err := encode(doc)
	if err != nil {
		return err
	}
	if err := a.folder.Put(accountFile(doc.ID()), content); err != nil {
		a.tried[doc.ID()] = doc.Version
		return errs.E("embedded.PutAccount", doc.ID(), err)
	}
	delete(a.tried, doc.ID())
	return nil
}
