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
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case draftClass:
			d.Class = objects.Durability(c.text(form))
		case draftVersionID:
			d.VersionID = c.text(form)
		case draftHeaders:
			c.headers(form, &d.Headers)
		case draftUser:
			c.pair(form, field, &d.User)
		case draftTags:
			c.pair(form, field, &d.Tags)
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
}

// draftKind reads class and version id only. The version stays a part of the value.
func (c *cursor) draftKind(form protowire.Type, kind *objects.Durability, version *[]byte) {
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case draftClass:
			switch b := c.bytes(form); {
			case string(b) == string(objects.Synced):
				*kind = objects.Synced
			case string(b) == string(objects.Relaxed):
				*kind = objects.Relaxed
			default:
				*kind = objects.Durability(b)
			}
		case draftVersionID:
			*version = c.bytes(form)
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
}

func (c *cursor) headers(form protowire.Type, h *objects.Headers) {
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case headersContentType:
			h.ContentType = c.text(form)
		case headersContentEncoding:
			h.ContentEncoding = c.text(form)
		case headersContentDisposition:
			h.ContentDisposition = c.text(form)
		case headersContentLanguage:
			h.ContentLanguage = c.text(form)
		case headersCacheControl:
			h.CacheControl = c.text(form)
		case headersExpires:
			h.Expires = c.text(form)
		case headersRedirect:
			h.Redirect = c.text(form)
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
}

// pair reads one element of a list into it.
func (c *cursor) pair(form protowire.Type, of protowire.Number, list *[]objects.Pair) {
	var p objects.Pair
	outer := c.enter(form)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case pairName:
			p.Name = c.text(form)
		case pairValue:
			p.Value = c.text(form)
		default:
			c.skip(field, form)
		}
	}
	c.leave(outer)
	if *list == nil {
		*list = room[objects.Pair](c, of)
	}
	*list = append(*list, p)
}
