package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Attributes are what a client says of an object beside its payload.
type Attributes struct {
	ContentType        string
	ContentEncoding    string
	ContentDisposition string
	ContentLanguage    string
	CacheControl       string
	User               []objects.Pair // user metadata, names without x-amz-meta-
	Tags               []objects.Pair
}

// IsZero says whether nothing is said.
func (a *Attributes) IsZero() bool {
	return a.ContentType == "" && a.ContentEncoding == "" && a.ContentDisposition == "" && a.ContentLanguage == "" &&
		a.CacheControl == "" && len(a.User) == 0 && len(a.Tags) == 0
}

// add puts the attributes into a request's headers.
func (a *Attributes) add(r *client.Request) {
	header(r, "Content-Type", a.ContentType, "Content-Encoding", a.ContentEncoding, "Content-Disposition", a.ContentDisposition,
		"Content-Language", a.ContentLanguage, "Cache-Control", a.CacheControl)
	for _, p := range a.User {
		r.Header = append(r.Header, objects.Pair{Name: "x-amz-meta-" + p.Name, Value: p.Value})
	}
	var tags []byte
	for i, t := range a.Tags {
		if i > 0 {
			tags = append(tags, '&')
		}
		tags = append(sigv4.AppendQuery(tags, t.Name), '=')
		tags = sigv4.AppendQuery(tags, t.Value)
	}
	header(r, "x-amz-tagging", string(tags))
}

// Object is what the server says of an object.
type Object struct {
	Attributes
	Bucket, Key string
	Size        int64 // of the whole object, whatever range was asked for
	ETag        string
	Modified    time.Time
	VersionID   string
	TagCount    int
	Checksums   []checksum.Value // of the whole object
	Header      http.Header      // all of the answer's
}

// CRC64NVME returns the object's full CRC64NVME, if it is stored.
func (o *Object) CRC64NVME() (checksum.Value, bool) {
	v, ok := checksum.Find(o.Checksums, checksum.CRC64NVME)
	return v, ok && v.Type == checksum.FullObject
}

// MD5 returns the object's MD5 in hex, if its ETag is one.
func (o *Object) MD5() (string, bool) { return MD5OfETag(o.ETag) }

// MD5OfETag returns the MD5 that an ETag is, if it looks like one.
func MD5OfETag(etag string) (string, bool) {
	if len(etag) != 2*md5.Size {
		return "", false
	}
	for _, c := range []byte(etag) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return etag, true
}

// describe reads an answer's headers.
func describe(bucket, key string, response *http.Response) (*Object, error) {
	h := response.Header
	o := &Object{Bucket: bucket, Key: key, ETag: unquote(h.Get("ETag")), VersionID: h.Get("x-amz-version-id"), Size: response.ContentLength, Header: h}
	o.ContentType, o.ContentEncoding, o.ContentDisposition = h.Get("Content-Type"), h.Get("Content-Encoding"), h.Get("Content-Disposition")
	o.ContentLanguage, o.CacheControl = h.Get("Content-Language"), h.Get("Cache-Control")
	o.Modified, _ = http.ParseTime(h.Get("Last-Modified")) // zero: the server did not say
	o.TagCount, _ = strconv.Atoi(h.Get("x-amz-tagging-count"))
	if r := h.Get("Content-Range"); r != "" {
		_, whole, ok := strings.Cut(r, "/")
		size, err := strconv.ParseInt(whole, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("Content-Range %q does not say how large the object is", r)
		}
		o.Size = size
	}
	if o.Size < 0 {
		return nil, errors.New("the answer does not say how large the object is")
	}
	for name, values := range h {
		if user, ok := strings.CutPrefix(strings.ToLower(name), "x-amz-meta-"); ok {
			o.User = append(o.User, objects.Pair{Name: user, Value: strings.Join(values, ",")})
		}
	}
	slices.SortFunc(o.User, func(a, b objects.Pair) int { return strings.Compare(a.Name, b.Name) })
	kind, _ := checksum.ParseType(h.Get("x-amz-checksum-type"))
	for _, a := range checksum.Algorithms() {
		if text := h.Get(a.Header()); text != "" {
			v, err := checksum.ParseValue(a, text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", a.Header(), err)
			}
			if v.Type == checksum.FullObject {
				v.Type = kind
			}
			o.Checksums = append(o.Checksums, v)
		}
	}
	return o, nil
}

// Head describes an object.
func (c Client) Head(ctx context.Context, bucket, key string) (*Object, error) {
	r := request("stat", "HEAD", bucket, key)
	header(r, "x-amz-checksum-mode", "ENABLED")
	response, err := c.Send(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := response.Body.Close(); err != nil {
		return nil, errs.E(r.Op, r.What, errs.Offline, err)
	}
	o, err := describe(bucket, key, response)
	if err != nil {
		return nil, errs.E(r.Op, r.What, errs.Internal, err)
	}
	return o, nil
}

// Get says what to read.
type Get struct {
	Bucket, Key string
	// Range is the value of the Range header, "bytes=0-99"; empty: all.
	Range string
	// IfMatch is the ETag that the object must have; empty: any.
	IfMatch string
}

// Open opens an object's payload; the caller closes it.
func (c Client) Open(ctx context.Context, g Get) (*Object, io.ReadCloser, error) {
	r := request("get", "GET", g.Bucket, g.Key)
	header(r, "Range", g.Range, "x-amz-checksum-mode", "ENABLED")
	if g.IfMatch != "" {
		header(r, "If-Match", `"`+g.IfMatch+`"`)
	}
	response, err := c.Send(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	o, err := describe(g.Bucket, g.Key, response)
	if err == nil && g.Range != "" && response.StatusCode != http.StatusPartialContent {
		err = errors.New("the server answered with all of the object, not the range that was asked for")
	}
	if err != nil {
		return nil, nil, errors.Join(errs.E(r.Op, r.What, errs.Internal, err), response.Body.Close())
	}
	return o, response.Body, nil
}

// Put is an object to be stored in one request.
type Put struct {
	Bucket, Key string
	Attributes  Attributes
	// Body returns the payload from its beginning, Size bytes.
	Body func() (io.ReadCloser, error)
	Size int64
	// Sum is the payload's checksum, which the server compares; zero: none is sent.
	Sum checksum.Value
	// IfAbsent refuses to replace an object.
	IfAbsent bool
}

// Written is what the server says of a write.
type Written struct {
	ETag    string
	Receipt string // X-Troupe-Receipt; empty for a server that is none of ours
}

// Put stores an object.
func (c Client) Put(ctx context.Context, p Put) (Written, error) {
	r := request("put", "PUT", p.Bucket, p.Key)
	r.Body, r.Length = p.Body, p.Size
	p.Attributes.add(r)
	if p.Sum.Algorithm != checksum.None {
		header(r, p.Sum.Algorithm.Header(), p.Sum.String())
	}
	if p.IfAbsent {
		header(r, "If-None-Match", "*")
	}
	h, err := c.do(ctx, r)
	if err != nil {
		return Written{}, err
	}
	return written(h), nil
}

func written(h http.Header) Written {
	return Written{unquote(h.Get("ETag")), h.Get("X-Troupe-Receipt")}
}

// Copy is an object to be copied by the server.
type Copy struct {
	FromBucket, FromKey string
	Bucket, Key         string
	// Replace, if not nil, are the attributes of the copy; otherwise it has those
	// of its source.
	Replace *Attributes
	// IfMatch is the ETag that the source must have; empty: any.
	IfMatch string
}

// source is the value of x-amz-copy-source.
func (p *Copy) source() string { return string(sigv4.AppendPath(nil, "/"+p.FromBucket+"/"+p.FromKey)) }

// Copy copies an object of at most 5 GiB.
func (c Client) Copy(ctx context.Context, p Copy) (Written, error) {
	r := request("copy", "PUT", p.Bucket, p.Key)
	header(r, "x-amz-copy-source", p.source())
	if p.IfMatch != "" {
		header(r, "x-amz-copy-source-if-match", `"`+p.IfMatch+`"`)
	}
	if p.Replace != nil {
		header(r, "x-amz-metadata-directive", "REPLACE")
		if len(p.Replace.Tags) > 0 {
			header(r, "x-amz-tagging-directive", "REPLACE")
		}
		p.Replace.add(r)
	}
	var result struct{ ETag string }
	h, err := c.read(ctx, r, &result)
	if err != nil {
		return Written{}, err
	}
	return Written{unquote(result.ETag), h.Get("X-Troupe-Receipt")}, nil
}

// Delete deletes an object; one that is not there is deleted already.
func (c Client) Delete(ctx context.Context, bucket, key string) error {
	_, err := c.do(ctx, request("delete", "DELETE", bucket, key))
	return err
}

// MaxDeletes is how many keys DeleteMany takes.
const MaxDeletes = 1000

// DeleteMany deletes up to MaxDeletes objects in one request; failed has the
// reason for each key that was not.
func (c Client) DeleteMany(ctx context.Context, bucket string, keys []string) (failed map[string]error, err error) {
	r := request("delete", "POST", bucket, "")
	r.Query = query("delete=", "")
	type object struct{ Key string }
	var demand struct {
		XMLName xml.Name `xml:"Delete"`
		Quiet   bool
		Object  []object
	}
	demand.Quiet = true
	for _, key := range keys {
		if !xmlText(key) {
			// XML cannot say this key: it goes alone.
			if err := c.Delete(ctx, bucket, key); err != nil {
				failed = noteFailure(failed, key, err)
			}
			continue
		}
		demand.Object = append(demand.Object, object{key})
	}
	if len(demand.Object) == 0 {
		return failed, nil
	}
	body, err := xml.Marshal(demand)
	if err != nil {
		return nil, errs.E(r.Op, r.What, errs.Internal, err)
	}
	document(r, body)
	sum := md5.Sum(body)
	header(r, "Content-MD5", base64.StdEncoding.EncodeToString(sum[:]), "Content-Type", "application/xml")
	var result struct {
		Error []struct{ Key, Code, Message string }
	}
	if _, err := c.read(ctx, r, &result); err != nil {
		return nil, err
	}
	for _, e := range result.Error {
		f := &client.Failure{Status: http.StatusBadRequest, Code: e.Code, Message: e.Message}
		if e.Code == "AccessDenied" {
			f.Status = http.StatusForbidden
		}
		failed = noteFailure(failed, e.Key, errs.E(r.Op, Address(bucket, e.Key), f.Kind(), f))
	}
	return failed, nil
}

func noteFailure(failed map[string]error, key string, err error) map[string]error {
	if failed == nil {
		failed = map[string]error{}
	}
	failed[key] = err
	return failed
}

// xmlText reports whether XML 1.0 can carry a text unchanged.
func xmlText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0xfffd || r == 0xfffe || r == 0xffff
	})
}

// Tags reads an object's tags.
func (c Client) Tags(ctx context.Context, bucket, key string) ([]objects.Pair, error) {
	r := request("stat", "GET", bucket, key)
	r.Query = query("tagging=", "")
	var result struct {
		TagSet struct {
			Tag []struct{ Key, Value string }
		}
	}
	if _, err := c.read(ctx, r, &result); err != nil {
		return nil, err
	}
	var tags []objects.Pair
	for _, t := range result.TagSet.Tag {
		tags = append(tags, objects.Pair{Name: t.Key, Value: t.Value})
	}
	return tags, nil
}
