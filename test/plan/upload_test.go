package plan

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// uploads are uploads under way that clients go on with, whatever happens to the nodes.
type uploads struct {
	*world
	random *rand.Rand
	open   map[string]*open // by key
	done   map[string]string
	parts  int // of those that are objects
}

// open is one upload under way.
type open struct {
	id     string
	parts  []s3client.Part
	bodies [][]byte
}

// openUploads begins uploads through any nodes, each with a part or two.
func (w *world) openUploads(seed uint64, keys []string) *uploads {
	w.t.Helper()
	u := &uploads{world: w, random: rand.New(rand.NewPCG(seed, 3)), open: make(map[string]*open), done: make(map[string]string)}
	for _, key := range keys {
		answer := u.answered("beginning the upload of "+key, func(s *s3client.Client) (*s3client.Answer, error) {
			_, answer, err := s.CreateUpload(w.t.Context(), bucket, key)
			return answer, err
		})
		id, err := s3client.UploadID(answer)
		if err != nil {
			w.t.Fatal(err)
		}
		u.open[key] = &open{id: id}
	}
	u.goOn(1 + u.random.IntN(2))
	return u
}

// answered asks any node, again while the answer is 503: requests on their way when a
// map changes are refused.
func (u *uploads) answered(what string, do func(*s3client.Client) (*s3client.Answer, error)) (answer *s3client.Answer) {
	u.t.Helper()
	u.wait(what, func() bool {
		var err error
		nodes := u.running()
		answer, err = do(nodes[u.random.IntN(len(nodes))].s3)
		if err != nil || !answer.OK() && answer.Status != http.StatusServiceUnavailable {
			u.t.Fatalf("%s: %v, %+v %s", what, err, answer, answer.Body)
		}
		return answer.OK()
	})
	return answer
}

// goOn sends further parts of every upload.
func (u *uploads) goOn(parts int) {
	u.t.Helper()
	for _, key := range slices.Sorted(maps.Keys(u.open)) {
		o := u.open[key]
		for range parts {
			number, body := len(o.parts)+1, payload(u.random)
			answer := u.answered(fmt.Sprintf("part %d of %s", number, key), func(s *s3client.Client) (*s3client.Answer, error) {
				return s.PutPart(u.t.Context(), bucket, key, o.id, number, body)
			})
			o.parts = append(o.parts, s3client.Part{Number: number, ETag: answer.ETag(), Size: int64(len(body))})
			o.bodies = append(o.bodies, body)
		}
	}
}

// same fails unless every node lists the uploads and their parts.
func (u *uploads) same(what string) {
	u.t.Helper()
	var want []s3client.Upload
	for _, key := range slices.Sorted(maps.Keys(u.open)) {
		want = append(want, s3client.Upload{Key: key, UploadID: u.open[key].id})
	}
	for i, n := range u.running() {
		var got []s3client.Upload
		u.patiently(func() (err error) {
			got, err = n.s3.Uploads(u.t.Context(), bucket)
			return err
		}, "%s: uploads at %s", what, n.name)
		if !slices.Equal(got, want) {
			u.t.Fatalf("%s: %s lists %d uploads, want %d", what, n.name, len(got), len(want))
		}
		for j, w := range want {
			if j%len(u.running()) != i {
				continue
			}
			var parts []s3client.Part
			u.patiently(func() (err error) {
				parts, _, err = n.s3.Parts(u.t.Context(), bucket, w.Key, w.UploadID)
				return err
			}, "%s: parts of %s at %s", what, w.Key, n.name)
			if !slices.Equal(parts, u.open[w.Key].parts) {
				u.t.Fatalf("%s: %s lists of %s the parts %v, want %v", what, n.name, w.Key, parts, u.open[w.Key].parts)
			}
		}
	}
}

// end completes two of three uploads of those given, and aborts the rest.
func (u *uploads) end(keys ...string) {
	u.t.Helper()
	for i, key := range keys {
		o := u.open[key]
		delete(u.open, key)
		if i%3 == 2 {
			u.answered("aborting "+key, func(s *s3client.Client) (*s3client.Answer, error) {
				answer, err := s.Abort(u.t.Context(), bucket, key, o.id)
				if err == nil && answer.Code == "NoSuchUpload" { // an earlier answer was not known
					answer.Status = http.StatusNoContent
				}
				return answer, err
			})
			continue
		}
		u.answered("completing "+key, func(s *s3client.Client) (*s3client.Answer, error) {
			return s.Complete(u.t.Context(), bucket, key, o.id, o.parts)
		})
		u.done[key] = sum(bytes.Join(o.bodies, nil))
		u.parts += len(o.parts)
	}
}

// partFiles are the part files on a node's disks, and what else is beside them but
// manifests.
func (w *world) partFiles(name string) (list []string) {
	w.t.Helper()
	for _, dir := range w.nodes[name].config.Data {
		err := filepath.WalkDir(filepath.Join(dir, filepath.FromSlash(layout.PartsDir)), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && !strings.HasPrefix(entry.Name(), "manifest") {
				list = append(list, path)
			}
			return nil // it went meanwhile
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return list
}

// firstRun returns so many names that are in the first run of slots that plans walk: of
// so few keys some go over before the plan is held, whatever nodes there are.
func firstRun(count int) []string {
	const slots = smap.Slots / 16
	var names []string
	for i := 0; len(names) < count; i++ {
		name := fmt.Sprintf("upload-%03d", i)
		key := objects.Key{Bucket: objects.Bucket{Provider: objects.ProviderAIS, Name: bucket}, Name: name}
		if smap.SlotOf(key.Digest()) < slots {
			names = append(names, name)
		}
	}
	return names
}

// settled waits until the nodes have as many part files as there are parts of uploads and
// of objects, on as many nodes as the bucket has copies, and no more.
func (u *uploads) settled(what string, copies int) {
	u.t.Helper()
	want := u.parts
	for _, o := range u.open {
		want += len(o.parts)
	}
	got := 0
	defer func() {
		if u.t.Failed() {
			u.t.Logf("%s: %d part files, want %d", what, got, want*copies)
		}
	}()
	u.wait(what+": no part is left over", func() bool {
		got = 0
		for name := range u.nodes {
			got += len(u.partFiles(name))
		}
		return got == want*copies
	})
}

// Uploads under way go along when nodes join, drain, and return: clients go on with them
// through any node, plans do not wait for their end, and no part is left over anywhere.
func TestUploadsGoAlong(t *testing.T) {
	for _, copies := range []int{1, 2} {
		t.Run(fmt.Sprint(copies), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.found("a", "b", "c")
			w.create(copies)
			var keys []string
			for i := range 30 {
				keys = append(keys, fmt.Sprintf("upload-%02d", i))
			}
			u := w.openUploads(uint64(copies), keys)
			u.same("before")
			u.settled("before", copies)
			w.start("d")
			w.wait("a plan begins", func() bool { return w.plan("a") != nil })
			u.goOn(1)
			w.wait("d owns its part", func() bool { return w.placed("a", "b", "c", "d") })
			u.same("after joining")
			if len(w.partFiles("d")) == 0 {
				t.Error("no part has come to d: the test says nothing")
			}
			u.goOn(1)
			u.settled("after joining", copies)
			u.end(slices.Sorted(maps.Keys(u.open))[:10]...)
			w.same("after joining", u.done)
			w.ask("d", member.Request{Kind: member.RequestDrain, Node: w.nodes["b"].id})
			u.goOn(1)
			w.wait("b owns nothing", func() bool { return w.placed("a", "c", "d") })
			u.same("after draining")
			u.settled("after draining", copies)
			if got := w.partFiles("b"); len(got) != 0 {
				t.Errorf("b has %v", got)
			}
			if copies > 1 {
				w.stop("c")
				w.wait("c is down", func() bool {
					entry, _ := w.nodes["a"].Cluster().Map.Node(w.nodes["c"].id)
					return entry.State == "down"
				})
				u.goOn(1)
				u.same("without c")
				u.end(slices.Sorted(maps.Keys(u.open))[:10]...)
				w.start("c")
				w.wait("c is back", func() bool { return w.placed("a", "c", "d") })
				u.same("with c")
				u.settled("with c", copies)
			}
			u.end(slices.Sorted(maps.Keys(u.open))...)
			u.same("in the end")
			u.settled("in the end", copies)
			w.same("in the end", u.done)
		})
	}
}

// A plan that is canceled leaves no part where it copied one, and one that comes after it
// takes what has ended meanwhile from who had it.
func TestUploadsOfACanceledPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b")
	w.create(1)
	u := w.openUploads(7, firstRun(40))
	release := w.holdPlans()
	w.start("c")
	w.wait("parts are copied", func() bool { return w.plan("a") != nil && len(w.partFiles("c")) > 0 })
	u.goOn(1)
	u.end(slices.Sorted(maps.Keys(u.open))[:10]...)
	w.ask("b", member.Request{Kind: member.RequestCancel})
	w.wait("the plan is canceled", func() bool { return w.placed("a", "b") })
	u.same("after canceling")
	u.settled("after canceling", 1)
	if got := w.partFiles("c"); len(got) != 0 {
		t.Errorf("c has %v", got)
	}
	u.end(slices.Sorted(maps.Keys(u.open))[:15]...)
	release()
	w.ask("c", member.Request{Kind: member.RequestJoin, Node: w.nodes["c"].id})
	w.wait("c owns its part", func() bool { return w.placed("a", "b", "c") })
	u.same("after joining")
	u.end(slices.Sorted(maps.Keys(u.open))...)
	u.settled("in the end", 1)
	w.same("in the end", u.done)
}
