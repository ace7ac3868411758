package store

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The scrubber reads what is stored, in the order of the index, and compares it with its
// checksums. A cycle is one walk over everything. It begins half of the days after the one
// before, and is to be through nine tenths of a half later: so no more than 0.95 of the
// days lie between two looks at the same payload. Before a cycle, and now and then in it,
// it is counted how many bytes are left.

const (
	// walkKeys and walkBytes bound a step that walks, countKeys one that counts.
	walkKeys  = 512
	walkBytes = 1 << 20
	countKeys = 4096
	// scrubNotes is how often progress is noted: what a crash costs is read again.
	scrubNotes = 30 * time.Second
	// listedFindings bounds the list of what was found, and that of what was skipped.
	listedFindings = 100
	// listedDamage bounds the list of what is damaged now.
	listedDamage = 1000
	// mostTaken bounds how many reads of clients are known.
	mostTaken = 1 << 14
)

// ScrubOrder says how to scrub.
type ScrubOrder struct {
	Within  time.Duration    // every payload is verified once in so long
	Buckets []objects.Bucket // that there are; keys of others are passed over
	Before  func()           // is called before each call of the disk
}

// ScrubStep says what a step has done.
type ScrubStep struct {
	Read  int64         // bytes
	Rest  time.Duration // nothing is to be done for so long
	Left  int64         // bytes of the cycle; the step after may know better
	Until time.Duration // until the cycle is to be through; below 0: it is late
	Found bool          // something is damaged
}

// Scrub is what is known of the verification of a store's payloads. Step, Skip and Anew are
// for one caller at a time; the others may be called by anybody.
type Scrub struct {
	store    *Store
	stepping sync.Mutex // held by who is in Step
	unit     *scrubUnit // under way; nil: the walk goes on. Of who steps
	room     []byte     // likewise
	counting *scrubCount
	in       rangeID // where the walk is

	noting sync.Mutex // held by who writes the journal; before mu

	mu       sync.Mutex
	state    layout.Scrub
	dirty    bool
	ranges   map[rangeID]*scrubRange
	dropped  []rangeID // are to be removed from the index
	noted    time.Time
	off      bool
	read     int64
	took     int64
	passing  int64
	findings []messages.ScrubFinding
	skips    []messages.ScrubFinding
	taken    map[objects.Generation]time.Time
	subject  objects.Key // what the next step is about; without a name: the walk of a bucket
	width    time.Duration
	within   time.Duration
}

// scrubCount counts what is left.
type scrubCount struct {
	at    []byte // the next key
	left  int64
	ahead map[rangeID][]layout.ScrubSpan
}

// Scrub returns what is known of the verification of payloads.
func (s *Store) Scrub() *Scrub { return s.scrub }

// openScrub reads how far the scrubber was. What is damaged of that begins anew.
func (s *Store) openScrub() error {
	c := &Scrub{store: s, ranges: make(map[rangeID]*scrubRange), taken: make(map[objects.Generation]time.Time), noted: s.now(), off: true}
	s.scrub = c
	lower, upper := layout.ScrubBounds()
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return errs.E("store.openScrub", err)
	}
	for scan.Next() {
		value, err := scan.Value()
		if err == nil {
			err = c.load(scan.Key(), value)
		}
		if err != nil {
			s.log.WithError(err).Error("what the scrubber had verified is damaged; that of it is verified anew")
		}
	}
	err = errors.Join(scan.Err(), scan.Close())
	if errs.Is(errs.Corrupt, err) {
		s.log.WithError(err).Error("what the scrubber had verified is damaged; it begins anew")
		return nil
	}
	return errs.Wrap("store.openScrub", err)
}

func (c *Scrub) load(key, value []byte) error {
	if len(key) == len(layout.ScrubKey()) {
		state, err := layout.DecodeScrub(value)
		if err == nil {
			c.state = *state
		}
		return err
	}
	bucket, kind, err := layout.ParseScrubRangeKey(key)
	if err != nil {
		return err
	}
	r, err := layout.DecodeScrubRange(value)
	if err == nil {
		c.ranges[rangeID{bucket, kind}] = &scrubRange{ScrubRange: *r}
	}
	return err
}

// Anew says that another one steps from now on: what was under way is begun again, unless
// the last one has not come back from it.
func (c *Scrub) Anew() {
	if !c.stepping.TryLock() {
		return
	}
	defer c.stepping.Unlock()
	c.unit, c.counting = nil, nil
	c.setSubject(objects.Key{Bucket: c.Subject().Bucket}) // whose walk it may be that panicked
}

// Off says that nobody scrubs for now.
func (c *Scrub) Off(off bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
}

// Subject is what the next step is about: a key, or without a name the bucket that the walk
// is in. Zero: neither.
func (c *Scrub) Subject() objects.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subject
}

func (c *Scrub) setSubject(key objects.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subject = key
}

// errStepping says that a step has not come back.
var errStepping = errors.New("a scrubber was killed in a call that has not come back from the disk")

// Step does the next piece of work: some records of the index, or some megabytes of a
// payload. Blocks on the disk.
func (c *Scrub) Step(o ScrubOrder) (step ScrubStep, err error) {
	const op errs.Op = "store.Scrub"
	if !c.stepping.TryLock() {
		return ScrubStep{}, errs.E(op, errs.Busy, errStepping)
	}
	defer c.stepping.Unlock()
	if c.store.readOnly {
		return ScrubStep{}, errs.E(op, errs.Offline, errors.New("the mountpath is only read"))
	}
	if o.Before == nil {
		o.Before = func() {}
	}
	now := c.store.now()
	c.mu.Lock()
	c.within, c.width = o.Within, max(o.Within/maxSpans, time.Second)
	rest := c.begin(now)
	count := rest == 0 && (c.counting != nil || now.Sub(c.state.Counted).Abs() > o.Within/32) && c.unit == nil
	c.mu.Unlock()
	o.Before()
	switch {
	case rest > 0:
		step.Rest = rest
	case count:
		err = c.count()
	case c.unit != nil:
		step.Read, step.Found, err = c.readOn(o)
	default:
		step.Read, step.Found, err = c.walk(o)
	}
	if noted := c.notedAt(); now.Sub(noted).Abs() >= scrubNotes || rest > 0 {
		o.Before()
		err = errors.Join(err, c.Note())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += step.Read
	if c.unit == nil { // the walk goes on in its bucket
		c.subject.Name = ""
	}
	step.Left, step.Until = c.state.Remaining, c.due().Sub(now)
	return step, errs.Wrap(op, err)
}

func (c *Scrub) notedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noted
}

// begin begins a cycle if it is time to, or returns how long that is to come. With mu.
func (c *Scrub) begin(now time.Time) (rest time.Duration) {
	st := &c.state
	if st.Cycle > 0 && st.Ended.IsZero() && !st.Begun.After(now.Add(time.Hour)) {
		return 0
	}
	if st.Cycle > 0 && !st.Ended.IsZero() {
		if rest = st.Begun.Add(c.within / 2).Sub(now); rest > 0 && rest <= c.within/2 { // else the clock was set back
			return rest
		}
	}
	found := st.Found
	c.state = layout.Scrub{Cycle: st.Cycle + 1, Begun: now, Found: found}
	for _, r := range c.ranges {
		r.anew()
	}
	clear(c.taken)
	c.took, c.in, c.dirty = 0, rangeID{}, true
	return 0
}

// due is by when the cycle is to be through. With mu.
func (c *Scrub) due() time.Time { return c.state.Begun.Add(c.within / 20 * 9) }

// after returns the key behind which the walk goes on, and the end of its kind.
func (c *Scrub) after() (lower, upper []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch at := c.state.At; {
	case at == "":
		return []byte{layout.KindObject}, []byte{layout.KindObject + 1}
	case len(at) == 1:
		return []byte(at), []byte{at[0] + 1}
	default:
		return append([]byte(at), 0), []byte{at[0] + 1}
	}
}

// walk looks at records until there is a payload to be read.
func (c *Scrub) walk(o ScrubOrder) (read int64, found bool, err error) {
	s := c.store
	lower, upper := c.after()
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	ok := scan.Next()
	for n := 0; ok && n < walkKeys && read < walkBytes; n++ {
		id := bucketOf(scan.Key())
		i := slices.IndexFunc(o.Buckets, func(b objects.Bucket) bool { return b.ID == id })
		if i < 0 { // it is being destroyed, or was
			end := endOfBucket(scan.Key()[0], id)
			c.advance(end, 0)
			ok = scan.SeekGE([]byte(end))
			continue
		}
		c.setSubject(objects.Key{Bucket: o.Buckets[i]})
		value, err := scan.Value()
		if err != nil {
			return read, found, errors.Join(err, scan.Close())
		}
		more, damaged, err := c.look(o.Buckets[i], scan.Key(), value)
		read, found = read+more, found || damaged
		if err != nil || c.unit != nil || damaged {
			return read, found, errors.Join(err, scan.Close())
		}
		ok = scan.Next()
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		return read, found, err
	}
	if !ok {
		c.endOfKind(upper)
	}
	return read, found, nil
}

// bucketOf returns the bucket in a key of the index; zero if it has none.
func bucketOf(key []byte) (id objects.BucketID) {
	if len(key) > len(id) {
		copy(id[:], key[1:])
	}
	return id
}

// endOfBucket is behind all keys of a kind in a bucket, and no key itself.
func endOfBucket(kind byte, id objects.BucketID) string {
	if _, upper := layout.BucketBounds(kind, id); len(upper) > 1 {
		return string(upper)
	}
	return string([]byte{kind}) + strings.Repeat("\xff", 4<<10)
}

// endOfKind goes on to the uploads, or ends the cycle.
func (c *Scrub) endOfKind(upper []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave()
	c.dirty, c.subject = true, objects.Key{}
	if upper[0] == layout.KindObject+1 {
		c.state.At = string([]byte{layout.KindUpload})
		return
	}
	c.state.Ended, c.state.Remaining = c.store.now(), 0
	for id, r := range c.ranges {
		if len(r.Verified) == 0 { // nothing is there any more
			c.drop(id)
		}
		r.through()
	}
}

// drop forgets a range. With mu.
func (c *Scrub) drop(id rangeID) {
	delete(c.ranges, id)
	c.dropped = append(c.dropped, id)
}

// leave says that the walk leaves the range that it is in. With mu.
func (c *Scrub) leave() {
	if r := c.ranges[c.in]; r != nil {
		r.through()
	}
	c.in = rangeID{}
}

// look looks at one record.
func (c *Scrub) look(bucket objects.Bucket, key, value []byte) (read int64, found bool, err error) {
	s := c.store
	if key[0] == layout.KindUpload {
		_, name, id, number, err := layout.ParseUploadKey(key)
		if err == nil && number == 0 {
			c.advance(string(key), 0)
			return 0, false, nil
		}
		var part *objects.Part
		if err == nil {
			part, err = layout.DecodePart(value)
		}
		u := &scrubUnit{key: objects.Key{Bucket: bucket, Name: name}, indexKey: append([]byte(nil), key...), kind: layout.KindUpload, upload: id}
		if err != nil {
			return 0, true, c.damaged(u, err)
		}
		u.parts, u.written = []objects.Part{*part}, part.Modified
		return 0, false, c.enter(u)
	}
	meta, err := layout.DecodeRecord(value)
	if err != nil {
		return 0, true, c.damaged(&scrubUnit{key: objects.Key{Bucket: bucket, Name: string(layout.ObjectName(key))}, indexKey: append([]byte(nil), key...), kind: layout.KindObject, meta: new(objects.Meta)}, err)
	}
	if meta.Deleted {
		c.advance(string(key), 0)
		return 0, false, nil
	}
	if s.isDamaged(meta.Payload) {
		c.passDamaged(&scrubUnit{key: objects.Key{Bucket: bucket, Name: string(layout.ObjectName(key))}, indexKey: append([]byte(nil), key...), kind: layout.KindObject, meta: meta, written: meta.Modified})
		return 0, false, nil
	}
	u, err := s.scrubObject(bucket, key, meta)
	if err != nil { // it is looked at twice, as files are
		u, err = s.scrubObject(bucket, key, meta)
	}
	switch {
	case err == nil && meta.Where == objects.Inline:
		c.pass(u, s.now(), true)
		return meta.Size, false, nil
	case err == nil:
		return 0, false, c.enter(u)
	}
	u.second, u.tries = true, scrubTries
	switch v, cause := s.judgeUnit(u, err); v {
	case verdictGone:
		c.advance(string(key), 0)
	case verdictDamaged:
		return 0, true, c.damaged(u, cause)
	default:
		c.skip(u, cause)
	}
	return 0, false, nil
}

// enter makes a unit the one under way, unless a client has verified it meanwhile.
func (c *Scrub) enter(u *scrubUnit) error {
	_, _, payload, _ := u.file()
	c.mu.Lock()
	at, taken := c.taken[payload]
	taken = taken && len(u.parts) <= 1 && (c.state.Cycle+payload.Seq*0x9e3779b97f4a7c15>>63)%2 == 0 // every second time it is read from the disk
	if taken {
		c.took += u.bytes()
	}
	c.subject = u.key
	c.mu.Unlock()
	if taken {
		c.pass(u, at, true)
		return nil
	}
	c.unit = u
	return nil
}

// readOn reads on in the unit under way.
func (c *Scrub) readOn(o ScrubOrder) (read int64, found bool, err error) {
	u := c.unit
	if c.room == nil {
		c.room = make([]byte, scrubReadBytes)
	}
	second := u.second
	if _, _, payload, _ := u.file(); c.store.isDamaged(payload) { // a part that was found
		c.nextPart(u)
		return 0, false, nil
	}
	read, done, err := c.store.readUnit(u, c.room, o.Before)
	if err == nil {
		c.mu.Lock()
		if second && !u.second {
			c.passing++
		}
		c.mu.Unlock()
		if done {
			c.through(u)
		}
		return read, false, nil
	}
	v, cause := c.store.judgeUnit(u, err)
	switch v {
	case verdictAgain:
		return read, false, nil
	case verdictLater:
		return read, false, errs.E("store.Scrub", u.key, errs.Busy, cause)
	}
	if v == verdictDamaged {
		c.find(u, cause)
		c.nextPart(u)
		return read, true, nil
	}
	c.unit = nil
	if v == verdictGone {
		c.advance(string(u.indexKey), 0)
	} else {
		c.skip(u, cause)
	}
	return read, false, nil
}

// nextPart goes on behind a file that is damaged.
func (c *Scrub) nextPart(u *scrubUnit) {
	u.again()
	u.second, u.tries, u.damaged = false, 0, true
	if u.part++; u.part >= len(u.parts) {
		c.through(u)
	}
}

// through says that all files of a unit have been looked at.
func (c *Scrub) through(u *scrubUnit) {
	c.unit = nil
	if u.damaged {
		c.passDamaged(u)
		return
	}
	c.pass(u, c.store.now(), true)
}

// Skip passes over what the next step would be about, since it is not to be looked at.
func (c *Scrub) Skip(why error) {
	if !c.stepping.TryLock() {
		return
	}
	defer c.stepping.Unlock()
	subject := c.Subject()
	c.setSubject(objects.Key{Bucket: subject.Bucket})
	switch u := c.unit; {
	case u != nil && subject.Name != "":
		c.unit = nil
		c.skip(u, why)
		return
	case subject.Name != "" || subject.Bucket.ID.IsZero():
		return
	}
	_, upper := c.after()
	kind := upper[0] - 1
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(&c.skips, messages.ScrubFinding{Key: subject, Reason: why.Error(), At: c.store.now()})
	c.state.Skipped++
	c.state.At = endOfBucket(kind, subject.Bucket.ID)
	if r := c.ranges[rangeID{subject.Bucket.ID, kind}]; r != nil { // what it has stays as old as it is
		r.Verified, r.Former, r.dirty = append(r.Verified, r.Former...), nil, true
		for len(r.Verified) > maxSpans {
			r.Verified = boundSpans(r.Verified)
		}
	}
	c.subject, c.dirty, c.in = objects.Key{}, true, rangeID{}
}

// skip passes over a unit that cannot be verified now: it stays as old as it is.
func (c *Scrub) skip(u *scrubUnit, why error) {
	c.mu.Lock()
	c.state.Skipped++
	c.note(&c.skips, c.finding(u, why))
	at := c.rangeOf(u).formerly(u.name(), u.written)
	c.mu.Unlock()
	c.store.log.WithError(why).WithField("key", u.key.String()).Warn("a payload cannot be verified now; the next cycle tries it again")
	c.pass(u, at, false)
}

// damaged notes a finding, and passes over the unit: it stays as old as it is.
func (c *Scrub) damaged(u *scrubUnit, why error) error {
	c.find(u, why)
	c.passDamaged(u)
	return nil
}

// find notes a finding.
func (c *Scrub) find(u *scrubUnit, why error) {
	c.mu.Lock()
	f := c.finding(u, why)
	c.state.Found++
	if f.Payload.IsZero() { // a record that cannot be read: nobody is given anything by it
		c.note(&c.findings, f)
	}
	c.mu.Unlock()
	if !f.Payload.IsZero() {
		d := layout.Damage{Key: u.key, Payload: f.Payload, Part: f.Part, Reason: f.Reason, Found: f.At}
		if f.Part > 0 {
			d.UploadID = u.upload
		}
		c.store.foundDamage(d, u.meta)
	}
	err := errs.E("store.Scrub", u.key, errs.Corrupt, why)
	c.store.log.WithError(err).WithField("key", u.key.String()).Error("a payload is not what was stored: nothing of it is given out any more")
	c.store.onEvent(Event{Kind: Damaged, Key: u.key, Err: err})
}

// passDamaged passes over a unit that is damaged.
func (c *Scrub) passDamaged(u *scrubUnit) {
	c.mu.Lock()
	at := c.rangeOf(u).formerly(u.name(), u.written)
	c.mu.Unlock()
	c.pass(u, at, false)
}

func (c *Scrub) finding(u *scrubUnit, why error) messages.ScrubFinding {
	f := messages.ScrubFinding{Key: u.key, Reason: why.Error(), At: c.store.now()}
	if u.meta != nil || u.parts != nil {
		_, _, f.Payload, f.Part = u.file()
	}
	if u.kind == layout.KindUpload {
		f.UploadID = u.upload
	}
	return f
}

// note adds to a list that is bounded. With mu.
func (c *Scrub) note(list *[]messages.ScrubFinding, f messages.ScrubFinding) {
	same := func(o messages.ScrubFinding) bool {
		return o.Key == f.Key && o.Payload == f.Payload && o.Part == f.Part
	}
	*list = append(slices.DeleteFunc(*list, same), f)
	if extra := len(*list) - listedFindings; extra > 0 {
		*list = slices.Delete(*list, 0, extra)
	}
}

// name is the unit's key without kind and bucket.
func (u *scrubUnit) name() string { return string(u.indexKey[1+len(objects.BucketID{}):]) }

// rangeOf returns the range of a unit. With mu.
func (c *Scrub) rangeOf(u *scrubUnit) *scrubRange {
	id := rangeID{u.key.Bucket.ID, u.kind}
	r := c.ranges[id]
	if r == nil {
		r = new(scrubRange)
		c.ranges[id] = r
		c.dropped = slices.DeleteFunc(c.dropped, func(other rangeID) bool { return other == id })
	}
	return r
}

// pass notes that a unit has been dealt with, and was verified, or written, at a time.
func (c *Scrub) pass(u *scrubUnit, at time.Time, verified bool) {
	c.mu.Lock()
	id := rangeID{u.key.Bucket.ID, u.kind}
	if c.in != id {
		c.leave()
		c.in = id
	}
	size := u.bytesKnown()
	c.rangeOf(u).pass(u.name(), at, size, 1, c.width)
	if verified {
		c.state.Bytes, c.state.Payloads = c.state.Bytes+size, c.state.Payloads+1
	}
	c.mu.Unlock()
	c.advance(string(u.indexKey), size)
}

// bytesKnown is bytes, 0 of a unit whose record is damaged.
func (u *scrubUnit) bytesKnown() int64 {
	if u.meta == nil && u.parts == nil {
		return 0
	}
	return u.bytes()
}

// advance says that the walk has dealt with a key.
func (c *Scrub) advance(key string, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.At, c.dirty = key, true
	c.state.Remaining = max(c.state.Remaining-bytes, 0)
}

// count counts on what is left.
func (c *Scrub) count() error {
	s := c.store
	if c.counting == nil {
		lower, _ := c.after()
		c.counting = &scrubCount{at: lower, ahead: make(map[rangeID][]layout.ScrubSpan)}
	}
	n := c.counting
	scan, err := s.index.Scan(n.at, []byte{n.at[0] + 1})
	if err != nil {
		return err
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	var meta objects.Meta
	ok := scan.Next()
	for range countKeys {
		if !ok {
			break
		}
		id := rangeID{bucketOf(scan.Key()), scan.Key()[0]}
		if value, err := scan.Value(); err == nil {
			c.countOne(n, id, scan.Key(), value, &meta)
		} // what cannot be read is found by the walk
		ok = scan.Next()
	}
	if ok {
		n.at = append(n.at[:0], scan.Key()...)
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		c.counting = nil
		return err
	}
	switch {
	case ok:
	case n.at[0] == layout.KindObject:
		n.at = []byte{layout.KindUpload}
	default:
		c.counted(n)
	}
	return nil
}

// countOne counts one record.
func (c *Scrub) countOne(n *scrubCount, id rangeID, key, value []byte, meta *objects.Meta) {
	size, written := int64(0), time.Time{}
	if id.kind == layout.KindUpload {
		part, err := layout.DecodePart(value)
		_, _, _, number, keyErr := layout.ParseUploadKey(key)
		if err != nil || keyErr != nil || number == 0 {
			return
		}
		size, written = part.Size, part.Modified
	} else {
		if err := layout.DecodeEntry(value, meta); err != nil || meta.Deleted {
			return
		}
		size, written = meta.Size, meta.Modified
	}
	n.left += size
	c.mu.Lock()
	width := c.width
	if r := c.ranges[id]; r != nil {
		written = r.formerly(string(key[1+len(id.bucket):]), written)
	}
	c.mu.Unlock()
	n.ahead[id] = countSpan(n.ahead[id], written.Truncate(max(width, time.Second)), size)
}

// counted takes over what was counted.
func (c *Scrub) counted(n *scrubCount) {
	c.counting = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Remaining, c.state.Counted, c.dirty = n.left, c.store.now(), true
	for id, r := range c.ranges {
		if len(r.Ahead) > 0 && n.ahead[id] == nil {
			r.Ahead, r.dirty = nil, true
		}
	}
	for id, ahead := range n.ahead {
		r := c.ranges[id]
		if r == nil {
			r = new(scrubRange)
			c.ranges[id] = r
		}
		r.Ahead, r.dirty = ahead, true
	}
}

// Note makes what was verified durable.
func (c *Scrub) Note() error {
	c.noting.Lock()
	defer c.noting.Unlock()
	batch, undo := c.draft()
	if batch == nil {
		return nil
	}
	if err := c.store.index.Commit(batch); err != nil {
		undo()
		return errs.E("store.Scrub", err) // it is noted with the next
	}
	return nil
}

// payloads returns how many payloads there are, as far as it is known.
func (c *Scrub) payloads() (number int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.ranges {
		for _, span := range r.ages(!c.state.Counted.IsZero()) {
			number += span.Payloads
		}
	}
	return number
}

// draft makes the batch of what is to be noted, nil if nothing is, and how to have it noted
// once more.
func (c *Scrub) draft() (batch *index.Batch, undo func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noted = c.store.now()
	if c.store.readOnly || !c.dirty && len(c.dropped) == 0 {
		return nil, nil
	}
	batch = c.store.index.NewBatch()
	batch.Set(layout.ScrubKey(), layout.AppendScrub(nil, &c.state))
	dropped := c.dropped
	for _, id := range dropped {
		batch.Delete(layout.ScrubRangeKey(id.bucket, id.kind))
	}
	var written []*scrubRange
	for id, r := range c.ranges {
		if r.dirty {
			batch.Set(layout.ScrubRangeKey(id.bucket, id.kind), layout.AppendScrubRange(nil, &r.ScrubRange))
			written, r.dirty = append(written, r), false
		}
	}
	c.dirty, c.dropped = false, nil
	return batch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dirty = true
		for _, r := range written {
			r.dirty = true
		}
		for _, id := range dropped {
			if c.ranges[id] == nil {
				c.dropped = append(c.dropped, id)
			}
		}
	}
}

// forget adds to a batch that drops a bucket that nothing of it was verified. It returns
// what is to be called when the batch is committed, or is not: until then no range is noted.
func (c *Scrub) forget(batch *index.Batch, bucket objects.BucketID) (done func()) {
	c.noting.Lock()
	batch.DeleteRange(layout.ScrubRangeBounds(bucket))
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ranges, rangeID{bucket, layout.KindObject})
	delete(c.ranges, rangeID{bucket, layout.KindUpload})
	return c.noting.Unlock
}

// Taken says that a client has read a whole payload file, which was as it was stored.
func (c *Scrub) Taken(payload objects.Generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return
	}
	if len(c.taken) >= mostTaken {
		for one := range c.taken { // any
			delete(c.taken, one)
			break
		}
	}
	c.taken[payload] = c.store.now()
}

// Status returns what was done so far. Of an upload's part, or where the walk is, At has
// the bucket's id only.
func (c *Scrub) Status() messages.ScrubStatus {
	damaged, list := c.store.Damaged(listedDamage)
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &c.state
	out := messages.ScrubStatus{
		Phase: messages.ScrubWalking, Cycle: st.Cycle, Begun: st.Begun, Ended: st.Ended, At: c.subject, Bytes: st.Bytes, Payloads: st.Payloads,
		Remaining: st.Remaining, Read: c.read, Taken: c.took, Skipped: st.Skipped, Passing: c.passing, Found: st.Found,
		Damaged: damaged, Findings: append(list, c.findings...), Skips: slices.Clone(c.skips),
	}
	switch {
	case c.off:
		out.Phase = messages.ScrubOff
	case !st.Ended.IsZero():
		out.Phase = messages.ScrubResting
	case st.Counted.IsZero():
		out.Phase = messages.ScrubCounting
	}
	if st.Cycle > 0 && c.within > 0 {
		out.Due = c.due()
	}
	for id, r := range c.ranges {
		a := messages.ScrubAges{Bucket: id.bucket, Uploads: id.kind == layout.KindUpload}
		for _, span := range r.ages(!st.Counted.IsZero()) {
			a.Ages = append(a.Ages, messages.ScrubAge{At: span.At, Bytes: span.Bytes, Payloads: span.Payloads})
		}
		if len(a.Ages) > 0 {
			out.Ranges = append(out.Ranges, a)
		}
	}
	slices.SortFunc(out.Ranges, func(a, b messages.ScrubAges) int {
		less := func(x, y bool) int {
			switch {
			case x == y:
				return 0
			case y:
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(string(a.Bucket[:]), string(b.Bucket[:])), less(a.Uploads, b.Uploads))
	})
	return out
}
