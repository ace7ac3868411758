package native_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/supervisors"
)

// member is one file of a shard that a test has made.
type member struct{ name, content string }

// someMembers are files as a data set has them, and names that are easily taken for others.
func someMembers(random *rand.Rand, count, most int) []member {
	list := []member{{"empty", ""}, {"with space/a+b%25.txt", "odd"}, {"train", "not a directory"}}
	for i := range count {
		content := make([]byte, random.IntN(most+1))
		for j := range content { // half of it can be compressed
			content[j] = byte(random.IntN(16))
		}
		list = append(list, member{fmt.Sprintf("train/%04d.%s", i/2, []string{"png", "seg.png"}[i%2]), string(content)})
	}
	return list
}

func shardOf(t *testing.T, f archive.Format, members []member) string {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, f, archive.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if err := w.Add(archive.Input{Name: m.name, Size: int64(len(m.content)), Body: strings.NewReader(m.content), Modified: time.Unix(1_700_000_000, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// readTar reads a tar with the standard library.
func readTar(t *testing.T, text string) (list []member) {
	t.Helper()
	reader := tar.NewReader(strings.NewReader(text))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, member{header.Name, string(content)})
	}
}

func same(t *testing.T, what string, got, want []member) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d members, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: member %d is %q of %d bytes, want %q of %d", what, i, got[i].name, len(got[i].content), want[i].name, len(want[i].content))
			return
		}
	}
}

// multipart puts an object in parts that end anywhere.
func (n *node) multipart(target, content string, partBytes int) {
	n.t.Helper()
	upload := n.must("POST", target, action("mpt-upload", nil)).body
	var parts []ais.PartName
	for at := 0; at < len(content); at += partBytes {
		parts = append(parts, ais.PartName{Number: len(parts) + 1})
		n.must("PUT", fmt.Sprintf("%s?partNumber=%d&uploadId=%s", target, len(parts), upload), content[at:min(at+partBytes, len(content))])
	}
	n.must("POST", target+"?uploadId="+upload, action("mpt-complete", parts))
}

// What comes out of a shard is what went in: of every format, small, in a file, and in
// parts, each member by its name, ranges of it, and a tar of what each mode chooses; again
// with the indexes in memory, and after a restart with those on the disks.
func TestShardMembers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	n := start(t, nil)
	n.bucket("b")
	extensions := map[string]archive.Format{".tar": archive.Tar, ".tar.gz": archive.TarGzip, ".tgz": archive.TarGzip, ".tar.lz4": archive.TarLZ4, ".zip": archive.Zip}
	shards := make(map[string][]member)
	for extension, f := range extensions {
		small, large := someMembers(random, 4, 100), someMembers(random, 80, 8<<10)
		shards["small"+extension], shards["dir/large"+extension], shards["parts"+extension] = small, large, large
		n.must("PUT", "/v1/objects/b/small"+extension, shardOf(t, f, small))
		text := shardOf(t, f, large)
		n.must("PUT", "/v1/objects/b/dir%2Flarge"+extension, text)
		n.multipart("/v1/objects/b/parts"+extension, text, 90<<10)
	}
	for round, what := range []string{"first", "with indexes in memory", "with indexes of the disks"} {
		if round == 2 {
			n.restart()
		}
		for name, members := range shards {
			target := "/v1/objects/b/" + url.PathEscape(name) + "?provider=ais&archregx=&archpath="
			at := random.Perm(len(members))
			for _, i := range append([]int{0, 1, len(members) - 1}, at[:min(len(at), 3)]...) {
				m := members[i]
				got := n.must("GET", target+url.QueryEscape(m.name), "")
				if got.body != m.content || got.status != 200 || got.header.Get("Content-Length") != fmt.Sprint(len(m.content)) {
					t.Fatalf("%s: %s/%s: %d, %d bytes, want %d, %v", what, name, m.name, got.status, len(got.body), len(m.content), got.header)
				}
				for _, header := range []string{"Ais-Checksum-Type", "Ais-Checksum-Value"} {
					if got.header.Get(header) != "" {
						t.Errorf("%s: %s/%s has %s", what, name, m.name, header)
					}
				}
				if len(m.content) > 2 {
					from := random.IntN(len(m.content) - 1)
					to := from + random.IntN(len(m.content)-from)
					part := n.must("GET", target+url.QueryEscape("/"+m.name), "", "Range", fmt.Sprintf("bytes=%d-%d", from, to))
					if part.status != 206 || part.body != m.content[from:to+1] || part.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", from, to, len(m.content)) {
						t.Errorf("%s: %s/%s %d-%d: %d, %d bytes, %v", what, name, m.name, from, to, part.status, len(part.body), part.header)
					}
					n.refused(call{method: "GET", target: target + url.QueryEscape(m.name), header: []string{"Range", fmt.Sprintf("bytes=%d-", len(m.content))}}, 416, "", "range")
				}
			}
			n.refused(call{method: "GET", target: target + "train/none"}, 404, "ErrNotFound", "ais://b/"+name+"/train/none does not exist")
			if round == 0 || round == 1 && strings.HasPrefix(name, "dir/") { // those in files and of tars and zips go by the index then
				n.matches(what, name, members)
			}
		}
	}
	seen := n.metrics()
	for _, from := range []string{"memory", "disk"} { // what was made, was before the restart
		if seen[looks(from)] == 0 {
			t.Errorf("no index of members was from %s", from)
		}
	}
	if used := n.Slabs().InUse(); used != 0 {
		t.Errorf("%d slabs are leased", used)
	}
}

// matches compares what each mode chooses with what a plain comparison does.
func (n *node) matches(what, shard string, members []member) {
	n.t.Helper()
	expression := regexp.MustCompile(`(^|/)00[0-3]\d\..*g$`)
	for _, c := range []struct {
		mode, text string
		chooses    func(string) bool
	}{
		{"regexp", expression.String(), expression.MatchString},
		{"", ".*", func(string) bool { return true }}, // the whole shard
		{"prefix", "train/", func(s string) bool { return strings.HasPrefix(s, "train/") }},
		{"suffix", ".seg.png", func(s string) bool { return strings.HasSuffix(s, ".seg.png") }},
		{"substr", "a", func(s string) bool { return strings.Contains(s, "a") }},
		{"wdskey", "train/0001", func(s string) bool { return s == "train/0001.png" || s == "train/0001.seg.png" }},
	} {
		target := fmt.Sprintf("/v1/objects/b/%s?archpath=&archregx=%s&archmode=%s", url.PathEscape(shard), url.QueryEscape(c.text), c.mode)
		got := n.must("GET", target, "")
		if got.header.Get("Content-Type") != "application/x-tar" || got.header.Get("Content-Length") != "" {
			n.t.Errorf("%s: %s: %v", what, target, got.header)
		}
		var want []member
		for _, m := range members {
			if c.chooses(m.name) {
				want = append(want, m)
			}
		}
		same(n.t, what+": "+target, readTar(n.t, got.body), want)
		n.refused(call{method: "GET", target: target, header: []string{"Range", "bytes=0-1"}}, 501, "ErrNotImpl", "archregx")
	}
	n.refused(call{method: "GET", target: "/v1/objects/b/" + url.PathEscape(shard) + "?archregx=none&archmode=prefix"}, 404, "ErrNotFound", "none")
}

// metrics are the values of the listener, by name with labels.
func (n *node) metrics() map[string]float64 {
	n.t.Helper()
	values := make(map[string]float64)
	for line := range strings.SplitSeq(n.must("GET", "/metrics", "").body, "\n") {
		var value float64
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if _, err := fmt.Sscan(line[at+1:], &value); err == nil {
				values[line[:at]] = value
			}
		}
	}
	return values
}

// The format is what archmime says, else the extension, else the first bytes; what is no
// archive is refused, whatever it is called, and so is what does not go together.
func TestShardFormats(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	members := someMembers(rand.New(rand.NewPCG(3, 4)), 10, 9000)
	for name, f := range map[string]archive.Format{"tar": archive.Tar, "gz": archive.TarGzip, "lz4": archive.TarLZ4, "zip": archive.Zip} {
		n.must("PUT", "/v1/objects/b/"+name, shardOf(t, f, members))
		for _, mime := range []string{"", f.ContentType(), f.String()} {
			if f == archive.TarGzip && mime == f.ContentType() || f == archive.TarLZ4 && mime == f.ContentType() {
				continue // says nothing of a tar
			}
			if a := n.must("GET", "/v1/objects/b/"+name+"?archpath="+members[5].name+"&archmime="+url.QueryEscape(mime), ""); a.body != members[5].content {
				t.Errorf("%s by %q: %d bytes", name, mime, len(a.body))
			}
		}
	}
	n.must("PUT", "/v1/objects/b/text.tar", "no archive at all")
	n.must("PUT", "/v1/objects/b/cut.zip", shardOf(t, archive.Zip, members)[:5000])
	n.must("PUT", "/v1/objects/b/empty.tar", "")
	for target, text := range map[string]string{
		"text.tar?archpath=a": "malformed", "cut.zip?archpath=a": "malformed", "empty.tar?archpath=a&archmime=zip": "malformed",
		"tar?archpath=a&archmime=rar": "rar", "tar?archpath=a&archmime=zip": "mismatch", "text.tar?archpath=a&archmime=application/gzip": "malformed",
		"tar?archregx=a&archmode=glob": "glob", "tar?archregx=(&archmode=regexp": "missing closing", "tar?archmode=prefix": "archregx",
		"tar?archpath=a&archregx=b": "together", "tar?archpath=a&archmode=prefix": "archmode",
	} {
		n.refused(call{method: "GET", target: "/v1/objects/b/" + target}, 400, "", text)
	}
	n.refused(call{method: "GET", target: "/v1/objects/b/none.tar?archpath=a"}, 404, "ErrNotFound", "ais://b/none.tar does not exist")
	n.refused(call{method: "GET", target: "/v1/objects/none/o.tar?archpath=a"}, 404, "ErrBckNotFound", "none")
	n.refused(call{method: "GET", target: "/v1/objects/b/empty.tar?archpath=a"}, 404, "ErrNotFound", "ais://b/empty.tar/a does not exist")
	// A name that leads out is read by name, and is in no tar that is made here.
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range []string{"../../etc/passwd", "good"} {
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Size: 1, Mode: 0o600, Typeflag: tar.TypeReg}), func() error { _, err := w.Write([]byte("x")); return err }()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n.must("PUT", "/v1/objects/b/out.tar", out.String())
	if a := n.must("GET", "/v1/objects/b/out.tar?archpath=../../etc/passwd", ""); a.body != "x" {
		t.Errorf("%q", a.body)
	}
	same(t, "names that lead out", readTar(t, n.must("GET", "/v1/objects/b/out.tar?archregx=.*", "").body), []member{{"good", "x"}})
}

// indexFiles are the indexes of members on the node's disks.
func (n *node) indexFiles() (list []string) {
	n.t.Helper()
	for _, dir := range n.config.Data {
		files, err := filepath.Glob(filepath.Join(dir, ".troupe", "members", "*", "*"))
		if err != nil {
			n.t.Fatal(err)
		}
		list = append(list, files...)
	}
	return list
}

// An index on the disk is believed only if it is whole, of this payload and of this release:
// else it is removed and made anew, and what is read is the same. A small shard has none,
// and what cannot be kept is no failure.
func TestMemberIndexOnDisk(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	random := rand.New(rand.NewPCG(5, 6))
	members, others := someMembers(random, 120, 3000), someMembers(random, 130, 3000)
	last := members[len(members)-1]
	n.must("PUT", "/v1/objects/b/small.tar", shardOf(t, archive.Tar, members[:20]))
	n.must("GET", "/v1/objects/b/small.tar?archpath="+members[19].name, "")
	if files := n.indexFiles(); len(files) != 0 {
		t.Fatalf("a shard of 20 members has an index: %v", files)
	}
	n.must("PUT", "/v1/objects/b/other.tar", shardOf(t, archive.Tar, others))
	n.must("GET", "/v1/objects/b/other.tar?archpath="+others[len(others)-1].name, "")
	other := n.indexFiles()
	if len(other) != 1 {
		t.Fatalf("%v", other)
	}
	stale, err := os.ReadFile(other[0])
	if err != nil {
		t.Fatal(err)
	}
	n.must("PUT", "/v1/objects/b/o.tar", shardOf(t, archive.Tar, members))
	read := func() {
		t.Helper()
		if a := n.must("GET", "/v1/objects/b/o.tar?archpath="+last.name, ""); a.body != last.content {
			t.Errorf("%d bytes, want %d", len(a.body), len(last.content))
		}
	}
	read()
	var file string
	for _, f := range n.indexFiles() {
		if f != other[0] {
			file = f
		}
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	count := func(from string) float64 {
		return n.metrics()[looks(from)]
	}
	newer := append([]byte{archive.IndexVersion + 1}, good[1:len(good)-4]...)
	newer = binary.BigEndian.AppendUint32(newer, crc32.Checksum(newer, crc32.MakeTable(crc32.Castagnoli)))
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 4
	for what, content := range map[string][]byte{"stale": stale, "flipped": flipped, "cut": good[:len(good)-7], "empty": {}, "newer": newer, "good": good} {
		n.stop()
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		n.start()
		read()
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, good) {
			t.Errorf("%s: %d bytes are there afterwards, want %d: %v", what, len(now), len(good), err)
		}
		made, kept := count("made"), count("disk")
		if wantMade := what != "good"; (made == 1) != wantMade || (kept == 0) != wantMade {
			t.Errorf("%s: %g were made, %g read", what, made, kept)
		}
	}
	// Where it cannot be kept the shard is read all the same.
	n.stop()
	for _, dir := range n.config.Data {
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, ".troupe", "members")), os.WriteFile(filepath.Join(dir, ".troupe", "members"), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	read()
	if made := count("made"); made != 1 {
		t.Errorf("%g were made", made)
	}
}

// A shard that was written again is found as it is now, by an index of its own.
func TestShardIsWrittenAgain(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	random := rand.New(rand.NewPCG(7, 8))
	for round := range 3 {
		f := []archive.Format{archive.Tar, archive.Zip}[round%2]
		members := someMembers(random, 100, 2000)
		n.must("PUT", "/v1/objects/b/o", shardOf(t, f, members))
		for _, m := range members[98:] {
			if a := n.must("GET", "/v1/objects/b/o?archpath="+m.name, ""); a.body != m.content {
				t.Fatalf("round %d: %s: %d bytes, want %d", round, m.name, len(a.body), len(m.content))
			}
		}
	}
}

// looks is the counter of indexes that were from somewhere.
func looks(from string) string { return `troupe_member_index_looks_total{from="` + from + `"}` }

// A member of a shard with a flipped bit is not served where the bucket wants what is read
// verified, by none of the ways to it. Negative control: without that it is served, and
// wrong.
func TestFlippedBitInAMember(t *testing.T) {
	for _, f := range []archive.Format{archive.Tar, archive.TarGzip} {
		for _, validates := range []bool{true, false} {
			if f != archive.Tar && !validates {
				continue // what comes out of it is cut anyway
			}
			n := start(t, func(c *supervisors.Config) { c.Data = c.Data[:1] })
			n.bucket("b")
			if validates {
				n.must("PATCH", "/v1/buckets/b", action("set-bprops", map[string]any{"checksum": map[string]any{"validate_warm_get": true}}))
			}
			members := someMembers(rand.New(rand.NewPCG(9, 10)), 100, 3000)
			text := shardOf(t, f, members)
			n.must("PUT", "/v1/objects/b/o"+f.String(), text)
			m := members[80]
			target := "/v1/objects/b/o" + f.String()
			if a := n.must("GET", target+"?archpath="+m.name, ""); a.body != m.content {
				t.Fatal("it is not there to begin with")
			}
			file := filepath.Join(n.config.Data[0], "b", "o"+f.String())
			at := len(text) - 2000 // within a member near the end, and behind the last one's content in no format
			if f == archive.Tar {
				at = strings.Index(text, m.content) + len(m.content)/2
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			raw[at] ^= 1
			if err := os.WriteFile(file, raw, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, query := range []string{"?archpath=" + m.name, "?archregx=.*", "?archpath=" + members[1].name} {
				whole, body := n.try(target + strings.ReplaceAll(query, " ", "%20"))
				if validates && whole {
					t.Errorf("%s%s: %d bytes were served whole", f, query, len(body))
				}
				if !validates && f == archive.Tar && query == "?archpath="+m.name && (!whole || body == m.content) {
					t.Errorf("control: %s: whole %v, the content that was put: %v", f, whole, body == m.content)
				}
			}
		}
	}
}

// try reads an answer, and reports whether it is one that a client takes for whole.
func (n *node) try(target string) (whole bool, body string) {
	response, err := http.Get("http://" + n.Native() + target)
	if err != nil {
		return false, ""
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode == 200, string(content)
}
