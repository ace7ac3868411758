package store

import (
	"errors"
	"os"
	"path"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// writeSidecar puts the draft of an object, which the attribute cannot carry,
// where sidecars are. The intent is durable before, so that a crash leaves no
// sidecar that nothing speaks of.
func (in *Incoming) writeSidecar() error {
	if err := in.awaitIntent(); err != nil {
		return err
	}
	in.beside = true
	return in.store.writeSidecar(layout.SidecarPath(in.Payload), &layout.Sidecar{Key: in.Key, Payload: in.Payload, Draft: in.Draft})
}

// writeSidecar writes a sidecar, durably.
func (s *Store) writeSidecar(name string, sidecar *layout.Sidecar) (err error) {
	content, err := layout.EncodeSidecar(sidecar)
	if err != nil {
		return err
	}
	s.names.shared(func() {
		if err = s.names.make(path.Dir(name)); err == nil {
			err = s.fill(name, content)
		}
		if err == nil {
			err = s.names.syncPath(name)
		}
	})
	return err
}

// fill writes a file whole, and syncs it.
func (s *Store) fill(name string, content []byte) (err error) {
	file, err := s.fs.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	return file.Sync()
}

// removeSidecar removes the sidecar of a payload that will be no object's. It
// lasts before the intent goes, which alone speaks of it.
func (s *Store) removeSidecar(payload objects.Generation) error {
	name := layout.SidecarPath(payload)
	if err := absent(s.fs.Remove(name)); err != nil {
		return err
	}
	return absent(s.fs.SyncDir(path.Dir(name)))
}
