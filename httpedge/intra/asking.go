package intra

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

var _ gateway.Peers = (*Road)(nil)

// List implements gateway.Peers.
func (r *Road) List(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, request gateway.ListRequest) (*gateway.NodePage, error) {
	page := new(gateway.NodePage)
	return page, r.ask(node, pathList, reads, &listQuestion{aboutBucket(bucket), set.Version(), request}, page)
}

// ListUploads implements gateway.Peers.
func (r *Road) ListUploads(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, request gateway.UploadsRequest) (*gateway.NodeUploads, error) {
	page := new(gateway.NodeUploads)
	return page, r.ask(node, pathUploads, reads, &uploadsQuestion{aboutBucket(bucket), set.Version(), request}, page)
}

// Delete implements gateway.Peers.
func (r *Road) Delete(c gateway.Charge, bucket *objects.BucketDoc, name, versionID string, conditions objects.Conditions) (messages.ObjectDeleted, error) {
	q := aboutKey(c, bucket, name)
	q.VersionID, q.Conditions = versionID, conditions
	if conditions.IfSize != nil {
		q.HasSize, q.Size, q.Conditions.IfSize = true, *conditions.IfSize, nil
	}
	var deleted messages.ObjectDeleted
	err := r.ask(c.Node, pathDelete, writes, q, &deleted)
	return deleted, err
}

// DeleteAll implements gateway.Peers.
func (r *Road) DeleteAll(charges []gateway.Charge, bucket *objects.BucketDoc, list []gateway.Deletion) ([]gateway.Deleted, error) {
	node := charges[0].Node
	q := &deletesQuestion{About: aboutBucket(bucket), List: make([]deletion, len(list))}
	for i := range list {
		d := deletion{Epoch: charges[i].Epoch, Name: list[i].Name, VersionID: list[i].VersionID, Conditions: list[i].Conditions}
		if size := d.Conditions.IfSize; size != nil {
			d.HasSize, d.Size, d.Conditions.IfSize = true, *size, nil
		}
		q.List[i] = d
	}
	var outcomes []outcome
	if err := r.ask(node, pathDeletes, writes, q, &outcomes); err != nil {
		return nil, err
	}
	if len(outcomes) != len(list) {
		return nil, &messages.NodeAway{Node: node.ID, Reason: fmt.Sprintf("it answered about %d deletes of %d", len(outcomes), len(list)), Begun: true}
	}
	deleted := make([]gateway.Deleted, len(list))
	for i, o := range outcomes {
		deleted[i].Done = o.Done
		if o.Failed {
			deleted[i].Err = o.Failure.err(node.ID)
		}
	}
	return deleted, nil
}

// Record implements gateway.Peers.
func (r *Road) Record(c gateway.Charge, bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, error) {
	q := aboutKey(c, bucket, name)
	q.VersionID = versionID
	record := new(objects.Meta)
	if err := r.ask(c.Node, pathRecord, reads, q, record); err != nil {
		return nil, err
	}
	return record, nil
}

// Payload implements gateway.Peers.
func (r *Road) Payload(c gateway.Charge, bucket *objects.BucketDoc, name string, record *objects.Meta, offset, length int64) (io.ReadCloser, error) {
	q := aboutKey(c, bucket, name)
	q.Payload, q.Offset, q.Length = record.Payload, offset, length
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

func aboutBucket(b *objects.BucketDoc) about { return about{Bucket: b.Name, Document: b.Version} }

func aboutKey(c gateway.Charge, bucket *objects.BucketDoc, name string) *keyQuestion {
	return &keyQuestion{About: aboutBucket(bucket), Epoch: c.Epoch, Name: name}
}

// effect says whether a question changes something at the node that is asked.
type effect bool

const (
	reads  effect = false
	writes effect = true
)

// ask puts a question to a node and reads the value that is the answer.
func (r *Road) ask(node *messages.NodeView, path string, does effect, question, value any) error {
	x, err := r.exchange(node, path, does, question)
	if err != nil {
		return err
	}
	return r.value(x, does, value)
}

// value reads the body of an answer.
func (r *Road) value(x *exchange, does effect, value any) error {
	node := x.peer.node
	body := x.body()
	limited := io.LimitReader(body, answerBytes)
	err := gob.NewDecoder(limited).Decode(value)
	if err == nil {
		_, err = io.Copy(io.Discard, limited)
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
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(question); err != nil {
		return nil, errs.E("intra.ask", path, errs.Internal, err)
	}
	x, err := r.put(node, does, append(questionHead(node, path, int64(body.Len())), body.Bytes()...), answerTime)
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
	switch x.head.StatusCode() {
	case fasthttp.StatusOK:
		return x, nil
	case fasthttp.StatusConflict:
		var f failure
		if err := r.value(x, does, &f); err != nil {
			return nil, err
		}
		return nil, f.err(node)
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
