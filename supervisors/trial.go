package supervisors

import (
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Trial is what `troupe prove` asks of the nodes that it starts. The zero value is every
// other node's: nothing is recorded, and nothing stands between a node and its disks.
type Trial struct {
	// Journal is a file, not there yet, that gets a journal of all that changes the
	// mountpaths (disk.Recorder). Empty: none.
	Journal string
	// Boot stands for the kernel's id of this boot: another one says that the machine was
	// started anew since the mountpaths were used last. Empty: the kernel's own.
	Boot string

	recorder *disk.Recorder // of Journal; nil: none
}

// begin opens the journal, if there is to be one.
func (t *Trial) begin() error {
	if t.Journal == "" {
		return nil
	}
	recorder, err := disk.NewRecorder(t.Journal)
	if err != nil {
		return errs.E("supervisors.Trial", errs.IO, err)
	}
	t.recorder = recorder
	return nil
}

// disk is what the node uses for a mountpath's filesystem.
func (t *Trial) disk(dir string, fs disk.FS) (disk.FS, error) {
	if t.recorder == nil {
		return fs, nil
	}
	return t.recorder.Disk(dir, fs)
}

// boot is the id of this boot of the machine.
func (t *Trial) boot() string {
	if t.Boot != "" {
		return t.Boot
	}
	return bootID()
}

// end closes the journal. May be called again.
func (t *Trial) end() error {
	if t.recorder == nil {
		return nil
	}
	recorder := t.recorder
	t.recorder = nil
	return recorder.Close()
}
