package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// TestMain builds the troupe binary, whose commands are used.
func TestMain(m *testing.M) { process.Main(m) }

// waitTime bounds every wait of these tests.
const waitTime = 60 * time.Second

// world is a poisoned node and its operator.
type world struct {
	*testing.T
	node *process.Node
	s3   *s3client.Client
	file string
}

func newWorld(t *testing.T, poison ...string) *world {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "poison")
	compile := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, ".")
	if said, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	w := &world{T: t, file: filepath.Join(dir, "poisons")}
	w.poison(poison...)
	w.node = process.ForTest(t, process.Config{Binary: binary, Mountpaths: 2, Args: []string{"--poison", w.file}})
	w.s3 = process.ClientForTest(t, w.node, "photos", "others")
	return w
}

// poison says on what the node panics from its next start on.
func (w *world) poison(lines ...string) {
	w.Helper()
	if err := os.WriteFile(w.file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		w.Fatal(err)
	}
}

// killed kills the node and starts it again.
func (w *world) killed() {
	w.Helper()
	if err := w.node.Kill(); err != nil {
		w.Fatal(err)
	}
	if err := w.node.Restart(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// troupe runs a command that must end with an exit code.
func (w *world) troupe(code int, args ...string) string {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 3*waitTime)
	defer cancel()
	command := exec.CommandContext(ctx, process.Built(), args...)
	command.Env = []string{"HOME=" + w.TempDir(), "TROUPE_ENDPOINT=" + w.node.S3, "TROUPE_NATIVE_ENDPOINT=" + w.node.Native}
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		w.Fatal(err)
	}
	if is := command.ProcessState.ExitCode(); is != code {
		w.Fatalf("troupe %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), is, code, out.String(), said.String())
	}
	return out.String() + said.String()
}

// quarantined returns the only quarantine, once it is kept.
func (w *world) quarantined() api.Quarantine {
	w.Helper()
	for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); {
		var list api.Quarantines
		if err := json.Unmarshal([]byte(w.troupe(0, "quarantine", "list", "--json")), &list); err != nil {
			w.Fatal(err)
		}
		if len(list.Quarantines) == 1 && list.Quarantines[0].Kept {
			return list.Quarantines[0]
		}
	}
	w.Fatalf("no quarantine is kept within %s", waitTime)
	return api.Quarantine{}
}

// get reads a key and returns the status and the body.
func (w *world) get(key string) (int, string) {
	w.Helper()
	answer, err := w.s3.Do(w.Context(), s3client.Request{Method: http.MethodGet, Path: "/" + key})
	if err != nil {
		w.Fatal(err)
	}
	return answer.Status, string(answer.Body)
}

func (w *world) put(key, body string) {
	w.Helper()
	answer, err := w.s3.Do(w.Context(), s3client.Request{Method: http.MethodPut, Path: "/" + key, Body: []byte(body)})
	if err != nil || answer.Status != http.StatusOK {
		w.Fatalf("PUT %s: %v, %+v", key, err, answer)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

// A key that makes its handler panic after each start is refused with the reason after
// three tries, over kill -9, while other keys are written and read without an error. The
// command line lists it, shows the evidence, and releases it once the node is mended.
func TestPoisonedKeyOutlivesKills(t *testing.T) {
	w := newWorld(t, "messages.OpenObject photos/bad")
	w.put("photos/bad", "poison")
	stop := make(chan struct{})
	var others sync.WaitGroup
	var made, failed atomic.Int64
	for n := range 4 {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key, body := fmt.Sprintf("/others/c%d-%d", n, i%20), fmt.Sprintf("body %d", i)
				put, err := w.s3.Do(w.Context(), s3client.Request{Method: http.MethodPut, Path: key, Body: []byte(body)})
				if err == nil && put.Status == http.StatusOK {
					var got *s3client.Answer
					got, err = w.s3.Do(w.Context(), s3client.Request{Method: http.MethodGet, Path: key})
					if err == nil && string(got.Body) == body {
						made.Add(1)
						continue
					}
				}
				if failed.Add(1) < 5 {
					t.Errorf("%s: %v, %+v", key, err, put)
				}
			}
		})
	}
	more := func() {
		t.Helper()
		from := made.Load()
		for deadline := time.Now().Add(waitTime); made.Load() < from+50; {
			if time.Now().After(deadline) {
				t.Fatal("the others stand still")
			}
			_, _ = w.get("photos/nothing")
		}
	}
	more()
	for range 3 {
		if code, body := w.get("photos/bad"); code != http.StatusServiceUnavailable || strings.Contains(body, "quarantined") {
			t.Fatalf("%d %s", code, body)
		}
		more()
	}
	q := w.quarantined()
	for range 3 {
		code, body := w.get("photos/bad")
		if code != http.StatusServiceUnavailable {
			t.Fatal(code)
		}
		contains(t, body, "key photos/bad (read) is quarantined since", "on purpose", "troupe quarantine show "+q.ID, "troupe quarantine release "+q.ID)
	}
	more()
	close(stop)
	others.Wait()
	if failed.Load() != 0 {
		t.Errorf("%d of %d requests of others failed", failed.Load(), made.Load()+failed.Load())
	}

	metrics, err := w.node.Metrics(t.Context())
	for name, want := range map[string]float64{
		`troupe_quarantined{thing="key"}`: 1, `troupe_quarantined{thing="job"}`: 0, "troupe_quarantines_total": 1, "troupe_quarantine_refused_total": 3,
		"troupe_quarantine_turned_away_total": 0, "troupe_actor_panics_total": 3,
	} {
		if is, there := metrics[name]; err != nil || !there || is != want {
			t.Errorf("%s is %v (%t, %v), want %v", name, is, there, err, want)
		}
	}
	contains(t, w.troupe(0, "quarantine", "list"), "ID", "SUBJECT", q.ID, "photos/bad", "read", "on purpose")
	contains(t, w.troupe(0, "quarantine", "show", q.ID), "photos/bad", "OpenObject", "v-poisoned", "node/mountpaths/", "supervisors/faults", "kept")
	contains(t, w.troupe(0, "actors", "inspect", "node"), "OpenObject photos/bad, 3 times")
	contains(t, w.troupe(3, "quarantine", "show", "0000"), "troupe quarantine list")
	contains(t, w.troupe(3, "quarantine", "release", "0000"), "troupe quarantine list")
	contains(t, w.troupe(0, "ls", "troupe://photos/"), "bad")
	if said := w.troupe(6, "cat", "troupe://photos/bad"); strings.Contains(said, "try again later") {
		t.Errorf("advice that does not help: %s", said)
	} else {
		contains(t, said, "troupe quarantine release "+q.ID)
	}

	w.killed()
	if again := w.quarantined(); again.ID != q.ID || again.Refused != 0 {
		t.Errorf("after kill -9: %+v", again)
	}
	if code, body := w.get("photos/bad"); code != http.StatusServiceUnavailable || !strings.Contains(body, q.ID) {
		t.Errorf("after kill -9: %d %s", code, body)
	}
	w.poison()
	w.killed()
	if code, _ := w.get("photos/bad"); code != http.StatusServiceUnavailable {
		t.Errorf("mended, and not released: %d", code)
	}
	contains(t, w.troupe(0, "quarantine", "release", q.ID), "released "+q.ID+": key photos/bad (read)")
	if code, body := w.get("photos/bad"); code != http.StatusOK || body != "poison" {
		t.Errorf("mended and released: %d %s", code, body)
	}
	w.killed()
	if code, _ := w.get("photos/bad"); code != http.StatusOK {
		t.Errorf("released, and after kill -9: %d", code)
	}
	if said := w.troupe(0, "quarantine", "list", "--json"); !strings.Contains(said, `"quarantines": []`) {
		t.Errorf("after all: %s", said)
	}
}

// A job that panics is not begun any more after three times, over kill -9; released, it
// runs.
func TestPoisonedJobOutlivesKills(t *testing.T) {
	w := newWorld(t, "jobs")
	for range 3 {
		w.troupe(1, "job", "start", "fall", "--wait")
	}
	q := w.quarantined()
	if q.Thing != "job" || q.Subject != "fall" || q.Cause != "it fell" || !strings.HasPrefix(q.Actor, "node/xactions/fall-") {
		t.Errorf("%+v", q)
	}
	contains(t, w.troupe(6, "job", "start", "fall"), "job fall (run) is quarantined", q.ID)
	w.killed()
	contains(t, w.troupe(6, "job", "start", "fall"), q.ID)
	w.poison()
	w.killed()
	w.troupe(6, "job", "start", "fall")
	w.troupe(0, "quarantine", "release", q.ID)
	w.troupe(0, "job", "start", "fall", "--wait")
}
