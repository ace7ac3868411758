package disk

import (
	"os"
	"syscall"
)

// maxPathBytes is PATH_MAX without its NUL: the longest path the kernel takes.
const maxPathBytes = 4095

// maxNameBytes is NAME_MAX: the longest name in a directory.
const maxNameBytes = 255

// checkPath refuses what layout never makes and what could leave the root: an
// absolute path, empty, "." and ".." components, a trailing slash, a NUL. It
// returns "." for the root. Bytes need not be UTF-8.
func checkPath(path string) (string, error) {
	if path == "" || path == "." {
		return ".", nil
	}
	start := 0
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			if path[i] == 0 {
				return "", syscall.EINVAL
			}
			continue
		}
		switch path[start:i] {
		case "", ".", "..":
			return "", syscall.EINVAL
		}
		start = i + 1
	}
	if len(path) > maxPathBytes {
		return "", syscall.ENAMETOOLONG
	}
	return path, nil
}

// checkName refuses a name that is not one component.
func checkName(name string) error {
	for i := 0; i < len(name); i++ {
		if name[i] == '/' || name[i] == 0 {
			return syscall.EINVAL
		}
	}
	if name == "" || name == "." || name == ".." {
		return syscall.EINVAL
	}
	return nil
}

// openFlags are the flags that OpenFile takes. O_APPEND and O_SYNC are refused:
// WriteAt says where, and Sync says when.
const openFlags = os.O_RDONLY | os.O_WRONLY | os.O_RDWR | os.O_CREATE | os.O_EXCL | os.O_TRUNC

// checkFlag refuses flags outside openFlags and both access modes at once.
func checkFlag(flag int) error {
	if flag&^openFlags != 0 || flag&(os.O_WRONLY|os.O_RDWR) == os.O_WRONLY|os.O_RDWR {
		return syscall.EINVAL
	}
	return nil
}

// join returns the path of a name in a directory.
func join(directory, name string) string {
	if directory == "" || directory == "." {
		return name
	}
	return directory + "/" + name
}
