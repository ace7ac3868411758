package native_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/OneOfOne/xxhash"
	"github.com/tinylib/msgp/msgp"

	"github.com/troupe-storage/troupe/api/ais"
)

// Health answers everybody, and readiness says why not.
func TestHealth(t *testing.T) {
	n := start(t, nil)
	for _, target := range []string{"/v1/health", "//v1/health", "/v1/health?readiness=true", "/v1/health?prr=True", "/v1/health?readiness=no"} {
		a := n.must(http.MethodGet, target, "")
		if a.body != "" || a.header.Get("Ais-Node-Uptime") == "" {
			t.Errorf("%s: %q %v", target, a.body, a.header)
		}
	}
	n.refused(call{method: "GET", target: "/v1/health?readiness=perhaps"}, 400, "", "readiness")
	if a := n.do(call{method: "POST", target: "/v1/health"}); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", a.status, a.header)
	}
}

// The map has one node of each role, with one address and two ids.
func TestClusterMap(t *testing.T) {
	n := start(t, nil)
	var daemon, cluster map[string]any
	for target, into := range map[string]*map[string]any{"/v1/daemon?what=smap": &daemon, "/v1/cluster?what=smap": &cluster} {
		if err := json.Unmarshal([]byte(n.must("GET", target, "").body), into); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(daemon, cluster) {
		t.Errorf("two maps:\n%v\n%v", daemon, cluster)
	}
	primary := daemon["proxy_si"].(map[string]any)
	if url := primary["public_net"].(map[string]any)["direct_url"]; url != "http://"+n.Native() {
		t.Errorf("the primary is at %v", url)
	}
	if daemon["version"] != "1" || daemon["uuid"] == "" {
		t.Errorf("version %v, uuid %v: numbers of documents travel as text", daemon["version"], daemon["uuid"])
	}
	for id, node := range daemon["tmap"].(map[string]any) {
		if id == primary["daemon_id"] || node.(map[string]any)["daemon_type"] != "target" {
			t.Errorf("%s: %v", id, node)
		}
		for _, what := range []string{"node_status", "snode", "mountpaths", "sysinfo", "smap", "bmd", "node_stats", "software_version"} {
			n.must("GET", "/v1/reverse/daemon?what="+what, "", "Ais-Node-Id", id)
		}
	}
	n.refused(call{method: "GET", target: "/v1/reverse/daemon?what=snode", header: []string{"Ais-Node-Id", "nobody00"}}, 404, "", "nobody00")
	n.refused(call{method: "GET", target: "/v1/daemon?what=nonsense"}, 400, "", "nonsense")
	n.refused(call{method: "GET", target: "/v1/cluster?what=cluster_config"}, 501, "ErrNotImpl", "cluster_config")
	if a := n.must("GET", "/v1/cluster?what=backends", ""); a.body != "[]" {
		t.Errorf("backends: %s", a.body)
	}
}

// Buckets live and die with AIStore's statuses and texts, which clients parse.
func TestBuckets(t *testing.T) {
	n := start(t, nil)
	if a := n.must("GET", "/v1/buckets?provider=ais", `{"action":"list","name":"","value":null}`); a.body != "[]" {
		t.Errorf("no buckets: %s", a.body)
	}
	n.bucket("Nnn_1")
	want := `[{"name":"Nnn_1","provider":"ais","namespace":{"uuid":"","name":""}}]`
	for _, c := range []call{
		{method: "GET", target: "/v1/buckets?provider=ais", body: `{"ACTION":"list"}`}, {method: "GET", target: "/v1/buckets"},
		{method: "GET", target: "/v1/buckets/?presence=2", body: `{"action":"list","name":"Nnn_1"}`},
	} {
		if a := n.do(c); a.body != want {
			t.Errorf("%+v: %s", c, a.body)
		}
	}
	for _, target := range []string{"/v1/buckets?provider=aws", "/v1/buckets?presence=5", "/v1/buckets?namespace=%40%23ns"} {
		if a := n.must("GET", target, ""); a.body != "[]" {
			t.Errorf("%s: %s", target, a.body)
		}
	}
	n.refused(call{method: "GET", target: "/v1/buckets?provider=nimbus"}, 400, "", "nimbus")
	create, destroy := action("create-bck", nil), action("destroy-bck", nil)
	n.refused(call{method: "POST", target: "/v1/buckets/Nnn_1", body: create}, 409, "ErrBucketAlreadyExists", `bucket "ais://Nnn_1" already exists`)
	for _, name := range []string{"*", ".", "%20", "with%20blank", "%23x", "$x", "~x", "a..b", ".hidden", strings.Repeat("x", 65), "a%2Fb", "bucket/badname"} {
		if a := n.do(call{method: "POST", target: "/v1/buckets/" + name, body: create}); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	n.refused(call{method: "POST", target: "/v1/buckets/b?provider=s3", body: create}, 501, "ErrNotImpl", "aws bucket")
	n.refused(call{method: "POST", target: "/v1/buckets/b?namespace=%40%23ns", body: create}, 501, "ErrNotImpl", "namespaces")
	n.refused(call{method: "POST", target: "/v1/buckets/b", body: "{"}, 400, "", "not an action message")
	n.refused(call{method: "POST", target: "/v1/buckets/b", body: ""}, 400, "", `invalid action ""`)
	n.refused(call{method: "POST", target: "/v1/buckets/b", body: action("dance", nil)}, 400, "", `invalid action "dance"`)
	n.refused(call{method: "POST", target: "/v1/buckets/Nnn_1", body: action("copy-bck", nil)}, 501, "ErrNotImpl", `"copy-bck"`)

	for _, c := range []call{
		{method: "HEAD", target: "/v1/buckets/none"}, {method: "GET", target: "/v1/buckets/none", body: action("list", nil)},
		{method: "DELETE", target: "/v1/buckets/none", body: destroy}, {method: "PATCH", target: "/v1/buckets/none", body: action("reset-bprops", nil)},
		{method: "GET", target: "/v1/objects/none/o"}, {method: "PUT", target: "/v1/objects/none/o", body: "x"},
		{method: "DELETE", target: "/v1/objects/none/o"}, {method: "HEAD", target: "/v1/objects/none/o"},
	} {
		n.refused(c, 404, "ErrBckNotFound", `bucket "ais://none" does not exist`)
	}
	n.refused(call{method: "HEAD", target: "/v1/buckets/x?provider=gs"}, 404, "ErrRemoteBckNotFound", `gcp bucket "gs://x" does not exist`)
	n.refused(call{method: "HEAD", target: "/v1/buckets/tmp?namespace=%40%23ns"}, 404, "ErrBckNotFound", `bucket "ais://#ns/tmp" does not exist`)
	n.refused(call{method: "HEAD", target: "/v1/buckets/tmp?namespace=%40uuid%23ns"}, 404, "ErrRemoteBckNotFound", `remote cluster "uuid"`)
	n.must("DELETE", "/v1/buckets/Nnn_1", destroy)
	n.refused(call{method: "HEAD", target: "/v1/buckets/Nnn_1"}, 404, "ErrBckNotFound", `bucket "ais://Nnn_1" does not exist`)
}

// A bucket goes with what is in it, and does not come back with a restart or with
// a bucket of the same name.
func TestDestroyWithObjects(t *testing.T) {
	n := start(t, nil)
	n.bucket("full")
	for i := range 600 { // more than one commit of each mountpath
		n.must("PUT", fmt.Sprintf("/v1/objects/full/small/%d", i), "x")
	}
	n.must("PUT", "/v1/objects/full/dir/file", payload(300<<10))
	upload := n.must("POST", "/v1/objects/full/parts", action("mpt-upload", nil)).body
	n.must("PUT", "/v1/objects/full/parts?partNumber=1&uploadId="+upload, payload(100<<10))
	n.must("POST", "/v1/objects/full/parts?uploadId="+upload, action("mpt-complete", []ais.PartName{{Number: 1}}))
	n.must("DELETE", "/v1/buckets/full", action("destroy-bck", nil))
	for range 2 {
		n.bucket("full")
		if list := n.list("full", nil); len(list.Entries) != 0 {
			t.Errorf("a new bucket has %v", names(list))
		}
		n.must("PUT", "/v1/objects/full/dir/file", "anew")
		if a := n.must("GET", "/v1/objects/full/dir/file", ""); a.body != "anew" {
			t.Errorf("the object is %q", a.body)
		}
		n.must("DELETE", "/v1/buckets/full", action("destroy-bck", nil))
		n.restart()
		if a := n.must("GET", "/v1/buckets", ""); a.body != "[]" {
			t.Errorf("after a restart: %s", a.body)
		}
	}
}

// Properties are shown whole; what can be changed is changed, what cannot is
// refused by its name and leaves everything as it was.
func TestProperties(t *testing.T) {
	n := start(t, nil)
	n.must("POST", "/v1/buckets/b", action("create-bck", map[string]any{"versioning": map[string]any{"enabled": false}, "troupe": map[string]any{"etag": "fast"}}))
	show := func() ais.BucketProps {
		t.Helper()
		var props ais.BucketProps
		if err := json.Unmarshal([]byte(n.must("HEAD", "/v1/buckets/b", "").header.Get("Ais-Bucket-Props")), &props); err != nil {
			t.Fatal(err)
		}
		return props
	}
	made := show()
	if made.Versioning.Enabled || made.Troupe.ETag != "fast" || made.Checksum.Type != "xxhash2" || made.Access != ^uint64(0) || made.ID == 0 {
		t.Errorf("%+v", made)
	}
	for _, c := range []struct {
		value      string
		status     int
		kind, text string
	}{
		{`{"mirror":{"enabled":true}}`, 501, "ErrUnsupp", `"mirror.enabled"`},
		{`{"ec":{"data_slices":4}}`, 501, "ErrUnsupp", `"ec.data_slices"`},
		{`{"checksum":{"type":"md5"}}`, 501, "ErrUnsupp", `"checksum.type"`},
		{`{"access":"1"}`, 501, "ErrUnsupp", `"access"`},
		{`{"extra":{"custom":"x"}}`, 501, "ErrUnsupp", `"extra.custom"`},
		{`{"provider":"aws"}`, 400, "", `property "provider" is readonly`},
		{`{"colour":"red"}`, 400, "", `unknown property "colour"`},
		{`{"versioning":{"enabled":"often"}}`, 400, "", `"versioning.enabled"`},
		{`{"troupe":{"durability":"magic"},"checksum":{"validate_warm_get":true}}`, 400, "", "magic"},
		{`[]`, 400, "", "not a JSON object"}, {`null`, 400, "", "no properties"},
		{strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20), 400, "", "too deep"},
	} {
		n.refused(call{method: "PATCH", target: "/v1/buckets/b", body: `{"action":"set-bprops","value":` + c.value + `}`}, c.status, c.kind, c.text)
	}
	if now := show(); !reflect.DeepEqual(now, made) {
		t.Errorf("a refused change changed something: %+v, was %+v", now, made)
	}
	whole, err := json.Marshal(&made)
	if err != nil {
		t.Fatal(err)
	}
	n.must("PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":`+string(whole[:len(whole)-1])+`,"force":true}}`) // all of it, as it is
	n.must("PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"Versioning":{"enabled":true},"checksum":{"validate_warm_get":true}}}`)
	if now := show(); !now.Versioning.Enabled || !now.Checksum.ValidateWarmGet || now.Troupe.ETag != "fast" {
		t.Errorf("%+v", now)
	}
	n.must("PATCH", "/v1/buckets/b", action("reset-bprops", nil))
	if now := show(); now.Troupe.ETag != "md5" || now.Checksum.ValidateWarmGet || now.ID != made.ID || now.Created != made.Created {
		t.Errorf("%+v", now)
	}
}

// An object tells what it is in the headers that clients read, and nothing that
// was not asked.
func TestObjects(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	for _, size := range []int{0, 10, 4 << 10, 200 << 10} {
		data := payload(size)
		sum := fmt.Sprintf("%016x", xxhash.ChecksumString64(data))
		made := n.must("PUT", "/v1/objects/b/o?provider=ais", data, "Content-Type", "application/json", "Ais-Custom-Md", "a=1", "Ais-Custom-Md", "b=x=y")
		got := n.must("GET", "/v1/objects/b/o?provider=ais&archpath=&latest-ver=False&etl_name=", "")
		if got.body != data || got.status != 200 || got.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%d bytes: %d, %d bytes, %v", size, got.status, len(got.body), got.header)
		}
		for _, a := range []answer{made, got} {
			if a.header.Get("Ais-Checksum-Type") != "xxhash2" || a.header.Get("Ais-Checksum-Value") != sum || len(a.header.Get("Ais-Atime")) != 19 {
				t.Errorf("%d bytes: %v", size, a.header)
			}
		}
		if custom := got.header.Values("Ais-Custom-Md"); !reflect.DeepEqual(custom, []string{"a=1", "b=x=y"}) {
			t.Errorf("custom metadata: %q", custom)
		}
		head := n.must("HEAD", "/v1/objects/b/o", "")
		for name, want := range map[string]string{
			"Ais-Present": "true", "Ais-Name": "o", "Ais-Bucket-Name": "b", "Ais-Bucket-Provider": "ais", "Ais-Mirror-Copies": "1",
			"Ais-Checksum-Value": sum, "Content-Length": fmt.Sprint(size),
		} {
			if got := head.header.Get(name); got != want {
				t.Errorf("HEAD: %s is %q, want %q", name, got, want)
			}
		}
		head = n.must("HEAD", "/v1/objects/b/o?props=etag,last-modified", "")
		if head.header.Get("ETag") == "" || head.header.Get("Last-Modified") == "" || head.header.Get("Ais-Version") != "" || head.header.Get("Ais-Present") != "true" {
			t.Errorf("HEAD of two properties: %v", head.header)
		}
		n.must("HEAD", "/v1/objects/b/o?validate-checksum=true&presence=2", "")
	}
	n.refused(call{method: "HEAD", target: "/v1/objects/b/o?props=name,cached"}, 400, "", `"cached"`)
	n.refused(call{method: "HEAD", target: "/v1/objects/b/o?presence=5"}, 400, "", "is in the cluster")
	n.refused(call{method: "HEAD", target: "/v1/objects/b/o?presence=9"}, 400, "", "presence")
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		n.refused(call{method: method, target: "/v1/objects/b/none"}, 404, "ErrNotFound", "ais://b/none does not exist")
	}
	n.refused(call{method: "GET", target: "/v1/objects/b/o?latest-ver=maybe"}, 400, "", "latest-ver")
	n.refused(call{method: "GET", target: "/v1/objects/b/o", header: []string{"Ais-Blob-Download", "true"}}, 400, "", "no backend")
	for parameter, text := range map[string]string{"archpath=x": "archpath", "archregx=x": "archregx", "etl_name=x": "etl_name"} {
		if text == "etl_name" {
			n.refused(call{method: "GET", target: "/v1/objects/b/o?" + parameter}, 501, "ErrNotImpl", text)
		}
		n.refused(call{method: "PUT", target: "/v1/objects/b/o?" + parameter, body: "x"}, 501, "ErrNotImpl", text)
	}
	n.refused(call{method: "PUT", target: "/v1/objects/b/o?append_type=append&append_handle=", body: "x"}, 501, "ErrNotImpl", "append")
	n.refused(call{method: "POST", target: "/v1/objects/b/o", body: action("rename-obj", nil)}, 501, "ErrNotImpl", "rename-obj")
	n.refused(call{method: "PUT", target: "/v1/objects/b/o", body: "x", header: []string{"Ais-Custom-Md", "novalue"}}, 400, "", "novalue")
	n.refused(call{method: "PUT", target: "/v1/objects/b/o", body: "x", header: []string{"Ais-Custom-Md", "a=" + strings.Repeat("x", 3000)}}, 400, "", "2048")
	if a := n.do(call{method: "OPTIONS", target: "/v1/objects/b/o"}); a.status != 405 || a.header.Get("Allow") != "DELETE, GET, HEAD, PATCH, POST, PUT" {
		t.Errorf("OPTIONS: %d %v", a.status, a.header)
	}
}

// A bucket that hides the count of writes shows none, and counts on.
func TestVersions(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	count := func() string { return n.must("PUT", "/v1/objects/b/o", "x").header.Get("Ais-Version") }
	if a, b := count(), count(); a != "1" || b != "2" {
		t.Errorf("versions %q and %q", a, b)
	}
	n.must("PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"versioning":{"enabled":false}}}`)
	if v := count(); v != "" {
		t.Errorf("a hidden version is %q", v)
	}
	n.restart()
	n.must("PATCH", "/v1/buckets/b", action("reset-bprops", nil))
	if v := n.must("HEAD", "/v1/objects/b/o", "").header.Get("Ais-Version"); v != "3" {
		t.Errorf("the version is %q after a restart, want 3", v)
	}
}

// One range of bytes is served, and what is none is refused, unlike in S3.
func TestRanges(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	for _, size := range []int{15, 100 << 10} {
		data := payload(size)
		n.must("PUT", "/v1/objects/b/o", data)
		for header, want := range map[string]string{
			"bytes=0-4": data[:5], "bytes=5-100000000": data[5:], "bytes=3-": data[3:], "bytes=-2": data[size-2:], "bytes=-100000000": data,
		} {
			a := n.must("GET", "/v1/objects/b/o", "", "Range", header)
			at := strings.Index(data, want)
			if strings.HasPrefix(header, "bytes=-") {
				at = size - len(want)
			}
			content := fmt.Sprintf("bytes %d-%d/%d", at, at+len(want)-1, size)
			if a.status != 206 || a.body != want || a.header.Get("Content-Range") != content || a.header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("%s: %d, %d bytes, want %d; %s, want %s", header, a.status, len(a.body), len(want), a.header.Get("Content-Range"), content)
			}
		}
		for _, header := range []string{fmt.Sprintf("bytes=%d-", size), "bytes=0-1,3-4", "bytes=a-b", "bytes=4-2", "bytes=-0", "items=0-1", "bytes=", "bytes=99999999999999999999-"} {
			c := call{method: "GET", target: "/v1/objects/b/o", header: []string{"Range", header}}
			n.refused(c, 416, "", header)
			if got := n.do(c).header.Get("Content-Range"); got != fmt.Sprintf("bytes */%d", size) {
				t.Errorf("%s: Content-Range %q", header, got)
			}
		}
	}
	n.must("PUT", "/v1/objects/b/empty", "")
	if a := n.must("GET", "/v1/objects/b/empty", "", "Range", "bytes=0-10"); a.status != 200 || a.body != "" {
		t.Errorf("a range of nothing: %d %q", a.status, a.body)
	}
}

// A payload that is not what was declared is refused whole, in AIStore's words.
func TestDeclaredChecksums(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	for _, size := range []int{9, 100 << 10} {
		for kind, digits := range map[string]int{"xxhash": 16, "xxhash2": 16, "md5": 32, "crc32c": 8, "sha256": 64, "sha512": 128} {
			wrong := strings.Repeat("0", digits)
			n.refused(call{"PUT", "/v1/objects/b/" + kind, payload(size), []string{"Ais-Checksum-Type", kind, "Ais-Checksum-Value", wrong}},
				400, "ErrBadCksum", fmt.Sprintf("BAD DATA CHECKSUM: %s(%s != ", kind, wrong))
			n.refused(call{method: "GET", target: "/v1/objects/b/" + kind}, 404, "ErrNotFound", "does not exist")
		}
	}
	n.must("PUT", "/v1/objects/b/o", "123456789", "Ais-Checksum-Type", "crc32c", "Ais-Checksum-Value", "E3069283") // the catalogue's check value
	n.must("PUT", "/v1/objects/b/o", "123456789", "Ais-Checksum-Type", "none", "Ais-Checksum-Value", "x")
	n.refused(call{"PUT", "/v1/objects/b/o", "x", []string{"Ais-Checksum-Type", "crc64", "Ais-Checksum-Value", "00"}}, 400, "", `invalid checksum type "crc64"`)
	n.refused(call{"PUT", "/v1/objects/b/o", "x", []string{"Ais-Checksum-Value", "00"}}, 400, "", "without Ais-Checksum-Type")
}

// Names are decoded once and never cleaned; those that AIStore refuses are refused
// for new objects.
func TestNames(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	for encoded, name := range map[string]string{
		"a%2Fb": "a/b", "c%252Fd": "c%2Fd", "e//f": "e//f", "%E6%97%A5": "日", "q%3Fr%23s": "q?r#s", "t+u": "t+u", "...": "...", "g%20h": "g h", ".x/-y": ".x/-y",
	} {
		n.must("PUT", "/v1/objects/b/"+encoded, name)
		if a := n.must("GET", "/v1/objects/b/"+encoded, ""); a.body != name {
			t.Errorf("%s: %q", encoded, a.body)
		}
		if got := names(n.list("b", map[string]any{"prefix": name})); !reflect.DeepEqual(got, []string{name}) {
			t.Errorf("%s is listed as %q", encoded, got)
		}
	}
	for _, encoded := range []string{"", "a/", "../x", "a/../b", "a/.", "~/x", "a%2F..", "%zz", "%0", "a%00b", "%ff", strings.Repeat("x", 1025)} {
		if a := n.do(call{method: "PUT", target: "/v1/objects/b/" + encoded, body: "x"}); a.status != 400 {
			t.Errorf("%q: %d %s", encoded, a.status, a.body)
		}
	}
	for _, target := range []string{"/v1/objects/b", "/v1/objects", "/v1/objects/", "/v1/nonsense", "/v2/buckets", "/", "/v1/bucketsx"} {
		if a := n.do(call{method: "GET", target: target}); a.status != 400 {
			t.Errorf("GET %s: %d", target, a.status)
		}
	}
}

// Custom metadata is merged or replaced, lasts, and leaves bytes and version alone.
func TestCustomMetadata(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	for name, size := range map[string]int{"small": 10, "file": 100 << 10} {
		target := "/v1/objects/b/" + name
		n.must("PUT", target, payload(size), "Ais-Custom-Md", "a=1")
		n.must("PATCH", target, action("", map[string]string{"b": "2", "Long": strings.Repeat("x", 1900)})) // more than an attribute carries
		n.must("PATCH", target, action("", map[string]string{"a": "3", "Long": "short"}))
		n.restart()
		a := n.must("GET", target, "")
		if got := a.header.Values("Ais-Custom-Md"); !reflect.DeepEqual(got, []string{"a=3", "Long=short", "b=2"}) || a.body != payload(size) || a.header.Get("Ais-Version") != "1" {
			t.Errorf("%s: %q, version %s, %d bytes", name, got, a.header.Get("Ais-Version"), len(a.body))
		}
		n.must("PATCH", target+"?set-new-custom=true", action("", map[string]string{"z": "1"}))
		if got := n.must("HEAD", target, "").header.Values("Ais-Custom-Md"); !reflect.DeepEqual(got, []string{"z=1"}) {
			t.Errorf("%s: %q", name, got)
		}
		n.refused(call{method: "PATCH", target: target, body: action("", map[string]string{"l": strings.Repeat("x", 2048)})}, 400, "", "2048")
		n.refused(call{method: "PATCH", target: target, body: action("", map[string]string{"no header": "x"})}, 400, "", `"no header"`)
		n.refused(call{method: "PATCH", target: target, body: action("", map[string]string{"a": "two\nlines"})}, 400, "", "one line")
		n.refused(call{method: "PATCH", target: target, body: action("", 7)}, 400, "", "not what is expected")
		n.must("DELETE", target, "")
	}
	n.refused(call{method: "PATCH", target: "/v1/objects/b/none", body: action("", map[string]string{"a": "b"})}, 404, "ErrNotFound", "does not exist")
}

// JSON and MessagePack say the same, in the shapes that Go and Python decode.
func TestListEncodings(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	n.must("PUT", "/v1/objects/b/dir/o", payload(300), "Ais-Custom-Md", "k=v")
	message := map[string]any{"props": "name,size,version,checksum,atime,copies,custom,location", "flags": "0", "time_format": "2006"}
	a := n.must("GET", "/v1/buckets/b", action("list", message))
	var plain struct {
		UUID    string           `json:"uuid"`
		Entries []map[string]any `json:"entries"`
	}
	if err := json.Unmarshal([]byte(a.body), &plain); err != nil || len(plain.Entries) != 1 || len(plain.UUID) < 9 {
		t.Fatalf("%s: %v", a.body, err)
	}
	e := plain.Entries[0]
	if e["name"] != "dir/o" || e["size"] != "300" || e["version"] != "1" || e["copies"] != 1.0 || e["flags"] != 64.0 || e["custom-md"] != "[k:v]" || len(e["atime"].(string)) != 4 {
		t.Errorf("%v", e)
	}
	a = n.must("GET", "/v1/buckets/b", action("list", message), "Accept", "text/plain, application/msgpack")
	if a.header.Get("Content-Type") != "application/msgpack" {
		t.Fatalf("%v", a.header)
	}
	decoded, rest, err := msgp.ReadMapStrIntfBytes([]byte(a.body), nil)
	if err != nil || len(rest) != 0 || len(decoded) != 4 {
		t.Fatalf("%v, %d bytes left: %v", decoded, len(rest), err)
	}
	packed := decoded["Entries"].([]any)[0].(map[string]any)
	for short, long := range map[string]string{"n": "name", "cs": "checksum", "a": "atime", "v": "version", "t": "location", "m": "custom-md"} {
		if packed[short] != e[long] {
			t.Errorf("%s is %v, %s is %v", short, packed[short], long, e[long])
		}
	}
	if fmt.Sprint(packed["s"], packed["c"], packed["f"]) != "300 1 64" {
		t.Errorf("%v", packed)
	}
	if _, ok := decoded["UUID"].(string); !ok || decoded["ContinuationToken"] != "" {
		t.Errorf("%v", decoded)
	}
}

// Pages join into the whole list, whatever their size, and start where they are told.
func TestListPages(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	var all []string
	for i := range 25 {
		name := fmt.Sprintf("%c/%02d", 'a'+i/10, i)
		n.must("PUT", "/v1/objects/b/"+name, "x")
		all = append(all, name)
	}
	for _, size := range []int{1, 5, 24, 25, 26, 0} {
		var got []string
		uuid, token := "", ""
		for pages := 0; pages == 0 || token != ""; pages++ {
			list := n.list("b", map[string]any{"pagesize": size, "continuation_token": token, "uuid": uuid})
			if uuid != "" && list.UUID != uuid {
				t.Errorf("the listing %s became %s", uuid, list.UUID)
			}
			got, uuid, token = append(got, names(list)...), list.UUID, list.ContinuationToken
			if pages > 30 {
				t.Fatal("the listing does not end")
			}
		}
		if !reflect.DeepEqual(got, all) {
			t.Errorf("pages of %d: %v", size, got)
		}
	}
	if got := names(n.list("b", map[string]any{"start_after": "b/15", "prefix": "b/"})); !reflect.DeepEqual(got, all[16:20]) {
		t.Errorf("after b/15: %v", got)
	}
	level := n.list("b", map[string]any{"flags": fmt.Sprint(ais.ListNoRecursion | ais.ListNoDirs)})
	if !reflect.DeepEqual(names(level), []string{"a/", "b/", "c/"}) || level.Entries[0].Flags != ais.EntryDirectory {
		t.Errorf("one level: %+v", level.Entries)
	}
	if a := n.must("GET", "/v1/buckets/b", action("list", map[string]any{"prefix": "none"})); !strings.Contains(a.body, `"entries":[]`) {
		t.Errorf("nothing: %s", a.body)
	}
	for value, text := range map[string]string{
		`{"flags":"512"}`: "no backend", `{"flags":"65536"}`: "65536", `{"flags":7}`: "not what is expected", `{"props":"colour"}`: "colour",
		`{"pagesize":-1}`: "-1", `{"uuid":"x y"}`: "x y", `{"prefix":"` + strings.Repeat("x", 1025) + `"}`: "1025",
	} {
		n.refused(call{method: "GET", target: "/v1/buckets/b", body: `{"action":"list","value":` + value + `}`}, 400, "", text)
	}
	n.refused(call{method: "GET", target: "/v1/buckets/b", body: action("list", map[string]any{"flags": "8"})}, 501, "ErrNotImpl", "archives")
	n.refused(call{method: "GET", target: "/v1/buckets/b", body: action("list", map[string]any{"target": "elsewhere"})}, 404, "", "elsewhere")
	n.refused(call{method: "GET", target: "/v1/buckets/b"}, 400, "", `invalid action ""`)
}

// Parts make an object, and every way not to is refused in the words that
// AIStore's own tests look for.
func TestParts(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	id := n.must("POST", "/v1/objects/b/o", action("mpt-upload", nil)).body
	if len(id) < 8 {
		t.Fatalf("upload id %q", id)
	}
	complete := func(numbers ...int) call {
		list := []ais.PartName{}
		for _, number := range numbers {
			list = append(list, ais.PartName{Number: number})
		}
		return call{method: "POST", target: "/v1/objects/b/o?uploadId=" + id, body: action("mpt-complete", list)}
	}
	part := "/v1/objects/b/o?uploadId=" + id + "&partNumber="
	n.refused(complete(1), 400, "", "no chunks")
	n.refused(call{method: "PUT", target: part + "1"}, 400, "", "invalid size (0)")
	n.refused(call{method: "PUT", target: part + "0", body: "x"}, 400, "", "partNumber")
	n.must("PUT", part+"2", "second")
	n.must("PUT", part+"1", "replaced")
	n.must("PUT", part+"1", "first, ")
	n.refused(complete(1), 400, "", "partial completion")
	n.refused(complete(1, 3), 400, "", "partial completion")
	n.refused(call{method: "POST", target: "/v1/objects/b/o?uploadId=" + id, body: action("mpt-complete", nil)}, 400, "", "list of parts")
	n.refused(call{method: "POST", target: "/v1/objects/b/o", body: action("mpt-complete", nil)}, 400, "", "uploadId")
	if a := n.do(complete(2, 1)); a.status != 200 || a.header.Get("Ais-Version") != "1" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := n.must("GET", "/v1/objects/b/o", ""); a.body != "first, second" {
		t.Errorf("%q", a.body)
	}
	if h := n.must("HEAD", "/v1/objects/b/o?props=chunked", "").header; h.Get("Ais-Chunks-Count") != "2" || h.Get("Ais-Chunks-Max-Chunk-Size") != "7" {
		t.Errorf("%v", h)
	}
	n.refused(complete(1, 2), 404, "ErrNotFound", "does not exist")
	n.refused(call{method: "PUT", target: part + "1", body: "x"}, 404, "ErrNotFound", "does not exist")
	n.refused(call{method: "DELETE", target: "/v1/objects/b/o?uploadId=" + id, body: action("mpt-abort", nil)}, 404, "ErrNotFound", "does not exist")
}
