package gateway

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
	"github.com/troupe-storage/troupe/objects/smap"
)

// A read of a key that several nodes keep begins at the node in charge, on its own disk. It
// goes around that disk when that does not give what is asked: errors, damage, a mountpath
// that does not answer, is disabled, missing or lost.
//
//	record   this node's own, if only the payload cannot be read; else that of another node
//	         in sync that is known to be at all of the ack set: its own says so, or this
//	         node knows it (settledTable). What is not known to be settled is not shown.
//	confirm  the ack set is asked afterwards, as for any read (confirm.go)
//	payload  from any of the ack set, by the payload's generation, whose bytes never change
//
// What a node in sync has, and is settled, is what it would show if it were in charge: no
// write was acknowledged, and nothing shown, that it lacks. That this node may have
// something greater, which was neither, changes nothing of that.
//
// A body whose disk fails on the way goes on from another node at the same byte. Damage
// is found at the end of a file: what was sent of it is damaged, perhaps, and the answer is
// cut; that payload is not read here any more.
//
// All of it is in the request's goroutine, and none of it in the way of a read that the
// disk answers.

// Times and bounds of going around.
const (
	// lookTime is from the beginning of a request until when another node is asked for a
	// record: a node that asked this one waits 40 s, and the confirmation takes 5.
	lookTime = 32 * time.Second
	// askTime is how long a node may take for the record.
	askTime = 4 * time.Second
	// giveTime is how long a node may take to begin with a payload.
	giveTime = 5 * time.Second
	// giveStall is how long a node may give no byte of a payload while there is another one;
	// of the last that is left, stallTime.
	giveStall = 20 * time.Second
	// gapTime is how long a body may stand still until no other node is asked any more.
	gapTime = stallTime
	// giveAgain is how many bytes a node must have given to be asked once more.
	giveAgain = slab.Bytes
	// maxDamaged bounds how many payloads are known to be damaged.
	maxDamaged = 1024
	// aroundPause lies between two lines of the log.
	aroundPause = 10 * time.Second
)

// Wanted is what is wanted of a payload, and how soon.
type Wanted struct {
	Offset, Length int64         // bytes, within the payload; Length is at least 1
	Begin          time.Duration // until the answer begins; zero: as long as any
	Stall          time.Duration // between two pieces of it; zero: as long as in any body
}

// arounds counts reads that went around the disk of this node. The zero value is ready.
// Safe for concurrent use.
type arounds struct {
	begun, failed, bodies atomic.Int64
	logged                atomic.Int64 // of the clock's Elapsed, when the log said so last; 0: never
	damaged               damaged
}

// Around returns how many reads were answered, or refused after all, with the help of
// other nodes because of this node's disks, and how many bodies went on from one.
func (g *Gateway) Around() (begun, failed, bodies int64) {
	a := &g.arounds
	return a.begun.Load(), a.failed.Load(), a.bodies.Load()
}

// damaged knows payloads of this node that were found damaged while they were sent. The
// oldest is forgotten for a new one. The zero value is ready. Safe for concurrent use.
type damaged struct {
	count    atomic.Int32 // of list, so that nobody locks while there is none
	mu       sync.Mutex
	payloads []damagedPayload
}

type damagedPayload struct {
	key     objects.Key
	payload objects.Generation
}

func (d *damaged) add(key objects.Key, payload objects.Generation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := damagedPayload{key, payload}
	if slices.Contains(d.payloads, one) {
		return
	}
	if len(d.payloads) == maxDamaged {
		d.payloads = slices.Delete(d.payloads, 0, 1)
	}
	d.payloads = append(d.payloads, one)
	d.count.Store(int32(len(d.payloads)))
}

func (d *damaged) has(key objects.Key, payload objects.Generation) bool {
	if d.count.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.payloads, damagedPayload{key, payload})
}

var errDamaged = errors.New("the payload was found damaged when it was read before")

// ownFailure is why a read was not answered by what is here: not by what other nodes said.
type ownFailure struct{ error }

// Unwrap returns the failure.
func (f *ownFailure) Unwrap() error { return f.error }

// goesAround reports whether another node may have what this one failed to read. A failure
// of other nodes, of who asks, of want of memory, or of a quarantine is none of that kind.
func goesAround(err error) bool {
	var own *ownFailure
	if !errors.As(err, &own) {
		return false
	}
	var away *messages.NodeAway
	var differs *messages.MapDiffers
	var quarantined *messages.Quarantined
	if errors.As(err, &away) || errors.As(err, &differs) || errors.As(err, &quarantined) {
		return false
	}
	switch errs.KindOf(own.error) {
	case errs.IO, errs.Corrupt, errs.Offline:
		return true
	}
	// A key whose write failed on the disk is busy until that is settled there.
	return errors.Is(err, messages.ErrNoAnswer) || errors.Is(err, objects.ErrOutcomeUnknown)
}

// isAway reports whether a failure says that the disk is not to be asked again now.
func isAway(err error) bool {
	var mountpath *messages.MountpathAway
	return errors.As(err, &mountpath) || errors.Is(err, messages.ErrNoAnswer)
}

// lookAround is one read on its way around.
type lookAround struct {
	g       *Gateway
	op      errs.Op
	bucket  *objects.BucketDoc
	key     objects.Key
	charge  Charge
	late    time.Duration // of the clock's Elapsed: nobody is asked for a record from then on
	cause   error         // what this node failed with
	payload bool          // it was the payload that failed, perhaps
}

// view is what was found of a key: its record, and who has it.
type view struct {
	record *objects.Meta
	parts  []objects.Part
	from   *messages.NodeView // nil: this node
}

// headAround is HeadHere where this node failed.
func (g *Gateway) headAround(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, began time.Duration, cause error) (*objects.Meta, error) {
	look := &lookAround{g: g, op: op, bucket: bucket, key: key, charge: c, late: began + lookTime, cause: cause}
	found, err := look.record()
	look.note(err)
	return found.record, err
}

// openAround is OpenHere where this node failed.
func (g *Gateway) openAround(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, began time.Duration, cause error) (*Object, error) {
	look := &lookAround{g: g, op: op, bucket: bucket, key: key, charge: c, late: began + lookTime, cause: cause, payload: true}
	object, err := look.open()
	look.note(err)
	return object, err
}

// note counts the read, and says now and then in the log that there are such.
func (l *lookAround) note(err error) {
	a := &l.g.arounds
	a.begun.Add(1)
	if err != nil && !errs.Is(errs.NotFound, err) {
		a.failed.Add(1)
	}
	l.g.logAround(l.key, l.cause)
}

// logAround says in the log that reads go around this node's disk, now and then.
func (g *Gateway) logAround(key objects.Key, cause error) {
	a := &g.arounds
	now := max(int64(g.System.Clock().Elapsed()), 1)
	last := a.logged.Load()
	if last != 0 && now-last < int64(aroundPause) || !a.logged.CompareAndSwap(last, now) {
		return
	}
	g.System.Log().WithFields(logrus.Fields{
		"bucket": key.Bucket.Name, "key": key.Name, "reads": a.begun.Load(), "bodies": a.bodies.Load(), "failed": a.failed.Load(),
	}).WithError(cause).Warn("reads go around a disk of this node: other nodes that keep the keys answer them")
}

// left is the time until nobody is asked any more.
func (l *lookAround) left() time.Duration { return l.late - l.g.System.Clock().Elapsed() }

// record finds the record that is to be shown, and has it confirmed. errs.NotFound: the
// key is absent, and this is confirmed likewise.
func (l *lookAround) record() (view, error) {
	failures := []error{l.cause}
	found, err := view{}, error(nil)
	if l.payload && !isAway(l.cause) {
		if found, err = l.ownRecord(); err != nil {
			failures = append(failures, err)
		}
	}
	if found.record == nil {
		found, err = l.othersRecord(failures)
		if err != nil {
			return view{}, err
		}
	}
	if l.bucket.Props.Consistency() == objects.ReadsConfirmed {
		if err := l.g.confirm(l.op, l.bucket, l.key, l.charge); err != nil {
			return view{}, err
		}
	}
	if found.record == nil || found.record.Deleted {
		return view{}, errs.E(l.op, l.key, errs.NotFound, objects.ErrNoSuchKey)
	}
	return found, nil
}

// ownRecord is the record that is here, settled, where it can be read though its payload
// cannot.
func (l *lookAround) ownRecord() (view, error) {
	for range 2 {
		object, err := l.g.recordMarked(l.op, l.key)
		if err != nil {
			return view{}, err
		}
		record := object.Meta
		object.Close()
		if !record.Unsettled || l.g.settled.has(l.key, record.Generation) {
			found := view{record: record}
			if record.Where == objects.Chunks && !record.Deleted {
				found.parts, err = l.g.partsOf(l.op, l.bucket, l.key, record)
			}
			if err != nil {
				return view{}, err
			}
			return found, nil
		}
		if err := l.g.settleNow(l.op, l.bucket, l.key, l.charge); err != nil {
			return view{}, err
		}
	}
	return view{}, errs.E(l.op, l.key, errs.Busy, errors.New("it is written again and again while it is read"))
}

// othersRecord is the record that another node in sync has, settled; none where the key is
// absent there. Each is asked once.
func (l *lookAround) othersRecord(failures []error) (view, error) {
	for _, node := range l.sources() {
		found, err := l.recordAt(node)
		if err == nil {
			return found, nil
		}
		var differs *messages.MapDiffers
		if errors.As(err, &differs) {
			return view{}, errs.E(l.op, l.key, errs.Busy, err) // it is asked again under another map
		}
		failures = append(failures, err)
	}
	return view{}, l.nobody(failures)
}

// nobody is the failure of who found no node that has what is asked.
func (l *lookAround) nobody(failures []error) error {
	var causes []string
	for _, err := range failures[1:] {
		causes = append(causes, err.Error())
	}
	return errs.E(l.op, l.key, errs.Offline, fmt.Errorf("%w; and no other node that keeps it gives it: %q", failures[0], causes))
}

// sources are the nodes besides this one that would show what they have if they were in
// charge, and can be asked, in the order of the key's owners.
func (l *lookAround) sources() []*messages.NodeView {
	c := &l.charge
	inSync := c.Set.Map.View(c.placing).InSync
	return slices.DeleteFunc(c.reachable(), func(n *messages.NodeView) bool { return !slices.Contains(inSync, smap.NodeID(n.ID)) })
}

// reachable returns the nodes of the ack set besides this one that can be asked.
func (c *Charge) reachable() []*messages.NodeView {
	var nodes []*messages.NodeView
	for _, id := range c.AckSet {
		if node := c.Set.Find(string(id)); string(id) != c.Set.Self && node != nil && node.Away == "" {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

var (
	errLate       = errors.New("the request has taken too long already")
	errNotSettled = errors.New("it is not known whether all of its nodes have it")
)

// recordAt is the record of one node in sync, if it is known to be settled. One that is
// being written is waited for.
func (l *lookAround) recordAt(node *messages.NodeView) (view, error) {
	c := l.charge
	c.Node = node
	for turn := false; ; turn = true {
		left := l.left()
		if left <= 0 {
			return view{}, errs.E(l.op, l.key, errs.Busy, errLate)
		}
		c.Within = min(left, askTime)
		kept, err := l.g.Peers.Show(c, l.bucket, l.key.Name, false)
		if err != nil {
			return view{}, err
		}
		record := kept.Record
		if record == nil || !record.Unsettled || l.g.settled.has(l.key, record.Generation) {
			return view{record, kept.Parts, node}, nil
		}
		if turn {
			return view{}, errs.E(l.op, l.key, errs.Offline, errNotSettled)
		}
		release, err := l.g.turns.take(l.op, l.key, l.g.System.Clock(), max(l.left(), 0)) // who writes it
		if err != nil {
			return view{}, err
		}
		release()
	}
}

// open finds record and payload. A payload that fits a slab comes at once, verified; of a
// larger one it is known that a node begins to give it.
func (l *lookAround) open() (*Object, error) {
	for range maxLooks {
		found, err := l.record()
		if err != nil {
			return nil, err
		}
		if found.record.Where == objects.Slices {
			return l.openSliced(found)
		}
		object := l.g.objectAround(l.bucket, l.key, found, l.charge.reachable())
		err = object.begin()
		if err == nil {
			return object, nil
		}
		object.Close()
		if errs.Is(errs.Busy, err) { // no slab is free: that says nothing of other nodes
			return nil, err
		}
		if !errors.Is(err, errOther) || l.left() <= 0 {
			return nil, l.nobody([]error{l.cause, err})
		}
	}
	return nil, errs.E(l.op, l.key, errs.Busy, errors.New("it is written again and again while it is read"))
}

// newDetour makes the detour of a payload, to its end.
func (g *Gateway) newDetour(bucket *objects.BucketDoc, key objects.Key, record *objects.Meta, givers []*messages.NodeView) *detour {
	d := &detour{g: g, bucket: bucket, key: key, record: record, end: record.Size}
	for _, node := range givers {
		d.givers = append(d.givers, giver{node: node})
	}
	return d
}

// openSliced is open for a payload in slices, which are read around this node's disk as around
// any other.
func (l *lookAround) openSliced(found view) (*Object, error) {
	sliced, err := l.g.slicedOf(l.op, l.bucket, l.key, found.record)
	if err != nil {
		return nil, err
	}
	return &Object{Meta: found.record, opened: &messages.ObjectOpened{Meta: found.record}, key: l.key, slabs: l.g.Slabs, gateway: l.g, bucket: l.bucket, sliced: sliced}, nil
}

// objectAround makes the object of a record whose payload comes from other nodes.
func (g *Gateway) objectAround(bucket *objects.BucketDoc, key objects.Key, found view, givers []*messages.NodeView) *Object {
	if i := slices.Index(givers, found.from); i > 0 { // who has the record has the payload
		givers[0], givers[i] = givers[i], givers[0]
	}
	d := g.newDetour(bucket, key, found.record, givers)
	opened := &messages.ObjectOpened{Meta: found.record}
	if found.record.Where == objects.Chunks {
		at := make([]int64, len(found.parts)) // where each begins
		for i := range found.parts[:max(len(found.parts)-1, 0)] {
			at[i+1] = at[i] + found.parts[i].Size
		}
		opened.Parts = &messages.PartReader{Parts: found.parts, Open: func(i int) (messages.PayloadFile, error) { return detourFile{d, at[i]}, nil }}
	} else {
		opened.File = detourFile{d, 0}
	}
	return &Object{Meta: found.record, opened: opened, key: key, slabs: g.Slabs, gateway: g, bucket: bucket, detour: d}
}

// begin has the payload begin: a small one comes into memory. Leases a slab for it, which
// is the object's.
func (o *Object) begin() error {
	size := o.Meta.Size
	if size == 0 {
		return nil
	}
	if err := o.lease(); err != nil {
		return err
	}
	if size > slab.Bytes {
		return o.detour.open(0)
	}
	for {
		_, err := io.ReadFull(&verifiedReader{pieces: o.pieces(0, size), key: o.key}, o.window.Slab(0)[:size])
		if err == nil {
			o.inline = true
			o.detour.close()
			return nil
		}
		if !o.detour.distrust(err) {
			return err
		}
	}
}

// detour is a payload that comes from other nodes. Not safe for concurrent use.
type detour struct {
	g      *Gateway
	bucket *objects.BucketDoc
	key    objects.Key
	record *objects.Meta
	givers []giver
	now    int           // the one of givers that stream is of
	stream io.ReadCloser // nil: none
	at     int64         // of the payload, what stream gives next
	end    int64         // of the payload, what is wanted
	given  int64         // bytes by stream
	since  time.Duration // of the clock's Elapsed: when the last byte came, or somebody began to wait for it
	failed []error
}

// giver is a node that may give a payload.
type giver struct {
	node *messages.NodeView
	out  bool // it is not asked any more
}

// errOther says that a node has another payload of the key by now.
var errOther = errors.New("it was written again meanwhile")

// distrust takes the node that gives the payload for one that has it damaged, if that is
// what a failure says, and reports whether there is another.
func (d *detour) distrust(err error) bool {
	if !errs.Is(errs.Corrupt, err) || d.stream == nil {
		return false
	}
	d.fail(err, true)
	return slices.ContainsFunc(d.givers, func(g giver) bool { return !g.out })
}

// fail ends the stream. Its node is not asked again, unless it has given much.
func (d *detour) fail(err error, out bool) {
	d.givers[d.now].out = out || d.given < giveAgain
	d.failed = append(d.failed, fmt.Errorf("node %s: %w", d.givers[d.now].node.ID, err))
	d.close()
}

// close ends the stream. Idempotent.
func (d *detour) close() {
	if d.stream != nil {
		_ = d.stream.Close() // it was only read
		d.stream = nil
	}
}

// open has a node begin at an offset: the next one, in turn, after the one that failed.
func (d *detour) open(offset int64) error {
	clock := d.g.System.Clock()
	if d.since == 0 {
		d.since = clock.Elapsed()
	}
	d.close()
	length := d.end - offset
	if length <= 0 { // behind what is sent: the rest of a file that is read to its end
		length = d.record.Size - offset
	}
	for {
		next, others := -1, 0
		for i := range d.givers {
			at := i
			if d.given > 0 { // the one that has given is the last to be asked again
				at = (d.now + 1 + i) % len(d.givers)
			}
			if d.givers[at].out {
				continue
			}
			if others++; next < 0 {
				next = at
			}
		}
		if next < 0 || clock.Elapsed()-d.since > gapTime {
			return errs.E("gateway.detour", d.key, errs.Offline, fmt.Errorf("no other node gives the payload: %w", errors.Join(d.failed...)))
		}
		wanted := Wanted{Offset: offset, Length: length, Begin: giveTime}
		if others > 1 {
			wanted.Stall = giveStall
		}
		stream, err := d.g.Peers.Give(d.givers[next].node, d.bucket, d.key.Name, d.record, wanted)
		if err == nil {
			d.stream, d.now, d.at, d.given = stream, next, offset, 0
			return nil
		}
		if errs.Is(errs.Busy, err) && !errors.Is(err, messages.ErrNoAnswer) {
			err = fmt.Errorf("%w: %w", errOther, err)
		}
		d.givers[next].out = true
		d.failed = append(d.failed, fmt.Errorf("node %s: %w", d.givers[next].node.ID, err))
	}
}

// readAt fills room with bytes from an offset, from as many nodes as it takes.
func (d *detour) readAt(room []byte, offset int64) (n int, err error) {
	clock := d.g.System.Clock()
	d.since = clock.Elapsed()
	for n < len(room) {
		if d.stream == nil || d.at != offset+int64(n) {
			if err := d.open(offset + int64(n)); err != nil {
				return n, err
			}
		}
		read, err := d.stream.Read(room[n:])
		if read > 0 {
			n, d.at, d.given, d.since = n+read, d.at+int64(read), d.given+int64(read), clock.Elapsed()
		}
		if err != nil && n < len(room) {
			d.fail(err, false)
		}
	}
	return n, nil
}

// detourFile is one file of a payload that comes from other nodes.
type detourFile struct {
	detour *detour
	base   int64 // of its first byte, in the payload
}

// ReadAt implements messages.PayloadFile. It is quickest from where the last one ended.
func (f detourFile) ReadAt(room []byte, offset int64) (int, error) {
	return f.detour.readAt(room, f.base+offset)
}

// Close implements messages.PayloadFile: the detour is its object's.
func (detourFile) Close() error { return nil }

// Sent implements messages.PayloadFile.
func (detourFile) Sent(int64) {}

// OS implements messages.PayloadFile.
func (detourFile) OS() *os.File { return nil }

// sourceError is a failure to read what is sent, and not to send it.
type sourceError struct{ error }

// Unwrap returns the failure.
func (e *sourceError) Unwrap() error { return e.error }

// goAround has a body whose file failed go on from other nodes, at the same byte; or it
// returns the failure. Where the writer remembers a failure of the disk as its own, it is
// changed for the connection below it.
func (b *body) goAround(err error, w *io.Writer) error {
	var source *sourceError
	if !errors.As(err, &source) {
		return err
	}
	o := b.object
	isDamage := errs.Is(errs.Corrupt, err)
	if isDamage && o.detour == nil && o.damaged != nil {
		o.damaged.add(o.key, o.Meta.Payload)
	}
	if o.gateway == nil || isDamage && b.given > 0 { // the client has some of it
		return source.error
	}
	if o.detour != nil { // other nodes failed, too; one that has it damaged is left out
		if !isDamage || !o.detour.distrust(err) {
			return source.error
		}
	} else if !b.begin(source.error) {
		return source.error
	}
	if isDamage {
		b.left = nil // it is read from its beginning
	}
	if b.file != nil {
		_ = b.file.Close() // it was only read
		b.file = nil
	}
	if errors.Is(err, syscall.EIO) && b.conn != nil {
		if _, stuck := (*w).Write(nil); errors.Is(stuck, syscall.EIO) {
			*w = b.conn // all that it was given is sent: only then it lets the kernel read the disk
		}
	}
	return nil
}

// begin begins a detour for what is left of a body; false: nobody else has it.
func (b *body) begin(cause error) bool {
	o := b.object
	g := o.gateway
	c, err := g.Charge(o.bucket, o.key.Name)
	if err != nil || !c.Plural() {
		return false
	}
	givers := c.reachable()
	if len(givers) == 0 {
		return false
	}
	last := b.pieces[len(b.pieces)-1]
	d := g.newDetour(o.bucket, o.key, o.Meta, givers)
	d.end = last.base + last.offset + last.length
	for i := range b.pieces {
		p := &b.pieces[i]
		file := detourFile{d, p.base}
		p.open = func() (messages.PayloadFile, error) { return file, nil }
	}
	o.detour = d
	g.arounds.bodies.Add(1)
	g.logAround(o.key, cause)
	return true
}

// OpenKept opens the payload of a generation that this node has of a key, whoever is in
// charge of it; errs.Busy if it has another one, errs.Corrupt if it is known to be
// damaged. The caller closes it, or sends it.
func (g *Gateway) OpenKept(bucket *objects.BucketDoc, name string, payload objects.Generation) (*Object, error) {
	const op errs.Op = "gateway.OpenKept"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	object, err := g.openMarked(op, bucket, key)
	if err != nil {
		return nil, err
	}
	switch {
	case object.Meta.Deleted || object.Meta.Payload != payload || object.Meta.Where == objects.Slices: // of slices this node has some
		err = errs.E(op, key, errs.Busy, errOther)
	case g.arounds.damaged.has(key, payload):
		err = errs.E(op, key, errs.Corrupt, errDamaged)
	}
	if err != nil {
		object.Close()
		return nil, err
	}
	object.damaged = &g.arounds.damaged
	return object, nil
}
