package native_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects/archive"
)

// batchOf is the body of a streaming get-batch.
func batchOf(t testing.TB, r ais.BatchRequest) string {
	t.Helper()
	r.Streaming = true
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// readArchive reads what a get-batch answered.
func readArchive(t *testing.T, f archive.Format, text string) (list []member) {
	t.Helper()
	if f == archive.Zip {
		reader, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range reader.File {
			content, err := file.Open()
			if err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(content)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, member{file.Name, string(all)})
		}
		return list
	}
	reader, err := archive.OpenStream(f, strings.NewReader(text), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := reader.Next()
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
		list = append(list, member{m.Name, string(content)})
	}
}

// batchStore is what a test asks batches of, with what is in it.
type batchStore struct {
	objects map[string]string
	shards  map[string][]member
}

// putBatchStore puts objects of every way in which a payload is kept, and shards of every
// format, through whichever node is in charge.
func putBatchStore(t *testing.T, nodes []*node) batchStore {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	s := batchStore{objects: make(map[string]string), shards: make(map[string][]member)}
	for i, size := range []int{0, 1, 700, 4 << 10, 5 << 10, 128 << 10, 128<<10 + 1, 300 << 10} {
		content := make([]byte, size)
		for j := range content {
			content[j] = byte(random.IntN(256))
		}
		name := fmt.Sprintf("dir/object %d", i)
		s.objects[name] = string(content)
		mustSomewhere(t, nodes, "PUT", "/v1/objects/b/"+url.PathEscape(name), string(content))
	}
	for extension, f := range map[string]archive.Format{".tar": archive.Tar, ".tgz": archive.TarGzip, ".tar.lz4": archive.TarLZ4, ".zip": archive.Zip} {
		for name, members := range map[string][]member{"small" + extension: someMembers(random, 4, 100), "large" + extension: someMembers(random, 80, 8<<10)} {
			s.shards[name] = members
			text := shardOf(t, f, members)
			s.objects[name] = text
			mustSomewhere(t, nodes, "PUT", "/v1/objects/b/"+name, text)
		}
	}
	return s
}

// items are objects, members and ranges in any order, some of them twice, with what they are
// to come out as.
func (s *batchStore) items(random *rand.Rand, folder string, count int) (items []ais.BatchItem, want []member) {
	var objects, shards []string
	for name := range s.objects {
		objects = append(objects, name)
	}
	for name := range s.shards {
		shards = append(shards, name)
	}
	for len(items) < count {
		item := ais.BatchItem{Object: objects[random.IntN(len(objects))]}
		as, content := folder+item.Object, s.objects[item.Object]
		if random.IntN(2) == 0 {
			item.Object = shards[random.IntN(len(shards))]
			m := s.shards[item.Object][random.IntN(len(s.shards[item.Object]))]
			item.Member, as, content = m.name, folder+item.Object+"/"+m.name, m.content
		}
		switch random.IntN(4) {
		case 0:
			if len(content) > 0 {
				item.Start = random.Int64N(int64(len(content)))
				item.Length = 1 + random.Int64N(int64(len(content))-item.Start)
				content = content[item.Start : item.Start+item.Length]
			}
		case 1:
			item.Length = -1
			if len(content) > 0 {
				item.Start = random.Int64N(int64(len(content)))
			}
			content = content[item.Start:]
		}
		for range 1 + random.IntN(2) {
			items, want = append(items, item), append(want, member{as, content})
		}
	}
	return items, want
}

// What comes out of a batch is what was asked for, in that order: objects, members of every
// format and ranges of both, in an archive of every format, through one node or any of three.
func TestBatch(t *testing.T) {
	for _, count := range []int{1, 3} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			var nodes []*node
			if count == 1 {
				nodes = []*node{start(t, nil)}
				nodes[0].bucket("b")
			} else {
				nodes = startThree(t, "b")
			}
			s := putBatchStore(t, nodes)
			random := rand.New(rand.NewPCG(5, uint64(count)))
			for i, format := range []struct {
				mime, contentType string
				archive.Format
			}{
				{"", "application/x-tar", archive.Tar}, {".tar", "application/x-tar", archive.Tar}, {".tgz", "application/gzip", archive.TarGzip},
				{".tar.gz", "application/gzip", archive.TarGzip}, {".tar.lz4", "application/x-lz4", archive.TarLZ4}, {".zip", "application/zip", archive.Zip},
			} {
				onlyObjects, folder := i%2 == 0, "b/"
				if onlyObjects {
					folder = ""
				}
				items, want := s.items(random, folder, 60)
				a := nodes[i%count].must("GET", "/v1/ml/moss/b?provider=ais&coloc=1", batchOf(t, ais.BatchRequest{Items: items, Format: format.mime, OnlyObjects: onlyObjects, SkipAbsent: i < 3, Colocation: 1}))
				if got := a.header.Get("Content-Type"); got != format.contentType {
					t.Errorf("%q: Content-Type %q, want %q", format.mime, got, format.contentType)
				}
				same(t, format.mime, readArchive(t, format.Format, a.body), want)
			}
			everyItem(t, nodes, &s)
			absentItems(t, nodes)
			refusedBatches(t, nodes)
		})
	}
}

// everyItem asks one node for as many items as a batch may have; of several, which are asked
// for each item, for fewer.
func everyItem(t *testing.T, nodes []*node, s *batchStore) {
	count := ais.MaxBatchItems
	if len(nodes) > 1 {
		count = 256
	}
	items, want := make([]ais.BatchItem, count), make([]member, count)
	names := []string{"dir/object 0", "dir/object 1", "dir/object 2"}
	for i := range items {
		name := names[i%len(names)]
		items[i], want[i] = ais.BatchItem{Object: name, Bucket: "b", Provider: "ais"}, member{"b/" + name, s.objects[name]}
	}
	a := nodes[0].must("GET", "/v1/ml/moss", batchOf(t, ais.BatchRequest{Items: items}))
	same(t, "as many as can be", readTar(t, a.body), want)
	items = append(items, make([]ais.BatchItem, ais.MaxBatchItems+1-count)...)
	nodes[0].refused(call{method: "GET", target: "/v1/ml/moss", body: batchOf(t, ais.BatchRequest{Items: items})}, 400, "", "65536")
}

// absentItems are told by their names where the client goes on, and fail the batch otherwise.
func absentItems(t *testing.T, nodes []*node) {
	items := []ais.BatchItem{
		{Object: "none"}, {Object: "dir/object 1", Length: 1}, {Object: "small.tar", Member: "no/ne"}, {Object: "none.tar", Member: "/x"},
		{Uname: "ais/@#/b/none", Length: 3}, {Object: "none"}, {Object: "small.zip", Member: "empty"},
	}
	for _, n := range nodes {
		got := readTar(t, n.must("GET", "/v1/ml/moss/b", batchOf(t, ais.BatchRequest{Items: items, SkipAbsent: true})).body)
		want := []member{{"__404__/b/none", ""}, {"b/dir/object 1", got[1].content}, {"__404__/b/small.tar/no/ne", ""}, {"__404__/b/none.tar/x", ""}, {"__404__/b/none", ""}, {"__404__/b/none", ""}, {"b/small.zip/empty", ""}}
		same(t, "absent", got, want)
		if len(got[1].content) != 1 {
			t.Errorf("the range between two that are absent has %d bytes", len(got[1].content))
		}
		n.refused(call{method: "GET", target: "/v1/ml/moss/b", body: batchOf(t, ais.BatchRequest{Items: items})}, 404, "ErrNotFound", "item 0: ais://b/none does not exist")
		n.refused(call{method: "GET", target: "/v1/ml/moss/b", body: batchOf(t, ais.BatchRequest{Items: items[1:]})}, 404, "ErrNotFound", "item 1: ais://b/small.tar/no/ne does not exist")
	}
}

// refusedBatches are those that no answer could be made of, also where the client goes on.
func refusedBatches(t *testing.T, nodes []*node) {
	for _, c := range []struct {
		item         ais.BatchItem
		status       int
		kind, text   string
		bucketInPath string
	}{
		{ais.BatchItem{Object: "dir/object 2", Start: 700, Length: -1}, 416, "", "there are 700 bytes", "/b"},
		{ais.BatchItem{Object: "dir/object 2", Start: 600, Length: 101}, 416, "", "item 0: ais://b/dir/object 2: invalid range", "/b"},
		{ais.BatchItem{Object: "dir/object 0", Length: 1}, 416, "", "there are 0 bytes", "/b"},
		{ais.BatchItem{Object: "small.tar", Member: "empty", Length: 1}, 416, "", "there are 0 bytes", "/b"},
		{ais.BatchItem{Object: "dir/object 2", Start: 1<<62 + 1, Length: 1 << 62}, 416, "", "there are 700 bytes", "/b"},
		{ais.BatchItem{Object: "dir/object 2", Start: 1}, 400, "", "a start needs a length", "/b"},
		{ais.BatchItem{Object: "dir/object 2", Start: -1, Length: 1}, 400, "", "invalid range", "/b"},
		{ais.BatchItem{Object: "dir/object 2", Length: -2}, 400, "", "invalid range", "/b"},
		{ais.BatchItem{Object: "o", Bucket: "none"}, 404, "ErrBckNotFound", `item 0: bucket "ais://none" does not exist`, "/b"},
		{ais.BatchItem{Object: "o"}, 404, "ErrBckNotFound", `bucket "ais://none" does not exist`, "/none"},
		{ais.BatchItem{Object: "o", Bucket: "b", Provider: "aws"}, 404, "ErrRemoteBckNotFound", "does not exist", ""},
		{ais.BatchItem{Object: "o", Bucket: "b", Provider: "?"}, 400, "", "provider", ""},
		{ais.BatchItem{Object: "o"}, 400, "", "no bucket is named", ""},
		{ais.BatchItem{Bucket: "b"}, 400, "", "no object is named", ""},
		{ais.BatchItem{Uname: "b/o"}, 400, "", "invalid uname", ""},
		{ais.BatchItem{Object: "../o"}, 400, "", "leads out of the archive", "/b"},
		{ais.BatchItem{Object: "dir/object 1", Member: "x"}, 400, "", "", "/b"}, // it is no archive
	} {
		for _, skip := range []bool{false, true} {
			for _, n := range nodes {
				body := batchOf(t, ais.BatchRequest{Items: []ais.BatchItem{c.item}, SkipAbsent: skip})
				n.refused(call{method: "GET", target: "/v1/ml/moss" + c.bucketInPath, body: body}, c.status, c.kind, c.text)
			}
		}
	}
	n := nodes[0]
	for body, text := range map[string]string{
		`{}`: "names no object", `{"in":[{"objname":"o"}],"strm":true,"coloc":3}`: "coloc 3", `{"in":[{"objname":"o"}],"strm":true,"mime":".rar"}`: "rar", `[`: "JSON",
	} {
		n.refused(call{method: "GET", target: "/v1/ml/moss/b", body: body}, 400, "", text)
	}
	n.refused(call{method: "GET", target: "/v1/ml/moss/b", body: `{"in":[{"objname":"o"}]}`}, 501, "ErrNotImpl", "get-batch with the list")
	n.refused(call{method: "GET", target: "/v1/ml/moss/b/o", body: `{"in":[{"objname":"o"}],"strm":true}`}, 400, "", "more than a bucket")
	n.refused(call{method: "GET", target: "/v1/ml/other", body: `{}`}, 400, "", "no such path")
}

// A batch that fails once bytes are out is cut: its client does not take it for whole.
func TestBatchIsCut(t *testing.T) {
	nodes := startThree(t, "b")
	mustSomewhere(t, nodes, "PUT", "/v1/objects/b/o", strings.Repeat("x", 300<<10))
	for _, n := range nodes {
		for last, whole := range map[string]bool{"none": false, "o": true} {
			body := batchOf(t, ais.BatchRequest{Items: []ais.BatchItem{{Object: "o"}, {Object: last}}})
			answer := n.stream(body)
			if answer.StatusCode != 200 {
				t.Fatalf("status %d", answer.StatusCode)
			}
			got, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if (err == nil) != whole || len(got) < 128<<10 {
				t.Errorf("with %q: %d bytes, %v", last, len(got), err)
			}
		}
	}
}

// stream asks for a batch and leaves the body of the answer to be read.
func (n *node) stream(body string) *http.Response {
	n.t.Helper()
	request, err := http.NewRequest("GET", "http://"+n.Native()+"/v1/ml/moss/b", bytes.NewReader([]byte(body)))
	if err != nil {
		n.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer
}

// A node answers 64 batches at a time, whose clients may take their time, and refuses the
// next one; a client that goes gives its place back.
func TestBatchesAtATime(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	n.must("PUT", "/v1/objects/b/o", strings.Repeat("x", 1<<20))
	n.must("PUT", "/v1/objects/b/small", "x")
	items := make([]ais.BatchItem, 256) // more than sockets take
	for i := range items {
		items[i].Object = "o"
	}
	large, small := batchOf(t, ais.BatchRequest{Items: items}), batchOf(t, ais.BatchRequest{Items: []ais.BatchItem{{Object: "small"}}})
	var open []*http.Response
	for range 64 {
		answer := n.stream(large)
		if answer.StatusCode != 200 {
			t.Fatalf("batch %d: status %d", len(open), answer.StatusCode)
		}
		open = append(open, answer)
	}
	n.refused(call{method: "GET", target: "/v1/ml/moss/b", body: small}, 503, "ErrBusy", "64 batches are under way")
	if got := n.must("GET", "/v1/objects/b/small", ""); got.body != "x" {
		t.Errorf("a GET beside them: %q", got.body)
	}
	open[0].Body.Close()
	for n.do(call{method: "GET", target: "/v1/ml/moss/b", body: small}).status == 503 {
		if t.Context().Err() != nil {
			t.Fatal("the place is not given back")
		}
	}
	for _, answer := range open[1:] {
		answer.Body.Close()
	}
}

// Members of one shard are found in any order, the first of two of a name, also after the
// second was passed, and as many as are not there.
func TestBatchOfOneShard(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	for _, count := range []int{20, 63, 64, 65, 100} {
		members := []member{{"twice", "first"}}
		for i := range count {
			members = append(members, member{fmt.Sprintf("m%03d", i), fmt.Sprint("content ", i)})
		}
		members = append(members, member{"twice", "second"}, member{"last", "the last one"})
		for name, f := range map[string]archive.Format{"s.tar": archive.Tar, "s.tgz": archive.TarGzip, "s.zip": archive.Zip} {
			n.must("PUT", "/v1/objects/b/"+name, shardOf(t, f, members))
			var items []ais.BatchItem
			var want []member
			for _, i := range append([]int{3, 3, 1, count - 2, count, 2}, rand.New(rand.NewPCG(7, 8)).Perm(count)...) {
				m := members[i]
				items, want = append(items, ais.BatchItem{Object: name, Member: m.name}), append(want, member{name + "/" + m.name, m.content})
			}
			for _, m := range []member{{"none", ""}, {"last", "the last one"}, {"twice", "first"}, {"none", ""}, {"m000", "content 0"}} {
				as := name + "/" + m.name
				if m.name == "none" {
					as = "__404__/" + as
				}
				items, want = append(items, ais.BatchItem{Object: name, Member: m.name}), append(want, member{as, m.content})
			}
			body := batchOf(t, ais.BatchRequest{Items: items, OnlyObjects: true, SkipAbsent: true})
			same(t, fmt.Sprint(name, " of ", len(members)), readTar(t, n.must("GET", "/v1/ml/moss/b", body).body), want)
		}
	}
}
