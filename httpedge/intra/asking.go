package intra

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
)

var _ gateway.Peers = (*Road)(nil)

// List implements gateway.Peers.
func (r *Road) List(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, request gateway.ListRequest) (*gateway.NodePage, error) {
	var answer wire.ListAnswer
	if err := r.ask(node, pathList, reads, listQuestion(wire.AboutOf(bucket, false), set.Version(), &request), &answer); err != nil {
		return nil, err
	}
	page, err := nodePage(&answer)
	return page, unreadable(node, reads, err)
}

// ListUploads implements gateway.Peers.
func (r *Road) ListUploads(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, request gateway.UploadsRequest) (*gateway.NodeUploads, error) {
	var answer wire.UploadsAnswer
	if err := r.ask(node, pathUploads, reads, uploadsQuestion(wire.AboutOf(bucket, false), set.Version(), &request), &answer); err != nil {
		return nil, err
	}
	page, err := nodeUploads(&answer)
	return page, unreadable(node, reads, err)
}

// Delete implements gateway.Peers.
func (r *Road) Delete(c gateway.Charge, bucket *objects.BucketDoc, name, versionID string, conditions objects.Conditions) (messages.ObjectDeleted, error) {
	q := aboutKey(c, bucket, name)
	q.VersionId, q.Conditions, q.Origin = []byte(versionID), wire.ConditionsOf(&conditions), wire.OriginOf(&c.For)
	var answer wire.DeletedAnswer
	if err := r.ask(c.Node, pathDelete, writes, q, &answer); err != nil {
		return messages.ObjectDeleted{}, err
	}
	deleted, err := objectDeleted(&answer)
	return deleted, unreadable(c.Node, writes, err)
}

// DeleteAll implements gateway.Peers.
func (r *Road) DeleteAll(charges []gateway.Charge, bucket *objects.BucketDoc, list []gateway.Deletion) ([]gateway.Deleted, error) {
	node := charges[0].Node
	q := &wire.DeletesQuestion{About: wire.AboutOf(bucket, false), List: make([]*wire.Deletion, len(list)), Origin: wire.OriginOf(&charges[0].For)}
	for i := range list {
		d := &list[i]
		q.List[i] = &wire.Deletion{
			Epoch: wire.EpochOf(charges[i].Epoch), Name: []byte(d.Name), VersionId: []byte(d.VersionID), Conditions: wire.ConditionsOf(&d.Conditions),
		}
	}
	var answer wire.DeletesAnswer
	if err := r.ask(node, pathDeletes, writes, q, &answer); err != nil {
		return nil, err
	}
	if len(answer.Outcomes) != len(list) {
		return nil, unreadable(node, writes, fmt.Errorf("it is about %d deletes of %d", len(answer.Outcomes), len(list)))
	}
	deleted := make([]gateway.Deleted, len(list))
	for i, o := range answer.Outcomes {
		deleted[i].Done = o.State == outcomeDone
		if o.Failure != nil {
			deleted[i].Err = toldBy(node.ID, o.Failure)
		}
	}
	return deleted, nil
}

// Record implements gateway.Peers.
func (r *Road) Record(c gateway.Charge, bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, error) {
	q := aboutKey(c, bucket, name)
	q.VersionId = []byte(versionID)
	var answer wire.Record
	if err := r.ask(c.Node, pathRecord, reads, q, &answer); err != nil {
		return nil, err
	}
	record, err := answer.Meta()
	return record, unreadable(c.Node, reads, err)
}

// Payload implements gateway.Peers.
func (r *Road) Payload(c gateway.Charge, bucket *objects.BucketDoc, name string, record *objects.Meta, offset, length int64) (io.ReadCloser, error) {
	q := aboutKey(c, bucket, name)
	q.Payload, q.Offset, q.Length = wire.GenerationOf(record.Payload), offset, length
	x, err := r.exchange(c.Node, pathPayload, reads, q)
	if err != nil {
		return nil, err
	}
	body := x.body()
	if body.size != length {
		return nil, errors.Join(&messages.NodeAway{Node: c.Node.ID, Reason: fmt.Sprintf("it sent %d bytes for %d", body.size, length)}, body.Close())
	}
	return body, nil
}

func aboutKey(c gateway.Charge, bucket *objects.BucketDoc, name string) *wire.KeyQuestion {
	return &wire.KeyQuestion{About: wire.AboutOf(bucket, false), Epoch: wire.EpochOf(c.Epoch), Name: []byte(name)}
}

// effect says whether a question changes something at the node that is asked.
type effect bool

const (
	reads  effect = false
	writes effect = true
)

// unreadable is an answer that makes no sense; nil where err is nil.
func unreadable(node *messages.NodeView, does effect, err error) error {
	if err == nil {
		return nil
	}
	return &messages.NodeAway{Node: node.ID, Reason: "its answer cannot be read: " + err.Error(), Begun: bool(does)}
}

// ask puts a question to a node and reads the message that is the answer.
func (r *Road) ask(node *messages.NodeView, path string, does effect, question, answer any) error {
	x, err := r.exchange(node, path, does, question)
	if err != nil {
		return err
	}
	return r.value(x, does, answer)
}

// value reads the body of an answer.
func (r *Road) value(x *exchange, does effect, answer any) error {
	node := x.peer.node
	body := x.body()
	var b []byte
	var err error
	switch {
	case body.size > answerBytes:
		err = fmt.Errorf("it has %d bytes", body.size)
	case body.size < 0:
		err = errors.New("it has no length")
	default:
		if b, err = take(body, body.size); err == nil {
			err = decode(b, answer)
		}
	}
	if closeErr := body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return &messages.NodeAway{Node: node, Reason: "its answer cannot be read: " + err.Error(), Begun: bool(does)}
	}
	return nil
}

// exchange puts a question to a node and returns its answer, of status 200, whose body
// the caller reads and closes.
func (r *Road) exchange(node *messages.NodeView, path string, does effect, question any) (*exchange, error) {
	return r.exchangeWithin(node, path, does, question, answerTime)
}

// exchangeWithin is exchange for an answer that may take so long.
func (r *Road) exchangeWithin(node *messages.NodeView, path string, does effect, question any, wait time.Duration) (*exchange, error) {
	body, err := encode(nil, question)
	if err != nil {
		return nil, err
	}
	x, err := r.put(node, does, append(questionHead(node, path, int64(len(body))), body...), wait)
	if err != nil {
		return nil, err
	}
	return r.granted(x, does)
}

// questionHead is the head of a question with a body of so many bytes.
func questionHead(node *messages.NodeView, path string, size int64) []byte {
	return []byte("POST " + path + " HTTP/1.1\r\nHost: " + node.ID + "\r\nContent-Length: " + strconv.FormatInt(size, 10) + "\r\n\r\n")
}

// granted returns an exchange whose answer has status 200; another one is an error, and
// ends it.
func (r *Road) granted(x *exchange, does effect) (*exchange, error) {
	node := x.peer.node
	if differs := x.refused(); differs != nil {
		return nil, errors.Join(differs, x.body().Close())
	}
	switch status := x.head.StatusCode(); status {
	case fasthttp.StatusOK:
		return x, nil
	case fasthttp.StatusConflict, fasthttp.StatusNotFound:
		var f wire.Failure
		if err := r.value(x, does, &f); err != nil {
			return nil, err
		}
		err := toldBy(node, &f)
		if status == fasthttp.StatusNotFound {
			err = &unknownError{node, err}
		}
		return nil, err
	}
	x.drop()
	return nil, &messages.NodeAway{Node: node, Reason: "it answered with status " + strconv.Itoa(x.head.StatusCode()), Begun: bool(does)}
}

// put sends a request and reads the head of the answer, which may take so long. On a
// connection that the other node had closed without our knowing, a read is sent again.
func (r *Road) put(node *messages.NodeView, does effect, text []byte, wait time.Duration) (*exchange, error) {
	for fresh := false; ; fresh = true {
		x, err := r.begin(node, fresh)
		if err != nil {
			return nil, err
		}
		reused := x.reused
		if err = x.send(text); err == nil {
			if err = x.SetReadDeadline(within(wait)); err == nil {
				err = x.answer()
			}
		}
		if err == nil {
			return x, nil
		}
		x.drop()
		if does == reads && reused && !fresh {
			continue
		}
		return nil, &messages.NodeAway{Node: node.ID, Reason: err.Error(), Begun: bool(does)}
	}
}
