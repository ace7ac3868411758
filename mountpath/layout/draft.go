package layout

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
)

// Fields of message Draft.
const (
	draftClass     protowire.Number = 1
	draftVersionID protowire.Number = 2
	draftHeaders   protowire.Number = 3
	draftUser      protowire.Number = 4
	draftTags      protowire.Number = 5
)

// Fields of message Headers.
const (
	headersContentType        protowire.Number = 1
	headersContentEncoding    protowire.Number = 2
	headersContentDisposition protowire.Number = 3
	headersContentLanguage    protowire.Number = 4
	headersCacheControl       protowire.Number = 5
	headersExpires            protowire.Number = 6
	headersRedirect           protowire.Number = 7
)

// Fields of message Pair.
const (
	pairName  protowire.Number = 1
	pairValue protowire.Number = 2
)

// appendDraft appends a draft as a field; nothing if there is nothing in it.
func appendDraft(dst []byte, field protowire.Number, d *objects.Draft) []byte {
	before := len(dst)
	dst, at := openMessage(dst, field)
	dst = appendText(dst, draftClass, string(d.Class))
	dst = appendText(dst, draftVersionID, d.VersionID)
	dst = appendHeaders(dst, draftHeaders, &d.Headers)
	dst = appendPairs(dst, draftUser, d.User)
	dst = appendPairs(dst, draftTags, d.Tags)
	if len(dst) == at {
		return dst[:before]
	}
	return closeMessage(dst, at)
}

func appendHeaders(dst []byte, field protowire.Number, h *objects.Headers) []byte {
	if *h == (objects.Headers{}) {
		return dst
	}
	dst, at := openMessage(dst, field)
	dst = appendText(dst, headersContentType, h.ContentType)
	dst = appendText(dst, headersContentEncoding, h.ContentEncoding)
	dst = appendText(dst, headersContentDisposition, h.ContentDisposition)
	dst = appendText(dst, headersContentLanguage, h.ContentLanguage)
	dst = appendText(dst, headersCacheControl, h.CacheControl)
	dst = appendText(dst, headersExpires, h.Expires)
	dst = appendText(dst, headersRedirect, h.Redirect)
	return closeMessage(dst, at)
}

func appendPairs(dst []byte, field protowire.Number, pairs []objects.Pair) []byte {
	for i := range pairs {
		var at int
		dst, at = openMessage(dst, field)
		dst = appendText(dst, pairName, pairs[i].Name)
		dst = appendText(dst, pairValue, pairs[i].Value)
		dst = closeMessage(dst, at)
	}
	return dst
}

func (c *cursor) draft(form protowire.Type, d *objects.Draft) {
	n := c.message(form)
	for field, form, ok := n.next(); ok; field, form, ok = n.next() {
		switch field {
		case draftClass:
			d.Class = objects.Durability(n.text(form))
		case draftVersionID:
			d.VersionID = n.text(form)
		case draftHeaders:
			n.headers(form, &d.Headers)
		case draftUser:
			n.pair(form, field, &d.User)
		case draftTags:
			n.pair(form, field, &d.Tags)
		default:
			n.skip(field, form)
		}
	}
	c.done(&n)
}

// draftKind reads class and version id only. The version stays a part of the value.
func (c *cursor) draftKind(form protowire.Type, kind *objects.Durability, version *[]byte) {
	n := c.message(form)
	for field, form, ok := n.next(); ok; field, form, ok = n.next() {
		switch field {
		case draftClass:
			switch b := n.bytes(form); {
			case string(b) == string(objects.Synced):
				*kind = objects.Synced
			case string(b) == string(objects.Relaxed):
				*kind = objects.Relaxed
			default:
				*kind = objects.Durability(b)
			}
		case draftVersionID:
			*version = n.bytes(form)
		default:
			n.skip(field, form)
		}
	}
	c.done(&n)
}

func (c *cursor) headers(form protowire.Type, h *objects.Headers) {
	n := c.message(form)
	for field, form, ok := n.next(); ok; field, form, ok = n.next() {
		switch field {
		case headersContentType:
			h.ContentType = n.text(form)
		case headersContentEncoding:
			h.ContentEncoding = n.text(form)
		case headersContentDisposition:
			h.ContentDisposition = n.text(form)
		case headersContentLanguage:
			h.ContentLanguage = n.text(form)
		case headersCacheControl:
			h.CacheControl = n.text(form)
		case headersExpires:
			h.Expires = n.text(form)
		case headersRedirect:
			h.Redirect = n.text(form)
		default:
			n.skip(field, form)
		}
	}
	c.done(&n)
}

// pair reads one element of a list into it.
func (c *cursor) pair(form protowire.Type, of protowire.Number, list *[]objects.Pair) {
	var p objects.Pair
	n := c.message(form)
	for field, form, ok := n.next(); ok; field, form, ok = n.next() {
		switch field {
		case pairName:
			p.Name = n.text(form)
		case pairValue:
			p.Value = n.text(form)
		default:
			n.skip(field, form)
		}
	}
	c.done(&n)
	if *list == nil {
		*list = room[objects.Pair](c, of)
	}
	*list = append(*list, p)
}
