package kill

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/soak"
)

const (
	// steadyTime bounds the wait for the end of a change of the set.
	steadyTime = 2 * time.Minute
	// ballast is a bucket of so many objects that nobody writes any more: they make
	// each change take a while.
	ballast       = "ballast"
	ballastWeight = 800
)

// TestKillWhileMoving kills a node at random moments while mountpaths leave it, come
// back and change their mind: what was acknowledged is there after each kill, with the
// right bytes, changes go on by themselves, and in the end every object is on one
// mountpath, and a directory that has left holds nothing.
func TestKillWhileMoving(t *testing.T) {
	newTrial(t, seedOf(t)).movesUnderKills(cyclesOf(t, 8))
}

// TestKillWhileMovingSoak is TestKillWhileMoving with 100 kills.
func TestKillWhileMovingSoak(t *testing.T) {
	trials(t, soak.Row{Name: "kill-while-moving", Unit: "kills", Goal: 100}, (*trial).movesUnderKills)
}

func (t *trial) movesUnderKills(cycles cycles) {
	t.loadBallast()
	done, begun := 0, 0
	for ; cycles.More(); done++ {
		err := t.load.Run(t.Context(), int64(1+t.random.IntN(mostAcks)), func() error {
			action := t.nextChange()
			if action != nil {
				begun++
			}
			return t.killDuring(action)
		})
		if err != nil {
			t.fail(done, err)
		}
		t.restart(done)
		t.compare(done)
		cycles.Add(1, t.seed+1)
	}
	jobs, halfWay := t.moves()
	if done >= 8 && (begun < done/4 || halfWay < done/4) {
		t.Errorf("seed %d: %d changes begun, %d of %d kills in the middle of one: little is proved", t.seed, begun, halfWay, done)
	}
	t.steady()
	t.compare(done)
	t.controls()
	list := t.steady()
	names, err := t.load.Client.List(t.Context(), bucket, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	t.weighBallast()
	if err := t.node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if held := t.heldBy(list); held != len(names)+ballastWeight {
		t.Errorf("seed %d: %d objects are listed, and the mountpaths have %d", t.seed, len(names)+ballastWeight, held)
	}
	for _, dir := range t.node.Mountpaths {
		if !slices.ContainsFunc(list, func(m storage.Mountpath) bool { return m.Path == dir }) {
			if left := leftIn(t.T, dir); len(left) > 0 {
				t.Errorf("seed %d: %s has left, and holds %q", t.seed, dir, left)
			}
		} else if left := leftIn(t.T, dir); len(left) == 0 {
			t.Errorf("negative control: nothing is found on %s, which is in use", dir)
		}
	}
	t.Logf("seed %d: %d kills, %d in the middle of one of %d moves, %d changes begun, %d operations acknowledged, none lost, %d answered 503; slowest start %s",
		t.seed, done, halfWay, jobs, begun, t.load.Acknowledged(), t.load.Doubted(), t.slowest.Round(time.Millisecond))
}

func ballastName(i int) string { return fmt.Sprintf("b/%04d", i) }

func (t *trial) loadBallast() {
	t.Helper()
	client := t.load.Client
	if err := client.CreateBucket(t.Context(), ballast); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < ballastWeight; i += workers {
				size := 100
				if i%4 == 0 {
					size = leastLarge
				}
				if answer, err := client.Put(t.Context(), ballast, ballastName(i), payload(uint64(i), size)); err != nil || !answer.OK() {
					t.Errorf("PUT %s: %v, %v", ballastName(i), answer, err)
				}
			}
		})
	}
	group.Wait()
}

// weighBallast checks that all of it is listed once and found.
func (t *trial) weighBallast() {
	t.Helper()
	listed, err := t.load.Client.List(t.Context(), ballast, "", 1000)
	if err != nil || len(listed) != ballastWeight {
		t.Errorf("seed %d: %d objects of the ballast are listed: %v", t.seed, len(listed), err)
	}
	for i, o := range listed {
		answer, err := t.load.Client.Get(t.Context(), ballast, o.Key)
		if err != nil || !answer.OK() || o.Key != ballastName(i) || !bytes.Equal(answer.Body, payload(uint64(i), len(answer.Body))) {
			t.Errorf("seed %d: %s of the ballast: %v, %v", t.seed, o.Key, answer, err)
		}
	}
}

// storage is a client of the node's mountpaths, and what ends it.
func (t *trial) storage() (storage.Client, func()) {
	t.Helper()
	keys := sigv4.Credentials{AccessKey: process.AccessKey, SecretKey: process.SecretKey}
	connection, err := client.New(client.Config{Endpoint: "http://" + t.node.Native, Patience: -1, Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	return storage.Client{Control: client.Control{Connection: connection}}, connection.Close
}

// nextChange chooses what to change by how the set is; nil: nothing, so that what is
// under way goes on.
func (t *trial) nextChange() *storage.Action {
	list := t.mountpaths()
	var left []string
	for _, dir := range t.node.Mountpaths {
		i := slices.IndexFunc(list, func(m storage.Mountpath) bool { return m.Path == dir })
		switch {
		case i < 0:
			left = append(left, dir)
		case list[i].State == "joining" && t.random.IntN(3) == 0:
			return &storage.Action{Action: storage.Remove, Path: dir}
		case list[i].State == "leaving" && t.random.IntN(3) == 0:
			return &storage.Action{Action: storage.Add, Path: dir}
		case list[i].State == "joining" || list[i].State == "leaving":
			return nil
		}
	}
	if len(left) > 0 && (len(list) < 2 || t.random.IntN(2) == 0) {
		return &storage.Action{Action: storage.Add, Path: left[t.random.IntN(len(left))]}
	}
	return &storage.Action{Action: storage.Remove, Path: list[t.random.IntN(len(list))].Path}
}

// killDuring asks for a change, and kills the node: while it is being begun, or when
// the job has moved so and so many objects.
func (t *trial) killDuring(action *storage.Action) error {
	control, end := t.storage()
	defer end()
	asked := make(chan error, 1)
	go func() {
		if action == nil {
			asked <- nil
			return
		}
		_, err := control.Do(t.Context(), *action)
		var refused *client.Failure
		if !errors.As(err, &refused) || refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusConflict {
			err = nil // it was killed meanwhile, or the set has just changed
		}
		asked <- err
	}()
	if t.random.IntN(4) == 0 {
		goal := t.load.Acknowledged() + int64(t.random.IntN(16))
		for began := time.Now(); t.load.Acknowledged() < goal && time.Since(began) < time.Second; {
			runtime.Gosched()
		}
		return errors.Join(t.node.Kill(), <-asked)
	}
	err := <-asked
	goal := int64(t.random.IntN(ballastWeight / 4)) // the least that a change moves, or nearly
	var job api.Job
	for _, m := range t.mountpaths() {
		for began := time.Now(); m.Job != "" && err == nil && time.Since(began) < steadyTime; {
			err = control.Control.Get(t.Context(), api.JobsPath+"/"+m.Job, nil, &job) // each look is a request
			if !job.Active() || job.Progress.Objects >= goal {
				break
			}
		}
	}
	return errors.Join(err, t.node.Kill())
}

// compare is Load.Compare of a node that moves objects: it may be busy with a key.
func (t *trial) compare(cycle int) {
	t.Helper()
	for try := 0; ; try++ {
		err := t.load.Compare(t.Context())
		var told *unexpectedAnswer
		if err == nil {
			return
		}
		if !errors.As(err, &told) || told.answer.Status != http.StatusServiceUnavailable || try == 20 {
			t.fail(cycle, err)
		}
	}
}

// mountpaths are what the node says of them.
func (t *trial) mountpaths() []storage.Mountpath {
	control, end := t.storage()
	defer end()
	list, err := control.List(t.Context())
	if err != nil {
		t.Errorf("the list of mountpaths: %v", err)
	}
	return list
}

// moves counts the jobs that moved objects, and how often one was taken up again after
// a kill.
func (t *trial) moves() (jobs, resumed int) {
	t.Helper()
	control, end := t.storage()
	defer end()
	var all api.Jobs
	if err := control.Control.Get(t.Context(), api.JobsPath, nil, &all); err != nil {
		t.Fatal(err)
	}
	for _, job := range all.Jobs {
		if job.Kind == "move" {
			jobs++
			resumed += job.Runs - 1
		}
	}
	return jobs, resumed
}

func isSteady(list []storage.Mountpath) bool {
	return !slices.ContainsFunc(list, func(m storage.Mountpath) bool { return m.Job != "" || m.State != "ok" })
}

// steady waits until the set does not change, and returns it.
func (t *trial) steady() []storage.Mountpath {
	t.Helper()
	for began := time.Now(); ; { // each look is a request
		list := t.mountpaths()
		if isSteady(list) {
			return list
		}
		if time.Since(began) > steadyTime {
			t.fail(-1, fmt.Errorf("the set goes on changing: %+v", list))
		}
	}
}

// heldBy checks the mountpaths of a node that is stopped, and returns how many objects
// they have in all.
func (t *trial) heldBy(list []storage.Mountpath) (held int) {
	t.Helper()
	args := []string{"storage", "check", "--verify", "--json"}
	for _, m := range list {
		args = append(args, "--data", m.Path)
	}
	out, err := exec.CommandContext(t.Context(), process.Built(), args...).Output()
	var checked struct {
		Mountpaths []struct {
			Objects int `json:"objects"`
			Orphans int `json:"orphans"`
			Faults  int `json:"faults"`
			Pending int `json:"pending"`
		} `json:"mountpaths"`
	}
	if err := json.Unmarshal(out, &checked); err != nil || len(checked.Mountpaths) != len(list) {
		t.Fatalf("troupe storage check: %v: %s", err, out)
	}
	faults := 0
	for _, m := range checked.Mountpaths {
		held += m.Objects
		faults += m.Faults
		if m.Orphans+m.Pending > 0 {
			t.Errorf("seed %d: %s", t.seed, out)
		}
	}
	if faults != 1 { // the payload that controls has damaged
		t.Errorf("seed %d: %d faults, want the one that was made: %v: %s", t.seed, faults, err, out)
	}
	return held
}

// leftIn are the files in a directory but for its format.
func leftIn(t *testing.T, dir string) (left []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() != "format.json" {
			left = append(left, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}
