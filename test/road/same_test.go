package road

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3 asks for it
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/s3client"
)

func payload(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8(sha256.Sum256([]byte(fmt.Sprint(seed))))
	_, _ = r.Read(b) // never fails
	return b
}

// What was written through any node is read whole through every node, whatever its
// size, and lies at the node in charge.
func TestEveryNodeServesEveryKey(t *testing.T) {
	w := newWorld(t, 3)
	ctx := context.Background()
	sizes := []int{0, 1, 4 << 10, 40 << 10, 128 << 10, 128<<10 + 1, 700 << 10, 3 << 20}
	relayed := 0
	for i := range 48 {
		name, body := fmt.Sprintf("dir %d/key+%d", i%3, i), payload(uint64(i), sizes[i%len(sizes)])
		must2 := func(a *s3client.Answer, err error) *s3client.Answer { return must(t, a, err) }
		written := must2(w.members[i%3].s3.Put(ctx, bucketName, name, body))
		owner, _ := w.owner(name)
		for _, m := range w.members {
			read := must2(m.s3.Get(ctx, bucketName, name))
			if !bytes.Equal(read.Body, body) || read.ETag() != written.ETag() {
				t.Fatalf("%s through %s: %d bytes, written %d", name, m.id, len(read.Body), len(body))
			}
			if got, want := read.Header.Get("X-Amz-Id-2"), owner.hostID(t); got != want {
				t.Fatalf("%s through %s was answered by %s, and %s is in charge", name, m.id, got, want)
			}
			if m != owner {
				relayed++
			}
		}
	}
	if relayed != 96 {
		t.Fatalf("%d reads were relayed, want 96: the test says nothing", relayed)
	}
	w.quiet()
}

// hostID is what a node calls itself to clients.
func (m *member) hostID(t *testing.T) string {
	t.Helper()
	answer, err := m.s3.Do(context.Background(), s3client.Request{Method: "GET"})
	must(t, answer, err)
	return answer.Header.Get("X-Amz-Id-2")
}

// twins are a cluster and a node that is alone, to which the same is done.
type twins struct {
	t       *testing.T
	cluster *world
	alone   *world
	random  *rand.Rand
	seed    uint64
	bucket  string
}

var changing = regexp.MustCompile(`<(LastModified|Initiated|RequestId|HostId|UploadId|NextUploadIdMarker|UploadIdMarker)>[^<]*</`)

var address = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// same does a request through a random node of the cluster and through the node that is
// alone, and compares all that a client sees but times and ids.
func (w *twins) same(change func(r *s3client.Request, cluster bool), r s3client.Request) (cluster, alone *s3client.Answer) {
	w.t.Helper()
	ask := func(m *member, cluster bool) *s3client.Answer {
		r := r
		if change != nil {
			change(&r, cluster)
		}
		answer, err := m.s3.Do(context.Background(), r)
		if err != nil {
			w.t.Fatalf("seed %d: %s %s/%s?%s through %s: %v", w.seed, r.Method, r.Bucket, r.Key, r.Query, m.id, err)
		}
		return answer
	}
	via := w.cluster.members[w.random.IntN(len(w.cluster.members))]
	cluster, alone = ask(via, true), ask(w.alone.members[0], false)
	shape := func(a *s3client.Answer) string {
		header := a.Header.Clone()
		for _, name := range []string{"Date", "Last-Modified", "X-Amz-Request-Id", "X-Amz-Id-2", "X-Troupe-Receipt"} {
			header.Del(name)
		}
		var b bytes.Buffer
		_ = header.Write(&b) // into memory
		body := a.Body
		if strings.Contains(a.Header.Get("Content-Type"), "xml") {
			header.Del("Content-Length")
			b.Reset()
			_ = header.Write(&b) // likewise
			body = address.ReplaceAll(changing.ReplaceAll(body, []byte("<$1></")), []byte("HOST"))
		}
		return fmt.Sprintf("%d\n%s\n%s", a.Status, b.String(), body)
	}
	if got, want := shape(cluster), shape(alone); got != want {
		w.t.Fatalf("seed %d: %s %s/%s?%s %v through %s:\n%.1500s\nthe node that is alone:\n%.1500s", w.seed, r.Method, r.Bucket, r.Key, r.Query, r.Header, via.id, got, want)
	}
	return cluster, alone
}

// Whatever a client asks, three nodes answer as one does: status, headers and body.
// Of a bucket with copies all nodes of a key have the same afterwards.
func TestClusterAnswersAsOneNode(t *testing.T) {
	cluster, alone := newWorld(t, 3), newWorld(t, 1)
	for copies := 1; copies <= 3; copies++ {
		t.Run(fmt.Sprint("copies=", copies), func(t *testing.T) {
			seed := rand.Uint64()
			w := &twins{t: t, cluster: cluster, alone: alone, random: rand.New(rand.NewPCG(seed, 1)), seed: seed, bucket: bucketName}
			if copies == 1 {
				w.answersAsOne()
				return
			}
			w.bucket = fmt.Sprint("copies-", copies)
			doc := cluster.share(w.bucket, objects.BucketProps{Copies: copies})
			if err := alone.members[0].s3.CreateBucket(context.Background(), w.bucket); err != nil {
				t.Fatal(err)
			}
			w.answersAsOne()
			if n := cluster.agrees(doc); n == 0 {
				t.Fatalf("seed %d: there is nothing in the bucket", seed)
			}
		})
	}
}

// answersAsOne asks for everything.
func (w *twins) answersAsOne() {
	key := func() string { return fmt.Sprintf("p%d/q%d/%d", w.random.IntN(4), w.random.IntN(3), w.random.IntN(8)) }
	object := func(method, name string, header ...objects.Pair) s3client.Request {
		return s3client.Request{Method: method, Bucket: w.bucket, Key: name, Header: header}
	}
	for range raced(250) {
		switch name := key(); w.random.IntN(13) {
		case 0, 1, 2:
			r := object("PUT", name, objects.Pair{Name: "x-amz-meta-a", Value: "b  c"}, objects.Pair{Name: "Content-Type", Value: "text/x"})
			r.Body = payload(w.random.Uint64(), []int{0, 10, 20 << 10, 150 << 10, 600 << 10}[w.random.IntN(5)])
			w.same(nil, r)
		case 3:
			w.same(nil, object("GET", name))
		case 4:
			w.same(nil, object("GET", name, objects.Pair{Name: "Range", Value: fmt.Sprintf("bytes=%d-%d", w.random.IntN(30), w.random.IntN(200<<10))}))
		case 5:
			w.same(nil, object("HEAD", name, objects.Pair{Name: "If-None-Match", Value: []string{`"x"`, "*"}[w.random.IntN(2)]}))
		case 6:
			w.same(nil, object("DELETE", name))
		case 7:
			w.same(nil, object("PUT", name, objects.Pair{Name: "x-amz-copy-source", Value: "/" + w.bucket + "/" + key()}))
		case 8:
			w.deleteSome(key)
		case 9, 10:
			w.list()
		case 11:
			w.multipart(name, key())
		case 12:
			r := object("PUT", name)
			r.Query, r.Body = "tagging=", []byte("<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>")
			w.same(nil, r)
			r = object("GET", name)
			r.Query = "tagging="
			w.same(nil, r)
		}
	}
	w.cluster.quiet()
}

func (w *twins) deleteSome(key func() string) {
	var b strings.Builder
	b.WriteString("<Delete>")
	named := make(map[string]bool)
	for range 1 + w.random.IntN(20) {
		name := key()
		if named[name] {
			continue // which of two deletes of a key comes first, nobody knows
		}
		named[name] = true
		b.WriteString("<Object><Key>" + name + "</Key>")
		if w.random.IntN(5) == 0 { // a condition on the size 0 must not be lost on its way
			b.WriteString("<Size>0</Size>")
		}
		b.WriteString("</Object>")
	}
	b.WriteString("</Delete>")
	r := s3client.Request{Method: "POST", Bucket: w.bucket, Query: "delete=", Body: []byte(b.String())}
	r.Header = []objects.Pair{{Name: "Content-MD5", Value: contentMD5(r.Body)}}
	w.same(nil, r)
}

// list walks a listing to its end; the tokens are equal, too.
func (w *twins) list() {
	query := s3client.Query("list-type", "2", "max-keys", fmt.Sprint(1+w.random.IntN(12)))
	if w.random.IntN(2) == 0 {
		query += "&" + s3client.Query("delimiter", "/")
	}
	if w.random.IntN(2) == 0 {
		query += "&" + s3client.Query("prefix", fmt.Sprintf("p%d/", w.random.IntN(4)))
	}
	token := ""
	for range 100 {
		q := query
		if token != "" {
			q = s3client.Query("continuation-token", token) + "&" + query
		}
		answer, _ := w.same(nil, s3client.Request{Method: "GET", Bucket: w.bucket, Query: q})
		var page struct{ NextContinuationToken string }
		if err := xml.Unmarshal(answer.Body, &page); err != nil {
			w.t.Fatal(err)
		}
		if token = page.NextContinuationToken; token == "" {
			return
		}
	}
	w.t.Fatalf("seed %d: a listing does not end", w.seed)
}

// multipart does an upload, each of its requests through another node, of which one
// part is a copy.
func (w *twins) multipart(name, source string) {
	begun, alone := w.same(nil, s3client.Request{Method: "POST", Bucket: w.bucket, Key: name, Query: "uploads="})
	ids := [2]string{}
	var err error
	if ids[0], err = s3client.UploadID(begun); err != nil {
		w.t.Fatal(err)
	}
	if ids[1], err = s3client.UploadID(alone); err != nil {
		w.t.Fatal(err)
	}
	with := func(query string) func(*s3client.Request, bool) {
		return func(r *s3client.Request, cluster bool) {
			id := ids[1]
			if cluster {
				id = ids[0]
			}
			r.Query = query + "uploadId=" + id
		}
	}
	request := func(method string) s3client.Request {
		return s3client.Request{Method: method, Bucket: w.bucket, Key: name}
	}
	w.same(nil, s3client.Request{Method: "GET", Bucket: w.bucket, Query: "uploads="})
	var list strings.Builder
	for n := range 3 {
		r := request("PUT")
		if n == 2 {
			r.Header = []objects.Pair{{Name: "x-amz-copy-source", Value: w.bucket + "/" + source}}
		} else {
			r.Body = payload(w.random.Uint64(), 1+w.random.IntN(300<<10))
		}
		answer, _ := w.same(with(fmt.Sprintf("partNumber=%d&", n+1)), r)
		if answer.Status != http.StatusOK {
			continue
		}
		etag := answer.ETag()
		if n == 2 {
			var copied struct{ ETag string }
			if err := xml.Unmarshal(answer.Body, &copied); err != nil {
				w.t.Fatal(err)
			}
			etag = strings.Trim(copied.ETag, `"`)
		}
		fmt.Fprintf(&list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n+1, etag)
	}
	w.same(with(""), request("GET"))
	if w.random.IntN(3) == 0 {
		w.same(with(""), request("DELETE"))
		return
	}
	r := request("POST")
	r.Body = []byte("<CompleteMultipartUpload>" + list.String() + "</CompleteMultipartUpload>")
	w.same(with(""), r)
	r = request("GET")
	r.Query = "partNumber=2"
	w.same(nil, r)
}

// A body that was signed reaches the owner as it was sent, who verifies it.
func TestSignedBodiesAreRelayed(t *testing.T) {
	w := newWorld(t, 2)
	ctx := context.Background()
	for i, mode := range []sigv4.PayloadMode{sigv4.Signed, sigv4.Unsigned} {
		for _, size := range []int{100, 300 << 10} {
			name := w.foreign(w.members[0], w.members[1])
			body := payload(uint64(i), size)
			r := s3client.Request{Method: "PUT", Bucket: bucketName, Key: name, Body: body, Payload: mode, SHA256: sha256.Sum256(body)}
			answer, err := w.members[0].s3.Do(ctx, r)
			must(t, answer, err)
			if mode == sigv4.Signed {
				r.SHA256[0]++
				answer, err := w.members[0].s3.Do(ctx, r)
				if err != nil || answer.Code != "XAmzContentSHA256Mismatch" {
					t.Fatalf("a body that is not what was signed: %v %+v", err, answer)
				}
			}
			read, err := w.members[1].s3.Get(ctx, bucketName, name)
			if must(t, read, err); !bytes.Equal(read.Body, body) {
				t.Fatalf("%d bytes of %d", len(read.Body), size)
			}
		}
	}
	w.quiet()
}

// chunked writes a body in chunks, signed one by one, or with a trailer.
func chunked(t *testing.T, identity sigv4.Identity, body []byte, trailers ...objects.Pair) []byte {
	t.Helper()
	var b bytes.Buffer
	w := sigv4.NewChunkWriter(&b, identity)
	for rest := body; len(rest) > 0; rest = rest[min(len(rest), 64<<10):] {
		if _, err := w.Write(rest[:min(len(rest), 64<<10)]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(trailers...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// aws-chunked bodies pass as they are, with every signature and trailer: the owner
// verifies them. A client that waits for 100 Continue gets it, and where the node in
// charge is away it is told so before it sends anything.
func TestChunkSignaturesAndExpect(t *testing.T) {
	w := newWorld(t, 2)
	at, owner := w.members[0], w.members[1]
	name := w.foreign(at, owner)
	body := payload(5, 300<<10)
	put := func(mode sigv4.PayloadMode, http11 string, spoil bool, trailers ...objects.Pair) *http.Response {
		t.Helper()
		r := s3client.Request{Method: "PUT", Bucket: bucketName, Key: name, Payload: mode, Header: []objects.Pair{
			{Name: "x-amz-decoded-content-length", Value: fmt.Sprint(len(body))}, {Name: "Content-Encoding", Value: "aws-chunked"},
		}}
		for _, p := range trailers {
			r.Header = append(r.Header, objects.Pair{Name: "x-amz-trailer", Value: p.Name})
		}
		head, identity, err := at.s3.Head(r)
		if err != nil {
			t.Fatal(err)
		}
		encoded := chunked(t, identity, body, trailers...)
		if spoil {
			encoded[len(encoded)/2]++
		}
		connection, err := net.Dial("tcp", at.S3())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(connection)
		head += http11
		if strings.Contains(http11, "chunked") {
			encoded = append(append([]byte(fmt.Sprintf("%x\r\n", len(encoded))), encoded...), "\r\n0\r\n\r\n"...)
		} else {
			head += fmt.Sprintf("Content-Length: %d\r\n", len(encoded))
		}
		if _, err := io.WriteString(connection, head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(http11, "Expect") {
			line, err := reader.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(line, "100 Continue") {
				status := 0
				if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
					t.Fatal(err)
				}
				return &http.Response{StatusCode: status, Body: http.NoBody}
			}
			if _, err := reader.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := connection.Write(encoded); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	sum := crc32.ChecksumIEEE(body)
	trailer := objects.Pair{Name: "x-amz-checksum-crc32", Value: base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))}
	wrong := objects.Pair{Name: trailer.Name, Value: base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum+1))}
	expect, open := "Expect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n"
	for what, c := range map[string]struct {
		response *http.Response
		status   int
	}{
		"signed":                          {put(sigv4.ChunkedSigned, "", false), 200},
		"signed, with Expect":             {put(sigv4.ChunkedSigned, expect, false), 200},
		"signed, of no known length":      {put(sigv4.ChunkedSigned, open, false), 200},
		"signed, spoilt on its way":       {put(sigv4.ChunkedSigned, "", true), 403},
		"with a signed trailer":           {put(sigv4.ChunkedSignedTrailer, "", false, trailer), 200},
		"with a trailer":                  {put(sigv4.ChunkedUnsignedTrailer, "", false, trailer), 200},
		"with a trailer that is not so":   {put(sigv4.ChunkedUnsignedTrailer, "", false, wrong), 400},
		"with a trailer, unknown length":  {put(sigv4.ChunkedUnsignedTrailer, open+expect, false, trailer), 200},
		"signed trailer, spoilt, unknown": {put(sigv4.ChunkedSignedTrailer, open, true, trailer), 403},
	} {
		if c.response.StatusCode != c.status {
			text, err := io.ReadAll(c.response.Body)
			t.Errorf("%s: %d, want %d: %s %v", what, c.response.StatusCode, c.status, text, err)
		}
	}
	read, err := owner.s3.Get(context.Background(), bucketName, name)
	if must(t, read, err); !bytes.Equal(read.Body, body) {
		t.Errorf("%d bytes of %d", len(read.Body), len(body))
	}
	set := w.set(at.id, 1, nil)
	set.Find(owner.id).Away = "it is down"
	at.nodes.Store(set)
	if response := put(sigv4.ChunkedSigned, expect, false); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a node that is away: %d before the body", response.StatusCode)
	}
	w.quiet()
}

// Clients of the native API, and those of S3 that ask for it, are sent to the node in
// charge; others never are.
func TestRedirects(t *testing.T) {
	w := newWorld(t, 2)
	name := w.foreign(w.members[0], w.members[1])
	ctx := context.Background()
	answer, err := w.members[0].s3.Put(ctx, bucketName, name, []byte("hello"))
	must(t, answer, err)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	ask := func(method, url string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(ctx, method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return response
	}
	path := "/v1/objects/" + bucketName + "/" + name
	for method, status := range map[string]int{"GET": 301, "HEAD": 307, "DELETE": 307} {
		if method == "DELETE" {
			continue // below: it must not be done where it was asked
		}
		response := ask(method, "http://"+w.members[0].Native()+path)
		location := response.Header.Get("Location")
		if response.StatusCode != status || !strings.HasPrefix(location, "http://"+w.members[1].Native()+path+"?pid=") {
			t.Errorf("%s: %d, location %q", method, response.StatusCode, location)
		}
		if response := ask(method, location); response.StatusCode != http.StatusOK {
			t.Errorf("%s where it was sent: %d", method, response.StatusCode)
		}
		// Who was sent already is relayed: nobody is sent in circles.
		if response := ask(method, "http://"+w.members[0].Native()+path+"?pid=x"); response.StatusCode != http.StatusOK {
			t.Errorf("%s sent once already: %d", method, response.StatusCode)
		}
	}
	moved, err := w.members[0].s3.Send(ctx, s3client.Request{
		Method: "DELETE", Bucket: bucketName, Key: name, Header: []objects.Pair{{Name: "X-Troupe-Redirect", Value: "yes"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = moved.Body.Close() // it was not read
	if location := moved.Header.Get("Location"); moved.StatusCode != http.StatusTemporaryRedirect || location != "http://"+w.members[1].S3()+"/"+bucketName+"/"+name {
		t.Errorf("a client of S3 that asked to be sent on was answered: %d", moved.StatusCode)
	}
	response := ask("DELETE", "http://"+w.members[0].Native()+path)
	if response.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("DELETE: %d", response.StatusCode)
	}
	read, err := w.members[0].s3.Get(ctx, bucketName, name)
	if must(t, read, err); !slices.Equal(read.Body, []byte("hello")) {
		t.Errorf("%q", read.Body)
	}
}

func contentMD5(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // S3 asks for it
	return base64.StdEncoding.EncodeToString(sum[:])
}
