// Package control_test restarts, kills, suspends and resumes every kind of actor
// of a running node, in the test's own process, while clients write, read, list
// and upload, and compares what they are told with a model.
//
// Words: a mishap is an answer that a client may repeat (503, or a connection that
// was cut). It is in the scope of an actor if the request needed that actor. A
// trial is one action on one actor: it may cost mishaps in its scope, for a second
// from its beginning, and nothing else: no other mishap, no other error, no data.
//
// Start with control_test.go, then judge_test.go.
package control_test

import (
	"io"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
)

const (
	bucket     = "photos"
	mountpaths = 2
	// inlineBytes is the inline limit of these nodes: small, so that files are cheap.
	inlineBytes = 4 << 10
	// patience ends a wait that should have ended long ago: only then it is a fault.
	patience = time.Minute
)

// world is a node, a client of it, and what is needed to know who serves a key.
type world struct {
	*testing.T
	dir    string
	node   *supervisors.Node
	client *s3client.Client
	roster *messages.Roster
}

func rootKeys() sigv4.Credentials {
	return sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
}

// start starts a node on a directory; desk nil: it has none.
func start(t *testing.T, dir string, desk *faults.Desk) *world {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	w := &world{T: t, dir: dir}
	config := supervisors.Config{
		Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 256 << 20, LimitHeap: func(int64) {}, MinPartBytes: 1, InlineBytes: inlineBytes, Log: log, Faults: desk,
	}
	for i := range mountpaths {
		config.Data = append(config.Data, filepath.Join(dir, "d"+strconv.Itoa(i)))
	}
	var err error
	if w.node, err = supervisors.Start(config); err != nil {
		t.Fatal(err)
	}
	w.client = s3client.New(w.node.S3(), rootKeys())
	w.roster = w.lanes()
	return w
}

// lanes is the node's roster, made from what its supervisor of mountpaths says.
func (w *world) lanes() *messages.Roster {
	w.Helper()
	m := &messages.ListMountpaths{Reply: messages.NewReply[[]messages.MountpathStatus]()}
	w.node.System().Root().Send(w.node.System().PID("node/mountpaths"), m)
	list, err := m.Reply.Wait("test", patience)
	if err != nil || len(list) != mountpaths {
		w.Fatalf("%d mountpaths, %v", len(list), err)
	}
	views := make([]messages.MountpathView, len(list))
	for i, status := range list {
		address := "node/mountpaths/d" + strconv.Itoa(i)
		views[i] = messages.MountpathView{ID: status.ID, Path: status.Path}
		for _, name := range w.children(address) {
			switch pid := w.node.System().PID(name); {
			case matches(address+"/w*", name):
				views[i].Writers = append(views[i].Writers, pid)
			case matches(address+"/r*", name):
				views[i].Readers = append(views[i].Readers, pid)
			}
		}
	}
	return messages.NewRoster(views)
}

func (w *world) children(address string) []string {
	w.Helper()
	state, err := w.node.System().Find(address)
	if err != nil {
		w.Fatal(err)
	}
	return state.Children
}

// keyOf is a key of the bucket; its digest does not depend on the bucket's id.
func keyOf(name string) objects.Key {
	return objects.Key{Bucket: objects.Bucket{Provider: objects.ProviderAIS, Name: bucket}, Name: name}
}

// servers returns the actors that serve a key.
func (w *world) servers(name string) (mountpath, writer, reader string) {
	digest := keyOf(name).Digest()
	view := w.roster.Owner(digest)
	for i := range w.roster.Mountpaths {
		if w.roster.Mountpaths[i].ID == view.ID {
			mountpath = "node/mountpaths/d" + strconv.Itoa(i)
		}
	}
	id := func(pid *actor.PID) string { return pid.Id }
	return mountpath, id(view.Writer(digest)), id(view.Reader(digest))
}

// stop stops the node, which must leave nothing: no slab, no file, no error.
func (w *world) stop() {
	w.Helper()
	w.slabsComeBack()
	w.client.Close()
	if err := w.node.Stop(); err != nil {
		w.Errorf("the node did not stop cleanly: %v", err)
	}
}

// slabsComeBack waits until no slab is leased. A window is given back after its
// answer was written, which is a moment after the client has read it.
func (w *world) slabsComeBack() {
	w.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	over := time.After(patience)
	for w.node.Slabs().InUse() != 0 {
		select {
		case <-look.C:
		case <-over:
			w.Errorf("%d slabs are in use, and no request is", w.node.Slabs().InUse())
			return
		}
	}
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
