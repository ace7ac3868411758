package offline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/test/process"
)

// control is a client of the node's control, until the test ends or the node does.
func (s *site) control() (client.Control, func()) {
	s.t.Helper()
	keys := sigv4.Credentials{AccessKey: process.AccessKey, SecretKey: process.SecretKey}
	connection, err := client.New(client.Config{Endpoint: "http://" + s.node.Native, Patience: -1, Credentials: keys})
	if err != nil {
		s.t.Fatal(err)
	}
	return client.Control{Connection: connection}, connection.Close
}

// inParts is half way for killedHalfWay: the first part of an object has come to the
// mountpath.
const inParts = -1

// killedHalfWay begins a change of the set, lets so many objects move, and kills the
// node.
func (s *site) killedHalfWay(action, path string, moved int64) {
	s.t.Helper()
	control, end := s.control()
	defer end()
	m, err := storage.Client{Control: control}.Do(s.t.Context(), storage.Action{Action: action, Path: path})
	if err != nil {
		s.t.Fatal(err)
	}
	var job api.Job
	halfWay := func() bool {
		if moved != inParts {
			return job.Progress.Objects >= moved
		}
		parts, err := filepath.Glob(filepath.Join(path, ".troupe/parts/*/*.*"))
		if err != nil {
			s.t.Fatal(err)
		}
		return len(parts) > 0
	}
	for began := time.Now(); !halfWay() && job.Active() && time.Since(began) < time.Minute; { // each look is a request
		if err := control.Get(s.t.Context(), api.JobsPath+"/"+m.Job, nil, &job); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.node.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%s %s: killed after %d of %d objects", action, filepath.Base(path), job.Progress.Objects, job.Progress.TotalObjects)
}

// ends restarts the node, waits until the set does not change any more, and ends it.
func (s *site) ends() {
	s.t.Helper()
	if err := s.node.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	control, end := s.control()
	defer end()
	for began := time.Now(); ; { // each look is a request
		list, err := storage.Client{Control: control}.List(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if !slices.ContainsFunc(list, func(m storage.Mountpath) bool { return m.Job != "" || m.State != "ok" }) {
			break
		}
		if time.Since(began) > time.Minute {
			s.t.Fatalf("the set goes on changing: %+v", list)
		}
	}
	if err := s.node.Stop(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// given are arguments for some of the mountpaths.
func given(paths []string) (args []string) {
	for _, p := range paths {
		args = append(args, "--data", p)
	}
	return args
}

// judge exports what the mountpaths have and compares it with what was acknowledged,
// and checks index against files.
func (s *site) judge(what string, paths []string) {
	s.t.Helper()
	out, notes, code := s.run(append([]string{"export", "--to", "-"}, given(paths)...)...)
	if code != 0 {
		s.t.Errorf("%s: export: %d: %s", what, code, notes)
	}
	compare(s.t, what, readTar(s.t, strings.NewReader(out)), s.held)
	if out, notes, code := s.run(append([]string{"check", "--verify"}, given(paths)...)...); code != 0 {
		s.t.Errorf("%s: check: %d: %s%s", what, code, out, notes)
	}
}

// Objects that were moved between mountpaths, and those that were on their way when
// the node was killed, are exported once and whole; index and files agree; a rebuild
// in the middle loses nothing and the change goes on afterwards.
func TestMovedObjects(t *testing.T) {
	s := newSite(t, 3)
	s.fill()
	all := s.node.Mountpaths
	for round, moved := range []struct{ leaving, joining int64 }{{0, 0}, {1, inParts}, {6, 6}} {
		s.killedHalfWay(storage.Remove, all[0], moved.leaving)
		s.judge(fmt.Sprintf("round %d, leaving", round), all)
		s.ends()
		s.judge(fmt.Sprintf("round %d, has left", round), all[1:])
		if err := s.node.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.killedHalfWay(storage.Add, all[0], moved.joining)
		s.judge(fmt.Sprintf("round %d, joining", round), all)
		for i, m := range all { // one after the other, each with what its old index yields
			with := slices.Delete(slices.Clone(all), i, i+1)
			args := []string{"rebuild", "--verify", "--data", m}
			for _, w := range with {
				args = append(args, "--with", w)
			}
			if round == 1 {
				if out, notes, code := s.run(args...); code != 0 {
					t.Errorf("rebuild of %s: %d: %s%s", m, code, out, notes)
				}
			}
		}
		s.judge(fmt.Sprintf("round %d, rebuilt", round), all)
		s.ends()
		s.judge(fmt.Sprintf("round %d, has joined", round), all)
		if err := s.node.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Negative control: an object that lies on a mountpath that is not given is missed.
	out, _, code := s.run(append([]string{"export", "--partial", "--to", "-"}, given(all[1:])...)...)
	if found := readTar(t, strings.NewReader(out)); code != 0 || len(found) == len(s.held) {
		t.Errorf("without %s the export has %d of %d objects, %d", all[0], len(found), len(s.held), code)
	}
	if left, err := os.ReadDir(filepath.Join(all[0], ".troupe/work")); err != nil || len(left) > 0 {
		t.Errorf("left of imports: %v, %v", left, err)
	}
}
