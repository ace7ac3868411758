package control_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
)

// small and large make bodies below and above the inline limit, which tell versions
// apart.
func small(version int) []byte { return fmt.Appendf(nil, "version %07d", version) }
func large(version int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%07d ", version), inlineBytes/2)
}

// put stores an object; busy: the node must say that it may be repeated.
func (w *world) put(name string, body []byte, busy bool) {
	w.Helper()
	answer, err := w.client.Put(w.Context(), bucket, name, body)
	switch {
	case err != nil:
		w.Errorf("put %s: %v", name, err)
	case busy && answer.Status != http.StatusServiceUnavailable, !busy && !answer.OK():
		w.Errorf("put %s: %d %.300s", name, answer.Status, answer.Body)
	}
}

func (w *world) holds(name string, want []byte) {
	w.Helper()
	answer, err := w.client.Get(w.Context(), bucket, name)
	if err != nil || answer.Status != http.StatusOK || !bytes.Equal(answer.Body, want) {
		w.Errorf("%s holds %d bytes (%v), and must hold %d: %.40q, not %.40q", name, len(answer.Body), err, len(want), answer.Body, want)
	}
}

// neighbours returns a key that the write lane of another serves, and one that
// another lane of the same mountpath does.
func (w *world) neighbours(name string) (sameLane, otherLane string) {
	mountpath, writer, _ := w.servers(name)
	for n := 0; sameLane == "" || otherLane == ""; n++ {
		key := fmt.Sprintf("n%d", n)
		switch m, lane, _ := w.servers(key); {
		case lane == writer:
			sameLane = key
		case m == mountpath:
			otherLane = key
		}
	}
	return sameLane, otherLane
}

// hung starts a node whose disks can hang.
func hung(t *testing.T) (*world, *faults.Desk) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	desk := faults.New(faults.Options{})
	w := start(t, t.TempDir(), desk)
	t.Cleanup(func() {
		w.stop()
		leaves(t, before)
	})
	if err := w.client.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	return w, desk
}

func (w *world) inject(desk *faults.Desk, d faults.Disk) *faults.Injected {
	w.Helper()
	i, err := desk.Inject(faults.Fault{Disk: &d, When: faults.When{Count: 1}, Expiry: 5 * time.Minute, Reason: w.Name()})
	if err != nil {
		w.Fatal(err)
	}
	return i
}

// request sends a put that is to hang, and returns where its answer will be.
func (w *world) request(name string, body []byte) <-chan *s3client.Answer {
	answers := make(chan *s3client.Answer, 1)
	go func() {
		answer, err := w.client.Put(w.Context(), bucket, name, body)
		if err != nil {
			answer = &s3client.Answer{Body: []byte(err.Error())}
		}
		answers <- answer
	}()
	return answers
}

// killed kills an actor that hangs in a call: that takes no longer than for any
// other, the client of the call hears that it may repeat the request, and the call
// is seen from outside.
func (w *world) killed(address string, answers <-chan *s3client.Answer) {
	w.Helper()
	if state, err := w.node.System().Find(address); err != nil || state.Current == "" || state.CurrentFor <= 0 {
		w.Errorf("%s hangs, and is seen as %+v (%v)", address, state, err)
	}
	began := time.Now()
	if _, err := w.node.System().Control(address, messages.KillActor); err != nil {
		w.Errorf("kill %s: %v", address, err)
	}
	if took := time.Since(began); took > limit() {
		w.Errorf("kill %s took %s", address, took)
	}
	select {
	case answer := <-answers:
		if answer.Status != http.StatusServiceUnavailable {
			w.Errorf("the request that hung was answered %d %.300s", answer.Status, answer.Body)
		}
	case <-time.After(limit()):
		w.Error("the request that hung was not answered")
	}
}

// A write lane that hangs in a call of the disk is killed: its key is busy until
// the call returns, and no other; what the late call does to the key is in turn
// with what is written afterwards.
func TestAHungWriteLane(t *testing.T) {
	w, desk := hung(t)
	const key = "victim"
	w.put(key, large(1), false)
	same, other := w.neighbours(key)
	_, lane, _ := w.servers(key)

	i := w.inject(desk, faults.Disk{Path: bucket + "/" + key, Calls: []string{"receive"}, Do: faults.Stall})
	answers := w.request(key, large(2))
	<-i.Reached()
	behind := w.request(same, small(1)) // waits in the lane's mailbox
	w.killed(lane, answers)
	if answer := <-behind; answer.Status != http.StatusServiceUnavailable && !answer.OK() {
		t.Errorf("a request behind it: %d %.300s", answer.Status, answer.Body)
	}
	state, err := w.node.System().Find(lane)
	if err != nil || state.Abandoned != 1 || state.Restarts != 1 {
		t.Errorf("the successor: %+v, %v", state, err)
	}
	w.put(key, large(3), true)
	if answer, err := w.client.Delete(t.Context(), bucket, key); err != nil || answer.Status != http.StatusServiceUnavailable {
		t.Errorf("a delete of the key: %v, %v", answer, err)
	}
	w.put(same, small(2), false)
	w.put(same, large(2), false)
	w.put(other, large(2), false)
	w.holds(same, large(2))

	i.Clear()
	if err := w.node.System().AwaitAbandoned(patience); err != nil {
		t.Fatal(err)
	}
	w.holds(key, large(2)) // the late call was a whole write
	w.put(key, large(4), false)
	w.holds(key, large(4))
}

// A transfer that hangs is killed, the client repeats its upload, and the late one
// does not come back over it.
func TestAHungTransfer(t *testing.T) {
	for name, call := range map[string]string{"in a write": "write", "in its last sync": "sync"} {
		t.Run(name, func(t *testing.T) {
			w, desk := hung(t)
			const key = "victim"
			mountpath, _, _ := w.servers(key)
			i := w.inject(desk, faults.Disk{Path: ".troupe/work/*", Calls: []string{call}, Do: faults.Stall})
			answers := w.request(key, large(1))
			<-i.Reached()
			transfers, err := w.node.System().List(mountpath + "/t*")
			if err != nil || len(transfers) != 1 || transfers[0].Kind != "transfer" {
				t.Fatalf("%+v, %v", transfers, err)
			}
			w.killed(transfers[0].Address, answers)
			w.put(key, large(2), false)
			i.Clear()
			if err := w.node.System().AwaitAbandoned(patience); err != nil {
				t.Fatal(err)
			}
			w.holds(key, large(2))
		})
	}
}

// A lane that hangs does not keep the actors above it from being killed.
func TestAHungLaneBelowWhatIsKilled(t *testing.T) {
	for name, target := range map[string]string{"mountpath": "", "mountpaths": "node/mountpaths", "node": "node"} {
		t.Run(name, func(t *testing.T) {
			w, desk := hung(t)
			const key = "victim"
			_, other := w.neighbours(key)
			mountpath, _, _ := w.servers(key)
			if target == "" {
				target = mountpath
			}
			i := w.inject(desk, faults.Disk{Path: bucket + "/" + key, Calls: []string{"receive"}, Do: faults.Stall})
			answers := w.request(key, large(1))
			<-i.Reached()
			began := time.Now()
			if _, err := w.node.System().Control(target, messages.KillActor); err != nil {
				t.Errorf("kill %s: %v", target, err)
			}
			if took := time.Since(began); took > 2*limit() {
				t.Errorf("kill %s took %s", target, took)
			}
			if answer := <-answers; answer.Status == http.StatusOK {
				t.Errorf("the request that hung was answered %d", answer.Status)
			}
			w.put(other, small(1), false)
			w.holds(other, small(1))
			w.put(key, small(2), true)
			i.Clear()
			if err := w.node.System().AwaitAbandoned(patience); err != nil {
				t.Fatal(err)
			}
			w.put(key, small(3), false)
			w.holds(key, small(3))
		})
	}
}

// A keeper that hangs is killed: the next one waits for its call, since there is
// one housekeeper at a time, and then keeps house.
func TestAHungKeeper(t *testing.T) {
	w, desk := hung(t)
	const key = "victim"
	mountpath, _, _ := w.servers(key)
	i := w.inject(desk, faults.Disk{Path: ".troupe/trash/*", Calls: []string{"remove"}, Do: faults.Stall})
	w.put(key, large(1), false)
	w.put(key, large(2), false) // the first goes to the trash
	<-i.Reached()
	state, err := w.node.System().Control(mountpath+"/keeper", messages.KillActor)
	if err != nil || state.Abandoned != 1 {
		t.Errorf("%+v, %v", state, err)
	}
	w.put(key, large(3), false)
	if reclaimable := w.reclaimable(mountpath); reclaimable == 0 {
		t.Error("the successor has reclaimed what its predecessor is at")
	}
	i.Clear()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	over := time.After(patience)
	for w.reclaimable(mountpath) != 0 {
		select {
		case <-look.C:
		case <-over:
			t.Fatal("nothing is reclaimed any more")
		}
	}
	w.holds(key, large(3))
}

// reclaimable returns how many payloads of a mountpath wait to be reclaimed.
func (w *world) reclaimable(mountpath string) int {
	w.Helper()
	m := &messages.ListMountpaths{Reply: messages.NewReply[[]messages.MountpathStatus]()}
	w.node.System().Root().Send(w.node.System().PID("node/mountpaths"), m)
	list, err := m.Reply.Wait("test", patience)
	if err != nil {
		w.Fatal(err)
	}
	return list[int(mountpath[len(mountpath)-1]-'0')].ReclaimPayloads
}
