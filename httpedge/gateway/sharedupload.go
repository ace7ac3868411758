package gateway

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// An upload whose key several nodes keep is at all of them, with its parts, under the
// owners and epochs of the key. What the node in charge has of it counts:
//
//	write    here first, then at the rest of the ack set: who answers a client has
//	         heard of all. An end is the other way round, so that nobody has an upload
//	         that this node lacks
//	share    where it is not known that all have the same, each is asked what it has,
//	         this node looks at its own after that, and sends or takes away what differs
//
// The answer to that question has a count of the key's writes there, without which nothing
// is taken away and no upload begins: a message that comes late changes nothing. A part is
// kept where the upload is under way and no later one of its number is there.
//
// Parts come side by side; all else has the upload alone (uploadturns.go). The turn of the
// key is for the object that it becomes.

// agreePart has a part whose body is here committed, here and at all that must have it.
func (g *Gateway) agreePart(op errs.Op, bucket *objects.BucketDoc, key objects.Key, p part, commit func(messages.Fence) (messages.Uploaded, error)) (messages.Uploaded, error) {
	c, err := g.charged(op, bucket, key.Name)
	if err != nil {
		return messages.Uploaded{}, err
	}
	if !c.Plural() {
		return commit(c.fence(false))
	}
	others, err := c.others()
	if err == nil {
		err = c.enough(bucket)
	}
	if err != nil {
		return messages.Uploaded{}, errs.E(op, key, errs.Offline, err)
	}
	uploaded, lacking, err := g.spreadPart(op, bucket, key, c, others, p, commit)
	if err == nil && lacking {
		_, err = sharedUpload(g, op, bucket, key, p.uploadID, c, func() (struct{}, error) {
			upload, _, err := g.uploadHere(op, key, p.uploadID)
			if err == nil && upload == nil { // it went here, too
				err = errs.E(op, key, errs.NotFound, objects.ErrNoSuchUpload)
			}
			return struct{}{}, err
		})
	}
	if err != nil {
		return messages.Uploaded{}, err
	}
	fence := c.fence(false)
	if err := g.still(op, bucket, key, &fence); err != nil {
		return messages.Uploaded{}, unknown(op, key, err)
	}
	return uploaded, nil
}

// spreadPart commits a part here and has other nodes keep it. Lacking: one of them does
// not have the upload.
func (g *Gateway) spreadPart(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, others []*messages.NodeView, p part, commit func(messages.Fence) (messages.Uploaded, error)) (uploaded messages.Uploaded, lacking bool, err error) {
	ref := uploadRef{key, p.uploadID}
	release, err := g.uploads.takePart(op, ref, g.System.Clock(), Deadline)
	if err != nil {
		return uploaded, false, err
	}
	defer release()
	uploaded, err = commit(c.fence(false))
	if err != nil {
		return uploaded, false, err
	}
	failures := make([]error, len(others))
	var sent sync.WaitGroup
	for i := range others {
		sent.Go(func() {
			defer recovered(op, key, &failures[i])
			failures[i] = g.sendPart(op, bucket, key, c, others[i], p.uploadID, &uploaded.Part)
		})
	}
	sent.Wait()
	for i, err := range failures {
		if errors.Is(err, objects.ErrNoSuchUpload) {
			failures[i], lacking = nil, true
		}
	}
	if err := errors.Join(failures...); err != nil {
		g.uploads.forget(ref)
		return uploaded, lacking, unknown(op, key, err)
	}
	if lacking {
		g.uploads.forget(ref)
	}
	return uploaded, lacking, nil
}

// sendPart has one node keep a part that is here. ErrNoSuchUpload: it does not have the
// upload. A part that was replaced here meanwhile is as good as kept: the later one is
// sent, too.
func (g *Gateway) sendPart(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, node *messages.NodeView, uploadID string, p *objects.Part) error {
	c.Node = node
	_, err := atNode(g, op, bucket, key, c, func() (struct{}, error) {
		exported, err := find(g, op, key, func(view *messages.MountpathView, digest uint64) (*messages.UploadExported, error) {
			m := &messages.ExportUpload{Key: key, UploadID: uploadID, Only: p.Number, Reply: messages.NewReply[*messages.UploadExported]()}
			g.System.Root().Send(view.Reader(digest), m)
			return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
		})
		if err != nil {
			return struct{}{}, err
		}
		if len(exported.Parts.Parts) == 0 || exported.Parts.Parts[0].Payload != p.Payload {
			return struct{}{}, nil
		}
		file, err := exported.Parts.Open(0)
		if err != nil {
			return struct{}{}, err
		}
		err = g.Peers.StorePart(c, bucket, key.Name, uploadID, p, io.NewSectionReader(file, 0, p.Size))
		return struct{}{}, errors.Join(err, file.Close())
	})
	return err
}

// sendMissing sends a node parts that it lacks of an upload that became an object here.
func (g *Gateway) sendMissing(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, record *objects.Meta, missing []int) error {
	object, err := g.openMarked(op, bucket, key)
	if err != nil {
		return err
	}
	defer object.Close()
	if object.Meta.Generation != record.Generation {
		return errs.E(op, key, errs.Busy, errors.New("it was written again meanwhile"))
	}
	at := int64(0)
	parts := object.Parts()
	for i := range parts {
		if slices.Contains(missing, parts[i].Number) {
			if err := g.Peers.StorePart(c, bucket, key.Name, record.Path, &parts[i], object.Reader(at, parts[i].Size)); err != nil {
				return err
			}
		}
		at += parts[i].Size
	}
	return nil
}

// partsOf returns the parts that an object here is made of.
func (g *Gateway) partsOf(op errs.Op, bucket *objects.BucketDoc, key objects.Key, record *objects.Meta) ([]objects.Part, error) {
	object, err := g.openSame(op, bucket, key, record)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return object.Parts(), nil
}

// uploadHere returns what this node has of an upload; nil: it is not under way here.
func (g *Gateway) uploadHere(op errs.Op, key objects.Key, uploadID string) (*objects.Upload, []objects.Part, error) {
	p, err := g.place(op, key)
	if err == nil {
		err = g.settleUpload(op, key, uploadID, &p) // its parts may be here and there
	}
	if err != nil {
		return nil, nil, err
	}
	page, err := find(g, op, key, func(view *messages.MountpathView, digest uint64) (*messages.PartPage, error) {
		return g.parts(op, key, uploadID, 0, maxParts, view, digest)
	})
	if errs.Is(errs.NotFound, err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return &page.Upload, page.Parts, nil
}

// maxParts is S3's limit.
const maxParts = 10_000

// shareNow is share for who does not have the upload alone.
func (g *Gateway) shareNow(op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, c Charge) error {
	release, err := g.uploads.takeAlone(op, uploadRef{key, uploadID}, g.System.Clock(), Deadline)
	if err != nil {
		return err
	}
	defer release()
	return g.share(op, bucket, key, uploadID, c)
}

// share makes what the rest of the ack set has of an upload what this node has, which is
// in charge. The caller has the upload alone.
func (g *Gateway) share(op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, c Charge) error {
	ref := uploadRef{key, uploadID}
	if g.uploads.isShared(ref, c.Epoch) {
		return nil
	}
	others, err := c.others()
	if err != nil {
		return errs.E(op, key, errs.Offline, err)
	}
	there := make([]bool, len(others))
	failures := make([]error, len(others))
	var sharing sync.WaitGroup
	for i := range others {
		sharing.Go(func() {
			defer recovered(op, key, &failures[i])
			there[i], failures[i] = g.shareWith(op, bucket, key, uploadID, c, others[i])
		})
	}
	sharing.Wait()
	if err := errors.Join(failures...); err != nil {
		return unsettled(op, key, err)
	}
	if !slices.Contains(there, false) {
		g.uploads.note(ref, c.Epoch)
	}
	return nil
}

const (
	// shareTries is how often a node is asked what it has of an upload, while what it has
	// changes under way or an earlier stay is being reclaimed there.
	shareTries = 8
	// sharePause is before the second try; it doubles.
	sharePause = 20 * time.Millisecond
)

// shareWith does share for one node. There: the upload is under way.
func (g *Gateway) shareWith(op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, c Charge, node *messages.NodeView) (there bool, err error) {
	c.Node = node
	pause := sharePause
	for try := 1; ; try++ {
		there, err = atNode(g, op, bucket, key, c, func() (bool, error) { return g.shareOnce(op, bucket, key, uploadID, c) })
		var differs *messages.MapDiffers
		again := errs.Is(errs.Busy, err) || errs.Is(errs.Conflict, err)
		if !again || errors.As(err, &differs) || try == shareTries {
			return there, err
		}
		over, timer := g.System.Clock().NewTimer(pause)
		<-over
		timer.Stop()
		pause *= 2
	}
}

// errBecame says that a node has the object that an upload became, which was unknown.
var errBecame = errors.New("the upload became an object there, which is settled first")

func (g *Gateway) shareOnce(op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, c Charge) (there bool, err error) {
	theirs, err := g.Peers.ShowUpload(c, bucket, key.Name, uploadID)
	if err != nil {
		return false, err
	}
	mine, parts, err := g.uploadHere(op, key, uploadID) // after the question: what came there since is not taken away
	switch {
	case err != nil:
		return false, err
	case mine == nil && theirs.Upload == nil:
		return false, nil
	case mine == nil:
		if err := g.settleOutcome(op, bucket, key, uploadID, c); err != nil {
			return false, err
		}
		return false, g.Peers.EndUpload(c, bucket, key.Name, uploadID, theirs.Writes)
	case theirs.Became != nil:
		if err := g.settleBecame(op, bucket, key, c, theirs.Became); err != nil {
			return false, err
		}
		return false, errs.E(op, key, errs.Busy, errBecame)
	case theirs.Upload != nil && sameParts(theirs.Parts, parts):
		return true, nil
	}
	missing, err := g.Peers.KeepUpload(c, bucket, mine, parts, theirs.Writes)
	if err != nil {
		return false, err
	}
	for _, number := range missing {
		i := slices.IndexFunc(parts, func(p objects.Part) bool { return p.Number == number })
		if i < 0 {
			return false, errs.E(op, key, errs.Internal, fmt.Errorf("node %s lacks part %d, which there is not", c.Node.ID, number))
		}
		err := g.sendPart(op, bucket, key, c, c.Node, uploadID, &parts[i])
		if errors.Is(err, objects.ErrNoSuchUpload) {
			err = errs.E(op, key, errs.Busy, errWentThere)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

var errWentThere = errors.New("the upload went at the other node meanwhile")

func sameParts(a, b []objects.Part) bool {
	return slices.EqualFunc(a, b, func(a, b objects.Part) bool { return a.Number == b.Number && a.Payload == b.Payload })
}

// settleBecame ends that another node has the object that an upload became, and this
// one, which is in charge, has the upload: its completion had no known outcome. What is
// greater, that object or what is here, counts at both.
func (g *Gateway) settleBecame(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, theirs *objects.Meta) error {
	release, err := g.turns.take(op, key, g.System.Clock(), Deadline)
	if err != nil {
		return err
	}
	defer release()
	own, err := g.settledRecord(op, bucket, key, c)
	if err != nil {
		return err
	}
	if own != nil && own.Generation.Compare(theirs.Generation) > 0 {
		_, err := g.spread(op, bucket, key, c, []*messages.NodeView{c.Node}, own, nil)
		return err
	}
	if err := g.install(op, bucket, key, c, &greaterRecord{c.Node, theirs}); err != nil {
		return err
	}
	_, err = g.settledRecord(op, bucket, key, c)
	return err
}

// settleOutcome settles the object that an upload became here, if what is here of the key
// is that: other nodes make it of the parts that they have, which are not to be taken
// from them before.
func (g *Gateway) settleOutcome(op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, c Charge) error {
	record, err := g.recordMarked(op, key)
	if errs.Is(errs.NotFound, err) {
		return nil
	}
	if err != nil || record.Meta.Deleted || record.Meta.Where != objects.Chunks || record.Meta.Path != uploadID {
		return err
	}
	return g.settleNow(op, bucket, key, c)
}

// ShareUpload makes what the rest of the ack set has of an upload what this node has,
// under an epoch of the key. A *messages.MapDiffers: this node is not in charge under it.
func (g *Gateway) ShareUpload(bucket *objects.BucketDoc, c Charge, name, uploadID string) error {
	const op errs.Op = "gateway.ShareUpload"
	ref := uploadRef{objects.Key{Bucket: bucket.Bucket, Name: name}, uploadID}
	others, err := c.others()
	if err != nil {
		return errs.E(op, ref.key, errs.Offline, err)
	}
	for _, node := range others { // parts that come do not wait for those that are sent
		if _, err := g.sendAhead(op, bucket, ref.key, uploadID, c, node); err != nil {
			return err
		}
	}
	release, err := g.uploads.takeAlone(op, ref, g.System.Clock(), Deadline)
	if err != nil {
		return err
	}
	defer release()
	g.uploads.forget(ref) // who asks knows that it is not
	return g.share(op, bucket, ref.key, uploadID, c)
}

// sharedUpload does something with an upload that the node is in charge of, once all that
// must have it have it as it is here; nobody else changes it meanwhile. That it is not
// there is confirmed.
func sharedUpload[T any](g *Gateway, op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, c Charge, do func() (T, error)) (T, error) {
	var none T
	release, err := g.uploads.takeAlone(op, uploadRef{key, uploadID}, g.System.Clock(), Deadline)
	if err != nil {
		return none, err
	}
	defer release()
	if err := g.share(op, bucket, key, uploadID, c); err != nil {
		return none, err
	}
	value, err := do()
	if err == nil || refused(err) {
		if confirmErr := g.confirm(op, bucket, key, c); confirmErr != nil {
			return none, confirmErr
		}
	}
	return value, err
}

// confirmNoUpload confirms that an upload is not under way, which was found here: that
// this node still is in charge of its key, and that no other has it. It returns what was
// found, or why that does not count.
func (g *Gateway) confirmNoUpload(op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, found error) error {
	c, err := g.charged(op, bucket, key.Name)
	if err != nil || !c.Plural() {
		return errors.Join(err, found)
	}
	_, err = sharedUpload(g, op, bucket, key, uploadID, c, func() (struct{}, error) {
		upload, _, err := g.uploadHere(op, key, uploadID)
		switch {
		case err != nil:
			return struct{}{}, err
		case upload != nil:
			return struct{}{}, errs.E(op, key, errs.Busy, errors.New("the upload has come here meanwhile"))
		}
		return struct{}{}, found
	})
	return err
}

// endThere ends an upload at the rest of the ack set. The caller has it alone.
func (g *Gateway) endThere(op errs.Op, bucket *objects.BucketDoc, key objects.Key, uploadID string, c Charge, others []*messages.NodeView) error {
	failures := make([]error, len(others))
	var ending sync.WaitGroup
	for i := range others {
		ending.Go(func() {
			defer recovered(op, key, &failures[i])
			c := c
			c.Node = others[i]
			for try := 1; ; try++ {
				_, failures[i] = atNode(g, op, bucket, key, c, func() (struct{}, error) {
					theirs, err := g.Peers.ShowUpload(c, bucket, key.Name, uploadID)
					switch {
					case err != nil:
					case theirs.Became != nil: // or it would come to light once that node is in charge
						err = g.settleBecame(op, bucket, key, c, theirs.Became)
					case theirs.Upload != nil:
						err = g.Peers.EndUpload(c, bucket, key.Name, uploadID, theirs.Writes)
					}
					return struct{}{}, err
				})
				var differs *messages.MapDiffers
				if !errs.Is(errs.Busy, failures[i]) || errors.As(failures[i], &differs) || try == shareTries {
					return
				}
			}
		})
	}
	ending.Wait()
	return errors.Join(failures...)
}
