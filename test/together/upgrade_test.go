package together

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

// beforeVariable names the environment variable with the path of a binary of the release
// before; without it, TestUpgradeSoak, which is no part of make test, is skipped.
const beforeVariable = "TROUPE_BEFORE"

// What the release before wrote is where this one looks for it, and the other way round: on
// disks that were always there, and on one to which keys were moving when the binary was
// replaced; of objects of one node, of two, in files and in indexes, and of uploads under
// way. That each of two nodes finds its copy shows while the other one is away.
func TestUpgradeSoak(t *testing.T) {
	before := os.Getenv(beforeVariable)
	if before == "" {
		t.Skipf("%s does not name a binary of the release before", beforeVariable)
	}
	u := &upgrade{binary: filepath.Join(t.TempDir(), "troupe"), want: make(map[string]string)}
	u.link(t, before)
	u.world = newWorld(t, nodes.Config{Binary: u.binary, Mountpaths: 3, Args: []string{"--inline", "1KiB"}})
	u.write("before", 0)
	uploads := make(map[string]string)
	for n := range 6 {
		key := fmt.Sprint("upload-", n)
		id, _, err := u.s3[n%3].CreateUpload(t.Context(), twice, key)
		u.must(err)
		answer, err := u.s3[n%3].PutPart(t.Context(), twice, key, id, 1, upgradeBody(key, 5<<20))
		u.must(err)
		if !answer.OK() {
			t.Fatalf("part of %s: %+v", key, answer)
		}
		uploads[key] = id
	}

	for i := range u.Nodes {
		if i == 2 { // its keys move to one more mountpath, and it is killed in the middle
			u.grow(i)
		}
		u.must(u.Nodes[i].Kill())
		u.link(t, process.Built())
		u.must(u.Nodes[i].Restart(t.Context()))
		u.link(t, before)
		u.must(u.AwaitStates(t.Context(), "up up up"))
		u.check(fmt.Sprintf("node %d is upgraded", i))
		u.write(fmt.Sprintf("mixed-%d", i), i)
	}
	u.settled(2)
	u.alone("all are upgraded")
	for key, id := range uploads {
		parts, ok, err := u.s3[0].Parts(t.Context(), twice, key, id)
		u.must(err)
		if !ok || len(parts) != 1 {
			t.Fatalf("%s: %d parts, %v: they were written before", key, len(parts), ok)
		}
		answer, err := u.s3[1].Complete(t.Context(), twice, key, id, []s3client.Part{{Number: 1, ETag: parts[0].ETag}})
		u.must(err)
		if !answer.OK() {
			t.Fatalf("%s is not completed: %+v", key, answer)
		}
		u.want[twice+"/"+key] = string(upgradeBody(key, 5<<20))
	}
	u.write("after", 1)

	for i := range u.Nodes { // the way back
		u.must(u.Nodes[i].Kill())
		u.must(u.Nodes[i].Restart(t.Context()))
		u.must(u.AwaitStates(t.Context(), "up up up"))
		u.check(fmt.Sprintf("node %d is of the release before again", i))
	}
	u.alone("all are of the release before again")
}

// upgrade is a cluster whose binary is replaced.
type upgrade struct {
	*world
	binary string            // a link
	want   map[string]string // bodies by bucket and key
}

// link has nodes that start from now on be of a binary.
func (u *upgrade) link(t *testing.T, to string) {
	t.Helper()
	next := u.binary + ".next"
	if err := os.Symlink(to, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, u.binary); err != nil {
		t.Fatal(err)
	}
}

func upgradeBody(key string, size int) []byte {
	return bytes.Repeat([]byte(key+"\n"), size/(len(key)+1)+1)[:size]
}

// write writes objects of both buckets, and overwrites and deletes some of what is there.
func (u *upgrade) write(prefix string, at int) {
	u.t.Helper()
	for n := range 60 {
		for _, in := range []string{bucket, twice} {
			key, size := fmt.Sprintf("%s-%d", prefix, n), 100
			if n%3 == 0 {
				size = 9000 // in a file
			}
			u.put(at, in, key, upgradeBody(key, size))
		}
	}
	n := 0
	for name := range u.want {
		in, key, _ := strings.Cut(name, "/")
		switch n++; {
		case n > 20:
			return
		case n%2 == 0:
			u.put(at, in, key, upgradeBody(prefix+key, 2000))
		default:
			answer := u.until(func() (*s3client.Answer, error) { return u.s3[at].Delete(u.t.Context(), in, key) })
			if !answer.OK() {
				u.t.Fatalf("delete %s: %+v", name, answer)
			}
			delete(u.want, name)
		}
	}
}

func (u *upgrade) put(at int, in, key string, body []byte) {
	u.t.Helper()
	answer := u.until(func() (*s3client.Answer, error) { return u.s3[at].Put(u.t.Context(), in, key, body) })
	if !answer.OK() {
		u.t.Fatalf("put %s/%s: %+v", in, key, answer)
	}
	u.want[in+"/"+key] = string(body)
}

// check fails unless everything that was written is there, and nothing else.
func (u *upgrade) check(when string) {
	u.t.Helper()
	at := 0
	for name, body := range u.want {
		in, key, _ := strings.Cut(name, "/")
		at = (at + 1) % len(u.s3)
		answer := u.until(func() (*s3client.Answer, error) { return u.s3[at].Get(u.t.Context(), in, key) })
		if answer.Status != http.StatusOK || string(answer.Body) != body {
			u.t.Fatalf("%s: %s: %d, %d bytes, want %d", when, name, answer.Status, len(answer.Body), len(body))
		}
	}
	for _, in := range []string{bucket, twice} {
		listed, err := u.s3[0].List(u.t.Context(), in, "", 100)
		u.must(err)
		want := 0
		for name := range u.want {
			if strings.HasPrefix(name, in+"/") {
				want++
			}
		}
		if len(listed) != want {
			u.t.Fatalf("%s: %d objects are listed in %s, want %d", when, len(listed), in, want)
		}
	}
}

// alone fails unless each node finds its copies while another one is away.
func (u *upgrade) alone(when string) {
	u.t.Helper()
	u.check(when)
	for i := range u.Nodes {
		states := []string{"up", "up", "up"}
		u.must(u.Nodes[i].Kill())
		states[i] = "down"
		u.must(u.AwaitStates(u.t.Context(), strings.Join(states, " ")))
		at := i
		for name, body := range u.want {
			in, key, _ := strings.Cut(name, "/")
			if at = (at + 1) % len(u.s3); at == i {
				at = (at + 1) % len(u.s3)
			}
			if in != twice {
				continue
			}
			answer := u.until(func() (*s3client.Answer, error) { return u.s3[at].Get(u.t.Context(), in, key) })
			if answer.Status != http.StatusOK || string(answer.Body) != body {
				u.t.Fatalf("%s: node %d is away: %s: %d, %d bytes, want %d", when, i, name, answer.Status, len(answer.Body), len(body))
			}
		}
		u.must(u.Nodes[i].Restart(u.t.Context()))
		u.must(u.AwaitStates(u.t.Context(), "up up up"))
	}
}

// mountpaths are those of a node, as it tells.
func (u *upgrade) mountpaths(at int) []storage.Mountpath {
	u.t.Helper()
	n := u.Nodes[at]
	connection, err := client.New(client.Config{Endpoint: n.URL(n.Native), Credentials: u.Keys()})
	u.must(err)
	defer connection.Close()
	var all storage.Mountpaths
	u.must(client.Control{Connection: connection}.Get(u.t.Context(), storage.Path, nil, &all))
	return all.Mountpaths
}

// grow restarts a node with one more mountpath, to which it begins to move keys.
func (u *upgrade) grow(at int) {
	u.t.Helper()
	n := u.Nodes[at]
	added := filepath.Join(filepath.Dir(n.Mountpaths[0]), "added")
	u.must(os.Mkdir(added, 0o755))
	u.must(n.Kill())
	n.Mountpaths = append(n.Mountpaths, added)
	u.must(n.Restart(u.t.Context()))
	u.t.Logf("the mountpaths of node %d when it is killed: %+v", at, u.mountpaths(at))
}

// settled waits until the set of mountpaths of a node does not change any more, and its
// mount map has all of them.
func (u *upgrade) settled(at int) {
	u.t.Helper()
	u.must(nodes.Await(u.t.Context(), "nothing moves any more", func() (bool, string) {
		all := u.mountpaths(at)
		for _, m := range all {
			if m.Job != "" || m.State != "ok" || m.MountState != "up" {
				return false, fmt.Sprintf("%+v", m)
			}
		}
		return len(all) == 4, fmt.Sprintf("%d mountpaths", len(all))
	}))
}
