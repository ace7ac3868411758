package native

import (
	"crypto/rand"
	"encoding/hex"
	"mime"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

const (
	// maxPage is the largest page, and the one that is sent unless another is asked.
	maxPage = 10_000
	// listStep is how many names are asked of the mountpaths at a time, so that a
	// page takes no more memory there than one of S3 does.
	listStep = 1000
)

// listObjects answers one page of a bucket's names.
func (r *Request) listObjects(bucket ais.Bucket, message ais.Action) error {
	var m ais.ListMessage
	if err := r.value(message, &m); err != nil {
		return err
	}
	doc, err := r.find(bucket)
	if err != nil {
		return err
	}
	for _, header := range [...]string{"Ais-Inv-Name", "Ais-Bucket-Inventory"} {
		if r.Header(header) != "" {
			return noInventory(bucket, header)
		}
	}
	listing, err := r.h.newListing(bucket, doc, &m)
	if err != nil {
		return err
	}
	page, err := listing.page(r)
	if err != nil {
		return explain(err, target{bucket: bucket})
	}
	if wantsMessagePack(r.Header("Accept")) {
		r.ctx.SetContentType("application/msgpack") // exactly: clients compare it
		r.ctx.SetBody(page.AppendMessagePack(make([]byte, 0, 64*len(page.Entries)+256)))
		return nil
	}
	return r.JSON(page)
}

// wantsMessagePack reports whether one of the media types accepted is MessagePack.
func wantsMessagePack(accept string) bool {
	for kind := range strings.SplitSeq(accept, ",") {
		if media, _, err := mime.ParseMediaType(kind); err == nil && media == "application/msgpack" {
			return true
		}
	}
	return false
}

// listing is one page on its way.
type listing struct {
	h       *Handler
	doc     *objects.BucketDoc
	uuid    string
	props   listProps
	layout  string // of access times
	size    int
	of      string // the node whose names are told: those that it is in charge of; empty: all
	request gateway.ListRequest
}

// newListing reads a list message.
func (h *Handler) newListing(bucket ais.Bucket, doc *objects.BucketDoc, m *ais.ListMessage) (*listing, error) {
	if err := checkListFlags(bucket, m.Flags); err != nil {
		return nil, err
	}
	l := &listing{h: h, doc: doc, uuid: m.UUID, layout: m.TimeFormat, size: maxPage}
	var err error
	if l.props, err = parseListProps(m.Props, m.Flags); err != nil {
		return nil, err
	}
	switch {
	case l.uuid == "":
		if l.uuid, err = newListID(); err != nil {
			return nil, err
		}
	case !isListID(l.uuid):
		return nil, Refuse(fasthttp.StatusBadRequest, "", "invalid uuid %q of a listing", l.uuid)
	}
	switch {
	case l.layout == "":
		l.layout = time.RFC822
	case len(l.layout) > 64:
		return nil, Refuse(fasthttp.StatusBadRequest, "", "invalid time_format: %d bytes, at most 64", len(l.layout))
	}
	if m.Target != "" {
		kind, node, err := h.role(m.Target)
		if err != nil || kind != ais.TypeTarget {
			return nil, Refuse(fasthttp.StatusNotFound, "", "target %q does not exist", m.Target)
		}
		l.of = node
	}
	if m.PageSize < 0 {
		return nil, Refuse(fasthttp.StatusBadRequest, "", "invalid pagesize %d", m.PageSize)
	}
	if m.PageSize > 0 {
		l.size = int(min(m.PageSize, maxPage))
	}
	for _, name := range []string{m.Prefix, m.ContinuationToken, m.StartAfter} {
		if len(name) > objects.MaxNameBytes {
			return nil, Refuse(fasthttp.StatusBadRequest, "", "a name of the listing has %d bytes, at most %d", len(name), objects.MaxNameBytes)
		}
	}
	l.request = gateway.ListRequest{Prefix: m.Prefix, After: max(m.ContinuationToken, m.StartAfter), Whole: l.props.whole()}
	if m.Flags&ais.ListNoRecursion != 0 {
		l.request.Delimiter = "/"
	}
	return l, nil
}

// page asks for names until the page is full or there are no more. Its token is
// its last name, if it is full.
func (l *listing) page(r *Request) (*ais.List, error) {
	page := &ais.List{UUID: l.uuid, Entries: []ais.Entry{}}
	for len(page.Entries) < l.size {
		l.request.Limit = min(listStep, l.size-len(page.Entries))
		step, err := l.h.Gateway.List(r.Context(), l.doc, l.request)
		if err != nil {
			return nil, err
		}
		for i := range step.Entries {
			if l.tells(&step.Entries[i]) {
				page.Entries = append(page.Entries, l.entry(&step.Entries[i]))
			}
			l.request.After = step.Entries[i].Name
		}
		if !step.More {
			return page, nil
		}
	}
	page.ContinuationToken = l.request.After
	return page, nil
}

// tells reports whether an entry is one that is asked for. Directories always are: who is
// in charge of what is in them is not known here.
func (l *listing) tells(e *messages.ObjectEntry) bool {
	if l.of == "" || e.Meta == nil {
		return true
	}
	at := l.h.Gateway.Whereabouts(l.doc, e.Name)
	if at.Here {
		return l.of == l.h.NodeID
	}
	return l.of == at.InCharge
}

// entry tells of one name what is asked.
func (l *listing) entry(e *messages.ObjectEntry) ais.Entry {
	if e.Meta == nil {
		return ais.Entry{Name: e.Name, Flags: ais.EntryDirectory}
	}
	entry := ais.Entry{Name: e.Name, Flags: ais.EntryCached}
	if l.props.has(listSize) {
		entry.Size = e.Meta.Size
	}
	if l.props.has(listAtime) {
		entry.Atime = e.Meta.Modified.Format(l.layout)
	}
	if l.props.has(listVersion) {
		entry.Version = version(l.doc, e.Meta)
	}
	if l.props.has(listChecksum) {
		_, entry.Checksum = checksumOf(e.Meta)
	}
	if l.props.has(listCustom) {
		entry.Custom = customText(e.Meta.User)
	}
	if l.props.has(listLocation) {
		entry.Location = l.h.location(l.doc, e.Name)
	}
	if l.props.has(listCopies) {
		entry.Copies = len(l.h.mirrored(l.doc, e.Name))
	}
	if l.request.Whole && e.Meta.Where == objects.Chunks {
		entry.Flags |= ais.EntryChunked
	}
	return entry
}

// customText is custom metadata as listings write it: "[k:v k2:v2]".
func customText(pairs []objects.Pair) string {
	if len(pairs) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteByte('[')
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.Name + ":" + p.Value)
	}
	b.WriteByte(']')
	return b.String()
}

// newListID names a listing. Nothing is kept under it: the token says where a page
// goes on.
func newListID() (string, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	return "lst-" + hex.EncodeToString(id[:]), nil
}

// isListID reports whether a client may name its listing so.
func isListID(s string) bool {
	return len(s) >= 9 && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '_')
	})
}
