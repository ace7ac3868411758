package plan

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
)

// patience is how long anything that has to happen may take on a busy machine.
const patience = 3 * time.Minute

const bucket = "photos"

// world is nodes, and what they agree on.
type world struct {
	t      *testing.T
	memory *embedded.Memory
	nodes  map[string]*node
	// silent: a node did not answer another one for seconds, though nobody stopped it: the
	// machine was too busy.
	silent atomic.Bool
	// failing is that a disk is: what is being read from it is 500.
	failing atomic.Bool
	desks   map[string]*faults.Desk // of nodes that something is broken at
	// between, of a node, lies between it and what nodes agree on.
	between map[string]func(cluster.Provider) cluster.Provider
	behind  atomic.Bool // a node has tried to catch up, in vain
}

// Levels implements logrus.Hook.
func (w *world) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (w *world) Fire(e *logrus.Entry) error {
	if e.Data["event"] == string(messages.ClusterNodeSilent) {
		w.silent.Store(true)
	}
	if strings.HasPrefix(e.Message, "the node has not caught up") {
		w.behind.Store(true)
	}
	return nil
}

// node is one node; its directories outlive it.
type node struct {
	*supervisors.Node
	name   string
	id     smap.NodeID
	config supervisors.Config
	s3     *s3client.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, memory: embedded.NewMemory(clock.NewSystem()), nodes: make(map[string]*node)}
	t.Cleanup(w.memory.Close)
	return w
}

// start starts nodes, new ones or those that were stopped, and waits until they know
// their cluster's map.
func (w *world) start(names ...string) {
	w.t.Helper()
	for _, name := range names {
		n := w.nodes[name]
		if n == nil {
			n = &node{name: name}
			w.nodes[name] = n
			dir := filepath.Join(w.t.TempDir(), name)
			log := logrus.New()
			log.SetOutput(io.Discard)
			log.AddHook(w)
			if testing.Verbose() {
				log.SetOutput(os.Stderr)
				log.SetFormatter(&logrus.TextFormatter{DisableColors: true, TimestampFormat: "15:04:05.000 " + name, FullTimestamp: true})
			}
			n.config = supervisors.Config{
				Data: []string{filepath.Join(dir, "d0"), filepath.Join(dir, "d1")}, Native: "127.0.0.1:0", S3: "127.0.0.1:0", Intra: "127.0.0.1:0",
				MemoryBytes: supervisors.MinMemoryBytes, LimitHeap: func(int64) {}, InlineBytes: inlineBytes, MinPartBytes: 1, Log: log, Reserve: supervisors.Reserve{Bytes: 1 << 20, Percent: 1},
				Cluster: supervisors.ClusterConfig{Name: "test", Secret: supervisors.Secret(strings.Repeat("0f", 32))},
			}
			w.t.Cleanup(func() { w.stop(name) })
		}
		n.config.Cluster.Provider, n.config.Faults = w.memory.Provider(), w.desks[name]
		if between := w.between[name]; between != nil {
			n.config.Cluster.Provider = between(n.config.Cluster.Provider)
		}
		started, err := supervisors.Start(n.config)
		if err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
		n.Node, n.id = started, started.Cluster().Self
		n.s3 = s3client.New(n.S3(), sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey})
	}
}

// stop ends a node. More than once is no failure.
func (w *world) stop(name string) {
	n := w.nodes[name]
	if n.Node == nil {
		return
	}
	n.s3.Close()
	if err := n.Stop(); err != nil {
		w.t.Errorf("%s: %v", name, err)
	}
	if err := n.config.Cluster.Provider.Close(); err != nil {
		w.t.Errorf("%s: %v", name, err)
	}
	n.Node = nil
}

// wait waits until something is so.
func (w *world) wait(what string, is func() bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, done := context.WithTimeout(w.t.Context(), patience)
	defer done()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			for _, n := range w.running() {
				v := n.Cluster()
				text := []byte("no map")
				if v.Map != nil {
					text, _ = v.Map.MarshalJSON()
				}
				w.t.Logf("%s: %s, plan %+v, files %d", n.name, text, v.Plan, len(w.files(n.name)))
			}
			w.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func (w *world) running() []*node {
	var list []*node
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		if w.nodes[name].Node != nil {
			list = append(list, w.nodes[name])
		}
	}
	return list
}

// placed reports whether all nodes that run agree that these nodes own the keys, that
// those that run are up, and that no plan is under way.
func (w *world) placed(names ...string) bool {
	var want []smap.NodeID
	for _, name := range names {
		want = append(want, w.nodes[name].id)
	}
	slices.Sort(want)
	for _, n := range w.running() {
		v := n.Cluster()
		if v.Map == nil || v.Plan != nil || !slices.Equal(v.Map.Placement(), want) {
			return false
		}
		for _, name := range names {
			if entry, _ := v.Map.Node(w.nodes[name].id); w.nodes[name].Node != nil && entry.State != smap.Up {
				return false
			}
		}
	}
	return true
}

// found starts nodes and waits until all of them own keys.
func (w *world) found(names ...string) {
	w.t.Helper()
	w.start(names...)
	w.wait("the cluster is founded", func() bool { return w.placed(names...) })
}

// ask asks the cluster's leader through a node, again while nobody leads.
func (w *world) ask(name string, r member.Request) (outcome member.Outcome) {
	w.t.Helper()
	w.wait(fmt.Sprintf("an answer to %+v", r), func() bool {
		var err error
		outcome, err = w.nodes[name].ClusterRequest(w.t.Context(), r)
		if err != nil && !errs.Is(errs.Busy, err) && !errs.Is(errs.Offline, err) {
			w.t.Fatalf("%+v: %v", r, err)
		}
		return err == nil
	})
	return outcome
}

// holdPlans bounds what a plan copies so far that each node copies one object, and the
// next an hour later: none ends until release has lifted the bound.
func (w *world) holdPlans() (release func()) {
	w.t.Helper()
	w.ask("a", member.Request{Kind: member.RequestLimit, Rate: messages.JobRate{Bytes: 1}})
	return func() {
		w.t.Helper()
		w.ask("a", member.Request{Kind: member.RequestLimit})
	}
}

// plan is the plan under way as a node sees it.
func (w *world) plan(name string) *messages.ClusterPlan { return w.nodes[name].Cluster().Plan }

// inlineBytes is up to which size payloads are in the index.
const inlineBytes = 1 << 10

// payload is a random one: small ones are in the index, most are one file, few are of
// several slabs.
func payload(r *rand.Rand) []byte {
	size := inlineBytes + 1 + r.IntN(8<<10)
	switch r.IntN(20) {
	case 0:
		size = r.IntN(inlineBytes)
	case 1:
		size = 1<<20 + r.IntN(2<<20)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func sum(b []byte) string {
	h := md5.Sum(b)
	return hex.EncodeToString(h[:])
}

// fill puts objects through all nodes in turn, and returns their checksums by key.
func (w *world) fill(seed uint64, count int) map[string]string {
	w.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	all := make(map[string]string)
	nodes := w.running()
	for i := range count {
		key, body := fmt.Sprintf("d%d/object-%04d", i%7, i), payload(r)
		w.accepted(fmt.Sprintf("seed %d: putting %s", seed, key), func() (*s3client.Answer, error) {
			return nodes[i%len(nodes)].s3.Put(w.t.Context(), bucket, key, body)
		})
		all[key] = sum(body)
	}
	return all
}

// same fails unless every node that runs shows exactly these objects: listed, and read.
func (w *world) same(what string, want map[string]string) {
	w.t.Helper()
	for _, n := range w.running() {
		var names []string
		w.patiently(func() error {
			listed, err := n.s3.List(w.t.Context(), bucket, "", 100)
			names = nil
			for _, l := range listed {
				names = append(names, l.Key)
			}
			return err
		}, "%s: listing at %s", what, n.name)
		if keys := slices.Sorted(maps.Keys(want)); !slices.Equal(names, keys) {
			w.t.Errorf("%s: %s lists %d keys, want %d: %s", what, n.name, len(names), len(keys), difference(names, keys))
		}
	}
	nodes := w.running()
	for i, key := range slices.Sorted(maps.Keys(want)) {
		n, got := nodes[i%len(nodes)], ""
		w.patiently(func() error {
			answer, err := n.s3.Get(w.t.Context(), bucket, key)
			if err == nil {
				err = answer.Err()
			}
			if err == nil {
				got = sum(answer.Body)
			}
			return err
		}, "%s: reading %s at %s", what, key, n.name)
		if got != want[key] {
			w.t.Errorf("%s: %s is %s at %s, want %s", what, key, got, n.name, want[key])
		}
	}
}

// patiently reads: a failure is one of the test, unless a node was silent. Then it is
// read again.
func (w *world) patiently(read func() error, format string, args ...any) {
	w.t.Helper()
	w.wait(fmt.Sprintf(format, args...), func() bool {
		err := read()
		if err != nil && !w.silent.Load() {
			w.t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
		}
		return err == nil
	})
}

// accepted writes, and again while the answer is 503, or there is none of a node that is
// silent: a write on its way when a map changes is refused. Anything else fails the test.
func (w *world) accepted(what string, write func() (*s3client.Answer, error)) {
	w.t.Helper()
	w.wait(what, func() bool {
		answer, err := write()
		switch {
		case err == nil && answer.OK():
			return true
		case err == nil && answer.Status == http.StatusServiceUnavailable, err != nil && w.silent.Load():
			return false
		case err == nil:
			err = answer.Err()
		}
		w.t.Fatalf("%s: %v", what, err)
		return false
	})
}

func difference(got, want []string) string {
	var text []string
	for _, name := range got {
		if !slices.Contains(want, name) {
			text = append(text, "+"+name)
		}
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			text = append(text, "-"+name)
		}
	}
	return strings.Join(text[:min(len(text), 10)], " ")
}

// files are the payloads of the bucket's objects on a node's disks, by the names of their
// files: those that are not in the index.
func (w *world) files(name string) (list []string) {
	for _, dir := range w.nodes[name].config.Data {
		list = append(list, w.filesBelow(dir)...)
	}
	slices.Sort(list)
	return list
}

// filesBelow are those of one directory.
func (w *world) filesBelow(dir string) (list []string) {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(entry.Name(), "object-") {
			return nil // it went meanwhile
		}
		list = append(list, filepath.Join(filepath.Base(filepath.Dir(path)), entry.Name()))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// settledDown reports whether nothing is left over at the nodes that run: neither a
// record of a key that a node does not own, nor a payload on more disks, or fewer, than
// the bucket has copies.
func (w *world) settledDown(copies int) bool {
	counts := make(map[string]int)
	for _, n := range w.running() {
		doc, err := n.Gateway().Bucket(bucket)
		if err != nil {
			w.t.Fatal(err)
		}
		page, err := n.Gateway().Leftovers(doc, "")
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page.Leftovers) > 0 {
			return false
		}
		for _, file := range w.files(n.name) {
			counts[file]++
		}
	}
	for _, count := range counts {
		if count != copies {
			return false
		}
	}
	return true
}

// even fails unless each node has its part of the payloads, give or take what chance does
// to so few.
func (w *world) even(names ...string) {
	w.t.Helper()
	all := 0
	for _, name := range names {
		all += len(w.files(name))
	}
	// Nodes have other ids in each run, and so other keys: five standard deviations are
	// never met by chance.
	mean := float64(all) / float64(len(names))
	most := 5 * math.Sqrt(mean*(1-1/float64(len(names))))
	for _, name := range names {
		if got := float64(len(w.files(name))); math.Abs(got-mean) > most {
			w.t.Errorf("%s has %.0f payloads of %d, the mean is %.0f, and %.0f more or less is chance", name, got, all, mean, most)
		}
	}
}

// create makes the bucket, with copies on so many nodes.
func (w *world) create(copies int) {
	w.t.Helper()
	if _, err := w.running()[0].Gateway().CreateBucket(w.t.Context(), bucket, objects.BucketProps{Copies: copies}); err != nil {
		w.t.Fatal(err)
	}
}
