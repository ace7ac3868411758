package prover

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/objects/errs"
)

// What lies in the directory that a proof is given.
const (
	// groundName is the proof's own directory: nothing else of what is there is touched.
	groundName = "troupe-prove"
	// claimName is a file in it by which it is known, and locked; claimText is what it says.
	claimName = "claim"
	claimText = "Made by troupe prove, which removes all that is in this directory.\n"
	// historyName is there if the recording of a failure was kept.
	historyName = "history.json"

	mountpathPrivate = ".troupe" // what a directory has that is a mountpath of a node
)

// leastFreeBytes is what a proof needs: a recording, what it is played into, and what a node
// keeps free for its index.
const leastFreeBytes = 1 << 30

// ground is the directory that a proof works in, and has for itself.
type ground struct {
	dir   string
	claim *os.File // locked
	made  string   // the directory that was given, if it was not there
}

// claim takes a directory for a proof: its own below the one that is given, which it makes,
// or finds as another proof has left it. A recording that was kept is there for replay,
// and else in the way.
func claim(given string, replay bool) (_ *ground, err error) {
	const op errs.Op = "prove"
	given, err = filepath.Abs(given)
	if err != nil {
		return nil, errs.E(op, given, errs.IO, err)
	}
	g := &ground{}
	defer func() {
		if err == nil {
			return
		}
		if g.claim != nil {
			err = errors.Join(err, g.claim.Close())
		}
		if g.made != "" {
			os.Remove(g.made) //nolint:errcheck // it is somebody else's, too, if it is not empty
		}
	}()
	switch err := os.Mkdir(given, 0o755); {
	case err == nil:
		g.made = given
	case !errors.Is(err, fs.ErrExist):
		return nil, errs.E(op, given, errs.IO, err)
	}
	if given, err = filepath.EvalSymlinks(given); err != nil { // nodes do it, too
		return nil, errs.E(op, given, errs.IO, err)
	}
	g.dir = filepath.Join(given, groundName)
	if mountpath := mountpathOf(given); mountpath != "" {
		return nil, errs.E(op, given, errs.Invalid, fmt.Errorf("%s is a mountpath of a node; give another directory of that disk", mountpath))
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, errs.E(op, g.dir, errs.IO, err)
	}
	if err := g.take(); err != nil {
		return nil, err
	}
	switch {
	case g.keeps() && !replay:
		return nil, errs.E(op, g.dir, errs.Exists, errors.New("a failure was kept there; repeat its cut with --cut, or remove the directory"))
	case !replay:
		if err := g.wipe(); err != nil {
			return nil, err
		}
	}
	if err := g.room(); err != nil {
		err = errors.Join(err, g.release(g.keeps()))
		g.claim = nil
		return nil, err
	}
	return g, nil
}

// mountpathOf returns the mountpath of a node that a directory is, or lies in; empty: none.
func mountpathOf(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, mountpathPrivate)); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// take locks the directory for this proof. Only an empty one, and one that says of itself
// that a proof has made it, may be taken: all that is in it is going to be removed. A
// symbolic link is neither, wherever it leads.
func (g *ground) take() error {
	const op errs.Op = "prove"
	info, err := os.Lstat(g.dir)
	if err == nil && !info.IsDir() {
		return errs.E(op, g.dir, errs.Invalid, errors.New("it is no directory"))
	}
	var entries []fs.DirEntry
	if err == nil {
		entries, err = os.ReadDir(g.dir)
	}
	if err != nil {
		return errs.E(op, g.dir, errs.IO, err)
	}
	flags := os.O_RDWR | unix.O_NOFOLLOW
	if len(entries) == 0 {
		flags |= os.O_CREATE
	}
	claim, err := os.OpenFile(g.path(claimName), flags, 0o600)
	if err != nil && len(entries) > 0 {
		return errs.E(op, g.dir, errs.Invalid, fmt.Errorf("it is not empty (it holds %q), and no proof has made it: %w", entries[0].Name(), err))
	}
	if err != nil {
		return errs.E(op, g.dir, errs.IO, err)
	}
	g.claim = claim
	if err := unix.Flock(int(claim.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errs.E(op, g.dir, errs.Invalid, fmt.Errorf("it is in use by another proof: %w", err))
	}
	text, err := io.ReadAll(io.LimitReader(claim, int64(len(claimText)+1)))
	switch {
	case err != nil:
		return errs.E(op, g.dir, errs.IO, err)
	case len(text) == 0 && len(entries) <= 1: // it is new, or who made it came no further
		_, err = claim.WriteString(claimText)
		return errs.Wrap(op, err)
	case string(text) != claimText:
		return errs.E(op, g.dir, errs.Invalid, fmt.Errorf("no proof has made it: its file %q is not a proof's", claimName))
	}
	return nil
}

// keeps reports whether the recording of a failure lies here.
func (g *ground) keeps() bool {
	_, err := os.Lstat(g.path(historyName))
	return err == nil
}

// leastLeftBytes is what must be free for a node to take writes: less, and what a proof
// finds says something of the full disk, and nothing of the node. It is 100 MiB for each
// mountpath, of which 84 are for its index, and a recording.
const leastLeftBytes = 256 << 20

// left is an error if the filesystem has become too full to go on.
func (g *ground) left() error { return g.free(leastLeftBytes) }

// room refuses a filesystem without room for a proof.
func (g *ground) room() error { return g.free(leastFreeBytes) }

// free refuses a filesystem with less room than so many bytes.
func (g *ground) free(least uint64) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(g.dir, &stat); err != nil {
		return errs.E("prove", g.dir, errs.IO, err)
	}
	if free := stat.Bavail * uint64(stat.Bsize); free < least {
		return errs.E("prove", g.dir, errs.NoSpace, fmt.Errorf("%d MiB are free; a proof needs %d MiB", free>>20, least>>20))
	}
	return nil
}

// path is a name on the ground.
func (g *ground) path(name string) string { return filepath.Join(g.dir, name) }

// wipe removes all that is there but the claim.
func (g *ground) wipe() error {
	entries, err := os.ReadDir(g.dir)
	for _, e := range entries {
		if e.Name() != claimName {
			err = errors.Join(err, os.RemoveAll(g.path(e.Name())))
		}
	}
	if err != nil {
		return errs.E("prove", g.dir, errs.IO, err)
	}
	return nil
}

// remove removes something on the ground, if it is there.
func (g *ground) remove(names ...string) error {
	for _, name := range names {
		if err := os.RemoveAll(g.path(name)); err != nil {
			return errs.E("prove", g.path(name), errs.IO, err)
		}
	}
	return nil
}

// mountpaths makes the directories of a node's mountpaths anew.
func (g *ground) mountpaths() ([]string, error) {
	if err := g.remove(dataName); err != nil {
		return nil, err
	}
	dirs := g.mountpathNames()
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, errs.E("prove", dir, errs.IO, err)
		}
	}
	return dirs, nil
}

// dataName is the directory of the mountpaths, and mountpathsOfNode how many there are:
// power goes in all of them at once.
const (
	dataName         = "data"
	mountpathsOfNode = 2
)

// mountpathNames are the directories of a node's mountpaths.
func (g *ground) mountpathNames() []string {
	var dirs []string
	for i := range mountpathsOfNode {
		dirs = append(dirs, filepath.Join(g.path(dataName), fmt.Sprint("d", i)))
	}
	return dirs
}

// release ends the use of the ground. keep: what is there stays.
func (g *ground) release(keep bool) error {
	var err error
	if !keep {
		err = os.RemoveAll(g.dir)
		if err == nil && g.made != "" {
			err = os.Remove(g.made)
			if errors.Is(err, unix.ENOTEMPTY) {
				err = nil // it is somebody else's, too, by now
			}
		}
	}
	return errors.Join(err, g.claim.Close())
}
