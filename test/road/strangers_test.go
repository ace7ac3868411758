package road

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/authority"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
)

// Clients cannot speak as nodes do: on no edge, in no spelling. The same request
// without the field is served.
func TestForgedFieldsAreRefused(t *testing.T) {
	w := newWorld(t, 2)
	ctx := context.Background()
	for _, owner := range w.members {
		name := w.foreign(w.members[1-indexOf(w, owner)], owner)
		for _, field := range []string{"X-Troupe-Relay-Edge", "x-troupe-relay-epoch", "X-TROUPE-RELAY-Anything"} {
			answer, err := w.members[0].s3.Put(ctx, bucketName, name, []byte("x"), objects.Pair{Name: field, Value: "1/0"})
			if err != nil || answer.Status != http.StatusBadRequest {
				t.Errorf("%s: %v %+v", field, err, answer)
			}
			request, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.members[0].Native()+"/v1/objects/"+bucketName+"/"+name, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header[field] = []string{"1"}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if _ = response.Body.Close(); response.StatusCode != http.StatusBadRequest {
				t.Errorf("native, %s: %d", field, response.StatusCode)
			}
		}
		answer, err := w.members[0].s3.Get(ctx, bucketName, name)
		if err != nil || answer.Status != http.StatusNotFound {
			t.Errorf("%s: %v %+v", name, err, answer)
		}
		answer, err = w.members[0].s3.Put(ctx, bucketName, name, []byte("x"))
		must(t, answer, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func indexOf(w *world, m *member) int {
	for i := range w.members {
		if w.members[i] == m {
			return i
		}
	}
	return -1
}

// Who is no node of the cluster gets nothing from the road, and who is one and speaks
// badly is refused.
func TestStrangersGetNothing(t *testing.T) {
	w := newWorld(t, 2)
	address := w.members[0].Intra()
	other, err := authority.New("test", []byte("another secret, long enough"))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := other.Identity("n1", clock.NewSystem())
	if err != nil {
		t.Fatal(err)
	}
	strange := stranger.Client("n0")
	strange.VerifyConnection = nil // it does not mind who answers
	relayed := "GET /" + bucketName + "/k HTTP/1.1\r\nHost: x\r\nX-Troupe-Relay-Edge: %s\r\nX-Troupe-Relay-Client: %s\r\nX-Troupe-Relay-Map: 1\r\nX-Troupe-Relay-Epoch: %s\r\n\r\n"
	for name, c := range map[string]struct {
		config  *tls.Config
		request string
		status  int // 0: no answer at all
	}{
		"no certificate":           {&tls.Config{InsecureSkipVerify: true}, fmt.Sprintf(relayed, "s3", "1.2.3.4:5", "1/0"), 0},
		"another cluster's":        {strange, fmt.Sprintf(relayed, "s3", "1.2.3.4:5", "1/0"), 0},
		"a node's, unsigned":       {w.identity("n1").Client("n0"), fmt.Sprintf(relayed, "s3", "1.2.3.4:5", "1/0"), 403},
		"a node's, unknown edge":   {w.identity("n1").Client("n0"), fmt.Sprintf(relayed, "ftp", "1.2.3.4:5", "1/0"), 400},
		"a node's, bad client":     {w.identity("n1").Client("n0"), fmt.Sprintf(relayed, "s3", "nobody", "1/0"), 400},
		"a node's, bad epoch":      {w.identity("n1").Client("n0"), fmt.Sprintf(relayed, "s3", "1.2.3.4:5", "one"), 400},
		"a node's, no such path":   {w.identity("n1").Client("n0"), "POST /question/why HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404},
		"a node's, not a question": {w.identity("n1").Client("n0"), "POST /question/list HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd", 409},
		"a node's, garbage":        {w.identity("n1").Client("n0"), "\x00\x01\x02\r\n\r\n", 400},
	} {
		status, err := speak(address, c.config, c.request)
		if status != c.status {
			t.Errorf("%s: status %d, want %d (%v)", name, status, c.status, err)
		}
	}
}

// speak sends bytes over TLS and returns the status of what comes back; 0: nothing.
func speak(address string, config *tls.Config, request string) (int, error) {
	connection, err := tls.Dial("tcp", address, config)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(connection, request); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
