package disk

import "golang.org/x/sys/unix"

// linuxDir is an open directory of the operating system.
type linuxDir struct {
	fs         *Linux
	path       string
	descriptor *descriptor
}

// Receive implements Dir: a rename relative to the directory's descriptor, so
// that what Sync syncs is the directory that received the name, even if
// another was put in its place.
func (d *linuxDir) Receive(oldPath, name string) error {
	err := checkName(name)
	if err == nil {
		err = d.use(func(number int) error {
			return d.fs.at(oldPath, func(root int, oldPath string) error {
				return renameat(root, oldPath, number, name)
			})
		})
	}
	if err != nil {
		return d.fs.linkError("rename", oldPath, d.path+"/"+name, err)
	}
	return nil
}

// Sync implements Dir.
func (d *linuxDir) Sync() error {
	if err := d.use(func(number int) error { return retry(func() error { return unix.Fsync(number) }) }); err != nil {
		return d.fs.pathError("syncdir", d.path, err)
	}
	return nil
}

// Close implements io.Closer. A call that is under way ends first, without
// holding up Close.
func (d *linuxDir) Close() error {
	if err := d.descriptor.Close(); err != nil {
		return d.fs.pathError("close", d.path, err)
	}
	return nil
}

func (d *linuxDir) use(call func(number int) error) error {
	number, err := d.descriptor.use()
	if err != nil {
		return err
	}
	err = call(number)
	if closing := d.descriptor.release(); err == nil {
		err = closing
	}
	return err
}
