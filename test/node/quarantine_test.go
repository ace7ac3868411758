package node

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/api"
	nativeclient "github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// ward is a node in which one key is poison, while others are written and read.
type ward struct {
	*testing.T
	node    *supervisors.Node
	c       *client
	control nativeclient.Control
	load    *load
	close   func()
}

func newWard(t *testing.T, dir string, change func(*supervisors.Config)) *ward {
	t.Helper()
	w := &ward{T: t, node: start(t, dir, 2, func(config *supervisors.Config) {
		withDesk(config)
		config.Version = "v-test"
		if change != nil {
			change(config)
		}
	})}
	w.c = newClient(w.node)
	connection, err := nativeclient.New(nativeclient.Config{
		Endpoint: "http://" + w.node.Native(), Patience: -1,
		Credentials: sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.control = nativeclient.Control{Connection: connection}
	w.close = func() {
		connection.Close()
		w.c.close()
		stop(t, w.node)
	}
	return w
}

// poison makes a message about a subject panic, as often as it comes.
func poison(message, about string) faults.Fault {
	return faults.Fault{Messages: &faults.Messages{Actor: "node/**", Message: message, About: about, Do: faults.Panic}}
}

// quarantined returns what is quarantined of a subject, after it is kept.
func (w *ward) quarantined(subject, access string) api.Quarantine {
	w.Helper()
	var found api.Quarantine
	w.await("a quarantine of "+subject+" that is kept", func() bool {
		list, err := w.control.Quarantines(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		for _, q := range list {
			if q.Subject == subject && q.Access == access {
				found = q
			}
		}
		return found.Kept
	})
	return found
}

// await asks until something holds; each time over the network.
func (w *ward) await(what string, holds func() bool) {
	w.Helper()
	for deadline := time.Now().Add(requestTime); !holds(); {
		if time.Now().After(deadline) {
			w.Fatalf("no %s within %s", what, requestTime)
		}
	}
}

// status returns the status of an answer, and its body where that is a failure.
func status(err error) (int, string) {
	var f *failure
	switch {
	case err == nil:
		return http.StatusOK, ""
	case errors.As(err, &f):
		return f.status, f.body
	case errors.Is(err, errNone):
		return http.StatusNotFound, ""
	}
	return 0, err.Error()
}

// A key whose handling panics three times is refused with the reason before it reaches
// an actor, whichever request it is and wherever that panics. Meanwhile other keys have
// no error, other accesses of the key work, its bucket is listed, with the key, and the
// node is ready. It is refused after a restart, and served once it is released.
func TestPoisonedKeys(t *testing.T) {
	defer leaves(t, goleak.IgnoreCurrent())
	small, large := version(1<<61), largeVersion(1<<62)
	for _, at := range []struct {
		name, message string
		access        string
		before        []byte
		request       func(c *client, key string) error
		well          func(c *client, key string) error // of another access
	}{
		{"read", "messages.OpenObject", "read", large,
			func(c *client, key string) error { _, err := c.get("victims", key); return err },
			func(c *client, key string) error { return c.put("victims", key, small) }},
		{"small write", "messages.PutObject", "write", small,
			func(c *client, key string) error { return c.put("victims", key, []byte("tiny")) },
			func(c *client, key string) error { _, err := c.get("victims", key); return err }},
		// A chunk does not say whose it is: its transfer does.
		{"large write, in the transfer", "messages.WriteChunk", "write", small,
			func(c *client, key string) error { return c.put("victims", key, large) },
			func(c *client, key string) error { _, err := c.get("victims", key); return err }},
		{"large write, in the lane", "mountpath.commitFile", "write", small,
			func(c *client, key string) error { return c.put("victims", key, large) },
			func(c *client, key string) error { return c.delete("victims", key) }},
		{"large write, at the coordinator", "messages.OpenUpload", "write", small,
			func(c *client, key string) error { return c.put("victims", key, large) },
			func(c *client, key string) error { _, err := c.get("victims", key); return err }},
		{"delete", "messages.DeleteObject", "delete", small,
			func(c *client, key string) error { return c.delete("victims", key) },
			func(c *client, key string) error { _, err := c.get("victims", key); return err }},
	} {
		t.Run(at.name, func(t *testing.T) {
			dir, key := t.TempDir(), "bad"
			w := newWard(t, dir, nil)
			w.c.bucket(t, "photos")
			w.c.bucket(t, "victims")
			if err := w.c.put("victims", key, at.before); err != nil {
				t.Fatal(err)
			}
			w.load = newLoad(w.c)
			w.load.some(t, 50)
			broken := poison(at.message, "victims/"+key)
			alone := at.message == "messages.WriteChunk"
			if alone { // nobody else writes while the fault is about everybody
				broken.Messages.About = ""
				w.load.turn.Lock()
			}
			fault := inject(t, w.node, broken)
			for i := range 3 {
				if code, body := status(at.request(w.c, key)); code != http.StatusServiceUnavailable || strings.Contains(body, "quarantined") {
					t.Fatalf("request %d: %d %s", i, code, body)
				}
				if !alone {
					w.load.some(t, 20)
				}
			}
			q := w.quarantined("victims/"+key, at.access)
			for range 10 {
				code, body := status(at.request(w.c, key))
				if code != http.StatusServiceUnavailable || !strings.Contains(body, "<Code>ServiceUnavailable</Code>") ||
					!strings.Contains(body, fmt.Sprintf("key victims/%s (%s) is quarantined since", key, at.access)) ||
					!strings.Contains(body, "on purpose") || !strings.Contains(body, "troupe quarantine release "+q.ID) {
					t.Fatalf("%d %s", code, body)
				}
			}
			if hits := fault.Hits(); hits != 3 {
				t.Errorf("actors saw %d of 13 requests; 3 are to be seen", hits)
			}
			if alone {
				fault.Clear()
				w.load.turn.Unlock()
			}
			if q.Thing != "key" || q.Panics != 3 || q.Cause == "" || q.Version != "v-test" || !strings.HasPrefix(q.Actor, "node/mountpaths/") || q.Stack != "" {
				t.Errorf("%+v", q)
			}
			shown, err := w.control.Quarantine(t.Context(), q.ID)
			if err != nil || !strings.Contains(shown.Stack, "supervisors/faults") || shown.Refused != 10 {
				t.Errorf("%v: %+v", err, shown)
			}
			w.notices(key)
			if err := at.well(w.c, key); err != nil {
				t.Errorf("another access of the key: %v", err)
			}
			if _, err := w.c.get("victims", "another"); !errors.Is(err, errNone) {
				t.Errorf("another key of the bucket: %v", err)
			}
			w.load.some(t, 50)
			w.load.verify(t, w.c)
			slabsComeBack(t, w.node)
			w.close()

			w = newWard(t, dir, func(config *supervisors.Config) { config.Faults = deskWith(t, broken) })
			if code, body := status(at.request(w.c, key)); code != http.StatusServiceUnavailable || !strings.Contains(body, q.ID) {
				t.Errorf("after a restart: %d %s", code, body)
			}
			again := w.quarantined("victims/"+key, at.access)
			if again.ID != q.ID || !again.Since.Equal(q.Since) || again.Refused != 1 {
				t.Errorf("after a restart: %+v", again)
			}
			if hits := w.node.Faults().List()[0].Hits; hits != 0 {
				t.Errorf("after a restart actors saw %d requests", hits)
			}
			// Released and not mended, it is tried, and quarantined again.
			w.release(q.ID)
			for range 3 {
				if code, body := status(at.request(w.c, key)); code != http.StatusServiceUnavailable || strings.Contains(body, "quarantined") {
					t.Errorf("released: %d %s", code, body)
				}
			}
			again = w.quarantined("victims/"+key, at.access)
			w.node.Faults().ClearAll()
			if code, _ := status(at.request(w.c, key)); code != http.StatusServiceUnavailable {
				t.Errorf("mended, and not released: %d", code)
			}
			w.release(again.ID)
			if err := w.c.put("victims", key, at.before); at.access == "read" && err != nil {
				t.Error(err)
			}
			if err := at.request(w.c, key); err != nil {
				t.Errorf("mended and released: %v", err)
			}
			w.close()

			w = newWard(t, dir, nil)
			if list, err := w.control.Quarantines(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("after another restart: %+v, %v", list, err)
			}
			w.close()
		})
	}
}

// Many keys on which the coordinators of their mountpaths panic cost other keys nothing:
// the lanes below them go on, and no mountpath is taken out of use.
func TestManyPoisonedUploads(t *testing.T) {
	w := newWard(t, t.TempDir(), nil)
	defer w.close()
	w.c.bucket(t, "photos")
	w.c.bucket(t, "victims")
	w.load = newLoad(w.c)
	w.load.some(t, 50)
	fault := inject(t, w.node, poison("messages.OpenUpload", "victims/*"))
	const keys = 8 // 24 panics within a minute: a coordinator is given up after ten
	before := w.node.System().Restarts()
	for i := range keys {
		for range 4 {
			if code, body := status(w.c.put("victims", fmt.Sprint(i), largeVersion(1))); code != http.StatusServiceUnavailable {
				t.Fatalf("%d %s", code, body)
			}
			w.load.some(t, 5)
		}
	}
	if fault.Hits() != 3*keys || w.node.System().Restarts() != before {
		t.Errorf("%d panics, %d restarts", fault.Hits(), w.node.System().Restarts()-before)
	}
	w.load.report(t, "other keys")
	w.load.verify(t, w.c)
	for _, m := range w.node.Roster().Mountpaths {
		if err := m.Closed(); err != nil {
			t.Error(err)
		}
	}
}

// deskWith is a desk at which something is broken before its node starts.
func deskWith(t *testing.T, fault faults.Fault) *faults.Desk {
	t.Helper()
	desk := faults.New(faults.Options{})
	fault.Expiry = time.Minute
	if _, err := desk.Inject(fault); err != nil {
		t.Fatal(err)
	}
	return desk
}

func (w *ward) release(id string) {
	w.Helper()
	if _, err := w.control.ReleaseQuarantine(w.Context(), id); err != nil {
		w.Fatal(err)
	}
	if _, err := w.control.ReleaseQuarantine(w.Context(), id); !errs.Is(errs.NotFound, err) {
		w.Errorf("released twice: %v", err)
	}
}

// notices fails the test if the node as a whole notices one key: it is listed, nobody
// has an error, the node is ready, and metrics tell.
func (w *ward) notices(key string) {
	w.Helper()
	listed, _, err := w.c.do("GET", "/victims", "list-type=2", nil)
	if err != nil || !bytes.Contains(listed, []byte("<Key>"+key+"</Key>")) {
		w.Errorf("the bucket is listed: %s, %v", listed, err)
	}
	w.load.report(w.T, "other keys")
	for _, path := range []string{"/v1/health?readiness=true", "/v1/health"} {
		if code := w.plain(path); code != http.StatusOK {
			w.Errorf("%s: %d", path, code)
		}
	}
	if census := w.node.System().Quarantine().Census(); census.Now[messages.KeyThing] != 1 || census.Begun != 1 || census.Refused != 10 {
		w.Errorf("%+v", census)
	}
}

// plain returns the status of a request to the native listener that nobody signed.
func (w *ward) plain(path string) int {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "http://"+w.node.Native()+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	response, err := w.c.http.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// The answers of both listeners say when to come back: not soon.
func TestRefusalsSayWhenToComeBack(t *testing.T) {
	w := newWard(t, t.TempDir(), nil)
	defer w.close()
	w.c.bucket(t, "victims")
	if err := w.c.put("victims", "bad", version(1)); err != nil {
		t.Fatal(err)
	}
	inject(t, w.node, poison("messages.OpenObject", "victims/bad"))
	for range 3 {
		_, _ = w.c.get("victims", "bad")
	}
	id := w.quarantined("victims/bad", "read").ID
	for name, ask := range map[string]func() (*http.Response, error){
		"S3":     func() (*http.Response, error) { return w.signed(w.node.S3(), "/victims/bad") },
		"native": func() (*http.Response, error) { return w.signed(w.node.Native(), "/v1/objects/victims/bad") },
	} {
		response, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(response.Body); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "300" || !strings.Contains(body.String(), id) {
			t.Errorf("%s: %d, Retry-After %q: %s", name, response.StatusCode, response.Header.Get("Retry-After"), body.String())
		}
	}
}

// signed sends a signed GET and returns the answer as it is.
func (w *ward) signed(host, path string) (*http.Response, error) {
	signature, err := w.c.signer.Sign(&sigv4.Outgoing{Method: http.MethodGet, Path: path, Host: host, Payload: sigv4.Unsigned}, time.Now())
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return nil, err
	}
	for _, h := range signature.Headers {
		request.Header.Set(h.Name, h.Value)
	}
	return w.c.http.Do(request)
}

// Negative control of the tests above: without a quarantine every request reaches an
// actor, and restarts it.
func TestWithoutAQuarantineEveryRequestPanics(t *testing.T) {
	w := newWard(t, t.TempDir(), func(config *supervisors.Config) { config.Quarantine.Panics = -1 })
	defer w.close()
	w.c.bucket(t, "victims")
	if err := w.c.put("victims", "bad", version(1)); err != nil {
		t.Fatal(err)
	}
	fault := inject(t, w.node, poison("messages.OpenObject", "victims/bad"))
	before := w.node.System().Restarts()
	for range 12 {
		if code, body := status(func() error { _, err := w.c.get("victims", "bad"); return err }()); code != http.StatusServiceUnavailable {
			t.Errorf("%d %s", code, body)
		}
	}
	if fault.Hits() != 12 {
		t.Errorf("%d of 12 requests reached an actor", fault.Hits())
	}
	w.await("restarts", func() bool { return w.node.System().Restarts() >= before+12 })
	if list := w.node.System().Quarantine().List(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// A bucket whose listing panics, in its own actor, in its lister, or in a read lane, is
// not listed any more; its objects, and other buckets, are served.
func TestPoisonedBucket(t *testing.T) {
	for name, at := range map[string]faults.Messages{
		"bucket actor": {Actor: "node/buckets/*", Message: "messages.ListObjects", About: "victims/**", Do: faults.Panic},
		"lister":       {Actor: "node/buckets/*/l*", Message: "actor.Started", Do: faults.Panic},
		"read lane":    {Actor: "node/mountpaths/*/r*", Message: "messages.ListObjects", About: "victims/**", Do: faults.Panic},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t, t.TempDir(), nil)
			defer func() { w.close() }()
			w.c.bucket(t, "photos")
			w.c.bucket(t, "victims")
			if err := w.c.put("victims", "good", version(1)); err != nil {
				t.Fatal(err)
			}
			w.load = newLoad(w.c)
			fault := inject(t, w.node, faults.Fault{Messages: &at})
			list := func(bucket string) (int, string) {
				_, _, err := w.c.do("GET", "/"+bucket, "list-type=2", nil)
				return status(err)
			}
			refused := func() bool {
				_, body := list("victims")
				return strings.Contains(body, "bucket victims (list) is quarantined since")
			}
			w.await("quarantine", refused)
			hits := fault.Hits()
			for range 5 {
				if !refused() {
					t.Error("listed, or refused without a reason")
				}
			}
			if fault.Hits() != hits {
				t.Errorf("%d more listings reached an actor", fault.Hits()-hits)
			}
			if name != "lister" { // there the fault is about all listings
				if code, body := list("photos"); code != http.StatusOK {
					t.Errorf("another bucket: %d %s", code, body)
				}
			}
			if _, err := w.c.get("victims", "good"); err != nil {
				t.Errorf("an object of the bucket: %v", err)
			}
			if err := w.c.put("victims", "new", version(2)); err != nil {
				t.Errorf("an object of the bucket: %v", err)
			}
			q := w.quarantined("victims", "list")
			fault.Clear()
			w.release(q.ID)
			if code, body := list("victims"); code != http.StatusOK {
				t.Errorf("mended and released: %d %s", code, body)
			}
			w.load.some(t, 50)
			w.load.verify(t, w.c)
		})
	}
}

// A change of a bucket on which the coordinator of buckets panics is refused after as many times; other
// buckets are made.
func TestPoisonedChangeOfABucket(t *testing.T) {
	w := newWard(t, t.TempDir(), nil)
	defer w.close()
	fault := inject(t, w.node, faults.Fault{Messages: &faults.Messages{Actor: "node/buckets", Message: "messages.CreateBucket", About: "victims", Do: faults.Panic}})
	create := func(name string) (int, string) {
		_, _, err := w.c.do("PUT", "/"+name, "", nil)
		return status(err)
	}
	for range 3 {
		if code, body := create("victims"); code != http.StatusServiceUnavailable || strings.Contains(body, "quarantined") {
			t.Fatalf("%d %s", code, body)
		}
	}
	for range 3 {
		if code, body := create("victims"); code != http.StatusServiceUnavailable || !strings.Contains(body, "bucket victims (change) is quarantined") {
			t.Fatalf("%d %s", code, body)
		}
	}
	if fault.Hits() != 3 {
		t.Errorf("%d requests reached the actor", fault.Hits())
	}
	if code, body := create("photos"); code != http.StatusOK {
		t.Errorf("another bucket: %d %s", code, body)
	}
	q := w.quarantined("victims", "change")
	fault.Clear()
	w.release(q.ID)
	if code, body := create("victims"); code != http.StatusOK {
		t.Errorf("mended and released: %d %s", code, body)
	}
}

// weigh is a request of an extension about a thing of its own.
type weigh struct {
	what  string
	reply messages.Reply[int]
}

// Fail implements messages.Failer.
func (m *weigh) Fail(err error) { m.reply.Fail(err) }

// Handles implements messages.Handled.
func (m *weigh) Handles() messages.Handling {
	return messages.Handling{Thing: "stone", Name: m.what, Does: "weigh"}
}

// scales panic on what is too heavy.
type scales struct{}

// Receive implements actor.Actor.
func (scales) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*weigh); ok {
		if m.what == "mountain" {
			panic("too heavy")
		}
		m.reply.Send(len(m.what), nil)
	}
}

// An actor of an extension has its messages quarantined as those of the node are: by
// what they say that they handle. It is kept over a restart.
func TestPoisonOfAnExtension(t *testing.T) {
	dir := t.TempDir()
	extension := func(config *supervisors.Config) {
		config.Extensions = []supervisors.Extension{{Actors: func(supervisors.Host) []actors.Spec {
			return []actors.Spec{{Name: "scales", New: func() actor.Actor { return scales{} }}}
		}}}
	}
	w := newWard(t, dir, extension)
	ask := func(what string) error {
		m := &weigh{what: what, reply: messages.NewReply[int]()}
		w.node.System().Root().Send(w.node.System().PID("node/scales"), m)
		_, err := m.reply.Wait("test", requestTime)
		return err
	}
	for range 3 {
		if err := ask("mountain"); !errs.Is(errs.Busy, err) {
			t.Fatal(err)
		}
	}
	q := w.quarantined("mountain", "weigh")
	refused := func() {
		t.Helper()
		var refusal *messages.Quarantined
		if err := ask("mountain"); !errors.As(err, &refusal) || refusal.ID != q.ID || refusal.Cause != "too heavy" {
			t.Errorf("%v", err)
		}
		if err := ask("pebble"); err != nil {
			t.Error(err)
		}
	}
	refused()
	w.close()
	w = newWard(t, dir, extension)
	refused()
	w.release(q.ID)
	if err := ask("mountain"); !errs.Is(errs.Busy, err) {
		t.Errorf("released: %v", err)
	}
	w.close()
}
