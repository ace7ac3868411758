package prover

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/s3"
)

// A load ends by itself on a node that answers everything and takes nothing, as one whose
// disk is full; who waits for acknowledgements is not told that there were any.
func TestALoadThatIsRefusedEnds(t *testing.T) {
	for status, reached := range map[int]bool{http.StatusInsufficientStorage: false, http.StatusServiceUnavailable: false, http.StatusNoContent: true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		connection, err := client.New(client.Config{Endpoint: server.URL, Patience: -1})
		if err != nil {
			t.Fatal(err)
		}
		l := newLoad(1, 0, newHistory(), false, func() int64 { return 0 })
		if !reached {
			l.patience = time.Millisecond
		}
		was := false
		l.run(t.Context(), s3.Client{Connection: connection}, 1, func() { was = true; l.over.Store(true) })
		if was != reached || (l.acknowledged.Load() > 0) != reached {
			t.Errorf("status %d: %d are acknowledged, and the end was reached: %v", status, l.acknowledged.Load(), was)
		}
		connection.Close()
		server.Close()
	}
}
