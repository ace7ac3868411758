package sigv4

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

var (
	mutations    = flag.Int("sigv4.mutations", 10_000, "mutated requests per kind")
	mutationSeed = flag.Uint64("sigv4.seed", 1, "seed of the mutations")
)

// source draws random requests and changes.
type source struct{ *rand.Rand }

func (r source) pick(from ...string) string { return from[r.IntN(len(from))] }

func (r source) word() string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~ +/%&=é"
	runes := []rune(letters)
	b := make([]rune, 1+r.IntN(12))
	for i := range b {
		b[i] = runes[r.IntN(len(runes))]
	}
	return string(b)
}

// request draws a request to sign.
func (r source) request(mode PayloadMode) Outgoing {
	out := Outgoing{
		Method: r.pick("GET", "PUT", "POST", "DELETE", "HEAD"),
		Path:   string(AppendPath(nil, "/"+r.pick("bucket", "photos", "a")+"/"+r.word())),
		Host:   r.pick("node.example:9000", "bucket.node.example", "127.0.0.1:8080"), Payload: mode,
	}
	for i := range r.IntN(5) {
		if i > 0 {
			out.Query += "&"
		}
		out.Query += string(AppendQuery(nil, r.word()))
		if r.IntN(3) > 0 {
			out.Query += "=" + string(AppendQuery(nil, r.word()))
		}
	}
	for i := range r.IntN(4) {
		out.Headers = append(out.Headers, objects.Pair{
			Name: r.pick("Content-Type", "x-amz-acl", "X-Amz-Meta-", "range", "Content-MD5") + strconv.Itoa(i), Value: strings.TrimSpace(r.word())})
	}
	if mode == Signed {
		for i := range out.PayloadSHA256 {
			out.PayloadSHA256[i] = byte(r.Uint32())
		}
	}
	return out
}

// harmless rewrites a request in ways that must not matter.
func (r source) harmless(w wire) wire {
	w = clone(w)
	for i := range w.headers {
		if r.IntN(2) == 0 {
			w.headers[i].Name = strings.ToUpper(w.headers[i].Name)
		}
		if value := w.headers[i].Value; value != "" && !equalFold(w.headers[i].Name, "authorization") {
			w.headers[i].Value = strings.ReplaceAll(value, " ", r.pick(" ", "  ", "\t"))
			if strings.HasPrefix(lower(w.headers[i].Name), "x-amz-meta") {
				w.headers[i].Value = r.pick("", " ") + w.headers[i].Value + r.pick("", "\t ")
			}
		}
	}
	r.Shuffle(len(w.headers), func(i, j int) { w.headers[i], w.headers[j] = w.headers[j], w.headers[i] })
	if w.query != "" {
		parts := strings.Split(w.query, "&")
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		for i, p := range parts {
			if !strings.Contains(p, "=") && r.IntN(2) == 0 {
				parts[i] = p + "="
			}
			parts[i] = strings.ReplaceAll(parts[i], "%20", r.pick("%20", "+"))
		}
		w.query = strings.Join(parts, r.pick("&", "&&"))
	}
	w.headers = append(w.headers, objects.Pair{Name: "User-Agent", Value: "not signed"})
	w.path = strings.ReplaceAll(w.path, "%C3", r.pick("%C3", "%c3"))
	return w
}

// mutate changes a request in one way that must matter, or the time that it
// arrives at. It says what it did; "" if this change is no change here.
func (r source) mutate(w *wire, now *time.Time) string {
	changeByte := func(s string) string {
		if s == "" {
			return "x"
		}
		b := []byte(s)
		i := r.IntN(len(b))
		b[i] ^= 1 << r.IntN(7)
		return string(b)
	}
	header := func() int {
		for range 10 {
			i := r.IntN(max(len(w.headers), 1))
			if i < len(w.headers) && !equalFold(w.headers[i].Name, "User-Agent") {
				return i
			}
		}
		return -1
	}
	switch r.IntN(15) {
	case 0:
		if i := header(); i >= 0 && !equalFold(w.headers[i].Name, "authorization") {
			name := w.headers[i].Name
			w.headers = append(w.headers[:i], w.headers[i+1:]...)
			return "drop " + name
		}
	case 1:
		if i := header(); i >= 0 && !equalFold(w.headers[i].Name, "authorization") {
			w.headers[i].Value += "x"
			return "value of " + w.headers[i].Name
		}
	case 2:
		w.headers = append(w.headers, objects.Pair{Name: r.pick("x-amz-acl", "X-Amz-Copy-Source", "x-amz-meta-new", "x-amz-new"), Value: "x"})
		return "x-amz header added"
	case 3:
		if i := header(); i >= 0 {
			w.headers = append(w.headers, objects.Pair{Name: w.headers[i].Name, Value: "again"})
			return w.headers[i].Name + " again"
		}
	case 4:
		before := w.method
		w.method = r.pick("GET", "PUT", "POST", "DELETE", "HEAD", "get")
		if w.method != before {
			return "method"
		}
	case 5:
		w.path += r.pick("x", "/", "%2F", ".", "%20", "/..")
		return "path longer"
	case 6:
		before := w.path
		w.path = strings.Replace(w.path, "/", r.pick("//", "%2F", "/./"), 1+r.IntN(2))
		if w.path != before {
			return "slash"
		}
	case 7:
		w.query += "&" + r.pick("acl", "versionId=x", "uploads", "a=b", "X-Amz-Expires=1", "=")
		return "query longer"
	case 8:
		if i := strings.IndexAny(w.query, "abcdefghijklmnopqrstuvwxyz0123456789"); i >= 0 {
			w.query = w.query[:i] + string(w.query[i]^2) + w.query[i+1:]
			return "query byte"
		}
	case 9:
		w.host = r.pick("evil.example", w.host+":1", "x"+w.host, "")
		return "host"
	case 10:
		*now = now.Add(time.Duration(1-2*r.IntN(2)) * (16*time.Minute + time.Duration(r.IntN(100))*time.Hour))
		if now.Before(testTime) || now.After(testTime.Add(16*time.Minute)) {
			return "replay"
		}
	case 11, 12, 13:
		for i := range w.headers {
			if !equalFold(w.headers[i].Name, "authorization") {
				continue
			}
			before := w.headers[i].Value
			switch r.IntN(5) {
			case 0:
				w.headers[i].Value = strings.Replace(before, testRegion, r.pick("us-east-2", "", "US-EAST-1"), 1)
			case 1:
				w.headers[i].Value = strings.Replace(before, "20241231", r.pick("20241230", "20250101"), 1)
			case 2:
				cut := strings.LastIndex(before, "=") + 1
				w.headers[i].Value = before[:cut] + changeByte(before[cut:])
			case 3:
				_, list, _ := strings.Cut(before, "SignedHeaders=")
				list, _, _ = strings.Cut(list, ",")
				names := strings.Split(list, ";")
				k := r.IntN(len(names))
				w.headers[i].Value = strings.Replace(before, list, strings.Join(append(names[:k:k], names[k+1:]...), ";"), 1)
			case 4:
				cut := strings.LastIndex(before, "=") + 1
				w.headers[i].Value = before[:cut] + before[cut:len(before)-1-r.IntN(63)]
			}
			if w.headers[i].Value != before {
				return "authorization: " + w.headers[i].Value
			}
		}
		if before := w.query; strings.Contains(before, "X-Amz-Signature=") { // presigned
			switch r.IntN(4) {
			case 0:
				w.query = strings.Replace(before, testRegion, "us-east-2", 1)
			case 1:
				w.query = strings.Replace(before, "X-Amz-Expires=300", r.pick("X-Amz-Expires=3000", "x-amz-expires=300", "X-Amz-Expires=0300"), 1)
			case 2:
				w.query = strings.Replace(before, "X-Amz-Date=20241231", r.pick("X-Amz-Date=20241230", "X-Amz-Date=20250101"), 1)
			case 3:
				w.query = before[:len(before)-1] + changeByte(before[len(before)-1:])
			}
			if w.query != before {
				return "signature in the query"
			}
		}
	case 14:
		if b := strings.ToUpper(w.path); b != w.path {
			w.path = b
			return "path in upper case"
		}
	}
	return ""
}

// Nothing that its owner did not sign is accepted: 10,000 requests, each changed
// in one way. The control: each request is accepted before the change, and after
// rewriting that must not matter.
func TestMutatedRequestsAreRefused(t *testing.T) {
	for _, kind := range []string{"header", "presigned"} {
		t.Run(kind, func(t *testing.T) {
			r := source{rand.New(rand.NewPCG(*mutationSeed, 0))}
			accepted, done := 0, 0
			what := map[Code]int{}
			for done < *mutations {
				mode := []PayloadMode{Unsigned, Signed, ChunkedSigned, ChunkedUnsignedTrailer}[r.IntN(4)]
				out := r.request(mode)
				var w wire
				if kind == "header" {
					w, _ = signed(t, out)
				} else {
					w = presigned(t, out)
				}
				v := verifierAt(testTime, testAccess, testSecret)
				if _, err := v.Verify(w.request()); err != nil {
					t.Fatalf("control: %+v: %v", w, err)
				}
				rewritten := r.harmless(w)
				if _, err := v.Verify(rewritten.request()); err != nil {
					t.Fatalf("control, rewritten: %+v\n%+v: %v\n%s", w, rewritten, err, detail(err, "CanonicalRequest"))
				}
				changed, now := clone(w), testTime
				change := r.mutate(&changed, &now)
				if change == "" || sameText(w, changed) && now.Equal(testTime) {
					continue
				}
				done++
				_, err := verifierAt(now, testAccess, testSecret).Verify(changed.request())
				what[codeOf(err)]++
				if err == nil {
					accepted++
					t.Errorf("accepted after %s:\n%+v\n%+v", change, w, changed)
				}
			}
			t.Logf("%d refused as %v", done, what)
			if t.Failed() {
				t.Logf("%d accepted; replay: go test -run %s -sigv4.seed=%d ./api/sigv4", accepted, t.Name(), *mutationSeed)
			}
		})
	}
}

func sameText(a, b wire) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// chunked returns a signed aws-chunked upload.
func chunked(t testing.TB, mode PayloadMode, sizes ...int) (wire, Identity) {
	t.Helper()
	total := 0
	for _, n := range sizes {
		total += n
	}
	out := Outgoing{Method: "PUT", Path: "/b/k", Host: "h", Payload: mode, Headers: []objects.Pair{
		{Name: "x-amz-decoded-content-length", Value: strconv.Itoa(total)}}}
	var trailers []objects.Pair
	if mode.trailers() {
		trailers = []objects.Pair{{Name: "x-amz-checksum-crc32", Value: "AAAAAA=="}}
		out.Headers = append(out.Headers, objects.Pair{Name: "x-amz-trailer", Value: "x-amz-checksum-crc32"})
	}
	w, id := signed(t, out)
	var body bytes.Buffer
	cw := NewChunkWriter(&body, id)
	for i, n := range sizes {
		if _, err := cw.Write(bytes.Repeat([]byte{byte('a' + i)}, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cw.Close(trailers...); err != nil {
		t.Fatal(err)
	}
	w.body = body.Bytes()
	return w, id
}

func decode(body []byte, id Identity, size int64, trailers []string, step int) ([]byte, *ChunkReader, error) {
	r := NewChunkReader(bytes.NewReader(body), id, ChunkOptions{DecodedLength: size, Trailers: trailers})
	var payload []byte
	buffer := make([]byte, step)
	for {
		n, err := r.Read(buffer)
		payload = append(payload, buffer[:n]...)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return payload, r, err
		}
	}
}

// No signed chunked body is accepted after any change: a bit, a piece cut, moved
// or repeated. The control: blank lines around trailers, the one freedom there is.
func TestMutatedChunksAreRefused(t *testing.T) {
	r := source{rand.New(rand.NewPCG(*mutationSeed, 1))}
	for _, mode := range []PayloadMode{ChunkedSigned, ChunkedSignedTrailer} {
		w, id := chunked(t, mode, 8192, 8192, 100)
		trailers := []string{}
		if mode.trailers() {
			trailers = append(trailers, "x-amz-checksum-crc32")
		}
		want, _, err := decode(w.body, id, 16484, trailers, 1<<20)
		if err != nil {
			t.Fatalf("control: %v", err)
		}
		if _, _, err := decode(append(bytes.Clone(w.body), "\r\n"...), id, 16484, trailers, 1000); err != nil {
			t.Fatalf("control, blank line: %v", err)
		}
		codes := map[Code]int{}
		for i := 0; i < *mutations/2; i++ {
			b := bytes.Clone(w.body)
			at := r.IntN(len(b))
			var change string
			switch r.IntN(5) {
			case 0, 1: // where payload is not: headers and trailers
				at = []int{r.IntN(90), 8192 + r.IntN(100), len(b) - 1 - r.IntN(300)}[r.IntN(3)]
				bit := byte(1) << r.IntN(8)
				b[at] ^= bit
				change = fmt.Sprintf("bit %x at %d", bit, at)
			case 2:
				b[at] ^= 1 << r.IntN(8)
				change = fmt.Sprintf("bit at %d", at)
			case 3:
				n := 1 + r.IntN(len(b)-at)
				b = append(b[:at:at], b[at+n:]...)
				change = fmt.Sprintf("%d cut at %d", n, at)
			case 4:
				n := 1 + r.IntN(min(9000, len(b)-at))
				b = append(b[:at+n:at+n], w.body[at:]...)
				change = fmt.Sprintf("%d repeated at %d", n, at)
			}
			got, _, err := decode(b, id, 16484, trailers, 1+r.IntN(20000))
			if err == nil && !(bytes.Equal(got, want) && onlyBlank(w.body, b)) {
				t.Errorf("accepted after %s, seed %d", change, *mutationSeed)
			}
			codes[codeOf(err)]++
		}
		t.Logf("%v: %v", mode, codes)
		if codes[SignatureDoesNotMatch] == 0 || codes[IncompleteBody] == 0 {
			t.Error("the changes did not reach what they were meant for")
		}
	}
}

// onlyBlank reports whether two bodies differ in what the reader is free about:
// white space and the case of hexadecimal sizes and trailer names.
func onlyBlank(a, b []byte) bool {
	return bytes.Equal(normal(a), normal(b))
}

func normal(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r"), nil)
	b = bytes.TrimRight(b, "\n")
	b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\t"), nil), []byte(" "), nil)
	b = bytes.ReplaceAll(b, []byte("\n\n"), []byte("\n"))
	return bytes.ToLower(b)
}
