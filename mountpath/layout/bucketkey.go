package layout

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
)

// Fields of message Key: a bucket, whole, and a name in it. Index keys have the
// bucket's id only; values that must be understood without the bucket's document
// have all of it.
const (
	keyBucketID  protowire.Number = 1
	keyProvider  protowire.Number = 2
	keyNamespace protowire.Number = 3
	keyBucket    protowire.Number = 4
	keyName      protowire.Number = 5
)

func appendBucketID(dst []byte, field protowire.Number, id objects.BucketID) []byte {
	if id.IsZero() {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), id[:])
}

func appendKey(dst []byte, field protowire.Number, k *objects.Key) []byte {
	if *k == (objects.Key{}) {
		return dst
	}
	dst, at := openMessage(dst, field)
	dst = appendBucketID(dst, keyBucketID, k.Bucket.ID)
	dst = appendText(dst, keyProvider, k.Bucket.Provider)
	dst = appendText(dst, keyNamespace, k.Bucket.Namespace)
	dst = appendText(dst, keyBucket, k.Bucket.Name)
	dst = appendText(dst, keyName, k.Name)
	return closeMessage(dst, at)
}

func (c *cursor) key(form protowire.Type, k *objects.Key) {
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case keyBucketID:
			k.Bucket.ID = c.bucketID(form)
		case keyProvider:
			k.Bucket.Provider = c.text(form)
		case keyNamespace:
			k.Bucket.Namespace = c.text(form)
		case keyBucket:
			k.Bucket.Name = c.text(form)
		case keyName:
			k.Name = c.text(form)
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
}
