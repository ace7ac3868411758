package lifecycle_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

const (
	bucket    = "lifecycle"
	heldBytes = 1 << 20
)

func newClient(t *testing.T, node *process.Node) *s3client.Client {
	return process.ClientForTest(t, node)
}

func signedPut(t *testing.T, node *process.Node, key string) string {
	t.Helper()
	head, _, err := newClient(t, node).Head(s3client.Request{Method: "PUT", Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// withBucket starts a node that has a bucket.
func withBucket(t *testing.T) (*process.Node, *s3client.Client) {
	t.Helper()
	node := start(t, t.TempDir())
	client := newClient(t, node)
	if err := client.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	client.Close()
	return node, client
}

// awaitRefused waits until the node takes no connections any more.
func awaitRefused(t *testing.T, node *process.Node) {
	t.Helper()
	probe := time.NewTicker(5 * time.Millisecond)
	defer probe.Stop()
	over := time.After(30 * time.Second)
	for {
		conn, err := net.Dial("tcp", node.S3)
		if err != nil {
			return
		}
		conn.Close()
		select {
		case <-over:
			t.Fatal("the node still takes connections")
		case <-probe.C:
		}
	}
}

// A node that is asked to end takes no new connections, lets an upload under
// way finish and answers it, and ends with 0; what it acknowledged is there
// after the next start.
func TestStopLetsRequestsFinish(t *testing.T) {
	node, client := withBucket(t)
	conn := hold(t, node, "held")
	if err := node.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitRefused(t, node)
	if !node.Running() {
		t.Fatalf("the node did not wait for a request under way\n%s", node.Log())
	}
	if _, err := conn.Write(bytes.Repeat([]byte("h"), heldBytes/2)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("an upload under way: %v, %v\n%s", answer, err, node.Log())
	}
	code, err := node.Wait(t.Context())
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, node.Log())
	}
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), bucket, "held"); err != nil || len(got.Body) != heldBytes {
		t.Errorf("what was acknowledged while the node ended: %v, %v", got, err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A request that does not finish within the grace is cut, and the node ends all
// the same; nothing is left of the upload.
func TestStopCutsWhatDoesNotFinish(t *testing.T) {
	node, client := withBucket(t)
	conn := hold(t, node, "stuck")
	begin := time.Now()
	if err := node.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	code, err := node.Wait(t.Context())
	if err != nil || code != 0 {
		t.Errorf("exit code %d, %v\n%s", code, err, node.Log())
	}
	t.Logf("ended after %s with an upload that stood still", time.Since(begin).Round(10*time.Millisecond))
	if answer, err := io.ReadAll(conn); err == nil && strings.Contains(string(answer), " 200 ") {
		t.Errorf("half an upload was acknowledged: %s", answer)
	}
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), bucket, "stuck"); err != nil || got.Code != "NoSuchKey" {
		t.Errorf("half an upload is there: %v, %v", got, err)
	}
	if files, err := node.Files(process.PayloadFiles); err != nil || len(files) > 0 {
		t.Errorf("left over: %q, %v", files, err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A second signal ends the node at once, with the code of an interrupted
// program, whatever is under way; the next start is like one after kill -9.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	node, client := withBucket(t)
	hold(t, node, "stuck")
	if answer, err := client.Put(t.Context(), bucket, "acknowledged", []byte("x")); err != nil || !answer.OK() {
		t.Fatal(answer, err)
	}
	if err := node.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitRefused(t, node) // the first has been heard
	begin := time.Now()
	if err := node.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	code, err := node.Wait(t.Context())
	if err != nil || code != 130 {
		t.Errorf("exit code %d, %v\n%s", code, err, node.Log())
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a second signal ended the node after %s", took)
	}
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), bucket, "acknowledged"); err != nil || string(got.Body) != "x" {
		t.Errorf("what was acknowledged: %v, %v", got, err)
	}
	if files, err := node.Files(process.PayloadFiles); err != nil || len(files) > 0 {
		t.Errorf("left over: %q, %v", files, err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(node.LogPath()); err != nil {
		t.Error(err)
	}
}
