package road

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
)

// breaks has the disks of a node do something to what the fault is about.
func (m *member) breaks(t *testing.T, d faults.Disk, when faults.When) *faults.Injected {
	t.Helper()
	fault, err := m.desk.Inject(faults.Fault{Disk: &d, When: when, Expiry: time.Hour, Reason: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fault.Clear)
	return fault
}

// disable takes all mountpaths of a node out of use.
func (m *member) disable(t *testing.T) {
	t.Helper()
	all := m.Roster().Mountpaths
	for i, view := range all {
		disable := &messages.DisableMountpath{Path: view.Path, Reply: messages.NewReply[messages.MountpathStatus]()}
		m.System().Root().Send(m.System().PID("node/"+mountpath.Name), disable)
		_, err := disable.Reply.Wait("test.disable", patience)
		// The last one has no disk left but itself to write that down, which closes meanwhile.
		if err != nil && errs.KindOf(err) != errs.Offline && (i < len(all)-1 || errs.KindOf(err) != errs.IO) {
			t.Fatal(err)
		}
	}
}

// ours are names of keys that a node is in charge of.
func ours(t *testing.T, m *member, doc *objects.BucketDoc, count int) []string {
	t.Helper()
	var names []string
	for i := 0; len(names) < count; i++ {
		if name := fmt.Sprint("key-", i); chargeOf(t, m, doc, name).Ours() {
			names = append(names, name)
		}
	}
	return names
}

// troubled is three nodes with objects of all kinds, of which the first is in charge.
type troubled struct {
	*world
	doc      *objects.BucketDoc
	victim   *member
	contents map[string][]byte // by name
	chunked  string            // the one that is made of parts, of 1 MiB and 300 KiB
	absent   string
	files    []string // one in a file on each mountpath of the victim
}

func newTroubled(t *testing.T, props objects.BucketProps) *troubled {
	t.Helper()
	w := newBreakingWorld(t, 3)
	x := &troubled{world: w, doc: w.share("trouble", props), victim: w.members[0], contents: make(map[string][]byte)}
	names, ctx := ours(t, x.victim, x.doc, 20), context.Background()
	for i, size := range []int{0, 100, 20 << 10, 3<<20 + 5} {
		x.contents[names[i]] = payload(uint64(i), size)
		answer, err := w.members[i%3].s3.Put(ctx, x.doc.Name, names[i], x.contents[names[i]])
		must(t, answer, err)
	}
	x.chunked, x.absent = names[4], names[5]
	id, answer, err := x.victim.s3.CreateUpload(ctx, x.doc.Name, x.chunked)
	must(t, answer, err)
	var parts []s3client.Part
	for i, size := range []int{1 << 20, 300 << 10} {
		content := payload(uint64(10+i), size)
		x.contents[x.chunked] = append(x.contents[x.chunked], content...)
		answer, err := x.victim.s3.PutPart(ctx, x.doc.Name, x.chunked, id, i+1, content)
		parts = append(parts, s3client.Part{Number: i + 1, ETag: must(t, answer, err).ETag()})
	}
	answer, err = x.victim.s3.Complete(ctx, x.doc.Name, x.chunked, id, parts)
	must(t, answer, err)
	for _, view := range x.victim.Roster().Mountpaths {
		i := slices.IndexFunc(names[6:], func(name string) bool {
			return x.victim.Roster().Owner(objects.Key{Bucket: x.doc.Bucket, Name: name}.Digest()).ID == view.ID
		})
		name := names[6:][i]
		x.files, x.contents[name] = append(x.files, name), payload(9, 30<<10)
		answer, err := x.victim.s3.Put(ctx, x.doc.Name, name, x.contents[name])
		must(t, answer, err)
	}
	return x
}

// failures reads everything in every way through every node, and returns what failed. An
// answer that is wrong ends the test.
func (x *troubled) failures() (failed []string) {
	x.t.Helper()
	ctx := context.Background()
	ask := func(m *member, r s3client.Request, status int, want []byte) {
		x.t.Helper()
		r.Bucket = x.doc.Name
		answer, err := m.s3.Do(ctx, r)
		switch {
		case err != nil:
			failed = append(failed, fmt.Sprintf("%s %s?%s at %s: %v", r.Method, r.Key, r.Query, m.id, err))
		case answer.Status/100 == 5:
			failed = append(failed, fmt.Sprintf("%s %s?%s at %s: %d %s", r.Method, r.Key, r.Query, m.id, answer.Status, answer.Body))
		case answer.Status != status || want != nil && !bytes.Equal(answer.Body, want):
			x.t.Fatalf("%s %s?%s at %s: status %d and %d bytes, want %d and %d", r.Method, r.Key, r.Query, m.id, answer.Status, len(answer.Body), status, len(want))
		}
	}
	for _, m := range x.members {
		for name, content := range x.contents {
			ask(m, s3client.Request{Method: "GET", Key: name}, http.StatusOK, content)
			ask(m, s3client.Request{Method: "HEAD", Key: name}, http.StatusOK, nil)
			if size := len(content); size > 0 {
				from, to := size/3, size-1-size/5
				header := []objects.Pair{{Name: "Range", Value: fmt.Sprintf("bytes=%d-%d", from, to)}}
				ask(m, s3client.Request{Method: "GET", Key: name, Header: header}, http.StatusPartialContent, content[from:to+1])
			}
			response, err := http.Get("http://" + m.Native() + "/v1/objects/" + x.doc.Name + "/" + name)
			if err != nil {
				failed = append(failed, fmt.Sprintf("native GET %s of %d bytes at %s: %v", name, len(content), m.id, err))
				continue
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close() // it was read
			switch {
			case err != nil || response.StatusCode/100 == 5:
				failed = append(failed, fmt.Sprintf("native GET %s at %s: %d %v", name, m.id, response.StatusCode, err))
			case response.StatusCode != http.StatusOK || !bytes.Equal(body, content):
				x.t.Fatalf("native GET %s at %s: %d and %d bytes of %d", name, m.id, response.StatusCode, len(body), len(content))
			}
		}
		ask(m, s3client.Request{Method: "GET", Key: x.chunked, Query: "partNumber=2"}, http.StatusPartialContent, x.contents[x.chunked][1<<20:])
		ask(m, s3client.Request{Method: "GET", Key: x.absent}, http.StatusNotFound, nil)
		ask(m, s3client.Request{Method: "HEAD", Key: x.absent}, http.StatusNotFound, nil)
	}
	return failed
}

// Whatever befalls the disks of the node in charge, with two copies everything is read, in
// every way, and what is absent is known to be; without other nodes, it is not.
func TestReadsGoAround(t *testing.T) {
	for name, trouble := range map[string]func(*testing.T, *member, *troubled){
		"payloads fail": func(t *testing.T, m *member, _ *troubled) {
			for _, path := range []string{"trouble/**", ".troupe/parts/**"} {
				m.breaks(t, faults.Disk{Do: faults.Fail, Path: path, Calls: []string{"open", "read"}}, faults.When{})
			}
		},
		"all fails": func(t *testing.T, m *member, _ *troubled) { m.breaks(t, faults.Disk{Do: faults.Fail}, faults.When{}) },
		"hangs": func(t *testing.T, m *member, x *troubled) { // found out by the first reads, which wait for that
			m.breaks(t, faults.Disk{Do: faults.Stall}, faults.When{})
			for _, name := range x.files {
				answer, err := m.s3.Get(context.Background(), x.doc.Name, name)
				if must(t, answer, err); !bytes.Equal(answer.Body, x.contents[name]) {
					t.Fatalf("%s: %d bytes", name, len(answer.Body))
				}
			}
		},
		"disabled": func(t *testing.T, m *member, _ *troubled) { m.disable(t) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newTroubled(t, objects.BucketProps{Copies: 2})
			if failed := x.failures(); failed != nil {
				t.Fatalf("before anything happened: %q", failed)
			}
			if begun, _, _ := x.victim.Gateway().Around(); begun != 0 {
				t.Fatalf("%d reads went around healthy disks", begun)
			}
			trouble(t, x.victim, x)
			if failed := x.failures(); failed != nil {
				t.Fatalf("%d reads failed: %q", len(failed), failed)
			}
			if begun, failed, _ := x.victim.Gateway().Around(); begun == 0 || failed != 0 {
				t.Fatalf("%d reads went around, of which %d failed", begun, failed)
			}
			x.victim.peers.stayHome.Store(true)
			if x.failures() == nil {
				t.Fatal("nothing fails although nobody is asked: the test says nothing")
			}
			x.victim.desk.ClearAll()
			x.quiet()
		})
	}
}

// A read that goes around is confirmed as any other: a node in charge whose disk failed, and
// that was replaced and does not know it, says neither what is old nor that there is nothing.
func TestAroundIsConfirmed(t *testing.T) {
	x := newTroubled(t, objects.BucketProps{Copies: 2})
	x.victim.disable(t)
	before := x.victim.peers.confirms.Load()
	for _, name := range []string{x.absent, x.chunked} {
		answer, err := x.victim.s3.Get(context.Background(), x.doc.Name, name)
		if err != nil || answer.Status == http.StatusServiceUnavailable {
			t.Fatalf("%s: %v %+v", name, err, answer)
		}
	}
	if n := x.victim.peers.confirms.Load() - before; n < 2 {
		t.Fatalf("%d confirmations", n)
	}
	m := x.members[1].nodes.Load().Map
	m = becomes(t, m, x.victim.id, "down")
	for _, other := range x.members[1:] {
		x.adoptAt(other, m)
	}
	for _, other := range x.members[1:] {
		for other.nodes.Load().Map != m {
			<-time.After(time.Millisecond)
		}
	}
	for _, name := range []string{x.absent, x.chunked} {
		answer, err := x.victim.s3.Get(context.Background(), x.doc.Name, name)
		if err != nil || answer.Status != http.StatusServiceUnavailable {
			t.Fatalf("%s, of a node that was replaced: %v %+v", name, err, answer)
		}
	}
}

// A record that is not known to be settled is not shown in the place of one that cannot be
// read: it is 503 until the disk says.
func TestAroundShowsWhatIsSettled(t *testing.T) {
	w := newBreakingWorld(t, 3)
	doc := w.share("trouble", objects.BucketProps{Copies: 3})
	victim := w.members[0]
	name, ctx := ours(t, victim, doc, 1)[0], context.Background()
	answer, err := w.members[1].s3.Put(ctx, doc.Name, name, []byte("first"))
	must(t, answer, err)
	c := chargeOf(t, victim, doc, name)
	settled := func(m *member) bool {
		record, _ := shows(t, m, doc, name)
		return !record.Unsettled
	}
	for _, m := range w.members {
		for !settled(m) {
			<-time.After(time.Millisecond)
		}
	}
	// One node gets a write that the others do not have.
	record, _ := shows(t, victim, doc, name)
	next := *record
	next.Generation.Seq += 1 << 20
	next.Unsettled, next.Deleted, next.Where, next.Size, next.ETag = true, true, 0, 0, ""
	at := w.find(string(c.AckSet[1]))
	if _, err := at.Gateway().Accept(doc, name, c.Epoch, &next, nil, objects.Origin{}); err != nil {
		t.Fatal(err)
	}
	victim.disable(t)
	answer, err = victim.s3.Get(ctx, doc.Name, name)
	// The other one has what is settled: no write was acknowledged that it lacks.
	if err != nil || answer.Status != http.StatusOK || string(answer.Body) != "first" {
		t.Fatalf("%v %+v", err, answer)
	}
	last := w.find(string(c.AckSet[2]))
	if _, err := last.Gateway().Accept(doc, name, c.Epoch, &next, nil, objects.Origin{}); err != nil {
		t.Fatal(err)
	}
	if answer, err = victim.s3.Get(ctx, doc.Name, name); err != nil || answer.Status != http.StatusServiceUnavailable {
		t.Fatalf("not known to be settled: %v %+v", err, answer)
	}
	w.quiet()
}

// A body goes on from another node at the byte where the disk failed, and from a third where
// that one's fails, too; each time with one question for all that is left.
func TestBodiesGoOnElsewhere(t *testing.T) {
	for _, verify := range []bool{false, true} {
		t.Run(fmt.Sprint("verify=", verify), func(t *testing.T) {
			w := newBreakingWorld(t, 3)
			doc := w.share("trouble", objects.BucketProps{Copies: 3, ValidateWarmGet: verify})
			victim, ctx := w.members[0], context.Background()
			names := ours(t, victim, doc, 2)
			whole, chunked := payload(3, 9<<20+1), []byte(nil)
			answer, err := victim.s3.Put(ctx, doc.Name, names[0], whole)
			must(t, answer, err)
			id, answer, err := victim.s3.CreateUpload(ctx, doc.Name, names[1])
			must(t, answer, err)
			var parts []s3client.Part
			for i := range 12 {
				content := payload(uint64(i), 400<<10)
				chunked = append(chunked, content...)
				answer, err := victim.s3.PutPart(ctx, doc.Name, names[1], id, i+1, content)
				parts = append(parts, s3client.Part{Number: i + 1, ETag: must(t, answer, err).ETag()})
			}
			answer, err = victim.s3.Complete(ctx, doc.Name, names[1], id, parts)
			must(t, answer, err)
			c := chargeOf(t, victim, doc, names[0])
			for i, content := range [][]byte{whole, chunked} {
				for _, m := range []*member{victim, w.find(string(c.AckSet[1]))} {
					for _, path := range []string{"trouble/**", ".troupe/parts/**"} {
						m.breaks(t, faults.Disk{Do: faults.Fail, Path: path, Calls: []string{"read"}}, faults.When{After: 3})
					}
				}
				gives := victim.peers.gives.Load()
				answer, err := w.members[1].s3.Get(ctx, doc.Name, names[i])
				if err != nil || answer.Status != http.StatusOK || !bytes.Equal(answer.Body, content) {
					t.Fatalf("object %d: %v, status %d, %d bytes of %d", i, err, answer.Status, len(answer.Body), len(content))
				}
				if n := victim.peers.gives.Load() - gives; n < 1 || n > 4 {
					t.Fatalf("object %d: %d questions", i, n)
				}
				for _, m := range w.members {
					m.desk.ClearAll()
				}
			}
			if _, _, bodies := victim.Gateway().Around(); bodies == 0 {
				t.Fatal("no body went on")
			}
			victim.breaks(t, faults.Disk{Do: faults.Fail, Path: "trouble/**", Calls: []string{"read"}}, faults.When{After: 3})
			victim.peers.stayHome.Store(true)
			if answer, err := victim.s3.Get(ctx, doc.Name, names[0]); err == nil && answer.Status == http.StatusOK {
				t.Fatal("nobody was asked, and all of it came: the test says nothing")
			}
			victim.desk.ClearAll()
			w.quiet()
		})
	}
}

// Damaged bytes are not served, whoever has them: the next node is asked, and at last
// nobody. What is found damaged only after some of it was sent is cut, and not read again.
func TestDamageIsGoneAround(t *testing.T) {
	w := newBreakingWorld(t, 3)
	doc := w.share("trouble", objects.BucketProps{Copies: 3, ValidateWarmGet: true})
	victim, ctx := w.members[0], context.Background()
	names := ours(t, victim, doc, 2)
	contents := [][]byte{payload(1, 100<<10), payload(2, 5<<20)}
	for i, content := range contents {
		answer, err := victim.s3.Put(ctx, doc.Name, names[i], content)
		must(t, answer, err)
	}
	c := chargeOf(t, victim, doc, names[0])
	flip := func(m *member) {
		m.breaks(t, faults.Disk{Do: faults.FlipBits, Path: "trouble/**"}, faults.When{})
	}
	get := func(i int) (whole bool) {
		t.Helper()
		answer, err := w.members[1].s3.Get(ctx, doc.Name, names[i])
		if err != nil || answer.Status != http.StatusOK {
			return false
		}
		if !bytes.Equal(answer.Body, contents[i]) {
			t.Fatalf("object %d: damaged bytes were served", i)
		}
		return true
	}
	flip(victim)
	flip(w.find(string(c.AckSet[1])))
	if !get(0) {
		t.Fatal("one of three has it undamaged")
	}
	whole := false
	for range 3 { // here, there
		whole = get(1)
	}
	if !whole {
		t.Fatal("it was found damaged at two nodes of three, and is read there again and again")
	}
	flip(w.find(string(c.AckSet[2])))
	if get(0) || get(1) {
		t.Fatal("all have it damaged, and it was served")
	}
	for _, m := range w.members {
		m.desk.ClearAll()
	}
	w.quiet()
}

// foundDamage reports whether the scrubber of a node found something damaged, by its metrics.
func (m *member) foundDamage(t *testing.T) bool {
	t.Helper()
	response, err := http.Get("http://" + m.Native() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // it was read
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.StatusCode, err)
	}
	return regexp.MustCompile(`(?m)^troupe_scrub_damaged\{[^}]*\} 1$`).Match(body)
}

// What the scrubber found damaged at the node in charge is answered from another one, in
// every way, though its disk would give it again.
func TestWhatTheScrubberFoundIsGoneAround(t *testing.T) {
	w := newBreakingWorld(t, 2)
	doc := w.share("trouble", objects.BucketProps{Copies: 2})
	victim, ctx := w.members[0], context.Background()
	name := ours(t, victim, doc, 1)[0]
	content := payload(1, 100<<10)
	answer, err := victim.s3.Put(ctx, doc.Name, name, content)
	must(t, answer, err)
	flips := victim.breaks(t, faults.Disk{Do: faults.FlipBits, Path: "trouble/**"}, faults.When{})
	late, look := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer look.Stop()
	for !victim.foundDamage(t) {
		select {
		case <-look.C:
		case <-late:
			t.Fatal("the scrubber finds nothing")
		}
	}
	flips.Clear() // from here on it is refused only because it was found
	before, _, _ := victim.Gateway().Around()
	for _, m := range w.members {
		for _, header := range [][]objects.Pair{nil, {{Name: "Range", Value: "bytes=0-"}}} {
			answer, err := m.s3.Do(ctx, s3client.Request{Method: "GET", Bucket: doc.Name, Key: name, Header: header})
			if err != nil || answer.Status/100 != 2 || !bytes.Equal(answer.Body, content) {
				t.Errorf("GET at %s: %v %+v", m.id, err, answer)
			}
		}
	}
	if after, failed, _ := victim.Gateway().Around(); after-before < 4 || failed != 0 {
		t.Errorf("%d reads went around, %d failed", after-before, failed)
	}
}

// While the disks of the node in charge fail under load, no read fails, and each key is one
// register; without other nodes reads fail.
func TestReadsGoAroundUnderLoad(t *testing.T) {
	for _, home := range []bool{false, true} {
		for copies := 2; copies <= 3; copies++ {
			for name, disk := range map[string]faults.Disk{
				"payloads": {Do: faults.Fail, Path: "load/**", Calls: []string{"open", "read"}},
				"all":      {Do: faults.Fail},
			} {
				t.Run(fmt.Sprintf("copies=%d/%s/alone=%v", copies, name, home), func(t *testing.T) {
					w := &workload{world: newBreakingWorld(t, 3), seed: rand.Uint64(), keys: 30, breaks: true}
					w.doc = w.share("load", objects.BucketProps{Copies: copies})
					victim := w.members[0]
					w.names = ours(t, victim, w.doc, w.keys)
					if !home {
						w.why = func(key string, answer *s3client.Answer, err error) {
							if err == nil {
								t.Errorf("seed %d: GET %s: %d %s", w.seed, key, answer.Status, answer.Body)
							} else {
								t.Errorf("seed %d: GET %s: %v", w.seed, key, err)
							}
						}
					}
					victim.peers.stayHome.Store(home)
					w.run(6, func(*rand.Rand) {
						w.enough(raced(200))
						victim.breaks(t, disk, faults.When{})
						w.enough(raced(300))
					})
					w.judge()
					begun, failed, bodies := victim.Gateway().Around()
					t.Logf("%d reads and %d bodies went around, %d failed", begun, bodies, failed)
					switch {
					case begun == 0:
						t.Fatal("nothing went around: the test says nothing")
					case home && w.told["get unknown"] == 0:
						t.Fatalf("nobody is asked, and no read fails: %v", w.told)
					case !home && w.told["get unknown"] > 0:
						t.Fatalf("%d reads failed", w.told["get unknown"])
					}
					victim.desk.ClearAll()
					w.quiet()
				})
			}
		}
	}
}
