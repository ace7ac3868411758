package crash

import (
	"crypto/md5" //nolint:gosec // S3's ETag of a multipart object is an MD5 of MD5s
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/test/model"
)

// writer is one client of a history. It owns its keys: nobody else writes them,
// so their turns are its own order.
type writer struct {
	world  *world
	random *rand.Rand
	alone  bool // it is the only one: it may restart the store and drop buckets
	keys   []string

	uploads []*upload
	at      atomic.Pointer[progress]

	failures  []error // of the step under way
	afterStep func(progress, []error) error
	hitBefore uint64 // faults that had hit before the step
}

// progress is the step under way: its number, and what it does, for people.
type progress struct {
	step  int
	doing string
}

// upload is a multipart upload of the writer's that is under way.
type upload struct {
	key   objects.Key
	id    string
	draft objects.Draft
	parts map[int]*payload
}

func newWriter(w *world, number, writers int) *writer {
	x := &writer{world: w, alone: writers == 1, random: rand.New(rand.NewPCG(w.seed, 100+uint64(number)))}
	x.at.Store(&progress{})
	for i, name := range names() {
		// Names in each other's way belong to one writer or to several, by chance.
		if i%writers == number {
			x.keys = append(x.keys, name)
		}
	}
	if x.alone { // fewer keys are written more often
		x.random.Shuffle(len(x.keys), func(i, j int) { x.keys[i], x.keys[j] = x.keys[j], x.keys[i] })
		x.keys = x.keys[:4+x.random.IntN(len(x.keys)-4)]
	}
	return x
}

// action is one kind of step and how likely it is.
type action struct {
	weight int
	do     func(*writer)
}

func (x *writer) actions() []action {
	actions := []action{
		{20, (*writer).putSmall},
		{20, (*writer).putLarge},
		{12, (*writer).delete},
		{5, (*writer).createUpload},
		{12, (*writer).putPart},
		{7, (*writer).complete},
		{2, (*writer).abort},
		{3, (*writer).abandon},
		{4, (*writer).overtake},
		{3, (*writer).lateParts},
		{9, (*writer).reclaim},
		{4, (*writer).read},
	}
	if x.alone && x.world.relaxed {
		actions = append(actions, action{6, (*writer).checkpoint})
	}
	if x.alone {
		actions = append(actions, action{2, (*writer).restart}, action{2, (*writer).dropBucket})
	}
	return actions
}

// run takes so many steps.
func (x *writer) run(steps int) {
	actions := x.actions()
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	for step := 1; step <= steps && !x.world.wrong(); step++ {
		x.at.Store(&progress{step: step})
		at := x.random.IntN(total)
		for _, a := range actions {
			if at -= a.weight; at < 0 {
				a.do(x)
				break
			}
		}
		if x.afterStep != nil {
			if err := x.afterStep(*x.at.Load(), x.failures); err != nil {
				x.world.problem("%v", err)
			}
		}
		x.failures = nil
		if x.world.stopped {
			return
		}
	}
}

func (x *writer) store() *store.Store { return x.world.machine.store }

func (x *writer) says(format string, args ...any) {
	x.at.Store(&progress{x.at.Load().step, fmt.Sprintf(format, args...)})
}

// problem is world.problem with the step.
func (x *writer) problem(format string, args ...any) {
	at := x.at.Load()
	x.world.problem("step %d (%s): %s", at.step, at.doing, fmt.Sprintf(format, args...))
}

func (x *writer) key() objects.Key {
	live := x.world.buckets.Load().live
	return objects.Key{Bucket: live[x.random.IntN(len(live))], Name: x.keys[x.random.IntN(len(x.keys))]}
}

func (x *writer) draft() objects.Draft {
	d := objects.Draft{Class: objects.Synced}
	if x.world.relaxed && x.random.IntN(2) == 0 {
		d.Class = objects.Relaxed
	}
	n := x.world.made.Add(1)
	if x.random.IntN(4) > 0 {
		d.Headers.ContentType = fmt.Sprintf("type/%d", n)
	}
	for range x.random.IntN(3) {
		d.User = append(d.User, objects.Pair{Name: "k" + fmt.Sprint(len(d.User)), Value: fmt.Sprint(n)})
	}
	if x.random.IntN(12) == 0 { // longer than an attribute carries
		d.User = append(d.User, objects.Pair{Name: "long", Value: strings.Repeat(fmt.Sprint(n), 1<<10)})
	}
	if x.random.IntN(4) == 0 {
		d.Tags = []objects.Pair{{Name: "tag", Value: fmt.Sprint(n)}}
	}
	return d
}

func (x *writer) small() *payload {
	size := 0
	switch limit := x.world.machine.inline; x.random.IntN(6) {
	case 0:
	case 1:
		size = limit
	default:
		size = 1 + x.random.IntN(limit)
	}
	return newPayload(x.world.seed<<20|x.world.made.Add(1), size, x.draft())
}

func (x *writer) large() *payload {
	size := x.world.machine.inline + 1
	switch x.random.IntN(8) {
	case 0:
	case 1:
		size += x.random.IntN(300 << 10)
	default:
		size += x.random.IntN(24 << 10)
	}
	return newPayload(x.world.seed<<20|x.world.made.Add(1), size, x.draft())
}

// conditions are none, mostly, or some that hold or not.
func (x *writer) conditions(key objects.Key) objects.Conditions {
	if x.random.IntN(6) > 0 {
		return objects.Conditions{}
	}
	current, _ := x.world.model.Current(model.Object(key))
	switch x.random.IntN(5) {
	case 0:
		return objects.Conditions{IfNoneMatch: "*"}
	case 1:
		return objects.Conditions{IfMatch: "*"}
	case 2:
		return objects.Conditions{IfMatch: `"0123456789abcdef0123456789abcdef"`}
	default:
		if current == nil {
			return objects.Conditions{}
		}
		return objects.Conditions{IfMatch: `"` + current.ETag + `"`}
	}
}

// ended tells the model how an operation went, and judges the answer: want is
// what the product must refuse it with, or nil.
func (x *writer) ended(o *model.Operation, cell model.Cell, err, want error) {
	x.endedAt(objects.Synced, o, cell, err, want)
}

// endedAt is ended for a write in a durability class.
func (x *writer) endedAt(class objects.Durability, o *model.Operation, cell model.Cell, err, want error) {
	switch {
	case err == nil:
		if class == objects.Relaxed {
			o.Promise()
		} else {
			o.Acknowledge()
		}
		if want != nil {
			x.problem("%s: accepted, and must be refused with: %v", cell, want)
		}
	case want != nil && errors.Is(err, want):
		o.Refuse()
	case errors.Is(err, objects.ErrOutcomeUnknown):
		o.Doubt()
		if !x.world.faults {
			x.problem("%s: %v", cell, err)
		}
	default:
		o.Refuse()
		if !x.world.faults {
			x.problem("%s: %v", cell, err)
		}
	}
	x.checkError(cell, err)
}

// checkError checks that a failure has a kind and names what it is about.
func (x *writer) checkError(cell model.Cell, err error) {
	if err == nil {
		return
	}
	if !x.expected(err) {
		x.failures = append(x.failures, err)
	}
	var e *errs.Error
	if !errors.As(err, &e) {
		x.problem("%s: an error without a kind: %v", cell, err)
		return
	}
	if !namesKey(err, cell.Name) {
		x.problem("%s: the error does not name the key: %v", cell, err)
	}
}

// expected reports whether an error is an answer, not a failure.
func (x *writer) expected(err error) bool {
	for _, answer := range []error{objects.ErrNoSuchKey, objects.ErrPreconditionFailed, objects.ErrNoSuchUpload} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// wanted is what conditions on the key must be refused with; nil in doubt.
func (x *writer) wanted(key objects.Key, c objects.Conditions) error {
	current, certain := x.world.model.Current(model.Object(key))
	if !certain {
		return nil
	}
	return model.Judge(c, current)
}

// receipt checks what an acknowledged write was answered with.
func (x *writer) receipt(r objects.Receipt, err error, want *model.Value) {
	if err != nil {
		return
	}
	if r.Meta == nil || r.Meta.ETag != want.ETag || r.Meta.Size != want.Size || r.Class != want.Draft.Class || r.Generation != r.Meta.Generation {
		x.problem("the receipt %+v is not that of %s", r, want)
	}
}

func (x *writer) putSmall() {
	key, p := x.key(), x.small()
	x.says("put %s, %d bytes inline", key, len(p.bytes))
	x.commitSmall(key, p, x.conditions(key))
}

func (x *writer) commitSmall(key objects.Key, p *payload, c objects.Conditions) {
	want := x.wanted(key, c)
	cell := model.Object(key)
	o := x.world.model.Begin(model.Change{Cell: cell, Value: p.value()})
	r, err := x.store().PutInline(key, p.meta(), p.bytes, c, objects.Origin{})
	x.receipt(r, err, p.value())
	x.ended(o, cell, err, want)
}

func (x *writer) putLarge() {
	key, p := x.key(), x.large()
	x.says("put %s, a file of %d bytes", key, len(p.bytes))
	if in := x.incoming(key, p); in != nil {
		x.commitLarge(in, key, p, x.conditions(key))
	}
}

// incoming creates and seals the file of a large object. Nil: that failed, and it
// was abandoned.
func (x *writer) incoming(key objects.Key, p *payload) *store.Incoming {
	hint := int64(-1)
	if x.random.IntN(2) == 0 {
		hint = int64(len(p.bytes))
	}
	in, err := x.store().Create(key, p.draft, hint)
	if err != nil {
		x.failed(key, err)
		return nil
	}
	if !x.fill(in, key, p) {
		return nil
	}
	return in
}

// fill appends and seals; on failure it tries to get the failure forgotten, as a
// careless caller might, and then abandons.
func (x *writer) fill(in *store.Incoming, key objects.Key, p *payload) bool {
	in.Modified = p.meta().Modified
	rest := p.bytes
	for len(rest) > 0 {
		n := min(len(rest), 1+x.random.IntN(64<<10))
		if err := in.Append(rest[:n]); err != nil {
			x.failed(key, err)
			x.abandoned(in, key)
			return false
		}
		rest = rest[n:]
	}
	if err := in.Seal(p.sums, p.sums.ETag()); err != nil {
		x.failed(key, err)
		if again := in.Seal(p.sums, p.sums.ETag()); again == nil {
			x.problem("a payload that could not be synced was sealed at the second try: first: %v", err)
		}
		x.abandoned(in, key)
		return false
	}
	return true
}

func (x *writer) abandoned(in *store.Incoming, key objects.Key) {
	if err := in.Abandon(); err != nil {
		x.failed(key, err)
	}
}

// failed judges an error of a step that changed nothing that the model knows.
func (x *writer) failed(key objects.Key, err error) {
	if !x.world.faults {
		x.problem("%v", err)
	}
	x.checkError(model.Object(key), err)
}

func (x *writer) commitLarge(in *store.Incoming, key objects.Key, p *payload, c objects.Conditions) {
	want := x.wanted(key, c)
	cell := model.Object(key)
	o := x.world.model.Begin(model.Change{Cell: cell, Value: p.value()})
	r, err := x.store().CommitFile(in, p.meta(), c, objects.Origin{})
	x.receipt(r, err, p.value())
	x.endedAt(p.draft.Class, o, cell, err, want)
}

func (x *writer) delete() {
	key := x.key()
	x.says("delete %s", key)
	x.deleteKey(key, x.conditions(key))
}

func (x *writer) deleteKey(key objects.Key, c objects.Conditions) {
	want := x.wanted(key, c)
	cell := model.Object(key)
	current, certain := x.world.model.Current(cell)
	o := x.world.model.Begin(model.Change{Cell: cell})
	existed, _, err := x.store().Delete(key, c, objects.Origin{})
	if err == nil && certain && existed != (current != nil) {
		x.problem("the delete says that there was an object: %t; the model: %s", existed, current)
	}
	x.ended(o, cell, err, want)
}

func (x *writer) createUpload() {
	u := &upload{key: x.key(), id: fmt.Sprintf("%016x%016x", x.world.seed, x.world.made.Add(1)), draft: x.draft(), parts: make(map[int]*payload)}
	x.says("create upload %s of %s", u.id, u.key)
	cell := model.Upload(u.key, u.id)
	o := x.world.model.Begin(model.Change{Cell: cell, Value: &model.Value{Draft: u.draft}})
	err := x.store().CreateUpload(u.key, objects.Upload{ID: u.id, Name: u.key.Name, Draft: u.draft})
	x.ended(o, cell, err, nil)
	if err == nil {
		x.uploads = append(x.uploads, u)
	}
}

func (x *writer) upload() *upload {
	if len(x.uploads) == 0 {
		x.createUpload()
	}
	if len(x.uploads) == 0 {
		return nil
	}
	return x.uploads[x.random.IntN(len(x.uploads))]
}

func (x *writer) forget(u *upload) {
	x.uploads = slices.DeleteFunc(x.uploads, func(other *upload) bool { return other == u })
}

func (x *writer) part() *payload {
	size := x.random.IntN(20 << 10)
	if x.random.IntN(6) == 0 {
		size = 0
	}
	return newPayload(x.world.seed<<20|x.world.made.Add(1), size, objects.Draft{})
}

func (x *writer) putPart() {
	if u := x.upload(); u != nil {
		number, p := 1+x.random.IntN(4), x.part()
		x.says("put part %d of upload %s, %d bytes", number, u.id, len(p.bytes))
		if in := x.incomingPart(u, number, p); in != nil {
			x.commitPart(in, u, number, p)
		}
	}
}

func (x *writer) incomingPart(u *upload, number int, p *payload) *store.Incoming {
	in, err := x.store().CreatePart(u.key, u.id, number, int64(len(p.bytes)))
	if err != nil {
		x.failed(u.key, err)
		return nil
	}
	if !x.fill(in, u.key, p) {
		return nil
	}
	return in
}

func (x *writer) commitPart(in *store.Incoming, u *upload, number int, p *payload) {
	cell := model.Part(u.key, u.id, number)
	o := x.world.model.Begin(model.Change{Cell: cell, Value: p.value()})
	part, err := x.store().CommitPart(in, p.sums, p.sums.ETag())
	x.ended(o, cell, err, nil)
	switch {
	case err == nil && (part.Number != number || part.Size != p.sums.Size || part.ETag != p.sums.ETag()):
		x.problem("the answer is part %+v", part)
	case err == nil:
		u.parts[number] = p
	case errors.Is(err, objects.ErrOutcomeUnknown):
		x.forget(u) // what it holds is not known any more
	}
}

func (x *writer) complete() {
	u := x.upload()
	if u == nil || len(u.parts) == 0 {
		return
	}
	var whole []byte
	etags := md5.New() //nolint:gosec // see the import
	m := &messages.CompleteUpload{Key: u.key, UploadID: u.id, Size: -1, Conditions: x.conditions(u.key)}
	changes := []model.Change{{Cell: model.Upload(u.key, u.id)}}
	for number := 1; number <= 4; number++ {
		p := u.parts[number]
		if p == nil {
			continue
		}
		changes = append(changes, model.Change{Cell: model.Part(u.key, u.id, number)})
		if len(m.Parts) > 0 && x.random.IntN(4) == 0 {
			continue // a part that the client does not name
		}
		whole = append(whole, p.bytes...)
		raw, err := hex.DecodeString(p.sums.ETag())
		if err != nil {
			x.problem("the entity tag %q", p.sums.ETag())
			return
		}
		etags.Write(raw)
		m.Parts = append(m.Parts, messages.CompletePart{Number: number, ETag: p.sums.ETag()})
	}
	x.says("complete upload %s of %s with %d of %d parts, %d bytes", u.id, u.key, len(m.Parts), len(u.parts), len(whole))
	value := &model.Value{Size: int64(len(whole)), Digest: digest(whole), ETag: fmt.Sprintf("%x-%d", etags.Sum(nil), len(m.Parts)), Draft: u.draft}
	want := x.wanted(u.key, m.Conditions)
	cell := model.Object(u.key)
	o := x.world.model.Begin(append(changes, model.Change{Cell: cell, Value: value})...)
	r, err := x.store().CompleteUpload(m)
	x.receipt(r, err, value)
	x.ended(o, cell, err, want)
	if err == nil {
		if again, err := x.store().CompleteUpload(m); err != nil && want == nil && !x.world.faults {
			x.problem("a complete that was repeated: %v", err)
		} else if err == nil && again.Generation != r.Generation {
			x.problem("a complete that was repeated made another object")
		}
	}
	if err == nil || errors.Is(err, objects.ErrOutcomeUnknown) {
		x.forget(u)
	}
}

func (x *writer) abort() {
	if u := x.upload(); u != nil {
		x.says("abort upload %s of %s", u.id, u.key)
		x.abortUpload(u)
	}
}

func (x *writer) abortUpload(u *upload) {
	changes := []model.Change{{Cell: model.Upload(u.key, u.id)}}
	for number := range u.parts {
		changes = append(changes, model.Change{Cell: model.Part(u.key, u.id, number)})
	}
	o := x.world.model.Begin(changes...)
	err := x.store().AbortUpload(u.key, u.id)
	x.ended(o, model.Upload(u.key, u.id), err, nil)
	if err == nil || errors.Is(err, objects.ErrOutcomeUnknown) {
		x.forget(u)
	}
}

// lateParts ends an upload while one of its parts is on its way: the part must be
// refused, and leave nothing.
func (x *writer) lateParts() {
	u := x.upload()
	if u == nil {
		return
	}
	p := x.part()
	x.says("abort upload %s of %s before a part of %d bytes comes in", u.id, u.key, len(p.bytes))
	in := x.incomingPart(u, 1, p)
	if in == nil {
		return
	}
	x.abortUpload(u)
	if x.random.IntN(2) == 0 {
		x.reclaimSome(100)
	}
	if slices.Contains(x.uploads, u) { // the abort failed
		x.abandoned(in, u.key)
		return
	}
	if _, err := x.store().CommitPart(in, p.sums, p.sums.ETag()); err == nil {
		x.problem("a part was accepted after its upload had ended")
	} else if !x.world.faults && !errors.Is(err, objects.ErrNoSuchUpload) {
		x.problem("%v", err)
	}
}

// abandon begins a large write and gives it up.
func (x *writer) abandon() {
	key, p := x.key(), x.large()
	x.says("begin to put %s and give up", key)
	in, err := x.store().Create(key, p.draft, -1)
	if err != nil {
		x.failed(key, err)
		return
	}
	if x.random.IntN(2) == 0 {
		if !x.fill(in, key, p) {
			return
		}
	} else if err := in.Append(p.bytes); err != nil {
		x.failed(key, err)
	}
	x.abandoned(in, key)
}

// overtake lets a write that began later commit first: payload generations are
// taken when a transfer starts, generations in the turn.
func (x *writer) overtake() {
	key, slow := x.key(), x.large()
	x.says("put %s, a file that a later write overtakes", key)
	in := x.incoming(key, slow)
	if in == nil {
		return
	}
	switch x.random.IntN(3) {
	case 0:
		x.commitSmall(key, x.small(), objects.Conditions{})
	case 1:
		x.deleteKey(key, objects.Conditions{})
	default:
		fast := x.large()
		if second := x.incoming(key, fast); second != nil {
			x.commitLarge(second, key, fast, objects.Conditions{})
		}
	}
	x.commitLarge(in, key, slow, x.conditions(key))
}

func (x *writer) reclaim() {
	limit := 1 + x.random.IntN(5)
	x.says("reclaim %d", limit)
	x.reclaimSome(limit)
}

func (x *writer) reclaimSome(limit int) {
	if !x.alone { // one caller at a time: the first writer
		return
	}
	if _, err := x.store().Reclaim(limit); err != nil {
		x.failures = append(x.failures, err)
		if !x.world.faults {
			x.problem("reclaim: %v", err)
		}
	}
}

func (x *writer) checkpoint() {
	x.says("checkpoint")
	switch err := x.store().Checkpoint(); {
	case err == nil:
		x.world.model.Checkpoint()
	default:
		x.failures = append(x.failures, err)
		if !x.world.faults {
			x.problem("checkpoint: %v", err)
		}
	}
}

func (x *writer) read() {
	key := x.key()
	x.says("read %s", key)
	want, certain := x.world.model.Current(model.Object(key))
	got, err := readObject(x.store(), key)
	switch {
	case errs.Is(errs.Corrupt, err):
		x.problem("%s is said to be corrupt, and nothing damaged it: %v", key, err)
	case err != nil:
		x.failed(key, err)
	case certain && !got.Equal(want):
		x.problem("%s holds %s, and must hold %s", key, got, want)
	}
}

func (x *writer) restart() {
	x.says("close and open")
	if err := x.world.machine.restart(); err != nil {
		if !x.world.faults {
			x.problem("%v", err)
		}
		x.world.stopped = true // the process ends here; the power goes next
	}
}

// dropBucket empties the last bucket, destroys it and makes one of the same name.
func (x *writer) dropBucket() {
	set := x.world.buckets.Load()
	bucket := set.live[len(set.live)-1]
	x.says("empty and drop bucket %s", bucket.ID)
	for _, name := range names() {
		key := objects.Key{Bucket: bucket, Name: name}
		if current, certain := x.world.model.Current(model.Object(key)); current != nil || !certain {
			x.deleteKey(key, objects.Conditions{})
			if now, certain := x.world.model.Current(model.Object(key)); now != nil || !certain {
				return // not empty
			}
		}
	}
	others := set.live[:len(set.live)-1]
	x.world.buckets.Store(&bucketSet{live: others, dropping: &bucket})
	if err := x.store().DropBucket(bucket); err != nil {
		x.failures = append(x.failures, err)
		if !x.world.faults {
			x.problem("%v", err)
		}
		return
	}
	x.uploads = slices.DeleteFunc(x.uploads, func(u *upload) bool { return u.key.Bucket == bucket })
	next := bucket
	next.ID = x.world.bucketID()
	x.world.buckets.Store(&bucketSet{live: append(slices.Clone(others), next)})
}
