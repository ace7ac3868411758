package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// versionDocument is what lies under Keys.SmapVersion.
type versionDocument struct {
	Version uint64    `json:"version"`
	Lineage string    `json:"lineage"`
	Hash    smap.Hash `json:"hash"`
}

// mapFetched says what the provider has: a map, or none.
type mapFetched struct {
	next  *smap.Smap // nil: there is none, if err is nil
	err   error
	asked time.Duration // on Awake
}

// mapSaved says that a map is on stable storage, or why not.
type mapSaved struct {
	next *smap.Smap
	err  error
}

// mapWritten says how writing a map went.
type mapWritten struct {
	next     *smap.Smap // what is there now; nil: see err
	stale    bool       // what was to be replaced has been already
	filled   bool       // a bucket has been made meanwhile
	early    bool       // documents are others than the leader knows, or not all nodes know them yet
	restored bool
	reasons  []string
	unnamed  error   // why the cluster's name was left alone; nil: it leads to the cluster
	wishes   *wishes // as they are now; nil: they were not changed
	err      error
	asked    time.Duration // when the write began, on Awake

	placement []smap.NodeID // see decision
}

// recordWritten says how telling others of this node went.
type recordWritten struct{ err error }

// writing is what a task needs to write a map.
type writing struct {
	store   *cluster.Store
	keys    cluster.Keys
	held    func() bool // whether it may still be written; asked last
	reasons []string
	name    string   // of the cluster, for people
	id      string   // of the cluster
	buckets *Buckets // nil: none are followed
}

var (
	errWishesNewer = errors.New("operators want something else by now, and this node does not know yet")
	errLeadGone    = errors.New("the lead was lost before the map was written")
	errNameTaken   = errors.New("the name belongs to another cluster by now: start the node again with empty directories, and it joins that")
	errNameUnread  = errors.New("the key holds no id of a cluster, so that no node can join by the name: see docs/operations.md, Consul")
	errFormatKept  = errors.New("the cluster's documents are of another format than this program's")
)

// isForPeople reports whether a map cannot be written before somebody has mended what is wrong.
func isForPeople(err error) bool {
	return errors.Is(err, errNameTaken) || errors.Is(err, errNameUnread) || errors.Is(err, errFormatKept)
}

// fetch reads the map by a consistent read.
func fetch(ctx context.Context, store *cluster.Store, keys cluster.Keys) *mapFetched {
	doc, err := store.Get(ctx, keys.Smap())
	if err != nil || !doc.Exists() {
		return &mapFetched{err: err}
	}
	next, err := smap.Parse(doc.Value)
	if err != nil {
		return &mapFetched{err: errs.E("member.fetch", doc.Key, errs.Corrupt, err)}
	}
	return &mapFetched{next: next}
}

// present reads the map that is to be replaced, and its small companion.
func (w writing) present(ctx context.Context) (doc, version cluster.Document, now *smap.Smap, err error) {
	if doc, err = w.store.Get(ctx, w.keys.Smap()); err != nil {
		return doc, version, nil, err
	}
	if version, err = w.store.Get(ctx, w.keys.SmapVersion()); err != nil {
		return doc, version, nil, err
	}
	if doc.Exists() {
		now, err = smap.Parse(doc.Value)
	}
	return doc, version, now, err
}

// put writes a map in place of what was read, with further conditions.
func (w writing) put(ctx context.Context, next *smap.Smap, doc, version cluster.Document, also ...cluster.Write) error {
	text, err := next.MarshalJSON()
	if err != nil {
		return err
	}
	small, err := json.Marshal(versionDocument{next.Version(), next.Lineage(), next.Hash()})
	if err != nil {
		return err
	}
	if !w.held() {
		return errs.E("member.write", errs.Conflict, errLeadGone)
	}
	return w.store.Commit(ctx, append([]cluster.Write{doc.Put(text), version.Put(small)}, also...)...)
}

// change writes the successor of a map, if that is still the present one, and the
// wishes with it. Known are these as the leader knows them.
func (w writing) change(ctx context.Context, base *smap.Smap, known wishes, d decision) *mapWritten {
	doc, version, now, err := w.present(ctx)
	if err != nil {
		return &mapWritten{err: err}
	}
	if now == nil || now.Hash() != base.Hash() {
		return &mapWritten{stale: true}
	}
	done := &mapWritten{reasons: d.reasons, placement: d.placement}
	var also []cluster.Write
	if d.empty {
		expect, empty, err := w.noBuckets(ctx)
		if err != nil || !empty {
			return &mapWritten{err: err, filled: err == nil}
		}
		also = append(also, expect)
	}
	switch {
	case d.wishes != nil:
		write, next, err := w.wish(ctx, known, d.wishes)
		if err != nil {
			return &mapWritten{err: err}
		}
		also, done.wishes = append(also, write), &next
	case d.known:
		expect, same, err := w.sameWishes(ctx, known)
		if err == nil && !same {
			err = errs.E("member.write", errs.Conflict, errWishesNewer)
		}
		if err != nil {
			return &mapWritten{err: err}
		}
		also = append(also, expect)
	}
	if len(d.expects) > 0 {
		writes, same, err := w.documents(ctx, d, version)
		if err != nil || !same {
			return &mapWritten{err: err, early: err == nil}
		}
		also = append(also, writes...)
	}
	for _, id := range d.forget {
		record, err := w.store.Get(ctx, w.keys.Node(string(id)))
		if err != nil {
			return &mapWritten{err: err}
		}
		if record.Exists() {
			also = append(also, record.Remove())
		}
	}
	if d.change == nil {
		if !w.held() {
			return &mapWritten{err: errs.E("member.write", errs.Conflict, errLeadGone)}
		}
		err = w.store.Commit(ctx, append(also, doc.Unchanged())...)
	} else {
		change := base.Change()
		d.change(change)
		if done.next, err = change.Done(); err != nil {
			return &mapWritten{err: err}
		}
		err = w.put(ctx, done.next, doc, version, also...)
	}
	if err != nil {
		return &mapWritten{err: err, stale: errs.Is(errs.Conflict, err)}
	}
	return done
}

// noBuckets reports whether there is no bucket, and the condition that none was made
// since: whoever makes one changes that document.
func (w writing) noBuckets(ctx context.Context) (expect cluster.Write, empty bool, err error) {
	version, err := w.store.Get(ctx, w.keys.BucketsVersion())
	if err != nil {
		return cluster.Write{}, false, err
	}
	list, err := w.store.List(ctx, w.keys.Buckets())
	return version.Unchanged(), len(list) == 0, err
}

// found writes the first map, where there has been none.
func (w writing) found(ctx context.Context, lineage string, nodes []smap.Node) *mapWritten {
	doc, version, now, err := w.present(ctx)
	if err != nil {
		return &mapWritten{err: err}
	}
	if now != nil {
		return &mapWritten{stale: true}
	}
	format, err := w.store.Get(ctx, w.keys.Format())
	want := strconv.Itoa(cluster.FormatVersion)
	switch {
	case err != nil:
		return &mapWritten{err: err}
	case format.Exists() && string(format.Value) != want:
		return &mapWritten{err: errs.E("member.found", format.Key, errs.Invalid, fmt.Errorf("%w: %s, not %s", errFormatKept, format.Value, want))}
	}
	next, err := smap.New(lineage, nodes...)
	if err != nil {
		return &mapWritten{err: err}
	}
	also := []cluster.Write{format.Put([]byte(want))}
	name, err := w.store.Get(ctx, cluster.NameKey(w.name))
	switch {
	case err != nil:
		return &mapWritten{err: err}
	case name.Exists() && !isID(name):
		return &mapWritten{err: errs.E("member.found", name.Key, errs.Corrupt, errNameUnread)}
	case name.Exists() && string(name.Value) != w.id: // a cluster that the provider had lost has it back
		return &mapWritten{err: errs.E("member.found", name.Key, errs.Conflict, fmt.Errorf("%w: %s", errNameTaken, name.Value))}
	case name.Exists():
		also = append(also, name.Unchanged())
	default:
		also = append(also, name.Put([]byte(w.id)))
	}
	if err := w.put(ctx, next, doc, version, also...); err != nil {
		return &mapWritten{err: err, stale: errs.Is(errs.Conflict, err)}
	}
	return &mapWritten{next: next, reasons: []string{"the cluster is founded"}}
}

// restore writes a map anew that all nodes have and the provider has lost, or of which
// it has an older version; and the name of the cluster with it, so that who joins by it finds
// this cluster and makes no other one.
func (w writing) restore(ctx context.Context, current *smap.Smap) *mapWritten {
	doc, version, now, err := w.present(ctx)
	if err != nil {
		return &mapWritten{err: err}
	}
	if now != nil && (now.Lineage() != current.Lineage() || now.Version() >= current.Version()) {
		return &mapWritten{stale: true}
	}
	format, err := w.store.Get(ctx, w.keys.Format())
	if err != nil {
		return &mapWritten{err: err}
	}
	also := []cluster.Write{format.Put([]byte(strconv.Itoa(cluster.FormatVersion)))}
	named, unnamed, err := w.named(ctx)
	if err != nil {
		return &mapWritten{err: err}
	}
	if err := w.put(ctx, current, doc, version, append(also, named...)...); err != nil {
		return &mapWritten{err: err, stale: errs.Is(errs.Conflict, err)}
	}
	return &mapWritten{next: current, restored: true, unnamed: unnamed, reasons: []string{"the map was lost, and all nodes have the same one"}}
}

// named returns what gives the cluster its name, or why that is left alone: another cluster
// has it by now, which was founded and not only looked for; or what is there cannot be read, and
// may be another one's all the same. The map does not wait for either.
func (w writing) named(ctx context.Context) (also []cluster.Write, unnamed, err error) {
	was, err := w.store.Get(ctx, cluster.NameKey(w.name))
	switch {
	case err != nil || string(was.Value) == w.id:
		return nil, nil, err
	case !was.Exists():
		return []cluster.Write{was.Put([]byte(w.id))}, nil, nil
	case !isID(was):
		return nil, errs.E("member.named", was.Key, errs.Corrupt, errNameUnread), nil
	}
	other, err := cluster.NewKeys(string(was.Value))
	if err != nil {
		return nil, nil, err
	}
	founded, err := w.store.Get(ctx, other.Smap())
	switch {
	case err != nil:
		return nil, nil, err
	case founded.Exists():
		return nil, errs.E("member.named", was.Key, errs.Conflict, fmt.Errorf("%w: %s", errNameTaken, was.Value)), nil
	}
	return []cluster.Write{was.Put([]byte(w.id)), founded.Unchanged()}, nil, nil
}

// isID reports whether what lies under a name can be the id of a cluster.
func isID(name cluster.Document) bool {
	_, err := cluster.NewKeys(string(name.Value))
	return err == nil
}

// tell writes this node's record.
func tell(ctx context.Context, store *cluster.Store, keys cluster.Keys, r Record) *recordWritten {
	text, err := json.Marshal(r)
	if err != nil {
		return &recordWritten{err}
	}
	err = store.Update(ctx, keys.Node(string(r.ID)), func(cluster.Document) ([]byte, error) { return text, nil })
	return &recordWritten{err}
}

// save puts what the node acts on on stable storage.
func save(archive Archive, next *smap.Smap, adopted Adopted) *mapSaved {
	text, err := next.MarshalJSON()
	if err == nil {
		adopted.Map = text
		err = archive.Save(adopted)
	}
	return &mapSaved{next: next, err: err}
}
