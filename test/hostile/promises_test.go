package hostile_test

import (
	"bytes"
	"crypto/md5" //nolint:gosec // what S3 compares
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/s3client"
)

// liar makes requests whose body is not what they say of it.
type liar struct {
	*arena
	key  string
	body []byte
}

// put returns a PUT of the body with these lines.
func (l *liar) put(lines ...string) string {
	return l.head(s3client.Request{Method: "PUT", Key: l.key}, lines...)
}

// promised returns a PUT whose signed headers promise something of the body.
func (l *liar) promised(name, value string) string {
	return l.head(s3client.Request{Method: "PUT", Key: l.key, Header: []objects.Pair{{Name: name, Value: value}}},
		fmt.Sprintf("Content-Length: %d", len(l.body))) + string(l.body)
}

// chunked returns a PUT of the body as aws-chunked, changed by these functions.
func (l *liar) chunked(mode sigv4.PayloadMode, decoded int, trailer objects.Pair, change func(encoded string) string) string {
	header := []objects.Pair{
		{Name: "content-encoding", Value: "aws-chunked"},
		{Name: "x-amz-decoded-content-length", Value: fmt.Sprint(decoded)},
	}
	var trailers []objects.Pair
	if mode != sigv4.ChunkedSigned {
		header = append(header, objects.Pair{Name: "x-amz-trailer", Value: trailer.Name})
		trailers = []objects.Pair{trailer}
	}
	head, identity, err := l.client.Head(s3client.Request{Method: "PUT", Bucket: bucket, Key: l.key, Header: header, Payload: mode})
	if err != nil {
		l.Fatal(err)
	}
	var encoded bytes.Buffer
	w := sigv4.NewChunkWriter(&encoded, identity)
	for rest := l.body; len(rest) > 0; {
		n := min(len(rest), 64<<10)
		if _, err := w.Write(rest[:n]); err != nil {
			l.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(trailers...); err != nil {
		l.Fatal(err)
	}
	text := change(encoded.String())
	return head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(text)) + text
}

func base64Of(sum []byte) string { return base64.StdEncoding.EncodeToString(sum) }

// crcOf returns a CRC32 as S3 writes it.
func crcOf(b []byte) string {
	sum := crc32.ChecksumIEEE(b)
	return base64Of([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

func same(encoded string) string { return encoded }

// A body that is not what its sender says of it (longer, shorter, other bytes,
// other checksums in header, trailer or chunk) is refused, however large, and
// what was under its key stays.
func TestBrokenPromises(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	for _, size := range []int{100, 40 << 10, 300 << 10} {
		body := bytes.Repeat([]byte("promise "), size/8)
		size := len(body)
		l := &liar{arena: a, key: fmt.Sprint("promise/", size), body: body}
		old := bytes.Repeat([]byte("old "), size/8)
		a.ok("put", l.key, a.put(l.key, old))

		other := append(bytes.Clone(body[:size-1]), 'X')
		otherMD5, otherSHA := md5.Sum(other), sha256.Sum256(other) //nolint:gosec // see the import
		crc := objects.Pair{Name: "x-amz-checksum-crc32", Value: crcOf(body)}
		wrongCRC := objects.Pair{Name: "x-amz-checksum-crc32", Value: crcOf(other)}
		lies := map[string]string{
			"shorter than declared":   l.put(fmt.Sprintf("Content-Length: %d", size+1)) + string(body),
			"MD5 of other bytes":      l.promised("content-md5", base64Of(otherMD5[:])),
			"MD5 that is none":        l.promised("content-md5", "nonsense"),
			"MD5 too short":           l.promised("content-md5", base64Of(otherMD5[:15])),
			"SHA-256 of other bytes":  l.head(s3client.Request{Method: "PUT", Key: l.key, Payload: sigv4.Signed, SHA256: otherSHA}, fmt.Sprintf("Content-Length: %d", size)) + string(body),
			"CRC32 of other bytes":    l.promised(wrongCRC.Name, wrongCRC.Value),
			"CRC32 that is none":      l.promised(crc.Name, "!!!!"),
			"CRC32 too long":          l.promised(crc.Name, base64Of(otherMD5[:])),
			"SHA1 of other bytes":     l.promised("x-amz-checksum-sha1", base64Of(otherSHA[:20])),
			"CRC64 of other bytes":    l.promised("x-amz-checksum-crc64nvme", base64Of(otherSHA[:8])),
			"two algorithms":          l.head(s3client.Request{Method: "PUT", Key: l.key, Header: []objects.Pair{crc, {Name: "x-amz-checksum-sha256", Value: base64Of(otherSHA[:])}}}, fmt.Sprintf("Content-Length: %d", size)) + string(body),
			"trailer of other bytes":  l.chunked(sigv4.ChunkedUnsignedTrailer, size, wrongCRC, same),
			"signed trailer likewise": l.chunked(sigv4.ChunkedSignedTrailer, size, wrongCRC, same),
			"trailer not announced":   l.chunked(sigv4.ChunkedUnsignedTrailer, size, crc, func(s string) string { return strings.Replace(s, "crc32:", "crc32c:", 1) }),
			"trailer changed":         l.chunked(sigv4.ChunkedSignedTrailer, size, crc, func(s string) string { return strings.Replace(s, crc.Value, wrongCRC.Value, 1) }),
			"trailer twice": l.chunked(sigv4.ChunkedUnsignedTrailer, size, crc, func(s string) string {
				return strings.TrimSuffix(s, "\r\n") + wrongCRC.Name + ":" + wrongCRC.Value + "\r\n\r\n"
			}),
			"no trailer":               l.chunked(sigv4.ChunkedUnsignedTrailer, size, crc, func(s string) string { return s[:strings.LastIndex(s, crc.Name)] + "\r\n" }),
			"chunk changed":            l.chunked(sigv4.ChunkedSigned, size, crc, func(s string) string { return strings.Replace(s, "promise", "PROMISE", 1) }),
			"chunk signature changed":  l.chunked(sigv4.ChunkedSigned, size, crc, func(s string) string { return strings.Replace(s, "chunk-signature=", "chunk-signature=0", 1) }),
			"chunks without an end":    l.chunked(sigv4.ChunkedSigned, size, crc, func(s string) string { return s[:strings.LastIndex(s, "0;chunk")] }),
			"no chunk at all":          l.chunked(sigv4.ChunkedSigned, size, crc, func(string) string { return "" }),
			"last chunk not signed":    l.chunked(sigv4.ChunkedSigned, size, crc, func(s string) string { return s[:strings.LastIndex(s, ";chunk")] + "\r\n\r\n" }),
			"decoded length too small": l.chunked(sigv4.ChunkedUnsignedTrailer, size-1, crc, same),
			"decoded length too large": l.chunked(sigv4.ChunkedUnsignedTrailer, size+1, crc, same),
			"bytes behind the end":     l.chunked(sigv4.ChunkedUnsignedTrailer, size, crc, func(s string) string { return s + "more" }),
		}
		for name, text := range lies {
			answer := a.exchange(text)
			if answer == nil {
				t.Errorf("%s, %d bytes: no answer", name, size)
				continue
			}
			a.refused(fmt.Sprintf("%s, %d bytes", name, size), answer)
			if got := a.get(l.key); !bytes.Equal(got.Body, old) {
				t.Fatalf("%s, %d bytes: what was there is gone: %v, %d bytes", name, size, got.Err(), len(got.Body))
			}
		}
		// More than was declared: the request is what was declared, the rest is garbage.
		if answer := a.exchange(l.put(fmt.Sprintf("Content-Length: %d", size)) + string(body) + "more"); answer == nil || !answer.OK() {
			t.Errorf("longer than declared: %v", answer)
		}
		// Negative controls: honest promises are kept.
		bodySHA := sha256.Sum256(body)
		for name, text := range map[string]string{
			"SHA-256":              l.head(s3client.Request{Method: "PUT", Key: l.key, Payload: sigv4.Signed, SHA256: bodySHA}, fmt.Sprintf("Content-Length: %d", size)) + string(body),
			"CRC32":                l.promised(crc.Name, crc.Value),
			"trailer":              l.chunked(sigv4.ChunkedUnsignedTrailer, size, crc, same),
			"signed trailer":       l.chunked(sigv4.ChunkedSignedTrailer, size, crc, same),
			"signed chunks":        l.chunked(sigv4.ChunkedSigned, size, crc, same),
			"chunked, without any": l.put("Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, body),
		} {
			if answer := a.exchange(text); answer == nil || !answer.OK() || !bytes.Equal(a.get(l.key).Body, body) {
				t.Errorf("negative control: %s, %d bytes: %v", name, size, answer)
			}
		}
		a.ok("delete", l.key, a.delete(l.key))
	}
	a.holds()
	a.end()
}
