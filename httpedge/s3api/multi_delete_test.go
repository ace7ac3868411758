package s3api

import (
	"crypto/md5" //nolint:gosec // S3's
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

func contentMD5(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // S3's
	return "Content-MD5: " + base64.StdEncoding.EncodeToString(sum[:])
}

// doom writes the document of DeleteObjects.
func doom(inner ...string) string { return "<Delete>" + strings.Join(inner, "") + "</Delete>" }

func doomKeys(keys ...string) string {
	var b strings.Builder
	for _, k := range keys {
		m := &markup{}
		m.text("Key", k)
		b.WriteString("<Object>" + string(m.b) + "</Object>")
	}
	return b.String()
}

type deleted struct {
	Deleted []struct {
		Key       string
		VersionID string `xml:"VersionId"`
	}
	Error []struct{ Key, Code, Message string }
}

// multi_object_delete: each key by itself; what was not there is deleted too.
func TestDeleteObjects(t *testing.T) {
	e := newEdge(t)
	for _, k := range []string{"a", "b%26%3C", "c", "keep"} {
		e.put(k, "x")
	}
	body := doom("<Object><Key>a</Key><VersionId>null</VersionId></Object>", doomKeys("b&<", "missing"),
		`<Object><Key>c</Key><ETag>"other"</ETag></Object>`, "<Object><Key>keep</Key><VersionId>v1</VersionId></Object>",
		"<Object><Key>keep</Key><Size>2</Size></Object>", "<Object><Key>keep</Key><LastModifiedTime>2020-01-01T00:00:00Z</LastModifiedTime></Object>",
		"<Object><Key>keep</Key><LastModifiedTime>once</LastModifiedTime></Object>", doomKeys(strings.Repeat("k", 1025)))
	r := e.do(post, "/b?delete", body, contentMD5(body)).want(200)
	r.golden("delete_objects")
	var left []string
	for k := range e.model.buckets["b"].objects {
		left = append(left, k)
	}
	slices.Sort(left)
	wantNames(t, "left", left, "c keep")

	body = doom("<Quiet>true</Quiet>", doomKeys("c", "missing"), `<Object><Key>keep</Key><ETag>"other"</ETag></Object>`)
	d := document[deleted](e.do(post, "/b?delete", body, contentMD5(body)).want(200))
	if len(d.Deleted) != 0 || len(d.Error) != 1 || d.Error[0].Code != "PreconditionFailed" || d.Error[0].Message == "" {
		t.Errorf("quiet: %+v", d)
	}
	body = doom(`<Object><Key>keep</Key><ETag>"` + md5Hex("x") + `"</ETag><Size>1</Size><LastModifiedTime>Wed, 04 Mar 2026 05:06:07 GMT</LastModifiedTime></Object>`)
	if d := document[deleted](e.do(post, "/b?delete", body, contentMD5(body)).want(200)); len(d.Deleted) != 1 || d.Deleted[0].Key != "keep" {
		t.Errorf("conditional: %+v", d)
	}
}

// What is no list of keys deletes nothing, nor does a document that was damaged.
func TestDeleteObjectsRefusals(t *testing.T) {
	e := newEdge(t, func(c *Config) { c.Limits.MaxDeleteKeys = 3; c.Limits.DeleteDocument = 2000 })
	e.put("a", "x")
	good := doom(doomKeys("a"))
	for _, c := range []struct{ body, header, code string }{
		{good, "x-none: 1", "InvalidRequest"},
		{good, contentMD5("other"), "BadDigest"},
		{good, "x-amz-checksum-crc32: " + sumOf(checksum.CRC32, "other"), "BadDigest"},
		{good, "Content-MD5: x", "InvalidDigest"},
		{doom(), "", "MalformedXML"},
		{"", "", "MalformedXML"},
		{doom("<Object/>"), "", "MalformedXML"},
		{doom(doomKeys("a", "b", "c", "d")), "", "MalformedXML"}, // multi_object_delete_key_limit
		{"<Other>" + doomKeys("a") + "</Other>", "", "MalformedXML"},
		{"<Delete>" + doomKeys("a"), "", "MalformedXML"},
		{good + good, "", "MalformedXML"},
		{`<!DOCTYPE d [<!ENTITY a "a">]><Delete><Object><Key>&a;</Key></Object></Delete>`, "", "MalformedXML"},
		{good + strings.Repeat(" ", 2000), "", "MaxMessageLengthExceeded"},
	} {
		if c.header == "" {
			c.header = contentMD5(c.body)
		}
		e.do(post, "/b?delete", c.body, c.header).wantError(400, c.code)
	}
	e.do(get, "/b/a", "").want(200)
	e.do(post, "/missing?delete", good, contentMD5(good)).wantError(404, "NoSuchBucket")
	e.do(post, "/b?delete", good, "x-amz-checksum-crc32: "+sumOf(checksum.CRC32, good), "x-amz-sdk-checksum-algorithm: CRC32").want(200)
	body, headers := chunked(good, "x-amz-checksum-crc32:"+sumOf(checksum.CRC32, good))
	e.do(post, "/b?delete", body, headers...).want(200)
	e.do(get, "/b/a", "").wantError(404, "NoSuchKey")
}

// Many keys are deleted some at a time, never more than the limit, and each
// failure or panic is its key's alone.
func TestDeleteObjectsBounded(t *testing.T) {
	const workers = 4
	e := newEdge(t, func(c *Config) { c.Limits.DeleteWorkers = workers })
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprintf("k%02d", i))
		e.put(keys[i], "")
	}
	var running, most, met atomic.Int64
	together := make(chan struct{})
	e.model.fault = func(operation, name string) error {
		if operation != "Delete" {
			return nil
		}
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if met.Add(1) == workers { // the first few wait for one another: they do run at once
			close(together)
		}
		<-together
		switch name {
		case "k13":
			panic("unlucky")
		case "k42":
			return errs.E("fault", name, errs.Busy)
		case "k43":
			return errs.E("fault", name, errs.Offline, objects.ErrOutcomeUnknown)
		}
		return nil
	}
	body := doom(doomKeys(keys...))
	d := document[deleted](e.do(post, "/b?delete", body, contentMD5(body)).want(200))
	if len(d.Deleted) != 97 || len(d.Error) != 3 || d.Error[0].Code != "InternalError" || d.Error[1].Code != "SlowDown" || d.Error[2].Code != "ServiceUnavailable" {
		t.Errorf("%d deleted, errors %+v", len(d.Deleted), d.Error)
	}
	if !slices.IsSortedFunc(d.Deleted, func(a, b struct {
		Key       string
		VersionID string `xml:"VersionId"`
	}) int {
		return strings.Compare(a.Key, b.Key)
	}) {
		t.Error("the answers are not in the order asked")
	}
	if most.Load() != workers {
		t.Errorf("%d at a time, want %d", most.Load(), workers)
	}
}
