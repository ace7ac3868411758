// Package node runs whole nodes in the test's own process, over real directories
// and real sockets, and breaks them where only that shows: one key that many write
// and read, actors that panic under load, what a node leaves behind when it stops.
//
// Start with TestOneKey, then panic_test.go.
package node

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's ETag
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/supervisors"
)

// inlineBytes is the inline limit of these nodes: small, so that files are cheap.
const inlineBytes = 4 << 10

// start starts a node with so many mountpaths below a directory.
func start(t *testing.T, dir string, mountpaths int, change func(*supervisors.Config)) *supervisors.Node {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	config := supervisors.Config{
		Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 256 << 20, LimitHeap: func(int64) {}, MinPartBytes: 1, InlineBytes: inlineBytes, Log: log,
	}
	for i := range mountpaths {
		config.Data = append(config.Data, filepath.Join(dir, "d"+strconv.Itoa(i)))
	}
	if change != nil {
		change(&config)
	}
	node, err := supervisors.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// leaves fails the test if goroutines are left at its end that were not there at
// its beginning. Three are others' and end by themselves, or are the process's:
// fasthttp's sweeper of idle workers sleeps for ten seconds before it looks whether
// it is to end, its clock is started once for all servers, and protoactor's throttle
// of dead letters waits for the end of its second.
func leaves(t *testing.T, before goleak.Option) {
	t.Helper()
	goleak.VerifyNone(t, before,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"),
	)
}

// stop stops a node, which must leave nothing: no slab, no file, no error.
func stop(t *testing.T, node *supervisors.Node) {
	t.Helper()
	if err := node.Stop(); err != nil {
		t.Errorf("the node did not stop cleanly: %v", err)
	}
}

// client speaks S3 to one node. Safe for concurrent use.
type client struct {
	host   string
	signer *sigv4.Signer
	http   *http.Client
}

// requestTime bounds a request: the gateway answers within its own deadline of 30 s.
const requestTime = 45 * time.Second

func newClient(node *supervisors.Node) *client {
	return &client{
		host:   node.S3(),
		signer: sigv4.NewSigner(sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}, "us-east-1"),
		http:   &http.Client{Timeout: requestTime, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}},
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// failure is an answer that is none of 200, 204 and 404.
type failure struct {
	status int
	body   string
}

// Error tells the answer.
func (f *failure) Error() string { return fmt.Sprintf("status %d: %s", f.status, f.body) }

// retryable reports whether a client may simply ask again: the node said so, or
// the connection was cut.
func retryable(err error) bool {
	var f *failure
	if errors.As(err, &f) {
		return f.status == http.StatusServiceUnavailable
	}
	var u *url.Error
	return errors.As(err, &u) && !u.Timeout()
}

// errNone says that there is no such object.
var errNone = errors.New("no such object")

// do sends a request and reads the answer.
func (c *client) do(method, path, query string, body []byte) ([]byte, http.Header, error) {
	signature, err := c.signer.Sign(&sigv4.Outgoing{Method: method, Path: path, Query: query, Host: c.host, Payload: sigv4.Unsigned}, time.Now())
	if err != nil {
		return nil, nil, err
	}
	target := "http://" + c.host + path
	if query != "" {
		target += "?" + query
	}
	request, err := http.NewRequestWithContext(context.Background(), method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for _, h := range signature.Headers {
		request.Header.Set(h.Name, h.Value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, &url.Error{Op: method, URL: target, Err: err}
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusNoContent:
		return content, response.Header, nil
	case http.StatusNotFound:
		return nil, nil, errNone
	default:
		return nil, nil, &failure{response.StatusCode, string(content)}
	}
}

func (c *client) bucket(t *testing.T, name string) {
	t.Helper()
	if _, _, err := c.do("PUT", "/"+name, "", nil); err != nil {
		t.Fatal(err)
	}
}

func (c *client) put(bucket, key string, body []byte) error {
	_, header, err := c.do("PUT", "/"+bucket+"/"+key, "", body)
	if err == nil && strings.Trim(header.Get("Etag"), `"`) != etagOf(body) {
		return fmt.Errorf("the put was answered with etag %s, want %s", header.Get("Etag"), etagOf(body))
	}
	return err
}

// get returns the body, whose MD5 is its ETag.
func (c *client) get(bucket, key string) ([]byte, error) {
	body, header, err := c.do("GET", "/"+bucket+"/"+key, "", nil)
	if err != nil {
		return nil, err
	}
	if etag := strings.Trim(header.Get("Etag"), `"`); etag != etagOf(body) {
		return nil, fmt.Errorf("torn: %d bytes with MD5 %s, and the ETag is %s", len(body), etagOf(body), etag)
	}
	return body, nil
}

func (c *client) delete(bucket, key string) error {
	_, _, err := c.do("DELETE", "/"+bucket+"/"+key, "", nil)
	return err
}

func etagOf(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// version makes the body of one write: its number, and bytes and a length that
// follow from the number. Lengths lie on both sides of the inline limit.
func version(number uint64) []byte {
	random := rand.New(rand.NewPCG(number, 1))
	size := 8 + random.IntN(inlineBytes)
	if random.IntN(2) == 0 {
		size = inlineBytes - 2 + random.IntN(5*inlineBytes)
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], number)
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(body) // never fails
	binary.BigEndian.PutUint64(body, number)
	return body
}

// versionOf returns the number of the write whose body this is; an error if it is
// not whole, or none of ours.
func versionOf(body []byte) (uint64, error) {
	if len(body) < 8 {
		return 0, fmt.Errorf("%d bytes", len(body))
	}
	number := binary.BigEndian.Uint64(body)
	if !bytes.Equal(body, version(number)) {
		return 0, fmt.Errorf("%d bytes that begin like version %d and are not it", len(body), number)
	}
	return number, nil
}

// slabsComeBack waits until no slab is leased. A window is given back after its
// answer was written, which is a moment after the client has read it.
func slabsComeBack(t *testing.T, node *supervisors.Node) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	over := time.After(requestTime)
	for node.Slabs().InUse() != 0 {
		select {
		case <-look.C:
		case <-over:
			t.Errorf("%d slabs are in use, and no request is", node.Slabs().InUse())
			return
		}
	}
}
