package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

// sideBySide is how many tests run at a time against one world: they mostly wait, for
// disks and for one another, on however few cores.
const sideBySide = 12

// world is what is asked: one node, or three.
type world struct {
	copies string // of each object, as x-troupe-copies; empty: one
	s3     []*s3.Client
	raw    []*s3client.Client

	turn    atomic.Uint64 // who is asked next
	buckets atomic.Uint64 // made so far
}

// newWorld makes clients of the nodes at addresses.
func newWorld(t *testing.T, copies string, addresses ...string) *world {
	w := &world{copies: copies}
	keys := process.Keys()
	for _, address := range addresses {
		w.s3 = append(w.s3, s3.New(s3.Options{
			Region: "us-east-1", BaseEndpoint: aws.String("http://" + address), UsePathStyle: true,
			Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKey, keys.SecretKey, ""),
		}))
		raw := s3client.New(address, keys)
		t.Cleanup(raw.Close)
		w.raw = append(w.raw, raw)
	}
	return w
}

// subject is what a test reports to: of testing.TB what it needs, so that one that must
// not pass yet can be watched (waiting_test.go).
type subject interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// client is what a test is given.
type client struct {
	subject
	*world
	ctx context.Context
}

// test is the test of a name.
type test func(c *client)

// tests returns all tests by name; which there are, TestNames compares with Names.
func tests() map[string]test {
	all := map[string]test{}
	for _, area := range []map[string]test{
		listV1Tests(), listV2Tests(), multiDeleteTests(), bucketTests(), objectTests(), multipartTests(), payloadTests(), copyTests(), protocolTests(),
	} {
		for name, test := range area {
			if all[name] != nil {
				panic("two tests of " + name)
			}
			all[name] = test
		}
	}
	return all
}

// The behaviours hold on one node, and on three of which each object is on two.
func TestConformance(t *testing.T) {
	t.Run("one", func(t *testing.T) {
		t.Parallel()
		n := process.ForTest(t, process.Config{Binary: process.Built(), Dir: t.TempDir()})
		newWorld(t, "", n.S3).test(t)
	})
	t.Run("three", func(t *testing.T) {
		t.Parallel()
		c := nodes.ForTest(t, nodes.Config{})
		var addresses []string
		for _, n := range c.Nodes {
			addresses = append(addresses, n.S3)
		}
		newWorld(t, "2", addresses...).test(t)
	})
}

// test runs every test there is, some at a time.
func (w *world) test(t *testing.T) {
	all := tests()
	next := make(chan Name)
	var running sync.WaitGroup
	for range sideBySide {
		running.Go(func() {
			for name := range next {
				t.Run(name.Area+"/"+name.Name, func(t *testing.T) { w.judge(t, name, all[name.Name], Built()) })
			}
		})
	}
	for _, name := range Names() {
		if all[name.Name] != nil {
			next <- name
		}
	}
	close(next)
	running.Wait()
}

// bucketName returns a name that no bucket has.
func (c *client) bucketName() string { return fmt.Sprintf("conformance-%d", c.buckets.Add(1)) }

// bucket makes a bucket.
func (c *client) bucket() string {
	c.Helper()
	name := c.bucketName()
	var header []objects.Pair
	if c.copies != "" {
		header = append(header, objects.Pair{Name: "x-troupe-copies", Value: c.copies})
	}
	c.ok(c.do(s3client.Request{Method: "PUT", Bucket: name, Header: header}))
	return name
}

// next returns whose turn it is to be asked.
func (w *world) next() int { return int(w.turn.Add(1) % uint64(len(w.raw))) }

// sdk returns the client of the node that is asked next.
func (c *client) sdk() *s3.Client { return c.s3[c.next()] }

// do sends a request to the node that is asked next, again where it is told to come back:
// on a machine that is too busy, nodes are silent for a while that nobody has harmed.
func (c *client) do(r s3client.Request) *s3client.Answer {
	c.Helper()
	var answer *s3client.Answer
	c.must(nodes.Await(c.ctx, "an answer other than 503", func() (bool, string) {
		var err error
		if answer, err = c.raw[c.next()].Do(c.ctx, r); err != nil {
			c.Fatalf("%s /%s/%s?%s: %v", r.Method, r.Bucket, r.Key, r.Query, err)
		}
		return answer.Status != http.StatusServiceUnavailable || r.Stream != nil, string(answer.Body)
	}))
	return answer
}

// must ends the test if there is an error.
func (c *client) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatalf("%v", err)
	}
}

// ok ends the test unless an answer is 2xx.
func (c *client) ok(a *s3client.Answer) *s3client.Answer {
	c.Helper()
	c.must(a.Err())
	return a
}

// is reports what is not as wanted.
func (c *client) is(what string, got, want any) {
	c.Helper()
	if !reflect.DeepEqual(got, want) {
		c.Errorf("%s: %#v, want %#v", what, got, want)
	}
}

// answers reports an answer of another status or code. No code is wanted of HEAD, and of
// success.
func (c *client) answers(what string, a *s3client.Answer, status int, code string) {
	c.Helper()
	if a.Status != status || a.Code != code {
		c.Errorf("%s: %d %s, want %d %s: %.400s", what, a.Status, a.Code, status, code, a.Body)
	}
}

// refused reports an error of the SDK that is not of a status and code.
func (c *client) refused(what string, err error, status int, code string) {
	c.Helper()
	var response *awshttp.ResponseError
	var refusal smithy.APIError
	switch {
	case err == nil:
		c.Errorf("%s: done, want %d %s", what, status, code)
	case !errors.As(err, &response):
		c.Errorf("%s: %v, want %d %s", what, err, status, code)
	case response.HTTPStatusCode() != status || code != "" && (!errors.As(err, &refusal) || refusal.ErrorCode() != code):
		c.Errorf("%s: %v, want %d %s", what, err, status, code)
	}
}

// put stores an object and returns its entity tag, quoted.
func (c *client) put(bucket, key, body string) string {
	c.Helper()
	out, err := c.sdk().PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)})
	c.must(err)
	return aws.ToString(out.ETag)
}

// filled makes a bucket with objects of these names, whose payloads are their names.
func (c *client) filled(keys ...string) (bucket string) {
	c.Helper()
	bucket = c.bucket()
	for _, key := range keys {
		c.put(bucket, key, key)
	}
	return bucket
}

// get reads an object, whole.
func (c *client) get(bucket, key string) string {
	c.Helper()
	out, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	c.must(err)
	return c.body(out)
}

// body reads what GetObject answers with, to its end.
func (c *client) body(out *s3.GetObjectOutput) string {
	c.Helper()
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	c.must(err)
	return string(body)
}

// holds reports an object of another payload; payloads are not shown.
func (c *client) holds(bucket, key string, want []byte) {
	c.Helper()
	if got := c.get(bucket, key); got != string(want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		c.Errorf("%s/%s: %d bytes that differ at %d from the %d that are wanted", bucket, key, len(got), at, len(want))
	}
}

// missing reports an object that is there.
func (c *client) missing(bucket, key string) {
	c.Helper()
	_, err := c.sdk().GetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	c.refused("GET of "+key, err, http.StatusNotFound, "NoSuchKey")
}

// pattern returns bytes of which each region differs from the others.
func pattern(size int, seed byte) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%c%015d", 'a'+seed%26, i)
	}
	return b.Bytes()[:size]
}

// side runs functions side by side, each of which may end the test.
func (c *client) side(count int, do func(i int)) {
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() { do(i) })
	}
	all.Wait()
	if f, ok := c.subject.(interface{ Failed() bool }); ok && f.Failed() {
		runtime.Goexit() // what comes next would say the same again
	}
}

// keyed makes headers of names and values, in turns.
func keyed(pairs ...string) (headers []objects.Pair) {
	for i := 0; i+1 < len(pairs); i += 2 {
		headers = append(headers, objects.Pair{Name: pairs[i], Value: pairs[i+1]})
	}
	return headers
}
